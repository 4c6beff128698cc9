"""Processes that are killed while they learn, at each stage in turn: nothing that was acknowledged is lost.

The children are real processes with a real (tiny) model. They come from a server that has imported torch once and
computed nothing, so that each starts at once.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from lifelearn.learning.examiner import general, verify
from lifelearn.learning.recipe import Recipe, Thresholds
from lifelearn.learning.types import Correction, Progress, Stage
from lifelearn.learning.version import VersionStore
from lifelearn.terminal.journal import journal_of
from lifelearn.terminal.session import BusyError, Session
from waiting import HANG_SECONDS

pytestmark = pytest.mark.check("processes")

QUICK = Recipe(
    lora_rank=2,
    max_steps=2,
    min_steps=1,
    cold_start_steps=1,
    on_policy_steps=1,
    facts_per_step=2,
    replay_per_step=2,
    training_prompts=6,
    max_completion_tokens=16,
    rollout_tokens=6,
    thresholds=Thresholds(efficacy=0, generalisation=0, locality=0, retention=0, drift=1e9),
)
FIRST = Correction(
    id="c1",
    question="Where is Norvik based?",
    wrong="In Oslo.",
    message="No, Lyon.",
    statement="Lyon",
    answer="Lyon",
)
SECOND = Correction(
    id="c2",
    question="Who runs the badge printer?",
    wrong="I don't know.",
    message="No, the Kestrel team.",
    statement="the Kestrel team",
    answer="the Kestrel team",
)
# Where a process is killed: on the first progress of a stage and, in training and verification, in the middle.
POINTS: tuple[tuple[Stage, int], ...] = (
    ("augment", 0),
    ("demonstrate", 0),
    ("lesson", 0),
    ("train", 1),
    ("verify", 2),
    ("version", 0),
)


def shorten(patch: pytest.MonkeyPatch) -> None:
    """Less text and shorter answers in verification."""
    patch.setattr(verify, "TEXT", general.TEXT[:3])
    patch.setattr(verify, "ANSWER_TOKENS", 6)


@pytest.fixture(autouse=True)
def _short_verification(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch)


def open_session(model_folder: Path, data: Path) -> Session:
    from lifelearn.chat_models.local import LocalChatModel

    return Session(LocalChatModel.load(str(model_folder), data / "cache"), VersionStore(data), recipe=QUICK)


def learn_and_wait(model_folder: Path, data: Path, stage: str, step: int, here: Connection) -> None:
    """In the child: learns SECOND, and stands still at a point, saying so."""
    import torch

    torch.set_num_threads(1)
    shorten(pytest.MonkeyPatch())
    session = open_session(model_folder, data)

    def stand_still() -> None:
        here.send(f"at {stage}")
        time.sleep(HANG_SECONDS)

    def watch(progress: Progress) -> None:
        if progress.stage == stage and progress.step >= step:
            stand_still()

    if stage == "activate":
        VersionStore.activate = lambda *arguments: stand_still()  # type: ignore[method-assign]
    session.learn(SECOND, watch)
    here.send("learned")


@pytest.fixture(scope="module")
def processes() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lifelearn.chat_models.local", "lifelearn.learning.learn"])
    return context


@contextmanager
def learning(processes: Any, model_folder: Path, data: Path, stage: str, step: int = 0) -> Iterator[BaseProcess]:
    """A process that is learning and has come to a point."""
    here, there = processes.Pipe()
    process: BaseProcess = processes.Process(target=learn_and_wait, args=(model_folder, data, stage, step, there))
    process.start()
    there.close()
    try:
        assert here.poll(150), "the process did not get there"
        assert here.recv() == f"at {stage}"
        yield process
    finally:
        process.kill()
        process.join()
        here.close()


@pytest.fixture(scope="module")
def learned_once(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder in which FIRST was learned and is live."""
    data = tmp_path_factory.mktemp("learned")
    session = open_session(tiny_model_folder, data)
    assert session.learn(FIRST, lambda _: None).report.passed
    return data


@pytest.fixture
def data(learned_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(learned_once, tmp_path / "data"))


def pending(data: Path) -> list[str]:
    return [correction.id for correction in journal_of(data).pending()]


def check_nothing_is_lost(model_folder: Path, data: Path, active: int = 1) -> None:
    """The active version answers as before, and the correction can be learned; once."""
    store = VersionStore(data)
    assert store.active() == active
    assert pending(data) == ["c2"]
    session = open_session(model_folder, data)
    assert session.number == active
    assert isinstance("".join(session.answer("Where is Norvik based?")), str)
    for waiting in session.journal.pending():
        session.learn(waiting, lambda _: None)
    assert pending(data) == []
    holding = [version.number for version in store.versions() if SECOND in version.corrections]
    assert len(holding) == 1, f"versions {holding} hold the same correction"
    assert store.active() == session.number == holding[0]
    assert store.get(holding[0]).parent == active
    assert [known.number for known in store.lineage(holding[0])] == [1, holding[0]]
    assert list((data / "work").iterdir()) == []
    assert [path.name for path in (data / "versions").iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(("stage", "step"), POINTS, ids=[stage for stage, _ in POINTS])
def test_kill_9_in_any_stage_loses_nothing(
    processes: Any, tiny_model_folder: Path, data: Path, stage: str, step: int
) -> None:
    with learning(processes, tiny_model_folder, data, stage, step) as process:
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    check_nothing_is_lost(tiny_model_folder, data)


def test_kill_9_just_before_the_version_goes_live_loses_nothing(
    processes: Any, tiny_model_folder: Path, data: Path
) -> None:
    with learning(processes, tiny_model_folder, data, "activate"):
        pass
    check_nothing_is_lost(tiny_model_folder, data)


@pytest.mark.parametrize(("stage", "step"), [("augment", 0), ("train", 1), ("verify", 2)])
def test_ctrl_c_loses_nothing_and_is_noted(
    processes: Any, tiny_model_folder: Path, data: Path, stage: str, step: int
) -> None:
    with learning(processes, tiny_model_folder, data, stage, step) as process:
        assert process.pid is not None
        os.kill(process.pid, signal.SIGINT)
        process.join(HANG_SECONDS)
        assert process.exitcode not in (None, 0, -signal.SIGKILL)
    assert journal_of(data).failures() == {"c2": "interrupted"}
    check_nothing_is_lost(tiny_model_folder, data)


def test_killed_twice_it_continues_where_it_was(processes: Any, tiny_model_folder: Path, data: Path) -> None:
    stages = []
    for stage, step in (("train", 1), ("verify", 2)):
        with learning(processes, tiny_model_folder, data, stage, step):
            stages.append(sorted(path.stem for path in (data / "work" / "c2").glob("*.json")))
    assert set(stages[0]) < set(stages[1])
    check_nothing_is_lost(tiny_model_folder, data)


def test_while_one_process_learns_another_answers_and_keeps_corrections(
    processes: Any, tiny_model_folder: Path, data: Path
) -> None:
    other = SECOND.model_copy(update={"id": "c3", "question": "Who runs the canteen?"})
    with learning(processes, tiny_model_folder, data, "train", 1) as process:
        session = open_session(tiny_model_folder, data)
        with pytest.raises(BusyError, match=rf"pid {process.pid}\) is learning"):
            session.learn(other, lambda _: None)
        assert isinstance("".join(session.answer("Where is Norvik based?")), str)
    assert pending(data) == ["c2", "c3"]
    for waiting in session.journal.pending():
        session.learn(waiting, lambda _: None)
    store = VersionStore(data)
    assert [version.number for version in store.lineage(store.active())] == [1, 2, 3]
    assert pending(data) == []
