"""Archives: of the terminal's data, and those that are refused; and what is left of one that breaks off."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lifelearn.learning.version import VersionStore
from lifelearn.settings import Settings
from lifelearn.terminal.journal import journal_of
from lifelearn.workspace.backup import archive as archives
from lifelearn.workspace.backup.backup import BackupError, backup
from lifelearn.workspace.backup.manifest import FORMAT, MANIFEST, ArchiveError, Entry, Manifest
from lifelearn.workspace.backup.restore import RestoreError, restore, verify
from version_fakes import CORRECTION, added, weights_folder
from workspace.archived import files, filled, names, rows
from workspace.fakes import BOTH, Workspace

Change = Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]  # of an archive's members

# The terminal's data, with and without a workspace


@pytest.fixture
def learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A folder of somebody who uses the chat in a terminal: two versions, a correction that waits."""
    monkeypatch.chdir(tmp_path)
    settings = Settings(model_storage_dir=tmp_path / "mine")
    store = VersionStore(settings.folder)
    for number in (1, 2):
        added(store, weights_folder(tmp_path / f"weights{number}", f"weights {number}".encode()), number - 1)
    store.activate(2)
    journal_of(settings.folder).acknowledge(CORRECTION)
    (settings.folder / "history").write_text("what was typed")
    (settings.folder / "versions" / "0001" / ".DS_Store").write_text("of somebody's desktop")
    (settings.folder / "versions" / "0002" / "notes (mine).txt").write_text("of the user's own")
    return settings


def test_what_was_learned_in_a_terminal_comes_back(learned: Settings, target: Path, tmp_path: Path) -> None:
    _, manifest = backup(learned, target)
    assert manifest.counted == "2 versions of the terminal"
    there = Settings(model_storage_dir=tmp_path / "there")
    assert restore(there, target) == (manifest, "")
    assert VersionStore(there.folder).active() == 2
    VersionStore(there.folder).activate(1)  # which checks its hash
    assert journal_of(there.folder).pending() == [CORRECTION]
    expected = files(learned.folder)
    assert {**files(there.folder), "active": expected["active"]}.items() <= expected.items()
    assert expected.keys() - files(there.folder).keys() == {"history", "versions/0001/.DS_Store", "journal.jsonl.lock"}
    assert not list(tmp_path.rglob("*.db"))


def test_a_damaged_version_of_the_terminal_is_told(learned: Settings, target: Path) -> None:
    (learned.folder / "versions" / "0001" / "adapter_model.safetensors").write_text("other")
    with pytest.raises(BackupError, match=r"0001/adapter_model.safetensors is damaged"):
        backup(learned, target)
    assert names(target.parent) == set()


def test_nothing_to_back_up_is_no_backup(tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BackupError, match="There is nothing to back up"):
        backup(Settings(), target)


def test_a_database_that_was_named_and_is_not_there_is_not_passed_over(learned: Settings, target: Path) -> None:
    """Nor one whose organisations are there: a backup without them would look like one."""
    with pytest.raises(BackupError, match=r"There is no database nowhere\.db"):
        backup(Settings(model_storage_dir=learned.folder, database_url="sqlite:///nowhere.db"), target)
    (learned.folder / "organizations").mkdir()
    with pytest.raises(BackupError, match=r"There is no database life_learn\.db"):
        backup(learned, target)
    assert not Path("nowhere.db").exists()


# Archives that are refused


@pytest.fixture
def archive(learned: Settings, target: Path) -> Path:
    backup(learned, target)
    return target


def repacked(archive: Path, change: Change) -> None:
    """The archive with its members changed."""
    with tarfile.open(archive) as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]
    change(members)
    with tarfile.open(archive, "w") as tar:
        for member, content in members:
            if member.isreg():
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def with_file(name: str, listed: bool, **attributes: Any) -> Change:
    """One more file, in the manifest too if `listed`."""

    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        member = tarfile.TarInfo(name)
        for attribute, value in attributes.items():
            setattr(member, attribute, value)
        members.insert(0, (member, b"evil"))
        if listed:
            last, text = members.pop()
            manifest = Manifest.model_construct(**Manifest.model_validate_json(text).__dict__)
            sha256 = "4e388ab32b10dc8dbc7e28144f552830adc74787c1e2c0824032078a79f227fb"
            manifest.files[name] = Entry(size=4, sha256=sha256)
            members.append((last, manifest.model_dump_json().encode()))

    return change


def with_manifest(**values: Any) -> Change:
    """The manifest says something else."""

    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        last, text = members.pop()
        assert last.name == MANIFEST
        told = Manifest.model_validate_json(text).model_copy(update=values)
        members.append((last, told.model_dump_json().encode()))

    return change


ELSEWHERE = ("../evil", "/evil", "data/../../evil", "data/versions/0001/../../../evil", "evil", "data/active/../x")


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_path_that_leads_elsewhere_is_refused(archive: Path, tmp_path: Path, name: str) -> None:
    repacked(archive, with_file(name, listed=True))
    with pytest.raises(ArchiveError, match="no file of a backup is called"):
        restore(Settings(model_storage_dir=tmp_path / "there"), archive)
    assert not list(tmp_path.rglob("evil"))
    assert not list((tmp_path / "there").glob("*"))


@pytest.mark.parametrize(
    "change",
    [
        with_file("data/versions/0003/adapter_model.safetensors", listed=False),
        with_file("data/active", listed=False),  # a second one of the name
        with_file("data/versions/0003/x", listed=True, type=tarfile.SYMTYPE, linkname="/etc/passwd", size=4),
        with_file("data/versions/0003/x", listed=True, type=tarfile.LNKTYPE, linkname="data/active", size=4),
        with_file("data/versions/0003/x", listed=True, type=tarfile.FIFOTYPE, size=4),
        lambda members: members.pop(0),  # one is missing
        lambda members: members.__setitem__(0, (members[0][0], members[0][1] + b"more")),
        with_manifest(database="sqlite"),  # and there is none
    ],
    ids=["unlisted", "twice", "link", "hard link", "pipe", "missing", "longer", "no database"],
)
def test_what_the_list_does_not_say_is_refused(archive: Path, tmp_path: Path, change: Change) -> None:
    repacked(archive, change)
    with pytest.raises(ArchiveError, match=r"was changed|is no backup"):
        restore(Settings(model_storage_dir=tmp_path / "there"), archive)
    assert not list((tmp_path / "there").glob("*"))


def test_a_changed_file_is_refused_before_anything_is_in_place(archive: Path, tmp_path: Path) -> None:
    content = archive.read_bytes()
    assert content.count(b"weights 2") == 1
    archive.write_bytes(content.replace(b"weights 2", b"weights 3"))
    there = Settings(model_storage_dir=tmp_path / "there")
    for check in (lambda: verify(archive), lambda: restore(there, archive)):
        with pytest.raises(ArchiveError, match=r"data/versions/0002/adapter_model.safetensors is not what it was"):
            check()
    assert not list((tmp_path / "there").glob("*"))


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b" + bytes(600), None])
def test_what_is_no_backup_or_only_half_of_one_is_refused(archive: Path, tmp_path: Path, content: bytes | None) -> None:
    archive.write_bytes(archive.read_bytes()[:2000] if content is None else content)
    with pytest.raises(ArchiveError, match="is no backup of Life-Learn, or it is not complete"):
        verify(archive)


def test_a_newer_format_and_a_newer_schema_are_refused(archive: Path, tmp_path: Path) -> None:
    there = Settings(model_storage_dir=tmp_path / "there")

    repacked(archive, with_manifest(schema_revision="9999"))
    with pytest.raises(RestoreError, match="of a newer release"):
        restore(there, archive)
    repacked(archive, with_manifest(format=FORMAT + 1))
    with pytest.raises(ArchiveError, match=f"of a newer release of Life-Learn \\(format {FORMAT + 1}"):
        restore(there, archive)


# What breaks off


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
@pytest.mark.parametrize("after", [0, 3])
def test_a_backup_that_breaks_off_leaves_nothing(
    learned: Settings, target: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, after: int
) -> None:
    add, left = archives.Writer.add, [error, *[None] * after]

    def breaking(writer: archives.Writer, name: str, source: Path) -> Entry:
        if told := left.pop():
            raise told
        return add(writer, name, source)

    monkeypatch.setattr(archives.Writer, "add", breaking)
    expected = ArchiveError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected, match="the disk is full" if isinstance(error, OSError) else None):
        backup(learned, target)
    assert names(target.parent) == set()


@pytest.mark.check("processes")
def test_sigterm_leaves_nothing(learned: Settings, target: Path) -> None:
    code = (
        "import os, signal\n"
        "from lifelearn import cli\n"
        "from lifelearn.workspace.backup.archive import Writer\n"
        "Writer.finish = lambda *_: os.kill(os.getpid(), signal.SIGTERM)\n"
        f"import sys; sys.argv = ['lifelearn', 'backup', {str(target)!r}]\n"
        "cli.main()\n"
    )
    environment = {**os.environ, "LL_MODEL_STORAGE_DIR": str(learned.folder)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode not in (0, -signal.SIGTERM)
    assert "Traceback" not in done.stderr
    assert names(target.parent) == set()


@BOTH
def test_a_restore_that_breaks_off_leaves_nothing_and_can_be_done_again(
    workspace: Workspace, settings: Settings, elsewhere: Settings, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(workspace)
    backup(settings, target)
    with monkeypatch.context() as patch:
        patch.setattr(
            "lifelearn.workspace.backup.restore._fill_database", lambda *_: os.kill(os.getpid(), signal.SIGINT)
        )
        with pytest.raises(KeyboardInterrupt):
            restore(elsewhere, target)
    assert list(elsewhere.folder.iterdir()) == []
    restore(elsewhere, target)
    assert rows(elsewhere) == rows(settings)


@pytest.mark.check("processes")
def test_torch_is_not_loaded(learned: Settings, target: Path) -> None:
    code = (
        "import sys\n"
        "from lifelearn.settings import load_settings\n"
        "from lifelearn.workspace.backup.backup import backup\n"
        "from lifelearn.workspace.backup.restore import verify\n"
        f"from pathlib import Path; backup(load_settings(), Path({str(target)!r})); verify(Path({str(target)!r}))\n"
        "sys.exit('torch' in sys.modules)"
    )
    environment = {**os.environ, "LL_MODEL_STORAGE_DIR": str(learned.folder)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
