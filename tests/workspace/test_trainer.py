"""What the trainer takes from a worker's records: only stages whose files are still there."""

from __future__ import annotations

from pathlib import Path

import pytest

from lifelearn.learning.types import Training
from lifelearn.workspace.jobs.orders import Order, Run, Said
from lifelearn.workspace.jobs.trainer import _Steps


@pytest.mark.parametrize("name", ["train", "train-2"])
@pytest.mark.parametrize("other", ["weights", "weights-2"])
def test_a_round_counts_as_run_only_if_its_own_weights_are_there(tmp_path: Path, name: str, other: str) -> None:
    folder = tmp_path / "stages" / other
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").touch()
    recorded, again = Training(steps=7), Training(steps=8)
    said: list[Said] = []
    order = Order(corrections=(), number=1, parent=0, lineage={}, work=tmp_path)
    steps = _Steps(order, said.append, lambda: Run(known=recorded.model_dump_json()).model_dump_json())
    is_left = name.replace("train", "weights") == other
    assert steps(name, Training, lambda: again) == (recorded if is_left else again)
    assert said == [Said(stage=name)]
