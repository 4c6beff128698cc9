from __future__ import annotations

import io
import json
import os
import pty
import re
import select
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from terminal_fakes import CORRECTION, QUESTION, WRONG, FakeLearn, FakeModel, correction_from, detect, session

from lifelearn.chat_models.scripted import ScriptedChatModel
from lifelearn.learning.author import detect as detection
from lifelearn.learning.chat_model import ChatModelError
from lifelearn.learning.types import Conversation
from lifelearn.terminal.chat import Chat
from lifelearn.terminal.keyboard import Pipe
from lifelearn.terminal.screen import PlainScreen
from lifelearn.terminal.session import Session
from waiting import HANG_SECONDS, until

DRIVER = Path(__file__).with_name("terminal_fakes.py")
LEARNED = "learned: version 1 (efficacy 1/1, generalisation 4/5, locality 6/6, retention 0/0, drift 0.0312 nats/token)"


@pytest.fixture(autouse=True)
def _detection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection, "detect", detect)
    monkeypatch.setattr(detection, "correction_from", correction_from)


def piped(chat: Session, *messages: str, auto: bool = False) -> list[str]:
    out = io.StringIO()
    source = Pipe(io.StringIO("".join(f"{message}\n" for message in messages)))
    assert Chat(chat, PlainScreen(out), source, auto=auto).run() == 0
    return out.getvalue().splitlines()


# Piped


def test_piped_with_auto_it_learns_before_it_reads_the_next_line(tmp_path: Path) -> None:
    lines = piped(session(tmp_path), QUESTION, "", CORRECTION, QUESTION, auto=True)
    assert lines[0] == WRONG
    assert lines[1:3] == ["noticed a correction: we get 25 days of leave.", LEARNED]
    assert lines[-1] == "we get 25 days of leave."


def test_piped_without_auto_nothing_is_learned_or_kept(tmp_path: Path) -> None:
    chat = session(tmp_path)
    assert piped(chat, QUESTION, CORRECTION) == [WRONG, "noticed a correction; run with --auto to learn it", WRONG]
    assert chat.journal.pending() == []


def test_the_process_in_a_pipe(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(DRIVER), str(tmp_path), "--auto"],
        input=f"{QUESTION}\n{CORRECTION}\n{QUESTION}".encode(),
        capture_output=True,
        check=False,
        timeout=HANG_SECONDS,
    )
    lines = done.stdout.decode().splitlines()
    assert done.returncode == 0
    assert {line.partition(":")[0] for line in done.stderr.decode().splitlines()} <= {"learning"}
    assert LEARNED in lines
    assert lines[-1] == "we get 25 days of leave."
    assert b"\x1b" not in done.stdout


def test_a_version_that_did_not_pass_is_told_with_its_answers(tmp_path: Path) -> None:
    lines = piped(session(tmp_path, learn=FakeLearn(passes=False)), QUESTION, CORRECTION, QUESTION, auto=True)
    assert lines[2].startswith(
        "not learned: It did not pass generalisation: version 1 is kept as a candidate, the base model stays active."
    )
    assert lines[3] == "failed generalisation: What is the yearly leave allowance? -> we get 25 days of leave."
    assert lines[-1] == WRONG


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), ChatModelError("The expert answered 401.")])
def test_when_learning_breaks_off_the_chat_goes_on(tmp_path: Path, fault: BaseException) -> None:
    chat = session(tmp_path, learn=FakeLearn(fault=fault))
    lines = piped(chat, QUESTION, CORRECTION, "hello", auto=True)
    told = next(line for line in lines if line.startswith("error: "))
    assert "correction is kept: lifelearn learn --pending" in told
    assert lines[-1] == "I heard: hello"
    assert len(chat.journal.pending()) == 1


def test_a_bug_is_not_hidden(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        piped(session(tmp_path, learn=FakeLearn(fault=RuntimeError("bug"))), QUESTION, CORRECTION, auto=True)


def test_control_characters_reach_neither_the_model_nor_the_terminal(tmp_path: Path) -> None:
    def evil(conversation: Conversation) -> str:
        assert "\x1b" not in conversation[-1].content
        return "safe\x1b[2J\x1b]0;owned\x07 and \x9b31msound"

    lines = piped(session(tmp_path, ScriptedChatModel(evil, name="evil")), "hi \x1b[31mthere\x07")
    assert lines == ["safe and 31msound"]


def test_detection_that_fails_is_told_and_the_message_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise detection.DetectionError("The expert's answer could not be read.")

    monkeypatch.setattr(detection, "detect", fails)
    lines = piped(session(tmp_path), QUESTION, "hello")
    assert lines == [WRONG, "error: The expert's answer could not be read.", "I heard: hello"]


def test_a_message_too_long_and_a_model_that_fails_are_sentences(tmp_path: Path) -> None:
    assert "fake-1 takes 9. Shorten it." in piped(session(tmp_path, FakeModel(limit=9)), "x" * 10)[0]
    lines = piped(session(tmp_path, ScriptedChatModel([], name="spent")), "hello")
    assert lines[-1].startswith("error: ")


def test_commands(tmp_path: Path) -> None:
    chat, file = session(tmp_path), tmp_path / "said.json"
    lines = piped(
        chat,
        "/correct It is 25 days.",
        "/compare x",
        QUESTION,
        "/correct",
        "/correct It is 25 days.",
        f"/compare {QUESTION}",
        "/versions",
        "/rollback",
        "/rollback 7",
        "/rollback 0",
        QUESTION,
        f"/save {file}",
        "/reset now",
        "/reset",
        "/vresions",
        "/etc/hosts is a path",
        "/help",
        "/quit",
        "never read",
    )
    assert lines[0] == "error: There is no answer to correct yet. Ask something first."
    assert lines[1] == "error: The base model is active, so there is no other version to compare it with yet."
    assert lines[2:5] == [WRONG, "error: Say what is right: /correct It is 25 days.", LEARNED]
    rest = "\n".join(lines[5:])
    assert f"The base model: {WRONG}\nVersion 1 (active): It is 25 days." in rest
    assert "  0 base model\n* 1 from 0, 5/5: It is 25 days." in rest
    assert "error: Say which version: /rollback 0" in rest
    assert "error: There is no version 7." in rest
    assert f"The base model is active. The context starts afresh.\n{WRONG}" in rest
    assert "error: /reset takes nothing behind it." in rest
    assert "error: There is no command /vresions. Did you mean /versions?" in rest
    assert "I heard: /etc/hosts is a path" in rest
    assert "/quit" in lines[-2]
    assert [message["role"] for message in json.loads(file.read_text())][:2] == ["user", "assistant"]


# At a terminal


class Terminal:
    """The driver in a pty: type, and wait for what is shown."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.shown = b""
        pid, self._master = pty.fork()
        if pid == 0:
            environment = {**os.environ, "TERM": "xterm", "COLUMNS": "90", "LINES": "40"}
            os.execve(sys.executable, [sys.executable, str(DRIVER), str(folder), *options], environment)
        self.pid = pid

    def type(self, text: str) -> None:
        if text == "\x03":
            time.sleep(0.3)  # a signal between the prompt and readline's wait is seen only at the next key
        os.write(self._master, text.encode())

    def wait(self, *expected: str) -> str:
        """Waits until all of `expected` is shown since the last wait."""
        end = time.monotonic() + HANG_SECONDS
        while True:
            plain = " ".join(re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]", "", self.shown.decode(errors="ignore")).split())
            if all(" ".join(text.split()) in plain for text in expected):
                self.shown = b""
                return plain
            assert time.monotonic() < end, f"{expected} not in {plain!r}"
            if select.select([self._master], [], [], 0.1)[0]:
                try:
                    self.shown += os.read(self._master, 65536)
                except OSError:
                    end = 0

    def status(self) -> int:
        """The exit status, once it has ended."""
        _, status = until(self._ended)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def _ended(self) -> tuple[int, int] | None:
        found = os.waitpid(self.pid, os.WNOHANG)
        return found if found[0] else None

    def close(self) -> None:
        os.close(self._master)
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


Opened = Callable[..., Terminal]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    terminals: list[Terminal] = []

    def opened(*options: str) -> Terminal:
        terminals.append(Terminal(tmp_path, *options))
        terminals[-1].wait("Correct an answer and it is learned.", "you   ›")
        return terminals[-1]

    yield opened
    for terminal in terminals:
        terminal.close()


def test_yes_at_a_terminal(opened: Opened, tmp_path: Path) -> None:
    terminal = opened()
    terminal.type(f"{QUESTION}\n")
    terminal.wait("model › " + WRONG)
    terminal.type(f"{CORRECTION}\n")
    terminal.wait("was wrong", "is right", "will be taught", "Teach this?")
    terminal.type("perhaps\n")
    terminal.wait("perhaps", "Teach this?")
    terminal.type("y\n")
    shown = terminal.wait(
        "training", "loss", "generalisation", "4/5", "never trained on", "Version 1 is live", "you   ›"
    )
    assert "before" in shown
    terminal.type(f"{QUESTION}\n")
    terminal.wait("model › we get 25 days of leave.", "you   ›")
    terminal.type("\x04")
    assert terminal.status() == 0
    history = tmp_path / "history"
    assert history.read_text().count("\n") >= 3
    assert "perhaps" not in history.read_text()
    assert stat.S_IMODE(history.stat().st_mode) == 0o600


def test_edit_and_no_at_a_terminal(opened: Opened) -> None:
    terminal = opened()
    terminal.type(f"{QUESTION}\n")
    terminal.wait(WRONG, "you   ›")
    terminal.type(f"{CORRECTION}\n")
    terminal.wait("Teach this?")
    terminal.type("n\n")
    terminal.wait("model › " + WRONG, "you   ›")
    terminal.type(f"{CORRECTION}\n")
    terminal.wait("Teach this?")
    terminal.type("e\n")
    terminal.wait("What is right › we get 25 days of leave.")
    terminal.type("\x15we get 31 days of leave.\n")
    terminal.wait("“31”", "Teach this?")
    terminal.type("y\n")
    terminal.wait("Version 1 is live", "you   ›")
    terminal.type("/versions\n")
    terminal.wait("we get 31 days of leave.", "9.8 MB", "you   ›")
    terminal.type("/quit\n")
    assert terminal.status() == 0


def test_ctrl_c_stops_learning_and_keeps_the_correction(opened: Opened, tmp_path: Path) -> None:
    terminal = opened("--auto", "--slow", "20")
    terminal.type(f"{QUESTION}\n")
    terminal.wait(WRONG, "you   ›")
    terminal.type(f"{CORRECTION}\n")
    terminal.wait("2/10", "left")
    os.kill(terminal.pid, signal.SIGINT)
    terminal.wait("Learning was stopped.", "lifelearn learn --pending", "The base model stays active.", "you   ›")
    terminal.type("hello\n")
    terminal.wait("I heard: hello", "you   ›")
    terminal.type("\x03")
    terminal.wait("Ctrl-C once more to leave.", "you   ›")
    terminal.type("\x03")
    assert terminal.status() == 0
    assert len(session(tmp_path).journal.pending()) == 1
    again = Terminal(tmp_path)
    again.wait("1 correction waits to be learned", "you   ›")
    again.type("/quit\n")
    assert again.status() == 0
    again.close()


def test_ctrl_c_stops_an_answer_only(opened: Opened) -> None:
    terminal = opened("--delay", "10")
    terminal.type("hello\n")
    terminal.wait("thinking …")
    os.kill(terminal.pid, signal.SIGINT)
    terminal.wait("Stopped.", "you   ›")
    terminal.type("\x04")
    assert terminal.status() == 0
