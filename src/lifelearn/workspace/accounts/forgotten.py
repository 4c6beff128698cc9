"""A forgotten password, replaced by a mailed link; the answer comes before it is looked whether there is an account."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session
from starlette.background import BackgroundTask

from lifelearn.workspace import throttle
from lifelearn.workspace.accounts import mails, service
from lifelearn.workspace.accounts.fields import AccountForm, Text, password_problem
from lifelearn.workspace.accounts.registering import PasswordForm
from lifelearn.workspace.crypto import hash_password, hash_token
from lifelearn.workspace.database import Db, commit, now
from lifelearn.workspace.errors import NotFoundError
from lifelearn.workspace.names import clean_email
from lifelearn.workspace.pages import address_of, go, pages_of, render
from lifelearn.workspace.tables.accounts import PasswordReset, User

router = APIRouter()


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
