"""A trainer on the tiny model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from lifelearn.learning.sdft.config import SDFTConfig
from lifelearn.learning.sdft.data_loop import SDFTTrainer
from louder import louder
from sdft.fakes import QUICK, ROWS, Make


@pytest.fixture(autouse=True)
def _in_one_order(one_thread: None) -> None:
    """Or the same training twice would not be the same."""


@pytest.fixture(scope="session")
def wide_folder(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with larger random weights, to which a demonstration makes a difference."""
    from transformers import AutoModelForCausalLM

    folder = Path(shutil.copytree(tiny_model_folder, tmp_path_factory.mktemp("wide") / "model"))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    louder(model, 0.2)
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def make(wide_folder: Path, tmp_path: Path) -> Make:
    """A trainer of that model on ROWS, with QUICK's settings and those given."""

    def trainer(rows: Any = ROWS, evaluate: Any = None, **settings: Any) -> SDFTTrainer:
        given: dict[str, Any] = {"output_dir": str(tmp_path / "out"), **QUICK, **settings}
        names = {"rollouts_by": "rollouts", "on_progress": "on_progress"}
        more = {other: given.pop(name) for name, other in names.items() if name in given}
        return SDFTTrainer(str(wide_folder), None, SDFTConfig(**given), rows, evaluate, **more)

    return trainer
