"""A version is complete or not there, the pointer names one of them at any time, and rollback is exact to the bit."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.recipe import Recipe
from lifelearn.learning.sdft.student import make_student
from lifelearn.learning.types import Message, ModelVersion
from lifelearn.learning.version import VersionError, VersionStore, replace_file, sha256
from version_fakes import LESSON, REPORT, added, weights_folder


@pytest.fixture
def store(tmp_path: Path) -> VersionStore:
    return VersionStore(tmp_path / "data")


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_new_folder_has_no_versions_and_the_base_is_active(store: VersionStore) -> None:
    assert (store.active(), store.versions(), store.lineage(0), store.weights(0)) == (0, [], [], None)
    assert not store.root.exists(), "reading makes no folder"


def test_a_version_is_kept_as_it_was_added(store: VersionStore, tmp_path: Path) -> None:
    version = added(store, weights_folder(tmp_path / "w"))
    assert (version.number, version.parent, version.base, version.method) == (1, 0, "tiny", "lora")
    assert store.get(1) == version
    assert store.versions() == [version]
    assert store.lesson(1) == LESSON
    assert version.seconds == {"train": 1.235}
    assert version.settings["lora_rank"] == Recipe().lora_rank
    folder = store.weights(1)
    assert folder is not None
    assert version.sha256 == sha256(folder / "adapter_model.safetensors")
    assert version.bytes >= len(b"weights")
    assert store.active() == 0, "a new version is a candidate"


def test_the_manifest_is_written_last_and_the_folder_moved_in_whole(
    store: VersionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves: list[tuple[str, set[str]]] = []
    replace = os.replace

    def watched(source: Path, target: Path) -> None:
        beside = {path.name for path in Path(source).parent.iterdir()} if Path(source).is_file() else set()
        moves.append((Path(target).name, beside))
        replace(source, target)

    monkeypatch.setattr(os, "replace", watched)
    added(store, weights_folder(tmp_path / "w"))
    assert [name for name, _ in moves] == ["manifest.json", "0001"]
    assert {"adapter_model.safetensors", "adapter_config.json", "lesson.json"} <= moves[0][1]


def test_a_number_that_was_ordered_is_given_and_replaces_what_an_earlier_try_left(tmp_path: Path) -> None:
    added(VersionStore(tmp_path, adds=7), weights_folder(tmp_path / "w1", b"first"))
    (tmp_path / "versions" / "0007" / "left.json").write_text("{}")
    store = VersionStore(tmp_path, adds=7)
    assert added(store, weights_folder(tmp_path / "w2", b"second"), parent=3).number == 7
    assert [(version.number, version.parent) for version in store.versions()] == [(7, 3)]
    assert (store.path(7) / "adapter_model.safetensors").read_bytes() == b"second"
    assert not (store.path(7) / "left.json").exists()


@pytest.mark.parametrize("breaks_at", ["manifest.json", "0001"])
def test_a_crash_while_a_version_is_added_leaves_none_and_the_next_cleans_up(
    store: VersionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, breaks_at: str
) -> None:
    replace = os.replace

    def crash(source: Path, target: Path) -> None:
        if Path(target).name == breaks_at:
            raise KeyboardInterrupt
        replace(source, target)

    weights = weights_folder(tmp_path / "w")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            added(store, weights)
    assert store.versions() == []
    with pytest.raises(VersionError, match="no version 1"):
        store.activate(1)
    assert added(store, weights).number == 1, "the trained weights are still there to be added"
    assert [path.name for path in (store.root / "versions").iterdir()] == ["0001"], "the partial folder is gone"


def test_a_folder_without_manifest_is_no_version_and_is_not_in_the_way(store: VersionStore, tmp_path: Path) -> None:
    added(store, weights_folder(tmp_path / "w1"))
    weights_folder(store.path(2))
    assert [version.number for version in store.versions()] == [1]
    with pytest.raises(VersionError, match=r"There is no version 2\. There are: 0, 1"):
        store.get(2)
    number = added(store, weights_folder(tmp_path / "w2")).number
    assert [version.number for version in store.versions()] == [1, number]


def test_a_foreign_folder_among_the_versions_is_left_alone(store: VersionStore, tmp_path: Path) -> None:
    added(store, weights_folder(tmp_path / "w"))
    backup = store.root / "versions" / "0001 (copy)"
    backup.mkdir()
    (backup / "manifest.json").write_bytes((store.path(1) / "manifest.json").read_bytes())
    assert [version.number for version in store.versions()] == [1]


def test_numbers_are_not_given_twice_and_the_lineage_is_oldest_first(store: VersionStore, tmp_path: Path) -> None:
    for number, parent in ((1, 0), (2, 1), (3, 1), (4, 3)):
        assert added(store, weights_folder(tmp_path / f"w{number}"), parent).number == number
    assert [version.number for version in store.lineage(4)] == [1, 3, 4]
    assert [version.number for version in store.lineage(2)] == [1, 2]


def test_missing_versions_and_the_base_can_be_asked_for(store: VersionStore, tmp_path: Path) -> None:
    added(store, weights_folder(tmp_path / "w"))
    store.activate(1)
    with pytest.raises(VersionError, match=r"There is no version 7. There are: 0, 1 \(0 is the base model\)"):
        store.activate(7)
    assert store.active() == 1
    store.activate(0)
    assert store.active() == 0


def test_damaged_weights_do_not_go_live(store: VersionStore, tmp_path: Path) -> None:
    added(store, weights_folder(tmp_path / "w1"))
    added(store, weights_folder(tmp_path / "w2"), parent=1)
    store.activate(1)
    flip_a_byte(store.path(2) / "adapter_model.safetensors")
    with pytest.raises(VersionError, match=r"weights of version 2 are damaged.*active version is unchanged"):
        store.activate(2)
    assert store.active() == 1


def test_missing_weights_do_not_go_live(store: VersionStore, tmp_path: Path) -> None:
    added(store, weights_folder(tmp_path / "w"))
    (store.path(1) / "adapter_model.safetensors").unlink()
    with pytest.raises(VersionError, match="weights of version 1 are missing"):
        store.activate(1)
    with pytest.raises(VersionError, match="weights of version 1 are missing"):
        store.weights(1)
    assert store.active() == 0


@pytest.mark.parametrize("text", ["", "{", '{"version": 1', '{"number": 1}', '{"version": "one"}', "[]", "null"])
def test_a_damaged_pointer_says_what_to_do_and_is_repaired_by_it(
    store: VersionStore, tmp_path: Path, text: str
) -> None:
    added(store, weights_folder(tmp_path / "w"))
    (store.root / "active").write_text(text)
    with pytest.raises(VersionError, match=r"damaged\. Choose a version again: lifelearn rollback N"):
        store.active()
    store.activate(1)
    assert store.active() == 1


def test_a_pointer_of_bytes_that_are_no_text_is_damaged_too(store: VersionStore) -> None:
    store.root.mkdir()
    (store.root / "active").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(VersionError, match="damaged"):
        store.active()


@pytest.mark.parametrize("text", ["", "{", "{}", '{"number": 1, "of": "another release"}'])
def test_a_damaged_manifest_is_one_clear_sentence(store: VersionStore, tmp_path: Path, text: str) -> None:
    added(store, weights_folder(tmp_path / "w"))
    (store.path(1) / "manifest.json").write_text(text)
    with pytest.raises(VersionError, match=r"manifest .* is damaged or of another release"):
        store.activate(1)
    assert store.active() == 0


@pytest.mark.parametrize("breaks_at", ["fsync", "replace"])
def test_a_crash_while_the_pointer_moves_leaves_the_old_one(
    store: VersionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, breaks_at: str
) -> None:
    added(store, weights_folder(tmp_path / "w1"))
    added(store, weights_folder(tmp_path / "w2"))
    store.activate(1)

    def crash(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, breaks_at, crash)
        with pytest.raises(KeyboardInterrupt):
            store.activate(2)
    assert store.active() == 1
    store.activate(2)
    assert store.active() == 2


def test_replace_file_is_on_the_disk_before_it_takes_the_place_of_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        done.append("fsync")
        fsync(descriptor)

    def replaced(source: Path, target: Path) -> None:
        done.append("replace")
        assert Path(source).read_text() == "new – 新"
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    replace_file(tmp_path / "file", "new – 新")
    assert done == ["fsync", "replace", "fsync"], "the text, the name, the folder"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def teach(model: Any, recipe: Recipe, folder: Path, parent: Path | None, seed: int) -> Path:
    """Weights that differ from their parent's."""
    student = make_student(model.base, model.decoder, recipe, parent)
    torch.manual_seed(seed)
    for parameter in student.parameters:
        parameter.data += 0.05 * torch.randn_like(parameter)
    student.save(folder)
    student.close()
    return folder


@pytest.mark.parametrize("method", ["lora", "full"])
def test_rollback_is_exact_to_the_bit(tiny: Any, store: VersionStore, tmp_path: Path, method: Any) -> None:
    recipe = Recipe(method=method)
    asked = [(Message(role="user", content=text),) for text in ("Where is Norvik Labs based?", "Hello", "¿Qué?")]

    def state() -> tuple[list[str], torch.Tensor]:
        with torch.no_grad():
            logits: torch.Tensor = tiny.network.logits([[5, 9, 60, 70, 80]], [5])
        return tiny.answer(asked, Sampling(max_tokens=12)), logits

    def same(one: tuple[list[str], torch.Tensor], other: tuple[list[str], torch.Tensor]) -> bool:
        return one[0] == other[0] and torch.equal(one[1], other[1])

    def make(number: int, parent: int) -> ModelVersion:
        weights = teach(tiny, recipe, tmp_path / f"w{number}", store.weights(parent), seed=number)
        return store.add(weights, LESSON, REPORT, base="tiny", parent=parent, recipe=recipe, seconds={})

    states = {0: state()}
    for number in (1, 2):
        assert make(number, number - 1).number == number
        store.activate(number)
        tiny.use(store.weights(store.active()))
        states[number] = state()
        tiny.use(None)
        assert same(state(), states[0])
    assert not same(states[0], states[1])
    assert not same(states[1], states[2])
    for number in (0, 2, 1, 0, 1, 2, 0):
        store.activate(number)
        tiny.use(store.weights(store.active()))
        assert same(state(), states[number]), f"version {number}"


def test_the_pointer_is_a_small_readable_file(store: VersionStore, tmp_path: Path) -> None:
    added(store, weights_folder(tmp_path / "w"))
    store.activate(1)
    assert json.loads((store.root / "active").read_text()) == {"version": 1}
