"""What the terminal shows: in colour for people, in plain lines for pipes. Decides nothing, learns nothing.

Everything that a model or a user wrote is cleaned of control characters before it is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import chain
from typing import Protocol, TextIO

from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from lifelearn.learning.types import Check, Correction, ModelVersion, OnProgress, ProbeAnswer, Progress, Report
from lifelearn.terminal.progress import DOING, LiveProgress
from lifelearn.terminal.text import clean, duration, figure, one_line, plural, size
from lifelearn.terminal.wrap import Wrapper

YOU = "you   › "
MODEL = "model › "
MARGIN = len(MODEL)


class Screen(Protocol):
    """What the chat and the demo need of a terminal."""

    def note(self, text: str) -> None:
        """Something to know, on a line of its own."""
        ...

    def error(self, text: str) -> None:
        """Something that went wrong."""
        ...

    def user(self, text: str) -> None:
        """A message of the user's that was not typed here."""
        ...

    def answer(self, pieces: Iterable[str]) -> str:
        """Writes an answer as it comes; gives it back whole."""
        ...

    def correction(self, correction: Correction) -> None:
        """What was wrong, what is right, what will be taught."""
        ...

    def learning(self, expected: Mapping[str, float]) -> AbstractContextManager[OnProgress]:
        """The display of a learning job; `expected` seconds by stage, as far as they are known."""
        ...

    def busy(self, text: str) -> AbstractContextManager[object]:
        """Says that something short is being waited for."""
        ...

    def result(self, version: ModelVersion, active: int) -> None:
        """What became of a learned correction."""
        ...

    def comparison(self, question: str, answers: Mapping[str, str]) -> None:
        """Several answers to one question."""
        ...

    def versions(self, versions: Sequence[ModelVersion], active: int) -> None:
        """All versions of a data folder."""
        ...


class ColourScreen:
    """For people, on a rich console."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def note(self, text: str) -> None:
        self._print(Text(clean(text), style="dim"))

    def error(self, text: str) -> None:
        self._print(Text.assemble(("! ", "bold red"), (clean(text), "red")))

    def user(self, text: str) -> None:
        self.console.print(_said(YOU, "bold cyan", text))

    def answer(self, pieces: Iterable[str]) -> str:
        coming = _shown(pieces)
        with self.busy("thinking …"):
            first = next(coming, "")
        wrapper = Wrapper(self.console.width, MARGIN)
        said = ""
        try:
            self._write(Text(MODEL, style="bold green"))
            for piece in chain([first], coming):
                said += piece
                self._write(Text(wrapper.feed(piece)))
        finally:
            self._write(Text(wrapper.end()))
            self.console.print()
        return said

    def correction(self, correction: Correction) -> None:
        rows = Table.grid(padding=(0, 2))
        rows.add_column(style="dim", no_wrap=True)
        rows.add_column()
        rows.add_row("question", Text(clean(correction.question)))
        rows.add_row("was wrong", Text(one_line(correction.wrong, 300), style="red"))
        rows.add_row("is right", Text(clean(correction.statement), style="green"))
        rows.add_row("will be taught", Text(_taught(correction)))
        self.console.print(Panel(rows, title="a correction", title_align="left", border_style="yellow"))

    def learning(self, expected: Mapping[str, float]) -> AbstractContextManager[OnProgress]:
        self.note("Learning. Ctrl-C stops it; the correction is kept.")
        return LiveProgress(self.console, expected)

    def busy(self, text: str) -> AbstractContextManager[object]:
        if self.console.record or not self.console.is_terminal:
            return nullcontext()
        return self.console.status(Text(text, style="dim"), spinner_style="cyan")

    def result(self, version: ModelVersion, active: int) -> None:
        self.console.print(Padding(_checks(version.report), (1, 0, 1, 1)))
        unseen = unseen_answer(version.report)
        if unseen:
            self._answers("never trained on", unseen.probe.question, {"before": unseen.before, "after": unseen.after})
        for check in version.report.failed:
            for failed in (answer for answer in check.answers if not answer.passed):
                wanted = {"wanted": failed.probe.answer} if failed.probe.answer else {}
                before = {"before": failed.before} if failed.before else {}
                self._answers(check.name, failed.probe.question, {**wanted, **before, "after": failed.after}, bad=True)
        style = "bold green" if version.report.passed else "bold yellow"
        self.console.print()
        self._print(Text(verdict(version, active), style=style))

    def comparison(self, question: str, answers: Mapping[str, str]) -> None:
        self._answers("asked", question, answers)
        self.console.print()

    def versions(self, versions: Sequence[ModelVersion], active: int) -> None:
        self.console.print(versions_table(versions, active))

    def _answers(self, label: str, question: str, answers: Mapping[str, str], bad: bool = False) -> None:
        rows = Table.grid(padding=(0, 2))
        rows.add_column(style="dim", no_wrap=True, min_width=14)
        rows.add_column()
        rows.add_row(Text(label, style="red" if bad else "dim"), Text(clean(question), style="bold"))
        for name, answer in answers.items():
            style = ("red" if bad else "green") if name == "after" else ""
            rows.add_row(name, Text(clean(answer).strip() or "(nothing)", style=style))
        self.console.print(Padding(rows, (0, 0, 0, 1)))

    def _print(self, text: Text) -> None:
        self.console.print(text)

    def _write(self, text: Text) -> None:
        """Without rich's own wrapping, and at once."""
        self.console.print(text, end="", soft_wrap=True)
        self.console.file.flush()


class PlainScreen:
    """For pipes: plain lines, without colours, and answers without a prefix. told: where the stages of learning go."""

    def __init__(self, out: TextIO, told: TextIO | None = None) -> None:
        self._out, self._told = out, told

    def note(self, text: str) -> None:
        self._line(one_line(text))

    def error(self, text: str) -> None:
        self._line(f"error: {one_line(text)}")

    def user(self, text: str) -> None:
        self._line(clean(text))

    def answer(self, pieces: Iterable[str]) -> str:
        coming = _shown(pieces)
        first = next(coming, "")
        said = ""
        try:
            for piece in chain([first], coming):
                said += piece
                self._write(piece)
        finally:
            self._write("\n")
        return said

    def correction(self, correction: Correction) -> None:
        self._line(f"noticed a correction: {one_line(correction.statement)}")

    @contextmanager
    def learning(self, expected: Mapping[str, float]) -> Iterator[OnProgress]:
        stage = ""

        def tell(progress: Progress) -> None:
            nonlocal stage
            if self._told is not None and progress.stage != stage:
                stage = progress.stage
                print(f"learning: {DOING[progress.stage]}", file=self._told, flush=True)

        yield tell

    def busy(self, text: str) -> AbstractContextManager[object]:
        return nullcontext()

    def result(self, version: ModelVersion, active: int) -> None:
        figures = ", ".join(f"{check.name} {_share(check)}" for check in version.report.checks)
        if version.report.passed:
            return self._line(f"learned: version {version.number} ({figures})")
        self._line(f"not learned: {verdict(version, active)} ({figures})")
        for check in version.report.failed:
            for failed in (answer for answer in check.answers if not answer.passed):
                question, after = one_line(failed.probe.question), one_line(failed.after)
                self._line(f"failed {check.name}: {question} -> {after}")
        return None

    def comparison(self, question: str, answers: Mapping[str, str]) -> None:
        for name, answer in answers.items():
            self._line(f"{name}: {one_line(answer)}")

    def versions(self, versions: Sequence[ModelVersion], active: int) -> None:
        self._line(f"{'*' if active == 0 else ' '} 0 base model")
        for version in versions:
            mark = "*" if version.number == active else " "
            taught = "; ".join(one_line(correction.statement) for correction in version.corrections)
            self._line(f"{mark} {version.number} from {version.parent}, {_passed(version.report)}: {taught}")

    def _line(self, text: str) -> None:
        self._write(text + "\n")

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def _shown(pieces: Iterable[str]) -> Iterator[str]:
    """An answer's pieces, cleaned, from the first one that shows something."""
    started = False
    for piece in pieces:
        shown = clean(piece) if started else clean(piece).lstrip()
        started = started or bool(shown)
        if shown:
            yield shown


def unseen_answer(report: Report) -> ProbeAnswer | None:
    """The first right answer to a question that training never saw."""
    answers = (answer for check in report.checks if check.name == "generalisation" for answer in check.answers)
    return next((answer for answer in answers if answer.passed), None)


def verdict(version: ModelVersion, active: int) -> str:
    """One sentence on what became of a version."""
    if version.report.passed:
        return f"Version {version.number} is live, learned in {duration(sum(version.seconds.values()))}."
    names = " and ".join(check.name for check in version.report.failed)
    stays = f"version {active} stays" if active else "the base model stays"
    return f"It did not pass {names}: version {version.number} is kept as a candidate, {stays} active."


def versions_table(versions: Sequence[ModelVersion], active: int) -> Table:
    """The versions of a data folder; the base model is number 0."""
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("", "version", "parent", "created", "taught", "checks", "size"):
        table.add_column(name, overflow="fold", no_wrap=name in {"", "created", "checks", "size"})
    table.add_row(_mark(active == 0), "0", "", "", Text("the base model", style="dim"), "", "")
    for version in versions:
        table.add_row(
            _mark(version.number == active),
            str(version.number),
            str(version.parent),
            one_line(version.created_at)[:16].replace("T", " "),
            Text("\n".join(one_line(correction.statement, 60) for correction in version.corrections)),
            Text(_passed(version.report), style="green" if version.report.passed else "yellow"),
            size(version.bytes),
        )
    return table


def _checks(report: Report) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("", "check", "result", "needed"):
        table.add_column(name)
    for check in report.checks:
        mark = Text("✓", style="green") if check.passed else Text("✗", style="bold red")
        table.add_row(mark, check.name, _share(check), _needed(check), style="" if check.passed else "red")
    return table


def _share(check: Check) -> str:
    if check.name == "drift":
        return f"{figure(check.value)} nats/token"
    return f"{figure(check.numerator)}/{check.denominator}"


def _needed(check: Check) -> str:
    if check.name == "drift":
        return f"at most {figure(check.threshold)}, over {plural(check.denominator, 'token')}"
    return f"at least {check.threshold:.0%}" if check.denominator else "nothing to check yet"


def _passed(report: Report) -> str:
    right = sum(check.passed for check in report.checks)
    return f"{right}/{len(report.checks)}" if report.passed else f"{right}/{len(report.checks)}, candidate"


def _taught(correction: Correction) -> str:
    answer = one_line(correction.answer, 120)
    return f"asked this in any wording, it answers “{answer}”; other answers stay as they are"


def _mark(active: bool) -> Text:
    return Text("●" if active else " ", style="green")


def _said(label: str, style: str, text: str) -> Table:
    row = Table.grid()
    row.add_column(no_wrap=True, width=MARGIN)
    row.add_column()
    row.add_row(Text(label, style=style), Text(clean(text)))
    return row
