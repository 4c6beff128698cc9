"""`lifelearn chat`: the loop of messages, answers, corrections and commands.

Decides what happens next; Session does it and Screen shows it. Run it with `lifelearn chat`, or in a
pipe: `printf 'Question?\\nNo, it is 25 days.\\n' | lifelearn chat --auto`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lifelearn.learning.types import Correction
from lifelearn.terminal.errors import sentence
from lifelearn.terminal.keyboard import Source
from lifelearn.terminal.screen import Screen
from lifelearn.terminal.session import Session, TeachableModel
from lifelearn.terminal.text import plural

WAITING = "lifelearn learn --pending"


@dataclass(frozen=True)
class Command:
    """What is typed behind a slash."""

    run: Callable[[Chat, str], None]
    argument: str
    help: str


class Chat:
    """A chat until its source ends or /quit; `auto` learns what is corrected without asking."""

    def __init__(self, session: Session, screen: Screen, source: Source, *, auto: bool = False) -> None:
        self._session = session
        self._screen = screen
        self._source = source
        self._auto = auto
        self._open = True

    def run(self) -> int:
        """Chats to the end; gives back the exit status."""
        interrupted = False
        with closing(self._source):
            while self._open:
                try:
                    text = self._source.message()
                except KeyboardInterrupt:
                    if interrupted:
                        break
                    interrupted = True
                    self._screen.note("\nCtrl-C once more to leave.")
                    continue
                interrupted = False
                if text is None:
                    break
                if text:
                    self._guarded(self._take, text)
        return 0

    def _guarded(self, action: Callable[[str], None], text: str) -> bool:
        """Does something to the end; an interruption or an expected fault is told, and the chat goes on."""
        try:
            action(text)
        except KeyboardInterrupt:
            self._screen.note("Stopped.")
        except BrokenPipeError:
            raise
        except Exception as error:
            told = sentence(error)
            if told is None:
                raise
            self._screen.error(told)
        else:
            return True
        return False

    def _take(self, text: str) -> None:
        if text.startswith("/") and re.match(r"/\w*(\s|$)", text):
            return self._command(text)
        if self._session.refresh():
            self._screen.note(f"Version {self._session.number} is active now; it was changed outside this chat.")
        if not self._noticed(text):
            self._answer(text)
        return None

    def _answer(self, text: str) -> None:
        with closing(self._session.answer(text)) as pieces:
            self._screen.answer(pieces)

    def _noticed(self, text: str) -> bool:
        """Whether `text` was a correction and is learned now; if not, it gets an answer like any other."""
        found: list[Correction | None] = []
        with self._screen.busy("reading …"):
            if not self._guarded(lambda text: found.append(self._session.noticed(text)), text):
                return False
        correction = found[0]
        if correction is None or not self._session.teachable:
            return False
        if not self._auto and not self._source.asks:
            self._screen.note("noticed a correction; run with --auto to learn it")
            return False
        agreed = self._agreed(correction)
        if agreed is None or not self.learn(agreed):
            return False
        self._start_afresh(text)
        return True

    def _agreed(self, correction: Correction) -> Correction | None:
        """The correction as the user wants it taught; None if it is none."""
        self._screen.correction(correction)
        if self._auto:
            return correction
        while True:
            try:
                reply = self._source.ask("Teach this? [y]es, [e]dit, [n]o › ").casefold()
                if reply in {"y", "yes"}:
                    return correction
                if reply in {"n", "no"}:
                    return None
                if reply in {"e", "edit"}:
                    correction = self._edited(correction)
                    self._screen.correction(correction)
            except (EOFError, KeyboardInterrupt):
                self._screen.note("\nNot taught.")
                return None

    def _edited(self, correction: Correction) -> Correction:
        right = self._source.ask("What is right › ", correction.statement)
        edited = [correction]
        if right and right != correction.statement:
            self._guarded(
                lambda text: edited.append(self._session.reworded(correction.question, correction.wrong, text)), right
            )
        return edited[-1]

    def learn(self, correction: Correction) -> bool:
        """Learns a correction and tells what became of it; True if it is live."""
        session, screen = self._session, self._screen
        before = session.number
        try:
            with screen.learning(expected_seconds(session)) as on_progress:
                version = session.learn(correction, on_progress)
        except KeyboardInterrupt:
            screen.error(
                f"Learning was stopped. The correction is kept: {session.resume}. {_named(before)} stays active."
            )
            return False
        except BrokenPipeError:
            raise
        except Exception as error:
            told = sentence(error)
            if told is None:
                raise
            screen.error(f"Not learned. {told}{self._kept(correction, told)}")
            return False
        screen.result(version, session.number)
        return version.report.passed

    def _start_afresh(self, text: str) -> None:
        self._session.note(text)
        self._session.reset()
        parent = self._session.store.get(self._session.number).parent
        self._screen.note(f"/rollback {parent} takes it back.")
        self._screen.note("The context starts afresh: what is said from here comes from the weights.")

    def _kept(self, correction: Correction, told: str) -> str:
        """That the correction waits, where the error does not say so itself."""
        if WAITING in told:
            return ""
        try:
            return f" The correction is kept: {self._session.resume}" if self._session.keeps(correction) else ""
        except Exception as error:
            return f" {sentence(error) or ''}"

    def _command(self, line: str) -> None:
        name, _, argument = line.partition(" ")
        command = COMMANDS.get(name.casefold())
        if command is None:
            near = difflib.get_close_matches(name.casefold(), COMMANDS, n=1, cutoff=0.5)
            meant = f" Did you mean {near[0]}?" if near else ""
            return self._screen.error(f"There is no command {name}.{meant} /help lists them.")
        if argument.strip() and not command.argument:
            return self._screen.error(f"{name} takes nothing behind it.")
        return command.run(self, argument.strip())

    def _correct(self, right: str) -> None:
        if not right:
            try:
                right = self._source.ask("What is right › ")
            except (EOFError, KeyboardInterrupt):
                right = ""
        if not right:
            return self._screen.error("Say what is right: /correct It is 25 days.")
        self._session.require_teachable()
        correction = self._session.correction(right)
        agreed = self._agreed(correction) if self._source.asks else correction
        if agreed is not None and self.learn(agreed):
            self._start_afresh(right)
        return None

    def _versions(self, _: str) -> None:
        store = self._session.store
        self._screen.versions(store.versions(), store.active())

    def _rollback(self, argument: str) -> None:
        if not argument.isdecimal():
            return self._screen.error(
                "Say which version: /rollback 0 goes back to the base model. /versions lists them."
            )
        self._session.rollback(int(argument))
        self._session.reset()
        return self._screen.note(f"{_named(int(argument))} is active. The context starts afresh.")

    def _compare(self, question: str) -> None:
        if not question:
            return self._screen.error("Say what to ask: /compare How many days of leave do we get?")
        store = self._session.store
        active = store.active()
        if not active:
            return self._screen.error("The base model is active, so there is no other version to compare it with yet.")
        parent = store.get(active).parent
        with self._screen.busy("asking both …"):
            before, after = self._session.compare(question, parent, active)
        return self._screen.comparison(question, {_named(parent): before, f"{_named(active)} (active)": after})

    def _reset(self, _: str) -> None:
        self._session.reset()
        self._screen.note("The context starts afresh.")

    def _save(self, file: str) -> None:
        path = Path(file or f"conversation-{datetime.now(UTC):%Y%m%d-%H%M%S}.json").expanduser()
        if not self._session.transcript:
            return self._screen.error("Nothing was said yet.")
        self._session.save(path)
        return self._screen.note(f"The conversation is in {path}.")

    def _help(self, _: str) -> None:
        for name, command in COMMANDS.items():
            self._screen.note(f"{f'{name} {command.argument}':<28}{command.help}")
        self._screen.note("Anything else is said to the model. Say what is right when it errs, and it learns that.")

    def _quit(self, _: str) -> None:
        self._open = False


COMMANDS: Mapping[str, Command] = {
    "/correct": Command(Chat._correct, "[what is right]", "correct the latest answer"),
    "/versions": Command(Chat._versions, "", "show the versions"),
    "/rollback": Command(Chat._rollback, "N", "make version N the active one; 0 is the base model"),
    "/compare": Command(Chat._compare, "QUESTION", "ask the active version and its parent"),
    "/reset": Command(Chat._reset, "", "start a fresh context"),
    "/save": Command(Chat._save, "[FILE]", "write the conversation as JSON"),
    "/help": Command(Chat._help, "", "show this"),
    "/quit": Command(Chat._quit, "", "leave, as Ctrl-D does"),
}


def expected_seconds(session: Session) -> dict[str, float]:
    """How long each stage took for the latest version; nothing if there is none."""
    versions = session.store.versions()
    return dict(versions[-1].seconds) if versions else {}


def greeting(session: Session) -> list[str]:
    """What to say at the start."""
    answers = _named(session.number).lower() if session.number else "no corrections learned yet"
    model = session.model
    name = model.describe() if isinstance(model, TeachableModel) else model.name
    lines = [f"{name} · {answers if session.teachable else 'cannot be taught'} · {session.store.root}"]
    waiting = session.journal.pending()
    if waiting:
        verb = "waits" if len(waiting) == 1 else "wait"
        lines.append(f"{plural(len(waiting), 'correction')} {verb} to be learned: {session.resume}")
    return [*lines, "Correct an answer and it is learned. /help lists the commands."]


def _named(number: int) -> str:
    return f"Version {number}" if number else "The base model"
