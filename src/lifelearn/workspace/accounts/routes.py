"""The way in and out: the start page, registering, signing in and out, a forgotten password.

What an answer tells of an address: nothing, as far as that is possible.
- Signing in takes as long and says the same for an address without an account.
- A forgotten password is answered before it is looked whether there is one.
- Registering: with a mail server, the answer is that a mail is on its way, and only the mailbox learns the rest; there
  is no account before its link was opened and the password given again, so that nobody gets an account that somebody
  else knows the password of. Without one, the answer leads to the sign-in page and says that the account is there if
  the address was free. Whoever then tries to sign in can tell, but has made an account for each address that had none,
  and few of them, since both are throttled. Who comes by an invite is signed in at once: the link went to that
  address, or came from an admin, who may know who has an account.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response
from pydantic import Field
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session
from starlette.background import BackgroundTask

from lifelearn.workspace import throttle
from lifelearn.workspace.accounts import account, mails, sealed, service, single_sign_on, totp
from lifelearn.workspace.accounts.fields import AccountForm, Password, Text, clean_team, password_problem
from lifelearn.workspace.accounts.identities import invite_of
from lifelearn.workspace.accounts.single_sign_on import with_next
from lifelearn.workspace.crypto import hash_password, hash_token, password_is
from lifelearn.workspace.database import Db, commit, now
from lifelearn.workspace.errors import ConflictError, ForbiddenError, NotFoundError
from lifelearn.workspace.names import clean_email, clean_name, same_address
from lifelearn.workspace.organizations.place import memberships_of
from lifelearn.workspace.pages import (
    IDLE_DAYS,
    NOTICES,
    Pages,
    Visitor,
    address_of,
    go,
    own_path,
    pages_of,
    render,
    set_cookie,
)
from lifelearn.workspace.tables.accounts import PasswordReset, SignIn, User
from lifelearn.workspace.tables.organizations import Invite

router = APIRouter()

WRONG = "The address or the password is wrong."
Next = Annotated[str, Query(max_length=2000)]
NextField = Annotated[str, Field(max_length=2000)]


@router.get("/")
def home(request: Request, visitor: Visitor, db: Db) -> Response:
    """Where somebody goes who only knows the address of the workspace."""
    user, given = visitor.user, request.query_params.get("notice", "")
    notice = given if given in NOTICES else ""
    if user is None:
        if visitor.sign_in is not None:
            return go(request, "/sign-in/code")
        return go(request, "/sign-in" if service.has_users(db) else "/register", notice)
    ids = [str(membership.organization_id) for membership in memberships_of(db, user.id)]
    last = request.cookies.get(pages_of(request).place_cookie)
    if not ids:
        return go(request, "/organizations/new", notice)
    return go(request, f"/o/{last if last in ids else ids[0]}", notice)


# Registering


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
        response = go(request, _sign_in_path(form.next), "confirm-sent")
        response.background = BackgroundTask(mails.registration, pages, email, name, password_hash, where)
        return response
    token = None
    with pages.database.write() as writing:
        user = service.add_user(writing, email, name, password_hash)
        if user is not None and invite is not None:
            token, _sign_in = service.begin(writing, request, user, visitor.sign_in)
    if token is None:
        return go(request, _sign_in_path(form.next), "registered")
    return _signed_in(request, pages, where, token)


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
        return go(request, _sign_in_path(values["next"]), "registered")
    return _signed_in(request, pages, values["next"], made)


def _register_first(
    request: Request, replaces: SignIn | None, db: Session, values: dict[str, str], password: str
) -> Response:
    """The first account with its organisation, in one transaction that nobody else's can pass."""
    from lifelearn.workspace.organizations.service import create

    user = service.add_user(db, values["email"], values["name"], hash_password(password))
    assert user is not None
    organization = create(db, request, user, values["organization"])
    token, _sign_in = service.begin(db, request, user, replaces)
    return _signed_in(request, pages_of(request), f"/o/{organization.id}", token)


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


# Signing in and out


class SignInForm(AccountForm):
    email: Text = ""
    password: Password = ""
    next: NextField = ""


@router.get("/sign-in")
def sign_in_page(request: Request, visitor: Visitor, next: Next = "") -> Response:
    if visitor.user is not None:
        return go(request, own_path(next))
    return _sign_in_page(request, SignInForm(next=next))


@router.post("/sign-in")
def sign_in(request: Request, visitor: Visitor, db: Db, form: Annotated[SignInForm, Form()]) -> Response:
    limits = service.sign_in_limits(request, form.email)
    for limit, who in limits:
        limit.count(db, who)
    found = service.find(db, form.email)
    commit(db)
    pages = pages_of(request)
    if not password_is(form.password, found.password_hash if found else None) or found is None:
        service.log.info("sign-in failed", user=str(found.id) if found else "unknown", address=address_of(request))
        return _sign_in_page(request, form, WRONG)
    with pages.database.write() as writing:
        user = writing.get(User, found.id)
        if user is None or user.password_hash != found.password_hash:  # changed in this very moment
            return _sign_in_page(request, form, WRONG)
        for limit, who in limits:
            limit.forgive(writing, who)
        token, made = service.begin(writing, request, user, visitor.sign_in)
    if made.waits_for_code:
        return _signed_in(request, pages, with_next("/sign-in/code", form.next), token, days=None)
    return _signed_in(request, pages, own_path(form.next), token)


class CodeForm(AccountForm):
    code: Text = ""
    next: NextField = ""


@router.get("/sign-in/code")
def code_page(request: Request, visitor: Visitor, next: Next = "") -> Response:
    if visitor.user is not None:
        return go(request, own_path(next))
    if visitor.sign_in is None:
        return go(request, _sign_in_path(next))
    return render(request, "accounts/code.html", {"next": next, "errors": {}})


@router.post("/sign-in/code")
def enter_code(request: Request, visitor: Visitor, db: Db, form: Annotated[CodeForm, Form()]) -> Response:
    """The second factor. All in one transaction: a code is used up by the sign-in that it opens, or by nothing."""
    waiting = visitor.sign_in
    if waiting is None or not waiting.waits_for_code:
        return go(request, _sign_in_path(form.next))
    for limit in (service.CODE_USER, service.CODE_USER_DAY):
        limit.count(db, str(waiting.user_id))
    pages = pages_of(request)
    if not totp.use(db, pages.keys, waiting.user, form.code):
        service.log.info("second factor failed", user=str(waiting.user_id), address=address_of(request))
        errors = {"code": "This code is wrong, or it was used already. Wait for the next one."}
        return render(request, "accounts/code.html", {"next": form.next, "errors": errors}, 422)
    for limit in (service.CODE_USER, service.CODE_USER_DAY):
        limit.forgive(db, str(waiting.user_id))
    token = service.renew(waiting)
    return _signed_in(request, pages, own_path(form.next), token)


@router.post("/sign-out")
def sign_out(request: Request, visitor: Visitor, db: Db) -> Response:
    if visitor.sign_in is not None:
        service.end(db, visitor.sign_in.id)
    return account.signed_out(request, "signed-out")


def _sign_in_page(request: Request, form: SignInForm, problem: str = "") -> Response:
    settings = pages_of(request).settings
    invited = own_path(form.next).startswith("/invites/")
    context = {
        "form": form,
        "problem": problem,
        "oidc_path": with_next("/sign-in/oidc", form.next),
        "register_path": with_next("/register", form.next) if settings.registration == "open" or invited else "",
    }
    return render(request, "accounts/sign_in.html", context, 422 if problem else 200)


def _signed_in(request: Request, pages: Pages, where: str, token: str, days: int | None = IDLE_DAYS) -> Response:
    response = go(request, where)
    set_cookie(response, pages, token, days=days)
    return response


def _sign_in_path(where: str) -> str:
    return with_next("/sign-in", where)


# A forgotten password


class ForgottenForm(AccountForm):
    email: Text = ""


@router.get("/forgotten-password")
def forgotten_page(request: Request) -> Response:
    _need_mail(request)
    return render(request, "accounts/forgotten.html", {"email": "", "errors": {}})


@router.post("/forgotten-password")
def forgotten(request: Request, db: Db, form: Annotated[ForgottenForm, Form()]) -> Response:
    _need_mail(request)
    try:
        email = clean_email(form.email)
    except ValueError as error:
        context = {"email": form.email, "errors": {"email": str(error)}}
        return render(request, "accounts/forgotten.html", context, 422)
    service.RESET_NETWORK.count(db, throttle.network(address_of(request)))
    service.RESET_EMAIL.count(db, email)
    response = go(request, "/sign-in", "reset-sent")
    response.background = BackgroundTask(mails.reset, pages_of(request), form.email)
    return response


@router.get("/reset-password/{token}")
def reset_page(request: Request, db: Db, token: str) -> Response:
    user = _reset_user(db, token)
    return render(request, "accounts/reset.html", {"email": user.email, "errors": {}})


@router.post("/reset-password/{token}")
def reset(request: Request, db: Db, token: str, form: Annotated[PasswordForm, Form()]) -> Response:
    """A new password; whoever was signed in, by the old one perhaps, is not any more. The second factor stays."""
    user = _reset_user(db, token)
    if problem := password_problem(form.password, user.email, user.name):
        return render(request, "accounts/reset.html", {"email": user.email, "errors": {"password": problem}}, 422)
    commit(db)
    password_hash = hash_password(form.password)
    pages = pages_of(request)
    with pages.database.write() as writing:
        used = writing.execute(
            delete(PasswordReset)
            .where(PasswordReset.token_hash == hash_token(token), PasswordReset.expires_at > now())
            .returning(PasswordReset.user_id)
        ).first()
        if used is None:
            raise _reset_gone()
        writing.execute(update(User).where(User.id == used.user_id).values(password_hash=password_hash))
        writing.execute(delete(PasswordReset).where(PasswordReset.user_id == used.user_id))
        service.end_all(writing, used.user_id)
    service.log.info("password reset", user=str(user.id))
    response = go(request, "/sign-in", "password-reset")
    response.background = BackgroundTask(mails.changed, pages, user.id, "Your password was replaced by a mailed link.")
    return response


def _need_mail(request: Request) -> None:
    if pages_of(request).settings.smtp_url is None:
        raise NotFoundError


def _reset_user(db: Session, token: str) -> User:
    user = db.scalar(
        select(User)
        .join(PasswordReset)
        .where(PasswordReset.token_hash == hash_token(token), PasswordReset.expires_at > now())
    )
    if user is None:
        raise _reset_gone()
    return user


def _reset_gone() -> NotFoundError:
    return NotFoundError("This link does not work any more. Ask for a new one on the sign-in page.")


router.include_router(account.router)
router.include_router(single_sign_on.router)
