"""A run that was interrupted goes on from its checkpoint as if nothing had been, or says why it cannot."""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import torch

from lifelearn.chat_models.local import LocalChatModel
from lifelearn.learning.compute import pretrained
from lifelearn.learning.sdft import checkpoints
from lifelearn.learning.sdft.checkpoints import CHECKPOINT
from lifelearn.learning.sdft.config import ConfigError
from lifelearn.learning.sdft.trackers import LOG
from sdft.fakes import ROWS, Make, same, weights_of


@pytest.mark.check("engine")
@pytest.mark.parametrize(
    "settings",
    [
        {"use_peft": True},
        {"use_peft": False},
        {"use_peft": True, "gradient_checkpointing": True, "teacher_model_kind": "base"},
        {"use_peft": False, "teacher_sync_steps": 2, "num_generations": 2, "lr_scheduler_type": "linear"},
    ],
    ids=["lora", "full", "peft, frozen", "full, sync every other step"],
)
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(
    make: Make, tmp_path: Path, settings: dict[str, Any]
) -> None:
    more: dict[str, Any] = {
        "num_train_epochs": 2, "save_steps": 2, "save_total_limit": 9, "eval_split": 0.2, "eval_steps": 3,
        "teacher_update_rate": 0.3, "warmup_steps": 1, "learning_rate": 3e-3, **settings,
    }  # fmt: skip
    whole = make(output_dir=str(tmp_path / "whole"), **more)
    done = whole.train()
    assert done.steps == 4
    (tmp_path / "rest").mkdir()
    shutil.copytree(tmp_path / "whole" / f"{CHECKPOINT}2", tmp_path / "rest" / f"{CHECKPOINT}2")
    shutil.copy(tmp_path / "whole" / LOG, tmp_path / "rest" / LOG)
    torch.rand(1000)  # what the process drew before does not matter
    rest = make(output_dir=str(tmp_path / "rest"), **more)
    resumed = rest.train(resume_from_checkpoint=True)
    assert resumed.losses == done.losses
    assert resumed.eval_losses == done.eval_losses
    assert same(weights_of(rest), weights_of(whole))
    assert same(rest.student.averages, whole.student.averages)
    name = "adapter_model.safetensors" if settings["use_peft"] else "model.safetensors"
    assert (tmp_path / "rest" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()

    def told(folder: str) -> list[dict[str, float]]:
        lines = [json.loads(line) for line in (tmp_path / folder / LOG).read_text().splitlines()]
        return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]

    assert told("rest") == told("whole"), "no step is logged twice"


def test_a_checkpoint_can_be_used_as_it_is_and_old_ones_go(make: Make, tmp_path: Path) -> None:
    trainer = make(num_prompts_per_batch=1, save_steps=1, save_total_limit=2)
    trainer.train()
    kept = sorted(path.name for path in (tmp_path / "out").glob(f"{CHECKPOINT}*"))
    assert kept == [f"{CHECKPOINT}3", f"{CHECKPOINT}4"], "the fifth step's is the model itself"
    assert not list((tmp_path / "out").glob(".*.partial"))
    LocalChatModel.load(str(tmp_path / "out" / kept[0]), tmp_path / "cache")


def test_what_cannot_be_resumed(make: Make, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no checkpoint to resume in"):
        make().train(resume_from_checkpoint=True)
    make(save_steps=1).train()
    with pytest.raises(ConfigError, match=r"holds checkpoint-2 of an earlier run. Resume it, or take another folder"):
        make(save_steps=1).train()
    with pytest.raises(ConfigError, match=r"other settings \(learning_rate, seed\)"):
        make(learning_rate=1e-4, seed=7).train(resume_from_checkpoint=True)
    with pytest.raises(ConfigError, match=r"other settings \(the data set\)"):
        make(ROWS[:3]).train(resume_from_checkpoint=True)
    (tmp_path / "out" / f"{CHECKPOINT}1" / "trainer_state.json").unlink()  # as after a kill
    with pytest.raises(ConfigError, match="There is no checkpoint to resume in"):
        make().train(resume_from_checkpoint=tmp_path / "out" / f"{CHECKPOINT}1")
    assert make(save_steps=5, logging_steps=2).train(resume_from_checkpoint=True).steps == 3, "these may differ"
    elsewhere = make(output_dir=str(tmp_path / "other"))
    assert elsewhere.train(tmp_path / "out" / f"{CHECKPOINT}2").folder == tmp_path / "other"


class OnDay(date):
    """A day that is set."""

    now = date(2026, 3, 1)

    @classmethod
    def today(cls) -> OnDay:
        return cls(cls.now.year, cls.now.month, cls.now.day)


def test_a_run_goes_on_the_next_day_with_the_prompts_of_its_own(
    make: Make, wide_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = pretrained.tokenizer(str(wide_folder)).chat_template
    monkeypatch.setattr(checkpoints, "date", OnDay)
    monkeypatch.setattr(
        "lifelearn.learning.compute.template._template_of", lambda _: "{{ strftime_now('%d %b') }}" + template
    )
    first = make(save_steps=1)
    first.train()
    monkeypatch.setattr(OnDay, "now", date(2026, 3, 2))
    second = make()
    assert second.train(resume_from_checkpoint=True).steps == first.done.steps
    assert second.train_rows == first.train_rows
    assert second.codec.decode(second.train_rows[0].prompt).startswith("01 Mar")


def test_a_checkpoint_of_an_earlier_release_is_taken_up(make: Make, tmp_path: Path) -> None:
    first = make(save_steps=1)
    first.train()
    state = next((tmp_path / "out").glob(f"{CHECKPOINT}*")) / "trainer_state.json"
    told = json.loads(state.read_text())
    ids = [[row.prompt, row.teacher_prompt] for row in (*first.train_rows, *first.eval_rows)]
    told["data"] = hashlib.sha256(json.dumps(ids).encode()).hexdigest()
    del told["day"]
    state.write_text(json.dumps(told))
    assert make().train(resume_from_checkpoint=state.parent).steps > 0
