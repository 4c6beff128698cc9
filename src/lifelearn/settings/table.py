"""The table of docs/settings.md: every setting with its default, its meaning and its bounds."""

from __future__ import annotations

from pydantic.fields import FieldInfo

from lifelearn.settings.settings import Settings
from lifelearn.settings.wording import allowed, variable


def settings_table() -> str:
    """In Markdown."""
    rows = [
        f"| `{variable(name, field)}` | {_default(field)} | {_meaning(field)} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows])


def _default(field: FieldInfo) -> str:
    if field.default is None:
        return "unset"
    return f"`{field.default:g}`" if isinstance(field.default, float) else f"`{field.default}`"


def _meaning(field: FieldInfo) -> str:
    bounds = allowed(field)
    return f"{field.description} {bounds[:1].upper()}{bounds[1:]}".strip().replace("|", r"\|")
