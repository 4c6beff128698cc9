"""Stores of versions, empty and with a correction that is live."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from learn.fakes import Trained, run
from lifelearn.chat_models.local import LocalChatModel
from lifelearn.learning.examiner import general
from lifelearn.learning.examiner import verify as verification
from lifelearn.learning.version import VersionStore


@pytest.fixture(autouse=True)
def _short_verification(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less text and shorter answers: what verification finds is tested elsewhere."""
    monkeypatch.setattr(verification, "TEXT", general.TEXT[:3])
    monkeypatch.setattr(verification, "ANSWER_TOKENS", 6)


@pytest.fixture
def store(tmp_path: Path) -> VersionStore:
    return VersionStore(tmp_path / "data")


@pytest.fixture(scope="session")
def learned_once(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the correction learned and live as version 1."""
    store = VersionStore(tmp_path_factory.mktemp("learned"))
    run(LocalChatModel.load(str(tiny_model_folder), store.root), store)
    store.activate(1)
    return store.root


@pytest.fixture
def grown(learned_once: Path, tmp_path: Path) -> VersionStore:
    """A copy of it."""
    return VersionStore(Path(shutil.copytree(learned_once, tmp_path / "grown")))


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Trained:
    return Trained(monkeypatch)
