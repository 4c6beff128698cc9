"""Versions for other programs: what is written, what refuses, and that the real model answers the same from a GGUF."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from lifelearn.chat_models.exporting import ExportError, card, export
from lifelearn.learning.recipe import Recipe
from lifelearn.learning.sdft.student import make_student
from lifelearn.learning.version import VersionStore
from version_fakes import LESSON, REPORT, added, weights_folder


def test_a_card_names_base_data_settings_and_figures(tmp_path: Path) -> None:
    version = added(VersionStore(tmp_path), weights_folder(tmp_path / "weights"))
    text = card(version, "adapter")
    for wanted in (
        "base_model:",
        "library_name: peft",
        "Where is Norvik Labs based?",
        "Tromsø",
        "efficacy",
        "lora_rank",
    ):
        assert wanted in text
    assert "| 1 of 1 |" in text


def test_an_adapter_is_copied_and_names_its_base(tmp_path: Path) -> None:
    store = VersionStore(tmp_path / "store")
    added(store, weights_folder(tmp_path / "weights", b"tensors"))
    made = export(store, 1, "adapter", tmp_path / "out", tmp_path)
    assert made.read_bytes() == b"tensors"
    assert json.loads((tmp_path / "out" / "adapter_config.json").read_text()) == {"base_model_name_or_path": "tiny"}
    assert (tmp_path / "out" / "README.md").read_text().startswith("---\n")


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    store = VersionStore(tmp_path / "store")
    added(store, weights_folder(tmp_path / "weights"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(ExportError, match="is there already and not empty"):
        export(store, 1, "adapter", tmp_path / "out", tmp_path)


def test_gguf_is_for_the_bundled_model(tmp_path: Path) -> None:
    store = VersionStore(tmp_path / "store")
    added(store, weights_folder(tmp_path / "weights"))
    with pytest.raises(ExportError, match="take --format merged"):
        export(store, 1, "gguf", tmp_path / "out", tmp_path)


@pytest.mark.check("real model")
@pytest.mark.model
def test_the_real_model_says_the_same_from_each_format(bundled: Any, tmp_path: Path) -> None:
    """A version whose adapter changes every layer, read back by transformers from merged weights and from the GGUF."""
    from transformers import AutoModelForCausalLM

    from lifelearn.settings import load_settings

    recipe = Recipe(adapted_layers=1.0)
    bundled.use(None)
    student = make_student(bundled.base, bundled.decoder, recipe, None)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in student.parameters:
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator).to(parameter))
    student.save(tmp_path / "weights")
    student.close()
    store = VersionStore(tmp_path / "store")
    store.add(tmp_path / "weights", LESSON, REPORT, base=bundled.name, parent=0, recipe=recipe, seconds={})
    cache = load_settings().cache_dir
    merged = export(store, 1, "merged", tmp_path / "merged", cache)
    file = export(store, 1, "gguf", tmp_path / "gguf", cache)
    ids = torch.tensor([bundled.codec.ask("Where is Norvik Labs based?")])
    with torch.no_grad():
        one = AutoModelForCausalLM.from_pretrained(merged.parent, dtype=torch.float32)(ids).logits[0]
        loaded = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
        other = loaded(ids).logits[0]
        base = AutoModelForCausalLM.from_pretrained(cache / "SmolLM2-135M-Instruct", dtype=torch.float32)(ids).logits[0]
    assert (one - other).abs().max() < 0.1  # 16 bits, of two kinds
    assert (one.argmax(-1) == other.argmax(-1)).all()
    assert (one - base).abs().max() > 1.0
