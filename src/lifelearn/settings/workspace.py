"""The workspace: how it is reached, who gets in, how much each may take, and where it learns."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

from lifelearn.settings.group import Group

# An origin in ASCII, as a browser sends it: a name in other letters is written as xn--…
_ORIGIN = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(:(?P<port>[0-9]{1,5}))?",
    re.IGNORECASE,
)
# Issuers of Entra ID at which anybody can be, with an address of their choice.
_EVERYBODYS = re.compile(
    r"https?://(login\.microsoftonline\.(com|us)|login\.partner\.microsoftonline\.cn|login\.windows\.net|sts\.windows\.net)"
    r"/(common|organizations|consumers|9188040d-6c67-4c5b-b112-36a304b66dad)(/.*)?",
    re.IGNORECASE,
)


def _networks(value: str | None) -> str | None:
    for each in (value or "").split(","):
        if each.strip():
            ip_network(each.strip(), strict=False)
    return value


def _origins(value: str | None) -> str | None:
    """The origins as browsers write them; `*` alone is any."""
    if value is None or value == "*":
        return value
    origins = [_origin(each.strip()) for each in value.split(",") if each.strip()]
    return ",".join(dict.fromkeys(origins)) or None


def _origin(text: str) -> str:
    found = _ORIGIN.fullmatch(text)
    if found is None:
        raise ValueError("not an origin")
    scheme, host, port = found["scheme"].lower(), found["host"].lower(), found["port"]
    if port is not None and not 0 < int(port) < 65_536:
        raise ValueError("not a port")
    usual = port is None or (scheme, int(port)) in (("http", 80), ("https", 443))
    return f"{scheme}://{host}" + ("" if usual else f":{int(port)}")


class WorkspaceSettings(Group):
    public_url: str = Field(
        "http://localhost:8080",
        pattern=r"^https?://[^/@\s?#]+$",
        description="Where the workspace is reached: scheme, host and port, without a path. With https:// cookies are "
        "sent over https only.",
    )
    allowed_hosts: str = Field(
        "localhost,127.0.0.1",
        description="Further names by which the workspace may be called, with commas between them; `*` is any.",
    )
    registration: Literal["open", "invited"] = Field(
        "open",
        description="Who may make an account: anybody who reaches the workspace, or only who has an invite. The first "
        "account can always be made.",
    )
    smtp_url: SecretStr | None = Field(
        None,
        description="Mail server for invites and forgotten passwords, such as smtp://user:password@host:587 "
        "(smtps:// for TLS from the start). Unset: links are shown to who made them, and nothing is sent.",
    )
    mail_from: str = Field("Life-Learn <life-learn@localhost>", min_length=3, description="Sender of these mails.")
    oidc_issuer: str | None = Field(
        None,
        pattern=r"^https?://[^@\s]+$",
        description="OpenID Connect provider to sign in with, the address before /.well-known/openid-configuration.",
    )
    oidc_client_id: str | None = Field(None, description="The workspace's client id at that provider.")
    oidc_client_secret: SecretStr | None = Field(None, description="And its secret.")
    oidc_name: str = Field("single sign-on", min_length=1, description="What the button for it says.")
    oidc_trust_emails: bool = Field(
        False,
        description="Takes an address as verified where that provider does not say whether it is; Entra ID does not. "
        "Only for an issuer of one tenant, whose administrators give everybody, guests included, their address: where "
        "people can enter one themselves, they could sign in as somebody else. What the provider calls unverified is "
        "refused in any case.",
    )
    cors_origins: Annotated[str | None, AfterValidator(_origins)] = Field(
        None,
        description="Pages of other sites that may use `/v1` and `/api` from a browser, by their origins: scheme, name "
        "and a port other than the usual one, without a path, such as https://tools.example.org,http://localhost:5173, "
        "with commas between them; `*` is any. They need a key as any program does; cookies are never read there. "
        "Unset: browsers let no other site's pages in.",
    )
    metrics_token: SecretStr | None = Field(
        None,
        min_length=16,
        description="Bearer token that /metrics asks for. Unset: /metrics answers this machine only.",
    )
    worker: Literal["embedded", "elsewhere"] = Field(
        "embedded",
        description="Where the workspace learns: in a process beside the web one, or by `lifelearn worker` elsewhere, "
        "on PostgreSQL.",
    )
    worker_nice: int = Field(
        19,
        ge=0,
        le=19,
        description="How far a lesson steps back behind all other programs, as `nice` counts: answers and pages come "
        "first. 0 on a machine that only learns: busy programs beside it would stop it nearly.",
    )
    worker_jobs: int = Field(
        1, ge=1, le=64, description="Jobs that one worker runs at a time, each of another organisation."
    )
    learn_together: int = Field(
        1,
        ge=1,
        le=16,
        description="Most corrections in one lesson, where several of an organisation wait. Default: each has its own "
        "version, which can be taken back by itself.",
    )
    corrections_per_hour: int = Field(
        60, ge=1, le=100_000, description="Corrections that a member may have learned in an hour."
    )
    quota_threads: int = Field(
        100_000, ge=1, le=100_000_000, description="Chats that an organisation may keep. Default set by judgement."
    )
    quota_stored_mb: int = Field(
        2_000,
        ge=1,
        le=1_000_000,
        description="Megabytes of text that an organisation's chats may hold. Default set by judgement.",
    )
    quota_imported_mb: int = Field(
        500,
        ge=1,
        le=1_000_000,
        description="Megabytes of files that an organisation may import within a day. Default set by judgement.",
    )
    quota_corrections: int = Field(
        5_000,
        ge=1,
        le=1_000_000,
        description="Corrections of an organisation that may wait: for their authors, for an admin, or to be learned. "
        "Default set by judgement.",
    )
    webhook_private_networks: Annotated[str | None, AfterValidator(_networks)] = Field(
        None,
        description="Networks that webhooks may reach although they are not public, over http too: such as "
        "10.1.0.0/16,fd12::/16, with commas between them. Unset: webhooks go to public addresses only, over https.",
    )
    log_format: Literal["console", "json"] = Field("console", description="Logs for people, or a JSON object a line.")

    @model_validator(mode="after")
    def _provider_named_and_trusted(self) -> WorkspaceSettings:
        if self.oidc_issuer is not None and self.oidc_client_id is None:
            raise ValueError("LL_OIDC_ISSUER needs LL_OIDC_CLIENT_ID, the workspace's name at that provider.")
        if self.oidc_trust_emails and self.oidc_issuer is None:
            raise ValueError("LL_OIDC_TRUST_EMAILS needs LL_OIDC_ISSUER, the provider whose addresses are trusted.")
        if self.oidc_trust_emails and _EVERYBODYS.fullmatch(self.oidc_issuer or ""):
            raise ValueError(
                "LL_OIDC_TRUST_EMAILS cannot be used with an issuer of all tenants, at which people choose their "
                "addresses. Set LL_OIDC_ISSUER to that of your own tenant."
            )
        return self
