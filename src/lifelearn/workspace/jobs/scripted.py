"""Learning without a model, for LL_INFERENCE_BACKEND=mock: the same stages, orders and files, and no training.

Its version "answers" the corrected questions from a file, which the scripted chat model reads, so that the whole way
can be tried, tested and loaded on any machine. A correction whose answer is `FAIL` does not pass.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lifelearn.backends import MOCK_NAME
from lifelearn.learning.recipe import Recipe
from lifelearn.learning.types import Check, Lesson, ModelVersion, Probe, ProbeAnswer, Progress, Report, Row, Training
from lifelearn.settings import Settings
from lifelearn.workspace.jobs.orders import ANSWERS, Order
from lifelearn.workspace.jobs.store import store_for

if TYPE_CHECKING:
    from lifelearn.learning.steps import Step

FAILS = "FAIL"
STEPS = 8
STEP_SECONDS = 0.01


def scripted_learner(settings: Settings) -> Callable[..., tuple[ModelVersion, Path]]:
    recipe = settings.recipe()

    def learner(order: Order, step: Step, on_progress: Callable[[Progress], None]) -> tuple[ModelVersion, Path]:
        store = store_for(order)
        earlier = {}
        if order.parent and (known := order.lineage[order.parent] / ANSWERS).exists():
            earlier = json.loads(known.read_text())
        for stage in ("augment", "demonstrate"):
            on_progress(Progress(stage=stage))
            time.sleep(STEP_SECONDS)
        lesson = step("lesson", Lesson, lambda: _lesson(order, earlier))
        weights = order.work / "stages" / "weights"

        def train() -> Training:
            for done in range(1, STEPS + 1):
                time.sleep(STEP_SECONDS)
                on_progress(Progress(stage="train", step=done, steps=STEPS, loss=2.0 / done))
            weights.mkdir(parents=True, exist_ok=True)
            answers = {**earlier, **{each.question: each.statement for each in order.corrections}}
            (weights / ANSWERS).write_text(json.dumps(answers))
            (weights / "adapter_config.json").write_text("{}")
            (weights / "adapter_model.safetensors").write_bytes(_empty_safetensors(answers))
            losses = tuple(2.0 / done for done in range(1, STEPS + 1))
            return Training(steps=STEPS, losses=losses, watch_passed=4, watch_total=4, completion_tokens=100)

        on_progress(Progress(stage="train"))
        training = step("train", Training, train)
        on_progress(Progress(stage="verify"))
        report = step("verify", Report, lambda: _report(order, lesson, recipe))
        on_progress(Progress(stage="version"))
        version = step(
            "version",
            ModelVersion,
            lambda: store.add(
                weights,
                lesson,
                report,
                training=training,
                base=MOCK_NAME,
                parent=order.parent,
                recipe=recipe,
                seconds={"train": STEPS * STEP_SECONDS, "verify": 0.0},
            ),
        )
        return version, store.path(version.number)

    return learner


def _lesson(order: Order, earlier: dict[str, str]) -> Lesson:
    rows = []
    for each in order.corrections:
        prompt: Any = ({"role": "user", "content": each.question},)
        rows.append(Row(kind="fact", prompt=prompt, teacher_prompt=prompt, completions=(each.statement,)))
    probes = [Probe(kind="efficacy", question=each.question, answer=each.answer) for each in order.corrections]
    ours = {each.question for each in order.corrections}
    probes += [
        Probe(kind="retention", question=question, answer=answer)
        for question, answer in earlier.items()
        if question not in ours
    ]
    return Lesson(
        corrections=order.corrections, demonstrations=(), rows=tuple(rows), watch=(), probes=tuple(probes), gated=(1, 1)
    )


def _report(order: Order, lesson: Lesson, recipe: Recipe) -> Report:
    failing = {each.question for each in order.corrections if each.answer == FAILS}
    wrong = {each.question: each.wrong for each in order.corrections}
    right = {each.question: each.statement for each in order.corrections}
    checks = []
    for name in ("efficacy", "retention"):
        answers = tuple(
            ProbeAnswer(
                probe=probe,
                before=wrong.get(probe.question, ""),
                after=right.get(probe.question, probe.answer),
                passed=probe.question not in failing,
            )
            for probe in lesson.probes
            if probe.kind == name
        )
        held = sum(answer.passed for answer in answers)
        threshold = recipe.thresholds.efficacy if name == "efficacy" else recipe.thresholds.retention
        value = held / len(answers) if answers else 1.0
        passed = value >= threshold
        checks.append(
            Check(
                name=name,
                passed=passed,
                value=value,
                threshold=threshold,
                numerator=held,
                denominator=len(answers),
                answers=answers,
            )
        )
    return Report(checks=tuple(checks))


def _empty_safetensors(answers: dict[str, str]) -> bytes:
    """A file of the format without tensors; what was learned is in its metadata, so that versions differ."""
    header = json.dumps({"__metadata__": answers}).encode()
    return len(header).to_bytes(8, "little") + header
