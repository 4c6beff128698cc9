"""What /api/v1/corrections takes and gives."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated

from pydantic import Field

from lifelearn.workspace.corrections.deciding import REASON_CHARS
from lifelearn.workspace.corrections.flags import KINDS
from lifelearn.workspace.corrections.words import QUESTION_CHARS, WRONG_CHARS
from lifelearn.workspace.programs.schemas import NEXT, Page, Taken, Told
from lifelearn.workspace.searching import SEARCH_CHARS
from lifelearn.workspace.tables.corrections import Source, State
from lifelearn.workspace.threads.marks import RIGHT_CHARS

FLAGS = ", ".join(f"`{kind}`" for kind in KINDS)

Right = Annotated[str, Field(min_length=1, max_length=RIGHT_CHARS)]
Question = Annotated[str, Field(min_length=1, max_length=QUESTION_CHARS)]


class CorrectionsWanted(Page):
    state: State | None = Field(None, description="Those in this state. By default all.")
    search: str = Field("", max_length=SEARCH_CHARS, description="Words in the question or the answers.")


class CorrectionSent(Taken):
    """What was asked, and what is right. The same again gives the correction that is there."""

    question: Question = Field(description="In full: it is learned without what was said before it.")
    right_answer: Right = Field(description="What is right, best in a sentence: “We have 25 days of leave a year.”")
    wrong_answer: Annotated[str, Field(max_length=WRONG_CHARS)] = Field(
        "", description="What the model answered, if it is known."
    )


class TeachingAsked(Taken):
    """What is to be changed before it is taught, and what is accepted. What is left out or null stays as it is."""

    question: Question | None = None
    right_answer: Right | None = None
    answer: Right | None = Field(None, description="In short: what a right answer must say.")
    replace: bool = Field(False, description="It replaces the older one of the same question, `conflicts_with`.")
    anyway: bool = Field(False, description="It is taught in spite of its `flags`.")
    own: bool = Field(False, description="An admin approves what is their own, since there is no other admin.")


class RejectionAsked(Taken):
    reason: Annotated[str, Field(min_length=1, max_length=REASON_CHARS)] = Field(description="Its author reads it.")


class JobTold(Told):
    """The job that learns it, or forgets it, while there is one."""

    state: str = Field(description="`queued` or `running`.")
    forgets: bool = Field(description="Whether it takes the correction out again.")
    before: int = Field(description="How many jobs of the organisation come first.")
    stage: str = Field(description="`augment`, `demonstrate`, `lesson`, `train`, `verify` or `version`; else empty.")
    step: int
    steps: int = Field(description="Of the stage; 0 where it is not counted.")
    loss: float | None
    message: str


class CorrectionTold(Told):
    id: uuid.UUID
    state: State
    source: Source
    question: str
    wrong_answer: str
    right_answer: str
    answer: str = Field(description="In short: what a right answer must say.")
    confidence: float = Field(description="How sure it is that it is a correction; 1 where somebody stated it.")
    flags: list[str] = Field(description=f"What looks secret or personal in it: {FLAGS}.")
    conflicts_with: uuid.UUID | None = Field(description="An older one of the same question with another answer.")
    problem: str = Field(description="Why it was not learned, or is not being learned yet; else empty.")
    reason: str = Field(description="Why it was not taught, if somebody said so.")
    version: int | None = Field(description="The version that learned it, or failed to.")
    job: JobTold | None
    author_id: uuid.UUID | None
    thread_id: uuid.UUID | None = Field(description="The chat that it comes from; told to its author.")
    message_id: uuid.UUID | None = Field(description="The message that makes it; told to its author.")
    answer_id: uuid.UUID | None = Field(description="The answer that was wrong; told to its author.")
    created_at: datetime
    settled_at: datetime | None


class Corrections(Told):
    items: list[CorrectionTold]
    next: str | None = Field(description=NEXT)
