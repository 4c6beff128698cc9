"""`lifelearn train` from end to end on the tiny model: files, options, resuming, and errors in one sentence."""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from lifelearn import cli
from lifelearn.learning.sdft.config import SDFTConfig
from lifelearn.terminal.train import TrainCommandError, trackers

QUICK = [
    "--prompts-per-batch=2", "--max-completion-length=6", "--max-prompt-length=240", "--warmup-steps=0",
    "--learning-rate=1e-3", "--no-bf16", "--epochs=1",
]  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "train.jsonl"
    rows = [{"prompt": f"Say {number}", "golden_response": [f"It is {number}.", "Yes."]} for number in range(4)]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"prompt": "", "golden_response": ["x"]}]))
    return path


@pytest.fixture
def run(data: Path, tiny_model_folder: Path, tmp_path: Path) -> Any:
    def run(*options: str, dataset: Path = data) -> Any:
        given = ["--dataset", str(dataset), "--model", str(tiny_model_folder), "--output", str(tmp_path / "out")]
        return CliRunner().invoke(cli.app, ["train", *given, *QUICK, *options], catch_exceptions=False)

    return run


def test_a_run_writes_a_model_to_chat_with_and_a_log(run: Any, tmp_path: Path) -> None:
    told = run("--eval-split", "0.25")
    assert told.exit_code == 0
    lines = told.output.splitlines()
    assert "4 rows; 1 empty ones left out" in lines
    assert any(line.startswith("step 2/2  loss ") and "held-out loss" in line for line in lines)
    assert f"Talk to it: lifelearn chat --model {tmp_path / 'out'}" in lines
    steps = [json.loads(line)["step"] for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert steps == [1, 2]
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {
        path.name for path in (tmp_path / "out").iterdir()
    }


def test_an_adapter_names_its_base(run: Any, tmp_path: Path, tiny_model_folder: Path) -> None:
    told = run("--lora", "--lora-rank", "2", "--report-to", "none")
    assert "The adapter is in" in told.output
    assert "lifelearn chat" not in told.output
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert (config["r"], config["base_model_name_or_path"]) == (2, str(tiny_model_folder))
    assert not (tmp_path / "out" / "log.jsonl").exists()


def test_it_goes_on_from_a_checkpoint(run: Any, tmp_path: Path) -> None:
    assert run("--save-steps", "1").exit_code == 0
    weights = (tmp_path / "out" / "model.safetensors").read_bytes()
    told = run("--save-steps", "1", "--resume")
    assert "step 1/2" not in told.output
    assert "step 2/2" in told.output
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == weights
    named = run("--resume-from", str(tmp_path / "out" / "checkpoint-1"))
    assert (named.exit_code, (tmp_path / "out" / "model.safetensors").read_bytes()) == (0, weights)


def test_every_setting_is_an_option_and_every_option_is_explained() -> None:
    command: Any = get_command(cli.app).commands["train"]  # type: ignore[attr-defined]
    asked = {parameter.name for parameter in command.params}
    assert {field.name for field in fields(SDFTConfig)} - {"output_dir"} <= asked
    assert "output" in asked
    assert all(parameter.help for parameter in command.params)


def test_options_reach_the_configuration(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[SDFTConfig] = []

    class SeenError(Exception):
        pass

    def look(_: Any, __: Any, config: SDFTConfig, *rest: Any, **more: Any) -> None:
        seen.append(config)
        raise SeenError

    monkeypatch.setattr(
        "lifelearn.learning.sdft.data_loop.SDFTTrainer.__init__", lambda self, *rest, **more: look(*rest, **more)
    )
    options = (
        "--alpha 1 --loss topk_logits --top-k 7 --top-k-of teacher --top-k-tail --teacher base --ema-rate 0.5 "
        "--schedule constant --gradient-clip 2 --skip-tokens 1 --importance-clip 0 --no-shuffle --long-prompts cut "
        "--num-generations 2 --generate-from-teacher --gradient-checkpointing --control-tokens --seed 3 "
        "--report-to jsonl,wandb"
    )
    with pytest.raises(SeenError):
        run(*options.split())
    expected = {
        "distillation_alpha": 1.0, "distillation_mode": "topk_logits", "distillation_topk": 7,
        "distillation_topk_of": "teacher", "distillation_add_tail": True, "teacher_model_kind": "base",
        "teacher_update_rate": 0.5, "lr_scheduler_type": "constant", "max_grad_norm": 2.0,
        "num_loss_tokens_to_skip": 1, "distillation_is_clip": 0, "shuffle_dataset": False, "long_prompts": "cut",
        "num_generations": 2, "generate_from_teacher": True, "gradient_checkpointing": True, "control_tokens": True,
        "seed": 3, "report_to": ("jsonl", "wandb"), "bf16": False, "num_prompts_per_batch": 2,
    }  # fmt: skip
    assert {name: getattr(seen[0], name) for name in expected} == expected


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        ('{"question": "a"}\n', "", "has no column prompt; it has question"),
        ('{"prompt": "", "golden_response": "a"}\n', "", "There is nothing to train on"),
        (None, "--max-prompt-length 5", "There is nothing left to train on: all 4 rows"),
        (None, "--max-completion-length 900", "do not fit in the model's context of 512"),
        (None, "--ema-rate 2", "teacher_update_rate must be at most 1, not 2"),
        (None, "--report-to paper", "--report-to paper is not known. Take jsonl, tensorboard, trackio, wandb, or none"),
        (None, "--resume", "There is no checkpoint to resume in"),
        (None, "--merge", "merge_adapter needs use_peft"),
    ],
)
def test_expected_faults_are_one_sentence(
    rows: str | None, options: str, said: str, data: Path, tiny_model_folder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    if rows is not None:
        data.write_text(rows)
    given = ["--dataset", str(data), "--model", str(tiny_model_folder), "--output", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["lifelearn", "train", *given, *QUICK, *options.split()])
    with pytest.raises(SystemExit) as left:
        cli.main()
    told = capsys.readouterr().err.strip().splitlines()
    assert left.value.code == 1
    assert said in told[-1]
    assert "Traceback" not in "".join(told)


def test_trackers_are_a_list_with_commas() -> None:
    assert trackers("wandb, jsonl") == ("jsonl", "wandb")
    assert trackers("none") == ()
    with pytest.raises(TrainCommandError, match="paper is not known"):
        trackers("jsonl,paper")
