"""The organisation, its members, invites and audit log in the JSON API. The rules are those of the pages."""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import APIRouter, Query, Request

from lifelearn.settings import Settings
from lifelearn.workspace.database import Db, commit
from lifelearn.workspace.errors import UnavailableError
from lifelearn.workspace.organizations import audit, inviting, membership
from lifelearn.workspace.programs.caller import Administers, Reader, Reads
from lifelearn.workspace.programs.problems import BODY, problems
from lifelearn.workspace.programs.schemas import (
    Events,
    EventsWanted,
    EventTold,
    InviteAsked,
    InviteMade,
    Invites,
    InviteTold,
    Members,
    MemberTold,
    OrganizationTold,
)
from lifelearn.workspace.tables.programs import Scope

api = APIRouter(prefix="/api/v1")


@api.get("/organization", operation_id="getOrganization", tags=["Organisation"], responses=problems())
def organization(place: Reads) -> OrganizationTold:
    """The organisation that the key belongs to."""
    values = {name: getattr(place.organization, name) for name in OrganizationTold.model_fields if name != "role"}
    return OrganizationTold(**values, role=place.role)


@api.get("/members", operation_id="listMembers", tags=["Organisation"], responses=problems())
def members(caller: Reader, db: Db) -> Members:
    """All members: owners first, then by name."""
    place = caller.place
    addresses = place.may_admin and Scope.ADMIN in caller.key.scopes
    return Members(
        items=[
            MemberTold(
                user_id=each.user_id,
                name=each.user.name,
                email=each.user.email if addresses else None,
                role=membership.role_of(each.role),
                joined_at=each.created_at,
            )
            for each in membership.members_of(db, place.organization.id)
        ]
    )


@api.get("/invites", operation_id="listInvites", tags=["Administration"], responses=problems())
def invites(place: Administers, db: Db) -> Invites:
    """Invites that can still be accepted, newest first."""
    found = inviting.open_invites(db, place.organization.id)
    return Invites(items=[InviteTold.model_validate(each) for each in found])


@api.post(
    "/invites",
    operation_id="createInvite",
    tags=["Administration"],
    status_code=201,
    responses=problems(*BODY, 409),
)
def invite(request: Request, place: Administers, db: Db, asked: InviteAsked) -> InviteMade:
    """Invites an address. The link is mailed if the workspace has a mail server, and else told here, once."""
    settings: Settings = request.app.state.settings
    made, token = inviting.invite(db, request, place, asked.email, asked.role)
    told = InviteTold.model_validate(made)
    commit(db)  # a mail server may take seconds, and the database is not to wait for it
    mailed = False
    if settings.smtp_url is not None:
        try:
            inviting.mail_invite(settings, place, made, token)
            mailed = True
        except UnavailableError:
            pass  # the link is told instead
    return InviteMade(**told.model_dump(), mailed=mailed, link=None if mailed else inviting.link_of(settings, token))


@api.delete(
    "/invites/{invite_id}",
    operation_id="revokeInvite",
    tags=["Administration"],
    status_code=204,
    responses=problems(404, 422),
)
def revoke_invite(request: Request, place: Administers, db: Db, invite_id: uuid.UUID) -> None:
    """Ends an invite that was not accepted yet."""
    inviting.revoke_invite(db, request, place, invite_id)


@api.get("/audit", operation_id="listAuditEvents", tags=["Administration"], responses=problems(422))
def audit_events(place: Administers, db: Db, wanted: Annotated[EventsWanted, Query()]) -> Events:
    """What happened in the organisation, newest first."""
    events, following = audit.page(db, place.organization.id, wanted.filter, wanted.before, wanted.limit)
    return Events(items=[EventTold(**audit.told(event)) for event in events], next=following or None)
