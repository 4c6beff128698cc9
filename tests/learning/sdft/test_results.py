"""What a training leaves and tells: figures of held-out rows, models, adapters, logs; and what it may be given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from lifelearn.chat_models.local import LocalChatModel
from lifelearn.learning.sdft.data import examples_of
from lifelearn.learning.sdft.trackers import LOG
from lifelearn.learning.types import Progress
from sdft.fakes import QUICK, ROWS, Fixed, Make, by_hand, logits_of


def test_held_out_rows_are_not_trained_on_and_measured(make: Make) -> None:
    trainer = make(eval_split=0.3, eval_steps=2, max_steps=3)
    assert (len(trainer.train_rows), len(trainer.eval_rows)) == (3, 2)
    assert not any(row in trainer.train_rows for row in trainer.eval_rows)
    before, again = trainer.evaluate(), trainer.evaluate()
    assert before == again > 0, "from the same random numbers"
    assert list(trainer.train().eval_losses) == [2, 3]


def test_the_held_out_loss_is_the_mean_by_hand(make: Make) -> None:
    engine = Fixed()
    trainer = make(ROWS[:1], ROWS[:1], rollouts_by=engine)
    student, teacher = by_hand(trainer, engine.ids)
    assert trainer.evaluate() == pytest.approx(float((teacher.exp() * (teacher - student)).sum(-1).mean()), rel=1e-3)


def test_a_full_model_is_a_folder_to_chat_with(make: Make, tmp_path: Path) -> None:
    trainer = make(max_steps=1)
    folder = trainer.train().folder
    model = LocalChatModel.load(str(folder), tmp_path / "cache")
    with torch.no_grad():
        found = model.network.logits([[5, 20, 30, 40]], [4]).float()
    assert torch.allclose(found, logits_of(trainer), atol=0.1)
    assert not torch.equal(found, torch.zeros_like(found))


def test_an_adapter_is_one_for_peft(make: Make, wide_folder: Path) -> None:
    from peft import AutoPeftModelForCausalLM

    trainer = make(max_steps=2, use_peft=True, learning_rate=3e-2)
    before = logits_of(trainer)
    folder = trainer.train().folder
    assert (folder / "tokenizer.json").exists()
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == str(wide_folder)
    model = AutoPeftModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    with torch.no_grad():
        found = model(torch.tensor([[5, 20, 30, 40]])).logits[0, :, : before.shape[-1]]  # PEFT adds tokens of padding
    assert torch.allclose(found, logits_of(trainer), atol=1e-3)
    assert not torch.allclose(found, before, atol=1e-2)


@pytest.mark.parametrize("checkpointing", [False, True], ids=["decoder", "peft"])
def test_a_merged_adapter_is_a_model(make: Make, checkpointing: bool) -> None:
    from transformers import AutoModelForCausalLM

    trainer = make(
        max_steps=2, use_peft=True, merge_adapter=True, learning_rate=3e-2, gradient_checkpointing=checkpointing
    )
    seen: list[torch.Tensor] = []
    merge = trainer._merge

    def merged(folder: Path) -> None:
        seen.append(logits_of(trainer))
        merge(folder)

    trainer._merge = merged  # type: ignore[method-assign]
    folder = trainer.train().folder
    assert not list(folder.glob("adapter_*"))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        assert torch.allclose(model(torch.tensor([[5, 20, 30, 40]])).logits[0], seen[0], atol=1e-3)


def test_progress_and_the_log_tell_the_same(make: Make) -> None:
    told: list[Progress] = []
    rows = [*ROWS, {"prompt": "", "privileged_context": "x"}, {"prompt": "x" * 120, "privileged_context": "x"}]
    trainer = make(rows, on_progress=told.append, logging_steps=2)
    done = trainer.train()
    assert told[0].message == "5 rows; 1 empty ones left out; 1 with prompts of more than 100 tokens left out"
    assert [step.loss for step in told[1:]] == done.losses
    lines = [json.loads(line) for line in (done.folder / LOG).read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 3], "every second step, and the last"
    assert lines[0]["loss"] == done.losses[1]
    assert {"learning_rate", "grad_norm", "epoch", "completion_length", "completion_cut", "seconds"} <= set(lines[0])


def test_the_data_may_be_a_file_or_what_was_read_of_it(make: Make, tmp_path: Path) -> None:
    from datasets import Dataset

    path = tmp_path / "train.json"
    path.write_text(json.dumps(ROWS))
    rows = make().train_rows
    assert make(Dataset.from_list(ROWS)).train_rows == rows
    assert make(str(path)).train_rows == rows
    assert make(examples_of(ROWS, QUICK["teacher_prompt_template"])).train_rows == rows
