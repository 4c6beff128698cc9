"""The SDFT loop: the student sees the prompt, the teacher sees the prompt with the demonstration, and the
student moves towards the teacher's distribution over the full vocabulary, token by token.

Departures from the paper (arXiv 2601.19897), each with its numbers in docs/LOG.md: the first steps train
on the teacher's gated rollouts, because a small student that never says the fact gets no signal from its
own; replay rows hold the model to the base elsewhere; training stops early once the watch probes hold,
and wordings that still fail join the rows.
Knows nothing of versions, files or users: rows in, weights changed in place.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.compute.divergence import token_divergence
from lifelearn.learning.compute.rollout import rollout
from lifelearn.learning.compute.tokens import Codec
from lifelearn.learning.examiner.marking import stated
from lifelearn.learning.recipe import Recipe
from lifelearn.learning.sdft.rows import EncodedRow, TrainingError, backward, encode, targets
from lifelearn.learning.sdft.student import Student
from lifelearn.learning.types import Conversation, Lesson, OnProgress, Probe, Progress, Row, Training, no_progress

WATCH_TOKENS = 24
MINED_OF, MINED_TOKENS = 24, 16  # questions of one mining, and tokens of each answer
MINED, FAR = 8, 0.3  # rows that it adds at most, and how far they must be from the base: nats per token
# After the warm-up and within so many steps, a loss of so many times the first one, or 1 nat per token, is that of a
# rate too high for the model: good lessons stayed under 1.0; at twice and three times their rate it was 1.7 and 4
# (docs/LOG.md). The student's own rollouts are other rows, with losses of their own.
RISEN, BEGINNING = 1.25, 8


class RateError(TrainingError):
    """The learning rate is too high for this model: the loss rises at once, or is not finite."""

    def __init__(self, what: str, step: int, rate: float) -> None:
        super().__init__(
            f"The loss {what} at step {step}. Lower the learning rate (LL_TRAIN_LR, now {rate:.2g}) and try again; the "
            "active version is unchanged."
        )
        self.what = f"the loss {what} at step {step}"


def train(
    student: Student, codec: Codec, lesson: Lesson, recipe: Recipe, on_progress: OnProgress = no_progress
) -> Training:
    """Trains `student` on `lesson` in place.

    Raises RateError when the loss rises at the beginning, or is not finite.
    """
    rng = random.Random(recipe.seed)
    encoded = [(row.kind, each) for row in lesson.rows for each in encode(codec, row, recipe)]
    fitting = [each for each in encoded if len(each[1].teacher_prompt) <= recipe.max_prompt_tokens]
    if len(fitting) < len(encoded):
        left_out = (
            f"{len(encoded) - len(fitting)} of {len(encoded)} rows have longer prompts than LL_TRAIN_MAX_PROMPT_LEN"
        )
        on_progress(Progress(stage="train", message=f"{left_out} and are left out"))
    facts, replay, retained = (
        Pool([row for its, row in fitting if its == kind], rng) for kind in ("fact", "replay", "retained")
    )
    if not facts.rows:
        raise TrainingError(
            f"The question is too long to learn: no prompt fits in {recipe.max_prompt_tokens} tokens "
            "(LL_TRAIN_MAX_PROMPT_LEN). Ask it more briefly, or raise the limit."
        )
    per_step = min(recipe.facts_per_step, len(facts.rows))
    steps = min(recipe.max_steps, math.ceil(recipe.epochs * len(facts.rows) / per_step))
    with student.teacher() as teacher:
        facts.targets = targets(teacher, facts.rows)
    with student.base() as base:  # not the parent, or each lesson would add its drift to those before
        replay.targets = targets(base, replay.rows)
    with student.parent() as parent:
        retained.targets = targets(parent, retained.rows)
    negatives = [each for each in lesson.negatives if len(codec.ask(each)) <= recipe.max_prompt_tokens]
    hard = Pool([], rng)  # what the student has said where it had left the base most
    optimizer = torch.optim.AdamW(student.parameters, lr=recipe.learning_rate, weight_decay=0.0)

    def objective(logits_NV: Tensor, wanted_NV: Tensor, rows: Sequence[EncodedRow]) -> Tensor:
        return token_divergence(logits_NV, wanted_NV, recipe.divergence, js_beta=recipe.js_beta, top_k=recipe.top_k)

    losses: list[float] = []
    tokens, failing = 0, list(lesson.watch)
    corrected = {correction.question for correction in lesson.corrections}
    failures: list[bool] = []  # at each asking, whether a corrected question, of now or before, failed
    # Whether one did at the last two: steps go on. One that has only just passed may fail again beside other questions,
    # whose batch rounds otherwise.
    unlearned = False
    most = steps + steps // 2
    for step in range(most):
        rows, wanted = facts.draw(recipe.facts_per_step)
        on_policy = recipe.cold_start_steps <= step < recipe.cold_start_steps + recipe.on_policy_steps
        if on_policy:
            rows = own_rollouts(student, codec, rows, recipe, seed=recipe.seed * 1000 + step)
        if on_policy or recipe.teacher == "ema":
            with student.teacher() as teacher:
                wanted = targets(teacher, rows)
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * schedule(step, steps, recipe)
        optimizer.zero_grad()
        weights = [1 / len(rows)] * len(rows)
        drawn, drawn_wanted = list(rows), list(wanted)
        mined = min(recipe.mined_per_step, recipe.replay_per_step, len(hard.rows))
        others = _joined(replay.draw(recipe.replay_per_step - mined), hard.draw(mined))
        for (kept, kept_wanted), weight in (
            (others, recipe.replay_weight),
            (retained.draw(recipe.retained_per_step), recipe.retained_weight),
        ):
            drawn, drawn_wanted = [*drawn, *kept], [*drawn_wanted, *kept_wanted]
            weights += [weight / max(len(kept), 1)] * len(kept)
        with student.student() as network:
            skips = [0 if row.replay else recipe.skip_tokens for row in drawn]
            divergences = backward(network, drawn, drawn_wanted, weights, objective, skips)
        loss = sum(divergences[: len(rows)]) / len(rows)
        norm = torch.nn.utils.clip_grad_norm_(student.parameters, recipe.grad_clip)
        if not torch.isfinite(norm):
            raise RateError("is not finite", step + 1, recipe.learning_rate)
        begun = not on_policy and max(recipe.warmup_steps, 1) <= step < BEGINNING
        if begun and loss > RISEN * max(losses[0], 1.0):
            raise RateError(f"rises to {loss:.1f} nats per token", step + 1, recipe.learning_rate)
        optimizer.step()
        student.update_teacher()
        if not all(bool(torch.isfinite(parameter).all()) for parameter in student.parameters):
            raise RateError("is not finite", step + 1, recipe.learning_rate)
        losses.append(loss)
        tokens += sum(len(row.completion) for row in rows)
        done = step + 1
        planned = max(steps, done)
        on_progress(Progress(stage="train", step=done, steps=planned, loss=loss))
        if lesson.watch and done >= recipe.min_steps and (done - recipe.min_steps) % recipe.check_every == 0:
            answers = watch_answers(student, codec, lesson.watch)
            failing = [probe for probe, ids in answers if not _holds(probe, codec.decode(ids))]
            failures.append(any(probe.question in corrected or probe.kind == "retention" for probe in failing))
            unlearned = any(failures[-2:])
            message = f"{len(lesson.watch) - len(failing)} of {len(lesson.watch)} training-side probes hold"
            on_progress(Progress(stage="train", step=done, steps=planned, loss=loss, message=message))
            if failing and done < (most if unlearned else steps):
                failed = [entry for entry in answers if entry[0] in failing]
                strengthen(student, codec, lesson, facts, {"neighbour": replay, "retention": retained}, failed, recipe)
        if negatives and done % recipe.mine_every == 0 and done + recipe.mine_every <= steps:
            hard.add(*mined_rows(student, codec, rng.sample(negatives, min(MINED_OF, len(negatives)))))
        held = bool(lesson.watch) and len(failing) <= recipe.watch_slack * len(lesson.watch) and not unlearned
        recent = losses[-recipe.check_every :]
        near = sum(recent) / len(recent) <= recipe.target_loss
        if (held and near) or (done >= steps and not unlearned):
            break
    return Training(
        steps=len(losses),
        losses=tuple(losses),
        watch_passed=len(lesson.watch) - len(failing),
        watch_total=len(lesson.watch),
        completion_tokens=tokens,
        learning_rate=recipe.learning_rate,
    )


Drawn = tuple[list[EncodedRow], list[Tensor]]  # rows with their targets


class Pool:
    """Rows with their targets, drawn in a new order each round; rows added later are drawn next."""

    def __init__(self, rows: list[EncodedRow], rng: random.Random) -> None:
        self.rows = rows
        self.targets: list[Tensor] = []
        self._rng = rng
        self._waiting: list[int] = []

    def draw(self, count: int) -> Drawn:
        """At most `count` rows, none twice."""
        if len(self._waiting) < min(count, len(self.rows)):
            later = [index for index in range(len(self.rows)) if index not in self._waiting]
            self._rng.shuffle(later)
            self._waiting += later
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return [self.rows[index] for index in taken], [self.targets[index] for index in taken]

    def add(self, rows: list[EncodedRow], wanted: list[Tensor]) -> None:
        self._waiting = [*range(len(self.rows), len(self.rows) + len(rows)), *self._waiting]
        self.rows += rows
        self.targets += wanted


def _joined(one: Drawn, other: Drawn) -> Drawn:
    return [*one[0], *other[0]], [*one[1], *other[1]]


def mined_rows(student: Student, codec: Codec, questions: Sequence[str]) -> Drawn:
    """Of questions that are not replayed, those where the student has left its base most: its own greedy answers,
    with the base's targets.

    How far is the mean over an answer's tokens of what the base would lose by them: its log-probability of its
    likeliest token less that of the student's, 0 where it would say the same.
    """
    answers = greedy_answers(student, codec, questions, MINED_TOKENS)
    rows = [
        EncodedRow(prompt, prompt, codec.ended(ids, MINED_TOKENS), replay=True)
        for prompt, ids in zip(map(codec.ask, questions), answers, strict=True)
    ]
    with student.base() as base:
        wanted = targets(base, rows)
    lost = [_lost(row, each) for row, each in zip(rows, wanted, strict=True)]
    worst = sorted(range(len(rows)), key=lambda index: -lost[index])[:MINED]
    far = [index for index in worst if lost[index] >= FAR]
    return [rows[index] for index in far], [wanted[index] for index in far]


def _lost(row: EncodedRow, wanted_LV: Tensor) -> float:
    own_L1 = torch.tensor(row.completion, device=wanted_LV.device)[:, None]
    return float((wanted_LV.max(-1).values - wanted_LV.gather(-1, own_L1)[:, 0]).float().mean())


def strengthen(
    student: Student,
    codec: Codec,
    lesson: Lesson,
    facts: Pool,
    kept: Mapping[str, Pool],
    failed: Sequence[tuple[Probe, list[int]]],
    recipe: Recipe,
) -> None:
    """Adds rows where a watch probe fails: the student's own wrong answer, scored by the teacher, or by who is right.

    That is the on-policy signal where it is needed most. What the student may never say itself, the fact in another
    wording or one learned before, also gets the right answer.
    kept: by the probe's kind, where the base (neighbours) or the parent (what was learned before) is right.
    """
    prompts = {row.prompt[-1].content: row for row in lesson.rows}
    added: dict[str, list[EncodedRow]] = {"fact": [], **{kind: [] for kind in kept}}
    for probe, ids in failed:
        own = codec.ended(ids, WATCH_TOKENS)
        prompt = codec.ask(probe.question)
        if probe.kind in kept:
            known = prompts.get(probe.question) if probe.kind == "retention" else None
            added[probe.kind] += encode(codec, known, recipe)[:1] if known else []
            added[probe.kind].append(EncodedRow(prompt, prompt, own, replay=True))
        else:
            shown = encode(codec, prompts.get(probe.question) or _as_row(probe, lesson.rows), recipe)[0]
            added["fact"] += [shown, EncodedRow(shown.prompt, shown.teacher_prompt, own, replay=False)]
    with student.teacher() as teacher:
        facts.add(added["fact"], targets(teacher, added["fact"]))
    for kind, pool in kept.items():
        with student.parent() if kind == "retention" else student.base() as right:
            pool.add(added[kind], targets(right, added[kind]))


def own_rollouts(
    student: Student, codec: Codec, rows: Sequence[EncodedRow], recipe: Recipe, seed: int
) -> list[EncodedRow]:
    """The same prompts with completions sampled from the student as it is now."""
    sampling = Sampling(max_tokens=recipe.rollout_tokens, temperature=recipe.rollout_temperature, seed=seed)
    with student.student() as network:
        completions = rollout(network, [row.prompt for row in rows], codec.stop_ids, sampling)
    return [
        EncodedRow(row.prompt, row.teacher_prompt, codec.ended(completion, recipe.rollout_tokens), row.replay)
        for row, completion in zip(rows, completions, strict=True)
    ]


def schedule(step: int, steps: int, recipe: Recipe) -> float:
    """The learning rate's share of its peak: linear warm-up, a plateau, linear decay to 0.4.

    The decay takes the second half of the steps before the first early stop (of all, if they are fewer); steps
    beyond, for what still fails, stay there.
    """
    if step < recipe.warmup_steps:
        return (step + 1) / (recipe.warmup_steps + 1)
    half = min(steps, recipe.min_steps) / 2
    return max(0.4, 1 - 0.6 * max(0.0, step - half) / half)


def watch_answers(student: Student, codec: Codec, watch: Sequence[Probe]) -> list[tuple[Probe, list[int]]]:
    """The student's greedy answers to the watch probes, as token ids."""
    answers = greedy_answers(student, codec, [probe.question for probe in watch], WATCH_TOKENS)
    return list(zip(watch, answers, strict=True))


def greedy_answers(student: Student, codec: Codec, questions: Sequence[str], most: int) -> list[list[int]]:
    """What the student says to each question in a fresh context, as token ids, at most so many."""
    with student.student() as network:
        return rollout(network, [codec.ask(each) for each in questions], codec.stop_ids, Sampling(max_tokens=most))


def _holds(probe: Probe, answer: str) -> bool:
    if probe.kind == "neighbour":
        return not stated(probe.forbidden, answer)
    return stated(probe.answer, answer)


def _as_row(probe: Probe, rows: Sequence[Row]) -> Row:
    """A fact row that asks `probe`'s question, with the context and the completion of a row of the same answer."""
    facts = [row for row in rows if row.kind == "fact"]
    like = next((row for row in facts if stated(probe.answer, row.completions[0])), facts[0])
    asked = like.prompt[-1].content

    def rephrased(conversation: Conversation) -> Conversation:
        return tuple(
            turn.model_copy(update={"content": turn.content.replace(asked, probe.question)}) for turn in conversation
        )

    return like.model_copy(update={"prompt": rephrased(like.prompt), "teacher_prompt": rephrased(like.teacher_prompt)})
