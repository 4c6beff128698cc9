"""The whole way on the tiny model, from a correction to its version, or to one clear error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from learn.fakes import QUICK, correction, logits, run, usable
from lifelearn.chat_models.scripted import ScriptedChatModel
from lifelearn.learning.chat_model import ChatModelError
from lifelearn.learning.learn import LearnError, learn
from lifelearn.learning.recipe import Thresholds
from lifelearn.learning.types import (
    Progress,
    Stage,
)
from lifelearn.learning.version import VersionStore


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_correction_becomes_a_version_with_all_that_belongs_to_it(
    tiny: Any, store: VersionStore, method: Any
) -> None:
    base = logits(tiny)
    seen: list[Progress] = []
    version = run(tiny, store, recipe=QUICK.model_copy(update={"method": method}), on_progress=seen.append)
    assert (version.number, version.parent, version.base, version.method) == (1, 0, tiny.name, method)
    assert version.corrections == (correction(),)
    assert version.demonstrations
    assert [check.name for check in version.report.checks] == [
        "efficacy",
        "generalisation",
        "locality",
        "retention",
        "drift",
    ]
    stages: list[Stage] = ["augment", "demonstrate", "lesson", "train", "verify"]
    assert list(version.seconds) == stages
    assert list(dict.fromkeys(progress.stage for progress in seen)) == [*stages, "version"]
    # Half as many steps again as planned: this model does not learn its correction.
    assert [p.step for p in seen if p.stage == "train" and p.loss is not None and not p.message] == [1, 2, 3]
    assert store.get(1) == version
    assert store.lesson(1).corrections == version.corrections
    assert torch.equal(logits(tiny), base), "the model is left on the active version"
    assert not (store.root / "work" / "c1").exists()
    tiny.use(store.weights(1))
    assert not torch.equal(logits(tiny), base)


def test_a_version_that_fails_verification_is_a_candidate_with_its_report(tiny: Any, store: VersionStore) -> None:
    version = run(tiny, store, recipe=QUICK.model_copy(update={"thresholds": Thresholds()}))
    assert not version.report.passed
    assert "efficacy" in [check.name for check in version.report.failed]
    efficacy = version.report.checks[0]
    assert (efficacy.numerator, efficacy.denominator) == (0, 1)
    assert efficacy.answers[0].probe.question == correction().question
    assert [known.number for known in store.versions()] == [1]
    assert store.active() == 0
    assert not (store.root / "work" / "c1").exists()


@pytest.mark.check("engine")
def test_the_same_seed_gives_the_same_version(tiny: Any, tmp_path: Path) -> None:
    hashes = [run(tiny, VersionStore(tmp_path / name)).sha256 for name in ("one", "two")]
    assert hashes[0] == hashes[1]
    other = run(tiny, VersionStore(tmp_path / "three"), recipe=QUICK.model_copy(update={"seed": 1}))
    assert other.sha256 != hashes[0]


def test_several_corrections_are_learned_at_once(tiny: Any, store: VersionStore) -> None:
    both = (correction(1), correction(2, "Who runs the badge printer?", "the Kestrel team"))
    version = run(tiny, store, *both)
    assert version.corrections == both
    assert (version.number, version.report.checks[0].denominator) == (1, 2)
    assert len(store.versions()) == 1


def test_nothing_to_learn_is_a_clear_error(tiny: Any, store: VersionStore) -> None:
    with pytest.raises(LearnError, match="nothing to learn"):
        learn(tiny, [], store=store, recipe=QUICK, work=store.root / "work" / "none")
    assert not store.root.exists()


def test_with_an_expert_it_writes_and_the_local_model_is_trained(tiny: Any, store: VersionStore) -> None:
    expert = ScriptedChatModel(lambda conversation: "Which town is Norvik based in?\nNorvik is based in Lyon.")
    version = run(tiny, store, expert=expert)
    assert any(demonstration.source == "expert" for demonstration in version.demonstrations)
    assert expert.calls


def test_an_expert_that_refuses_is_a_clear_error_or_done_without(tiny: Any, store: VersionStore) -> None:
    def refuse(conversation: object) -> str:
        raise ChatModelError("gpt at http://localhost refused the key (401). Check OPENAI_API_KEY.")

    seen: list[Progress] = []
    text = ""
    try:
        run(tiny, store, expert=ScriptedChatModel(refuse), on_progress=seen.append)
    except (ChatModelError, LearnError) as error:
        text = str(error)
    assert "401" in text or any("401" in progress.message for progress in seen)
    assert usable(tiny, store)


def test_a_run_that_diverges_is_a_clear_error(tiny: Any, store: VersionStore) -> None:
    with pytest.raises(LearnError, match=r"LL_TRAIN_LR.*active version is unchanged"):
        run(tiny, store, recipe=QUICK.model_copy(update={"learning_rate": float("inf"), "cold_start_steps": 2}))
    assert usable(tiny, store)
    assert store.versions() == []
    assert run(tiny, store).number == 1


def test_a_question_that_does_not_fit_the_model_is_a_clear_error(tiny: Any, store: VersionStore) -> None:
    long = correction(1, "Where is " + "very " * 120 + "old Norvik based?")
    with pytest.raises((ChatModelError, LearnError), match=r"(?i)tokens|long|shorten"):
        run(tiny, store, long)
    assert usable(tiny, store)
