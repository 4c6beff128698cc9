"""What an archive says of itself, and the names that may stand in it. Knows no archive and no database."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

FORMAT = 1  # raised when an older release could not restore what a newer one writes
MANIFEST = "manifest.json"
MANIFEST_BYTES = 256 << 20  # at most; 200 bytes a file
DATA = "data/"  # what is under it lies in the data folder under the same name

Kind = Literal["sqlite", "postgresql"]
DATABASES: dict[Kind, str] = {"sqlite": "database/workspace.sqlite", "postgresql": "database/workspace.pgdump"}

_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_FILE = r"[^./\\\x00-\x1f][^/\\\x00-\x1f]*"
_NAME = re.compile(
    rf"database/workspace\.(?:sqlite|pgdump)|data/(?:secret_key|active|journal\.jsonl|versions/[0-9]{{4,}}/{_FILE}"
    rf"|organizations/{_ID}/versions/{_ID}/{_FILE})"
)


class ArchiveError(Exception):
    """An archive cannot be used. The text says why and what to do."""


def named(name: str) -> str:
    """The name of a file that an archive may hold. Raises ValueError for any other: so none leads elsewhere."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"no file of a backup is called {name!r}")
    return name


class Entry(BaseModel):
    """A file. size: in bytes."""

    model_config = ConfigDict(frozen=True)

    size: int = Field(ge=0)
    sha256: str


class Manifest(BaseModel):
    """The archive's last file. It lists the others, all of them.

    release: the one that made it. created_at: when it was begun; what came later is not in it. database: None where
    there was no workspace, only the terminal's data. schema_revision: the database's. organizations, versions: how
    many; terminal_versions: of the terminal. key: what tells whether a secret key is the one that the database was
    sealed with, without telling it; None without a key.
    """

    format: int = FORMAT
    release: str
    created_at: str
    database: Kind | None
    schema_revision: str | None = None
    organizations: int = 0
    versions: int = 0
    terminal_versions: int = 0
    key: str | None = None
    files: dict[Annotated[str, AfterValidator(named)], Entry]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.files.values())

    @property
    def counted(self) -> str:
        """What is in it, in a few words."""
        counted: list[str] = []
        if self.database is not None:
            counted = [_count(self.organizations, "organisation"), _count(self.versions, "version")]
        if self.terminal_versions or self.database is None:
            counted.append(f"{_count(self.terminal_versions, 'version')} of the terminal")
        return ", ".join(counted)

    @classmethod
    def read(cls, text: bytes, file: object) -> Manifest:
        """Raises ArchiveError. file: how the archive is called there."""
        try:
            found = _Format.model_validate_json(text).format
            if found > FORMAT:
                raise ArchiveError(
                    f"{file} is of a newer release of Life-Learn (format {found}; this release reads up to {FORMAT}). "
                    "Restore it with that release."
                )
            return cls.model_validate_json(text)
        except ValidationError as error:
            first: Any = error.errors()[0]
            where = " ".join(str(part) for part in first["loc"])
            raise ArchiveError(f"{file} cannot be used: its {MANIFEST} is damaged ({where} {first['msg']}).") from error


class _Format(BaseModel):
    format: int


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
