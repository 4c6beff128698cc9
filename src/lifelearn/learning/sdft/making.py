"""What a run on a data set starts with, a model in its place and a student of it, and what it leaves: a model's files.

By transformers' model and the run's numbers; knows nothing of rows and steps.
"""

from __future__ import annotations

import copy
import shutil
import tempfile
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from transformers import PreTrainedModel

from lifelearn.learning.compute import pretrained
from lifelearn.learning.compute.cpu.adapter import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from lifelearn.learning.compute.cpu.decoder import Decoder
from lifelearn.learning.compute.tokens import Codec
from lifelearn.learning.recipe import Recipe
from lifelearn.learning.sdft.config import ConfigError, SDFTConfig
from lifelearn.learning.sdft.sharding import ShardedStudent
from lifelearn.learning.sdft.student import Numbers, Student, make_student
from lifelearn.learning.sdft.vllm_rollouts import VllmRollouts


def is_sharded(config: SDFTConfig, accelerator: Accelerator) -> bool:
    """Whether all weights are spread over the processes. Raises ConfigError where they cannot be."""
    sharded = config.fsdp or (config.fsdp is None and accelerator.distributed_type == DistributedType.FSDP)
    if sharded and accelerator.num_processes == 1:
        raise ConfigError("FSDP spreads the weights over several processes; there is one. Use accelerate launch.")
    if sharded and config.use_peft:
        raise ConfigError("FSDP spreads all weights, and use_peft trains an adapter. Leave one of the two away.")
    return bool(sharded)


def placed(model: PreTrainedModel, config: SDFTConfig, device: torch.device, *, sharded: bool) -> PreTrainedModel:
    """The model on its device, in the number type that was asked for, frozen."""
    if config.bf16 is False:
        model = model.float()
    if not sharded:  # FSDP moves each shard itself
        model = model.to(device)
    return model.eval().requires_grad_(False)


def student_of(model: PreTrainedModel, config: SDFTConfig, device: str, *, sharded: bool) -> Student:
    """The student that the run's numbers ask for. The decoder computes in the base's own type, which bf16 changes."""
    recipe = Recipe(
        method="lora" if config.use_peft else "full",
        lora_rank=config.lora_r,
        adapted_layers=1.0,  # all, as in the paper's comparison; and no row's states are kept in memory
        teacher="ema" if config.teacher_model_kind == "ema" else "frozen",
        ema_rate=config.teacher_update_rate,
        seed=config.seed,
    )
    numbers = Numbers(config.bf16, config.gradient_checkpointing)
    if sharded:
        return ShardedStudent(model, recipe, numbers, device)
    wanted = config.use_peft and not config.gradient_checkpointing
    if wanted and config.bf16:
        model.to(torch.bfloat16)
    return make_student(model, Decoder.of(model) if wanted else None, recipe, None, numbers)


def vllm_of(model: PreTrainedModel, student: Student, codec: Codec, config: SDFTConfig) -> VllmRollouts:
    """vLLM with the model that was loaded, for the student's rollouts. Raises VllmError."""
    return VllmRollouts(
        str(model.name_or_path),
        student,
        codec.stop_ids,
        lora_rank=config.lora_r if config.use_peft else None,
        dtype=str(model.dtype).removeprefix("torch."),
        context=min(codec.context, config.max_prompt_length + config.max_completion_length),
        memory=config.vllm_gpu_memory_utilization,
        seed=config.seed,
        revision=pretrained.revision_of(model),
    )


def save_configs(folder: Path, model: PreTrainedModel) -> None:
    """What makes a folder of all weights a model."""
    model.config.save_pretrained(folder)
    if model.generation_config is not None:
        model.generation_config.save_pretrained(folder)


def merge_adapter(folder: Path, model: PreTrainedModel) -> None:
    """The whole model with the adapter in it, instead of the adapter in `folder`."""
    from peft import PeftModel  # heavy, and rarely asked for

    with tempfile.TemporaryDirectory(dir=folder) as aside:
        for name in (ADAPTER_WEIGHTS, ADAPTER_CONFIG):
            shutil.move(folder / name, Path(aside) / name)
        plain = copy.deepcopy(model).float()
        merged = PeftModel.from_pretrained(plain, aside).merge_and_unload().to(model.dtype)
    merged.save_pretrained(folder)
