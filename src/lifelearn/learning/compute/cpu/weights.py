"""The tensors of a Llama-type model in the order in which they are used; those of the transformers model itself.

What the decoder computes with, an adapter stands beside, and a step of decoding is laid out from. Computes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from lifelearn.learning.compute.cpu.attention import Heads
from lifelearn.learning.compute.cpu.layers import Dense, LowRank

Layers = Sequence[tuple[LowRank | None, ...]]  # of an adapter, by block


@dataclass(frozen=True)
class Block:
    """One layer. q_norm, k_norm: where queries and keys are normalised per head (Qwen3)."""

    attention_norm: Tensor
    qkv: Dense
    q_norm: Tensor | None
    k_norm: Tensor | None
    out: Dense
    mlp_norm: Tensor
    gate_up: Dense
    down: Dense

    def denses(self) -> tuple[Dense, Dense, Dense, Dense]:
        return self.qkv, self.out, self.gate_up, self.down


class Weights:
    """A model's blocks, and what is before and after them."""

    def __init__(self, model: PreTrainedModel) -> None:
        config = model.config
        trunk: Any = model.model
        self.eps = float(config.rms_norm_eps)
        self.head_size = int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
        self.heads = Heads(int(config.num_attention_heads), int(config.num_key_value_heads))
        self.embedding: Tensor = trunk.embed_tokens.weight.data
        self.final_norm: Tensor = trunk.norm.weight.data
        self.head = Dense(("lm_head",), (model.lm_head,))
        self.blocks = [_block(f"model.layers.{index}", layer) for index, layer in enumerate(trunk.layers)]

    @property
    def device(self) -> torch.device:
        return self.embedding.device

    @property
    def dtype(self) -> torch.dtype:
        return self.embedding.dtype


def _block(name: str, layer: Any) -> Block:
    attention, mlp = layer.self_attn, layer.mlp
    parts = ("q_proj", "k_proj", "v_proj")
    return Block(
        layer.input_layernorm.weight.data,
        Dense([f"{name}.self_attn.{part}" for part in parts], [getattr(attention, part) for part in parts]),
        attention.q_norm.weight.data if hasattr(attention, "q_norm") else None,
        attention.k_norm.weight.data if hasattr(attention, "k_norm") else None,
        Dense([f"{name}.self_attn.o_proj"], [attention.o_proj]),
        layer.post_attention_layernorm.weight.data,
        Dense([f"{name}.mlp.gate_proj", f"{name}.mlp.up_proj"], [mlp.gate_proj, mlp.up_proj]),
        Dense([f"{name}.mlp.down_proj"], [mlp.down_proj]),
    )
