"""The SDFT loop: the student sees the prompt, the teacher sees the prompt with the demonstration, and the
student moves towards the teacher's distribution over the full vocabulary, token by token.

Departures from the paper (arXiv 2601.19897), each with its numbers in docs/LOG.md: the first steps train
on the teacher's gated rollouts, because a small student that never says the fact gets no signal from its
own; replay rows hold the model to its parent elsewhere; training stops early once the watch probes hold,
and wordings that still fail join the rows.
Knows nothing of versions, files or users: rows in, weights changed in place.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.cues import states
from lifelearn.learning.loss import row_mean, token_divergence
from lifelearn.learning.packing import pack, packed_logits
from lifelearn.learning.recipe import Recipe
from lifelearn.learning.rollout import chunks, rollout
from lifelearn.learning.student import Student
from lifelearn.learning.tokens import Codec
from lifelearn.learning.types import Lesson, OnProgress, Probe, Progress, Row, Value, no_progress

PACK_TOKENS = 768  # attention is quadratic in a pack, so long batches are cut into packs of about this size
WATCH_TOKENS = 24


class TrainingError(Exception):
    """Training cannot go on; the text says at which step and what to change."""


class Training(Value):
    """What a run did. losses: each step's mean divergence on fact rows, nats per token."""

    steps: int
    losses: tuple[float, ...]
    watch_passed: int
    watch_total: int
    completion_tokens: int


@dataclass(frozen=True)
class EncodedRow:
    """Token ids of one row and completion; the completion ends with the model's end-of-turn token."""

    prompt: list[int]
    teacher_prompt: list[int]
    completion: list[int]
    replay: bool


def train(
    student: Student, codec: Codec, lesson: Lesson, recipe: Recipe, on_progress: OnProgress = no_progress
) -> Training:
    """Trains `student` on `lesson` in place.

    Raises TrainingError when the loss is not finite (the learning rate is too high for this model).
    """
    rng = random.Random(recipe.seed)
    facts = [row for row in lesson.rows if row.kind == "fact"]
    fact_rows = [encoded for row in facts for encoded in encode(codec, row, recipe)]
    replay_rows = [encoded for row in lesson.rows if row.kind == "replay" for encoded in encode(codec, row, recipe)]
    with student.parent() as parent:
        replay_targets = targets(parent, replay_rows)
    with student.teacher() as teacher:
        fact_targets = targets(teacher, fact_rows)
    optimizer = torch.optim.AdamW(student.parameters, lr=recipe.learning_rate, weight_decay=0.0)
    fact_order, replay_order = shuffled(len(fact_rows), rng), shuffled(len(replay_rows), rng)
    budget, losses, tokens = recipe.max_steps, [], 0
    watch, passed = list(lesson.watch), 0
    strengthened = 0
    step = 0
    while step < budget:
        batch = [next(fact_order) for _ in range(min(recipe.facts_per_step, len(fact_rows)))]
        held = [next(replay_order) for _ in range(min(recipe.replay_per_step, len(replay_rows)))]
        rows = [fact_rows[index] for index in batch]
        on_policy = recipe.max_steps - recipe.on_policy_steps <= step < recipe.max_steps
        if on_policy:
            rows = own_rollouts(student, codec, rows, recipe, seed=recipe.seed * 1000 + step)
        if on_policy or recipe.teacher == "ema":
            with student.teacher() as teacher:
                wanted = targets(teacher, rows)
        else:
            wanted = [fact_targets[index] for index in batch]
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * schedule(step, recipe)
        optimizer.zero_grad()
        with student.student() as model:
            loss = _backward(model, rows, wanted, recipe, 1.0)
            _backward(
                model,
                [replay_rows[index] for index in held],
                [replay_targets[index] for index in held],
                recipe,
                recipe.replay_weight,
            )
        norm = torch.nn.utils.clip_grad_norm_(student.parameters, recipe.grad_clip)
        if not torch.isfinite(norm):
            raise TrainingError(
                f"The loss is not finite at step {step + 1}. Lower the learning rate (LL_TRAIN_LR, now "
                f"{recipe.learning_rate:g}) and try again; the active version is unchanged."
            )
        optimizer.step()
        student.update_teacher()
        step += 1
        losses.append(loss)
        tokens += sum(len(row.completion) for row in rows)
        on_progress(Progress(stage="train", step=step, steps=budget, loss=loss))
        if step >= recipe.min_steps and (step % 2 == 0 or step == budget) and watch:
            failing = watch_failures(student, codec, watch)
            passed = len(watch) - len(failing)
            on_progress(
                Progress(
                    stage="train", step=step, steps=budget, loss=loss,
                    message=f"{passed} of {len(watch)} training-side probes hold",
                )
            )
            if not failing:
                break
            if step == budget and strengthened < recipe.strengthen_rounds:
                # The wordings that fail become rows, answered by the demonstration.
                strengthened += 1
                budget += recipe.max_steps // 3
                more = [row for probe in failing for row in encode(codec, _as_row(probe, facts), recipe)]
                with student.teacher() as teacher:
                    fact_targets += targets(teacher, more)
                fact_rows += more
                first = list(range(len(fact_rows) - len(more), len(fact_rows)))
                fact_order = shuffled(len(fact_rows), rng, first)
    return Training(
        steps=step, losses=tuple(losses), watch_passed=passed, watch_total=len(watch), completion_tokens=tokens
    )


def encode(codec: Codec, row: Row, recipe: Recipe) -> list[EncodedRow]:
    """One encoded row a completion, each cut to the recipe's length."""
    prompt, teacher_prompt = codec.prompt(row.prompt), codec.prompt(row.teacher_prompt)
    return [
        EncodedRow(
            prompt,
            teacher_prompt,
            codec.completion(completion, recipe.max_completion_tokens, end=row.kind == "fact"),
            row.kind == "replay",
        )
        for completion in row.completions
    ]


@torch.no_grad()
def targets(teacher: PreTrainedModel, rows: Sequence[EncodedRow]) -> list[Tensor]:
    """The teacher's log-probabilities at each completion token: per row [L, V], in bfloat16 to save memory."""
    found: list[Tensor] = []
    for group in grouped(rows, teacher_side=True):
        found += [part.to(torch.bfloat16) for part in row_logprobs(teacher, group, teacher_side=True)]
    return found


def row_logprobs(model: PreTrainedModel, rows: Sequence[EncodedRow], *, teacher_side: bool) -> tuple[Tensor, ...]:
    """Log-probabilities of what follows at each completion position: per row [L, V], float32."""
    prompts = [row.teacher_prompt if teacher_side else row.prompt for row in rows]
    packed = pack([prompt + row.completion[:-1] for prompt, row in zip(prompts, rows, strict=True)], model.device)
    nodes = [path[len(prompt) - 1 :] for path, prompt in zip(packed.paths, prompts, strict=True)]
    # Rows that share a prefix share positions: the vocabulary is projected to once for each.
    distinct, inverse = torch.cat(nodes).unique(return_inverse=True)
    logprobs_NV = packed_logits(model, packed, distinct).log_softmax(-1)
    return logprobs_NV[inverse].split([len(part) for part in nodes])


def grouped(rows: Sequence[EncodedRow], *, teacher_side: bool) -> Iterator[Sequence[EncodedRow]]:
    """Rows in packs of about PACK_TOKENS."""
    sizes = [[0] * (len(row.teacher_prompt if teacher_side else row.prompt) + len(row.completion)) for row in rows]
    start = 0
    for chunk in chunks(sizes, PACK_TOKENS):
        yield rows[start : start + len(chunk)]
        start += len(chunk)


def own_rollouts(
    student: Student, codec: Codec, rows: Sequence[EncodedRow], recipe: Recipe, seed: int
) -> list[EncodedRow]:
    """The same prompts with completions sampled from the student as it is now, at temperature 1."""
    sampling = Sampling(max_tokens=recipe.max_completion_tokens, temperature=1.0, seed=seed)
    with student.student() as model:
        completions = rollout(model, [row.prompt for row in rows], codec.stop_ids, sampling)
    return [
        EncodedRow(row.prompt, row.teacher_prompt, codec.ended(completion, recipe.max_completion_tokens), row.replay)
        for row, completion in zip(rows, completions, strict=True)
    ]


def schedule(step: int, recipe: Recipe) -> float:
    """The learning rate's share of its peak: linear warm-up, a plateau, linear decay to a tenth in the second half."""
    if step < recipe.warmup_steps:
        return (step + 1) / (recipe.warmup_steps + 1)
    half = recipe.max_steps / 2
    return max(0.1, 1 - 0.9 * max(0.0, step - half) / half)


def shuffled(count: int, rng: random.Random, first: Sequence[int] = ()) -> Iterator[int]:
    """Indices 0 … count-1 in a new order each round, without end; `first` come before all."""
    yield from first
    while count:
        order = list(range(count))
        rng.shuffle(order)
        yield from order


def watch_failures(student: Student, codec: Codec, watch: Sequence[Probe]) -> list[Probe]:
    """The probes whose greedy answers do not state what is right."""
    with student.student() as model:
        answers = rollout(
            model, [codec.ask(probe.question) for probe in watch], codec.stop_ids, Sampling(max_tokens=WATCH_TOKENS)
        )
    return [
        probe
        for probe, answer in zip(watch, answers, strict=True)
        if not states(probe.answer, codec.decode(answer))
    ]


def _backward(
    model: PreTrainedModel, rows: Sequence[EncodedRow], wanted: Sequence[Tensor], recipe: Recipe, weight: float
) -> float:
    """Adds the gradient of the rows' mean divergence, times `weight`; returns that mean. A pack at a time."""
    total, start = 0.0, 0
    for group in grouped(rows, teacher_side=False):
        parts = row_logprobs(model, group, teacher_side=False)
        lengths = [len(part) for part in parts]
        divergence_N = token_divergence(
            torch.cat(parts),
            torch.cat(list(wanted[start : start + len(group)])).float(),
            recipe.divergence,
            js_beta=recipe.js_beta,
            top_k=recipe.top_k,
        )
        skip = 0 if group[0].replay else recipe.skip_tokens
        loss = row_mean(divergence_N, lengths, skip).sum() / len(rows)
        (loss * weight).backward()
        total += loss.item()
        start += len(group)
    return total


def _as_row(probe: Probe, facts: Sequence[Row]) -> Row:
    """A fact row that asks `probe`'s question, with the context and the completion of the first row of its answer."""
    model_row = next((row for row in facts if states(probe.answer, row.completions[0])), facts[0])
    asked, question = model_row.prompt[-1].content, probe.question

    def rephrased(conversation: tuple) -> tuple:  # type: ignore[type-arg]
        return tuple(
            turn.model_copy(update={"content": turn.content.replace(asked, question)}) for turn in conversation
        )

    return Row(
        kind="fact",
        prompt=rephrased(model_row.prompt),
        teacher_prompt=rephrased(model_row.teacher_prompt),
        completions=model_row.completions[:1],
    )
