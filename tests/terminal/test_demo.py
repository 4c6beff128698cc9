from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from terminal_fakes import FakeLearn, FakeModel, correction, correction_from, detect, session

from lifelearn.learning.author import detect as detection
from lifelearn.learning.chat_model import ChatModelError
from lifelearn.learning.examiner.marking import stated
from lifelearn.learning.types import Conversation, Report
from lifelearn.terminal.demo import demo
from lifelearn.terminal.facts import FACTS
from lifelearn.terminal.record import record
from lifelearn.terminal.screen import ColourScreen, PlainScreen


@pytest.fixture(autouse=True)
def _detection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection, "detect", detect)
    monkeypatch.setattr(detection, "correction_from", correction_from)


def test_the_json_of_a_demo_that_passed(tmp_path: Path) -> None:
    outcome = demo(session(tmp_path), PlainScreen(io.StringIO()), FACTS["leave"])
    assert outcome["passed"] is True
    assert outcome["version"] == 1
    assert outcome["question"] == FACTS["leave"].question
    assert "20" in outcome["before"]
    assert "25" in outcome["after"]
    assert [set(row) for row in outcome["unseen"]] == [{"question", "answer", "ok"}] * 4
    assert [set(row) for row in outcome["neighbours"]] == [{"question", "before", "after", "ok"}] * 3
    assert {"answer", "detect", "train", "verify", "correction_to_result", "total"} <= set(outcome["seconds"])
    assert Report.model_validate(outcome["report"]).passed
    assert outcome["error"] is None


def test_a_demo_whose_version_did_not_pass_did_not_pass(tmp_path: Path) -> None:
    outcome = demo(session(tmp_path, learn=FakeLearn(passes=False)), PlainScreen(io.StringIO()), FACTS["leave"])
    assert outcome["passed"] is False
    assert outcome["version"] == 1


def test_a_demo_whose_neighbours_say_the_new_answer_did_not_pass(tmp_path: Path) -> None:
    class Leaky(FakeModel):
        def _say(self, conversation: Conversation) -> str:
            return self.taught or super()._say(conversation)

    outcome = demo(session(tmp_path, Leaky()), PlainScreen(io.StringIO()), FACTS["leave"])
    assert [row["ok"] for row in outcome["neighbours"]] == [False] * 3
    assert outcome["passed"] is False


def test_a_demo_that_breaks_off_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    outcome = demo(
        session(tmp_path, learn=FakeLearn(fault=ChatModelError("No more."))), PlainScreen(out), FACTS["price"]
    )
    assert (outcome["passed"], outcome["error"], outcome["report"]) == (False, "No more.", None)
    monkeypatch.setattr(detection, "detect", lambda *_, **__: None)
    outcome = demo(session(tmp_path), PlainScreen(out), FACTS["price"])
    assert "not recognised" in outcome["error"]
    assert "The demo did not pass." in out.getvalue()


@pytest.mark.parametrize("name", FACTS)
def test_the_facts_are_sound(name: str) -> None:
    fact = FACTS[name]
    assert any(stated(accept, fact.correction) for accept in fact.accept)
    assert not any(stated(accept, text) for accept in fact.accept for text in (fact.question, *fact.unseen))
    assert len({fact.question, *fact.unseen, *fact.neighbours}) == 8


def test_the_recording_is_a_picture_of_the_demo(tmp_path: Path) -> None:
    assert record(session(tmp_path / "data"), "leave", tmp_path / "demo.svg")
    picture = (tmp_path / "demo.svg").read_text().replace("&#160;", " ")
    for text in ("lifelearn demo", "will be taught", "efficacy", "Version 1 is live", "The demo passed."):
        assert text in picture


def test_what_looks_like_markup_is_shown_as_it_is() -> None:
    console = Console(width=100, file=io.StringIO(), record=True)
    tricky = correction().model_copy(update=dict.fromkeys(["question", "wrong", "statement", "answer"], "[/x] [red]a"))
    screen = ColourScreen(console)
    screen.correction(tricky)
    screen.comparison("[/x]", {"before": "[/y]"})
    screen.answer(["[/z", "] ok"])
    shown = console.export_text()
    assert shown.count("[/x] [red]a") == 4
    assert "[/y]" in shown
    assert "model › [/z] ok" in shown
