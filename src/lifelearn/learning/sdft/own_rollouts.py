"""Rollouts by this program's own decoding; the counterpart of vllm_rollouts.py. Knows nothing of losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.compute.network import Network
from lifelearn.learning.compute.rollout import Sampled, rollout
from lifelearn.learning.compute.tokens import Codec


class OwnRollouts:
    """See rollout.py's `Rollouts`: of the network in `generating()`, which is always up to date."""

    def __init__(self, generating: Callable[[], AbstractContextManager[Network]], codec: Codec) -> None:
        self._generating, self._codec = generating, codec

    def sync(self, step: int) -> None:
        pass

    def sample(self, prompts: Sequence[Sequence[int]], sampling: Sampling, seeds: Sequence[int]) -> list[Sampled]:
        if not prompts:
            return []
        with self._generating() as network:
            found = rollout(network, prompts, self._codec.stop_ids, sampling, seeds)
        return [Sampled(self._codec.ended(ids, sampling.max_tokens)) for ids in found]

    def close(self) -> None:
        pass
