from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from terminal_fakes import (
    CORRECTION,
    QUESTION,
    WRONG,
    FakeLearn,
    FakeModel,
    FakeStore,
    correction,
    correction_from,
    detect,
    session,
    version,
)

from lifelearn.chat_models.scripted import ScriptedChatModel
from lifelearn.learning.author import detect as detection
from lifelearn.learning.chat_model import ChatModelError
from lifelearn.learning.types import ModelVersion, no_progress
from lifelearn.learning.version import VersionError
from lifelearn.terminal.session import BusyError, Session, SessionError


@pytest.fixture(autouse=True)
def _detection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection, "detect", detect)
    monkeypatch.setattr(detection, "correction_from", correction_from)


def said(session: Session, text: str) -> str:
    return "".join(session.answer(text))


def pending(session: Session) -> list[str]:
    return [waiting.statement for waiting in session.journal.pending()]


def noticed_and_learned(session: Session, text: str) -> ModelVersion:
    correction = session.noticed(text)
    assert correction is not None
    return session.learn(correction, no_progress)


def test_a_correction_is_learned_goes_live_and_the_next_builds_on_it(tmp_path: Path) -> None:
    chat = session(tmp_path)
    assert chat.noticed("No, nothing was said yet") is None
    assert said(chat, QUESTION) == WRONG
    first = noticed_and_learned(chat, CORRECTION)
    chat.reset()
    assert (first.number, chat.number, chat.store.active()) == (1, 1, 1)
    assert said(chat, QUESTION) == "we get 25 days of leave."
    second = noticed_and_learned(chat, "No, we get 30 days of leave.")
    assert (second.number, second.parent) == (2, 1)
    assert pending(chat) == []
    assert list((tmp_path / "work").iterdir()) == []
    assert session(tmp_path).ask(QUESTION) == "we get 30 days of leave."


def test_the_correction_is_on_disk_before_learning_starts(tmp_path: Path) -> None:
    learn = FakeLearn()
    chat = session(tmp_path, learn=learn)
    seen: list[list[str]] = []
    chat.learn(correction(), lambda _: seen.append(pending(chat)))
    assert seen[0] == ["we get 25 days of leave."]


def test_a_version_that_did_not_pass_stays_a_candidate(tmp_path: Path) -> None:
    chat = session(tmp_path, learn=FakeLearn(passes=False))
    candidate = chat.learn(correction(), no_progress)
    assert not candidate.report.passed
    assert (chat.store.active(), chat.number, pending(chat)) == (0, 0, [])
    assert chat.journal.entries()[-1].reason == "did not pass: generalisation"
    assert chat.ask(QUESTION) == WRONG


@pytest.mark.parametrize(
    "fault", [KeyboardInterrupt(), ChatModelError("401"), OSError(errno.ENOSPC, "No space left"), RuntimeError("bug")]
)
def test_whatever_breaks_off_learning_leaves_the_active_version_and_the_correction(
    tmp_path: Path, fault: BaseException
) -> None:
    model, learn = FakeModel(), FakeLearn()
    chat = session(tmp_path, model, learn)
    chat.learn(correction(), no_progress)
    learn.fault = fault
    with pytest.raises(type(fault)):
        chat.learn(correction("we get 30 days of leave.", "c2"), no_progress)
    assert (chat.store.active(), chat.number, pending(chat)) == (1, 1, ["we get 30 days of leave."])
    assert chat.ask(QUESTION) == "we get 25 days of leave."
    learn.fault = None
    assert chat.learn(chat.journal.pending()[0], no_progress).number == 2
    assert learn.works[-1] == learn.works[-2], "an interrupted job continues in its own folder"


def test_a_crash_between_activation_and_journal_does_not_teach_twice(tmp_path: Path) -> None:
    chat = session(tmp_path)
    chat.journal.acknowledge(correction())
    chat.store.activate(FakeStore(tmp_path).put(version(1, 0)).number)
    assert chat.learn(correction(), no_progress).number == 1
    assert (chat.number, len(chat.store.versions()), pending(chat)) == (1, 1, [])


def test_a_rollback_while_learning_is_not_undone_by_it(tmp_path: Path) -> None:
    chat = session(tmp_path)
    chat.learn(correction(), no_progress)
    with pytest.raises(SessionError, match="version 2 stays a candidate"):
        chat.learn(correction("30", "c2"), lambda _: chat.store.activate(0))
    assert (chat.store.active(), chat.number, pending(chat)) == (0, 0, ["30"])


def test_a_full_disk_stops_before_learning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learn = FakeLearn()
    chat = session(tmp_path, learn=learn)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Exception, match="disk is full"):
        chat.learn(correction(), no_progress)
    assert learn.works == []


HOLDER = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from terminal_fakes import FakeLearn, correction, session
slow = session(Path(sys.argv[1]), learn=FakeLearn(seconds=30))
slow.learn(correction("other", "c0"), lambda _: print("on", flush=True))
"""


def test_two_processes_on_one_folder_and_kill_9(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path), str(Path(__file__).parent)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "on\n"
    chat = session(tmp_path)
    with pytest.raises(BusyError, match=rf"pid {holder.pid}\) is learning .* lifelearn learn --pending"):
        chat.learn(correction(), no_progress)
    assert said(chat, QUESTION) == WRONG
    holder.kill()
    holder.wait()
    holder.stdout.close()
    assert pending(chat) == ["other", "we get 25 days of leave."]
    for waiting in chat.journal.pending():
        chat.learn(waiting, no_progress)
    assert (chat.number, pending(chat)) == (2, [])


def test_a_version_activated_by_another_process_answers_next(tmp_path: Path) -> None:
    chat = session(tmp_path)
    FakeStore(tmp_path).put(version(1, 0))
    FakeStore(tmp_path).activate(1)
    assert said(chat, QUESTION) == "we get 25 days of leave."
    assert chat.number == 1


def test_versions_of_another_base_model_are_refused(tmp_path: Path) -> None:
    store = FakeStore(tmp_path)
    store.put(version(1, 0, base="other/model"))
    with pytest.raises(VersionError, match="made from other/model, but the configured model is fake-1"):
        session(tmp_path).rollback(1)
    assert store.active() == 0
    store.activate(1)
    with pytest.raises(VersionError, match="LL_BASE_MODEL_NAME=other/model"):
        session(tmp_path)


def test_rollback_and_compare(tmp_path: Path) -> None:
    chat = session(tmp_path)
    chat.learn(correction(), no_progress)
    assert chat.compare(QUESTION, 0, 1) == (WRONG, "we get 25 days of leave.")
    assert chat.ask(QUESTION) == "we get 25 days of leave."
    chat.rollback(0)
    assert chat.ask(QUESTION) == WRONG
    with pytest.raises(VersionError, match="no version 9"):
        chat.rollback(9)
    assert chat.number == 0


def test_a_model_without_weights_here_cannot_be_taught(tmp_path: Path) -> None:
    chat = session(tmp_path, ScriptedChatModel(name="gpt"))
    assert "not a real one" in said(chat, "hello")
    with pytest.raises(SessionError, match="gpt cannot be taught"):
        chat.learn(correction(), no_progress)
    assert pending(chat) == []


def test_an_interrupted_answer_keeps_what_was_said_and_a_failed_one_nothing(tmp_path: Path) -> None:
    chat = session(tmp_path)
    pieces = chat.answer(QUESTION)
    next(pieces)
    pieces.close()
    assert [message.content for message in chat.context] == [QUESTION, "You "]
    broken = session(tmp_path, ScriptedChatModel({}, name="broken"))
    with pytest.raises(ChatModelError):
        said(broken, "hello")
    assert broken.context == []


def test_a_message_too_long_is_not_kept(tmp_path: Path) -> None:
    chat = session(tmp_path, FakeModel(limit=120))
    with pytest.raises(ChatModelError, match="Shorten it"):
        said(chat, "y" * 121)
    assert chat.context == []


def test_what_was_said_can_be_saved(tmp_path: Path) -> None:
    chat = session(tmp_path)
    said(chat, "caf\u00e9 \x1b[31m日本")
    chat.reset()
    chat.save(tmp_path / "said.json")
    assert json.loads((tmp_path / "said.json").read_text())[0] == {"role": "user", "content": "café 日本"}


def test_following_another_process_loads_nothing_where_nothing_moved(tmp_path: Path) -> None:
    model = FakeModel()
    chat = session(tmp_path, model)
    loaded = list(model.used)
    for text in (QUESTION, "hello"):
        said(chat, text)
    assert model.used == loaded
