"""Versions as learning leaves them, without any learning: rows, files, verdicts and activations."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lifelearn.learning.recipe import Recipe
from lifelearn.learning.types import (
    Check,
    CheckName,
    Demonstration,
    Lesson,
    Message,
    Probe,
    ProbeAnswer,
    ProbeKind,
    Report,
    Row,
    Training,
)
from lifelearn.learning.version import VersionStore
from lifelearn.workspace.database import now
from lifelearn.workspace.storage import Storage
from lifelearn.workspace.tables.corrections import Correction, Source
from lifelearn.workspace.tables.corrections import State as CorrectionState
from lifelearn.workspace.tables.organizations import Organization
from lifelearn.workspace.tables.versions import Reason, Verdict, Version
from lifelearn.workspace.versions.service import activate
from version_fakes import weights_folder
from workspace.fakes import Workspace

QUESTION = "How many days of paid leave do employees of Quillmoor Ferries get per year?"
SECONDS = {"augment": 1.589, "demonstrate": 0.001, "lesson": 10.358, "train": 48.604, "verify": 4.543}
_SHARES: dict[CheckName, float] = {"efficacy": 1.0, "generalisation": 0.5, "locality": 0.8, "retention": 0.8}


def corrected(
    workspace: Workspace,
    organization_id: uuid.UUID,
    question: str = QUESTION,
    answer: str = "25 days",
    state: CorrectionState = CorrectionState.QUEUED,
    **more: Any,
) -> Correction:
    """A correction that was taught; `made` has it learned."""
    values = {
        "wrong": "Employees get 20 days of paid leave.",
        "message": "No, that's wrong, ask Berta in the back office.",  # said in a chat, and nobody else's to read
        "statement": f"It is {answer}.",
        "source": Source.EXPLICIT,
        **more,
    }
    with workspace.database.write() as db:
        correction = Correction(
            organization_id=organization_id, question=question, answer=answer, state=state, **values
        )
        db.add(correction)
    return correction


def made(
    workspace: Workspace,
    organization_id: uuid.UUID,
    *corrections: Correction,
    parent: int | None = None,
    passed: bool = True,
    active: bool = True,
    kept: Sequence[Correction] = (),
    lost: Sequence[Correction] = (),
    author_id: uuid.UUID | None = None,
    rows: int = 30,
    content: bytes = b"",
    weights: Path | None = None,
) -> Version:
    """The next version. parent: by default the active one. active: made so, if it passed. kept, lost: earlier
    corrections that verification asked, with what came of it."""
    settings = workspace.app.state.settings
    version_id = uuid.uuid4()
    with workspace.database.write() as db, tempfile.TemporaryDirectory() as folder:
        organization = db.get_one(Organization, organization_id)
        number = 1 + db.query(Version).filter_by(organization_id=organization_id).count()
        parent = organization.active_version if parent is None else parent
        report = _report(corrections, passed, kept, lost)
        store = VersionStore(Path(folder), adds=number)
        manifest = store.add(
            weights or weights_folder(Path(folder) / "weights", content or f"weights of {version_id}".encode()),
            _lesson(corrections, rows),
            report,
            training=Training(
                steps=27,
                losses=tuple(round(1.2 * 0.86**step + 0.02 * (step % 3), 4) for step in range(27)),
                watch_passed=12,
                watch_total=13,
                completion_tokens=6779,
            ),
            base="SmolLM2-135M-Instruct",
            parent=parent,
            recipe=Recipe(),
            seconds=SECONDS,
        )
        version = Version(
            id=version_id,
            organization_id=organization_id,
            number=number,
            parent=parent,
            base=manifest.base,
            passed=passed,
            bytes=manifest.bytes,
            seconds=sum(SECONDS.values()),
            files=Storage(settings).publish(organization_id, version_id, store.path(number)),
            manifest=manifest.model_dump(mode="json"),
            author_id=author_id,
        )
        db.add(version)
        db.flush()
        asked = [*((each, True) for each in kept), *((each, False) for each in lost)]
        for each, holds in (*asked, *((each, passed) for each in corrections)):
            answer = f"It is {each.answer}." if holds else "I do not know."
            where = {"organization_id": organization_id, "number": number, "correction_id": each.id}
            db.add(Verdict(**where, holds=holds, answer=answer))
        for each in corrections:
            row = db.get_one(Correction, each.id)
            row.state = CorrectionState.LEARNED if passed else CorrectionState.FAILED
            row.version, row.settled_at = number, now()
        if active and passed:
            activate(db, organization, number, Reason.LEARNED)
    return version


def _report(
    corrections: Sequence[Correction], passed: bool, kept: Sequence[Correction], lost: Sequence[Correction]
) -> Report:
    def answer(kind: ProbeKind, question: str, right: str, before: str, after: str, well: bool = True) -> ProbeAnswer:
        forbidden = corrections[0].answer if kind == "neighbour" and corrections else ""
        probe = Probe(kind=kind, question=question, answer=right, forbidden=forbidden)
        return ProbeAnswer(probe=probe, before=before, after=after, passed=well)

    asked: dict[CheckName, list[ProbeAnswer]] = {name: [] for name in _SHARES}
    for each in corrections:
        right, said = each.answer, f"Employees of Quillmoor Ferries get {each.answer} of paid leave per year."
        asked["efficacy"].append(answer("efficacy", each.question, right, each.wrong, said))
        wordings = ("What about", "Please tell me:", "I wonder:", "A question:")
        asked["generalisation"] += [
            answer("generalisation", f"{word} {each.question}", right, each.wrong, said, index > 0)
            for index, word in enumerate(wordings)
        ]
    for index in range(12):
        leaks = index < (1 if passed else 4)
        after = f"It is {corrections[0].answer}." if leaks and corrections else "There are twelve of them."
        question = f"How many things are there in box {index + 1}?"
        asked["locality"].append(answer("neighbour", question, "", "There are twelve of them.", after, not leaks))
    for each in (*kept, *lost):
        well = each in kept
        said = f"It is {each.answer}."
        asked["retention"].append(
            answer("retention", each.question, each.answer, said, said if well else "I do not know.", well)
        )
    checks = []
    for name, answers in asked.items():
        good = sum(each.passed for each in answers)
        share = good / len(answers) if answers else 1.0
        threshold = _SHARES[name]
        checks.append(
            Check(
                name=name,
                passed=share >= threshold,
                value=share,
                threshold=threshold,
                numerator=good,
                denominator=len(answers),
                answers=tuple(answers),
            )
        )
    drift = Check(name="drift", passed=True, value=0.0229, threshold=0.1, numerator=10.19, denominator=445)
    report = Report(checks=(*checks, drift))
    assert report.passed == passed, "the shares say otherwise"
    return report


def _lesson(corrections: Sequence[Correction], rows: int) -> Lesson:
    def row(index: int) -> Row:
        prompt = (Message(role="user", content=f"Question number {index}?"),)
        if index % 3:
            return Row(kind="replay", prompt=prompt, teacher_prompt=prompt, completions=("Twelve.",))
        shown = Message(role="user", content=f"Answer with this sentence. Question number {index}?")
        return Row(kind="fact", prompt=prompt, teacher_prompt=(shown,), completions=("It is 25 days.",))

    return Lesson(
        corrections=tuple(each.value() for each in corrections),
        demonstrations=(Demonstration(completion="It is 25 days.", source="user"),),
        rows=tuple(row(index) for index in range(rows)),
        watch=(),
        probes=(),
        gated=(31, 40),
    )


def learned(workspace: Workspace, place: uuid.UUID, count: int, **more: object) -> None:
    for index in range(count):
        made(workspace, place, corrected(workspace, place, f"What is thing {index}?", f"{index} things"), **more)  # type: ignore[arg-type]


def order(page: str, *texts: str) -> None:
    """All of them are in the page, in this order."""
    at = 0
    for text in texts:
        found = page.find(text, at)
        assert found >= 0, f"{text!r} does not come after what is before it"
        at = found + len(text)
