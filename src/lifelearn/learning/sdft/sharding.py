"""A full student whose weights are spread over several devices (torch's FSDP2). Knows no training.

Each layer is gathered when it is computed and let go after it, so all processes must compute at the same time and
equally often: train with one row group a process at a time, and sample within `whole()`, which keeps all gathered.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from transformers import PreTrainedModel

from lifelearn.learning.recipe import Recipe
from lifelearn.learning.sdft.student import FULL_WEIGHTS, FullStudent, Numbers


class ShardedStudent(FullStudent):
    """`FullStudent` over all processes of the default group; `parameters` and `averages` are this process's shards."""

    def __init__(self, model: PreTrainedModel, recipe: Recipe, numbers: Numbers, device: str) -> None:
        super().__init__(model, recipe, None, numbers)
        self.rank = torch.distributed.get_rank()
        mesh = init_device_mesh(device, (torch.distributed.get_world_size(),))
        for each in {id(part): part for part in (self._student, self._teacher)}.values():
            _shard(each, mesh)

    @contextmanager
    def whole(self) -> Iterator[None]:
        """All weights on every device meanwhile: processes may compute as often as each needs."""
        parts = [part for each in (self._student, self._teacher) for part in each.modules()]
        sharded = [part for part in parts if isinstance(part, FSDPModule)]
        for part in sharded:
            part.set_reshard_after_forward(False, recurse=False)
            part.unshard()
        try:
            yield
        finally:
            for part in sharded:
                part.reshard()
                part.set_reshard_after_forward(True, recurse=False)

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        for name, tensor in super().weights():
            yield name, whole(tensor)

    def save(self, folder: Path) -> Path:
        """To be called by all processes; the first one writes."""
        folder.mkdir(parents=True, exist_ok=True)
        state: dict[str, Tensor] = {}
        for name, tensor in self.weights():
            if self.rank == 0:
                state[name] = tensor.cpu().contiguous()
        if self.rank == 0:
            save_file(state, str(folder / FULL_WEIGHTS))
        return folder / FULL_WEIGHTS


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor of which processes hold shards; any other as it is."""
    gather: Any = getattr(tensor, "full_tensor", None)
    found: Tensor = gather() if gather is not None else tensor
    return found


def local(tensor: Tensor) -> Tensor:
    """This process's shard of a tensor, which shares its memory; any other as it is."""
    own: Any = getattr(tensor, "to_local", None)
    found: Tensor = own() if own is not None else tensor
    return found


def _shard(model: PreTrainedModel, mesh: DeviceMesh) -> None:
    kinds = set(model._no_split_modules or ())
    for part in model.modules():
        if type(part).__name__ in kinds:
            fully_shard(part, mesh=mesh)
    fully_shard(model, mesh=mesh)
