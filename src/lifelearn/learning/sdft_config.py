"""Every number of a training run on demonstrations, in one frozen value; the names are those of TRL where it has them.

Each field's description says what it does and where its default comes from; the command line is made from the fields
(terminal/train.py). "Paper" is arXiv 2601.19897, "reference" the script that its authors published. Knows no torch.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lifelearn.learning.recipe import PAPER_CONTEXT

Tracker = Literal["jsonl", "tensorboard", "trackio", "wandb"]

PROMPT, CONTEXT = "{prompt}", "{privileged_context}"
PAPER_TEMPLATE = PAPER_CONTEXT.replace("{demonstration}", CONTEXT)
# RESEARCH of both: the paper's range for all weights is 5e-6 to 5e-5; LoRA wants ten to fifteen times as much.
FULL_LEARNING_RATE, LORA_LEARNING_RATE = 2e-5, 3e-4


class ConfigError(Exception):
    """The settings of a run cannot be used. The text names each and what it allows."""


class SDFTConfig(BaseModel):
    """Use `SDFTConfig.of(…)` for errors in plain sentences."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    output_dir: str = Field(min_length=1, description="Folder for checkpoints, logs and the trained model.")

    # Optimisation
    learning_rate: float | None = Field(
        None,
        gt=0,
        description="Peak learning rate of AdamW. Unset: 2e-5 for all weights (reference), 3e-4 for LoRA.",
    )
    num_train_epochs: int = Field(2, ge=1, description="Passes over the data. Default: the paper's for skills.")
    max_steps: int = Field(-1, ge=-1, description="Optimiser steps; -1 is as many as the epochs give.")
    num_prompts_per_batch: int = Field(
        32, ge=1, description="Prompts in one optimiser step, over all devices. Default: the reference's."
    )
    lr_scheduler_type: Literal["cosine", "linear", "constant"] = Field(
        "cosine", description="Course of the learning rate after warm-up. Default: the paper's."
    )
    warmup_steps: int = Field(10, ge=0, description="Steps of linear warm-up. Default: the paper's.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm. Default: the reference's.")
    weight_decay: float = Field(0.0, ge=0, description="Of AdamW. Default: TRL's.")
    adam_beta1: float = Field(0.9, ge=0, lt=1, description="Of AdamW. Default: TRL's.")
    adam_beta2: float = Field(0.999, ge=0, lt=1, description="Of AdamW. Default: TRL's.")
    adam_epsilon: float = Field(1e-8, gt=0, description="Of AdamW. Default: TRL's.")
    seed: int = Field(42, ge=0, lt=2**32, description="Of data order, rollouts and new adapters. Default: TRL's.")

    # The teacher
    teacher_model_kind: Literal["ema", "base", "live"] = Field(
        "ema",
        description="The teacher's weights: an average that follows the student (the paper's), the base model as it "
        "was, or the student as it is (the paper saw it diverge).",
    )
    teacher_update_rate: float = Field(
        0.01, gt=0, le=1, description="With ema: share of the student taken in at each update. Default: the reference's."
    )
    teacher_sync_steps: int = Field(1, ge=1, description="With ema: steps from one update to the next.")
    teacher_prompt_template: str = Field(
        PAPER_TEMPLATE,
        description="What the teacher sees for the last user turn; {prompt} and {privileged_context} are filled in. "
        "Default: the paper's.",
    )

    # The loss
    distillation_alpha: float = Field(
        0.0,
        ge=0,
        le=1,
        description="0 forward KL (teacher to student), 1 reverse, between them Jensen-Shannon. Default: the paper's.",
    )
    distillation_mode: Literal["full_logits", "topk_logits", "sampled_token"] = Field(
        "full_logits",
        description="Compare the whole vocabulary (the reference), its k likeliest tokens, or the sampled token alone "
        "(reverse KL only).",
    )
    distillation_topk: int = Field(100, ge=1, description="With topk_logits: how many tokens. Default: TRL's.")
    distillation_topk_of: Literal["student", "teacher"] = Field(
        "student", description="With topk_logits: whose likeliest tokens. Default: TRL's."
    )
    distillation_add_tail: bool = Field(
        False, description="With topk_logits: count all other tokens as one more. Default: TRL's."
    )
    distillation_is_clip: float | None = Field(
        2.0,
        gt=0,
        description="Where another engine samples the rollouts: most that a token's importance ratio may be. Default: "
        "the reference's and TRL's.",
    )
    importance_sampling: bool = Field(
        True, description="Whether to weigh another engine's rollouts by that ratio at all. Default: the reference's."
    )
    num_loss_tokens_to_skip: int = Field(
        3, ge=0, description="First tokens of a completion without loss. Default: the reference's."
    )

    # Prompts and rollouts
    max_prompt_length: int = Field(
        1024, ge=1, description="Most tokens of a prompt, the teacher's included. Default: the reference's."
    )
    long_prompts: Literal["drop", "cut"] = Field(
        "drop", description="What becomes of rows with longer prompts: left out, or cut at their beginning (as in TRL)."
    )
    shuffle_dataset: bool = Field(True, description="A new order of the rows in each epoch. Default: TRL's.")
    max_completion_length: int = Field(1024, ge=1, description="Most tokens of a rollout. Default: the reference's.")
    num_generations: int = Field(1, ge=1, description="Rollouts a prompt. Default: the paper's.")
    temperature: float = Field(
        1.0,
        ge=0,
        description="Of the rollouts, and of both distributions in the loss, as in TRL; 0 is greedy, and 1 in the loss.",
    )
    top_p: float = Field(1.0, gt=0, le=1, description="Rollouts sample from the smallest set of tokens of this mass.")
    generate_from_teacher: bool = Field(
        False, description="Rollouts by the teacher, from its own prompt, instead of the student. Default: the paper's."
    )
    rollouts: Literal["own", "vllm"] = Field(
        "own", description="What samples the rollouts: this program, or vLLM in the same process (to be installed)."
    )
    vllm_gpu_memory_utilization: float = Field(
        0.3, gt=0, le=1, description="With vllm: its share of the device's memory. Default: the reference's."
    )

    # The model
    use_peft: bool = Field(False, description="Train a LoRA adapter instead of all weights. Default: the paper's.")
    lora_r: int = Field(16, ge=1, description="Rank of the adapter, on all linear layers; its alpha is twice that.")
    merge_adapter: bool = Field(False, description="Write the whole model with the adapter in it, not the adapter.")
    bf16: bool | None = Field(
        None,
        description="Matrix products in bfloat16; trainable weights stay float32. Unset: where the device has them.",
    )
    gradient_checkpointing: bool = Field(
        False, description="Less memory for activations, about a third more time. Default: off."
    )
    fsdp: bool | None = Field(
        None,
        description="Spread all weights over the devices. Unset: where `accelerate launch` is told to (--use_fsdp).",
    )
    tokens_per_pass: int = Field(
        2048, ge=1, description="Tokens of rows computed at once, about: what bounds the memory. A longer row is alone."
    )
    rollouts_per_pass: int = Field(64, ge=1, description="Rollouts sampled at once on a device.")

    # Evaluation, saving, logging
    eval_split: float = Field(0.0, ge=0, lt=1, description="Share of the rows held out; the loss on them is reported.")
    eval_steps: int = Field(50, ge=1, description="Steps from one evaluation to the next; the last step is one too.")
    save_steps: int = Field(100, ge=0, description="Steps from one checkpoint to the next; 0 keeps none. As reference.")
    save_total_limit: int = Field(2, ge=1, description="Checkpoints kept, the newest.")
    logging_steps: int = Field(1, ge=1, description="Steps from one line of the logs to the next. As reference.")
    report_to: tuple[Tracker, ...] = Field(
        ("jsonl",), description="Where figures go: jsonl, tensorboard, trackio, wandb; several with commas between them."
    )
    run_name: str | None = Field(None, description="Name of the run for Trackio and W&B. Unset: the output's folder.")

    @classmethod
    def of(cls, **values: Any) -> SDFTConfig:
        """Raises ConfigError, which names every value that cannot be used."""
        try:
            return cls(**values)
        except ValidationError as error:
            told = [f"{'.'.join(map(str, each['loc'])) or 'settings'}: {each['msg']}" for each in error.errors()]
            raise ConfigError(f"The training settings cannot be used. {'; '.join(told)}.") from error

    @property
    def peak_learning_rate(self) -> float:
        return self.learning_rate or (LORA_LEARNING_RATE if self.use_peft else FULL_LEARNING_RATE)

    @property
    def loss_temperature(self) -> float:
        return self.temperature or 1.0

    @model_validator(mode="after")
    def _consistent(self) -> SDFTConfig:
        if self.distillation_mode == "sampled_token" and self.distillation_alpha != 1:
            raise ValueError("distillation_mode sampled_token is reverse KL, so it needs distillation_alpha 1")
        if PROMPT not in self.teacher_prompt_template or CONTEXT not in self.teacher_prompt_template:
            raise ValueError(f"teacher_prompt_template must contain {PROMPT} and {CONTEXT}")
        if self.merge_adapter and not self.use_peft:
            raise ValueError("merge_adapter needs use_peft: without an adapter the whole model is written anyway")
        if self.rollouts == "vllm" and self.generate_from_teacher:
            raise ValueError("rollouts vllm are the student's; generate_from_teacher needs rollouts own")
        return self
