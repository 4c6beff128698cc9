"""What happens in an organisation, told to its members in the page and to its webhooks.

`tell` only writes; sending.py sends, in the web process. Workers tell too, so nothing here knows pages or requests.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from lifelearn.workspace.database import Database, after_commit, ago, now
from lifelearn.workspace.tables.organizations import AuditEvent, Membership, Role
from lifelearn.workspace.tables.webhooks import NOBODY, Delivery, Happening, Webhook

EVERYTHING = "*"
EVENTS = {
    "correction.asked": "A correction was noticed, and its member is asked whether to teach it",
    "correction.review": "A correction waits for an admin's review",
    "correction.queued": "A correction is going to be learned",
    "correction.learned": "A correction was learned, verified and went live",
    "correction.failed": "A correction could not be learned",
    "correction.rejected": "An admin rejected a correction",
    "correction.withdrawn": "A correction was withdrawn or forgotten",
    "version.activated": "Another version answers: learned, chosen or rolled back to",
    "job.failed": "A job failed",
    "webhook.disabled": "A webhook was disabled, since its receiver did not take what was sent",
}
TEST = "webhook.test"  # sent to one webhook, told to nobody
KEPT_DAYS = 90
SWEPT = 500  # rows in one transaction
SYSTEM = "Life-Learn"  # who did what nobody did, in the audit log

_senders: set[Callable[[], None]] = set()  # what wakes those of this process


def tell(
    db: Session,
    organization_id: uuid.UUID,
    name: str,
    title: str,
    path: str = "",
    user_id: uuid.UUID | None = None,
    personal: bool = False,
    **details: Any,
) -> Happening:
    """Tells of something, in the transaction in which it happens.

    name: noun.verb, such as "version.activated". title: a sentence for people. path: where in the organisation it
    leads. user_id: whom the notice is for; None is everybody, or nobody where it is `personal`: that account was
    deleted. Webhooks get all of them.
    """
    if personal and user_id is None:
        path = NOBODY
    wanted = select(Webhook).where(Webhook.organization_id == organization_id, Webhook.enabled)
    webhooks = [each for each in db.scalars(wanted) if wants(each, name)]
    happening = Happening(
        organization_id=organization_id, user_id=user_id, name=name, title=title, path=path, details=details
    )
    db.add(happening)
    deliver(db, happening, webhooks)
    return happening


def wants(webhook: Webhook, name: str) -> bool:
    return name in webhook.events or EVERYTHING in webhook.events


def deliver(db: Session, happening: Happening, webhooks: Iterable[Webhook]) -> list[Delivery]:
    """Has a happening sent to webhooks, once this transaction is kept."""
    made = [Delivery(organization_id=each.organization_id, webhook_id=each.id, next_at=now()) for each in webhooks]
    if made:
        db.flush()  # the happening first: its id is named
        for each in made:
            each.happening_id = happening.id
        db.add_all(made)
        after_commit(db, _wake)
    return made


def disable(db: Session, webhook: Webhook, why: str) -> None:
    """Ends a webhook whose receiver wants no more; admins are told. why: a sentence."""
    switch_off(db, webhook)
    db.add(
        AuditEvent(
            organization_id=webhook.organization_id,
            actor=SYSTEM,
            action="webhook.disabled",
            target=origin(webhook.url),
            details={"id": str(webhook.id), "reason": why},
        )
    )
    where = (Membership.organization_id == webhook.organization_id, Membership.role.in_([Role.ADMIN, Role.OWNER]))
    admins = db.scalars(select(Membership.user_id).where(*where).order_by(Membership.created_at)).all()
    name, title, path = "webhook.disabled", f"A webhook was disabled. {why}", f"/webhooks/{webhook.id}"
    details: dict[str, Any] = {"webhook_id": str(webhook.id)}
    for admin in admins[:1]:  # other webhooks are told once
        tell(db, webhook.organization_id, name, title, path, admin, **details)
    for admin in admins[1:]:
        told = {"name": name, "title": title, "path": path, "details": details}
        db.add(Happening(organization_id=webhook.organization_id, user_id=admin, **told))


def switch_off(db: Session, webhook: Webhook) -> None:
    """Sends it nothing more; what waits is given up, and can be sent again later."""
    webhook.enabled = False
    db.execute(
        update(Delivery)
        .where(Delivery.webhook_id == webhook.id, Delivery.next_at.is_not(None))
        .values(next_at=None, problem="The webhook was disabled.")
        .execution_options(synchronize_session=False)
    )


def sweep(database: Database) -> None:
    """Removes what happened long ago, and its deliveries. A few at a time, so that nobody waits for it."""
    for table in (Delivery, Happening):
        with database.read() as db:
            old = db.scalars(select(table.id).where(table.created_at < ago(days=KEPT_DAYS))).all()
        for start in range(0, len(old), SWEPT):
            with database.write() as db:
                db.execute(delete(table).where(table.id.in_(old[start : start + SWEPT])))


def origin(url: str) -> str:
    """A webhook's URL up to the host: what comes after may be secret."""
    return "/".join(url.split("/", 3)[:3])


def on_told(wake: Callable[[], None]) -> Callable[[], None]:
    """Has `wake` called, from any thread, when there is something to send. Returns what ends that."""
    _senders.add(wake)
    return lambda: _senders.discard(wake)


def _wake() -> None:
    for wake in tuple(_senders):
        wake()
