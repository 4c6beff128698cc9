"""A full disk, at any file of a run. Each is written by replace_file, by safetensors, by copying or by write_text."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from learn.fakes import correction, logits, run, usable
from lifelearn.learning.learn import LearnError
from lifelearn.learning.types import (
    Progress,
)
from lifelearn.learning.version import VersionStore


@contextmanager
def small_files_only(size: int) -> Iterator[None]:
    """Whatever writes more than `size` bytes into one file fails, in any library: the next thing to a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_weights_that_cannot_be_written_are_a_clear_error(tiny: Any, grown: VersionStore) -> None:
    tiny.use(grown.weights(1))
    before = logits(tiny)
    limited = ExitStack()

    def limit(progress: Progress) -> None:
        if progress.stage == "train" and progress.step == 1:
            limited.enter_context(small_files_only(4096))

    with limited, pytest.raises(LearnError, match=r"active version is unchanged"):
        run(tiny, grown, correction(2), on_progress=limit)
    assert torch.equal(logits(tiny), before)
    assert usable(tiny, grown, active=1)
    assert run(tiny, grown, correction(2)).number == 2


@pytest.mark.check("engine")
@pytest.mark.parametrize("file", ["job.json", "lesson.json", "train.json", "manifest.json", "0002", "version.json"])
def test_a_full_disk_at_any_file_is_a_clear_error_and_loses_nothing(
    tiny: Any, grown: VersionStore, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    tiny.use(grown.weights(1))
    before = logits(tiny)
    replace = os.replace

    def full(source: Path, target: Path) -> None:
        if Path(target).name == file:
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(LearnError, match="No space left on device"):
            run(tiny, grown, correction(2))
    assert torch.equal(logits(tiny), before)
    assert usable(tiny, grown, active=1)
    version = run(tiny, grown, correction(2))
    assert (version.number, version.parent) == (2, 1)
    assert [known.number for known in grown.versions()] == [1, 2]


def test_a_full_disk_while_a_version_is_copied_is_a_clear_error(
    tiny: Any, store: VersionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> None:
        Path(target).mkdir()
        raise shutil.Error([(str(source), str(target), "[Errno 28] No space left on device")])

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copytree", full)
        with pytest.raises(LearnError, match="No space left on device"):
            run(tiny, store)
    assert store.versions() == []
    assert run(tiny, store).number == 1
