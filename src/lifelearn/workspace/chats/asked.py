"""What the model is asked for an answer: the conversation, with corrections that it is told, and by which version."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.types import Conversation
from lifelearn.settings import Settings
from lifelearn.workspace.admission import Asker
from lifelearn.workspace.corrections.context import with_corrections
from lifelearn.workspace.database import Database
from lifelearn.workspace.tables.chats import Message
from lifelearn.workspace.tables.organizations import Organization
from lifelearn.workspace.threads.tree import conversation_of
from lifelearn.workspace.versions.folders import answering, weights_of

AGAIN_TEMPERATURE = 0.7  # of an answer that would otherwise come out the same


@dataclass(frozen=True)
class Asked:
    """What the model is asked, with the version that answers. told: corrections in it that are not learned yet."""

    conversation: Conversation
    told: int
    sampling: Sampling
    weights: Any
    version: int


def asker_of(database: Database, answer_id: uuid.UUID) -> Asker | None:
    with database.read() as db:
        answer = db.get(Message, answer_id)
        return None if answer is None else Asker(answer.organization_id, answer.author_id)


def asked_for(database: Database, settings: Settings, answer_id: uuid.UUID) -> Asked | None:
    """None where it was deleted meanwhile."""
    with database.read() as db:
        answer = db.get(Message, answer_id)
        question = db.get(Message, answer.parent_id) if answer is not None and answer.parent_id else None
        organization = db.get(Organization, answer.organization_id) if answer is not None else None
        if answer is None or question is None or organization is None:
            return None
        temperature = organization.temperature
        if temperature == 0 and _answered_before(db, answer, organization.active_version):
            temperature = AGAIN_TEMPERATURE
        told = with_corrections(db, organization.id, conversation_of(db, organization, question))
        version = answering(db, organization)
    return Asked(
        told.conversation,
        told.corrections,
        Sampling(organization.max_tokens, temperature, seed=secrets.randbits(31)),
        weights_of(settings, version),
        organization.active_version,
    )


def _answered_before(db: Session, answer: Message, version: int) -> bool:
    """Whether this version has answered the same question already: without chance it would say the same again."""
    before = select(Message.id).where(
        Message.parent_id == answer.parent_id,
        Message.id != answer.id,
        Message.version == version,
        Message.content != "",
    )
    return db.scalar(before.limit(1)) is not None
