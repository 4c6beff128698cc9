"""SDFT on a data set of demonstrations, as in the paper (arXiv 2601.19897): a skill rather than a fact.

At each step the student answers a batch of prompts; the teacher, who sees each prompt with its demonstration, says
what it would have expected at every token; the student moves towards that; the teacher follows a little. The engine is
that of corrections (rows.py, loss.py, student.py); there is no gate, no replay and no early stop.

    config = SDFTConfig(output_dir="trained", use_peft=True)
    SDFTTrainer(model, tokenizer, config, read_demonstrations("train.jsonl")).train()

Order and rollouts are functions of seed, step and row, so a resumed run repeats an uninterrupted one bit for bit.
Several processes (Accelerate) share each batch. Knows no terminal and no settings of the environment.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lifelearn.learning.chat_model import Sampling
from lifelearn.learning.compute import pretrained
from lifelearn.learning.compute.cpu.adapter import name_base
from lifelearn.learning.compute.divergence import token_divergence
from lifelearn.learning.compute.network import Network
from lifelearn.learning.compute.packing import chunks
from lifelearn.learning.compute.rollout import Rollouts, Sampled
from lifelearn.learning.compute.tokens import Codec
from lifelearn.learning.compute.torch_hub import PACK_TOKENS
from lifelearn.learning.recipe import Divergence
from lifelearn.learning.sdft.checkpoints import STATE, Checkpoints, TrainOutput, day_of, newest
from lifelearn.learning.sdft.config import ConfigError, SDFTConfig, learning_rate_share
from lifelearn.learning.sdft.data import Data, EncodedExample, order, split_rows
from lifelearn.learning.sdft.loss import importance_ratio, picked, sampled_token_loss
from lifelearn.learning.sdft.making import is_sharded, merge_adapter, placed, save_configs, student_of, vllm_of
from lifelearn.learning.sdft.own_rollouts import OwnRollouts
from lifelearn.learning.sdft.rows import EncodedRow, TrainingError, backward, losses, targets
from lifelearn.learning.sdft.sharding import ShardedStudent, local, whole
from lifelearn.learning.sdft.student import Student, has_bfloat16
from lifelearn.learning.sdft.trackers import Logs
from lifelearn.learning.types import OnProgress, Progress, no_progress


class SDFTTrainer:
    """Trains on demonstrations. `model` is read and moved to its device; what is trained goes to `output_dir`."""

    def __init__(
        self,
        model: PreTrainedModel | str,
        tokenizer: PreTrainedTokenizerBase | None,
        config: SDFTConfig,
        dataset: Data,
        eval_dataset: Data | None = None,
        *,
        on_progress: OnProgress = no_progress,
        rollouts: Callable[[Student, Codec], Rollouts] | None = None,
        base_name: str | None = None,
    ) -> None:
        """model: one of transformers, or its folder or id. tokenizer: None takes the one beside the model.

        dataset: what data.py reads: its result, rows (a `Dataset` too), a file or an id. eval_dataset: of
        the same kinds, instead of `eval_split`. rollouts: makes an engine of one's own. base_name: what an adapter
        names as its base.
        Raises ConfigError, DataError, ChatModelError.
        """
        self.config, self._on_progress = config, on_progress
        self.accelerator = Accelerator()
        self.output = Path(config.output_dir).expanduser()
        if isinstance(model, str):
            base_name = base_name or model
            tokenizer = tokenizer or pretrained.tokenizer(model)
            model = pretrained.model(model, dtype="auto")
        pretrained.refuse_adapted(model, str(model.name_or_path))
        self.tokenizer: PreTrainedTokenizerBase = tokenizer or pretrained.tokenizer_of(model)
        self.codec = Codec(self.tokenizer, model, control_tokens=config.control_tokens)
        self.codec.template.day = day = day_of(self.output)
        self.base_name = base_name or str(model.name_or_path)
        self.train_rows, self.eval_rows = split_rows(self.codec, dataset, eval_dataset, config, on_progress)
        self.sharded = is_sharded(config, self.accelerator)
        self.model = placed(model, config, self.accelerator.device, sharded=self.sharded)
        device = self.accelerator.device.type
        self._mixed = has_bfloat16(device) if config.bf16 is None else config.bf16
        self.student = student_of(self.model, config, device, sharded=self.sharded)
        self._engine = rollouts(self.student, self.codec) if rollouts else self._default_engine()
        self.optimizer = torch.optim.AdamW(
            self.student.parameters,
            lr=config.peak_learning_rate,
            betas=(config.adam_beta1, config.adam_beta2),
            eps=config.adam_epsilon,
            weight_decay=config.weight_decay,
        )
        per_epoch = math.ceil(len(self.train_rows) / config.num_prompts_per_batch)
        self.steps_per_epoch = per_epoch
        self.steps = config.max_steps if config.max_steps > 0 else config.num_train_epochs * per_epoch
        self.done = TrainOutput(folder=self.output)
        rows = (*self.train_rows, *self.eval_rows)
        self._checkpoints = Checkpoints(
            self.output, config, rows, self.accelerator, self.student, self.optimizer, sharded=self.sharded, day=day
        )

    # -----------------------------------------------------------------------------------------------------------------
    # The loop

    def train(self, resume_from_checkpoint: bool | str | Path = False) -> TrainOutput:
        """Trains to the end and writes the model. resume_from_checkpoint: True for the newest, or its folder.

        Raises TrainingError where the loss is not finite or memory runs out; checkpoints that were kept stay.
        """
        config = self.config
        self._start(resume_from_checkpoint)
        settings = asdict(config)
        kinds = config.report_to if self.is_main else ()
        logs = Logs(kinds, self.output, config.run_name or self.output.name, settings, self.done.steps)
        try:
            for step in range(self.done.steps, self.steps):
                with self._explained(step + 1):
                    figures = self._step(step)
                self.done.steps = done = step + 1
                self.done.losses.append(figures["loss"])
                last = done == self.steps
                if self.eval_rows and (last or done % config.eval_steps == 0):
                    with self._explained(done):
                        figures["eval_loss"] = self.done.eval_losses[done] = self.evaluate()
                if last or done % config.logging_steps == 0 or "eval_loss" in figures:
                    logs.write(done, figures)
                self._on_progress(
                    Progress(stage="train", step=done, steps=self.steps, loss=figures["loss"], message=_told(figures))
                )
                if config.save_steps and done % config.save_steps == 0 and not last:
                    self._checkpoints.keep(self.done, self.save_model)
        finally:
            logs.close()
            self._engine.close()
        self._finish()
        return self.done

    def _step(self, step: int) -> dict[str, float]:
        """One optimiser step on this process's share of the batch; figures over all processes."""
        config, started = self.config, time.monotonic()
        batch = [row for row in self.batch(step) for _ in range(config.num_generations)]
        share = range(self.accelerator.process_index, len(batch), self.accelerator.num_processes)
        self._engine.sync(step)
        rows = self._sampled([batch[at] for at in share], [f"{config.seed}/{step}/{at}" for at in share])
        rate = config.peak_learning_rate * learning_rate_share(step, self.steps, config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        found = self._backward(rows, 1 / len(batch))
        self._share_gradients()
        loss, tokens, cut = self._summed(
            sum(found),
            sum(len(row.completion) for row in rows),
            sum(row.completion[-1] not in self.codec.stop_ids for row in rows),
        )
        norm = float(whole(torch.nn.utils.clip_grad_norm_(self.student.parameters, config.max_grad_norm)))
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise TrainingError("not finite")
        self.optimizer.step()
        if (step + 1) % config.teacher_sync_steps == 0:
            self.student.update_teacher()
        if not all(bool(torch.isfinite(local(parameter)).all()) for parameter in self.student.parameters):
            raise TrainingError("not finite")
        return {
            "loss": loss / len(batch),
            "learning_rate": rate,
            "grad_norm": norm,
            "epoch": (step + 1) / self.steps_per_epoch,
            "completion_length": tokens / len(batch),
            "completion_cut": cut / len(batch),
            "seconds": round(time.monotonic() - started, 3),
        }

    def evaluate(self) -> float:
        """The mean loss on rollouts of the held-out prompts, always from the same random numbers."""
        total = 0.0
        share = range(self.accelerator.process_index, len(self.eval_rows), self.accelerator.num_processes)
        seeds = [f"{self.config.seed}/eval/{at}" for at in share]
        self._engine.sync(self.done.steps)
        rows = self._sampled([self.eval_rows[at] for at in share], seeds)
        with self._whole(), torch.no_grad():
            for group in self._groups(rows):
                wanted = self._targets(group)
                with self.student.student() as network:
                    skips = [self.config.num_loss_tokens_to_skip] * len(group)
                    total += float(losses(network, group, wanted, self.objective, skips).sum())
        (summed,) = self._summed(total)
        return summed / len(self.eval_rows)

    def batch(self, step: int) -> list[EncodedExample]:
        """The prompts of a step: a slice of the epoch's order. The last of an epoch may be smaller."""
        epoch, at = divmod(step, self.steps_per_epoch)
        rows, size = len(self.train_rows), self.config.num_prompts_per_batch
        shuffled = order(rows, f"{self.config.seed}/{epoch}") if self.config.shuffle_dataset else range(rows)
        return [self.train_rows[index] for index in shuffled[at * size : (at + 1) * size]]

    def objective(self, logits_NV: Tensor, wanted_NV: Tensor, rows: Sequence[EncodedRow]) -> Tensor:
        """The loss at each token, [N]."""
        config = self.config
        if config.loss_temperature != 1:
            logits_NV = logits_NV / config.loss_temperature
        tokens_N = torch.tensor([token for row in rows for token in row.completion], device=logits_NV.device)
        if config.distillation_mode == "sampled_token":
            loss_N = sampled_token_loss(logits_NV, wanted_NV, tokens_N)
        else:
            kinds: dict[float, Divergence] = {0.0: "forward", 1.0: "reverse"}
            loss_N = token_divergence(
                logits_NV,
                wanted_NV,
                kinds.get(config.distillation_alpha, "js"),
                js_beta=config.distillation_alpha,
                top_k=config.distillation_topk if config.distillation_mode == "topk_logits" else None,
                top_k_of=config.distillation_topk_of,
                rest=config.distillation_add_tail,
            )
        sampled = [logprob for row in rows for logprob in row.logprobs or ()]
        if sampled and config.distillation_is_clip:
            student_N = picked(logits_NV.detach().float().log_softmax(-1), tokens_N)
            loss_N = loss_N * importance_ratio(student_N, student_N.new_tensor(sampled), config.distillation_is_clip)
        return loss_N

    # -----------------------------------------------------------------------------------------------------------------
    # Its parts

    def _sampled(self, prompts: Sequence[EncodedExample], seeds: Sequence[str]) -> list[EncodedRow]:
        """The prompts with a completion each, by the student or, if so configured, the teacher."""
        config = self.config
        temperature = config.temperature
        sampling = Sampling(config.max_completion_length, temperature, config.top_p, config.seed)
        asked = [each.teacher_prompt if config.generate_from_teacher else each.prompt for each in prompts]
        found: list[Sampled] = []
        with self._whole():
            for start in range(0, len(asked), config.rollouts_per_pass):
                part = slice(start, start + config.rollouts_per_pass)
                found += self._engine.sample(asked[part], sampling, [_number(seed) for seed in seeds[part]])
        return [
            EncodedRow(each.prompt, each.teacher_prompt, sampled.ids, replay=False, logprobs=sampled.logprobs)
            for each, sampled in zip(prompts, found, strict=True)
        ]

    def _backward(self, rows: Sequence[EncodedRow], weight: float) -> list[float]:
        """Adds the gradient of the rows' losses, a group at a time; gives each row's loss."""
        found: list[float] = []
        groups = list(self._groups(rows))
        empty = 0
        if self.sharded:  # processes compute equally often: one with fewer groups repeats a row that counts nothing
            most = self.accelerator.gather(torch.tensor([len(groups)], device=self.accelerator.device)).max()
            empty = int(most) - len(groups)
            weight *= self.accelerator.num_processes  # FSDP takes the mean over processes
            filler = (
                rows[0] if rows else EncodedRow([self.codec.end_id], [self.codec.end_id], [self.codec.end_id], False)
            )
            groups += [[filler]] * empty
        for number, group in enumerate(groups):
            counts = number < len(groups) - empty
            wanted = self._targets(group)
            weights = [weight if counts else 0.0] * len(group)
            skips = [self.config.num_loss_tokens_to_skip] * len(group)
            with self.student.student() as network:
                means = backward(network, group, wanted, weights, self.objective, skips)
            found += means if counts else []
        return found

    def _targets(self, rows: Sequence[EncodedRow]) -> list[Tensor]:
        dtype = torch.bfloat16 if self._mixed else torch.float32
        with self._teacher() as network:
            return targets(network, rows, self.config.loss_temperature, dtype)

    @contextmanager
    def _teacher(self) -> Iterator[Network]:
        live = self.config.teacher_model_kind == "live"
        with (
            torch.no_grad() if live else nullcontext(),
            (self.student.student if live else self.student.teacher)() as n,
        ):
            yield n

    def _groups(self, rows: Sequence[EncodedRow]) -> Iterator[Sequence[EncodedRow]]:
        """Rows that are computed at once. Sharded, each is one pass of the model (see torch_hub.py)."""
        limit = min(self.config.tokens_per_pass, PACK_TOKENS) if self.sharded else self.config.tokens_per_pass
        sizes = [[0] * (max(len(row.prompt), len(row.teacher_prompt)) + len(row.completion)) for row in rows]
        start = 0
        for pack in chunks(sizes, limit):
            yield rows[start : start + len(pack)]
            start += len(pack)

    def _share_gradients(self) -> None:
        """Sums the gradients over the processes; each has weighed its rows by the whole batch."""
        if self.accelerator.num_processes == 1 or self.sharded:
            return
        for parameter in self.student.parameters:
            own = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            parameter.grad = self.accelerator.reduce(own, "sum")

    def _summed(self, *values: float) -> list[float]:
        """Each summed over the processes."""
        if self.accelerator.num_processes == 1:
            return list(values)
        own = torch.tensor(values, dtype=torch.float64, device=self.accelerator.device)
        return [float(value) for value in self.accelerator.reduce(own, "sum")]

    @contextmanager
    def _explained(self, step: int) -> Iterator[None]:
        """Faults of a step as a sentence: what happened, what to lower, what is kept."""
        try:
            yield
        except (TrainingError, torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            kept = newest(self.output)
            rest = f"The last good checkpoint is {kept}." if kept else "No checkpoint was kept before."
            if isinstance(error, TrainingError):
                raise TrainingError(
                    f"The loss is not finite at step {step}. Lower learning_rate (now "
                    f"{self.config.peak_learning_rate:g}) and start again. {rest}"
                ) from None
            if not _is_out_of_memory(error):
                raise
            raise TrainingError(
                f"Memory ran out at step {step}. Lower tokens_per_pass (now {self.config.tokens_per_pass}), "
                f"rollouts_per_pass ({self.config.rollouts_per_pass}) or max_completion_length "
                f"({self.config.max_completion_length}), or take gradient_checkpointing or use_peft. {rest}"
            ) from error

    # -----------------------------------------------------------------------------------------------------------------
    # Before and after

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes."""
        return bool(self.accelerator.is_main_process)

    def _default_engine(self) -> Rollouts:
        if self.config.rollouts == "own":
            return OwnRollouts(self._generating, self.codec)
        return vllm_of(self.model, self.student, self.codec, self.config)

    def _generating(self) -> Any:
        """Context of the network that samples."""
        return self._teacher() if self.config.generate_from_teacher else self.student.student()

    def _whole(self) -> Any:
        return self.student.whole() if isinstance(self.student, ShardedStudent) else nullcontext()

    def _start(self, resume: bool | str | Path) -> None:
        kept = newest(self.output)
        if not resume and kept is not None:
            raise ConfigError(f"{self.output} holds {kept.name} of an earlier run. Resume it, or take another folder.")
        self.accelerator.wait_for_everyone()  # all have looked before one of them writes
        self.output.mkdir(parents=True, exist_ok=True)
        if not resume:
            return
        folder = kept if resume is True else Path(resume)
        if folder is None or not (folder / STATE).is_file():
            raise ConfigError(f"There is no checkpoint to resume in {folder or self.output}.")
        self.done = self._checkpoints.restore(folder)

    def _finish(self) -> None:
        self.save_model(self.output)
        if self.config.merge_adapter:
            self._merge(self.output)

    def save_model(self, folder: Path) -> None:
        """Writes the student as a Hugging Face folder: an adapter, or all weights, with the tokenizer."""
        self.student.save(folder) if self.is_main or self.sharded else None
        if self.is_main:
            self.tokenizer.save_pretrained(folder)
            if self.config.use_peft:
                name_base(folder, self.base_name)
            else:
                save_configs(folder, self.model)
        self.accelerator.wait_for_everyone()

    def _merge(self, folder: Path) -> None:
        self.student.close()
        if self.is_main:
            merge_adapter(folder, self.model)
        self.accelerator.wait_for_everyone()


def _number(seed: str) -> int:
    """32 bits, which is what torch's generator takes in."""
    return int.from_bytes(hashlib.blake2b(seed.encode(), digest_size=4).digest())


def _is_out_of_memory(error: BaseException) -> bool:
    said = str(error).lower()
    known = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(text in said for text in known)


def _told(figures: Mapping[str, float]) -> str:
    told = f"learning rate {figures['learning_rate']:.3g}, {figures['completion_length']:.0f} tokens a completion"
    return told + (f", held-out loss {figures['eval_loss']:.4f}" if "eval_loss" in figures else "")
