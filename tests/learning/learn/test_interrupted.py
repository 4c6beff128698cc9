"""A job that is interrupted, at whatever point, goes on at the first step that is missing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch

from learn.fakes import QUICK, STEPS, Watched, correction, logits, run, usable
from lifelearn.learning.recipe import Thresholds
from lifelearn.learning.types import (
    ModelVersion,
)
from lifelearn.learning.version import VersionStore


@pytest.mark.parametrize("broken", STEPS)
def test_an_interrupted_job_continues_at_the_first_step_that_is_missing(
    tiny: Any, store: VersionStore, broken: str
) -> None:
    base = logits(tiny)
    with pytest.raises(KeyboardInterrupt):
        run(tiny, store, step=Watched(store, broken))
    assert torch.equal(logits(tiny), base), "the model answers as before at once"
    assert store.versions() == []
    steps = Watched(store)
    assert run(tiny, store, step=steps).number == 1
    assert steps.ran == list(STEPS[STEPS.index(broken) :])


def test_a_job_interrupted_between_the_versions_folder_and_its_note_does_not_add_it_twice(
    tiny: Any, store: VersionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = VersionStore.add

    def killed(self: VersionStore, *arguments: Any, **named: Any) -> ModelVersion:
        add(self, *arguments, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(VersionStore, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            run(tiny, store)
    assert run(tiny, store).number == 1
    assert [version.number for version in store.versions()] == [1]


def test_a_rejected_version_whose_caller_died_before_noting_it_is_not_lost(tiny: Any, store: VersionStore) -> None:
    """As in the workspace, where the notes are the worker's and outlive the folder of the stages."""
    strict = QUICK.model_copy(update={"thresholds": Thresholds(efficacy=1)})
    noted: dict[str, Any] = {}

    def step(name: str, kind: Any, stage: Callable[[], Any]) -> Any:
        if name not in noted:
            result = stage()
            if name == "version":
                return result  # the caller dies here
            noted[name] = result
        return noted[name]

    first = run(tiny, store, recipe=strict, step=step)
    assert not first.report.passed
    assert run(tiny, store, recipe=strict, step=step) == first
    assert len(store.versions()) == 1


def test_a_job_interrupted_after_everything_gives_the_same_version(
    tiny: Any, store: VersionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        first = run(tiny, store)
    steps = Watched(store)
    assert run(tiny, store, step=steps) == first
    assert steps.ran == []
    assert len(store.versions()) == 1


def test_weights_cut_off_while_they_were_written_are_trained_again(tiny: Any, store: VersionStore) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tiny, store, step=Watched(store, "train", after=True))
    for file in (store.root / "work" / "c1" / "weights").iterdir():
        file.write_bytes(file.read_bytes()[:10])
    assert run(tiny, store).number == 1
    assert usable(tiny, store)
    tiny.use(store.weights(1))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"prompts": []}'])
def test_a_steps_result_that_cannot_be_read_is_made_again(tiny: Any, store: VersionStore, text: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tiny, store, step=Watched(store, "lesson-c1"))
    (store.root / "work" / "c1" / "augment-c1.json").write_text(text)
    steps = Watched(store)
    run(tiny, store, step=steps)
    assert steps.ran == ["augment-c1", *STEPS[2:]]


def test_a_work_folder_of_another_parent_or_other_settings_is_not_reused(tiny: Any, grown: VersionStore) -> None:
    first, *_ = names = [name.replace("c1", "c2") for name in STEPS]
    for parent in (0, 1):
        grown.activate(parent)
        steps = Watched(grown, "lesson-c2", of="c2")
        with pytest.raises(KeyboardInterrupt):
            run(tiny, grown, correction(2), step=steps)
        assert steps.ran[0] == first, "begun from the start"
    steps = Watched(grown, of="c2")
    version = run(tiny, grown, correction(2), recipe=QUICK.model_copy(update={"seed": 5}), step=steps)
    assert steps.ran == names
    assert version.parent == 1
