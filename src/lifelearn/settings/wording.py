"""How a setting is spoken of: the name of its variable, and what it allows. Knows no setting by name."""

from __future__ import annotations

from types import NoneType
from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from lifelearn.settings.group import PREFIX


def variable(name: str, field: FieldInfo) -> str:
    """The environment variable of a field."""
    return field.validation_alias if isinstance(field.validation_alias, str) else PREFIX + name.upper()


def allowed(field: FieldInfo) -> str:
    """What a field allows, as a phrase with a full stop; "" for text, whose description says it."""
    args = [arg for arg in get_args(field.annotation) if arg is not NoneType]
    if get_origin(field.annotation) is Literal:
        return f"one of {', '.join(f'`{arg}`' for arg in args)}."
    kind = args[0] if args else field.annotation
    if kind is bool:
        return "`true` or `false`."
    if kind not in (int, float):
        return ""
    words = ["a whole number" if kind is int else "a number"]
    for bound in field.metadata:
        for limit, word in (("ge", "from"), ("gt", "above"), ("le", "up to"), ("lt", "below")):
            if hasattr(bound, limit):
                words.append(f"{word} {getattr(bound, limit):,}")
    return f"{' '.join(words)}."
