"""A step of a run: done once; what it came to is recorded by the engine (DBOS) for a run that begins again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dbos import DBOS
from dbos import error as engine_errors

from lifelearn.learning.version import VersionError
from lifelearn.workspace.jobs.claims import CancelledError, LostError
from lifelearn.workspace.jobs.patience import patiently
from lifelearn.workspace.jobs.trainer_handle import LessonError


class _UnrecordedError(BaseException):
    """Passes through the engine without being recorded as what a step came to."""

    def __init__(self, reason: CancelledError | LostError) -> None:
        self.reason = reason


def step(name: str, do: Callable[[], Any]) -> Any:
    """A step of the run: done once, what it came to recorded, troubles with the lesson included."""

    def recorded() -> dict[str, Any]:
        try:
            return {"result": patiently(do)}
        except LessonError as error:
            return {"error": str(error), "again": error.again}
        except (VersionError, OSError) as error:
            return {"error": problem_of(error), "again": False}
        except (CancelledError, LostError) as error:
            raise _UnrecordedError(error) from error

    try:
        came_to = DBOS.run_step({"name": name}, recorded)
    except _UnrecordedError as error:
        raise error.reason from None
    except engine_errors.DBOSUnexpectedStepError as error:
        raise LessonError(
            "The job was begun by another release of the program, which had other stages. Try it again."
        ) from error
    if "error" in came_to:
        raise LessonError(came_to["error"], came_to["again"])
    return came_to["result"]


def problem_of(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"The files of versions could not be read or written: {error.strerror or error}."
    return str(error)
