"""Weights are safetensors, no program of a model's is run, and a revision is the same model always."""

from __future__ import annotations

import ast
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from lifelearn.chat_models import local
from lifelearn.chat_models.default_model import resolve
from lifelearn.chat_models.exporting import export
from lifelearn.chat_models.local import LocalChatModel
from lifelearn.learning.chat_model import ChatModelError
from lifelearn.learning.compute import pretrained
from lifelearn.learning.compute.cpu.adapter import ADAPTER_CONFIG, ADAPTER_WEIGHTS, name_base, peft_config
from lifelearn.learning.recipe import Recipe
from lifelearn.learning.sdft.student import make_student
from lifelearn.learning.version import VersionError, VersionStore
from lifelearn.settings import Settings
from lifelearn.terminal import models as listing
from lifelearn.terminal.session import Session
from version_fakes import LESSON, REPORT

SOURCE = Path(pretrained.__file__).parents[2]
NAME = "someone/tiny"
ONE, OTHER = "1" * 40, "2" * 40  # commits


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.file,)


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A pickle that makes the file "sprung"."""
    file = tmp_path / "trap.bin"
    file.write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    return file


@pytest.fixture
def model_folder(tiny_model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model_folder, tmp_path / "model"))


@pytest.fixture
def hub(tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the hub gave, kept on this machine: one model in two commits, of which main and the tag v1 are the first.

    In the other one all weights of the embedding are 1, and its template is another.
    """
    kept = tmp_path / "hub"
    folder = kept / "models--someone--tiny"
    for commit in (ONE, OTHER):
        shutil.copytree(tiny_model_folder, folder / "snapshots" / commit)
    model: Any = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
    torch.nn.init.ones_(model.get_input_embeddings().weight)
    model.save_pretrained(folder / "snapshots" / OTHER)
    template = folder / "snapshots" / OTHER / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|assistant|>", "<|system|>"))
    (folder / "refs").mkdir()
    for name in ("main", "v1"):
        (folder / "refs" / name).write_text(ONE)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(kept))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(local, "HfApi", lambda: pytest.fail("the hub was asked"))
    return folder


def ones(model: LocalChatModel) -> bool:
    return bool((model.base.get_input_embeddings().weight == 1).all())


# Revisions


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("someone/tiny", ("someone/tiny", None)),
        ("someone/tiny@v1", ("someone/tiny", "v1")),
        ("someone/tiny@refs/pr/3", ("someone/tiny", "refs/pr/3")),
        ("/srv/tiny@v1", ("/srv/tiny@v1", None)),
        ("~/tiny@v1", ("~/tiny@v1", None)),
        ("bundled", ("bundled", None)),
    ],
)
def test_a_name_and_its_revision(name: str, found: tuple[str, str | None]) -> None:
    assert pretrained.split(name) == found


def test_a_folder_may_have_such_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny@v1").mkdir()
    monkeypatch.chdir(tmp_path)
    assert pretrained.split("tiny@v1") == ("tiny@v1", None)


@pytest.mark.parametrize("name", ["someone/tiny@", "@v1", "@"])
def test_half_a_revision_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ChatModelError, match="names no revision"):
        resolve(name, tmp_path)


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("revision", "other"), [("", False), ("@main", False), ("@v1", False), (f"@{ONE}", False), (f"@{OTHER}", True)]
)
def test_a_revision_is_of_model_and_tokenizer(tmp_path: Path, revision: str, other: bool) -> None:
    model = LocalChatModel.load(NAME + revision, tmp_path)
    assert ones(model) == other
    assert model.name == NAME + revision, "what a version is made from"
    for tokenizer in (model.codec._tokenizer, pretrained.tokenizer_of(model.base)):
        template = str(tokenizer.chat_template)
        assert ("<|assistant|>" not in template) == other


def test_a_revision_that_is_not_there_is_said(hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def info(name: str, **options: Any) -> None:
        asked.append((name, options["revision"]))
        raise OSError("There is no such revision")

    monkeypatch.setattr(local, "HfApi", lambda: SimpleNamespace(model_info=info))
    with pytest.raises(ChatModelError, match=r"'someone/tiny@v2' cannot be had.*no such revision"):
        LocalChatModel.load(f"{NAME}@v2", tmp_path)
    assert asked == [(NAME, "v2")]


@pytest.mark.parametrize(
    ("recorded", "name", "stands"),
    [
        (NAME, NAME, True),
        (f"{NAME}@v1", f"{NAME}@v1", True),
        (NAME, f"{NAME}@v1", True),  # made before a revision was named
        (f"{NAME}@v1", NAME, False),
        (f"{NAME}@v1", f"{NAME}@v2", False),
        ("someone/else", f"{NAME}@v1", False),
    ],
)
def test_what_a_version_stands_on(recorded: str, name: str, stands: bool, tmp_path: Path) -> None:
    store = VersionStore(tmp_path / "data")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / ADAPTER_WEIGHTS).write_bytes(b"weights")
    store.add(tmp_path / "weights", LESSON, REPORT, base=recorded, parent=0, recipe=Recipe(), seconds={})
    store.activate(1)
    used: list[Path | None] = []
    model: Any = SimpleNamespace(name=name, use=used.append, base=None, codec=None)
    assert pretrained.is_base(recorded, name) == stands
    session = Session.__new__(Session)
    session.model, session.store = model, store
    if stands:
        session._require_same_base(1)
    else:
        with pytest.raises(VersionError, match=f"was made from {recorded}"):
            session._require_same_base(1)


def test_an_adapter_names_its_base_s_revision(tmp_path: Path) -> None:
    (tmp_path / ADAPTER_CONFIG).write_text("{}")
    name_base(tmp_path, f"{NAME}@v1")
    assert json.loads((tmp_path / ADAPTER_CONFIG).read_text()) == {"base_model_name_or_path": NAME, "revision": "v1"}


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(("revision", "here"), [("", True), ("@v1", True), (f"@{OTHER}", True), ("@v2", False)])
def test_the_list_of_models_looks_for_the_revision(tmp_path: Path, revision: str, here: bool) -> None:
    settings = Settings(base_model_name=NAME + revision, cache_dir=tmp_path)
    (found,) = [each for each in listing.models(settings)["models"] if each["configured"]]
    assert (found["name"], found["cached"]) == (NAME + revision, here)


# Pickles


def as_pickle(folder: Path, trap: Path) -> None:
    (folder / "model.safetensors").unlink()
    shutil.copyfile(trap, folder / "pytorch_model.bin")


@pytest.mark.parametrize("file", ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "model.pt"])
def test_a_folder_of_pickles_is_refused(model_folder: Path, trap: Path, tmp_path: Path, file: str) -> None:
    as_pickle(model_folder, trap)
    (model_folder / "pytorch_model.bin").rename(model_folder / file)
    with pytest.raises(ChatModelError, match="as pickles alone") as caught:
        LocalChatModel.load(str(model_folder), tmp_path / "cache")
    assert str(model_folder) in str(caught.value)
    assert not (tmp_path / "sprung").exists()


def test_a_pickle_beside_safetensors_is_left_alone(model_folder: Path, trap: Path, tmp_path: Path) -> None:
    shutil.copyfile(trap, model_folder / "pytorch_model.bin")
    assert LocalChatModel.load(str(model_folder), tmp_path / "cache")
    assert not (tmp_path / "sprung").exists()


def test_pickles_that_the_hub_gave_once_are_refused(hub: Path, trap: Path, tmp_path: Path) -> None:
    as_pickle(hub / "snapshots" / ONE, trap)
    with pytest.raises(ChatModelError, match=r"someone/tiny@v1 offers its weights as pickles alone"):
        LocalChatModel.load(f"{NAME}@v1", tmp_path)
    assert not (tmp_path / "sprung").exists()
    assert ones(LocalChatModel.load(f"{NAME}@{OTHER}", tmp_path)), "another revision has safetensors"


def test_pickles_on_the_hub_are_not_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [SimpleNamespace(rfilename=name) for name in ("config.json", "tokenizer.json", "pytorch_model.bin")]
    hub = SimpleNamespace(model_info=lambda name, **options: SimpleNamespace(siblings=files))
    monkeypatch.setattr(local, "HfApi", lambda: hub)
    monkeypatch.setattr(pretrained, "tokenizer", lambda *_, **__: pytest.fail("something was fetched"))
    with pytest.raises(ChatModelError, match="as pickles alone"):
        LocalChatModel.load("someone/pickled", tmp_path)


def test_a_model_that_is_an_adapter_is_refused(model_folder: Path, trap: Path, tmp_path: Path) -> None:
    (model_folder / ADAPTER_CONFIG).write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": NAME}))
    shutil.copyfile(trap, model_folder / "adapter_model.bin")
    with pytest.raises(ChatModelError, match="is an adapter, or holds one"):
        LocalChatModel.load(str(model_folder), tmp_path / "cache")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("decoded", [True, False])
def test_an_adapter_that_is_a_pickle_is_refused(tiny: Any, trap: Path, tmp_path: Path, decoded: bool) -> None:
    folder = tmp_path / "adapter"
    make_student(tiny.base, tiny.decoder, Recipe(), None).save(folder)
    assert peft_config(folder).r == Recipe().lora_rank
    (folder / ADAPTER_WEIGHTS).unlink()
    shutil.copyfile(trap, folder / "adapter_model.bin")
    if not decoded:
        tiny.decoder = None  # so that PEFT reads it
    with pytest.raises(ChatModelError, match="cannot be loaded"):
        tiny.use(folder)
    with pytest.raises(ChatModelError, match="cannot be loaded"):
        tiny.network_for(folder)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("of", ["base", "adapter"])
def test_an_export_reads_no_pickle(tiny: Any, model_folder: Path, trap: Path, tmp_path: Path, of: str) -> None:
    make_student(tiny.base, tiny.decoder, Recipe(), None).save(tmp_path / "weights")
    store = VersionStore(tmp_path / "data")
    base = str(model_folder)
    store.add(tmp_path / "weights", LESSON, REPORT, base=base, parent=0, recipe=Recipe(), seconds={})
    if of == "base":
        as_pickle(model_folder, trap)
    else:
        shutil.copyfile(trap, store.path(1) / "adapter_model.bin")
        (store.path(1) / ADAPTER_WEIGHTS).rename(store.path(1) / "model.safetensors")  # complete, but no adapter
    with pytest.raises(ChatModelError, match="as pickles alone" if of == "base" else ADAPTER_WEIGHTS):
        export(store, 1, "merged", tmp_path / "out", tmp_path / "cache")
    assert not (tmp_path / "sprung").exists()


# Programs


def test_a_program_that_comes_with_a_model_is_not_run(model_folder: Path, tmp_path: Path) -> None:
    """Asked whether to trust it, transformers would wait for an answer at a terminal."""
    (model_folder / "own.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')\nclass Own: pass\n")
    maps = {
        "config.json": {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own"},
        "tokenizer_config.json": {"AutoTokenizer": ["own.Own", None]},
    }
    for file, own in maps.items():
        values = json.loads((model_folder / file).read_text())
        (model_folder / file).write_text(
            json.dumps({**values, "model_type": "own", "tokenizer_class": "Own", "auto_map": own})
        )
    with pytest.raises(ChatModelError, match="cannot be loaded"):
        LocalChatModel.load(str(model_folder), tmp_path / "cache")
    assert not (tmp_path / "sprung").exists()


def test_models_are_loaded_in_one_place() -> None:
    """Beside the bundled model's own file, which is GGUF."""
    named = {
        file.relative_to(SOURCE).as_posix()
        for file in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.alias) and node.name.startswith("Auto")
    }
    assert named == {"learning/compute/pretrained.py", "chat_models/default_model.py"}
