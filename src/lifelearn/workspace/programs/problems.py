"""Errors as /api/v1 tells them (RFC 9457), and as its document lists them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

BODY = (400, 413, 422)  # what may be wrong with one


class Problem(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str = Field(description="What was wrong and what to do, in a sentence.")
    fields: dict[str, str] | None = Field(None, description="With 422: what is wrong with each field.")


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Errors, for the OpenAPI document: those of every call, and `statuses`."""
    meanings = {
        400: "The body cannot be read.",
        401: "No API key, or one that does not work.",
        403: "The key lacks the scope, or its user may not do that.",
        404: "There is nothing here, or it is not yours to see.",
        409: "It cannot be done at the moment; the detail says why.",
        413: "The request is larger than 1 MiB.",
        422: "What was sent does not fit; the fields say where.",
        429: "Too many requests. `Retry-After` says in how many seconds to go on.",
        503: "Something that is needed for it does not answer.",
    }
    content = {"application/problem+json": {"schema": Problem.model_json_schema()}}
    found: dict[int | str, dict[str, Any]] = {
        status: {"description": meanings[status], "content": content} for status in {401, 403, 429, *statuses}
    }
    return found
