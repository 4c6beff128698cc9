"""A session: one conversation with the active version, and the way a correction takes from there.

Ties together the model, the versions, the journal and `learn()`; the screen is somebody else's. It
knows no settings (opening.py reads them) and no torch. Whatever breaks off, these hold: a correction
is in the journal before anything else happens, the active version changes only after verification,
and the model answers with the active version again afterwards.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

from filelock import FileLock, Timeout

from lifelearn.learning.chat_model import ChatModel, Sampling
from lifelearn.learning.compute.pretrained import is_base
from lifelearn.learning.compute.trainable import TrainableModel
from lifelearn.learning.types import Conversation, Correction, Message, ModelVersion, OnProgress
from lifelearn.learning.version import VersionError, VersionStore
from lifelearn.terminal.errors import sentence
from lifelearn.terminal.journal import JournalError, journal_of
from lifelearn.terminal.text import clean

if TYPE_CHECKING:
    from lifelearn.learning.recipe import Recipe

ANSWER = Sampling(max_tokens=256)
UNKNOWN = -1  # which weights the model has while it is trained


class SessionError(Exception):
    """Something that this session cannot do now. The text says why and what to do."""


class BusyError(SessionError):
    """Another process is learning in the same folder."""


@runtime_checkable
class TeachableModel(ChatModel, Protocol):
    """A chat model whose weights can be switched to a version's."""

    def use(self, weights: Path | None) -> None:
        """Answers with these weights from now on; None is the base."""
        ...

    def describe(self) -> str:
        """The model in one line."""
        ...


class Learn(Protocol):
    """The signature of `lifelearn.learning.learn.learn`."""

    def __call__(
        self,
        model: TrainableModel,
        corrections: Sequence[Correction],
        *,
        store: VersionStore,
        recipe: Recipe,
        expert: ChatModel | None,
        on_progress: OnProgress,
        work: Path,
    ) -> ModelVersion: ...


class Session:
    """One conversation in one data folder.

    context: what the model is shown. transcript: all that was said; they part when the context starts afresh.
    expert_reads: whether the expert detects corrections; otherwise the written rules do.
    """

    def __init__(
        self,
        model: ChatModel,
        store: VersionStore,
        *,
        recipe: Recipe,
        expert: ChatModel | None = None,
        expert_reads: bool = False,
        learn: Learn | None = None,
    ) -> None:
        self.model = model
        self.store = store
        self.journal = journal_of(store.root)
        self.recipe = recipe
        self.expert = expert
        self.expert_reads = expert_reads and expert is not None
        self.context: list[Message] = []
        self.transcript: list[Message] = []
        self._learn_in = learn
        self._loaded = 0
        self.refresh()

    @property
    def teachable(self) -> bool:
        return isinstance(self.model, TeachableModel)

    @property
    def number(self) -> int:
        """The version that answers; 0 is the base model."""
        return self._loaded

    def require_teachable(self) -> None:
        """Raises where the model has no weights that could be changed here."""
        if not self.teachable:
            raise SessionError(
                f"{self.model.name} cannot be taught: only a local model has weights here. "
                "Set LL_INFERENCE_BACKEND=local."
            )

    @property
    def resume(self) -> str:
        """The command that learns what is pending in this folder."""
        return f"lifelearn learn --pending --data {shlex.quote(str(self.store.root))}"

    def refresh(self) -> bool:
        """Follows the active version if another process moved it; whether it did."""
        if not self.teachable:
            return False
        active = self.store.active()
        if active == self._loaded:
            return False
        self._switch(active)
        return True

    def answer(self, text: str) -> Generator[str]:
        """The answer in pieces. What came before an interruption is kept; after a fault the message is not."""
        self.refresh()
        message = Message(role="user", content=clean(text))
        pieces: list[str] = []
        kept = False
        try:
            for piece in self.model.stream((*self.context, message), ANSWER):
                pieces.append(piece)
                yield piece
            kept = True
        except (KeyboardInterrupt, GeneratorExit):
            kept = bool(pieces)
            raise
        finally:
            if kept:
                self._remember(message, Message(role="assistant", content="".join(pieces)))

    def noticed(self, text: str) -> Correction | None:
        """The correction that `text` makes of the latest answer, if it is one."""
        if not any(message.role == "assistant" for message in self.context):
            return None
        return self.noticed_in((*self.context, Message(role="user", content=clean(text))))

    def noticed_in(self, conversation: Conversation) -> Correction | None:
        """The correction that the last message of a conversation makes, if it is one."""
        from lifelearn.learning.author.detect import detect

        return detect(conversation, self.expert if self.expert_reads else None)

    def correction(self, text: str) -> Correction:
        """A correction of the latest answer, given explicitly: `text` says what is right."""
        from lifelearn.learning.author.detect import corrected_turn

        turn = corrected_turn((*self.context, Message(role="user", content=clean(text))))
        if turn is None:
            raise SessionError("There is no answer to correct yet. Ask something first.")
        question, wrong = turn
        return self.reworded(question, wrong, text)

    def reworded(self, question: str, wrong: str, text: str) -> Correction:
        """The correction of `question`'s answer that `text` makes."""
        from lifelearn.learning.author.detect import correction_from

        return correction_from(question, wrong, clean(text))

    def learn(self, correction: Correction, on_progress: OnProgress) -> ModelVersion:
        """Keeps the correction, learns it, and makes its version the active one if that passed verification."""
        self.require_teachable()
        self.journal.acknowledge(correction)
        with self._learning_alone():
            done = self._learned_before(correction)
            if done is None:
                return self._learn(correction, on_progress)
            self.refresh()
            return done

    def rollback(self, number: int) -> None:
        """Makes another version the active one, for every process on this data folder."""
        self.require_teachable()
        self._require_same_base(number)
        self.store.activate(number)
        self._switch(number)

    def compare(self, question: str, a: int, b: int) -> tuple[str, str]:
        """The answers of two versions to a question in a fresh context; the active one answers again afterwards."""
        self.require_teachable()
        return self.ask(question, a), self.ask(question, b)

    def ask(self, question: str, number: int | None = None) -> str:
        """The answer to a question in a fresh context, of the active version or of another."""
        active = self._loaded
        if number is None or number == active:
            return self.ask_all([question])[0]
        self._switch(number)
        try:
            return self.ask_all([question])[0]
        finally:
            self._switch(active)

    def ask_all(self, questions: Sequence[str], sampling: Sampling = ANSWER) -> list[str]:
        """The answers to several questions, each in a fresh context, as one batch."""
        return self.model.answer([(Message(role="user", content=clean(question)),) for question in questions], sampling)

    def keeps(self, correction: Correction) -> bool:
        """Whether the correction is in the journal and still to be learned."""
        return any(waiting.id == correction.id for waiting in self.journal.pending())

    def reset(self) -> None:
        """Starts a fresh context: what is said from here comes from the weights alone."""
        self.context.clear()

    def note(self, text: str) -> None:
        """Puts a message that got no answer (a correction that was learned) into the transcript."""
        self.transcript.append(Message(role="user", content=clean(text)))

    def save(self, path: Path) -> None:
        """Writes the whole conversation as JSON; `lifelearn learn FILE` reads it."""
        text = json.dumps([message.model_dump() for message in self.transcript], ensure_ascii=False, indent=2)
        path.write_text(text + "\n", encoding="utf-8")

    def _remember(self, *messages: Message) -> None:
        self.context.extend(messages)
        self.transcript.extend(messages)

    def _switch(self, number: int) -> None:
        if not isinstance(self.model, TeachableModel):
            return
        self._require_same_base(number)
        self.model.use(self.store.weights(number))
        self._loaded = number

    def _require_same_base(self, number: int) -> None:
        base = self.store.get(number).base if number else self.model.name
        if not is_base(base, self.model.name):
            raise VersionError(
                f"Version {number} in {self.store.root} was made from {base}, but the configured model is "
                f"{self.model.name}. Set LL_BASE_MODEL_NAME={base}, or choose another folder with --data."
            )

    @contextmanager
    def _learning_alone(self) -> Iterator[None]:
        """Holds the folder's learning lock, which the system releases when the process ends, however it ends."""
        owner = self.store.root / "learning.pid"
        try:
            lock = FileLock(self.store.root / "learning.lock", timeout=0)
            lock.acquire()
        except Timeout as error:
            with suppress(OSError):
                raise BusyError(
                    f"Another process (pid {owner.read_text().strip()}) is learning in this folder; your correction "
                    f"is kept and is learned afterwards: {self.resume}"
                ) from error
            raise BusyError("Another process is learning in this folder; your correction is kept.") from error
        try:
            owner.write_text(f"{os.getpid()}\n")
            yield
        finally:
            owner.unlink(missing_ok=True)
            lock.release()

    def _learned_before(self, correction: Correction) -> ModelVersion | None:
        """The live version that holds the correction, if a crash came between its activation and the journal."""
        for version in self.store.lineage(self.store.active()):
            if any(known.id == correction.id for known in version.corrections):
                self.journal.settle(correction.id, "learned", version.number, "found in the active version")
                return version
        return None

    def _learn(self, correction: Correction, on_progress: OnProgress) -> ModelVersion:
        parent = self.store.active()
        try:
            self._switch(parent)
            self._loaded = UNKNOWN
            version = self._run(correction, on_progress)
            if version.report.passed:
                self._go_live(version, parent)
        except BaseException as error:
            self._broke_off(correction, error)
            raise
        if version.report.passed:
            self.journal.settle(correction.id, "learned", version.number, "")
        else:
            self._switch(parent)
            reason = "did not pass: " + ", ".join(check.name for check in version.report.failed)
            self.journal.settle(correction.id, "rejected", version.number, reason)
        return version

    def _run(self, correction: Correction, on_progress: OnProgress) -> ModelVersion:
        learn = self._learn_in or _engine()
        return learn(
            cast(TrainableModel, self.model),
            [correction],
            store=self.store,
            recipe=self.recipe,
            expert=self.expert,
            on_progress=on_progress,
            work=self.store.root / "work" / correction.id,
        )

    def _go_live(self, version: ModelVersion, parent: int) -> None:
        if self.store.active() != parent:
            raise SessionError(
                f"Somebody made version {self.store.active()} the active one while this was learned on top of version "
                f"{parent}, so version {version.number} stays a candidate. Your correction is kept: {self.resume}"
            )
        self.store.activate(version.number)
        self._switch(version.number)

    def _broke_off(self, correction: Correction, error: BaseException) -> None:
        """After a fault or Ctrl-C: the correction stays pending and the active version answers again."""
        reason = "interrupted" if isinstance(error, KeyboardInterrupt) else sentence(error) or repr(error)
        with suppress(JournalError):  # pending without this line too
            self.journal.settle(correction.id, "failed", None, reason)
        with suppress(Exception):  # the fault itself is what the user must hear of
            self._switch(self.store.active())


def _engine() -> Learn:
    from lifelearn.learning.learn import learn

    return learn
