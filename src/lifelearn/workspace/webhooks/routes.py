"""The pages of webhooks, for admins, and of notices, for members. Rules: administration.py, notices.py."""

from __future__ import annotations

import json
import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field, StringConstraints

from lifelearn.workspace.database import Db, commit, database_of
from lifelearn.workspace.errors import ConflictError, InvalidError
from lifelearn.workspace.organizations.place import Here, HereAsAdmin
from lifelearn.workspace.pages import Sent, go, pages_of, render
from lifelearn.workspace.tables.webhooks import Webhook
from lifelearn.workspace.webhooks import administration, notices, signing
from lifelearn.workspace.webhooks.addresses import URL_CHARS
from lifelearn.workspace.webhooks.administration import check_url
from lifelearn.workspace.webhooks.sending import RETRY_SECONDS, payload, sender_of
from lifelearn.workspace.webhooks.service import EVENTS, EVERYTHING, KEPT_DAYS, origin

router = APIRouter(prefix="/o/{organization_id}")

Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2 * URL_CHARS)]  # the rules explain more


class WebhookForm(Sent):
    url: Text = ""
    events: list[Annotated[str, Field(max_length=100)]] = Field([], max_length=50)


class ChangeForm(WebhookForm):
    enabled: bool = False


class Asked(BaseModel):
    """A page of a list. before: a cursor."""

    before: Annotated[str, Field(max_length=200)] = ""


# Notices


@router.get("/notices")
def show_notices(request: Request, place: Here, db: Db, asked: Annotated[Asked, Query()]) -> HTMLResponse:
    """Who looks at the newest has seen all."""
    until = notices.seen_until(db, place)
    found, following = notices.notices(db, place, asked.before)
    page = render(
        request,
        "webhooks/notices.html",
        notices=[(each, notices.link_of(place.url, each.path)) for each in found],
        until=until,
        before=asked.before,
        following=following,
        kept=KEPT_DAYS,
    )
    if found and not asked.before and (until is None or found[0].created_at > until):
        notices.mark_seen(database_of(request), place.organization.id, place.user.id, found[0].created_at)
    return page


@router.get("/notices/unseen")
def unseen(request: Request, place: Here, db: Db) -> HTMLResponse:
    """What the bell shows: asked for by every open page now and then."""
    return render(request, "webhooks/unseen.html", count=notices.unseen(db, place), most=notices.MOST_COUNTED)


# Webhooks


@router.get("/webhooks")
def show(request: Request, place: HereAsAdmin, db: Db) -> HTMLResponse:
    webhooks = [(each, origin(each.url)) for each in administration.listed(db, place.organization.id)]
    return render(request, "webhooks/list.html", webhooks=webhooks, most=administration.MOST_WEBHOOKS)


@router.get("/webhooks/new")
def new(request: Request, place: HereAsAdmin) -> HTMLResponse:
    return _form(request, WebhookForm(events=[EVERYTHING]))


@router.post("/webhooks")
def create(request: Request, place: HereAsAdmin, db: Db, form: Annotated[WebhookForm, Form()]) -> HTMLResponse:
    """Answers with a page and not with a redirect: the secret is in no address and nowhere kept in the clear."""
    try:
        url = check_url(db, place, sender_of(request).check, form.url)
        with database_of(request).write() as writing:
            keys = pages_of(request).keys
            webhook, secret = administration.create(writing, request, place, keys, url, form.events)
    except InvalidError as error:
        return _form(request, form, error.fields, error.status)
    except ConflictError as error:
        return _form(request, form, {"form": error.message}, error.status)
    return render(request, "webhooks/secret.html", webhook=webhook, secret=secret, rotated=False, status=201)


@router.get("/webhooks/{webhook_id}")
def edit(request: Request, place: HereAsAdmin, db: Db, webhook_id: uuid.UUID) -> HTMLResponse:
    webhook = administration.webhook_of(db, place.organization.id, webhook_id)
    form = ChangeForm.model_construct(url=webhook.url, events=webhook.events, enabled=webhook.enabled)
    return _form(request, form, webhook=webhook)


@router.post("/webhooks/{webhook_id}")
def change(
    request: Request, place: HereAsAdmin, db: Db, webhook_id: uuid.UUID, form: Annotated[ChangeForm, Form()]
) -> Response:
    webhook = administration.webhook_of(db, place.organization.id, webhook_id)
    url = None
    try:
        if form.url == webhook.url:  # to disable it, its name need not be found
            commit(db)
        else:
            url = check_url(db, place, sender_of(request).check, form.url)
        with database_of(request).write() as writing:
            administration.change(
                writing, request, place, webhook_id, url=url, events=form.events, enabled=form.enabled
            )
    except InvalidError as error:
        return _form(request, form, error.fields, error.status, webhook)
    return go(request, f"{place.url}/webhooks/{webhook_id}", "saved")


@router.post("/webhooks/{webhook_id}/secret")
def rotate(
    request: Request, place: HereAsAdmin, db: Db, webhook_id: uuid.UUID, form: Annotated[Sent, Form()]
) -> HTMLResponse:
    webhook, secret = administration.rotate(db, request, place, pages_of(request).keys, webhook_id)
    return render(
        request,
        "webhooks/secret.html",
        webhook=webhook,
        secret=secret,
        rotated=True,
        hours=signing.OVERLAP_HOURS,
        status=201,
    )


@router.post("/webhooks/{webhook_id}/delete")
def delete(
    request: Request, place: HereAsAdmin, db: Db, webhook_id: uuid.UUID, form: Annotated[Sent, Form()]
) -> Response:
    administration.remove(db, request, place, webhook_id)
    return go(request, f"{place.url}/webhooks", "deleted")


# Deliveries


@router.post("/webhooks/{webhook_id}/test")
def test(
    request: Request, place: HereAsAdmin, db: Db, webhook_id: uuid.UUID, form: Annotated[Sent, Form()]
) -> Response:
    administration.test(db, request, place, webhook_id)
    return go(request, f"{place.url}/webhooks/{webhook_id}/deliveries")


@router.get("/webhooks/{webhook_id}/deliveries")
def deliveries(
    request: Request, place: HereAsAdmin, db: Db, webhook_id: uuid.UUID, asked: Annotated[Asked, Query()]
) -> HTMLResponse:
    webhook = administration.webhook_of(db, place.organization.id, webhook_id)
    found, following = administration.deliveries(db, webhook, asked.before)
    settings = request.app.state.settings
    bodies = [
        json.dumps(payload(settings, place.organization, each.happening), ensure_ascii=False, indent=2)
        for each in found
    ]
    return render(
        request,
        "webhooks/deliveries.html",
        webhook=webhook,
        origin=origin(webhook.url),
        deliveries=list(zip(found, bodies, strict=True)),
        before=asked.before,
        following=following,
        kept=KEPT_DAYS,
        most=len(RETRY_SECONDS) + 1,
    )


@router.post("/webhooks/{webhook_id}/deliveries/{delivery_id}/replay")
def replay(
    request: Request,
    place: HereAsAdmin,
    db: Db,
    webhook_id: uuid.UUID,
    delivery_id: uuid.UUID,
    form: Annotated[Sent, Form()],
) -> Response:
    administration.replay(db, request, place, webhook_id, delivery_id)
    return go(request, f"{place.url}/webhooks/{webhook_id}/deliveries")


def _form(
    request: Request,
    form: WebhookForm,
    errors: dict[str, str] | None = None,
    status: int = 200,
    webhook: Webhook | None = None,
) -> HTMLResponse:
    """A new webhook's form, or that of one that there is."""
    values: dict[str, Any] = {"form": form, "errors": errors or {}, "webhook": webhook, "events": EVENTS}
    values |= {"everything": EVERYTHING, "chars": URL_CHARS}
    return render(request, "webhooks/form.html", values, status)
