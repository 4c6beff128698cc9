"""An OpenID Connect provider to sign in with: authorization code with PKCE, state and nonce; by Authlib.

Knows no users. What a provider says about somebody is a `Claims`; who that is here, identities.py decides. What belongs
to a sign-in under way travels in the browser, sealed, as a `Flow`.
"""

from __future__ import annotations

import secrets
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeVar

import structlog
from fastapi import Request

from lifelearn.settings import Settings
from lifelearn.workspace.accounts import sealed
from lifelearn.workspace.crypto import Keys
from lifelearn.workspace.errors import ForbiddenError, NotFoundError, UnavailableError

log = structlog.get_logger("lifelearn.accounts")

CALLBACK = "/sign-in/oidc/callback"
PURPOSE = "oidc"  # of what is sealed
FLOW_SECONDS = 600
HTTP_SECONDS = 6
KEPT_SECONDS = 3600  # how long what the provider says about itself is believed
FAILED_SECONDS = 10  # a provider that did not answer is not asked again for so long
LEEWAY_SECONDS = 60  # clocks differ
CLAIM_CHARACTERS = 255
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")

# What somebody wants at the provider: to sign in; to add it to the account they are signed in to; to show that it is
# still them.
Aim = Literal["sign-in", "link", "confirm"]
_T = TypeVar("_T")


class OidcRefusedError(ForbiddenError):
    title = "That sign-in did not work"


@dataclass(frozen=True)
class Flow:
    """A sign-in under way. sign_in: to whom an aim other than signing in belongs, a SignIn's id."""

    state: str
    nonce: str
    verifier: str
    aim: Aim
    next: str
    sign_in: str
    started: int

    @classmethod
    def new(cls, aim: Aim, where: str, sign_in: str = "") -> Flow:
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        return cls(state, nonce, verifier, aim, where, sign_in, int(time.time()))

    def seal(self, keys: Keys) -> str:
        return sealed.seal(keys, PURPOSE, FLOW_SECONDS, **asdict(self))

    @classmethod
    def unseal(cls, keys: Keys, text: str) -> Flow | None:
        values = sealed.unseal(keys, PURPOSE, text)
        return None if values is None else cls(**{name: values[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Claims:
    """What the provider says about somebody. verified: whether the address is, None where that is not said."""

    issuer: str
    subject: str
    email: str
    verified: bool | None
    name: str
    auth_time: int


class Provider:
    """The configured provider, and what it says about itself, fetched when it is needed."""

    def __init__(self, settings: Settings) -> None:
        assert settings.oidc_issuer is not None
        self.issuer = settings.oidc_issuer
        self.name = settings.oidc_name
        self.client_id = settings.oidc_client_id
        self.secret = settings.oidc_client_secret.get_secret_value() if settings.oidc_client_secret else None
        self.redirect_uri = settings.public_url + CALLBACK
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, Any]] = {}
        self._failed = 0.0
        self._trust: ssl.SSLContext | None = None

    def address(self, flow: Flow) -> str:
        """Where the browser goes."""
        more: dict[str, Any] = {}
        if flow.aim == "confirm":  # not by a session that is still open there
            more = {"prompt": "login", "max_age": 0}
        with self._client() as client:
            address, _state = client.create_authorization_url(
                self._metadata()["authorization_endpoint"],
                state=flow.state,
                nonce=flow.nonce,
                code_verifier=flow.verifier,
                **more,
            )
        return str(address)

    def claims(self, flow: Flow, code: str, issuer: str = "") -> Claims:
        """Who came back with `code`. issuer: as the answer names it (RFC 9207), if it does."""
        metadata = self._metadata()
        required = metadata.get("authorization_response_iss_parameter_supported") is True
        if (issuer or required) and issuer != metadata["issuer"]:
            raise self._refused("answer of another issuer")
        token = self._fetched(lambda: self._exchange(flow, code, metadata))
        claims = self._validated(token, flow, metadata)
        if flow.aim == "confirm" and _number(claims.get("auth_time")) < flow.started - LEEWAY_SECONDS:
            raise self._refused("not signed in anew")
        if not claims.get("email") and metadata.get("userinfo_endpoint"):
            told = self._fetched(lambda: self._userinfo(token, metadata))
            if told.get("sub") == claims["sub"]:  # else it is about somebody else
                # Whether an address is verified is said by who gives it: one word must not speak of another's address.
                claims = {**told, **claims, "email": told.get("email"), "email_verified": told.get("email_verified")}
        return Claims(
            issuer=self.issuer,
            subject=self._subject(claims),
            email=_text(claims.get("email")),
            verified=_verified(claims.get("email_verified")),
            name=_text(claims.get("name")) or _text(claims.get("preferred_username")),
            auth_time=_number(claims.get("auth_time")),
        )

    def _exchange(self, flow: Flow, code: str, metadata: dict[str, Any]) -> dict[str, Any]:
        with self._client(metadata) as client:
            token = client.fetch_token(
                metadata["token_endpoint"], grant_type="authorization_code", code=code, code_verifier=flow.verifier
            )
            return dict(token)

    def _userinfo(self, token: dict[str, Any], metadata: dict[str, Any]) -> dict[str, Any]:
        return self._get(metadata["userinfo_endpoint"], {"Authorization": f"Bearer {token.get('access_token')}"})

    def _validated(self, token: dict[str, Any], flow: Flow, metadata: dict[str, Any]) -> dict[str, Any]:
        """The claims of the ID token: ours, for this flow, of this issuer, signed by its key, in force."""
        from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]
        from joserfc import jwt
        from joserfc.errors import JoseError
        from joserfc.jws import JWSRegistry

        offered = metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
        algorithms = [name for name in ALGORITHMS if name in offered]  # never "none", never by a shared secret
        registry = JWSRegistry(algorithms=algorithms, strict_check_header=False)  # providers add headers of their own
        try:
            decoded = None
            for fresh in (False, True):  # the provider may have changed its keys
                try:
                    decoded = jwt.decode(_text(token.get("id_token"), 20_000), self._keys(fresh), registry=registry)
                    break
                except (JoseError, ValueError):
                    if fresh:
                        raise
            assert decoded is not None
            wanted = {
                "iss": {"essential": True, "value": metadata["issuer"]},
                "aud": {"essential": True, "value": self.client_id},
            }
            known = {"nonce": flow.nonce, "client_id": self.client_id, "access_token": token.get("access_token")}
            claims = CodeIDToken(decoded.claims, decoded.header, wanted, known)
            claims.validate(leeway=LEEWAY_SECONDS)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise self._refused(type(error).__name__, what=str(error)) from None
        return dict(claims)

    def _subject(self, claims: dict[str, Any]) -> str:
        subject = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= CLAIM_CHARACTERS or not subject.isprintable():
            raise self._refused("a subject that cannot be used")
        return subject

    def _metadata(self) -> dict[str, Any]:
        return self._remembered("metadata", self._fetch_metadata)

    def _fetch_metadata(self) -> dict[str, Any]:
        found = self._get(self.issuer.rstrip("/") + "/.well-known/openid-configuration")
        if str(found.get("issuer")).rstrip("/") != self.issuer.rstrip("/"):
            raise ValueError(f"the issuer calls itself {found.get('issuer')!r}; set LL_OIDC_ISSUER to that")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            address = found.get(name)
            secure = self.issuer.startswith("http:") or str(address).startswith("https://")
            if not isinstance(address, str) or not address.startswith(("http://", "https://")) or not secure:
                raise ValueError(f"the issuer's {name} is missing or not https")
        return found

    def _keys(self, fresh: bool) -> Any:
        from joserfc.jwk import KeySet

        address = self._metadata()["jwks_uri"]
        kept = self._remembered("keys", lambda: self._get(address), at_most=FAILED_SECONDS if fresh else KEPT_SECONDS)
        return KeySet.import_key_set(kept)  # type: ignore[arg-type]

    def _get(self, address: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
        with self._client() as client:
            answer = client.request("GET", address, headers=headers, withhold_token=True)
            answer.raise_for_status()
            return _object(answer.json())

    def _remembered(
        self, name: str, fetch: Callable[[], dict[str, Any]], at_most: float = KEPT_SECONDS
    ) -> dict[str, Any]:
        """What was fetched up to `at_most` seconds ago, or now. One asks, the others wait."""
        with self._lock:
            at, value = self._kept.get(name, (0.0, None))
            if value is None or time.monotonic() - at > at_most:
                if time.monotonic() - self._failed < FAILED_SECONDS and self._failed:
                    raise self._unavailable()
                try:
                    value = self._fetched(fetch)
                except UnavailableError:
                    self._failed = time.monotonic()
                    raise
                self._kept[name] = (time.monotonic(), value)
        found: dict[str, Any] = value
        return found

    def _fetched(self, ask: Callable[[], _T]) -> _T:
        """What the provider answers. Raises OidcRefusedError where it says no, UnavailableError where it says nothing
        that can be used."""
        import httpx2
        from authlib.integrations.base_client import OAuthError  # type: ignore[import-untyped]

        try:
            return ask()
        except OAuthError as error:
            raise self._refused("refused by the provider", what=str(error.error)) from None
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, RecursionError) as error:  # the last by deep JSON
            log.warning("the OpenID Connect provider cannot be used", error=type(error).__name__, what=str(error))
            raise self._unavailable() from None

    def _client(self, metadata: dict[str, Any] | None = None) -> Any:
        import httpx2
        from authlib.integrations.httpx_client import OAuth2Client  # type: ignore[import-untyped]

        if self._trust is None:  # takes long to make
            self._trust = httpx2.create_ssl_context()
        methods = (metadata or {}).get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        method = "client_secret_basic" if "client_secret_basic" in methods else "client_secret_post"
        return OAuth2Client(
            self.client_id,
            self.secret,
            token_endpoint_auth_method=method if self.secret else "none",
            scope="openid email profile",
            redirect_uri=self.redirect_uri,
            code_challenge_method="S256",
            timeout=HTTP_SECONDS,
            verify=self._trust,
        )

    def _refused(self, why: str, **more: str) -> OidcRefusedError:
        log.warning("OpenID Connect sign-in refused", why=why, **more)
        return OidcRefusedError(f"What {self.name} said about you could not be verified. Start the sign-in again.")

    def _unavailable(self) -> UnavailableError:
        return UnavailableError(f"{self.name} cannot be reached. Try again in a minute.")


def provider_of(request: Request) -> Provider:
    """The configured provider, one for the application. Raises NotFoundError where there is none."""
    state = request.app.state
    if state.settings.oidc_issuer is None:
        raise NotFoundError
    if not hasattr(state, "oidc"):
        state.oidc = Provider(state.settings)
    provider: Provider = state.oidc
    return provider


def _text(value: Any, most: int = CLAIM_CHARACTERS) -> str:
    return value if isinstance(value, str) and len(value) <= most else ""


def _verified(value: Any) -> bool | None:
    """What `email_verified` says, which some providers send as text. What is neither true nor left out is no."""
    return None if value is None else str(value).strip().lower() == "true"


def _number(value: Any) -> int:
    with suppress(TypeError, ValueError, OverflowError):
        return int(value)
    return 0


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("not an object of JSON")
    return value
