"""How a correction is learned and what a version must hold: the engine's recipe, as far as it is a setting."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lifelearn.learning.recipe import Recipe, Thresholds
from lifelearn.settings.group import Group


class LearningSettings(Group):
    train_method: Literal["lora", "full"] = Field(
        "lora",
        description="Train a low-rank adapter, or all weights. A LoRA version of the bundled model takes 20 MB, a full "
        "one 270 MB.",
    )
    train_lr: float | None = Field(
        None,
        gt=0,
        le=0.1,
        description="Peak learning rate of AdamW. Unset: 0.003 for LoRA, measured on the bundled model, and 0.00005 "
        "for full fine-tuning, the upper end of the paper's range. Where the loss rises at once, training begins again "
        "at a third of it.",
    )
    train_epochs: int = Field(
        8,
        ge=1,
        le=100,
        description="Most passes over a lesson's rows. Training mostly stops before, once it is learned.",
    )
    train_max_steps: int = Field(
        28,
        ge=1,
        le=10_000,
        description="Most optimiser steps a lesson; training stops earlier once it is learned, and takes half as many "
        "again where the corrected question itself still fails. Default chosen for lessons of about a minute on two "
        "CPU cores.",
    )
    train_rounds: int = Field(
        2,
        ge=1,
        le=4,
        description="Trainings a lesson at most: a version that fails verification is trained again from where it is, "
        "for 8 to 24 steps, with what failed weighing more. Verification keeps asking what training never sees.",
    )
    train_grad_acc: int = Field(
        1,
        ge=1,
        le=256,
        description="Batches of 8 fact rows, 10 replay rows and, of earlier corrections, 8 rows, whose gradients are "
        "summed for one step.",
    )
    train_max_prompt_len: int = Field(
        512, ge=16, le=32_768, description="Longest prompt, in tokens, the teacher's context included."
    )
    train_max_completion_len: int = Field(
        48, ge=4, le=4096, description="Longest completion in training, in tokens. Default fits one-sentence answers."
    )
    train_lora_rank: int = Field(
        16,
        ge=1,
        le=512,
        description="Rank of the adapter, on all linear layers. Default measured on the bundled model.",
    )
    train_kl: Literal["forward", "reverse", "js"] = Field(
        "forward",
        description="Divergence from teacher to student, per token over the full vocabulary. Forward is the paper's.",
    )
    train_teacher: Literal["frozen", "ema"] = Field(
        "frozen",
        description="The teacher's weights: the parent version's, or an average that follows the student, the "
        "paper's choice for long runs.",
    )
    train_ema_rate: float = Field(
        0.01,
        gt=0,
        le=1,
        description="With `ema`, the share of the student taken into the teacher at each step; the paper's.",
    )
    train_skip_tokens: int = Field(
        0,
        ge=0,
        le=64,
        description="First tokens of a completion without loss. The paper's reference skips some; in a one-sentence "
        "answer they often are the answer, hence 0.",
    )
    train_on_policy_steps: int = Field(
        0,
        ge=0,
        le=10_000,
        description="Steps on the student's own rollouts, after six on the teacher's. Where a training-side probe "
        "still fails, the student's own answer joins the rows in any case.",
    )
    train_seed: int = Field(
        0, ge=0, le=2**32 - 1, description="Seed of rollouts and row order: same seed and machine, same result."
    )
    prompt_variations: int = Field(
        40,
        ge=4,
        le=200,
        description="Training wordings of a corrected question, itself included. Measured on the bundled model.",
    )
    expert_demos_per_prompt: int = Field(
        2,
        ge=1,
        le=16,
        description="Demonstrations written for a prompt, by the expert or the model. Default set by judgement.",
    )

    verify_min_efficacy: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Least share of corrected questions answered right, for a version to go live. "
        "Default: what was corrected must be right.",
    )
    verify_min_generalisation: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Least share of wordings never trained on that are answered right. Default set by judgement.",
    )
    verify_min_locality: float = Field(
        0.8,
        ge=0,
        le=1,
        description="Least share of neighbouring and unrelated questions answered as before. Default set by judgement.",
    )
    verify_min_retention: float = Field(
        0.8, ge=0, le=1, description="Least share of earlier corrections that still hold. Default set by judgement."
    )
    verify_max_drift: float = Field(
        0.1,
        gt=0,
        le=10,
        description="Most KL divergence to the parent on general text, in nats per token. Default is twice what good "
        "lessons measured on the bundled model.",
    )

    def recipe(self) -> Recipe:
        """The engine's recipe, with these settings in it."""
        batch = Recipe()
        lr = self.train_lr or (batch.learning_rate if self.train_method == "lora" else 5e-5)
        return Recipe(
            method=self.train_method,
            lora_rank=self.train_lora_rank,
            learning_rate=lr,
            rounds=self.train_rounds,
            max_steps=self.train_max_steps,
            epochs=self.train_epochs,
            on_policy_steps=self.train_on_policy_steps,
            facts_per_step=batch.facts_per_step * self.train_grad_acc,
            replay_per_step=batch.replay_per_step * self.train_grad_acc,
            mined_per_step=batch.mined_per_step * self.train_grad_acc,
            retained_per_step=batch.retained_per_step * self.train_grad_acc,
            divergence=self.train_kl,
            skip_tokens=self.train_skip_tokens,
            teacher=self.train_teacher,
            ema_rate=self.train_ema_rate,
            training_prompts=self.prompt_variations,
            demonstrations=self.expert_demos_per_prompt,
            max_prompt_tokens=self.train_max_prompt_len,
            max_completion_tokens=self.train_max_completion_len,
            seed=self.train_seed,
            thresholds=Thresholds(
                efficacy=self.verify_min_efficacy,
                generalisation=self.verify_min_generalisation,
                locality=self.verify_min_locality,
                retention=self.verify_min_retention,
                drift=self.verify_max_drift,
            ),
        )
