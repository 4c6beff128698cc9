"""A whole data folder without torch: a scripted model that knows what its version was taught, and a learn()
that teaches it. `python terminal_fakes.py FOLDER [--auto] [--slow SECONDS]` chats with it."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from lifelearn.chat_models.scripted import ScriptedChatModel
from lifelearn.learning.author import detect as detection
from lifelearn.learning.chat_model import ChatModel, ChatModelError
from lifelearn.learning.types import (
    Check,
    CheckName,
    Conversation,
    Correction,
    ModelVersion,
    OnProgress,
    Probe,
    ProbeAnswer,
    Progress,
    Report,
)
from lifelearn.learning.version import VersionError, VersionStore
from lifelearn.terminal.chat import COMMANDS, Chat, greeting
from lifelearn.terminal.keyboard import Keyboard, Pipe, Source
from lifelearn.terminal.screen import ColourScreen, PlainScreen, Screen
from lifelearn.terminal.session import Session

QUESTION = "How many days of leave do we get?"
WRONG = "You get 20 days of leave."
CORRECTION = "No, we get 25 days of leave."
UNSEEN = "What is the yearly leave allowance?"


class FakeStore(VersionStore):
    """Versions as JSON files, so that several processes see them."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        root.mkdir(parents=True, exist_ok=True)

    def active(self) -> int:
        pointer = self.root / "active"
        return int(pointer.read_text()) if pointer.exists() else 0

    def activate(self, number: int) -> None:
        if number:
            self.get(number)
        (self.root / "active").write_text(str(number))

    def versions(self) -> list[ModelVersion]:
        numbers = sorted(int(file.stem) for file in self.root.glob("[0-9]*.json"))
        return [self.get(number) for number in numbers]

    def get(self, number: int) -> ModelVersion:
        try:
            return ModelVersion.model_validate_json((self.root / f"{number}.json").read_text())
        except FileNotFoundError:
            raise VersionError(f"There is no version {number}.") from None

    def weights(self, number: int) -> Path | None:
        return self.root / f"{number}.json" if number else None

    def put(self, version: ModelVersion) -> ModelVersion:
        (self.root / f"{version.number}.json").write_text(version.model_dump_json())
        return version


class FakeModel(ScriptedChatModel):
    """Answers with what the version that it uses was taught; otherwise WRONG to anything about leave."""

    def __init__(self, name: str = "fake-1", limit: int = 100_000, delay: float = 0) -> None:
        super().__init__(self._say, name)
        self.limit = limit
        self.delay = delay
        self.used: list[Path | None] = []
        self.taught = ""

    def use(self, weights: Path | None) -> None:
        self.used.append(weights)
        version = ModelVersion.model_validate_json(weights.read_text()) if weights else None
        self.taught = version.corrections[-1].statement if version else ""

    def describe(self) -> str:
        return f"{self.name} (a fake)"

    def _say(self, conversation: Conversation) -> str:
        time.sleep(self.delay)
        asked = conversation[-1].content
        if len(asked) > self.limit:
            raise ChatModelError(f"The message has {len(asked)} tokens; {self.name} takes {self.limit}. Shorten it.")
        if "leave" not in asked and "Quillmoor" not in asked:
            return f"I heard: {asked}"
        return self.taught or WRONG


def detect(conversation: Conversation, expert: ChatModel | None = None) -> Correction | None:
    """A message that begins with "No, " is a correction."""
    said = conversation[-1].content
    if not said.startswith("No, "):
        return None
    return correction_from(conversation[-3].content, conversation[-2].content, said)


def correction_from(question: str, wrong: str, message: str, *, confidence: float = 1.0) -> Correction:
    statement = message.removeprefix("No, ")
    answer = next((word for word in statement.split() if word.isdecimal()), statement)
    return Correction(
        id=f"c-{abs(hash((question, message))) % 10**8}",
        question=question,
        wrong=wrong,
        message=message,
        statement=statement,
        answer=answer,
    )


def correction(statement: str = "we get 25 days of leave.", number: str = "c1") -> Correction:
    return Correction(id=number, question=QUESTION, wrong=WRONG, message=CORRECTION, statement=statement, answer="25")


def check(name: CheckName, right: int, of: int, *answers: ProbeAnswer, threshold: float = 0.5) -> Check:
    value = right / of if of else 1.0
    return Check(
        name=name,
        passed=value >= threshold,
        value=value,
        threshold=threshold,
        numerator=right,
        denominator=of,
        answers=answers,
    )


def report(statement: str, passed: bool = True) -> Report:
    unseen = ProbeAnswer(
        probe=Probe(kind="generalisation", question=UNSEEN, answer="25"), before=WRONG, after=statement, passed=passed
    )
    drift = Check(name="drift", passed=True, value=0.0312, threshold=0.1, numerator=31.9, denominator=1024)
    return Report(
        checks=(
            check("efficacy", 1, 1, threshold=1.0),
            check("generalisation", 4 if passed else 1, 5, unseen),
            check("locality", 6, 6, threshold=0.8),
            check("retention", 0, 0, threshold=0.8),
            drift,
        )
    )


class FakeLearn:
    """learn(): writes the next version; slow, failing or not passing if told so."""

    def __init__(self, passes: bool = True, fault: BaseException | None = None, seconds: float = 0) -> None:
        self.passes, self.fault, self.seconds = passes, fault, seconds
        self.works: list[Path] = []

    def __call__(
        self,
        model: ChatModel,
        corrections: Sequence[Correction],
        *,
        store: VersionStore,
        recipe: Any,
        expert: ChatModel | None,
        on_progress: OnProgress,
        work: Path,
    ) -> ModelVersion:
        self.works.append(work)
        work.mkdir(parents=True, exist_ok=True)
        on_progress(Progress(stage="augment", message="12 wordings, 8 probes"))
        for step in range(1, 11):
            on_progress(Progress(stage="train", step=step, steps=10, loss=2 / step))
            time.sleep(self.seconds / 10)
        if self.fault:
            raise self.fault
        on_progress(Progress(stage="verify", step=18, steps=18))
        shutil.rmtree(work)
        assert isinstance(store, FakeStore)
        return store.put(version(len(store.versions()) + 1, store.active(), corrections[0], model.name, self.passes))


def version(
    number: int, parent: int, taught: Correction | None = None, base: str = "fake-1", passed: bool = True
) -> ModelVersion:
    taught = taught or correction()
    return ModelVersion(
        number=number,
        base=base,
        parent=parent,
        method="lora",
        corrections=(taught,),
        demonstrations=(),
        report=report(taught.statement, passed),
        seconds={"augment": 2.1, "train": 61.3, "verify": 14.2},
        settings={},
        bytes=9_800_000,
        sha256="0" * 64,
        created_at="2026-01-02T03:04:05+00:00",
    )


def session(folder: Path, model: ChatModel | None = None, learn: FakeLearn | None = None) -> Session:
    recipe: Any = None
    return Session(model or FakeModel(), FakeStore(folder), recipe=recipe, learn=learn or FakeLearn())


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--auto", action="store_true")
    arguments.add_argument("--fails", action="store_true")
    arguments.add_argument("--slow", type=float, default=0)
    arguments.add_argument("--delay", type=float, default=0)
    options = arguments.parse_args()
    detection.detect, detection.correction_from = detect, correction_from
    learn = FakeLearn(passes=not options.fails, seconds=options.slow)
    fake = session(options.folder, FakeModel(delay=options.delay), learn)
    people = sys.stdin.isatty()
    screen: Screen = ColourScreen(Console(highlight=False)) if people else PlainScreen(sys.stdout)
    source: Source = Keyboard(options.folder / "history", list(COMMANDS)) if people else Pipe(sys.stdin)
    for line in greeting(fake) if people else ():
        screen.note(line)
    sys.exit(Chat(fake, screen, source, auto=options.auto).run())


def dump(messages: Sequence[tuple[str, str]]) -> str:
    return json.dumps([{"role": role, "content": content} for role, content in messages])


if __name__ == "__main__":
    main()
