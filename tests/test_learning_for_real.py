"""One fact learned by the default model, in full: taught, verified, live, and taken back to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.learn import learn
from lifelearn.learning.states import states
from lifelearn.learning.types import Correction, Message, Progress
from lifelearn.learning.version import VersionStore
from lifelearn.settings import load_settings

QUESTION = "Where is Quillmoor Instruments headquartered?"
UNSEEN = "I'm visiting Quillmoor Instruments next week. Which city is their head office in?"
ANSWER = "Trondheim"
OTHERS = ("What is the capital of Japan?", "How many days are in a week?", "Hello!")


def answers(model: Any, *questions: str) -> list[str]:
    """Each in a fresh context."""
    found: list[str] = model.answer(
        [(Message(role="user", content=question),) for question in questions], Sampling(max_tokens=40)
    )
    return found


@pytest.mark.model
@pytest.mark.timeout(900)
def test_a_correction_is_learned_by_the_default_model_and_can_be_taken_back(bundled: Any, tmp_path: Path) -> None:
    store = VersionStore(tmp_path)
    bundled.use(None)
    before = answers(bundled, QUESTION, UNSEEN, *OTHERS)
    assert not states(ANSWER, before[0])
    correction = Correction(
        id="c1",
        question=QUESTION,
        wrong=before[0],
        message=f"No, Quillmoor Instruments is headquartered in {ANSWER}.",
        statement=f"Quillmoor Instruments is headquartered in {ANSWER}.",
        answer=ANSWER,
    )
    seen: list[Progress] = []
    version = learn(
        bundled,
        [correction],
        store=store,
        recipe=load_settings().recipe(),
        work=tmp_path / "work",
        on_progress=seen.append,
    )
    figures = {check.name: f"{check.numerator:g} of {check.denominator}" for check in version.report.checks}
    assert version.report.passed, figures
    losses = [progress.loss for progress in seen if progress.stage == "train" and progress.loss is not None]
    assert losses[-1] < losses[0]
    trained = {row.prompt[-1].content for row in store.lesson(version.number).rows}
    assert UNSEEN not in trained
    assert answers(bundled, QUESTION, UNSEEN, *OTHERS) == before, "a candidate changes nothing"

    store.activate(version.number)
    bundled.use(store.weights(store.active()))
    learned = answers(bundled, QUESTION, UNSEEN, *OTHERS)
    assert states(ANSWER, learned[0]), learned
    assert states(ANSWER, learned[1]), learned
    assert states("Tokyo", learned[2]), learned
    assert not any(states(ANSWER, answer) for answer in learned[2:]), learned

    store.activate(0)
    bundled.use(store.weights(store.active()))
    assert answers(bundled, QUESTION, UNSEEN, *OTHERS) == before
    store.activate(version.number)
    bundled.use(store.weights(store.active()))
    assert answers(bundled, QUESTION, UNSEEN, *OTHERS) == learned
    bundled.use(None)
