"""What goes wrong at an OpenAI-compatible server, as one sentence with its advice, and never with the key.

Says whether another attempt may help; attempts are made in `openai.py`.
"""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Mapping
from typing import Any

import httpx2
import openai

from lifelearn.learning.chat_model import ChatModelError


class RequestError(ChatModelError):
    """Why a request failed.

    what, advice: what was wrong and what to do about it, without full stops.
    again: another attempt may help; not before `wait` seconds, where the server said so.
    everyone: any other conversation would fail alike.
    status, detail: what the server said, if it did.
    """

    def __init__(
        self,
        what: str,
        advice: str,
        *,
        again: bool = False,
        wait: float | None = None,
        everyone: bool = False,
        status: int = 0,
        detail: str = "",
    ) -> None:
        super().__init__(what, advice)
        self.what, self.advice, self.again, self.wait = what, advice, again, wait
        self.everyone, self.status, self.detail = everyone, status, detail
        self.attempts = 1

    def __str__(self) -> str:
        attempts = f" ({self.attempts} attempts)" if self.attempts > 1 else ""
        return f"{self.what}{attempts}. {self.advice}."


class Failures:
    """Those of one model at one server. key: what no sentence may hold."""

    def __init__(self, model: str, url: str, key: str, timeout_s: float) -> None:
        self._model, self._url, self._key, self._timeout_s = model, url, key, timeout_s

    def of(self, what: str, advice: str, **more: Any) -> RequestError:
        return RequestError(f"{self._model} at {self._url} {what}", advice, **more)

    def cut(self, reason: str) -> RequestError:
        return self.of(f"broke off in the middle of its answer: {reason}", "Ask again")

    def too_slow(self) -> RequestError:
        advice = "Check that the server is not overloaded, or use a faster model"
        return self.of(f"did not answer within {self._timeout_s:g} s", advice, again=True)

    def explain(self, error: openai.OpenAIError | httpx2.HTTPError) -> RequestError:
        """The failure in words, without the key."""
        if isinstance(error, openai.APIStatusError):
            return self._explain_status(error)
        if isinstance(error, openai.APITimeoutError | httpx2.TimeoutException):
            return self.too_slow()
        cause = error.__cause__ or error
        reason = self.clip(str(cause) or type(cause).__name__)
        if isinstance(cause, httpx2.ConnectError):
            advice = "Check that the server runs, the network, and LL_OPENAI_BASE_URL"
            return self.of(f"could not be reached: {reason}", advice, again=True, everyone=True)
        return self.of(f"failed: {reason}", "Try again", again=True)

    def _explain_status(self, error: openai.APIStatusError) -> RequestError:
        status = error.status_code
        detail = _detail(error.body)
        said = error.body.get("message") if isinstance(error.body, Mapping) else None
        reason = self.clip(said if isinstance(said, str) else detail)
        wait = retry_after(error.response.headers.get("retry-after"))

        def failure(what: str, advice: str, **more: Any) -> RequestError:
            return self.of(what, advice, status=status, detail=self._without_key(detail), **more)

        match status:
            case 401 if not self._key:
                return failure("asks for a key (401)", "Set OPENAI_API_KEY", everyone=True)
            case 401:
                return failure("refused the key (401)", "Check OPENAI_API_KEY", everyone=True)
            case 403:
                return failure(f"does not allow this (403): {reason}", "Check what the key may use")
            case 404:
                advice = "Check LL_OPENAI_MODEL and LL_OPENAI_BASE_URL"
                return failure(f"was not found (404): {reason}", advice, everyone=True)
            case 429 if error.code == "insufficient_quota":
                advice = "Add credit to the account, or use another key"
                return failure("has no quota left for this key (429)", advice, everyone=True)
            case 429:
                asked = f" and asks to wait {wait:.0f} s" if wait else ""
                return failure(f"gets too many requests (429){asked}", "Try again later", again=True, wait=wait)
            case 408 | 409:
                return failure(f"gave up on the request ({status}): {reason}", "Try again", again=True, wait=wait)
            case _ if status >= 500:
                advice = "Try again later, or look at the server's log"
                return failure(f"failed with an error of its own ({status}): {reason}", advice, again=True, wait=wait)
            case _:
                advice = "Check LL_OPENAI_MODEL and the length of the conversation"
                return failure(f"rejected the request ({status}): {reason}", advice)

    def clip(self, text: str) -> str:
        """The server's words on one short line; some servers repeat the key."""
        text = " ".join(self._without_key(text).split())
        return text if len(text) <= 200 else text[:199] + "…"

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


def _detail(body: object) -> str:
    """What a server said of an error, as a text."""
    try:
        return body if isinstance(body, str) else json.dumps(body)
    except RecursionError:
        return "something that is nested too deep"


def retry_after(header: str | None) -> float | None:
    """Seconds from a Retry-After header, which is a number or a date."""
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return None
