"""What the trainer takes from a worker's records: only stages whose files are still there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lifelearn.learning.types import Training
from lifelearn.workspace.jobs.orders import Order, Run, Said
from lifelearn.workspace.jobs.trainer import _Steps, _told


@pytest.mark.parametrize("name", ["train", "train-2"])
@pytest.mark.parametrize("other", ["weights", "weights-2"])
def test_a_round_counts_as_run_only_if_its_own_weights_are_there(tmp_path: Path, name: str, other: str) -> None:
    folder = tmp_path / "stages" / other
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").touch()
    recorded, again = (
        Training(steps=steps, losses=(), watch_passed=0, watch_total=0, completion_tokens=0) for steps in (7, 8)
    )
    said: list[Said] = []
    order = Order(corrections=(), number=1, parent=0, lineage={}, work=tmp_path)
    steps = _Steps(order, said.append, lambda: Run(known=recorded.model_dump_json()).model_dump_json())
    is_left = name.replace("train", "weights") == other
    assert steps(name, Training, lambda: again) == (recorded if is_left else again)
    assert said == [Said(stage=name)]


def test_a_trainer_of_scripted_models_does_without_torch(tmp_path: Path) -> None:
    """It starts in a moment then, also on a busy machine."""
    program = (
        "import sys; from lifelearn.workspace.jobs import scripted, trainer; "
        "from lifelearn.workspace.jobs.orders import Order; from pathlib import Path; "
        f"order = Order(corrections=(), number=1, parent=0, lineage={{}}, work=Path({str(tmp_path)!r})); "
        "trainer._Steps(order, print, input)._is_left('train-2'); "
        "print([name for name in sys.modules if name.partition('.')[0] in ('torch', 'transformers')])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("error", [RecursionError("maximum recursion depth exceeded"), IndexError(), KeyError("x\ny")])
def test_a_text_on_which_a_lesson_breaks_is_told_in_a_sentence(error: Exception) -> None:
    said = _told(error).error
    assert said.startswith("Training broke off by a fault of the program: ")
    assert said.endswith(". The log says more.")
    assert "\n" not in said
