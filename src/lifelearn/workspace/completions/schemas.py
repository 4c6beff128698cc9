"""What /v1 takes and gives: OpenAI's forms, as far as they fit a model that writes text."""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.types import Conversation, Message
from lifelearn.workspace.errors import ProgramError
from lifelearn.workspace.guard import BODY_BYTES
from lifelearn.workspace.organizations.setup import MOST_TOKENS
from lifelearn.workspace.tables.organizations import Organization

MODEL = "life-learn"
MOST_MESSAGES = 1000
GREEDY_BELOW = 0.01  # a temperature so low that only the likeliest token is left
LEAST_TOP_P = 1e-6  # 0 would leave no token at all
# What would change the answer and is not done here. What would not, such as `user`, is ignored as OpenAI ignores it.
REFUSED = ("tools", "functions", "audio", "logprobs", "top_logprobs", "logit_bias", "prediction", "web_search_options")


def _whole(given: Any) -> Any:
    """1.0 is a whole number in JSON."""
    return int(given) if isinstance(given, float) and given.is_integer() else given


Whole = Annotated[int, BeforeValidator(_whole)]
Text = Annotated[str, Field(max_length=BODY_BYTES)]  # a bound also refuses halves of characters


class TextPart(BaseModel):
    type: Literal["text"]
    text: Text


class ChatMessage(BaseModel):
    """A turn. `developer` is another word for `system`."""

    model_config = ConfigDict(strict=True)

    role: Literal["system", "developer", "user", "assistant"]
    content: Text | Annotated[list[TextPart], Field(min_length=1, max_length=100)]

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class StreamOptions(BaseModel):
    include_usage: bool | None = Field(None, description="Accepted, and not followed: tokens are not counted here.")


class TextFormat(BaseModel):
    type: Literal["text"]


class ChatCompletionRequest(BaseModel):
    """A conversation to be answered. Fields of OpenAI's that are not listed here are ignored.

    Without a system message the organisation's own instructions apply. Where the conversation outgrows the model's
    context, its oldest turns are left out.
    """

    model_config = ConfigDict(extra="ignore", strict=True)

    model: str = Field(max_length=200, description="`life-learn`, or one of the others that `/v1/models` lists.")
    messages: list[ChatMessage] = Field(
        min_length=1, max_length=MOST_MESSAGES, description="One of them at least is the user's."
    )
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(None, ge=0, le=2, description="By default what the organisation has set.")
    top_p: float | None = Field(None, ge=0, le=1)
    max_completion_tokens: Whole | None = Field(
        None,
        ge=1,
        description=f"Most tokens of the answer, up to {MOST_TOKENS}. By default what the organisation has set.",
    )
    max_tokens: Whole | None = Field(None, ge=1, description="The older name of `max_completion_tokens`.")
    seed: Whole | None = Field(None, description="The same seed gives the same answer. By default it is drawn.")
    stop: Text | Annotated[list[Annotated[Text, Field(min_length=1)]], Field(max_length=4)] | None = Field(
        None, description="Texts at which the answer ends; they are not part of it."
    )
    n: Annotated[Literal[1], BeforeValidator(_whole)] | None = Field(1, description="One answer.")
    response_format: TextFormat | None = Field(None, description="Text.")

    @model_validator(mode="before")
    @classmethod
    def _refuse(cls, given: Any) -> Any:
        """Says in words what is not done here, instead of leaving it out unsaid."""
        if not isinstance(given, dict):
            return given
        for name in REFUSED:
            if given.get(name):
                raise ProgramError(
                    f"{name} is not supported here: the model writes text.", name, "unsupported_parameter"
                )
        form = given.get("response_format")
        if isinstance(form, dict) and form.get("type") in ("json_object", "json_schema"):
            told = "Only the response format text is supported here."
            raise ProgramError(told, "response_format", "unsupported_value")
        if isinstance(count := given.get("n"), int) and count > 1:
            raise ProgramError("Only one answer a request is supported here (n=1).", "n", "unsupported_value")
        for message in given["messages"] if isinstance(given.get("messages"), list) else ():
            _refuse_in(message)
        return given

    @property
    def conversation(self) -> Conversation:
        return tuple(
            Message(role="system" if each.role == "developer" else each.role, content=each.text)
            for each in self.messages
        )

    @property
    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) and self.stop else list(self.stop or ())

    def sampling(self, organization: Organization) -> Sampling:
        temperature = organization.temperature if self.temperature is None else self.temperature
        most = self.max_completion_tokens or self.max_tokens or organization.max_tokens
        return Sampling(
            max_tokens=min(most, MOST_TOKENS),
            temperature=0.0 if temperature < GREEDY_BELOW else temperature,
            top_p=1.0 if self.top_p is None else max(self.top_p, LEAST_TOP_P),
            seed=secrets.randbits(32) if self.seed is None else self.seed % 2**32,
        )


class Answer(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class Choice(BaseModel):
    index: Literal[0] = 0
    message: Answer
    logprobs: None = None
    finish_reason: Literal["stop"] = Field(
        "stop", description="Always `stop`: an answer that was cut at its most tokens is not told from one that ended."
    )


class ChatCompletion(BaseModel):
    """An answer. It has no `usage`, since tokens are not counted here."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str = Field(description="The version that answered, such as `life-learn/3`.")
    choices: list[Choice]


class Model(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="When the organisation was made, in seconds since 1970.")
    owned_by: str = Field(description="The organisation's name.")


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


class ErrorDetail(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(BaseModel):
    """An error in OpenAI's form."""

    error: ErrorDetail


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Errors, for the OpenAPI document."""
    meanings = {
        400: "The request cannot be read, or asks for what is not done here.",
        401: "No API key, or one that does not work.",
        403: "The key lacks the scope `chat`.",
        404: "There is no such model.",
        413: "The request is larger than 1 MiB.",
        429: "Too many requests. `Retry-After` says in how many seconds to go on.",
        503: "The model does not answer.",
    }
    found: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorAnswer, "description": meanings[status]} for status in statuses
    }
    return {**found, "default": {"model": ErrorAnswer, "description": "Any other error."}}


def _refuse_in(message: Any) -> None:
    """Refuses turns that are not text: answers of tools, images, sound."""
    if not isinstance(message, dict):
        return
    if message.get("role") in ("tool", "function") or message.get("tool_calls"):
        raise ProgramError("Tools are not supported here: the model writes text.", "messages", "unsupported_value")
    for part in message["content"] if isinstance(message.get("content"), list) else ():
        if isinstance(part, dict) and isinstance(kind := part.get("type"), str) and kind != "text":
            raise ProgramError("The model reads text, and nothing else.", "messages", "unsupported_value")
