"""What the groups of settings have in common: how the environment is read, and how it is refused."""

from __future__ import annotations

from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "LL_"


class SettingsError(Exception):
    """The environment holds values that cannot be used. The text names each variable and what it allows."""


class Group(BaseSettings):
    """Some of the settings, one field each."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,  # `LL_OPENAI_BASE_URL=` in a compose file means "not set"
        str_strip_whitespace=True,
        validate_default=True,
        extra="forbid",
        frozen=True,
    )
