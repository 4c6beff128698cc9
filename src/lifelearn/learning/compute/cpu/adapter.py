"""LoRA for the decoder: trainable factors beside each linear layer, and PEFT's files on disk. Knows no training."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import Parameter

from lifelearn.learning.compute.cpu.layers import LowRank
from lifelearn.learning.compute.cpu.weights import Weights
from lifelearn.learning.compute.pretrained import split

if TYPE_CHECKING:
    from peft import LoraConfig

ADAPTER_WEIGHTS, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
_PREFIX = "base_model.model."  # before each name in PEFT's files, where ours are those of the base
_LAYER = re.compile(r"\.layers\.(\d+)\.")


class Adapter:
    """LoRA on every linear layer but the head, from block `first` on. On disk as PEFT has it: PEFT and vLLM load it."""

    def __init__(self, weights: Weights, rank: int, alpha: float, seed: int | None = None, first: int = 0) -> None:
        """seed: of the first factors; None leaves them zero, to be filled by `fill`."""
        self.rank, self.alpha, self.first = rank, alpha, first
        self.count = len(weights.blocks)
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        adapted = weights.blocks[first:]
        own = [tuple(LowRank(dense, rank, alpha / rank, generator) for dense in block.denses()) for block in adapted]
        self.layers: list[tuple[LowRank | None, ...]] = [*[(None,) * 4] * first, *own]
        self._lows = [low for layer in own for low in layer]
        self._names = [dense.names for block in adapted for dense in block.denses()]
        self._sizes = [dense.sizes for block in adapted for dense in block.denses()]

    @property
    def parameters(self) -> list[Parameter]:
        return [parameter for low in self._lows for parameter in (low.a, low.b)]

    def freeze(self) -> Adapter:
        for parameter in self.parameters:
            parameter.requires_grad_(False)
        return self

    def refresh(self) -> None:
        """To be called after the parameters changed."""
        for low in self._lows:
            low.refresh()

    def state(self) -> dict[str, Tensor]:
        """Each layer's two factors under PEFT's names."""
        found: dict[str, Tensor] = {}
        for low, names, sizes in zip(self._lows, self._names, self._sizes, strict=True):
            rows = low.b.detach().split(sizes)
            for index, (name, a, b) in enumerate(zip(names, low.a.detach().split(self.rank), rows, strict=True)):
                found[f"{name}.lora_A.weight"] = a.clone()
                found[f"{name}.lora_B.weight"] = b[:, index * self.rank : (index + 1) * self.rank].clone()
        return found

    @torch.no_grad()
    def fill(self, state: dict[str, Tensor]) -> None:
        """Takes the values of `state`. Raises ValueError where it is of another model."""
        left = dict(state)
        try:
            for low, names, sizes in zip(self._lows, self._names, self._sizes, strict=True):
                rows = low.b.split(sizes)
                for index, (name, a, b) in enumerate(zip(names, low.a.split(self.rank), rows, strict=True)):
                    a.copy_(left.pop(f"{name}.lora_A.weight"))
                    b[:, index * self.rank : (index + 1) * self.rank].copy_(left.pop(f"{name}.lora_B.weight"))
        except (KeyError, RuntimeError) as error:
            raise ValueError(f"the adapter is not of this model: {error}") from error
        if left:
            raise ValueError(f"the adapter is not of this model: it has {next(iter(left))}")
        self.refresh()

    def save(self, folder: Path) -> None:
        """Writes PEFT's two files."""
        from peft import LoraConfig

        write_state(self.state(), folder)
        LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            target_modules=sorted({name.rpartition(".")[2] for names in self._names for name in names}),
            layers_to_transform=list(range(self.first, self.count)),
            layers_pattern="layers",
            task_type="CAUSAL_LM",
            inference_mode=True,
        ).save_pretrained(str(folder))

    @classmethod
    def load(cls, weights: Weights, folder: Path) -> Adapter:
        """The adapter in `folder`, frozen. Raises ValueError where it is of another model."""
        config = peft_config(folder)
        state = read_state(folder)
        numbers = [int(found[1]) for found in map(_LAYER.search, state) if found]
        adapter = cls(weights, config.r, config.lora_alpha, first=min(numbers, default=0))
        adapter.fill(state)
        return adapter.freeze()


def peft_config(folder: Path) -> LoraConfig:
    """The configuration of the adapter in a folder. Raises ValueError where its weights are not safetensors: PEFT and
    transformers would read a pickle instead."""
    from peft import LoraConfig

    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise ValueError(f"it has no {ADAPTER_WEIGHTS}, and weights in another form are not loaded")
    return LoraConfig.from_pretrained(str(folder))


def name_base(folder: Path, base: str) -> None:
    """Names the base in an adapter's configuration, where PEFT looks for it, and its revision, if `base` names one."""
    path = folder / ADAPTER_CONFIG
    values = json.loads(path.read_text("utf-8"))
    values["base_model_name_or_path"], revision = split(base)
    if revision is not None:
        values["revision"] = revision
    path.write_text(json.dumps(values, indent=2), "utf-8")


def write_state(state: Mapping[str, Tensor], folder: Path) -> None:
    """Writes the weights as PEFT does."""
    save_file({_PREFIX + name: tensor.contiguous() for name, tensor in state.items()}, str(folder / ADAPTER_WEIGHTS))


def read_state(folder: Path) -> dict[str, Tensor]:
    """The weights by the base's names, as PEFT or an older release of ours wrote them."""
    state = load_file(str(folder / ADAPTER_WEIGHTS))
    return {name.removeprefix(_PREFIX): tensor for name, tensor in state.items()}
