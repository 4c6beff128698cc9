"""Where the kernels come from: compiled once, kept where nobody else can write, and loaded only as they were made."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lifelearn.learning.compute.cpu import kernels
from lifelearn.learning.private import why_not_ours


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library that any processor can run, instead of ours, in a process that has loaded none."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler here")
    folder = tmp_path / "native"
    folder.mkdir()
    (folder / "answer.c").write_text("long answer(void) { return 42; }\n", "utf-8")
    monkeypatch.setattr(kernels, "NATIVE", folder)
    monkeypatch.setattr(kernels, "_kernels", None)
    return folder


@pytest.fixture
def afresh(sources: Path, tmp_path: Path) -> Path:
    """A folder with the compiled library, which this process has not loaded."""
    folder = tmp_path / "compiled"
    os.close(kernels._library(folder))
    return folder


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One for each time that the library is compiled."""
    times: list[int] = []
    compiled = kernels._compiled

    def counted(compiler: str, work: Path) -> Path:
        times.append(1)
        assert stat.S_IMODE(work.lstat().st_mode) == 0o700
        return compiled(compiler, work)

    monkeypatch.setattr(kernels, "_compiled", counted)
    return times


def answers() -> None:
    """What is loaded computes what it should."""
    assert kernels._kernels is not None
    assert kernels._kernels._call("answer") == 42


def mapped() -> set[str]:
    """The files whose code this process has loaded, by device and number."""
    lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    return {f"{line[3]} {line[4]}" for line in lines if "x" in line[1]}


def identity(file: Path) -> str:
    found = file.stat()
    return f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x} {found.st_ino}"


def test_they_are_compiled_once_and_privately(afresh: Path, compilations: list[int]) -> None:
    (made,) = afresh.iterdir()
    assert stat.S_IMODE(afresh.stat().st_mode) == 0o700
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert kernels.load(afresh) is None
    answers()
    assert not compilations
    assert identity(made) in mapped(), "the very file that was looked at"
    assert [*afresh.iterdir()] == [made], "nothing is left over"


def changed(file: Path) -> None:
    with file.open("r+b") as stream:
        stream.seek(200)
        stream.write(b"\xcc\xcc\xcc\xcc")


def cut_off(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def linked(file: Path) -> None:
    there = file.rename(file.parent.parent / file.name)
    file.symlink_to(there)


def open_to_a_group(path: Path) -> None:
    path.chmod(path.stat().st_mode | 0o020)


def somebody_elses(path: Path) -> None:
    os.chown(path, 12_345, -1)


AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.mark.parametrize(
    "spoil", [changed, cut_off, linked, open_to_a_group, pytest.param(somebody_elses, marks=AS_ROOT)]
)
def test_a_library_that_is_not_as_it_was_made_is_not_loaded(
    afresh: Path, compilations: list[int], spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    (made,) = afresh.iterdir()
    content = made.read_bytes()
    spoil(made)
    spoiled = identity(made)
    with made.open("rb"):  # or its number would be given to the next file, once it is removed
        assert kernels.load(afresh) is None
    answers()
    assert len(compilations) == 1
    assert spoiled not in mapped()
    assert "is not as it was made" in caplog.text
    (again,) = afresh.iterdir()
    assert again.read_bytes() == content
    assert not again.is_symlink()
    assert not why_not_ours(again.lstat())


def a_link(folder: Path) -> None:
    there = folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to(there)


def a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (open_to_a_group, "others can write it"),
        (a_link, "it is a link"),
        (a_file, "File exists"),
        pytest.param(somebody_elses, "it belongs to another user", marks=AS_ROOT),
    ],
)
def test_a_folder_that_others_can_write_is_left_alone(
    afresh: Path,
    compilations: list[int],
    spoil: Callable[[Path], None],
    why: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (made,) = afresh.iterdir()
    planted = identity(made)
    before = [*afresh.iterdir()]
    with made.open("rb"):
        spoil(afresh)
        assert kernels.load(afresh) is None
    answers()
    assert len(compilations) == 1
    assert planted not in mapped()
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1
    assert why in told[0]
    assert str(afresh) in told[0]
    if afresh.is_dir():
        assert [*afresh.iterdir()] == before, "nothing is kept there"


def test_what_cannot_be_kept_is_used_all_the_same(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(place: int, made_of: str, library: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(kernels, "_keep", full)
    assert kernels.load(tmp_path / "compiled") is None
    answers()
    assert "it cannot be written (No space left on device)" in caplog.text


def test_without_a_compiler_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_kernels", None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert kernels.load(tmp_path) == "there is no C compiler"
    assert kernels.of(torch.empty(1, dtype=torch.bfloat16)) is None


def test_a_compiler_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_kernels", None)
    (tmp_path / "kernels.c").write_text("int broken(", "utf-8")
    monkeypatch.setattr(kernels, "NATIVE", tmp_path)
    why = kernels.load(tmp_path / "made")
    assert why is not None
    assert why.startswith("the C compiler failed: ")
    assert not [*(tmp_path / "made").iterdir()]
