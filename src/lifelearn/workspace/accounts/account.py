"""One's own account: name and looks, where one is signed in, password, second factor, the end.

Each dangerous thing has a page of its own and asks for the password.
"""

from __future__ import annotations

import uuid
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request, Response
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session, aliased
from starlette.background import BackgroundTask

from lifelearn.workspace.accounts import mails, sealed, service, totp
from lifelearn.workspace.accounts.fields import AccountForm, Password, Text, password_problem
from lifelearn.workspace.crypto import hash_password
from lifelearn.workspace.database import Db
from lifelearn.workspace.errors import ConflictError, NotFoundError, SignedOutError
from lifelearn.workspace.names import clean_name
from lifelearn.workspace.organizations.membership import leave_all
from lifelearn.workspace.organizations.place import memberships_of
from lifelearn.workspace.pages import SignedIn, go, pages_of, render, set_cookie
from lifelearn.workspace.tables.accounts import PasswordReset, SignIn, User
from lifelearn.workspace.tables.organizations import Membership

router = APIRouter(prefix="/account")

SETUP = "totp"  # purpose of what is sealed
SETUP_SECONDS = 1800


class ConfirmedForm(AccountForm):
    """password: the present one."""

    password: Password = ""


# Name, looks, sign-ins


class ProfileForm(AccountForm):
    name: Text = ""
    theme: Literal["auto", "light", "dark"] = "auto"


@router.get("")
def show(request: Request, sign_in: SignedIn, db: Db) -> Response:
    user = sign_in.user
    return _profile(request, sign_in, db, ProfileForm.model_validate({"name": user.name, "theme": user.theme}))


@router.post("")
def save(request: Request, sign_in: SignedIn, db: Db, form: Annotated[ProfileForm, Form()]) -> Response:
    try:
        name = clean_name(form.name)
    except ValueError as error:
        return _profile(request, sign_in, db, form, {"name": str(error)})
    sign_in.user.name, sign_in.user.theme = name, form.theme
    return go(request, "/account", "saved")


@router.post("/sign-ins/{sign_in_id}/end")
def end(request: Request, sign_in: SignedIn, db: Db, sign_in_id: uuid.UUID) -> Response:
    other = db.get(SignIn, sign_in_id)
    if other is None or other.user_id != sign_in.user_id:
        raise NotFoundError
    service.end(db, other.id)
    if other.id == sign_in.id:
        return signed_out(request, "signed-out")
    return go(request, "/account", "signed-out-there")


@router.post("/sign-ins/end-others")
def end_others(request: Request, sign_in: SignedIn, db: Db) -> Response:
    service.end_all(db, sign_in.user_id, but=sign_in.id)
    return go(request, "/account", "signed-out-elsewhere")


def _profile(
    request: Request, sign_in: SignIn, db: Session, form: ProfileForm, errors: dict[str, str] | None = None
) -> Response:
    context = {
        "form": form,
        "errors": errors or {},
        "here": sign_in.id,
        "sign_ins": service.sign_ins_of(db, sign_in.user_id),
    }
    return render(request, "accounts/account.html", context, 422 if errors else 200)


# Password


class ChangeForm(ConfirmedForm):
    new: Password = ""


@router.get("/password")
def password_page(request: Request, sign_in: SignedIn) -> Response:
    return _shown(request, "accounts/password.html", sign_in)


@router.post("/password")
def change_password(request: Request, sign_in: SignedIn, db: Db, form: Annotated[ChangeForm, Form()]) -> Response:
    """A new password, or the first one. All other sign-ins end, and this one has a new token."""
    user = sign_in.user
    errors = {}
    if problem := password_problem(form.new, user.email, user.name):
        errors["new"] = problem
    if problem := service.confirm(request, db, sign_in, form.password):
        errors["password"] = problem
    if errors:
        return _shown(request, "accounts/password.html", sign_in, errors)
    password_hash = hash_password(form.new)
    pages = pages_of(request)
    with pages.database.write() as writing:
        mine = _again(writing, sign_in)
        if mine.user.password_hash != user.password_hash:
            raise ConflictError("Your password was changed in this very moment, elsewhere. Sign in with that one.")
        mine.user.password_hash = password_hash
        writing.execute(delete(PasswordReset).where(PasswordReset.user_id == mine.user_id))
        service.end_all(writing, mine.user_id, but=mine.id)
        token = service.renew(mine)
    service.log.info("password changed", user=str(user.id))
    response = go(request, "/account", "password")
    set_cookie(response, pages, token)
    response.background = BackgroundTask(mails.changed, pages, user.id, "Your password was changed.")
    return response


# Second factor


class TurnOnForm(ConfirmedForm):
    setup: Text = ""
    code: Text = ""


@router.get("/second-factor")
def second_factor(request: Request, sign_in: SignedIn, db: Db) -> Response:
    if sign_in.user.totp_secret is None:
        return _setup_page(request, sign_in, totp.new_secret())
    return _shown(request, "accounts/second_factor.html", sign_in, left=totp.codes_left(db, sign_in.user))


@router.post("/second-factor")
def turn_on(request: Request, sign_in: SignedIn, db: Db, form: Annotated[TurnOnForm, Form()]) -> Response:
    """Begins once a code shows that the app has the secret. Answers with the page itself: the codes are shown once."""
    user, pages = sign_in.user, pages_of(request)
    setup = sealed.unseal(pages.keys, SETUP, form.setup)
    if setup is None or setup["user"] != str(user.id):
        return go(request, "/account/second-factor")  # shown too long ago: with a new secret
    secret = setup["secret"]
    errors = {}
    step = totp.matching_step(secret, form.code)
    if step is None:
        errors["code"] = "This code is wrong. Is the clock of your device right?"
    if problem := service.confirm(request, db, sign_in, form.password):
        errors["password"] = problem
    if errors or step is None:
        return _setup_page(request, sign_in, secret, errors)
    with pages.database.write() as writing:
        mine = _again(writing, sign_in)
        if mine.user.totp_secret is not None:
            raise ConflictError("The second factor is on already.")
        codes = totp.turn_on(writing, pages.keys, mine.user, secret, step)
    service.log.info("second factor on", user=str(user.id))
    response = render(request, "accounts/recovery_codes.html", {"codes": codes, "turned_on": True})
    response.background = BackgroundTask(mails.changed, pages, user.id, "The second factor was turned on.")
    return response


@router.post("/second-factor/codes")
def new_codes(request: Request, sign_in: SignedIn, db: Db, form: Annotated[ConfirmedForm, Form()]) -> Response:
    return _change_factor(request, sign_in, db, form.password, off=False)


@router.post("/second-factor/off")
def turn_off(request: Request, sign_in: SignedIn, db: Db, form: Annotated[ConfirmedForm, Form()]) -> Response:
    return _change_factor(request, sign_in, db, form.password, off=True)


def _change_factor(request: Request, sign_in: SignIn, db: Session, password: str, off: bool) -> Response:
    user, pages = sign_in.user, pages_of(request)
    if user.totp_secret is None:
        return go(request, "/account/second-factor")
    left = totp.codes_left(db, user)
    if problem := service.confirm(request, db, sign_in, password):
        return _shown(request, "accounts/second_factor.html", sign_in, {"password": problem}, left=left)
    codes: list[str] = []
    with pages.database.write() as writing:
        mine = _again(writing, sign_in)
        if off:
            totp.turn_off(writing, mine.user)
        else:
            codes = totp.new_recovery_codes(writing, mine.user)
    service.log.info("second factor off" if off else "new recovery codes", user=str(user.id))
    if off:
        response = go(request, "/account", "totp-off")
    else:
        response = render(request, "accounts/recovery_codes.html", {"codes": codes, "turned_on": False})
    what = "The second factor was turned off." if off else "New recovery codes were made."
    response.background = BackgroundTask(mails.changed, pages, user.id, what)
    return response


def _setup_page(request: Request, sign_in: SignIn, secret: str, errors: dict[str, str] | None = None) -> Response:
    """The secret stays the same when the form is shown again; it is kept nowhere before it is confirmed."""
    user, keys = sign_in.user, pages_of(request).keys
    return _shown(
        request,
        "accounts/second_factor_setup.html",
        sign_in,
        errors,
        secret=" ".join(secret[at : at + 4] for at in range(0, len(secret), 4)),
        picture=totp.picture(secret, user.email),
        setup=sealed.seal(keys, SETUP, SETUP_SECONDS, user=str(user.id), secret=secret),
    )


# The end


@router.get("/delete")
def delete_page(request: Request, sign_in: SignedIn, db: Db) -> Response:
    return _shown(request, "accounts/delete.html", sign_in, alone=_alone(db, sign_in.user_id))


@router.post("/delete")
def delete_account(request: Request, sign_in: SignedIn, db: Db, form: Annotated[ConfirmedForm, Form()]) -> Response:
    alone = _alone(db, sign_in.user_id)
    if problem := service.confirm(request, db, sign_in, form.password):
        return _shown(request, "accounts/delete.html", sign_in, {"password": problem}, alone=alone)
    pages = pages_of(request)
    try:
        with pages.database.write() as writing:
            user = _again(writing, sign_in).user
            leave_all(writing, request, user)
            writing.execute(delete(User).where(User.id == user.id).execution_options(synchronize_session=False))
    except ConflictError as error:
        return _shown(request, "accounts/delete.html", sign_in, {"form": error.message}, alone=alone, status=409)
    service.log.info("account deleted", user=str(sign_in.user_id))
    return signed_out(request, "account-deleted")


def _alone(db: Session, user_id: uuid.UUID) -> list[str]:
    """The organisations that have no other member."""
    other = aliased(Membership)
    counted = select(func.count()).where(other.organization_id == Membership.organization_id).scalar_subquery()
    lonely = set(db.scalars(select(Membership.organization_id).where(Membership.user_id == user_id, counted == 1)))
    return [each.organization.name for each in memberships_of(db, user_id) if each.organization_id in lonely]


def signed_out(request: Request, notice: str) -> Response:
    """To the sign-in page, with nothing left in the browser."""
    pages = pages_of(request)
    response = go(request, "/sign-in", notice)
    for name in (pages.cookie, pages.place_cookie):
        response.delete_cookie(name, path="/", secure=pages.secure, httponly=True, samesite="lax")
    response.headers["Clear-Site-Data"] = '"storage"'
    return response


def _again(writing: Session, sign_in: SignIn) -> SignIn:
    """The sign-in in a session that writes, if it still is one."""
    mine = writing.get(SignIn, sign_in.id)
    if mine is None or mine.waits_for_code:
        raise SignedOutError
    return mine


def _shown(
    request: Request,
    template: str,
    sign_in: SignIn,
    errors: dict[str, str] | None = None,
    status: int = 422,
    **more: object,
) -> Response:
    """A page with a form that asks who it is. status: where there are errors."""
    context = {"errors": errors or {}, "confirmed": service.recently_confirmed(sign_in), **more}
    return render(request, template, context, status if errors else 200)
