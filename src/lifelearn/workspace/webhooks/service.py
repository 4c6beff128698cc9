"""What happens in an organisation, told to its members in the page and to its webhooks."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy.orm import Session

from lifelearn.workspace.webhooks.tables import Happening


def tell(
    db: Session,
    organization_id: uuid.UUID,
    name: str,
    title: str,
    path: str = "",
    user_id: uuid.UUID | None = None,
    **details: Any,
) -> Happening:
    """Tells of something, in the transaction in which it happens.

    name: noun.verb, such as "version.activated". title: a sentence for people. path: where in the organisation it
    leads. user_id: whom the notice is for; None is everybody. Webhooks get all of them.
    """
    happening = Happening(
        organization_id=organization_id, user_id=user_id, name=name, title=title, path=path, details=details
    )
    db.add(happening)
    return happening
