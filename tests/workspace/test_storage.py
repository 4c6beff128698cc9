"""Where versions are kept: in a folder and in an object store, whole, checked by their hashes, and swept."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]
import pytest
from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped]

from lifelearn.learning.version import VersionError
from lifelearn.settings import Settings, SettingsError
from lifelearn.workspace.database import Database
from lifelearn.workspace.organizations.ending import sweep_folders
from lifelearn.workspace.storage import Storage
from lifelearn.workspace.tables.versions import Version


@pytest.fixture
def remote(settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    yield settings.model_copy(
        update={"model_storage_dir": f"memory://versions-{uuid.uuid4()}", "cache_dir": tmp_path / "cache"}
    )
    fsspec.filesystem("memory").store.clear()


@pytest.fixture(params=["folder", "object store"])
def stored(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    found: Settings = settings if request.param == "folder" else request.getfixturevalue("remote")
    return found


def folder(tmp_path: Path, text: str = "weights") -> Path:
    made = tmp_path / str(uuid.uuid4())
    made.mkdir()
    (made / "adapter_model.safetensors").write_text(text)
    (made / "manifest.json").write_text("{}")
    return made


def published(settings: Settings, tmp_path: Path, text: str = "weights") -> Version:
    place, version_id = uuid.uuid4(), uuid.uuid4()
    files = Storage(settings).publish(place, version_id, folder(tmp_path, text))
    return Version(id=version_id, organization_id=place, number=1, files=files)


def test_what_is_published_is_fetched(stored: Settings, tmp_path: Path) -> None:
    version = published(stored, tmp_path)
    found = Storage(stored).fetch(version)
    assert (found / "adapter_model.safetensors").read_text() == "weights"
    assert {each.name for each in found.iterdir()} == {"adapter_model.safetensors", "manifest.json"}
    assert Storage(stored).organizations() == {version.organization_id}
    assert Storage(stored).versions(version.organization_id) == {version.id}


def test_another_machine_fetches_only_what_it_needs(stored: Settings, tmp_path: Path) -> None:
    version = published(stored, tmp_path)
    other = stored.model_copy(update={"cache_dir": tmp_path / "other"})
    found = Storage(other).fetch(version, ["manifest.json"])
    shared = isinstance(stored.model_storage_dir, Path)  # it is there as it is
    assert (found / "manifest.json").exists()
    assert (found / "adapter_model.safetensors").exists() == shared


def test_a_changed_file_is_refused(stored: Settings, tmp_path: Path) -> None:
    version = published(stored, tmp_path)
    path = f"organizations/{version.organization_id}/versions/{version.id}/adapter_model.safetensors"
    if isinstance(stored.model_storage_dir, Path):
        (stored.model_storage_dir / path).write_text("other")
    else:
        with fsspec.open(f"{stored.model_storage_dir}/{path}", "w") as stream:
            stream.write("other")
    with pytest.raises(VersionError, match=r"adapter_model\.safetensors of version 1 is damaged"):
        Storage(stored).fetch(version)


def test_a_missing_file_is_named(stored: Settings, tmp_path: Path) -> None:
    version = published(stored, tmp_path)
    Storage(stored).remove(version.organization_id, version.id)
    with pytest.raises(VersionError, match="Version 1 lacks its file"):
        Storage(stored).fetch(version)
    assert Storage(stored).versions(version.organization_id) == set()


def test_an_organisation_goes_with_all_it_has(stored: Settings, tmp_path: Path) -> None:
    version, other = published(stored, tmp_path), published(stored, tmp_path)
    Storage(stored).remove(version.organization_id)
    assert Storage(stored).organizations() == {other.organization_id}


def test_a_store_without_its_package_says_so(settings: Settings, tmp_path: Path) -> None:
    nowhere = settings.model_copy(update={"model_storage_dir": "nosuch://bucket"})
    with pytest.raises(VersionError, match="LL_MODEL_STORAGE_DIR=nosuch://bucket cannot be used"):
        Storage(nowhere).organizations()


class Forgetful(MemoryFileSystem):  # type: ignore[misc]
    """Remembers what it listed, as object stores do unless told not to; and can be out of reach."""

    protocol = "forgetful"
    reachable = True

    def ls(self, path: str, detail: bool = True, **more: Any) -> Any:
        if not self.reachable:
            raise RuntimeError("Could not connect\nto it.")  # no OSError, as of some stores
        if path not in self.dircache:
            self.dircache[path] = super().ls(path, detail=True, **more)
        found = self.dircache.get(path) or super().ls(path, detail=True, **more)
        return found if detail else [each["name"] for each in found]


@pytest.fixture
def forgetful(settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    fsspec.register_implementation("forgetful", Forgetful, clobber=True)
    place = f"forgetful://versions-{uuid.uuid4()}"
    yield settings.model_copy(update={"model_storage_dir": place, "cache_dir": tmp_path / "cache"})
    Forgetful.reachable = True
    fsspec.filesystem("memory").store.clear()


def test_what_another_process_put_into_a_store_is_seen(forgetful: Settings, tmp_path: Path) -> None:
    one = published(forgetful, tmp_path)
    assert Storage(forgetful).organizations() == {one.organization_id}
    _, root = fsspec.core.url_to_fs(str(forgetful.model_storage_dir))
    other = uuid.uuid4()
    fsspec.filesystem("memory").makedirs(f"{root}/organizations/{other}")  # past the one that lists
    assert Storage(forgetful).organizations() == {one.organization_id, other}


def test_a_store_out_of_reach_says_so(forgetful: Settings, tmp_path: Path) -> None:
    published(forgetful, tmp_path)
    Forgetful.reachable = False
    with pytest.raises(VersionError, match=r"LL_MODEL_STORAGE_DIR=forgetful://\S+ cannot be used: Could not connect$"):
        Storage(forgetful).organizations()


def test_the_terminal_wants_a_folder(settings: Settings) -> None:
    with pytest.raises(SettingsError, match="is an object store, and this needs a folder"):
        settings.model_copy(update={"model_storage_dir": "memory://versions"}).folder  # noqa: B018


@pytest.mark.parametrize("raised", [TimeoutError("slow"), RuntimeError("of its package")])
def test_a_download_that_breaks_off_leaves_nothing_and_can_be_done_again(
    remote: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception
) -> None:
    version = published(remote, tmp_path)

    def broken(system: object, source: str, target: str, **more: object) -> None:
        Path(target).write_text("wei")
        raise raised

    with monkeypatch.context() as patch:
        patch.setattr(type(fsspec.filesystem("memory")), "get_file", broken)
        with pytest.raises(OSError, match=str(raised)):
            Storage(remote).fetch(version)
    assert [each for each in remote.cache_dir.rglob("*") if each.is_file()] == []
    assert (Storage(remote).fetch(version) / "adapter_model.safetensors").read_text() == "weights"


def test_a_deleted_organisation_leaves_the_caches_of_other_machines(
    remote: Settings, database: Database, tmp_path: Path
) -> None:
    version = published(remote, tmp_path)
    other = remote.model_copy(update={"cache_dir": tmp_path / "other"})
    folder = Storage(other).fetch(version)
    Storage(remote).remove(version.organization_id)  # by the machine on which it was deleted
    assert folder.exists()
    assert sweep_folders(database, other) == 1
    assert not folder.exists()
    assert sweep_folders(database, other) == 0
