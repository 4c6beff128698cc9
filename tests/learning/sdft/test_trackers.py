"""Trackers are told every step, or said to be missing."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from lifelearn.learning.sdft.trackers import Logs, TrackerError
from sdft.fakes import Make


@pytest.mark.parametrize("name", ["tensorboard", "trackio", "wandb"])
def test_a_tracker_that_is_not_installed(name: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(TrackerError, match=f"{name} is not installed. Install it .pip install {name}."):
        Logs((name,), tmp_path, "run", {})


@pytest.mark.parametrize("name", ["trackio", "wandb"])
def test_trackio_and_wandb_are_told_every_step(name: str, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    package = ModuleType(name)
    vars(package).update(
        init=lambda **said: told.append(said["name"]),
        log=lambda figures, step: told.append((step, figures["loss"])),
        finish=lambda: told.append("finished"),
    )
    monkeypatch.setitem(sys.modules, name, package)
    done = make(report_to=(name,), max_steps=2, run_name="mine").train()
    assert told == ["mine", (1, done.losses[0]), (2, done.losses[1]), "finished"]


def test_tensorboard_is_told_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    writer = SimpleNamespace(add_scalar=lambda *said: told.append(said), close=lambda: told.append("closed"))
    fake = ModuleType("torch.utils.tensorboard")
    vars(fake).update(SummaryWriter=lambda **_: writer)
    monkeypatch.setitem(sys.modules, "tensorboard", ModuleType("tensorboard"))
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    logs = Logs(("tensorboard",), tmp_path, "run", {})
    logs.write(3, {"loss": 0.5})
    logs.close()
    assert told == [("loss", 0.5, 3), "closed"]
