"""Backup and restore: one state of everything, taken while others write, and put back so that all is as it was."""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]
import pytest
from alembic import command
from sqlalchemy import delete, select, text

from lifelearn.learning.recipe import Recipe
from lifelearn.settings import Settings
from lifelearn.workspace.backup import snapshot
from lifelearn.workspace.backup.backup import BackupError, backup
from lifelearn.workspace.backup.restore import RestoreError, restore, verify
from lifelearn.workspace.database import Database
from lifelearn.workspace.jobs.queue import LearningQueue
from lifelearn.workspace.migrations import configured, newest, upgrade
from lifelearn.workspace.storage import Storage
from lifelearn.workspace.tables.chats import Message, Thread
from lifelearn.workspace.tables.organizations import AuditEvent, Organization
from lifelearn.workspace.tables.versions import Version
from waiting import until
from workspace.archived import database_of, files, filled, foreign_keys_are_sound, lifelearn, names, rows
from workspace.fakes import BOTH, Workspace
from workspace.learning import (
    WorkerProcess,
    active,
    jobs,
    organization,
    states,
    taught,
    versions,
)
from workspace.test_exactness import look, same
from workspace.test_upgrades import LESSONS, recorded, release, working
from workspace.versioned import corrected, made

PROCESSES = pytest.mark.check("processes")


# There and back


@BOTH
def test_everything_comes_back_as_it_was(
    workspace: Workspace, settings: Settings, elsewhere: Settings, target: Path
) -> None:
    filled(workspace)
    filled(workspace, "Borealis", 1)
    (settings.folder / "work" / "job").mkdir(parents=True)
    (settings.folder / "work" / "job" / "stage.json").write_text("{}")
    before = rows(settings)
    at, manifest = backup(settings, target)
    assert (at, manifest.organizations, manifest.versions) == (target, 2, 3)
    assert target.stat().st_mode & 0o777 == 0o600
    assert names(target.parent) == {target.name}
    assert verify(target) == manifest
    assert restore(elsewhere, target) == (manifest, "")
    assert rows(elsewhere) == before
    assert foreign_keys_are_sound(elsewhere)
    there = files(settings.folder)
    del there["work/job/stage.json"]
    assert files(elsewhere.folder) == there
    assert not list(elsewhere.folder.glob(".*"))


class Writing:
    """Writes on until it is told to end: messages, each with its line in the audit log, and versions."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace, self._ended, self.problems = workspace, threading.Event(), list[BaseException]()
        self.owner = workspace.person()
        self.place = workspace.organization(self.owner)
        with workspace.database.write() as db:
            thread = Thread(organization_id=self.place, owner_id=self.owner.user_id, title="Much said")
            db.add(thread)
            db.flush()
            self.thread = thread.id
        self.said = self.made = 0
        self._threads = [threading.Thread(target=self._go_on, args=(do,)) for do in (self._say, self._make)]

    def __enter__(self) -> Writing:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for each in self._threads:
            each.join()
        assert not self.problems

    def _go_on(self, do: Callable[[], None]) -> None:
        try:
            while not self._ended.is_set():
                do()
        except BaseException as error:
            self.problems.append(error)

    def _say(self) -> None:
        with self._workspace.database.write() as db:
            content = f"{self.said:06} " + "much is said here " * 100
            db.add(Message(organization_id=self.place, thread_id=self.thread, role="user", content=content))
            db.add(AuditEvent(organization_id=self.place, actor="a", action="said", details={"said": self.said}))
        self.said += 1

    def _make(self) -> None:
        made(self._workspace, self.place, corrected(self._workspace, self.place, f"Question {self.made}?"))
        self.made += 1


@BOTH
def test_a_backup_under_writing_is_one_state_and_holds_every_version_it_names(
    workspace: Workspace, settings: Settings, elsewhere: Settings, target: Path
) -> None:
    with Writing(workspace) as writing:
        until(lambda: writing.said > 50 and writing.made > 2)
        before = writing.said, writing.made
        begun = list[tuple[int, int]]()

        def wait_for_more(_done: int, _total: int) -> None:
            """Between the snapshot and its versions more is said and more versions are made."""
            if not begun:
                begun.append((writing.said, writing.made))
                until(lambda: writing.said > begun[0][0] + 1 and writing.made > begun[0][1] + 1)

        backup(settings, target, wait_for_more)
    after = begun[0]
    restore(elsewhere, target)
    messages = select(Message.content).order_by(Message.content)
    with database_of(elsewhere) as database, database.read() as db, workspace.database.read() as source:
        said = list(db.scalars(messages))
        assert before[0] <= len(said) <= after[0] + 1
        assert said == list(source.scalars(messages))[: len(said)]
        log = [row.details["said"] for row in db.scalars(select(AuditEvent)) if "said" in row.details]
        assert sorted(log) == list(range(len(said)))  # of a transaction all or nothing
        kept = list(db.scalars(select(Version).order_by(Version.number)))
        assert before[1] <= len(kept) <= after[1] + 1
        assert [version.number for version in kept] == list(range(1, len(kept) + 1))
        assert db.scalars(select(Organization.active_version)).one() == len(kept)
        there = Storage(settings)
        for version in kept:
            assert files(Storage(elsewhere).fetch(version)) == files(there.fetch(version))
        assert Storage(elsewhere).versions(writing.place) == {version.id for version in kept}
    assert foreign_keys_are_sound(elsewhere)


def test_sqlite_is_copied_once_however_much_is_written_meanwhile(
    workspace: Workspace, settings: Settings, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy that began again with each change would never end."""
    filled(workspace)
    steps = []

    def write(_status: int, _remaining: int, total: int) -> None:
        steps.append(total)
        with workspace.database.write() as db:
            db.add(Organization(name=f"Written at step {len(steps)}", base_model="bundled"))

    monkeypatch.setattr(snapshot, "PAGES", 8)
    monkeypatch.setattr(snapshot, "_between", write)
    _, manifest = backup(settings, target)
    assert len(steps) == -(-steps[0] // 8) > 5
    assert len(set(steps)) == 1
    assert manifest.organizations == 1


@BOTH
def test_every_version_answers_as_before(
    workspace: Workspace, settings: Settings, elsewhere: Settings, target: Path, tiny: Any, tiny_model_folder: Path
) -> None:
    """To the bit, an adapter and a model of which all weights are its own; each is loaded anew for each look."""
    acme = workspace.organization(workspace.person())
    for number, method in enumerate(("lora", "full")):
        weights = target.parent.with_name(method)
        moved_weights(tiny, method, weights)
        made(workspace, acme, corrected(workspace, acme, f"Question {number}?"), weights=weights)
    real = {"inference_backend": "local", "base_model_name": str(tiny_model_folder)}
    there, here = (each.model_copy(update=real) for each in (settings, elsewhere))
    kept = versions(workspace.database, acme)
    looks = [look(there, Storage(there).fetch(version)) for version in kept]
    assert not same(*looks)
    backup(settings, target)
    shutil.rmtree(settings.folder)
    restore(elsewhere, target)
    for version, before in zip(kept, looks, strict=True):
        assert same(look(here, Storage(here).fetch(version)), before)


def moved_weights(tiny: Any, method: Any, folder: Path) -> None:
    """What training leaves, from weights that were moved at random."""
    import torch

    from lifelearn.learning.sdft.student import make_student

    student = make_student(tiny.base, tiny.decoder, Recipe(method=method), None)
    torch.manual_seed(1)
    for parameter in student.parameters:
        parameter.data += 0.05 * torch.randn_like(parameter)
    student.save(folder)
    student.close()


# What was on its way


@BOTH
@PROCESSES
def test_a_correction_that_waited_is_learned_after_the_restore(
    database: Database, queue: LearningQueue, settings: Settings, elsewhere: Settings, target: Path, tmp_path: Path
) -> None:
    acme = organization(database)
    taught(database, queue, acme, "Where is it?", "Lyon")
    taught(database, queue, acme, "How long is it?", "25 days")
    backup(settings, target)
    restore(elsewhere, target)
    worker = WorkerProcess(elsewhere, tmp_path / "worker.log")
    with database_of(elsewhere) as restored:
        until(lambda: states(restored) == ["learned"] * 2)
        assert active(restored, acme) == 2
        assert all(Storage(elsewhere).fetch(version) for version in versions(restored, acme))
    worker.end()
    assert states(database) == ["queued"] * 2


@BOTH
@PROCESSES
def test_a_lesson_whose_version_was_not_in_any_row_yet_comes_to_one_after_the_restore(
    database: Database, queue: LearningQueue, settings: Settings, elsewhere: Settings, target: Path, tmp_path: Path
) -> None:
    """The engine has recorded that its files were published, and they are not in the backup."""
    acme = organization(database)
    taught(database, queue, acme, "Where is it?", "Lyon")
    made = "    return Made(planned, uuid.UUID"
    halting = {LESSONS: (made, f"    time.sleep(600)\n{made}")}
    with working(settings, release(tmp_path / "halting", halting)):
        until(lambda: "publish:1" in recorded(database, jobs(database)[0].id))
        backup(settings, target)
    restore(elsewhere, target)
    assert Storage(elsewhere).versions(acme) == set()
    worker = WorkerProcess(elsewhere, tmp_path / "worker.log")
    with database_of(elsewhere) as restored:
        until(lambda: states(restored) == ["learned"])
        (version,) = versions(restored, acme)
        assert files(Storage(elsewhere).fetch(version)).keys() == version.files.keys()
    worker.end()


@pytest.mark.parametrize("with_tables", [False])
def test_an_older_schema_is_brought_up_to_date_at_the_next_start(
    settings: Settings, elsewhere: Settings, target: Path
) -> None:
    with database_of(settings) as database, database.engine.connect() as connection, connection.begin():
        command.upgrade(configured(connection), "0001")
    _, manifest = backup(settings, target)
    assert manifest.schema_revision == "0001"
    restore(elsewhere, target)
    with database_of(elsewhere) as database:
        upgrade(database)
        with database.read() as db:
            assert db.scalar(text("SELECT version_num FROM alembic_version")) == newest()


# Versions that are not what they were


def test_a_damaged_version_is_told_and_no_backup_made(workspace: Workspace, settings: Settings, target: Path) -> None:
    acme = filled(workspace)
    weights = Storage(settings).fetch(versions(workspace.database, acme)[1]) / "adapter_model.safetensors"
    weights.write_bytes(b"other")
    # A process of its own: this one has found the file sound before.
    done = lifelearn("backup", target, settings=settings)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("The file adapter_model.safetensors of version 2 is damaged")
    assert str(acme) in done.stderr
    weights.unlink()
    with pytest.raises(BackupError, match="Version 2 lacks its file"):
        backup(settings, target)
    assert names(target.parent) == set()


@BOTH
def test_an_organisation_that_is_deleted_meanwhile_is_in_no_backup(
    workspace: Workspace, settings: Settings, elsewhere: Settings, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stays, goes = filled(workspace), filled(workspace, "Borealis")
    take = snapshot.taken

    def then_deleted(database: Database, to: Path) -> snapshot.Contents:
        taken = take(database, to)
        with workspace.database.write() as db:
            db.execute(delete(Organization).where(Organization.id == goes))
        Storage(settings).remove(goes)
        return taken

    monkeypatch.setattr(snapshot, "taken", then_deleted)
    _, manifest = backup(settings, target)
    assert manifest.organizations == 1
    restore(elsewhere, target)
    assert Storage(elsewhere).organizations() == {stays}


def test_where_organisations_go_again_and_again_it_gives_up(
    workspace: Workspace, settings: Settings, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme, tries = filled(workspace), list[int]()
    Storage(settings).remove(acme)

    def gone(*_: object) -> bool:
        tries.append(1)
        return False

    monkeypatch.setattr(snapshot, "still_there", gone)
    with pytest.raises(BackupError, match="Try again"):
        backup(settings, target)
    assert len(tries) > 1
    assert names(target.parent) == set()


def test_an_object_store_is_backed_up_and_filled_again(
    workspace: Workspace, settings: Settings, elsewhere: Settings, target: Path, tmp_path: Path
) -> None:
    acme = filled(workspace)
    kept = {version.id: files(Storage(settings).fetch(version)) for version in versions(workspace.database, acme)}
    store = {
        "model_storage_dir": f"memory://there-{uuid.uuid4()}",
        "cache_dir": tmp_path / "cache",
        "secret_key": "k" * 32,
    }
    from_store = Settings(**{**settings.model_dump(), **store})
    into_store = Settings(**{**elsewhere.model_dump(), **store, "model_storage_dir": f"memory://here-{uuid.uuid4()}"})
    for version in versions(workspace.database, acme):
        Storage(from_store).publish(acme, version.id, Storage(settings).fetch(version))
    try:
        backup(from_store, target)
        assert not (tmp_path / "cache").exists()  # which would grow with each backup
        restore(into_store, target)
        for version in versions(workspace.database, acme):
            assert files(Storage(into_store).fetch(version)) == kept[version.id]
        with pytest.raises(RestoreError, match="is not empty, and nothing is overwritten"):
            restore(into_store, target)
    finally:
        fsspec.filesystem("memory").store.clear()
