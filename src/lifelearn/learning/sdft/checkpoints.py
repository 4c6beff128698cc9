"""How far a run on a data set is, and what it keeps on disk to go on from there, bit for bit.

Each checkpoint is moved into place whole, its state written last. Knows nothing of losses or rollouts.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import Tensor

from lifelearn.learning.sdft.config import ConfigError, SDFTConfig
from lifelearn.learning.sdft.data import EncodedExample
from lifelearn.learning.sdft.sharding import local
from lifelearn.learning.sdft.student import Student

CHECKPOINT = "checkpoint-"
STATE = "trainer_state.json"  # written last: a checkpoint that has it is complete
# What a resumed run may do otherwise; everything else would make it another run.
FREE = {
    "output_dir", "save_steps", "save_total_limit", "logging_steps", "report_to", "run_name", "eval_steps",
    "merge_adapter", "vllm_gpu_memory_utilization", "rollouts_per_pass",
}  # fmt: skip


@dataclass
class TrainOutput:
    """What became of a run. losses: of each step, nats per token; eval_losses: by step; folder: of the model."""

    steps: int = 0
    losses: list[float] = field(default_factory=list)
    eval_losses: dict[int, float] = field(default_factory=dict)
    folder: Path = Path()


class Checkpoints:
    """Those of one run, in its `output`. rows: all that it reads, which a resumed run must share; day: `day_of`."""

    def __init__(
        self,
        output: Path,
        config: SDFTConfig,
        rows: Sequence[EncodedExample],
        accelerator: Accelerator,
        student: Student,
        optimizer: torch.optim.Optimizer,
        *,
        sharded: bool,
        day: date,
    ) -> None:
        self._output, self._config, self._rows, self._day = output, config, rows, day
        self._accelerator, self._student, self._optimizer, self._sharded = accelerator, student, optimizer, sharded

    def keep(self, done: TrainOutput, save_model: Callable[[Path], None]) -> None:
        """Keeps all that a resumed run needs, beside a folder that can be used as it is. Called by all processes."""
        folder = self._output / f"{CHECKPOINT}{done.steps}"
        partial = folder.with_name(f".{folder.name}.partial")
        is_main = self._accelerator.is_main_process
        if is_main:
            shutil.rmtree(partial, ignore_errors=True)
        self._accelerator.wait_for_everyone()
        save_model(partial)
        if self._sharded or is_main:
            save_file(self._state(), str(partial / self._state_name))
        self._accelerator.wait_for_everyone()
        if is_main:
            told = {
                "steps": done.steps,
                "losses": done.losses,
                "eval_losses": done.eval_losses,
                "processes": self._accelerator.num_processes,
                "data": self._fingerprint,
                "day": self._day.isoformat(),
                "config": asdict(self._config),
            }
            (partial / STATE).write_text(json.dumps(told), "utf-8")
            shutil.rmtree(folder, ignore_errors=True)
            partial.replace(folder)
            for old in complete(self._output)[: -self._config.save_total_limit]:
                shutil.rmtree(old, ignore_errors=True)
        self._accelerator.wait_for_everyone()

    def restore(self, folder: Path) -> TrainOutput:
        """Takes up the student and the optimiser as they were; how far the run was. Raises ConfigError."""
        told = json.loads((folder / STATE).read_text("utf-8"))
        now = json.loads(json.dumps(asdict(self._config)))
        other = [name for name in now if name not in FREE and told["config"].get(name) != now[name]]
        if told["data"] not in (self._fingerprint, self._ids):
            other.append("the data set")
        if self._sharded and told["processes"] != self._accelerator.num_processes:
            other.append("the number of processes")
        if other:
            raise ConfigError(
                f"{folder} was trained with other settings ({', '.join(other)}). Resume with the same, or start anew."
            )
        state = load_file(str(folder / self._state_name))
        with torch.no_grad():
            for index, parameter in enumerate(self._student.parameters):
                local(parameter).copy_(state[f"student.{index}"])
                moments = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
                for name, tensor in moments.items():
                    local(tensor).copy_(state[f"{name}.{index}"])
                self._optimizer.state[parameter] = {"step": state[f"step.{index}"], **moments}
            for index, average in enumerate(self._student.averages):
                local(average).copy_(state[f"teacher.{index}"])
        evals = {int(step): loss for step, loss in told["eval_losses"].items()}
        return TrainOutput(told["steps"], told["losses"], evals, self._output)

    def _state(self) -> dict[str, Tensor]:
        """Weights in full precision, the teacher's average, and what the optimiser keeps; of this process."""
        found: dict[str, Tensor] = {}
        for index, parameter in enumerate(self._student.parameters):
            found[f"student.{index}"] = local(parameter.detach())
            for name, value in self._optimizer.state[parameter].items():
                found[f"{name}.{index}"] = local(value)
        for index, average in enumerate(self._student.averages):
            found[f"teacher.{index}"] = local(average.detach())
        return {name: tensor.contiguous() for name, tensor in found.items()}

    @property
    def _state_name(self) -> str:
        return f"state-{self._accelerator.process_index}.safetensors" if self._sharded else "state.safetensors"

    @cached_property
    def _fingerprint(self) -> str:
        """Of the rows' texts."""
        return hashlib.sha256(json.dumps([row.digest for row in self._rows]).encode()).hexdigest()

    @cached_property
    def _ids(self) -> str:
        """Of the rows' token ids, by which runs of an earlier release are known."""
        told = [[row.prompt, row.teacher_prompt] for row in self._rows]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def complete(output: Path) -> list[Path]:
    """The complete ones, oldest first."""
    found = [path.parent for path in output.glob(f"{CHECKPOINT}*/{STATE}")]
    return sorted(found, key=lambda path: int(path.name.removeprefix(CHECKPOINT)))


def day_of(output: Path) -> date:
    """The day by which a run's prompts are written, where a chat template names one: that of its beginning."""
    last = newest(output)
    told = json.loads((last / STATE).read_text("utf-8")).get("day") if last else None
    return date.fromisoformat(told) if told else date.today()


def newest(output: Path) -> Path | None:
    return next(reversed(complete(output)), None)
