"""Every number of a learning run, in one frozen value. settings/ fills it; the engine only reads it.

Where a default departs from the paper (arXiv 2601.19897), docs/LOG.md has the experiment.
"""

from __future__ import annotations

from typing import Literal

from lifelearn.learning.types import Value

Divergence = Literal["forward", "reverse", "js"]


class Thresholds(Value):
    """What verification asks of a version before it goes live; shares of 1, drift in nats per token."""

    efficacy: float = 1.0
    generalisation: float = 0.5
    locality: float = 0.8
    retention: float = 0.8
    drift: float = 0.1


class Recipe(Value):
    """How a lesson is made and trained.

    method, lora_rank: LoRA on all linear layers (alpha = 2 · rank), or full fine-tuning of float32 masters.
    adapted_layers: the share of layers, counted from the last, that carry adapters. Fewer lost nothing of what is
        learned and lowered drift; those below are computed once a row instead of at each step.
    rounds: trainings at most. A version that fails verification is trained once more, from where it is, with what
        failed weighing more (rounds.py); verification asks the same probes, which training never sees.
    learning_rate: peak, after `warmup_steps` linear steps; the second half of the run decays linearly.
    max_steps, epochs: optimizer steps at most, and passes over the fact rows at most; half as many steps again where
        the corrected question itself still fails. `min_steps` before the first early stop.
    cold_start_steps, on_policy_steps: after so many steps on the teacher's rollouts (a student that never says the
        fact gives no signal of its own), so many on the student's; then the teacher's again, joined by the
        student's own answers wherever a watch probe fails.
    watch_slack, target_loss: training stops once no more than this share of the watch probes fails, a corrected
        question not among them, and the facts' mean loss since the last check, in nats per token, is this low.
    check_every: steps from one asking of the watch probes to the next, from `min_steps` on.
    mine_every, mined_per_step: every so many steps the student is asked neighbours that are not replayed; what it
        says where it has left the base most joins the replay, of whose rows in a step it takes so many
        (docs/decisions/0014).
    rollout_temperature, rollout_tokens: of the student's own rollouts.
    facts_per_step, replay_per_step, retained_per_step: rows in one step, the last ones of what was learned before.
    replay_weight, retained_weight: of the mean losses of the replay and of the retained rows, beside that of the facts.
        A long history that weighs as much as the rest of replay keeps the new fact out (docs/LOG.md).
    divergence, js_beta, top_k, skip_tokens: see divergence.py.
    teacher: "frozen" (the parent, its targets computed once) or "ema" (moves by ema_rate per step).
    training_prompts: wordings of the question to train on. demonstrations: an expert's answers per prompt.
    max_prompt_tokens, max_completion_tokens: rows of longer prompts are left out, completions cut.
    """

    method: Literal["lora", "full"] = "lora"
    lora_rank: int = 16
    adapted_layers: float = 1 / 2
    rounds: int = 2
    learning_rate: float = 3e-3
    warmup_steps: int = 2
    max_steps: int = 28
    epochs: int = 8
    min_steps: int = 24
    watch_slack: float = 0.1
    target_loss: float = 0.07
    check_every: int = 3
    mine_every: int = 6
    mined_per_step: int = 6
    cold_start_steps: int = 6
    on_policy_steps: int = 0
    rollout_temperature: float = 0.7
    rollout_tokens: int = 24
    facts_per_step: int = 8
    replay_per_step: int = 10
    retained_per_step: int = 8
    replay_weight: float = 0.5
    retained_weight: float = 0.3
    grad_clip: float = 1.0
    divergence: Divergence = "forward"
    js_beta: float = 0.5
    top_k: int | None = None
    skip_tokens: int = 0
    teacher: Literal["frozen", "ema"] = "frozen"
    ema_rate: float = 0.01
    training_prompts: int = 40
    demonstrations: int = 2
    max_prompt_tokens: int = 512
    max_completion_tokens: int = 48
    seed: int = 0
    thresholds: Thresholds = Thresholds()
