"""`lifelearn bench skills`: the paper's sequential experiment at a size that runs here.

Three skills (tasks.py) are learned one after another from the same demonstrations: by SDFT, by SFT, and by TRL's
`SDFTTrainer`. After each skill every skill is asked again, freely and greedily, in fresh contexts; so are general
questions; and drift from the base is measured on general text. All methods train an adapter of one rank, for the same
steps on the same prompts; it is merged before the next skill.

Departures from the paper (arXiv 2601.19897), with their numbers in docs/LOG.md: the teacher sees the demonstration as
an answer given before, twice, to the same question, because a model of this size does not follow the paper's wording;
rollouts are greedy; the loss skips no token, because in so short an answer the first ones are the skill.
"""

from __future__ import annotations

import importlib.util
import io
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lifelearn.bench.baselines import trl_on
from lifelearn.bench.figures import Figure, clustered, mean, share
from lifelearn.bench.report import Report, Say
from lifelearn.bench.tasks import SKILLS, Skill, Task
from lifelearn.chat_models.local import LocalChatModel
from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.compute.rollout import Rollouts, Sampled
from lifelearn.learning.compute.tokens import Codec
from lifelearn.learning.examiner.general import KNOWN, TEXT
from lifelearn.learning.examiner.marking import stated
from lifelearn.learning.examiner.verify import drift_check
from lifelearn.learning.sdft.config import CONTEXT, PROMPT, SDFTConfig
from lifelearn.learning.sdft.data_loop import SDFTTrainer
from lifelearn.learning.sdft.rows import EncodedRow
from lifelearn.learning.sdft.student import Student
from lifelearn.learning.types import Message

ANSWER_TOKENS = 32  # the longest demonstration has 24; what follows a right answer must show
GENERAL = "general questions"
SHOWN = 2  # once, the bundled model as the teacher repeats 46 of 72 demonstrations rightly; twice, 67 (docs/LOG.md)


class SkillsError(Exception):
    """The bench cannot be run as it was asked. The text says why and what to do."""


@dataclass(frozen=True)
class Plan:
    """The size of the experiment. Defaults take some 20 minutes on a core of its own (docs/LOG.md)."""

    seed: int = 0
    held_out: int = 24  # tasks of each skill that are asked
    steps: int = 20  # optimiser steps a skill
    prompts_per_step: int = 4
    rank: int = 16
    warmup_steps: int = 3
    rollout_tokens: int = 24

    def config(self, rate: float, folder: Path, template: str) -> SDFTConfig:
        """Our trainer's settings."""
        return SDFTConfig(
            output_dir=str(folder), use_peft=True, merge_adapter=True, lora_r=self.rank, learning_rate=rate,
            max_steps=self.steps, num_prompts_per_batch=self.prompts_per_step, warmup_steps=self.warmup_steps,
            temperature=0.0, max_completion_length=self.rollout_tokens, num_loss_tokens_to_skip=0,
            teacher_prompt_template=template, control_tokens=True,  # the template's own, between its turns
            save_steps=0, report_to=(), seed=self.seed,
        )  # fmt: skip


@dataclass(frozen=True)
class Method:
    """`train` writes the model in the first folder, trained on the tasks, into the second; it gives the losses, if it
    has them.

    rates: learning rates that are tried on the first skill; the sequence takes the one named by `chosen`.
    """

    train: Callable[[Path, Sequence[Task], Plan, float, Path], list[float]]
    rates: tuple[float, ...]
    chosen: float


# ---------------------------------------------------------------------------------------------------------------------
# The methods


class Golden:
    """Rollouts that are the demonstrations."""

    def __init__(self, codec: Codec, tasks: Sequence[Task], limit: int) -> None:
        self._known = {
            tuple(codec.ask(task.prompt)): codec.completion(task.demonstration, limit, end=True) for task in tasks
        }

    def sync(self, step: int) -> None:
        pass

    def sample(self, prompts: Sequence[Sequence[int]], sampling: Sampling, seeds: Sequence[int]) -> list[Sampled]:
        return [Sampled(self._known[tuple(prompt)]) for prompt in prompts]

    def close(self) -> None:
        pass


class SFTTrainer(SDFTTrainer):
    """The same loop with cross-entropy on the demonstrations, which `Golden` gives; no teacher is asked."""

    def _targets(self, rows: Sequence[EncodedRow]) -> list[Tensor]:
        return [torch.empty(len(row.completion), 0) for row in rows]

    def objective(self, logits_NV: Tensor, wanted_NV: Tensor, rows: Sequence[EncodedRow]) -> Tensor:
        tokens_N = torch.tensor([token for row in rows for token in row.completion], device=logits_NV.device)
        return torch.nn.functional.cross_entropy(logits_NV.float(), tokens_N, reduction="none")


def sdft(start: Path, tasks: Sequence[Task], plan: Plan, rate: float, folder: Path) -> list[float]:
    """SDFT on the student's own rollouts, as in the paper."""
    return _losses(SDFTTrainer, None, start, tasks, plan, rate, folder)


def sft(start: Path, tasks: Sequence[Task], plan: Plan, rate: float, folder: Path) -> list[float]:
    """Cross-entropy on the demonstrations, by the same loop."""

    def golden(student: Student, codec: Codec) -> Rollouts:
        return Golden(codec, tasks, plan.rollout_tokens)

    return _losses(SFTTrainer, golden, start, tasks, plan, rate, folder)


def _losses(
    trainer: type[SDFTTrainer],
    rollouts: Callable[[Student, Codec], Rollouts] | None,
    start: Path,
    tasks: Sequence[Task],
    plan: Plan,
    rate: float,
    folder: Path,
) -> list[float]:
    base, tokenizer, _ = LocalChatModel.parts(str(start), folder, place="cpu")
    config = plan.config(rate, folder, shown_before(tokenizer))
    rows = [{"prompt": task.prompt, "golden_response": task.demonstration} for task in tasks]
    return trainer(base, tokenizer, config, rows, rollouts=rollouts).train().losses


def trl(start: Path, tasks: Sequence[Task], plan: Plan, rate: float, folder: Path) -> list[float]:
    """TRL's `SDFTTrainer` on the student's own rollouts; sampled ones, as it has no greedy rollouts."""
    from peft import LoraConfig

    base, tokenizer, _ = LocalChatModel.parts(str(start), folder)
    settings = {
        "max_steps": plan.steps,
        "learning_rate": rate,
        "warmup_steps": plan.warmup_steps,
        "lr_scheduler_type": "cosine",
        "per_device_train_batch_size": plan.prompts_per_step,
        "max_prompt_length": 256,
        "max_completion_length": plan.rollout_tokens,
        "temperature": 1.0,
        "num_loss_tokens_to_skip": 0,
        "teacher_update_rate": 0.01,
        "teacher_prompt_template": shown_before(tokenizer),
        "max_grad_norm": 1.0,
        "seed": plan.seed,
    }
    lora = LoraConfig(r=plan.rank, lora_alpha=2 * plan.rank, target_modules="all-linear", task_type="CAUSAL_LM")
    demonstrations = [(task.prompt, task.demonstration) for task in tasks]
    with tempfile.TemporaryDirectory() as aside:
        trainer = trl_on(base, demonstrations, Path(aside), lora, settings)
        with redirect_stdout(io.StringIO()):  # it prints figures of its own
            trainer.train()
        trainer.model.merge_and_unload().to(base.dtype).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return []  # it was told not to log


# Rates from the search in docs/LOG.md. TRL takes one, ours, because its steps are several times slower.
METHODS: dict[str, Method] = {
    "sdft": Method(sdft, (1e-3, 2e-3, 4e-3), 2e-3),
    "sft": Method(sft, (2e-4, 4e-4, 8e-4), 4e-4),
    "trl": Method(trl, (2e-3,), 2e-3),
}


def shown_before(tokenizer: Any) -> str:
    """A teacher's template: the question, answered by the demonstration, `SHOWN` times, and the same question again.

    It has the chat template's own marks between the turns, so that any trainer that fills a template can use it.
    """
    question, answer = "\u2063question\u2063", "\u2063answer\u2063"
    shown = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    text = str(tokenizer.apply_chat_template([*shown, *shown], tokenize=False))
    _, asked, again = text.split(question)
    marks, ended = asked.split(answer)
    assert again.startswith(marks)  # marks: from a question to its answer; ended: from there to the next question
    return f"{PROMPT}{marks}{CONTEXT}{ended}" * SHOWN + PROMPT


# ---------------------------------------------------------------------------------------------------------------------
# The experiment


def check(methods: Sequence[str], out: Path) -> None:
    """Raises SkillsError where a method is unknown, a package is missing or the folder cannot be written to."""
    unknown = [name for name in methods if name not in METHODS]
    if unknown or not methods:
        raise SkillsError(f"There is no method {', '.join(unknown) or '(none was named)'}. Take {', '.join(METHODS)}.")
    needed = ["matplotlib", *(["trl"] if "trl" in methods else [])]
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise SkillsError(f"Not installed: {', '.join(missing)}. Install them (pip install 'lifelearn[bench]').")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise SkillsError(f"{out} cannot be written to: {error.strerror}. Give another folder with --out.") from error


def skills(
    model: LocalChatModel,
    plan: Plan,
    methods: Sequence[str],
    folder: Path,
    say: Say = print,
    keep: Callable[[Report], None] = lambda report: None,
) -> Report:
    """Each method at its rates on the first skill, and at one rate on all skills, one after another.

    folder: trained models are there while they are needed. keep: gets the report so far after each stage.
    """
    asked = [(skill, skill.tasks(plan.held_out, plan.seed, held_out=True)) for skill in SKILLS]
    lessons = [skill.tasks(plan.steps * plan.prompts_per_step, plan.seed, held_out=False) for skill in SKILLS]
    reference = model.text_logprobs(TEXT)
    rows: list[Report] = []
    stages: list[Report] = []
    used = {name: {"rates": METHODS[name].rates, "sequence_rate": METHODS[name].chosen} for name in methods}
    report: Report = {
        "figures": {},
        "model": model.name,
        "settings": {**asdict(plan), "methods": used, "skills": [skill.name for skill in SKILLS]},
        "stages": stages,
        "rows": rows,
        "threads": torch.get_num_threads(),
    }

    def measure(player: LocalChatModel, method: str, rate: float | None, learned: int, **more: Any) -> None:
        """Asks everything; a stage and its rows join the report."""
        found = [(name, *answered) for name, answered in answers(player, asked)]
        where = {"method": method, "rate": rate, "learned": learned}
        rows.extend({**where, "skill": name, "prompt": p, "answer": a, "right": r} for name, p, a, r in found)
        right = {
            name: share([row[3] for row in found if row[0] == name]) for name in dict.fromkeys(r[0] for r in found)
        }
        drift = mean(drifts(reference, player.text_logprobs(TEXT)))
        stages.append(
            {**where, "right": {k: v.model_dump() for k, v in right.items()}, "drift": drift.model_dump(), **more}
        )
        report["figures"] = figures(report)
        say(told(stages[-1]))
        keep(report)

    measure(model, "base", None, 0)
    for name in methods:
        for rate in METHODS[name].rates:
            start = Path(str(model.base.config._name_or_path))
            for number, lesson in enumerate(lessons if rate == METHODS[name].chosen else lessons[:1], 1):
                trained, began = folder / f"{name}-{rate:g}-{number}", time.monotonic()
                losses = METHODS[name].train(start, lesson, plan, rate, trained)
                seconds = round(time.monotonic() - began, 1)
                player = LocalChatModel.load(str(trained), folder)
                measure(player, name, rate, number, losses=[round(loss, 4) for loss in losses], seconds=seconds)
                if number > 1:
                    shutil.rmtree(start)
                start = trained
            shutil.rmtree(start)
    return report


def answers(
    model: LocalChatModel, asked: Sequence[tuple[Skill, Sequence[Task]]]
) -> Iterator[tuple[str, tuple[str, str, bool]]]:
    """Of every task and general question: the skill's name, then prompt, answer, and whether it is right."""
    prompts = [task.prompt for _, tasks in asked for task in tasks] + [question for question, _ in KNOWN]
    given = model.answer([(Message(role="user", content=text),) for text in prompts], Sampling(ANSWER_TOKENS))
    found = iter(zip(prompts, given, strict=True))
    for skill, tasks in asked:
        for task in tasks:
            prompt, answer = next(found)
            yield skill.name, (prompt, answer, skill.right(task.wanted, answer))
    for _, wanted in KNOWN:
        prompt, answer = next(found)
        yield GENERAL, (prompt, answer, stated(wanted, answer))


def drifts(reference: Sequence[Tensor], logprobs: Sequence[Tensor]) -> list[float]:
    """Forward KL to the base in nats per token, of each text. Each argument: per text [L, V] log-probabilities."""
    return [drift_check([old], [new], 0.0).value for old, new in zip(reference, logprobs, strict=True)]


def figures(report: Report) -> Report:
    """Of each method in its sequence, as "method.figure":

    new_task: the skill just learned, right, over all stages; earlier_tasks: those learned before, over all stages;
    general: general questions right at the end; drift: nats per token at the end. As far as the sequence has come.
    """
    names: list[str] = report["settings"]["skills"]
    found: dict[str, Figure] = {}
    for method, used in report["settings"]["methods"].items():
        stages = [s for s in report["stages"] if s["method"] == method and s["rate"] == used["sequence_rate"]]
        if not stages:
            continue
        rows = [row for row in report["rows"] if row["method"] == method and row["rate"] == used["sequence_rate"]]
        new = [row["right"] for row in rows if row["skill"] == names[row["learned"] - 1]]
        earlier: dict[str, list[bool]] = {}  # a question that is asked again is not independent of itself
        for row in rows:
            if row["skill"] in names[: row["learned"] - 1]:
                earlier.setdefault(row["prompt"], []).append(row["right"])
        found[f"{method}.new_task"] = share(new)
        found[f"{method}.earlier_tasks"] = clustered(list(earlier.values()))
        found[f"{method}.general"] = Figure.model_validate(stages[-1]["right"][GENERAL])
        found[f"{method}.drift"] = Figure.model_validate(stages[-1]["drift"])
    return {name: figure.model_dump() for name, figure in found.items()}


def told(stage: Report) -> str:
    """A stage in a line."""
    right = ", ".join(f"{name} {figure['n']:g}/{figure['of']}" for name, figure in stage["right"].items())
    who = f"{stage['method']} at {stage['rate']:g}, {stage['learned']} learned" if stage["rate"] else stage["method"]
    after = f" ({stage['seconds']:.0f} s)" if "seconds" in stage else ""
    return f"{who}: {right}; drift {stage['drift']['value']:.4f} nats/token{after}"


SENTENCES = {
    "new_task": "of the tasks of the skill just learned {of} were asked over all stages, {n:g} were right",
    "earlier_tasks": "of the tasks of skills learned before {of} were asked over all stages, {n:g} were right",
    "general": "of {of} general questions that the base answers, {n:g} were right at the end",
    "drift": "at the end it had drifted from the base by {value:.4f} nats per token, the mean of {of} texts",
}


def sentences(report: Report) -> Iterator[str]:
    """Each figure in words."""
    for name, figure in report["figures"].items():
        method, _, what = name.partition(".")
        if figure["value"] is None:
            continue
        low, high = (
            f"{figure[end]:.4f}" if what == "drift" else f"{100 * figure[end]:.0f} %" for end in ("low", "high")
        )
        share_of = "" if what == "drift" else f" ({100 * figure['value']:.0f} %)"
        yield f"{method}: {SENTENCES[what].format(**figure)}{share_of}, 95 % interval {low} to {high}."
