"""What an organisation's admins set: its name, what its model is told, what becomes of corrections."""

from __future__ import annotations

import re

from fastapi import Request
from sqlalchemy.orm import Session

from lifelearn.workspace.errors import ConflictError, InvalidError
from lifelearn.workspace.names import name_of
from lifelearn.workspace.organizations.audit import record
from lifelearn.workspace.organizations.locks import members_locked
from lifelearn.workspace.organizations.place import Place
from lifelearn.workspace.tables.corrections import Policy
from lifelearn.workspace.tables.organizations import Role

INSTRUCTIONS_LENGTH = 4000
MOST_TOKENS = 4096
_UNKEEPABLE = re.compile(r"[\x00\ud800-\udfff]")  # what a database refuses


def change_settings(
    db: Session,
    request: Request,
    place: Place,
    *,
    revision: int,
    name: str,
    instructions: str,
    temperature: float,
    max_tokens: int,
    correction_policy: str,
) -> None:
    """Changes the settings. revision: of those that the visitor saw; ConflictError where they are others by now.

    Raises InvalidError with what is wrong with each field, before anything is changed.
    """
    members_locked(db, place, Role.ADMIN)
    organization = place.organization
    wrong: dict[str, str] = {}
    try:
        name = name_of(name)
    except InvalidError as error:
        wrong |= error.fields
    instructions = instructions.replace("\r\n", "\n").strip()
    if len(instructions) > INSTRUCTIONS_LENGTH or _UNKEEPABLE.search(instructions):
        wrong["instructions"] = f"Use at most {INSTRUCTIONS_LENGTH} characters of plain text."
    if not 0 <= temperature <= 2:
        wrong["temperature"] = "Choose a number from 0 to 2."
    if not 1 <= max_tokens <= MOST_TOKENS:
        wrong["max_tokens"] = f"Choose a whole number from 1 to {MOST_TOKENS}."
    if correction_policy not in list(Policy):
        wrong["correction_policy"] = "Choose one of these."
    if wrong:
        raise InvalidError("; ".join(wrong.values()), wrong)
    if organization.revision != revision:
        raise ConflictError(
            "Somebody else changed these settings meanwhile. Compare yours with theirs, then save again."
        )
    new = {"name": name, "instructions": instructions, "temperature": temperature, "max_tokens": max_tokens}
    new["correction_policy"] = correction_policy
    changed = {key: value for key, value in new.items() if getattr(organization, key) != value}
    if not changed:
        return
    told = {key: [getattr(organization, key), value] for key, value in changed.items() if key != "instructions"}
    for key, value in changed.items():
        setattr(organization, key, value)
    record(
        db,
        request,
        organization.id,
        place.user,
        "settings.changed",
        organization.name,
        **told,
        **({"instructions": "changed"} if "instructions" in changed else {}),
    )
