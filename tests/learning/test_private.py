"""Who could have written something is seen in its owner and its mode, and what was open to others is no longer."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lifelearn.learning import private

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture(autouse=True)
def _open_to_all() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def of(kind: int, rights: int, user: int = 1000) -> os.stat_result:
    return os.stat_result((kind | rights, 1, 1, 1, user, user, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (of(stat.S_IFREG, 0o600), ""),
        (of(stat.S_IFREG, 0o755), ""),  # that others read it changes nothing
        (of(stat.S_IFDIR, 0o700), ""),
        (of(stat.S_IFDIR, 0o755), ""),
        (of(stat.S_IFDIR, 0o775), "others can write it (mode 0775)"),
        (of(stat.S_IFDIR, 0o1777), "others can write it (mode 1777)"),
        (of(stat.S_IFREG, 0o602), "others can write it (mode 0602)"),
        (of(stat.S_IFREG, 0o600, 1001), "it belongs to another user (number 1001)"),
        (of(stat.S_IFDIR, 0o700, 0), "it belongs to another user (number 0)"),
        (of(stat.S_IFLNK, 0o777), "it is a link"),
        (of(stat.S_IFIFO, 0o600), "it is neither a file nor a folder"),
    ],
)
def test_who_could_have_written_it(found: os.stat_result, why: str) -> None:
    assert private.why_not_ours(found, 1000) == why


def test_it_is_this_process_s_user_unless_another_is_named(tmp_path: Path) -> None:
    assert private.why_not_ours(tmp_path.lstat()) == ""
    assert "belongs to another" in private.why_not_ours(tmp_path.lstat(), os.geteuid() + 1)


def test_what_a_process_makes_is_its_owner_s_alone(tmp_path: Path) -> None:
    private.umask()
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    assert (mode(tmp_path / "folder"), mode(tmp_path / "file")) == (0o700, 0o600)


def test_what_was_open_is_closed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    outside = tmp_path / "outside"
    outside.write_text("")
    place = tmp_path / "place"
    (place / "deep" / "deeper").mkdir(parents=True)
    for file in (place / "one", place / "deep" / "deeper" / "two"):
        file.write_text("")
    (place / "program").touch(0o755)
    (place / "link").symlink_to(outside)
    private.tighten(place, tmp_path / "missing")
    assert {mode(place), mode(place / "deep"), mode(place / "deep" / "deeper"), mode(place / "program")} == {0o700}
    assert {mode(place / "one"), mode(place / "deep" / "deeper" / "two")} == {0o600}
    assert mode(outside) == 0o666, "what a link leads to is not in the folder"
    (told,) = caplog.messages
    assert f"{place} was open to other users" in told
    assert "changed in 6 places" in told
    caplog.clear()
    private.tighten(place)
    assert caplog.messages == []


def test_a_place_may_be_a_link_itself(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    (tmp_path / "named").symlink_to(tmp_path / "place")
    private.tighten(tmp_path / "named")
    assert mode(tmp_path / "place") == 0o700


def test_in_a_closed_folder_nobody_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "place").mkdir(0o700)
    monkeypatch.setattr(os, "fwalk", lambda top: pytest.fail("it was looked into"))
    private.tighten(tmp_path / "place")


@AS_ROOT
def test_what_is_another_user_s_stays_and_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = tmp_path / "place"
    place.mkdir()
    for name in ("ours", "theirs", "theirs too"):
        (place / name).write_text("")
        if "theirs" in name:
            os.chown(place / name, 12_345, -1)
    os.chown(place, 12_345, -1)
    private.tighten(place)
    assert mode(place) == 0o777
    assert mode(place / "ours") == 0o600
    assert mode(place / "theirs") == 0o666
    changed, left = caplog.messages
    assert "changed in 1 places" in changed
    assert f"may read {place} (it belongs to another user, number 12345)" in left


def test_a_file_system_without_rights_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(os, "chmod", lambda *_, **__: None)  # as on a share of Windows'
    private.tighten(tmp_path / "file")
    (told,) = caplog.messages
    assert "its file system has no such rights" in told


def test_locks_on_a_file_are_kept(tmp_path: Path) -> None:
    """A process that opens and closes a file loses its locks on it: SQLite's, here."""
    file = tmp_path / "database"
    ask = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    with file.open("w") as stream:
        fcntl.lockf(stream, fcntl.LOCK_EX)
        private.tighten(file)
        asked = subprocess.run([sys.executable, "-c", ask, file], check=False, capture_output=True, text=True)
    assert mode(file) == 0o600
    assert "BlockingIOError" in asked.stderr
