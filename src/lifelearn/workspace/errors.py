"""Errors that a visitor may cause: each carries its HTTP status and a sentence that says what to do.

Shown as a page, as a fragment for htmx or as JSON, by who asks. Anything else is a bug: logged with its trace, and
shown as one sentence with the request's id.
"""

from __future__ import annotations


class WorkspaceError(Exception):
    """Something that the visitor can understand and mend."""

    status = 400
    title = "That did not work"

    def __init__(self, message: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.headers = headers or {}


class InvalidError(WorkspaceError):
    """What was sent cannot be used. fields: by name, what is wrong with each."""

    status = 422
    title = "Please check what you entered"

    def __init__(self, message: str, fields: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.fields = fields or {}


class SignedOutError(WorkspaceError):
    status = 401
    title = "Sign in"

    def __init__(self, message: str = "Sign in to go on.", headers: dict[str, str] | None = None) -> None:
        super().__init__(message, headers=headers)


class ForbiddenError(WorkspaceError):
    status = 403
    title = "Not allowed"


class NotFoundError(WorkspaceError):
    """Also for what belongs to somebody else: nobody learns that it exists."""

    status = 404
    title = "Not found"

    def __init__(self, message: str = "There is nothing here, or it is not yours to see.") -> None:
        super().__init__(message)


class ProgramError(WorkspaceError):
    """Of /v1, in OpenAI's terms. param: the part of the request that is why. code: OpenAI's word for it."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code


class ConflictError(WorkspaceError):
    status = 409
    title = "Somebody was faster"


class QuotaError(InvalidError):
    """There is no room for it. What was entered is shown again, as with anything that cannot be taken."""

    status = 409
    title = "No room left"


class TooLargeError(WorkspaceError):
    status = 413
    title = "Too large"


class TooManyError(WorkspaceError):
    """seconds: after which it may be tried again."""

    status = 429
    title = "Too many attempts"

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message, headers={"Retry-After": str(seconds)})
        self.seconds = seconds


class UnavailableError(WorkspaceError):
    status = 503
    title = "Not available at the moment"
