"""The second factor: turned on, asked for, used once, lost and turned off."""

from __future__ import annotations

import re
import threading
import time
from typing import Any

import pyotp
import pytest
from sqlalchemy import select, update

from lifelearn.workspace.accounts import service, totp
from lifelearn.workspace.crypto import Keys
from lifelearn.workspace.database import ago, ahead
from lifelearn.workspace.tables.accounts import RecoveryCode, SignIn, User
from lifelearn.workspace.throttle import Limit
from workspace.accounts import sign_in, who
from workspace.fakes import BOTH, PASSWORD, Browser, Workspace

PATH = "/account/second-factor"


def setup(anna: Browser) -> tuple[str, str]:
    """The secret and its sealed form, from the page."""
    page = anna.get(PATH).text
    secret = page.split('id="totp-key">')[1].split("<")[0].replace(" ", "")
    return secret, page.split('name="setup" value="')[1].split('"')[0]


def turned_on(workspace: Workspace, anna: Browser) -> tuple[str, list[str]]:
    """Secret and recovery codes of a second factor that is on; its codes so far are fresh again."""
    secret, sealed = setup(anna)
    answer = anna.post(PATH, {"setup": sealed, "code": pyotp.TOTP(secret).now(), "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    codes = re.findall(r"\b[a-z0-9]{4}(?:-[a-z0-9]{4}){3}\b", answer.text)
    with workspace.database.write() as db:
        db.execute(update(User).values(totp_last_step=0))
    return secret, codes


def waiting(workspace: Workspace, **more: str) -> tuple[Browser, Any]:
    """A browser that has given the password and not yet the code."""
    browser = workspace.visitor()
    answer = sign_in(browser, **more)
    assert answer.status_code == 303
    return browser, answer


@BOTH
def test_turning_on(workspace: Workspace) -> None:
    anna = workspace.person()
    page = anna.get(PATH).text
    assert "<svg" in page
    assert "style=" not in page
    _secret, codes = turned_on(workspace, anna)
    assert len(set(codes)) == 8
    assert who(anna) == "anna@example.org"
    assert "8 of your recovery codes are left" in anna.get(PATH).text
    with workspace.database.read() as db:
        user = db.scalars(select(User)).one()
        kept = list(db.scalars(select(RecoveryCode.code_hash)))
    assert user.totp_secret is not None
    assert _secret not in user.totp_secret
    assert workspace.pages.keys.unseal(user.totp_secret) == _secret
    assert not any(code.replace("-", "") in each for code in codes for each in kept)


def test_turning_on_needs_the_password_and_a_code_of_the_app(workspace: Workspace) -> None:
    anna = workspace.person()
    secret, sealed = setup(anna)
    right = {"setup": sealed, "code": pyotp.TOTP(secret).now(), "password": PASSWORD}
    for change in ({"password": "wrong"}, {"code": "000000" if right["code"] != "000000" else "1"}, {"code": ""}):
        answer = anna.post(PATH, {**right, **change})
        assert answer.status_code == 422
        assert answer.text.split('id="totp-key">')[1].split("<")[0].replace(" ", "") == secret  # the app keeps its key
    with workspace.database.read() as db:
        assert db.scalars(select(User.totp_secret)).one() is None
        assert db.scalars(select(RecoveryCode)).all() == []


def test_a_secret_is_nobody_elses(workspace: Workspace) -> None:
    """Neither another's setup nor something else that was sealed here turns anything on."""
    anna, eve = workspace.person(), workspace.person("eve@example.org")
    secret, sealed = setup(eve)
    for other in (sealed, workspace.pages.keys.seal(f'{{"user": "{anna.user_id}", "secret": "{secret}"}}'), "x", ""):
        answer = anna.post(PATH, {"setup": other, "code": pyotp.TOTP(secret).now(), "password": PASSWORD})
        assert answer.headers["location"] == PATH
    with workspace.database.read() as db:
        assert db.scalars(select(User.totp_secret)).all() == [None, None]


@BOTH
def test_signing_in_takes_two_steps(workspace: Workspace) -> None:
    anna = workspace.person()
    secret, _codes = turned_on(workspace, anna)
    browser, answer = waiting(workspace, next="/account/password")
    assert answer.headers["location"] == "/sign-in/code?next=/account/password"
    assert "max-age" not in answer.headers["set-cookie"].lower()
    half = browser.client.cookies[workspace.pages.cookie]
    assert who(browser) == ""  # the password alone signs in to nothing
    assert browser.get("/").headers["location"] == "/sign-in/code"
    assert browser.post("/account/sign-ins/end-others").status_code == 401
    assert "has yet to give the code" in anna.get("/account").text
    page = browser.get("/sign-in/code?next=/account/password").text
    assert 'value="/account/password"' in page
    code = pyotp.TOTP(secret).now()
    answer = browser.post("/sign-in/code", {"code": f" {code[:3]} {code[3:]}", "next": "/account/password"})
    assert answer.headers["location"] == "/account/password"
    assert who(browser) == "anna@example.org"
    assert who(Browser(workspace, half)) == ""  # a token for what it may do now
    again, _answer = waiting(workspace)
    assert again.post("/sign-in/code", {"code": code}).status_code == 422  # a code counts once


def test_the_code_that_turned_it_on_does_not_sign_in(workspace: Workspace) -> None:
    anna = workspace.person()
    secret, sealed = setup(anna)
    code = pyotp.TOTP(secret).now()
    assert anna.post(PATH, {"setup": sealed, "code": code, "password": PASSWORD}).status_code == 200
    browser, _answer = waiting(workspace)
    assert browser.post("/sign-in/code", {"code": code}).status_code == 422


@BOTH
def test_a_code_that_comes_twice_at_once_counts_once(workspace: Workspace) -> None:
    secret, _codes = turned_on(workspace, workspace.person())
    browsers = [waiting(workspace)[0] for _ in range(4)]
    code, statuses = pyotp.TOTP(secret).now(), []
    threads = [
        threading.Thread(
            target=lambda each=browser: statuses.append(each.post("/sign-in/code", {"code": code}).status_code)
        )
        for browser in browsers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [303, 422, 422, 422]


@BOTH
def test_a_recovery_code_signs_in_once(workspace: Workspace) -> None:
    anna = workspace.person()
    _secret, codes = turned_on(workspace, anna)
    browser, _answer = waiting(workspace)
    assert browser.post("/sign-in/code", {"code": codes[0].upper().replace("-", " ")}).status_code == 303
    assert who(browser) == "anna@example.org"
    assert "7 of your recovery codes are left" in browser.get(PATH).text
    again, _answer = waiting(workspace)
    assert again.post("/sign-in/code", {"code": codes[0]}).status_code == 422
    assert again.post("/sign-in/code", {"code": codes[1]}).status_code == 303


def test_a_recovery_code_is_nobody_elses(workspace: Workspace) -> None:
    _secret, _codes = turned_on(workspace, workspace.person())
    eve = workspace.person("eve@example.org")
    secret, sealed = setup(eve)
    page = eve.post(PATH, {"setup": sealed, "code": pyotp.TOTP(secret).now(), "password": PASSWORD}).text
    theirs = re.findall(r"\b[a-z0-9]{4}(?:-[a-z0-9]{4}){3}\b", page)
    browser, _answer = waiting(workspace)
    assert browser.post("/sign-in/code", {"code": theirs[0]}).status_code == 422


@pytest.mark.parametrize("limit", ["CODE_USER", "CODE_USER_DAY"])
def test_guessing_codes_is_throttled(workspace: Workspace, limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over all sign-ins that wait together: starting again does not help."""
    monkeypatch.setattr(service, limit, Limit(limit, 3, 60))
    _secret, codes = turned_on(workspace, workspace.person())
    statuses = []
    for _ in range(4):
        browser, _answer = waiting(workspace)
        statuses.append(browser.post("/sign-in/code", {"code": "000 00x"}).status_code)
    assert statuses == [422, 422, 422, 429]
    assert browser.post("/sign-in/code", {"code": codes[0]}).status_code == 429


def test_the_code_is_awaited_for_ten_minutes(workspace: Workspace) -> None:
    secret, _codes = turned_on(workspace, workspace.person())
    browser, _answer = waiting(workspace)
    with workspace.database.write() as db:
        row = db.scalars(select(SignIn).where(SignIn.waits_for_code)).one()
        assert row.expires_at < ahead(minutes=10, seconds=1)
        row.last_seen_at = ago(minutes=9)
    browser.get("/sign-in/code")  # looking at the page does not make it longer
    with workspace.database.write() as db:
        row = db.scalars(select(SignIn).where(SignIn.waits_for_code)).one()
        assert row.expires_at < ahead(minutes=10, seconds=1)
        row.expires_at = ago(seconds=1)
    answer = browser.post("/sign-in/code", {"code": pyotp.TOTP(secret).now()})
    assert answer.headers["location"] == "/sign-in"
    assert who(browser) == ""


def test_the_code_page_is_for_who_waits(workspace: Workspace) -> None:
    assert workspace.visitor().get("/sign-in/code").headers["location"] == "/sign-in"
    assert workspace.visitor().post("/sign-in/code", {"code": "1"}).headers["location"] == "/sign-in"
    assert workspace.person().get("/sign-in/code?next=/account").headers["location"] == "/account"
    assert workspace.person().post("/sign-in/code", {"code": "x" * 2000}).status_code == 422


@BOTH
def test_turning_off_asks_for_the_password(workspace: Workspace) -> None:
    anna = workspace.person()
    turned_on(workspace, anna)
    wrong = anna.post(f"{PATH}/off", {"password": "wrong"})
    assert wrong.status_code == 422
    assert "not your password" in wrong.text
    assert waiting(workspace)[1].headers["location"] == "/sign-in/code"
    assert anna.post(f"{PATH}/off", {"password": PASSWORD}).headers["location"] == "/account?notice=totp-off"
    assert sign_in(workspace.visitor()).headers["location"] == "/"
    with workspace.database.read() as db:
        assert db.scalars(select(RecoveryCode)).all() == []


def test_new_recovery_codes_replace_the_old(workspace: Workspace) -> None:
    anna = workspace.person()
    _secret, old = turned_on(workspace, anna)
    assert anna.post(f"{PATH}/codes", {"password": "wrong"}).status_code == 422
    page = anna.post(f"{PATH}/codes", {"password": PASSWORD})
    new = re.findall(r"\b[a-z0-9]{4}(?:-[a-z0-9]{4}){3}\b", page.text)
    browser, _answer = waiting(workspace)
    assert browser.post("/sign-in/code", {"code": old[0]}).status_code == 422
    assert browser.post("/sign-in/code", {"code": new[0]}).status_code == 303


def test_it_is_turned_on_once(workspace: Workspace) -> None:
    """A page that was open since before does not put another secret in the place of the first."""
    anna = workspace.person()
    stale_secret, stale = setup(anna)
    secret, _codes = turned_on(workspace, anna)
    form = {"setup": stale, "code": pyotp.TOTP(stale_secret).now(), "password": PASSWORD}
    assert anna.post(PATH, form).status_code == 409
    with workspace.database.read() as db:
        assert workspace.pages.keys.unseal(db.scalars(select(User.totp_secret)).one() or "") == secret


def test_with_another_secret_key_recovery_codes_still_work(workspace: Workspace) -> None:
    secret, codes = turned_on(workspace, workspace.person())
    with workspace.database.write() as db:
        db.execute(update(User).values(totp_secret=Keys("another key of this installation").seal(secret)))
    browser, _answer = waiting(workspace)
    assert browser.post("/sign-in/code", {"code": pyotp.TOTP(secret).now()}).status_code == 422
    assert browser.post("/sign-in/code", {"code": codes[0]}).status_code == 303


def test_clocks_may_differ_by_half_a_minute() -> None:
    secret = totp.new_secret()
    now = time.time()
    here = int(now // 30)
    for away, taken in ((-2, False), (-1, True), (0, True), (1, True), (2, False)):
        code = pyotp.TOTP(secret).generate_otp(here + away)
        step = totp.matching_step(secret, code, now)
        assert (step == here + away) is taken
    assert totp.matching_step(secret, "١٢٣٤٥٦", now) is None
