"""The port by any causal model of transformers, rows packed as tries (packing.py). Knows nothing of lessons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from lifelearn.learning.compute.network import Rows, State
from lifelearn.learning.compute.packing import additive_mask, chunks, pack, packed_logits

PREFILL_TOKENS = 1024  # prompts are packed in groups of about this size: attention is quadratic in it
PACK_TOKENS = 768  # the same for rows whose logits are wanted


class HubState:
    """A left-padded cache of transformers."""

    def __init__(self, cache: DynamicCache, width: int, pad_B: Tensor) -> None:
        self.cache, self.width, self.pad_B = cache, width, pad_B

    def keep(self, rows: Tensor) -> None:
        self.cache.batch_select_indices(rows)
        self.pad_B = self.pad_B[rows]


class HubNetwork:
    """A model of transformers, as it is.

    checkpointing: keeps no activations within a layer for the backward pass, but computes them again.
    """

    def __init__(self, model: PreTrainedModel, checkpointing: bool = False) -> None:
        self._model = model
        self._checkpointing = checkpointing

    @property
    def device(self) -> torch.device:
        return torch.device(self._model.device)

    def logits(self, rows: Rows, keep: Sequence[int]) -> Tensor:
        found, start = [], 0
        for group in chunks(rows, PACK_TOKENS):
            packed = pack(group, self.device)
            nodes = [path[-count:] for path, count in zip(packed.paths, keep[start:], strict=False)]
            with _checkpointed(self._model) if self._checkpointing else nullcontext():
                found.append(packed_logits(self._model, packed, torch.cat(nodes)))
            start += len(group)
        return torch.cat(found) if len(found) > 1 else found[0]

    def prefill(self, prompts: Rows) -> tuple[Tensor, State]:
        lengths_B = torch.tensor([len(p) for p in prompts], device=self.device)
        width = int(lengths_B.max())
        logits, layers = [], []
        for chunk in chunks(prompts, PREFILL_TOKENS):
            packed = pack(chunk, self.device)
            cache = DynamicCache()
            last_nodes, inverse = torch.stack([path[-1] for path in packed.paths]).unique(return_inverse=True)
            output = self._model(
                input_ids=packed.input_ids_1T,
                position_ids=packed.position_ids_1T,
                attention_mask=additive_mask(packed.visible_TT, self._model.dtype)[None, None],
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=last_nodes,
            )
            logits.append(output.logits[0][inverse])
            # A left pad repeats node 0; it is masked wherever it is read.
            padded = torch.stack([torch.nn.functional.pad(path, (width - len(path), 0)) for path in packed.paths])
            layers.append(
                [
                    (keys[0][:, padded].transpose(0, 1), values[0][:, padded].transpose(0, 1))
                    for keys, values, *_ in cache
                ]
            )
        joined = [tuple(torch.cat(parts) for parts in zip(*layer, strict=True)) for layer in zip(*layers, strict=True)]
        return torch.cat(logits), HubState(DynamicCache(joined), width, width - lengths_B)

    def read(self, ids: Sequence[int], state: State) -> Tensor:
        assert isinstance(state, HubState)
        positions = torch.arange(state.width, state.width + len(ids), device=self.device)
        output = self._model(
            input_ids=torch.tensor([ids], device=self.device),
            position_ids=positions[None],
            past_key_values=state.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        state.width += len(ids)
        logits_1V: Tensor = output.logits[:, -1]
        return logits_1V

    def step(self, token_B: Tensor, state: State) -> Tensor:
        assert isinstance(state, HubState)
        state.width += 1
        mask = None
        if int(state.pad_B.max()):
            visible = torch.arange(state.width, device=self.device)[None] >= state.pad_B[:, None]
            mask = additive_mask(visible, self._model.dtype)[:, None, None]
        output = self._model(
            input_ids=token_B[:, None],
            position_ids=(state.width - 1 - state.pad_B)[:, None],
            attention_mask=mask,
            past_key_values=state.cache,
            use_cache=True,
        )
        logits_BV: Tensor = output.logits[:, -1]
        return logits_BV


@contextmanager
def _checkpointed(model: PreTrainedModel) -> Iterator[None]:
    """The layers in training mode, which is when they compute again; what is in them (dropout) is not."""
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not any(layer.gradient_checkpointing for layer in layers):
        # transformers renames it on the way to its sixth release
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    for layer in layers:
        layer.training = True
    try:
        yield
    finally:
        for layer in layers:
            layer.training = False
