"""What a lesson is compared with, on the very same rows: being told in context, SFT, and the reference SDFT.

icl: the fact in the prompt, nothing trained; the ceiling of what the model can do with it.
sft: cross-entropy on the same prompts and the same demonstration, with our adapter, rate and steps, no replay.
sdft_reference: the paper's recipe at the reference's settings, by our engine. trl_sdft: the same by TRL.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import PreTrainedModel

from lifelearn.learning.chat_model import ChatModel, Sampling
from lifelearn.learning.compute.pretrained import tokenizer_of
from lifelearn.learning.compute.trainable import TrainableModel
from lifelearn.learning.recipe import Recipe
from lifelearn.learning.sdft.config import PAPER_CONTEXT
from lifelearn.learning.sdft.lesson_loop import schedule, train
from lifelearn.learning.sdft.rows import encode, row_logits
from lifelearn.learning.sdft.student import FULL_WEIGHTS, make_student
from lifelearn.learning.types import Lesson, Message, ModelVersion

ANSWER_TOKENS = 48
# docs/LOG.md: of the contexts tried, a model of this size uses a fact best in this one.
TOLD = "Fact: {fact}\n\nQuestion: {question}\n\nAnswer the question in one short sentence, using the fact."

# The reference implementation's settings (RESEARCH of the paper's code): full fine-tuning, EMA teacher, first tokens
# without loss, four rows a step, on its own rollouts from the first step.
REFERENCE_STEPS = 18
REFERENCE_ROWS = 4


def reference_recipe(recipe: Recipe) -> Recipe:
    """The reference's settings, as a recipe of this engine."""
    return recipe.model_copy(
        update={
            "method": "full",
            "learning_rate": 5e-5,
            "warmup_steps": 2,
            "max_steps": REFERENCE_STEPS,
            "epochs": 1000,
            "cold_start_steps": 0,
            "on_policy_steps": REFERENCE_STEPS,
            "rollout_temperature": 1.0,
            "rollout_tokens": recipe.max_completion_tokens,
            "facts_per_step": REFERENCE_ROWS,
            "replay_per_step": 0,
            "replay_weight": 0.0,
            "skip_tokens": 3,
            "teacher": "ema",
            "ema_rate": 0.01,
        }
    )


def reference_lesson(lesson: Lesson) -> Lesson:
    """The fact rows alone, with the paper's teacher context; nothing is watched, nothing gated, nothing replayed."""
    demonstration = lesson.demonstrations[0].completion
    rows = tuple(
        row.model_copy(
            update={
                "teacher_prompt": (
                    Message(role="user", content=PAPER_CONTEXT.format(prompt=prompt, demonstration=demonstration)),
                )
            }
        )
        for prompt, row in {row.prompt[-1].content: row for row in lesson.rows if row.kind == "fact"}.items()
    )
    return lesson.model_copy(update={"rows": rows, "watch": (), "negatives": ()})


@dataclass(frozen=True)
class Player:
    """Who answers: `weights_changed` says whether drift can be measured."""

    answers: Callable[[Sequence[str]], list[str]]
    weights_changed: bool

    def __call__(self, questions: Sequence[str]) -> list[str]:
        return self.answers(questions)


class Arena:
    """Trains baselines beside the versions, and leaves the model on the base again."""

    def __init__(self, model: TrainableModel, recipe: Recipe, folder: Path) -> None:
        self._model = model
        self._recipe = recipe
        self._folder = folder

    @contextmanager
    def playing(self, name: str, lesson: Lesson, version: ModelVersion) -> Iterator[Player]:
        """The baseline `name`, trained on `lesson` for as many steps as the version was."""
        self._model.use(None)
        try:
            if name == "icl":
                yield Player(lambda questions: self._told(lesson, questions), weights_changed=False)
                return
            self._folder.mkdir(parents=True, exist_ok=True)
            steps = version.training.steps if version.training else self._recipe.max_steps
            BASELINES[name](self._model, lesson, self._recipe, steps, self._folder)
            self._model.use(self._folder)
            yield Player(lambda questions: answers_to(self._model, questions), weights_changed=True)
        finally:
            self._model.use(None)
            shutil.rmtree(self._folder, ignore_errors=True)

    def _told(self, lesson: Lesson, questions: Sequence[str]) -> list[str]:
        fact = lesson.demonstrations[0].completion
        return answers_to(self._model, [TOLD.format(fact=fact, question=question) for question in questions])


def answers_to(model: ChatModel, questions: Sequence[str]) -> list[str]:
    """Greedy answers, each in a fresh context."""
    asked = [(Message(role="user", content=question),) for question in questions]
    return model.answer(asked, Sampling(max_tokens=ANSWER_TOKENS))


def sft(model: TrainableModel, lesson: Lesson, recipe: Recipe, steps: int, folder: Path) -> None:
    """Supervised fine-tuning on the lesson's prompts, each with the demonstration."""
    demonstration = lesson.demonstrations[0].completion
    facts = [row.model_copy(update={"completions": (demonstration,)}) for row in lesson.rows if row.kind == "fact"]
    rows = [each for row in facts for each in encode(model.codec, row, recipe)]
    rng = random.Random(recipe.seed)
    student = make_student(model.base, model.decoder, recipe, None)
    try:
        optimizer = torch.optim.AdamW(student.parameters, lr=recipe.learning_rate, weight_decay=0.0)
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * schedule(step, steps, recipe)
            batch = rng.sample(rows, min(recipe.facts_per_step, len(rows)))
            optimizer.zero_grad()
            with student.student() as network:
                logits_NV, _ = row_logits(network, batch, teacher_side=False)
                wanted_N = torch.tensor([token for row in batch for token in row.completion], device=logits_NV.device)
                torch.nn.functional.cross_entropy(logits_NV.float(), wanted_N).backward()
            torch.nn.utils.clip_grad_norm_(student.parameters, recipe.grad_clip)
            optimizer.step()
        student.save(folder)
    finally:
        student.close()


def sdft_reference(model: TrainableModel, lesson: Lesson, recipe: Recipe, steps: int, folder: Path) -> None:
    """The reference's recipe in our loop."""
    student = make_student(model.base, None, reference_recipe(recipe), None)
    try:
        train(student, model.codec, reference_lesson(lesson), reference_recipe(recipe))
        student.save(folder)
    finally:
        student.close()


def trl_sdft(model: TrainableModel, lesson: Lesson, recipe: Recipe, steps: int, folder: Path) -> None:
    """The reference's recipe in TRL's `SDFTTrainer`."""
    trainer = trl_trainer(model, lesson, reference_recipe(recipe), folder / "trl")
    trainer.train()
    network = trainer.model
    tied = set(network._tied_weights_keys or ()) if network.config.tie_word_embeddings else set()
    state = {
        name: tensor.to(model.base.dtype).contiguous()
        for name, tensor in network.state_dict().items()
        if name not in tied
    }
    shutil.rmtree(folder / "trl", ignore_errors=True)
    save_file(state, str(folder / FULL_WEIGHTS))


def trl_trainer(
    model: TrainableModel,
    lesson: Lesson,
    recipe: Recipe,
    folder: Path,
    peft_config: Any = None,
    min_new_tokens: int | None = None,
) -> Any:
    """TRL's trainer on a float32 copy of the base, at the settings of `recipe`; with an adapter if one is given."""
    prompts = list(dict.fromkeys(row.prompt[-1].content for row in lesson.rows if row.kind == "fact"))
    demonstration = lesson.demonstrations[0].completion
    settings = {
        "max_steps": recipe.max_steps,
        "learning_rate": recipe.learning_rate,
        "warmup_steps": recipe.warmup_steps,
        "per_device_train_batch_size": recipe.facts_per_step,
        "max_prompt_length": recipe.max_prompt_tokens,
        "max_completion_length": recipe.max_completion_tokens,
        "temperature": recipe.rollout_temperature,
        "num_loss_tokens_to_skip": recipe.skip_tokens,
        "teacher_update_rate": recipe.ema_rate,
        "teacher_prompt_template": PAPER_CONTEXT.replace("{demonstration}", "{privileged_context}"),
        "max_grad_norm": recipe.grad_clip,
        "seed": recipe.seed,
        "generation_kwargs": {} if min_new_tokens is None else {"min_new_tokens": min_new_tokens},
    }
    return trl_on(model.base, [(text, demonstration) for text in prompts], folder, peft_config, settings)


def trl_on(
    base: PreTrainedModel,
    demonstrations: Sequence[tuple[str, str]],
    folder: Path,
    peft_config: Any,
    settings: Mapping[str, Any],
) -> Any:
    """TRL's trainer on a float32 copy of `base`, for prompts with their demonstrations.

    settings: of TRL's `SDFTConfig`, over the paper's: forward KL over the whole vocabulary, a rollout a prompt, an
    averaging teacher.
    """
    import copy

    from datasets import Dataset
    from trl.experimental.sdft import SDFTConfig, SDFTTrainer

    rows = Dataset.from_list(
        [
            {"prompt": [{"role": "user", "content": text}], "privileged_context": demonstration}
            for text, demonstration in demonstrations
        ]
    )
    config = SDFTConfig(
        output_dir=str(folder),
        gradient_accumulation_steps=1,
        num_generations=1,
        distillation_mode="full_logits",
        distillation_alpha=0.0,  # forward KL
        distillation_is_clip=None,
        teacher_model_kind="ema",
        bf16=True,
        use_cpu=base.device.type == "cpu",
        gradient_checkpointing=False,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        logging_strategy="no",
        **settings,
    )
    tokenizer = tokenizer_of(base)
    network = copy.deepcopy(base).float().requires_grad_(True)
    return SDFTTrainer(
        model=network, args=config, train_dataset=rows, processing_class=tokenizer, peft_config=peft_config
    )


BASELINES: dict[str, Callable[[TrainableModel, Lesson, Recipe, int, Path], None]] = {
    "icl": lambda *_: None,
    "sft": sft,
    "sdft_reference": sdft_reference,
    "trl_sdft": trl_sdft,
}


def check(names: Sequence[str]) -> None:
    """Raises ValueError for a name that is no baseline."""
    unknown = [name for name in names if name not in BASELINES]
    if unknown:
        raise ValueError(f"no baseline: {', '.join(unknown)}; there are {', '.join(BASELINES)}")
