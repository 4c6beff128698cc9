"""A student starts as its parent, changes alone, and leaves the base as it was; both methods alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lifelearn.chat_models.local import LocalChatModel
from lifelearn.learning.compute.cpu.decoder import Decoder
from lifelearn.learning.recipe import Recipe
from lifelearn.learning.sdft.student import make_student

IDS = [5, 20, 30, 40]


def logits(network: Any) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = network.logits([IDS], [len(IDS)]).float()
    return result


def nudge(student: Any) -> None:
    for index, parameter in enumerate(student.parameters):
        torch.manual_seed(index)
        parameter.data += 0.05 * torch.randn_like(parameter)


@pytest.fixture(params=["decoder", "hub"])
def model(request: pytest.FixtureRequest, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The tiny model by the hand-written decoder, and by transformers and PEFT alone."""
    if request.param == "decoder":
        assert tiny.decoder is not None
        return tiny
    monkeypatch.setattr(Decoder, "of", classmethod(lambda cls, model: None))
    return LocalChatModel(tiny.base, tiny.codec, "by transformers")


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("teacher", ["frozen", "ema"])
def test_student_parent_and_teacher(model: Any, tmp_path: Path, method: Any, teacher: Any) -> None:
    tiny = model
    base = logits(tiny.network)
    recipe = Recipe(method=method, teacher=teacher, ema_rate=0.5)
    student = make_student(tiny.base, tiny.decoder, recipe, None)
    assert all(parameter.dtype == torch.float32 for parameter in student.parameters)
    with student.student() as network:
        first = logits(network)
        assert torch.allclose(first, base, atol=0.05)
    nudge(student)
    student.update_teacher()
    with student.student() as network:
        changed = logits(network)
    assert not torch.allclose(changed, base, atol=0.05)
    with student.parent() as network:
        assert torch.allclose(logits(network), base, atol=0.05)
    with student.teacher() as network:
        moved = not torch.allclose(logits(network), base, atol=0.02)
    assert moved == (teacher == "ema")
    student.save(tmp_path / "v1")
    student.close()
    assert torch.equal(logits(tiny.network), base)

    tiny.use(tmp_path / "v1")
    assert torch.allclose(logits(tiny.network), changed, atol=0.1)
    tiny.use(None)
    assert torch.equal(logits(tiny.network), base)

    # Another student of the same parent goes on where the first one was saved.
    again = make_student(tiny.base, tiny.decoder, recipe, None)
    again.load(tmp_path / "v1")
    with again.student() as network:
        assert torch.allclose(logits(network), changed, atol=0.1)
    with again.parent() as network:
        assert torch.allclose(logits(network), base, atol=0.05)
    again.close()

    # A second generation starts as the first one and has it as its parent.
    child = make_student(tiny.base, tiny.decoder, recipe, tmp_path / "v1")
    with child.student() as network:
        assert torch.allclose(logits(network), changed, atol=0.1)
    nudge(child)
    with child.parent() as network:
        assert torch.allclose(logits(network), changed, atol=0.1)
    with child.base() as network:
        assert torch.allclose(logits(network), base, atol=0.05)
    child.close()
    assert torch.equal(logits(tiny.network), base)


def test_versions_of_the_two_methods_do_not_mix(tiny: Any, tmp_path: Path) -> None:
    student = make_student(tiny.base, tiny.decoder, Recipe(), None)
    student.save(tmp_path / "v1")
    student.close()
    with pytest.raises(ValueError, match="cannot be trained on top"):
        make_student(tiny.base, tiny.decoder, Recipe(method="full"), tmp_path / "v1")
