"""What the product draws on: a database, the model that answers, an expert, and folders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from lifelearn.settings.group import Group, SettingsError

HomePath = Annotated[Path, AfterValidator(Path.expanduser)]


def _place(value: Any) -> Any:
    """A folder, or the address of an object store."""
    return value if isinstance(value, str) and "://" in value else Path(value).expanduser()


class ResourceSettings(Group):
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
    def _server_for_what_needs_one(self) -> ResourceSettings:
        missing = "needs a server. Set OPENAI_API_KEY, or LL_OPENAI_BASE_URL for one that wants no key"
        if self.inference_backend == "openai" and not self.has_expert:
            raise ValueError(f"LL_INFERENCE_BACKEND=openai {missing}.")
        if self.use_local_structured is False and not self.has_expert:
            raise ValueError(f"LL_USE_LOCAL_STRUCTURED=false {missing}.")
        return self
