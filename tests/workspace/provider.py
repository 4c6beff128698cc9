"""An OpenID Connect provider that runs here, and people who sign in by it."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from html import unescape
from typing import Any
from urllib.parse import urlencode

import httpx2
from fastapi import FastAPI, Form, HTTPException, Request
from fastapi.responses import RedirectResponse
from joserfc import jwt
from joserfc.jwk import RSAKey
from pydantic import SecretStr
from sqlalchemy import select

from lifelearn.workspace.accounts import oidc
from lifelearn.workspace.tables.accounts import Identity, User
from workspace.fakes import Browser, Workspace
from workspace.live import serving

CLIENT, SECRET = "workspace", "the workspace's secret"
PERSON = {"sub": "b-1", "email": "Ben@example.org", "email_verified": True, "name": "Ben Benson"}


@cache
def signing_key() -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})


@dataclass
class FakeProvider:
    """Signs `person` in without asking. The fields are what a test changes about it.

    claims, header: laid over those of the ID token. sign: makes the token in another way. userinfo: what is told there.
    """

    issuer: str = ""
    key: RSAKey = field(default_factory=signing_key)
    person: dict[str, Any] = field(default_factory=lambda: dict(PERSON))
    claims: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    sign: Callable[[dict[str, Any], dict[str, Any]], str] | None = None
    userinfo: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    answer: dict[str, str] = field(default_factory=dict)  # laid over the answer to the browser
    asked: list[str] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def forget(self) -> None:
        """As it was before a test changed anything; where it answers stays."""
        vars(self).update(vars(FakeProvider(self.issuer)))

    def settings(self) -> dict[str, Any]:
        """Those of a workspace that it signs people in to."""
        return {
            "oidc_issuer": self.issuer,
            "oidc_client_id": CLIENT,
            "oidc_client_secret": SecretStr(SECRET),
            "oidc_name": "Acme login",
        }

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/.well-known/openid-configuration")
        def configuration() -> dict[str, Any]:
            self.asked.append("configuration")
            return {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "userinfo_endpoint": f"{self.issuer}/userinfo",
                "jwks_uri": f"{self.issuer}/keys",
                "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
                **self.metadata,
            }

        @app.get("/keys")
        def keys() -> dict[str, Any]:
            self.asked.append("keys")
            return {"keys": [self.key.as_dict(private=False)]}

        @app.get("/authorize")
        def authorize(request: Request) -> RedirectResponse:
            asked = dict(request.query_params)
            assert asked["client_id"] == CLIENT
            assert asked["response_type"] == "code"
            assert asked["code_challenge_method"] == "S256"
            assert "openid" in asked["scope"].split()
            code = f"code-{len(self.codes)}"
            self.codes[code] = asked
            back = {"code": code, "state": asked["state"], "iss": self.issuer, **self.answer}
            return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(back)}", 302)

        @app.post("/token")
        def token(
            request: Request,
            grant_type: str = Form(),
            code: str = Form(),
            redirect_uri: str = Form(),
            code_verifier: str = Form(),
        ) -> dict[str, Any]:
            given = base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode()
            asked = self.codes.pop(code, None)
            challenge = base64.urlsafe_b64encode(hashlib.sha256(code_verifier.encode()).digest()).decode().rstrip("=")
            wrong = (
                grant_type != "authorization_code"
                or given != f"{CLIENT}:{SECRET}"
                or asked is None
                or asked["redirect_uri"] != redirect_uri
                or asked["code_challenge"] != challenge
            )
            if wrong or asked is None:
                raise HTTPException(400, "invalid_grant")
            return {"access_token": "access", "token_type": "Bearer", "expires_in": 60, "id_token": self.token(asked)}

        @app.get("/userinfo")
        def userinfo(request: Request) -> dict[str, Any]:
            assert request.headers["authorization"] == "Bearer access"
            return self.userinfo

        return app

    def token(self, asked: dict[str, str]) -> str:
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 60,
            "nonce": asked.get("nonce"),
            **({"auth_time": now} if "max_age" in asked else {}),
            **self.person,
            **self.claims,
        }
        header = {"alg": "RS256", "kid": "one", **self.header}
        claims = {name: value for name, value in claims.items() if value is not None}
        return self.sign(header, claims) if self.sign else jwt.encode(header, claims, self.key)


@contextmanager
def provided() -> Iterator[FakeProvider]:
    """One that answers on a port of this machine."""
    fake = FakeProvider()
    with serving(fake.app()) as server:
        fake.issuer = server.url
        yield fake


def at_provider(address: str) -> str:
    """What the provider sends the browser back to: a path here."""
    back = httpx2.get(address).headers["location"]
    assert back.startswith(f"http://testserver{oidc.CALLBACK}?")
    return str(back).removeprefix("http://testserver")


def there_and_back(browser: Browser, where: str = "") -> Any:
    answer = browser.get("/sign-in/oidc", params={"next": where} if where else None)
    assert answer.status_code == 303, answer.text
    return browser.get(at_provider(answer.headers["location"]))


def onward(page: Any) -> str:
    """Where the page between a form and the provider leads."""
    assert page.status_code == 200, page.text
    assert '<meta http-equiv="refresh" content="0;url=http' in page.text
    return unescape(re.findall(r'<a role="button" href="([^"]+)"', page.text)[0])


def linked(workspace: Workspace) -> list[tuple[str, str]]:
    """Who has which subject."""
    with workspace.database.read() as db:
        found = db.execute(select(User.email, Identity.subject).join(Identity))
        return sorted((row.email, row.subject) for row in found)


def by_provider(workspace: Workspace) -> Browser:
    """Ben, who has an account by the provider alone."""
    browser = workspace.visitor()
    assert there_and_back(browser).status_code == 303
    return browser
