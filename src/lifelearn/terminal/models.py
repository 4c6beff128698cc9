"""`lifelearn models`: which models can be used here, without loading any and without the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from lifelearn.chat_models.default_model import BUNDLED, BUNDLED_MB, BUNDLED_NAME, cached, is_here
from lifelearn.learning.compute.pretrained import split
from lifelearn.settings import Settings
from lifelearn.terminal.text import one_line


def models(settings: Settings) -> dict[str, Any]:
    """The models, the configured one first; what `--json` writes."""
    names = dict.fromkeys([settings.base_model_name, BUNDLED, *_downloaded()])
    found = [_model(name, settings) for name in names]
    return {
        "backend": settings.inference_backend,
        "configured": _answering(settings),
        "models": found,
        "expert": {"model": settings.openai_model, "url": settings.openai_base_url} if settings.has_expert else None,
    }


def models_table(found: dict[str, Any]) -> Table:
    """The same for people."""
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("", "model", "what it is", "on this machine"):
        table.add_column(name, overflow="fold")
    for model in found["models"]:
        configured = Text("●" if model["configured"] else "", style="green")
        here = Text("yes", style="green") if model["cached"] else Text(model["missing"], style="dim")
        table.add_row(configured, Text(one_line(model["name"])), model["kind"], here)
    return table


def models_notes(found: dict[str, Any]) -> list[str]:
    """What the table cannot say."""
    backend, expert = found["backend"], found["expert"]
    notes = [f"Chat answers come from {found['configured']} (LL_INFERENCE_BACKEND={backend})."]
    if expert is None:
        notes.append(
            "No expert is configured, so the model does all by itself. OPENAI_API_KEY or LL_OPENAI_BASE_URL add one."
        )
    else:
        notes.append(f"The expert is {expert['model']} at {expert['url'] or 'OpenAI'}.")
    return [*notes, "LL_BASE_MODEL_NAME or --model takes a Hugging Face id or a folder."]


def _answering(settings: Settings) -> str:
    served = {"openai": settings.openai_model, "mock": "the mock"}
    return served.get(settings.inference_backend, settings.base_model_name)


def _model(name: str, settings: Settings) -> dict[str, Any]:
    folder = Path(name).expanduser()
    if name == BUNDLED:
        kind, here = f"{BUNDLED_NAME}, the default", cached(settings.cache_dir)
        first = "unpacked" if is_here(settings.cache_dir) else f"fetched, {BUNDLED_MB} MB, by `lifelearn pull` or"
        missing = f"{first} at first use"
    elif folder.is_dir() or name.startswith((".", "/", "~")):
        kind, here, missing = "folder", (folder / "config.json").is_file(), "no model (config.json) there"
    else:
        kind, here, missing = "Hugging Face", _is_downloaded(name), "downloaded at first use"
    configured = settings.inference_backend == "local" and name == settings.base_model_name
    return {"name": name, "kind": kind, "cached": here, "missing": "" if here else missing, "configured": configured}


def _is_downloaded(name: str) -> bool:
    """Whether the local cache holds that model, in the revision that it names."""
    from huggingface_hub import try_to_load_from_cache

    plain, revision = split(name)
    if revision is None:
        return plain in _downloaded()
    return isinstance(try_to_load_from_cache(plain, "config.json", revision=revision), str)


def _downloaded() -> list[str]:
    """The Hugging Face ids in the local cache that hold a model."""
    from huggingface_hub.constants import HF_HUB_CACHE

    folders = sorted(Path(HF_HUB_CACHE).glob("models--*"))
    held = (folder for folder in folders if any(folder.glob("snapshots/*/config.json")))
    return [folder.name.removeprefix("models--").replace("--", "/") for folder in held]
