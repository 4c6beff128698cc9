"""Versions on disk: a folder each, a pointer to the active one.

A version's folder is filled beside its place and moved there whole; its manifest is written last, so a
folder with a manifest is a complete version. Weights are safetensors and are checked by their hash before
they go live. The pointer is one small file, replaced atomically: whatever is killed, one version is active.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lifelearn.learning.recipe import Recipe
from lifelearn.learning.types import Correction, Lesson, ModelVersion, Report, Training

MANIFEST = "manifest.json"
LESSON = "lesson.json"
_POINTER = "active"
WEIGHTS = ("adapter_model.safetensors", "model.safetensors")


class VersionError(Exception):
    """A version is missing, incomplete or damaged; the text says which and what to do."""


class VersionStore:
    """The versions in one folder. Reads need no lock; writers hold the folder's learning lock (their caller's job)."""

    def __init__(self, root: Path, adds: int | None = None) -> None:
        """adds: the number of the version that is added, whatever is left of another with it; by default the next."""
        self.root = root
        self._folder = root / "versions"
        self._adds = adds

    def active(self) -> int:
        """The active version's number; 0 is the base model."""
        try:
            return int(json.loads((self.root / _POINTER).read_text())["version"])
        except FileNotFoundError:
            return 0
        except (ValueError, KeyError, TypeError) as error:
            raise VersionError(
                f"The file {self.root / _POINTER} is damaged. Choose a version again: lifelearn rollback N."
            ) from error

    def activate(self, number: int) -> None:
        """Makes a complete, undamaged version the active one, atomically; 0 is the base."""
        if number:
            manifest = self.get(number)
            if sha256(self._weights_file(number)) != manifest.sha256:
                raise VersionError(
                    f"The weights of version {number} are damaged (their hash does not match the manifest). "
                    "The active version is unchanged."
                )
        self.root.mkdir(parents=True, exist_ok=True)
        replace_file(self.root / _POINTER, json.dumps({"version": number}))

    def versions(self) -> list[ModelVersion]:
        """All complete versions, oldest first."""
        return [self.get(number) for number in self._numbers()]

    def get(self, number: int) -> ModelVersion:
        """The manifest of a version (not of 0, the base)."""
        path = self.path(number) / MANIFEST
        try:
            return ModelVersion.model_validate_json(path.read_text())
        except FileNotFoundError as error:
            known = ", ".join(str(known) for known in [0, *self._numbers()])
            raise VersionError(f"There is no version {number}. There are: {known} (0 is the base model).") from error
        except ValidationError as error:
            raise VersionError(f"The manifest {path} is damaged or of another release of Life-Learn.") from error

    def lesson(self, number: int) -> Lesson:
        """The lesson that a version was trained on."""
        return Lesson.model_validate_json((self.path(number) / LESSON).read_text())

    def weights(self, number: int) -> Path | None:
        """The folder to load a version from; None for the base."""
        if number == 0:
            return None
        self.get(number)
        self._weights_file(number)
        return self.path(number)

    def lineage(self, number: int) -> list[ModelVersion]:
        """The version and its ancestors, oldest first; [] for the base."""
        line: list[ModelVersion] = []
        while number:
            version = self.get(number)
            line.append(version)
            number = version.parent
        return line[::-1]

    def made_by(
        self, corrections: Sequence[Correction], *, base: str, parent: int, recipe: Recipe
    ) -> ModelVersion | None:
        """The latest version that this very job made, if there is one."""
        job = (tuple(corrections), base, parent, _settings(recipe))
        made = ((v, (v.corrections, v.base, v.parent, v.settings)) for v in reversed(self.versions()))
        return next((version for version, its_job in made if its_job == job), None)

    def path(self, number: int) -> Path:
        return self._folder / f"{number:04d}"

    def add(
        self,
        weights: Path,
        lesson: Lesson,
        report: Report,
        *,
        training: Training | None = None,
        base: str,
        parent: int,
        recipe: Recipe,
        seconds: Mapping[str, float],
    ) -> ModelVersion:
        """Makes a version of trained weights, a candidate."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for left in self._folder.glob(".*.partial"):  # of a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        number = self._adds or max(self._numbers(), default=0) + 1
        partial = self._folder / f".{number:04d}.partial"
        shutil.copytree(weights, partial)
        file = next(partial / name for name in WEIGHTS if (partial / name).exists())
        version = ModelVersion(
            number=number,
            base=base,
            parent=parent,
            method=recipe.method,
            corrections=lesson.corrections,
            demonstrations=lesson.demonstrations,
            training=training,
            report=report,
            seconds={stage: round(value, 3) for stage, value in seconds.items()},
            settings=_settings(recipe),
            bytes=sum(path.stat().st_size for path in partial.iterdir()),
            sha256=sha256(file),
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        (partial / LESSON).write_text(lesson.model_dump_json())
        replace_file(partial / MANIFEST, version.model_dump_json(indent=1))
        sync(file)
        shutil.rmtree(self.path(number), ignore_errors=True)  # of an earlier try, or without a manifest and no version
        partial.replace(self.path(number))
        sync(self._folder)
        return version

    def _numbers(self) -> list[int]:
        names = (path.parent.name for path in self._folder.glob(f"[0-9]*/{MANIFEST}"))
        return sorted(int(name) for name in names if name.isdecimal())

    def _weights_file(self, number: int) -> Path:
        for name in WEIGHTS:
            if (self.path(number) / name).exists():
                return self.path(number) / name
        raise VersionError(f"The weights of version {number} are missing in {self.path(number)}.")


def _settings(recipe: Recipe) -> dict[str, Any]:
    """What a version was trained by; not what it was measured against."""
    return recipe.model_dump(mode="json", exclude={"thresholds"})


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def round_weights(work: Path, number: int) -> Path:
    """Where a round of training leaves its weights, in the folder of its job, before they are a version's."""
    return work / ("weights" if number == 1 else f"weights-{number}")


def replace_file(path: Path, text: str) -> None:
    """Writes a small file so that it holds the old text or the new one, never a part, even after a power cut."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Waits until a file's contents, or a folder's entries, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
