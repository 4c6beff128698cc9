"""From the environment to settings, or to a sentence for each variable that cannot be used."""

from __future__ import annotations

import difflib
import logging
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pydantic import SecretStr, ValidationError

from lifelearn.settings.group import PREFIX, SettingsError
from lifelearn.settings.settings import Settings
from lifelearn.settings.wording import allowed, variable

log = logging.getLogger(__name__)

DEBUG = "LL_DEBUG"  # read where errors are shown; no setting of the product


def load_settings() -> Settings:
    """The settings of this process's environment.

    Raises `SettingsError` for values that cannot be used. A variable that begins with LL_ but is no
    setting is logged as a warning, with what it was probably meant to be.
    """
    for warning in _unknown(os.environ):
        log.warning("%s", warning)
    try:
        return Settings()
    except ValidationError as error:
        problems = [_problem(problem) for problem in error.errors()]
    raise SettingsError("\n".join(problems))  # out here: the original quotes values, secret ones too


def _problem(problem: Mapping[str, Any]) -> str:
    """One of pydantic's errors, in a sentence."""
    if not problem["loc"]:  # of a model validator, which writes whole sentences
        return str(problem["msg"]).removeprefix("Value error, ")
    place = problem["loc"][0]  # a field's name, or its alias
    name, field = next((n, f) for n, f in Settings.model_fields.items() if place in (n, f.validation_alias))
    value = "" if SecretStr in get_args(field.annotation) else f"={_without_password(str(problem['input']))}"
    return f"{variable(name, field)}{value} cannot be used: {allowed(field) or field.description}"


def _without_password(value: str) -> str:
    return re.sub(r"//.*@", "//***@", value)


def _unknown(names: Iterable[str]) -> list[str]:
    """A sentence for each name that begins with LL_ and is no setting; values may be secret and are not quoted."""
    known = [variable(name, field) for name, field in Settings.model_fields.items()]
    sentences = []
    for name in sorted(name.upper() for name in names):
        if name.startswith(PREFIX) and name not in known and name != DEBUG:
            near = " or ".join(difflib.get_close_matches(name, known, n=3, cutoff=0.7))
            sentences.append(f"{name} is not a setting and has no effect{f'; is {near} meant?' if near else '.'}")
    return sentences
