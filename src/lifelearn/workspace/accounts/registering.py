"""Registering: the form, the mailed link that completes it, and the first account with its organisation.

What an answer tells of an address: nothing, as far as that is possible. With a mail server, the answer is that a mail
is on its way, and only the mailbox learns the rest; there is no account before its link was opened and the password
given again, so that nobody gets an account that somebody else knows the password of. Without one, the answer leads to
the sign-in page and says that the account is there if the address was free. Whoever then tries to sign in can tell,
but has made an account for each address that had none, and few of them, since both are throttled. Who comes by an
invite is signed in at once: the link went to that address, or came from an admin, who may know who has an account.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from sqlalchemy.orm import Session
from starlette.background import BackgroundTask

from lifelearn.workspace import throttle
from lifelearn.workspace.accounts import mails, sealed, service
from lifelearn.workspace.accounts.fields import AccountForm, Password, Text, clean_team, password_problem
from lifelearn.workspace.accounts.identities import invite_of
from lifelearn.workspace.accounts.signing_in import Next, NextField, sign_in_path, signed_in
from lifelearn.workspace.crypto import hash_password, password_is
from lifelearn.workspace.database import Db, commit
from lifelearn.workspace.errors import ConflictError, ForbiddenError, NotFoundError
from lifelearn.workspace.names import clean_email, clean_name, same_address
from lifelearn.workspace.organizations.founding import create
from lifelearn.workspace.pages import Pages, Visitor, address_of, go, own_path, pages_of, render
from lifelearn.workspace.tables.accounts import SignIn
from lifelearn.workspace.tables.organizations import Invite

router = APIRouter()


class RegisterForm(AccountForm):
    """organization: for the first account alone."""

    email: Text = ""
    name: Text = ""
    password: Password = ""
    organization: Text = ""
    next: NextField = ""


@router.get("/register")
def register_page(request: Request, visitor: Visitor, db: Db, next: Next = "") -> Response:
    if visitor.user is not None:
        return go(request, own_path(next))
    first = not service.has_users(db)
    invite = _invite(request, db, next, first)
    return _register_page(request, RegisterForm(next=next), first, invite)


@router.post("/register")
def register(request: Request, visitor: Visitor, db: Db, form: Annotated[RegisterForm, Form()]) -> Response:
    first = service.is_first(db)
    if not first and form.organization:
        raise ConflictError("Somebody made the first account a moment ago. Register again, or ask for an invite.")
    invite = _invite(request, db, form.next, first)
    values, errors = _checked(form, first)
    email, name = values["email"], values["name"]
    if invite is not None and not errors and not same_address(email, invite.email):
        errors["email"] = f"The invite is for {invite.email}. Use that address."
    if errors:
        return _register_page(request, form, first, invite, errors)
    if first:
        return _register_first(request, visitor.sign_in, db, values, form.password)
    service.REGISTER_NETWORK.count(db, throttle.network(address_of(request)))
    service.REGISTER_EMAIL.count(db, email)
    known = service.find(db, form.email)
    if known is not None:  # an earlier release may have kept it in another form
        email = known.email
    commit(db)
    pages = pages_of(request)
    password_hash = hash_password(form.password)
    where = own_path(form.next)
    if invite is None and pages.settings.smtp_url is not None:
        response = go(request, sign_in_path(form.next), "confirm-sent")
        response.background = BackgroundTask(mails.registration, pages, email, name, password_hash, where)
        return response
    token = None
    with pages.database.write() as writing:
        user = service.add_user(writing, email, name, password_hash)
        if user is not None and invite is not None:
            token, _sign_in = service.begin(writing, request, user, visitor.sign_in)
    if token is None:
        return go(request, sign_in_path(form.next), "registered")
    return signed_in(request, pages, where, token)


@router.get("/register/{token}")
def confirm_page(request: Request, token: str) -> Response:
    values = _registration(pages_of(request), token)
    return render(request, "accounts/confirm.html", {"email": values["email"], "errors": {}})


class PasswordForm(AccountForm):
    password: Password = ""


@router.post("/register/{token}")
def confirm(request: Request, visitor: Visitor, db: Db, token: str, form: Annotated[PasswordForm, Form()]) -> Response:
    """Makes the account whose address is proven by the link, for who knows the password: it is one and the same."""
    pages = pages_of(request)
    values = _registration(pages, token)
    limits = service.sign_in_limits(request, values["email"])
    for limit, who in limits:
        limit.count(db, who)
    commit(db)
    if not password_is(form.password, values["password_hash"]):
        errors = {"password": "This is not the password that was chosen. If you did not choose one, register anew."}
        return render(request, "accounts/confirm.html", {"email": values["email"], "errors": errors}, 422)
    made = None
    with pages.database.write() as writing:
        for limit, who in limits:
            limit.forgive(writing, who)
        user = service.add_user(writing, values["email"], values["name"], values["password_hash"])
        if user is not None:
            made, _sign_in = service.begin(writing, request, user, visitor.sign_in)
    if made is None:
        return go(request, sign_in_path(values["next"]), "registered")
    return signed_in(request, pages, values["next"], made)


def _register_first(
    request: Request, replaces: SignIn | None, db: Session, values: dict[str, str], password: str
) -> Response:
    """The first account with its organisation, in one transaction that nobody else's can pass."""
    user = service.add_user(db, values["email"], values["name"], hash_password(password))
    assert user is not None
    organization = create(db, request, user, values["organization"])
    token, _sign_in = service.begin(db, request, user, replaces)
    return signed_in(request, pages_of(request), f"/o/{organization.id}", token)


def _checked(form: RegisterForm, first: bool) -> tuple[dict[str, str], dict[str, str]]:
    """What was entered, made clean, and what is wrong with it."""
    values: dict[str, str] = {"email": "", "name": ""}
    errors: dict[str, str] = {}
    checks: list[tuple[str, Callable[[str], str], str]] = [
        ("email", clean_email, form.email),
        ("name", clean_name, form.name),
    ]
    if first:
        checks.append(("organization", clean_team, form.organization))
    for field, check, entered in checks:
        try:
            values[field] = check(entered)
        except ValueError as error:
            errors[field] = str(error)
    if problem := password_problem(form.password, values["email"], values["name"]):
        errors["password"] = problem
    return values, errors


def _invite(request: Request, db: Session, where: str, first: bool) -> Invite | None:
    """The open invite that somebody comes by. Raises ForbiddenError where one is needed."""
    invite = invite_of(db, where)
    if invite is None and not first and pages_of(request).settings.registration == "invited":
        raise ForbiddenError("New accounts need an invite here. Ask an admin of your organisation for one.")
    return invite


def _register_page(
    request: Request, form: RegisterForm, first: bool, invite: Invite | None, errors: dict[str, str] | None = None
) -> Response:
    context = {"form": form, "first": first, "invite": invite, "errors": errors or {}}
    return render(request, "accounts/register.html", context, 422 if errors else 200)


def _registration(pages: Pages, token: str) -> dict[str, str]:
    """What a registration's link holds."""
    values = sealed.unseal(pages.keys, mails.REGISTRATION, token)
    if values is None or pages.settings.registration != "open":
        raise NotFoundError("This link does not work any more. Register again.")
    return values
