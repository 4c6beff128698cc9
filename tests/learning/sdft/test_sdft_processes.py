"""Two processes on the processor (gloo) give what one gives: data parallel for all weights and adapters, and FSDP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lifelearn.learning.sdft.checkpoints import CHECKPOINT
from lifelearn.learning.sdft.config import SDFTConfig
from lifelearn.learning.sdft.data_loop import SDFTTrainer
from waiting import HANG_SECONDS

pytestmark = pytest.mark.check("engine")

ROWS = [{"prompt": f"Say {number}", "privileged_context": f"It is {number * 'very '}big."} for number in range(7)]
SETTINGS: dict[str, Any] = {
    "learning_rate": 1e-3,
    "num_train_epochs": 1,
    "num_prompts_per_batch": 2,
    "warmup_steps": 0,
    "max_prompt_length": 200,
    "max_completion_length": 10,
    "num_loss_tokens_to_skip": 0,
    "bf16": False,
    "save_steps": 2,
    "eval_split": 0.2,
    "teacher_update_rate": 0.3,
    "tokens_per_pass": 200,
}
# Of five rows, the third step takes one: one of the processes has none.
RUNS: dict[str, dict[str, Any]] = {
    "full": {},
    "lora": {"use_peft": True},
    "fsdp": {"fsdp": True},
    "fsdp frozen": {"fsdp": True, "teacher_model_kind": "base", "gradient_checkpointing": True},
}
SCRIPT = """
import json, sys, torch
torch.set_num_threads(1)
from lifelearn.learning.sdft import SDFTConfig, SDFTTrainer  # as users' programs do
from lifelearn.learning.sdft.config import ConfigError
model, rows, runs = json.loads(open(sys.argv[1]).read())
for name, settings in runs.items():
    trainer = SDFTTrainer(model, None, SDFTConfig(**settings), rows)
    assert trainer.accelerator.num_processes == 2
    trainer.train()
again = {**runs["fsdp"], "output_dir": runs["fsdp"]["output_dir"]}
assert SDFTTrainer(model, None, SDFTConfig(**again), rows).train(resume_from_checkpoint=True).steps == 3
try:
    SDFTTrainer(model, None, SDFTConfig(**{**again, "use_peft": True}), rows)
except ConfigError as error:
    assert "use_peft trains an adapter" in str(error)
else:
    raise AssertionError("an adapter was sharded")
"""


@pytest.fixture(scope="module")
def runs(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all runs, by two processes."""
    folder = tmp_path_factory.mktemp("two")
    settings = {
        name: {**SETTINGS, **more, "max_steps": 3, "output_dir": str(folder / name)} for name, more in RUNS.items()
    }
    (folder / "runs.json").write_text(json.dumps([str(tiny_model_folder), ROWS, settings]))
    (folder / "run.py").write_text(SCRIPT)
    told = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2",
            str(folder / "run.py"), str(folder / "runs.json"),
        ],
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=HANG_SECONDS, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr[-3000:]
    return folder


def log(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", RUNS)
def test_two_processes_give_what_one_gives(runs: Path, name: str, tiny_model_folder: Path, tmp_path: Path) -> None:
    settings = {**SETTINGS, **RUNS[name], "fsdp": False, "max_steps": 3, "output_dir": str(tmp_path)}
    SDFTTrainer(str(tiny_model_folder), None, SDFTConfig(**settings), ROWS).train()
    one, two = log(tmp_path), log(runs / name)
    assert len(one) == len(two) == 3
    for mine, theirs in zip(one, two, strict=True):
        for figure in ("loss", "grad_norm", "learning_rate", "completion_length"):
            assert theirs[figure] == pytest.approx(mine[figure], rel=1e-3), f"{figure} at step {mine['step']}"
    assert two[-1]["eval_loss"] == pytest.approx(one[-1]["eval_loss"], rel=1e-3)
    file = "adapter_model.safetensors" if name == "lora" else "model.safetensors"
    mine_state, their_state = load_file(tmp_path / file), load_file(runs / name / file)
    assert mine_state.keys() == their_state.keys()
    for key, tensor in mine_state.items():
        assert torch.allclose(tensor, their_state[key], atol=2e-4), key


def test_each_process_keeps_its_shards_where_there_are_shards(runs: Path) -> None:
    for name, kept in (("full", ["state.safetensors"]), ("fsdp", ["state-0.safetensors", "state-1.safetensors"])):
        assert sorted(path.name for path in (runs / name / f"{CHECKPOINT}2").glob("state*.safetensors")) == kept
