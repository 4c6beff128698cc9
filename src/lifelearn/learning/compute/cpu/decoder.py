"""A Llama-type decoder written out by hand, on the tensors of a transformers model.

It computes what transformers computes, several times faster for what learning does: many short rows with a
common prefix, forward, backward with LoRA, and batched decoding. A prefix is computed once, rows are not
padded except within attention, linear layers that share their input are one product, and LoRA's gradients
are four thin products (docs/decisions/0007). `Decoder.of` gives None for a model of another family, or one
whose answers it does not reproduce: transformers itself runs then (torch_hub.py). Knows nothing of lessons.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from lifelearn.learning.compute.cpu.attention import Layout, attend, attention, lay_out, turn
from lifelearn.learning.compute.cpu.decoding import Cache, Decoding
from lifelearn.learning.compute.cpu.layers import LowRank, norm, swiglu
from lifelearn.learning.compute.cpu.weights import Block, Layers, Weights
from lifelearn.learning.compute.packing import chunks

FAMILIES = frozenset(("llama", "mistral", "qwen2", "qwen3"))
GROUP_TOKENS = 2048  # rows in one pass, about: bounds the memory of their activations
TOLERANCE = 0.05  # KL to transformers' answers, nats per token; bfloat16's rounding gives 0.004 on the bundled model


class Below:
    """What enters block `first`, kept by row: no block before it has an adapter, so it never changes in training."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.kept: dict[tuple[int, ...], Tensor] = {}  # a row's token ids to [L, E]


class Decoder(Weights):
    """The model, computed from its tensors. `of` makes one."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__(model)
        trunk: Any = model.model
        self._rotary = trunk.rotary_emb
        self._cos = self._sin = self.embedding.new_empty(0, self.head_size)

    @classmethod
    @torch.no_grad()
    def of(cls, model: PreTrainedModel) -> Decoder | None:
        """A decoder on the tensors of `model`, or None where it does not compute the same as the model."""
        config = model.config
        plain = (
            config.model_type in FAMILIES
            and getattr(config, "hidden_act", "") == "silu"
            and not getattr(config, "use_sliding_window", False)
            and (config.model_type != "mistral" or not getattr(config, "sliding_window", None))
            and all(kind == "full_attention" for kind in getattr(config, "layer_types", None) or ())
            and getattr(model.model.rotary_emb, "rope_type", "default") in ("default", "llama3", "linear")
        )
        if not plain:
            return None
        decoder = cls(model)
        size = int(config.vocab_size)
        rows = [[(7 * i * i + 3 * i + row) % size for i in range(1, 9 + row)] for row in (0, 3)]
        ours = decoder.logits(rows, [len(row) for row in rows], None).float().log_softmax(-1)
        theirs = [model(input_ids=torch.tensor([row], device=model.device), use_cache=False).logits[0] for row in rows]
        wanted = torch.cat(theirs).float().log_softmax(-1)
        difference = (wanted.exp() * (wanted - ours)).sum(-1).mean()
        return decoder if float(difference) < TOLERANCE else None

    def logits(
        self,
        rows: Sequence[Sequence[int]],
        keep: Sequence[int],
        layers: Layers | None,
        below: Below | None = None,
    ) -> Tensor:
        """Next-token logits at the last `keep` places of each row, in order: [sum(keep), V]. At least one a row.

        below: of `layers`; rows that it has, or will have, skip the blocks before its first.
        """
        prefix = _common_prefix(rows, keep)
        layout, ids, positions = self._placed(rows, prefix)
        wanted: list[int] = []
        end = prefix
        for row, count in zip(rows, keep, strict=True):
            end += len(row) - prefix
            wanted += range(end - count, end)
        if below is None:
            hidden = self._trunk(self.embedding[ids], positions, layout, layers)
        else:
            entering = self._entering(rows, prefix, below)
            hidden = self._trunk(entering, positions, layout, layers, first=below.first)
        hidden = hidden.index_select(0, torch.tensor(wanted, device=self.device))
        return self.head(norm(hidden, self.final_norm, self.eps))

    @torch.no_grad()
    def prefill(self, prompts: Sequence[Sequence[int]], layers: Layers | None) -> tuple[Tensor, Cache]:
        """Next-token logits [B, V] after each prompt, and their cache. Equal prompts are computed once."""
        distinct = {tuple(prompt): None for prompt in prompts}
        order = {prompt: index for index, prompt in enumerate(distinct)}
        which = [order[tuple(prompt)] for prompt in prompts]
        width = max(len(prompt) for prompt in distinct)
        logits, keys, values = [], [], []
        for group in chunks(list(distinct), GROUP_TOKENS):
            prefix = _common_prefix(group, [1] * len(group))
            layout, ids, positions = self._placed(group, prefix)
            kept: list[tuple[Tensor, Tensor]] = []
            hidden = self._trunk(self.embedding[ids], positions, layout, layers, kept)
            ends, at = [], prefix - 1
            places = []
            for prompt in group:
                own = len(prompt) - prefix
                path = [*range(prefix), *range(at + 1, at + 1 + own)]
                places.append([0] * (width - len(path)) + path)  # a pad repeats a token; it is masked where it is read
                at += own
                ends.append(at)
            hidden = hidden.index_select(0, torch.tensor(ends, device=self.device))
            logits.append(self.head(norm(hidden, self.final_norm, self.eps)))
            index = torch.tensor(places, device=self.device)
            keys.append([k[index].transpose(1, 2) for k, _ in kept])
            values.append([v[index].transpose(1, 2) for _, v in kept])
        chosen = torch.tensor(which, device=self.device)

        def joined(parts: list[list[Tensor]]) -> list[Tensor]:
            return [torch.cat(layer).index_select(0, chosen) for layer in zip(*parts, strict=True)]

        pad_B = torch.tensor([width - len(prompt) for prompt in prompts], device=self.device)
        return torch.cat(logits)[chosen], Cache(joined(keys), joined(values), width, pad_B)

    @torch.no_grad()
    def read(self, ids: Sequence[int], cache: Cache, layers: Layers | None) -> Tensor:
        """Next-token logits [1, V] after more tokens of a cache's only row, which has no pad."""
        at, count = cache.width, len(ids)
        cache.room(count)
        end = at + count
        cos, sin = self._rope(end)
        cos, sin = cos[at:end], sin[at:end]
        mask = torch.full((count, end), -math.inf, dtype=self.dtype, device=self.device).triu_(at + 1)
        x = self.embedding[torch.tensor(ids, device=self.device)]
        for index, (block, low) in enumerate(self._adapted(layers)):
            q, k, v = self.heads.split(turn(self._heads(block, x, low), cos, sin, self.heads))
            keys, values = cache.keys[index][0], cache.values[index][0]
            keys[:, at:end], values[:, at:end] = k.transpose(0, 1), v.transpose(0, 1)
            y = functional.scaled_dot_product_attention(
                q.transpose(0, 1)[None], keys[None, :, :end], values[None, :, :end], mask, enable_gqa=True
            )
            x = self._after_attention(block, x, y[0].transpose(0, 1).reshape(count, -1), low)
        cache.width = end
        return self.head(norm(x[-1:], self.final_norm, self.eps))

    @torch.no_grad()
    def step(self, token_B: Tensor, cache: Cache, layers: Layers | None) -> Tensor:
        """Next-token logits [B, V] after one more token a row."""
        at, total, count = cache.width, cache.room(), len(token_B)
        cos, sin = self._rope(at + 1)
        position_B = at - cache.pad_B
        cos_BD, sin_BD = cos[position_B], sin[position_B]
        cache.decoding = cache.decoding or Decoding.of(self, layers, count)
        if cache.decoding is not None:
            logits_BV = cache.decoding.step(token_B, cos_BD, sin_BD, cache, total)
            cache.width += 1
            return logits_BV
        places = torch.arange(total, device=self.device)
        mask = torch.zeros(count, 1, 1, total, dtype=self.dtype, device=self.device)
        mask.masked_fill_(((places < cache.pad_B[:, None]) | (places > at))[:, None, None], -math.inf)
        x = self.embedding[token_B]
        for index, (block, low) in enumerate(self._adapted(layers)):
            q, k, v = self.heads.split(turn(self._heads(block, x, low), cos_BD, sin_BD, self.heads))
            keys, values = cache.keys[index], cache.values[index]
            keys[:, :, at], values[:, :, at] = k, v
            # The query heads of a key-value head stand where positions would: one small product instead of several.
            queries = q.reshape(count, self.heads.keys, -1, self.head_size)
            y = attend(queries, keys, values, mask)
            x = self._after_attention(block, x, y.reshape(count, -1), low)
        cache.width += 1
        return self.head(norm(x, self.final_norm, self.eps))

    @torch.no_grad()
    def _entering(self, rows: Sequence[Sequence[int]], prefix: int, below: Below) -> Tensor:
        """What enters block `below.first` of rows as they are laid out, [N, E]; each row is computed once."""
        paths = [tuple(row) for row in rows]
        missing = [path for path in dict.fromkeys(paths) if path not in below.kept]
        if missing:
            shared = _common_prefix(missing, [1] * len(missing))
            layout, ids, positions = self._placed(missing, shared)
            x = self._trunk(self.embedding[ids], positions, layout, None, last=below.first)
            own = x[shared:].split([len(path) - shared for path in missing])
            for path, part in zip(missing, own, strict=True):
                below.kept[path] = torch.cat([x[:shared], part])
        return torch.cat([below.kept[paths[0]][:prefix], *(below.kept[path][prefix:] for path in paths)])

    def _trunk(
        self,
        x: Tensor,
        positions: Tensor,
        layout: Layout,
        layers: Layers | None,
        kept: list[tuple[Tensor, Tensor]] | None = None,
        first: int = 0,
        last: int | None = None,
    ) -> Tensor:
        """Hidden states [N, E] after blocks `first` to `last` of x [N, E]; their keys, values [N, K, D] to `kept`."""
        cos, sin = self._rope(int(positions.max()) + 1)
        cos, sin = cos[positions], sin[positions]
        for block, low in list(self._adapted(layers))[first:last]:
            y = attention(self._heads(block, x, low), cos, sin, layout, kept)
            x = self._after_attention(block, x, y.reshape(len(x), -1), low)
        return x

    def _adapted(self, layers: Layers | None) -> Iterator[tuple[Block, tuple[LowRank | None, ...]]]:
        """Each block with its adapters, none of them without `layers`."""
        return zip(self.blocks, [(None,) * 4] * len(self.blocks) if layers is None else layers, strict=True)

    def _after_attention(self, block: Block, x: Tensor, y: Tensor, low: tuple[LowRank | None, ...]) -> Tensor:
        """The rest of a block: x [N, E] with the attention's output y [N, H·D] and the MLP added."""
        x = x + block.out(y, low[1])
        return x + block.down(swiglu(block.gate_up(norm(x, block.mlp_norm, self.eps), low[2])), low[3])

    def _heads(self, block: Block, x: Tensor, low: tuple[LowRank | None, ...]) -> Tensor:
        """Queries, keys and values of x [N, E]: [N, H + 2K, D], without their positions."""
        found = block.qkv(norm(x, block.attention_norm, self.eps), low[0]).view(len(x), -1, self.head_size)
        if block.q_norm is None or block.k_norm is None:
            return found
        q, k, v = self.heads.split(found)
        return torch.cat([norm(q, block.q_norm, self.eps), norm(k, block.k_norm, self.eps), v], 1)

    def _rope(self, count: int) -> tuple[Tensor, Tensor]:
        """Cosines and sines [T, D] for at least `count` positions; the first half of the sines is negative."""
        if len(self._cos) < count:
            positions = torch.arange(max(count, 256, 2 * len(self._cos)), device=self.device)[None]
            with torch.inference_mode(False), torch.no_grad():
                cos, sin = self._rotary(self.embedding, positions)
                half = self.head_size // 2
                sin = torch.cat([-sin[..., :half], sin[..., half:]], -1)
                self._cos, self._sin = cos[0].to(self.dtype), sin[0].to(self.dtype)
        return self._cos, self._sin

    def _placed(self, rows: Sequence[Sequence[int]], prefix: int) -> tuple[Layout, Tensor, Tensor]:
        """Layout, token ids [N] and positions [N] of the prefix and then each row's own tokens."""
        ids, positions = list(rows[0][:prefix]), list(range(prefix))
        for row in rows:
            ids += row[prefix:]
            positions += range(prefix, len(row))
        layout = lay_out([len(row) - prefix for row in rows], prefix, self.heads, self.device, self.dtype)
        return layout, torch.tensor(ids, device=self.device), torch.tensor(positions, device=self.device)


def _common_prefix(rows: Sequence[Sequence[int]], keep: Sequence[int]) -> int:
    """How many first tokens all rows share, none of those whose logits are wanted among them."""
    longest = min(len(row) - count for row, count in zip(rows, keep, strict=True))
    first = rows[0]
    for at in range(longest):
        if any(row[at] != first[at] for row in rows):
            return at
    return max(longest, 0)
