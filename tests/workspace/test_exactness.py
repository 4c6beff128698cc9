"""A version that is made active again answers as it did to the bit: the same tokens, from the same logits.

A tiny model that is really trained, by a real worker; the model is loaded anew for each look at it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.types import Message
from lifelearn.settings import Settings
from lifelearn.workspace.tables.organizations import Organization
from lifelearn.workspace.versions.folders import answering as version_answering
from lifelearn.workspace.versions.folders import weights_of
from waiting import HANG_SECONDS, until
from workspace.fakes import Workspace
from workspace.learning import WorkerProcess, short_lessons, states, taught

pytestmark = pytest.mark.check("processes")

QUESTIONS = ("Who runs the badge printer?", "Where is Norvik based?", "Hello!")
GREEDY = Sampling(max_tokens=32)


class Look(NamedTuple):
    """What the model says to each question: ids, and logits (tokens x vocabulary) at each of them."""

    ids: list[list[int]]
    logits: list[Any]


def look(settings: Settings, weights: Path | None) -> Look:
    from lifelearn.backends import trainable_model
    from lifelearn.learning.compute.rollout import tokens

    model = trainable_model(settings)
    network = model.network_for(weights)
    found = Look([], [])
    for question in QUESTIONS:
        prompt = model.codec.prompt((Message(role="user", content=question),))
        ids = [each for each in tokens(network, prompt, model.codec.stop_ids, GREEDY) if each is not None]
        found.ids.append(ids)
        found.logits.append(network.logits([[*prompt, *ids]], [len(ids) + 1]))
    return found


def same(one: Look, other: Look) -> bool:
    """To the bit."""
    import torch

    return one.ids == other.ids and all(map(torch.equal, one.logits, other.logits))


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_version_that_is_active_again_answers_to_the_bit(
    workspace: Workspace, settings: Settings, tiny_model_folder: Path, tmp_path: Path, method: str
) -> None:
    real = short_lessons(settings, tiny_model_folder, cache_dir=tmp_path / "cache", train_method=method, train_lr=0.01)
    anna = workspace.person()
    acme = workspace.organization(anna)
    worker = WorkerProcess(real, tmp_path / "worker.log")
    for question, answer in (("Who runs the badge printer?", "the Kestrel team"), ("Where is Norvik based?", "Lyon")):
        taught(workspace.database, workspace.app.state.queue, acme, question, answer)
    until(lambda: states(workspace.database) == ["learned"] * 2, hang=2 * HANG_SECONDS)
    worker.end()

    def answering() -> Look:
        with workspace.database.read() as db:
            organization = db.get_one(Organization, acme)
            assert organization.active_version == now
            version = version_answering(db, organization)
        return look(real, weights_of(real, version))

    now = 2
    seen = {2: answering()}
    for number in (1, 0, 2, 1, 2, 0):
        path = f"/o/{acme}/versions/{number}/activate"
        assert anna.post(path, {"seen": str(now)}).status_code == 303
        now = number
        assert same(answering(), seen.setdefault(number, answering()))
    assert not any(same(seen[one], seen[other]) for one, other in ((0, 1), (1, 2), (0, 2)))
