"""The OpenAPI document against the application that gives it: nothing breaks it, and every answer is as documented."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.python import asgi
from schemathesis.specs.openapi.checks import positive_data_acceptance

from lifelearn.settings import Settings
from lifelearn.workspace.programs import caller
from lifelearn.workspace.threads import writing
from lifelearn.workspace.throttle import Limit
from workspace.acme import CALLS, Acme
from workspace.fakes import running
from workspace.programs import bearer

pytestmark = pytest.mark.check("programs")

EXAMPLES = 4
# What refuses more than a schema can tell: which addresses can be invited, that one message at least is a user's, where
# webhooks may go, which words say what is right.
RULES = (
    "POST /api/v1/invites",
    "POST /v1/chat/completions",
    "POST /api/v1/webhooks",
    "PATCH /api/v1/webhooks/{webhook_id}",
    "POST /api/v1/corrections",
    "POST /api/v1/corrections/{correction_id}/teaching",
    "POST /api/v1/corrections/{correction_id}/rejection",
    "POST /api/v1/threads/{thread_id}/messages/{message_id}/correction",
)


@pytest.fixture
def document(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The document of a running application, with a key that may everything and the ids of what is there."""
    monkeypatch.setattr(caller, "CALLS", 10**6)
    monkeypatch.setattr(caller, "FAILURES", 10**6)
    monkeypatch.setattr(writing, "MESSAGES", Limit("message", most=10**6, seconds=60))
    workspace = running(settings)
    workspace.app.state.sender.addresses.resolve = lambda _host, _port: ["127.0.0.1"]  # and so to nowhere
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", workspace.app)  # starts the application
    acme = Acme(workspace)
    there: dict[str, Any] = {"number": 1, "webhook_id": acme.ids["webhook"], "delivery_id": acme.ids["delivery"]}
    there |= {"thread_id": acme.ids["thread"], "message_id": acme.ids["answer"], "invite_id": acme.ids["invite"]}
    there["correction_id"] = acme.ids["asked"]

    @schema.hook
    def map_case(_context: Any, case: Case[Any]) -> Case[Any]:
        """What there is, in place of most of what was drawn: else all would be 404."""
        if case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE:
            if len(str(case.body)) % 4:
                case.path_parameters = {name: str(there.get(name, "life-learn")) for name in case.path_parameters or {}}
            if case.query:
                case.query.pop("before", None)  # nobody makes one up
            if isinstance(case.body, dict) and "model" in case.body:
                case.body["model"] = "life-learn"
        return case

    schema.config.update(headers=bearer(acme.token))
    yield schema
    asgi.shutdown_lifespans()


@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: mode.name.lower())
def test_the_document_is_honest(document: Any, mode: GenerationMode) -> None:
    """What fits the document, and what does not: each a few times for each operation, with and without the key."""
    operations = [found.ok() for found in document.get_all_operations()]
    assert len(operations) == len(CALLS)
    problems = [problem for operation in operations if (problem := _problem(operation, mode))]
    if problems:
        pytest.fail("\n\n".join(problems))


def _problem(operation: Any, mode: GenerationMode) -> str:
    excluded: list[Any] = [positive_data_acceptance] if operation.label in RULES else []

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        suppress_health_check=[*HealthCheck],
        phases=[Phase.generate],
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def holds(case: Case[Any]) -> None:
        case.call_and_validate(excluded_checks=excluded)

    try:
        holds()
    except Unsatisfiable:  # it takes nothing that could be wrong
        assert mode is GenerationMode.NEGATIVE
    except (FailureGroup, Failure) as failure:
        return f"{operation.label}: {failure}"
    return ""
