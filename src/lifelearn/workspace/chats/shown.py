"""Answers as HTML on a page: what is kept beside them, and where nothing is, what is rendered now and then kept.

So it is with answers of an import, of an older release, and those that were not rendered at their end.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

import structlog
from markupsafe import Markup
from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from lifelearn.workspace.database import Database, commit
from lifelearn.workspace.rendering.renderer import FORM, Renderer, Shown, as_written
from lifelearn.workspace.tables.chats import Message, Status

log = structlog.get_logger("lifelearn.rendering")

PAGE_SECONDS = 2.0  # in which a page has its answers rendered; the others are as they were written, until the next view
PAGE_CHARS = 16_000_000  # of the HTML of a page's answers, the last ones first; the others are as they were written
TOGETHER = 50  # kept ones that are read at a time


def as_html(
    database: Database, renderer: Renderer, db: Session, messages: Iterable[Message]
) -> dict[uuid.UUID, Markup]:
    """The HTML of those messages that are answers.

    Where one is to be rendered, the transaction of `db` is ended first, since nobody is to wait for that: nothing can
    be asked of `db` from there on.
    """
    answers = [each for each in messages if each.role == "assistant" and each.content]
    answers.reverse()
    kept = _kept(db, [each.id for each in answers])
    if missing := [each for each in answers if each.id in kept and kept[each.id] is None]:
        commit(db)
        made = _made(renderer, missing)
        _keep(database, made)
        kept |= {each.id: shown.html for each, shown in made.items()}
    return _fitting(answers, kept)


def _kept(db: Session, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, str | None]:
    """What is kept of answers, None where nothing is. Of as many, in their order, as have room on a page."""
    kept: dict[uuid.UUID, str | None] = {}
    size, waiting = 0, iter(ids)
    while size <= PAGE_CHARS and (some := list(islice(waiting, TOGETHER))):
        query = select(Message.id, Message.html).where(Message.id.in_(some), Message.html_form == FORM)
        kept |= dict.fromkeys(some)
        for answer_id, html in db.execute(query):
            kept[answer_id] = html
            size += len(html or "")
    return kept


def _made(renderer: Renderer, answers: Iterable[Message]) -> dict[Message, Shown]:
    """Answers rendered, until the page's time is over or the renderer is busy with others'."""
    made: dict[Message, Shown] = {}
    end = time.monotonic() + PAGE_SECONDS
    for each in answers:
        left = end - time.monotonic()
        if left <= 0:
            break
        made[each] = renderer.render(each.content, str(each.organization_id), left)
        if not made[each].lasts:
            break
    return made


def _keep(database: Database, made: Mapping[Message, Shown]) -> None:
    """Keeps what lasts. Where the database cannot be written, the page is no worse for it."""
    lasting = {each: shown for each, shown in made.items() if shown.lasts and each.status != Status.STREAMING}
    if not lasting:
        return
    try:
        with database.write() as db:
            for each in sorted(lasting, key=lambda answer: answer.id):  # in one order: writers do not block each other
                db.execute(
                    update(Message)
                    .where(Message.id == each.id, Message.content == each.content)  # it may have gone on meanwhile
                    .values(html=lasting[each].html, html_form=FORM)
                    .execution_options(synchronize_session=False)
                )
    except SQLAlchemyError:
        log.warning("what was rendered is not kept", exc_info=True)


def _fitting(answers: Iterable[Message], found: Mapping[uuid.UUID, str | None]) -> dict[uuid.UUID, Markup]:
    """The HTML that there is as far as the page has room, and the other answers as they were written."""
    shown: dict[uuid.UUID, Markup] = {}
    room = PAGE_CHARS
    for each in answers:
        html = found.get(each.id)
        if html is not None:
            room -= len(html)
        shown[each.id] = Markup(as_written(each.content) if html is None or room < 0 else html)  # noqa: S704
    return shown
