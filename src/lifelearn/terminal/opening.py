"""From settings to a session: the one place where the terminal chooses a folder, with the models of backends.py.

Imports what it needs when it needs it, so that commands that ask no model start at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lifelearn.backends import chat_model, expert
from lifelearn.settings import Settings, load_settings

if TYPE_CHECKING:
    from lifelearn.terminal.session import Session


def configured(data: Path | None = None, model: str | None = None, seed: int | None = None) -> Settings:
    """The settings of the environment, with what the command line says instead."""
    said = {"model_storage_dir": data, "base_model_name": model, "train_seed": seed}
    return load_settings().model_copy(update={name: value for name, value in said.items() if value is not None})


def open_session(settings: Settings) -> Session:
    """A session with the configured model, the active version and the expert, if there is one."""
    from lifelearn.learning import private
    from lifelearn.learning.version import VersionStore
    from lifelearn.terminal.session import Session

    private.tighten(settings.folder)
    return Session(
        chat_model(settings),
        VersionStore(settings.folder),
        recipe=settings.recipe(),
        expert=expert(settings),
        expert_reads=not settings.local_structured,
    )
