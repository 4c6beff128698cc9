"""A student starts as its parent, changes alone, and leaves the base as it was; both methods alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lifelearn.learning.recipe import Recipe
from lifelearn.learning.student import make_student

IDS = torch.tensor([[5, 20, 30, 40]])


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = model(IDS).logits.float()
    return result


def nudge(student: Any) -> None:
    for index, parameter in enumerate(student.parameters):
        torch.manual_seed(index)
        parameter.data += 0.05 * torch.randn_like(parameter)


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("teacher", ["frozen", "ema"])
def test_student_parent_and_teacher(tiny: Any, tmp_path: Path, method: Any, teacher: Any) -> None:
    base = logits(tiny.base)
    recipe = Recipe(method=method, teacher=teacher, ema_rate=0.5)
    student = make_student(tiny.base, recipe, None)
    assert all(parameter.dtype == torch.float32 for parameter in student.parameters)
    with student.student() as model:
        first = logits(model)
        assert torch.allclose(first, base, atol=0.05)
    nudge(student)
    student.update_teacher()
    with student.student() as model:
        changed = logits(model)
    assert not torch.allclose(changed, base, atol=0.05)
    with student.parent() as model:
        assert torch.allclose(logits(model), base, atol=0.05)
    with student.teacher() as model:
        moved = not torch.allclose(logits(model), base, atol=0.02)
    assert moved == (teacher == "ema")
    student.save(tmp_path / "v1")
    student.close()
    assert torch.equal(logits(tiny.base), base)

    tiny.use(tmp_path / "v1")
    assert torch.allclose(logits(tiny.model), changed, atol=0.1)
    tiny.use(None)
    assert torch.equal(logits(tiny.model), base)

    # A second generation starts as the first one and has it as its parent.
    child = make_student(tiny.base, recipe, tmp_path / "v1")
    with child.student() as model:
        assert torch.allclose(logits(model), changed, atol=0.1)
    nudge(child)
    with child.parent() as model:
        assert torch.allclose(logits(model), changed, atol=0.1)
    child.close()
    assert torch.equal(logits(tiny.base), base)


def test_versions_of_the_two_methods_do_not_mix(tiny: Any, tmp_path: Path) -> None:
    student = make_student(tiny.base, Recipe(), None)
    student.save(tmp_path / "v1")
    student.close()
    with pytest.raises(ValueError, match="cannot be trained on top"):
        make_student(tiny.base, Recipe(method="full"), tmp_path / "v1")
