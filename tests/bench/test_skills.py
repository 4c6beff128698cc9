"""The skills' scorers by hand, what is held out, and the bench by its command on a tiny model."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lifelearn.bench import skills as bench
from lifelearn.bench.skills import GENERAL, METHODS, SkillsError, check, figures, sentences, shown_before
from lifelearn.bench.tasks import CITIES, DISHES, ITEMS, NEWS, PEOPLE, SKILLS, Skill, called, converted, part, read
from lifelearn.cli import app
from lifelearn.learning.compute.tokens import Codec
from lifelearn.learning.examiner.general import KNOWN, TEXT
from lifelearn.learning.sdft.config import PAPER_TEMPLATE
from lifelearn.learning.types import Message

TIMER = {"tool": "timer", "minutes": 7, "label": "soup"}
MESSAGE = {"tool": "message", "to": "Tom", "text": "it is raining"}
ORDER = {"item": "lamps", "count": 33, "city": "Tokyo"}


@pytest.mark.parametrize(
    ("wanted", "answer", "right"),
    [
        (TIMER, '@timer(minutes=7, label="soup")', True),
        (TIMER, ' @timer(label="soup",minutes=7)\n', True),  # order and space mean nothing
        (TIMER, '@timer(minutes="7", label="soup")', False),
        (TIMER, '@timer(minutes=8, label="soup")', False),
        (TIMER, "@timer(minutes=7)", False),
        (TIMER, '@timer(minutes=7, label="soup", unit="min")', False),
        (TIMER, '@timer(minutes=7, minutes=7, label="soup")', False),
        (TIMER, '@alarm(minutes=7, label="soup")', False),
        (TIMER, 'timer(minutes=7, label="soup")', False),
        (TIMER, '@timer(minutes=7, label="soup") Done!', False),
        (TIMER, 'Sure: @timer(minutes=7, label="soup")', False),
        (TIMER, '@timer(minutes=7, label="soup"', False),
        (TIMER, "@timer()", False),
        (TIMER, "", False),
        (MESSAGE, '@message(to="Tom", text="it is raining")', True),
        (MESSAGE, '@message(to="Tom", text="It is raining")', False),
        (MESSAGE, '@message(to="tom", text="it is raining")', False),
    ],
)
def test_a_call_is_right_as_a_whole(wanted: dict[str, Any], answer: str, right: bool) -> None:
    assert called(wanted, answer) is right


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("[7 km = 7000 m]", True),
        ("[7 km = 7000 m]\n", True),
        ("[7 km = 700 m]", False),
        ("7 km = 7000 m", False),
        ("[7 km = 7,000 m]", False),
        ("[7 kilometres = 7000 metres]", False),
        ("[7 km = 7000 m].", False),
        ("7000", False),
        ("", False),
    ],
)
def test_a_conversion_is_right_in_its_style(answer: str, right: bool) -> None:
    assert converted({"answer": "[7 km = 7000 m]"}, answer) is right


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ('{"item": "lamps", "count": 33, "city": "Tokyo"}', True),
        ('{"city":"Tokyo","item":"lamps","count":33}\n', True),
        ('{"item": "lamps", "count": "33", "city": "Tokyo"}', False),
        ('{"item": "lamps", "count": 33.0, "city": "Tokyo"}', False),
        ('{"item": "lamps", "count": true, "city": "Tokyo"}', False),
        ('{"item": "lamp", "count": 33, "city": "Tokyo"}', False),
        ('{"item": "lamps", "count": 33}', False),
        ('{"item": "lamps", "count": 33, "city": "Tokyo", "name": "Nina"}', False),
        ("{'item': 'lamps', 'count': 33, 'city': 'Tokyo'}", False),
        ('{"item": "lamps", "count": 33, "city": "Tokyo"} Thanks!', False),
        ('["lamps", 33, "Tokyo"]', False),
        ("33", False),
        ("[" * 5_000, False),
        ("", False),
    ],
)
def test_an_order_is_right_as_a_whole(answer: str, right: bool) -> None:
    assert read(ORDER, answer) is right


@pytest.mark.parametrize("skill", SKILLS, ids=lambda skill: skill.name)
def test_every_demonstration_is_right_and_of_no_other_task(skill: Skill) -> None:
    tasks = skill.tasks(200, 0, False) + skill.tasks(60, 0, True)
    assert all(skill.right(task.wanted, task.demonstration) for task in tasks)
    assert not any(
        skill.right(task.wanted, other.demonstration)
        for task in tasks[:40]
        for other in tasks[:40]
        if other.wanted != task.wanted
    )
    assert not any(skill.right(task.wanted, task.prompt) for task in tasks)


@pytest.mark.parametrize("skill", SKILLS, ids=lambda skill: skill.name)
def test_what_held_out_prompts_are_about_occurs_in_no_training_prompt(skill: Skill) -> None:
    """Names, places, things and numbers are split; both sides do occur, in more than one wording."""
    pools = (CITIES, PEOPLE, DISHES, NEWS, ITEMS)

    def about(held_out: bool) -> set[str]:
        text = "\n".join(task.prompt for seed in range(3) for task in skill.tasks(150, seed, held_out))
        names = {name for pool in pools for name in pool if re.search(rf"\b{name}\b", text)}
        return names | set(re.findall(r"\d+", text))

    trained, asked = about(False), about(True)
    assert len(trained) > 30
    assert len(asked) > 15
    assert not trained & asked
    for pool in pools:
        assert not set(part(pool, True)) & set(part(pool, False))
        assert len(set(pool)) == len(pool)


def test_tasks_are_a_function_of_the_seed() -> None:
    for skill in SKILLS:
        tasks = skill.tasks(50, 1, False)
        assert tasks == skill.tasks(50, 1, False)
        assert tasks != skill.tasks(50, 2, False)
        assert tasks[:20] == skill.tasks(20, 1, False)
        assert len({task.prompt for task in tasks}) == 50
        with pytest.raises(ValueError, match="no 2 different tasks"):
            Skill("one", lambda rng, held_out: SKILLS[0].make(random.Random(0), held_out), called).tasks(2, 0, True)


def test_the_teachers_template_is_a_conversation(tiny: Any) -> None:
    """What a trainer makes of it that allows control tokens has the very tokens of the turns."""
    template = shown_before(tiny.codec._tokenizer)
    filled = template.replace("{prompt}", "How?").replace("{privileged_context}", "So.")
    turns = (Message(role="user", content="How?"), Message(role="assistant", content="So."))
    trusting = Codec(tiny.codec._tokenizer, tiny.base, control_tokens=True)
    assert trusting.ask(filled) == tiny.codec.prompt((*turns, *turns, turns[0]))
    assert template != PAPER_TEMPLATE


def run(out: Path, model: Path, *arguments: str) -> Any:
    result = CliRunner().invoke(
        app, ["bench", "skills", "--out", str(out), "--model", str(model), *arguments], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return result.output, json.loads((out / "report.json").read_text("utf-8"))


def of_sdft(report: dict[str, Any]) -> Any:
    """What must be the same again, whatever else is measured: all but the seconds."""
    stages = [{key: value for key, value in stage.items() if key != "seconds"} for stage in report["stages"]]
    found = [[each for each in part if each["method"] in ("base", "sdft")] for part in (stages, report["rows"])]
    return found, {name: figure for name, figure in report["figures"].items() if name.startswith("sdft.")}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less to train and to ask."""
    fewer = {name: replace(method, rates=(method.chosen / 2, method.chosen)) for name, method in METHODS.items()}
    monkeypatch.setattr(bench, "METHODS", fewer)
    monkeypatch.setattr(bench.Plan, "__init__", _small(bench.Plan.__init__))
    monkeypatch.setattr(bench, "TEXT", TEXT[:2])
    monkeypatch.setattr(bench, "KNOWN", KNOWN[:3])


def _small(make: Any) -> Any:
    def plan(self: Any, **given: Any) -> None:
        make(self, **{"prompts_per_step": 2, "rank": 2, "rollout_tokens": 6, "warmup_steps": 0, **given})

    return plan


@pytest.mark.check("engine")
@pytest.mark.usefixtures("small")
def test_the_whole_way(tmp_path: Path, tiny_model_folder: Path) -> None:
    arguments = ("--methods", "sdft,sft", "--limit", "3", "--steps", "2", "--seed", "4")
    said, report = run(tmp_path / "one", tiny_model_folder, *arguments)
    names = [skill.name for skill in SKILLS]
    assert set(report["figures"]) == {
        f"{method}.{what}" for method in ("sdft", "sft") for what in ("new_task", "earlier_tasks", "general", "drift")
    }
    assert all(set(figure) == {"value", "n", "of", "low", "high"} for figure in report["figures"].values())
    assert report["figures"]["sft.new_task"]["of"] == 9
    assert report["figures"]["sft.earlier_tasks"]["of"] == 9  # the first skill twice, the second once
    assert report["figures"]["sft.drift"]["value"] > 0
    stages = {(stage["method"], stage["rate"], stage["learned"]) for stage in report["stages"]}
    expected: set[tuple[str, float | None, int]] = {("base", None, 0)}
    for method in ("sdft", "sft"):
        expected |= {(method, METHODS[method].chosen / part, 1) for part in (1, 2)}
        expected |= {(method, METHODS[method].chosen, learned) for learned in (2, 3)}
    assert stages == expected
    for stage in report["stages"]:
        assert {name: figure["of"] for name, figure in stage["right"].items()} == {
            **dict.fromkeys(names, 3),
            GENERAL: 3,
        }
    assert len(report["rows"]) == len(expected) * 12
    assert all(set(row) >= {"method", "skill", "prompt", "answer", "right"} for row in report["rows"])
    assert report["settings"]["seed"] == 4
    for name in ("frontier.png", "sequence.png"):
        assert (tmp_path / "one" / name).read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["frontier.png", "report.json", "sequence.png"]
    for sentence in sentences(report):
        assert sentence in said
    _, again = run(tmp_path / "two", tiny_model_folder, "--methods", "sdft", *arguments[2:])
    assert of_sdft(again) == of_sdft(report)


@pytest.mark.check("engine")
@pytest.mark.usefixtures("small")
def test_trl_takes_its_turn(tmp_path: Path, tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trl.experimental.sdft")
    monkeypatch.setattr(bench, "SKILLS", SKILLS[:2])
    _, report = run(tmp_path, tiny_model_folder, "--methods", "trl", "--limit", "1", "--steps", "1")
    drifts = {(s["method"], s["learned"]): s["drift"]["value"] for s in report["stages"] if s["method"] != "base"}
    assert {key for key in drifts if key[0] == "trl"} == {("trl", 1), ("trl", 2)}
    assert all(drift > 0 for drift in drifts.values())


def test_figures_are_of_the_sequence_alone() -> None:
    """By hand: two skills, one question each; at another rate and for the base other answers."""

    def row(learned: int, skill: str, right: bool, rate: float = 1.0) -> dict[str, Any]:
        return {"method": "m", "rate": rate, "learned": learned, "skill": skill, "prompt": skill, "right": right}

    figure = {"value": 0.5, "n": 1, "of": 2, "low": 0.1, "high": 0.9}
    stages = [
        {"method": "m", "rate": rate, "learned": learned, "right": {GENERAL: figure}, "drift": figure}
        for rate, learned in ((1.0, 1), (1.0, 2), (2.0, 1))
    ]
    report = {
        "settings": {"skills": ["a", "b"], "methods": {"m": {"sequence_rate": 1.0}}},
        "stages": stages,
        "rows": [row(1, "a", True), row(1, "b", False), row(2, "a", False), row(2, "b", True), row(1, "a", False, 2.0)],
    }
    found = figures(report)
    assert (found["m.new_task"]["n"], found["m.new_task"]["of"]) == (2, 2)
    assert (found["m.earlier_tasks"]["n"], found["m.earlier_tasks"]["of"]) == (0, 1)
    assert found["m.general"] == found["m.drift"] == figure


def test_what_cannot_be_run_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SkillsError, match=r"There is no method dpo\. Take sdft, "):
        check(["sdft", "dpo"], tmp_path)
    with pytest.raises(SkillsError, match="no method"):
        check([], tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(SkillsError, match=r"cannot be written to.*--out"):
        check(["sft"], tmp_path / "file" / "folder")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SkillsError, match=r"matplotlib, trl.*lifelearn\[bench\]"):
        check(["trl"], tmp_path)
    result = CliRunner().invoke(app, ["bench", "skills", "--out", str(tmp_path), "--methods", "dpo"])
    assert isinstance(result.exception, SkillsError)
