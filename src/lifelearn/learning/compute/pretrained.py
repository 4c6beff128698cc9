"""Models and tokenizers as transformers loads them, from a folder or from the hub.

Weights are safetensors and nothing else, and no program that comes with a model is run. `organisation/model@revision`
names a revision of the hub's: a commit, which never changes, or a tag or branch, which do. Imports no torch until it
loads.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from lifelearn.learning.chat_model import ChatModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_KEPT = "_lifelearn_revision"
_ADAPTED = (
    "The model {} is an adapter, or holds one, which stands on another model. Merge the two, by PEFT's "
    "merge_and_unload and save_pretrained, and name the folder of the result."
)
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def split(name: str) -> tuple[str, str | None]:
    """A model's name, and the revision that it names; a folder has none."""
    if name.startswith((".", "/", "~")) or Path(name).exists():
        return name, None
    plain, _, revision = name.partition("@")
    return plain, revision or None


def is_base(recorded: str, name: str) -> bool:
    """Whether what was made from the model `recorded` stands on `name`: what was made before a revision was named
    stands on any."""
    return recorded in (name, split(name)[0])


def tokenizer(name: str, **options: Any) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    plain, revision = split(name)
    return AutoTokenizer.from_pretrained(plain, trust_remote_code=False, **_revision(revision), **options)


def model(name: str, local_files_only: bool = False, **options: Any) -> PreTrainedModel:
    """Raises ChatModelError for a folder that `refuse` refuses."""
    from transformers import AutoModelForCausalLM

    plain, revision = split(name)
    if Path(plain).is_dir():
        refuse(name, (file.name for file in Path(plain).iterdir()))
    found: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        plain,
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=local_files_only,
        adapter_kwargs={"local_files_only": local_files_only},  # looked for on the hub otherwise
        **_revision(revision),
        **options,
    )
    refuse_adapted(found, name)
    setattr(found, _KEPT, revision)  # transformers keeps the name alone
    return found


def tokenizer_of(loaded: PreTrainedModel) -> PreTrainedTokenizerBase:
    """The tokenizer beside a model that was loaded, of the same revision."""
    name, revision = str(loaded.name_or_path), revision_of(loaded)
    return tokenizer(f"{name}@{revision}" if revision else name)


def revision_of(loaded: PreTrainedModel) -> str | None:
    """The revision that a model was loaded by, or its commit, where transformers tells it; None for neither."""
    return getattr(loaded, _KEPT, None) or getattr(loaded.config, "_commit_hash", None)


def refuse(name: str, files: Iterable[str]) -> None:
    """Raises ChatModelError where a model's files, by their names, hold its weights as pickles alone, or an adapter:
    transformers would load the model that the adapter names, in whatever revision, and the adapter from a pickle."""
    names = set(files)
    if "adapter_config.json" in names:
        raise ChatModelError(_ADAPTED.format(name))
    ends = {PurePath(file).suffix for file in names}
    if ".safetensors" not in ends and ends.intersection(PICKLES):
        raise ChatModelError(
            f"The model {name} offers its weights as pickles alone, which run programs as they are read, and are not "
            "loaded here. Take one with safetensors, or another revision of it; who trusts it can convert it: "
            "transformers' save_pretrained writes safetensors."
        )


def refuse_adapted(loaded: PreTrainedModel, name: str) -> None:
    """Raises ChatModelError where an adapter is on a model, whose weights are then not those that are trained."""
    if getattr(loaded, "_hf_peft_config_loaded", False) or hasattr(loaded, "peft_config"):
        raise ChatModelError(_ADAPTED.format(name))


def _revision(revision: str | None) -> dict[str, str]:
    return {} if revision is None else {"revision": revision}
