"""A model that cannot be loaded is refused in one sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from lifelearn.chat_models.local import LocalChatModel
from lifelearn.learning.chat_model import ChatModelError


def refused(name: str, cache: Path) -> str:
    """The error's text, which must be one that a user can read."""
    with pytest.raises(ChatModelError) as caught:
        LocalChatModel.load(name, cache)
    text = str(caught.value)
    assert "Traceback" not in text
    assert 'File "' not in text
    assert "\n" not in text
    assert len(text) < 600
    assert text.endswith(".")
    return text


@pytest.fixture
def copied(tiny_model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model_folder, tmp_path / "model"))


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "~/nowhere-at-all-47"])
def test_an_unknown_folder(name: str, tmp_path: Path) -> None:
    text = refused(name, tmp_path)
    assert text.startswith("There is no folder")
    assert "nowhere" in text


def test_a_folder_without_a_config(tmp_path: Path) -> None:
    assert "holds no model: config.json is missing" in refused(str(tmp_path), tmp_path)


def test_a_file_instead_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    assert "model.gguf" in refused(str(tmp_path / "model.gguf"), tmp_path)


def test_an_unknown_hub_id_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # the variable is read at import
    text = refused("nobody/no-such-model-47", tmp_path)
    assert "nobody/no-such-model-47" in text
    assert "LL_BASE_MODEL_NAME" in text


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_truncated_weights(copied: Path, tmp_path: Path, share: float) -> None:
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: int(share * weights.stat().st_size)])
    text = refused(str(copied), tmp_path)
    assert str(copied) in text
    assert "copy or download it again" in text


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json"])
def test_a_missing_file(copied: Path, tmp_path: Path, file: str) -> None:
    (copied / file).unlink()
    assert str(copied) in refused(str(copied), tmp_path)


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_damaged_file(copied: Path, tmp_path: Path, file: str, text: str) -> None:
    (copied / file).write_text(text)
    assert str(copied) in refused(str(copied), tmp_path)


def test_no_chat_template(copied: Path, tmp_path: Path) -> None:
    (copied / "chat_template.jinja").unlink(missing_ok=True)
    config = json.loads((copied / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    (copied / "tokenizer_config.json").write_text(json.dumps(config))
    assert "no chat template, so the model cannot chat" in refused(str(copied), tmp_path)


def test_weights_of_another_shape(copied: Path, tmp_path: Path) -> None:
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**config, "hidden_size": 64}))
    assert str(copied) in refused(str(copied), tmp_path)


def test_a_loaded_model_describes_itself(tiny: Any, tiny_model_folder: Path) -> None:
    assert tiny.name == str(tiny_model_folder)
    assert "M parameters" in tiny.describe()
    assert "\n" not in tiny.describe()
