"""A chat model behind any OpenAI-compatible URL: the expert, and the chat when the backend is `openai`.

Built on the official synchronous client, with a thread a request for concurrency. Knows nothing of
settings, lessons or corrections; variables are named only in the advice that its errors give.

Retries are counted here rather than by the client (`max_retries=0`): the client would sleep through
a Retry-After of two minutes on every attempt, does not repeat a cut or unreadable answer, and does not
end at all where a server keeps a connection alive with blank lines.
"""

from __future__ import annotations

import json
import logging
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2  # what the openai client is built on; it lets some of its exceptions through
import openai
from openai.types.chat import ChatCompletionChunk

from lifelearn.chat_models.openai_failures import Failures, RequestError
from lifelearn.learning.chat_model import ChatModelError, PartialAnswersError, Sampling
from lifelearn.learning.types import Conversation

log = logging.getLogger(__name__)

OPENAI_URL = "https://api.openai.com/v1"  # said here, as the client would otherwise read its own variable
REFUSABLE = ("seed", "top_p", "temperature")  # sampling parameters that some servers or models do not take

Request = dict[str, Any]
T = TypeVar("T")


class OpenAIChatModel:
    """A model behind an OpenAI-compatible URL. Safe to share between threads.

    base_url: None is OpenAI's own. api_key: "" for servers that want none.
    timeout_s: the longest an attempt may take, or a stream may pause. A conversation takes at most
    about `attempts` times that, waits included.
    transport: replaces the network, in tests.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None,
        api_key: str,
        *,
        timeout_s: float = 60,
        attempts: int = 4,
        concurrency: int = 8,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        if timeout_s <= 0 or attempts < 1 or concurrency < 1:
            raise ValueError("timeout_s must be above 0, attempts and concurrency at least 1")
        url = base_url or OPENAI_URL
        key = api_key.strip()  # a key read from a file often ends in a newline
        if not re.fullmatch(r"[!-~]*", key):  # it would be quoted in the error of the HTTP library
            raise ChatModelError(
                "OPENAI_API_KEY holds a space or a character that no key has. Copy the key again, without quotes."
            )
        self._model = model
        self._url = _shown(url)
        self._failures = Failures(model, self._url, key, timeout_s)
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._concurrency = concurrency
        self._lock = threading.Lock()
        self._refused: set[str] = set()  # parameters that this server turned out not to take
        self._client = openai.OpenAI(
            api_key=key or "none",  # the client insists on one; servers without keys ignore it
            base_url=url,
            timeout=timeout_s,
            max_retries=0,
            http_client=openai.DefaultHttpxClient(transport=transport) if transport else None,
        )

    def __repr__(self) -> str:
        return f"OpenAIChatModel({self._model!r}, {self._url!r})"

    @property
    def name(self) -> str:
        return self._model

    def answer(self, conversations: Sequence[Conversation], sampling: Sampling) -> list[str]:
        """One answer a conversation, in order, asked concurrently.

        Each is asked with its own seed, so that equal conversations can get different answers.
        """

        def one(index: int, stop: threading.Event) -> str:
            return self._retry(self._send, self._request(conversations[index], sampling, index), stop)

        outcomes = self._each(one, len(conversations))
        answers = [None if isinstance(outcome, ChatModelError) else outcome for outcome in outcomes]
        errors = _distinct(outcomes)
        if errors and any(answer is not None for answer in answers):
            raise PartialAnswersError(answers, errors)
        if errors:
            raise ChatModelError(" ".join(errors))
        return [answer for answer in answers if answer is not None]

    def stream(self, conversation: Conversation, sampling: Sampling) -> Iterator[str]:
        """The answer in pieces. Retried until it begins; once it has begun, a failure is an error."""
        request = self._request(conversation, sampling)
        with self._retry(self._open, request, threading.Event()) as chunks:
            said = finished = False
            while (chunk := self._next(chunks)) is not None:
                text, last = _delta(chunk)
                finished = finished or last
                if text:
                    said = said or bool(text.strip())
                    yield text
        if not finished:  # a connection closed in the middle looks like an end
            raise self._failures.cut("the stream ended without a finish_reason")
        if not said:
            raise self._failures.of("returned an empty answer", "Ask again, or use another model")

    def _request(self, conversation: Conversation, sampling: Sampling, index: int = 0) -> Request:
        request: Request = {
            "model": self._model,
            "messages": [message.model_dump() for message in conversation],
            "temperature": sampling.temperature,
            "seed": sampling.seed + index,
            "max_tokens": sampling.max_tokens,
        }
        if sampling.top_p < 1:
            request["top_p"] = sampling.top_p
        for name in REFUSABLE:
            if name in self._refused:
                request.pop(name, None)
        if "max_tokens" in self._refused:
            request["max_completion_tokens"] = request.pop("max_tokens")
        return request

    def _each(self, work: Callable[[int, threading.Event], T], count: int) -> list[T | ChatModelError]:
        """Runs `work` for 0 … count-1 at once; after a failure that any would meet, no further one is begun."""
        stop = threading.Event()
        hopeless: list[ChatModelError] = []

        def one(index: int) -> T | ChatModelError:
            if hopeless:
                return hopeless[0]
            try:
                return work(index, stop)
            except ChatModelError as error:
                if isinstance(error, RequestError) and error.everyone:
                    hopeless.append(error)
                return error

        if not count:
            return []
        with ThreadPoolExecutor(min(count, self._concurrency), thread_name_prefix="openai") as pool:
            try:
                return list(pool.map(one, range(count)))
            finally:
                stop.set()  # Ctrl-C waits for the attempts under way, not for the retries

    def _retry(self, call: Callable[[Request], T], request: Request, stop: threading.Event) -> T:
        """`call(request)`, again while another attempt may help and time is left."""
        end = time.monotonic() + self._attempts * self._timeout_s
        attempt = 1
        while True:
            try:
                return call(request)
            except RequestError as error:
                failure = error
            if self._give_way(request, failure):  # not an attempt: each parameter goes only once
                continue
            failure.attempts = attempt
            pause = min(0.5 * 2 ** (attempt - 1), 8) * random.uniform(0.5, 1)
            if failure.wait is not None:
                pause = failure.wait + random.uniform(0, 0.1)  # never sooner than asked, and not all at once
            late = time.monotonic() + pause > end
            if not failure.again or attempt == self._attempts or late or stop.wait(pause):
                raise failure
            attempt += 1

    def _give_way(self, request: Request, failure: RequestError) -> bool:
        """Leaves out, from now on, a sampling parameter that the server refuses by name, as for reasoning models."""
        if failure.status not in (400, 422):
            return False
        for name in REFUSABLE:
            if name in request and re.search(rf"\b{name}\b", failure.detail):
                del request[name]
                self._refuse(name, "it is left out")
                return True
        if "max_tokens" in request and "max_completion_tokens" in failure.detail:
            request["max_completion_tokens"] = request.pop("max_tokens")
            self._refuse("max_tokens", "max_completion_tokens is sent instead")
            return True
        return False

    def _refuse(self, name: str, instead: str) -> None:
        with self._lock:
            if name not in self._refused:
                self._refused.add(name)
                log.warning("%s at %s does not take %s; %s.", self._model, self._url, name, instead)

    def _send(self, request: Request) -> str:
        """One attempt at a whole answer."""
        end = time.monotonic() + self._timeout_s
        body = bytearray()
        failure: RequestError | None = None
        try:
            # Read in parts: the client's timeout is for each read, and blank lines would reset it for ever.
            with self._client.chat.completions.with_streaming_response.create(**request) as response:
                for part in response.iter_bytes():
                    body += part
                    if time.monotonic() > end:
                        failure = self._failures.too_slow()
                        break
        except (openai.OpenAIError, httpx2.HTTPError) as error:
            failure = self._failures.explain(error)
        if failure:  # raised out here, as the original would otherwise hang on it, with the request's headers
            raise failure
        return self._text(bytes(body))

    def _text(self, body: bytes) -> str:
        try:
            completion = json.loads(body)
            choice = completion["choices"][0]
            content, finish = choice["message"].get("content"), choice.get("finish_reason")
        except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
            content, finish = 0, None  # neither text nor nothing: unreadable
        if content is not None and not isinstance(content, str):
            raise self._failures.of(
                f"sent something that is not a chat completion: {self._failures.clip(body.decode(errors='replace'))!r}",
                "Check that LL_OPENAI_BASE_URL is an OpenAI-compatible URL; it often ends in /v1",
                again=True,
            )
        if not content or not content.strip():
            reason = f" (finish_reason {finish})" if isinstance(finish, str) else ""
            again = finish not in ("length", "content_filter")  # these would come back the same
            raise self._failures.of(f"returned an empty answer{reason}", "Ask again, or use another model", again=again)
        return content.strip()

    def _open(self, request: Request) -> openai.Stream[ChatCompletionChunk]:
        """One attempt at opening a stream."""
        try:
            return self._client.chat.completions.create(**request, stream=True)
        except (openai.OpenAIError, httpx2.HTTPError) as error:
            failure = self._failures.explain(error)
        raise failure

    def _next(self, chunks: openai.Stream[ChatCompletionChunk]) -> object | None:
        try:
            return next(chunks, None)
        except (openai.OpenAIError, httpx2.HTTPError) as error:
            failure = self._failures.cut(self._failures.explain(error).what)
        except (ValueError, RecursionError):
            failure = self._failures.cut("it sent something that is not JSON, or far too deep")
        raise failure


def _shown(url: str) -> str:
    """The URL without what may be secret in it; refuses what is not http(s)."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        shown = re.sub(r"//[^/@]*@", "//***@", url)
        raise ChatModelError(
            f"{shown!r} is not a URL of a chat server. "
            "Set LL_OPENAI_BASE_URL to one that begins with http:// or https://, such as http://localhost:8000/v1."
        )
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")


def _distinct(outcomes: Sequence[object]) -> list[str]:
    return list(dict.fromkeys(str(outcome) for outcome in outcomes if isinstance(outcome, ChatModelError)))


def _delta(chunk: object) -> tuple[str, bool]:
    """A chunk's text, and whether it ends the answer. The client does not validate, so neither is sure to be there."""
    choices = getattr(chunk, "choices", None)
    choice = choices[0] if isinstance(choices, list) and choices else None
    text = getattr(getattr(choice, "delta", None), "content", None)
    return text if isinstance(text, str) else "", getattr(choice, "finish_reason", None) is not None
