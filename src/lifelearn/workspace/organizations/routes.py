"""The pages of an organisation: made, joined, members, settings, model, audit log. Decides nothing."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Form, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from lifelearn.settings import Settings
from lifelearn.workspace.database import Db, commit, database_of, now
from lifelearn.workspace.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from lifelearn.workspace.names import same_address
from lifelearn.workspace.organizations import audit, founding, inviting, membership, setup
from lifelearn.workspace.organizations.ending import delete_here
from lifelearn.workspace.organizations.place import Here, HereAsAdmin, HereAsOwner, Place
from lifelearn.workspace.pages import SignedIn, Visitor, go, render
from lifelearn.workspace.tables.organizations import Invite, Role

router = APIRouter()

Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=1000)]  # the rules are stricter, and explain
LongText = Annotated[str, StringConstraints(strip_whitespace=True, max_length=100_000)]
Token = Annotated[str, Path(max_length=200)]


class Sent(BaseModel):
    """What a form may hold; anything else is refused."""

    model_config = ConfigDict(extra="forbid")

    csrf: Text = ""


class Asked(audit.Filter):
    """A page of the audit log. before: a cursor."""

    before: Text = ""


class NameForm(Sent):
    name: Text = ""


class RoleForm(Sent):
    role: Text = ""


class InviteForm(RoleForm):
    email: Text = ""


class SettingsForm(NameForm):
    revision: int = Field(ge=1, le=2**31 - 1)
    instructions: LongText = ""
    temperature: Text = ""
    max_tokens: Text = ""
    correction_policy: Text = ""


# A new organisation


@router.get("/organizations/new")
def new(request: Request, sign_in: SignedIn) -> Response:
    return render(request, "organizations/new.html", name="", errors={})


@router.post("/organizations/new")
def create(request: Request, sign_in: SignedIn, db: Db, form: Annotated[NameForm, Form()]) -> Response:
    try:
        organization = founding.create(db, request, sign_in.user, form.name)
    except InvalidError as error:
        return render(request, "organizations/new.html", name=form.name, errors=error.fields, status=error.status)
    return go(request, f"/o/{organization.id}")


# Members


@router.get("/o/{organization_id}/members")
def members(request: Request, place: Here, db: Db) -> Response:
    return render(request, "organizations/members.html", _members(db, place))


@router.post("/o/{organization_id}/members/{user_id}/role")
def change_role(
    request: Request, place: HereAsOwner, db: Db, user_id: uuid.UUID, form: Annotated[RoleForm, Form()]
) -> Response:
    membership.change_role(db, request, place, user_id, membership.role_of(form.role))
    return go(request, f"{place.url}/members", "saved")


@router.get("/o/{organization_id}/members/{user_id}/remove")
def ask_to_remove(request: Request, place: HereAsAdmin, db: Db, user_id: uuid.UUID) -> Response:
    member = next((each for each in membership.members_of(db, place.organization.id) if each.user_id == user_id), None)
    if member is None:
        raise NotFoundError
    membership.need_to_remove(place, member)
    return render(request, "organizations/remove.html", member=member)


@router.post("/o/{organization_id}/members/{user_id}/remove")
def remove(request: Request, place: HereAsAdmin, db: Db, user_id: uuid.UUID, form: Annotated[Sent, Form()]) -> Response:
    membership.remove(db, request, place, user_id)
    return go(request, f"{place.url}/members", "removed")


@router.get("/o/{organization_id}/leave")
def ask_to_leave(request: Request, place: Here, db: Db) -> Response:
    others = [each for each in membership.members_of(db, place.organization.id) if each.user_id != place.user.id]
    stays = place.may_own and not any(each.role == Role.OWNER for each in others)
    return render(request, "organizations/leave.html", stays=stays, alone=not others)


@router.post("/o/{organization_id}/leave")
def leave(request: Request, place: Here, db: Db, form: Annotated[Sent, Form()]) -> Response:
    membership.leave(db, request, place)
    return go(request, "/", "left")


# Invites


@router.post("/o/{organization_id}/invites")
def invite(request: Request, place: HereAsAdmin, db: Db, form: Annotated[InviteForm, Form()]) -> Response:
    try:
        made, token = inviting.invite(db, request, place, form.email, membership.role_of(form.role))
    except InvalidError as error:
        shown = _members(db, place, email=form.email, role=form.role, errors=error.fields)
        return render(request, "organizations/members.html", shown, error.status)
    return _invited(request, place, db, made, token)


@router.post("/o/{organization_id}/invites/{invite_id}/resend")
def resend(
    request: Request, place: HereAsAdmin, db: Db, invite_id: uuid.UUID, form: Annotated[Sent, Form()]
) -> Response:
    made, token = inviting.resend_invite(db, request, place, invite_id)
    return _invited(request, place, db, made, token)


@router.post("/o/{organization_id}/invites/{invite_id}/revoke")
def revoke(
    request: Request, place: HereAsAdmin, db: Db, invite_id: uuid.UUID, form: Annotated[Sent, Form()]
) -> Response:
    inviting.revoke_invite(db, request, place, invite_id)
    return go(request, f"{place.url}/members", "revoked")


@router.get("/invites/{token}")
def show_invite(request: Request, visitor: Visitor, db: Db, token: Token) -> Response:
    found = inviting.open_invite(db, token)
    if found is None:
        raise inviting.invite_gone()
    user = visitor.user
    member = user is not None and membership.is_member(db, found.organization_id, user.id)
    fits = user is not None and same_address(user.email, found.email)
    return render(request, "organizations/invite.html", invite=found, token=token, member=member, fits=fits)


@router.post("/invites/{token}")
def accept(request: Request, sign_in: SignedIn, db: Db, token: Token, form: Annotated[Sent, Form()]) -> Response:
    accepted = inviting.accept_invite(db, request, sign_in.user, token)
    return go(request, f"/o/{accepted.organization_id}")


def _invited(request: Request, place: Place, db: Db, made: Invite, token: str) -> Response:
    """After an invite is made: it is mailed, or its link is shown this once."""
    settings: Settings = request.app.state.settings
    shown, unsent = _members(db, place), ""
    commit(db)  # a mail server may take seconds, and the database is not to wait for it
    if settings.smtp_url is not None:
        try:
            inviting.mail_invite(settings, place, made, token)
        except UnavailableError as error:
            unsent = error.message
        else:
            return go(request, f"{place.url}/members", "invited")
    shown |= {"link": inviting.link_of(settings, token), "invited": made.email, "unsent": unsent}
    return render(request, "organizations/members.html", shown)


def _members(db: Db, place: Place, email: str = "", role: str = Role.MEMBER, **more: Any) -> dict[str, Any]:
    """What the page of members shows."""
    organization_id = place.organization.id
    found = membership.members_of(db, organization_id)
    return {
        "members": found,
        "invites": inviting.open_invites(db, organization_id) if place.may_admin else [],
        "roles": list(Role),
        "mine": place.role,
        "may_remove": {each.user_id for each in found if membership.may_remove(place, each)},
        "form": {"email": email, "role": role},
        "errors": {},
        "link": "",
        **more,
    }


# Settings


@router.get("/o/{organization_id}/settings")
def settings_page(request: Request, place: Here) -> Response:
    organization = place.organization
    keys = ("name", "instructions", "temperature", "max_tokens", "correction_policy")
    form = {key: getattr(organization, key) for key in keys}
    return _settings(request, form)


@router.post("/o/{organization_id}/settings")
def save_settings(request: Request, place: HereAsAdmin, db: Db, form: Annotated[SettingsForm, Form()]) -> Response:
    values = form.model_dump(exclude={"csrf", "revision"})
    try:
        setup.change_settings(
            db,
            request,
            place,
            revision=form.revision,
            name=form.name,
            instructions=form.instructions,
            temperature=_number(form.temperature),
            max_tokens=int(form.max_tokens) if form.max_tokens.isdecimal() else 0,
            correction_policy=form.correction_policy or place.organization.correction_policy,
        )
    except InvalidError as error:
        return _settings(request, values, errors=error.fields, revision=form.revision, status=error.status)
    except ConflictError as error:
        names = {"name": "Name", "instructions": "Instructions", "temperature": "Temperature"}
        theirs = {
            label: getattr(place.organization, key)
            for key, label in (names | {"max_tokens": "Longest answer", "correction_policy": "Corrections"}).items()
            if str(getattr(place.organization, key)) != str(values[key])
        }
        return _settings(request, values, conflict=error.message, theirs=theirs, status=error.status)
    return go(request, f"{place.url}/settings", "saved")


@router.get("/o/{organization_id}/delete")
def ask_to_delete(request: Request, place: HereAsOwner) -> Response:
    return render(request, "organizations/delete.html", name="", errors={})


@router.post("/o/{organization_id}/delete")
def delete(request: Request, place: HereAsOwner, db: Db, form: Annotated[NameForm, Form()]) -> Response:
    try:
        delete_here(db, request, place, form.name)
    except InvalidError as error:
        return render(request, "organizations/delete.html", name=form.name, errors=error.fields, status=error.status)
    return go(request, "/", "deleted")


def _settings(request: Request, form: dict[str, Any], status: int = 200, **more: Any) -> Response:
    limits = {"instructions": setup.INSTRUCTIONS_LENGTH, "max_tokens": setup.MOST_TOKENS}
    organization = request.state.place.organization
    shown = {"errors": {}, "conflict": "", "theirs": {}, "revision": organization.revision, "limits": limits, **more}
    return render(request, "organizations/settings.html", {"form": form, **shown}, status)


def _number(text: str) -> float:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return -1.0  # refused, with a message


# The model


@router.get("/o/{organization_id}/model")
def model(request: Request, place: Here) -> Response:
    return render(request, "organizations/model.html", inference=request.app.state.inference)


# The audit log


@router.get("/o/{organization_id}/audit")
def audit_log(request: Request, place: HereAsAdmin, db: Db, wanted: Annotated[Asked, Query()]) -> Response:
    events, following = audit.page(db, place.organization.id, wanted, wanted.before)
    actions, people = audit.choices(db, place.organization.id)
    return render(
        request,
        "organizations/audit.html",
        events=events,
        following=following,
        actions=actions,
        people=people,
        wanted=wanted,
        query={key: str(value) for key, value in wanted.model_dump(exclude={"before"}).items() if value},
    )


@router.get("/o/{organization_id}/audit.csv")
def audit_csv(request: Request, place: HereAsAdmin, wanted: Annotated[audit.Filter, Query()]) -> Response:
    return _download(audit.as_csv(database_of(request), place.organization.id, wanted), "text/csv", "csv")


@router.get("/o/{organization_id}/audit.jsonl")
def audit_json_lines(request: Request, place: HereAsAdmin, wanted: Annotated[audit.Filter, Query()]) -> Response:
    lines = audit.as_json_lines(database_of(request), place.organization.id, wanted)
    return _download(lines, "application/jsonl", "jsonl")


def _download(parts: Iterator[str], media_type: str, ending: str) -> Response:
    name = f"audit-log-{now():%Y-%m-%d}.{ending}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(parts, media_type=media_type, headers=headers)
