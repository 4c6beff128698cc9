from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "terminal"))

from terminal_fakes import (
    CORRECTION,
    QUESTION,
    WRONG,
    FakeLearn,
    FakeStore,
    correction,
    correction_from,
    detect,
    dump,
    session,
    version,
)

from lifelearn import cli
from lifelearn.chat_models import default_model
from lifelearn.learning import version as versioning
from lifelearn.learning.author import detect as detection
from lifelearn.settings import Settings
from lifelearn.terminal import opening
from lifelearn.terminal.journal import journal_of
from waiting import HANG_SECONDS

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def learn() -> FakeLearn:
    return FakeLearn()


@pytest.fixture
def run(tmp_path: Path, learn: FakeLearn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command line in this process, on the fakes: exit status, output, errors."""
    monkeypatch.setattr(detection, "detect", detect)
    monkeypatch.setattr(detection, "correction_from", correction_from)
    monkeypatch.setattr(versioning, "VersionStore", FakeStore)
    monkeypatch.setattr(opening, "open_session", lambda settings: session(settings.folder, learn=learn))
    monkeypatch.setattr(default_model, "resolve", lambda *_: "")
    for name in os.environ:
        if name.startswith(("LL_", "OPENAI_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LL_MODEL_STORAGE_DIR", str(tmp_path))

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lifelearn", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        shown = capsys.readouterr()
        return int(left.value.code or 0), shown.out, shown.err

    return run


def process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lifelearn", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
        text=True,
        input="",
        timeout=HANG_SECONDS,
    )


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, lifelearn.cli\n"
        "sys.argv = ['lifelearn', '--help']\n"
        "try: lifelearn.cli.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'openai', 'datasets', 'peft', 'numpy', 'huggingface_hub', 'pydantic'}\n"
        "sys.stderr.write(','.join(sorted(heavy & set(sys.modules))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False, text=True, timeout=HANG_SECONDS
    )
    assert done.stderr == ""
    for command in ("chat", "demo", "learn", "versions", "rollback", "models", "pull"):
        assert command in done.stdout


def test_version_and_usage() -> None:
    assert process("--version").stdout.startswith("lifelearn ")
    wrong = process("chta")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert process("learn").returncode == 2
    assert process("demo", "--fact", "weather").returncode == 2


def test_settings_that_cannot_be_used_are_a_sentence(tmp_path: Path) -> None:
    done = process("versions", LL_TRAIN_LR="fast", LL_MODEL_STORAGE_DIR=str(tmp_path))
    assert done.returncode == 1
    assert "LL_TRAIN_LR=fast cannot be used" in done.stderr
    assert "Traceback" not in done.stderr
    shown = process("versions", LL_TRAIN_LR="fast", LL_MODEL_STORAGE_DIR=str(tmp_path), LL_DEBUG="1")
    assert "Traceback" in shown.stderr


def test_versions_and_rollback(run: Run, tmp_path: Path) -> None:
    store = FakeStore(tmp_path)
    store.put(version(1, 0))
    store.put(version(2, 1, passed=False))
    store.activate(1)
    status, out, _ = run("versions")
    assert status == 0
    assert out.splitlines()[1:] == [
        "* 1 from 0, 5/5: we get 25 days of leave.",
        "  2 from 1, 4/5, candidate: we get 25 days of leave.",
    ]
    written = json.loads(run("versions", "--json")[1])
    assert written["active"] == 1
    assert [row["passed"] for row in written["versions"]] == [True, False]
    assert run("rollback", 0) == (0, "The base model is active.\n", "")
    assert store.active() == 0
    assert run("rollback", 9)[::2] == (1, "There is no version 9.\n")
    assert run("rollback", "x")[0] == 2


def test_learn_from_a_file(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "said.txt"
    file.write_text(dump([("user", QUESTION), ("assistant", WRONG), ("user", CORRECTION)]))
    status, out, _ = run("learn", file)
    assert status == 0
    assert "learned: version 1 (efficacy 1/1, generalisation 4/5" in out
    assert FakeStore(tmp_path).active() == 1


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (dump([("user", QUESTION), ("assistant", WRONG), ("user", "Thanks!")]), "is no correction"),
        ("not json", "is no conversation"),
        ('[{"role": "robot", "content": "x"}]', "is no conversation"),
        (None, "no such file"),
    ],
)
def test_learn_from_a_file_that_holds_none(run: Run, tmp_path: Path, content: str | None, told: str) -> None:
    file = tmp_path / "said.txt"
    if content is not None:
        file.write_text(content)
    status, out, err = run("learn", file)
    assert (status, out) == (1, "")
    assert told in err
    assert len(err.splitlines()) == 1


def test_learn_pending(run: Run, tmp_path: Path, learn: FakeLearn) -> None:
    assert run("learn", "--pending") == (0, f"Nothing is pending in {tmp_path}.\n", "")
    journal = journal_of(tmp_path)
    journal.acknowledge(correction(number="a"))
    journal.acknowledge(correction("we get 30 days of leave.", number="b"))
    learn.fault = KeyboardInterrupt()
    status, out, _ = run("learn", "--pending")
    assert status == 1
    assert "Learning was stopped. The correction is kept" in out
    learn.fault = None
    status, out, _ = run("learn", "--pending")
    assert status == 0
    assert [line[:18] for line in out.splitlines() if "learned" in line] == ["learned: version 1", "learned: version 2"]
    assert journal.pending() == []


def test_a_pending_correction_can_be_withdrawn(run: Run, tmp_path: Path) -> None:
    journal_of(tmp_path).acknowledge(correction(number="a"))
    assert "Pending: a" in run("learn", "--withdraw", "b")[2]
    assert run("learn", "--withdraw", "a")[0] == 0
    assert journal_of(tmp_path).pending() == []


def test_a_damaged_journal_is_a_sentence(run: Run, tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_text("{broken\n")
    status, _, err = run("learn", "--pending")
    assert status == 1
    assert "Line 1 of the journal" in err


def test_demo_writes_its_json_and_its_status(run: Run, tmp_path: Path, learn: FakeLearn) -> None:
    file = tmp_path / "out.json"
    status, out, _ = run("demo", "--fact", "leave", "--seed", 3, "--json", file, "--data", tmp_path / "demo")
    assert status == 0
    assert "The demo passed." in out
    assert json.loads(file.read_text())["passed"] is True
    learn.passes = False
    status, out, _ = run("demo", "--json", file)
    assert status == 1
    assert json.loads(file.read_text())["passed"] is False
    assert "lifelearn-demo-" in out
    assert not list(tmp_path.glob("[0-9].json")), "the user's own versions are not touched"


def test_the_seed_and_the_folder_reach_the_session(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Settings] = []

    def opened(settings: Settings) -> object:
        seen.append(settings)
        return session(settings.folder)

    monkeypatch.setattr(opening, "open_session", opened)
    run("demo", "--seed", 7, "--data", tmp_path / "x", "--model", "other/model")
    assert (seen[0].train_seed, seen[0].folder, seen[0].base_model_name) == (
        7,
        tmp_path / "x",
        "other/model",
    )


def test_models(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LL_CACHE_DIR", str(tmp_path / "cache"))
    written = json.loads(run("models", "--json")[1])
    assert written["configured"] == "bundled"
    assert written["expert"] is None
    assert written["models"][0]["name"] == "bundled"
    assert not written["models"][0]["cached"]
    monkeypatch.setenv("LL_BASE_MODEL_NAME", str(tmp_path))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    status, out, _ = run("models")
    assert status == 0
    assert "no model (config.json) there" in " ".join(out.split())
    assert "The expert is gpt-4o-mini at OpenAI." in out
    assert "sk-secret" not in out


def fetching(cache_dir: Path, on_message: Callable[[str], None] | None = None) -> Path:
    """In place of `bundled_model`."""
    assert on_message is not None
    on_message("fetching it, 93 MB …")
    return cache_dir / "model"


def test_pull_fetches_the_bundled_model(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LL_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(default_model, "bundled_model", fetching)
    told = f"fetching it, 93 MB …\nSmolLM2-135M-Instruct is in {tmp_path / 'model'}.\n"
    assert run("pull") == run("pull", "bundled") == (0, told, "")
    assert run("pull", "org/model") == (
        1,
        "",
        "Only the bundled model is pulled, not org/model. A Hugging Face id is fetched when it is first used, and a "
        "folder is read where it is.\n",
    )


@pytest.mark.parametrize("command", [("chat",), ("demo",), ("learn", "said.json")])
def test_what_is_fetched_at_the_first_start_is_said_and_not_among_the_answers(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    (tmp_path / "said.json").write_text(dump([("user", QUESTION), ("assistant", WRONG), ("user", CORRECTION)]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(default_model, "resolve", lambda name, cache, say: fetching(cache, say))
    _, out, err = run(*command)
    assert err.startswith("fetching it, 93 MB …\n")
    assert "fetching" not in out


def test_a_worker_begins_with_its_model(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lifelearn.workspace.jobs import worker

    monkeypatch.setattr(worker, "check", lambda settings: None)
    monkeypatch.setattr(worker, "run", lambda settings, stopping, say: say("working"))
    monkeypatch.setattr(default_model, "resolve", lambda name, cache, say: fetching(cache, say))
    assert run("worker")[1] == "fetching it, 93 MB …\nworking\n"
    monkeypatch.setenv("LL_INFERENCE_BACKEND", "mock")
    assert run("worker")[1] == "working\n"


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "no space left on the disk"),
        (PermissionError(errno.EACCES, "Permission denied", "/root/x"), "Permission denied (/root/x)"),
        (versioning.VersionError("Version 3 is incomplete."), "Version 3 is incomplete."),
        (detection.DetectionError("Unreadable."), "Unreadable."),
    ],
)
def test_expected_faults_are_one_sentence(
    run: Run, monkeypatch: pytest.MonkeyPatch, fault: Exception, told: str
) -> None:
    def fails(_: Settings) -> None:
        raise fault

    monkeypatch.setattr(opening, "open_session", fails)
    status, _, err = run("chat")
    assert status == 1
    assert told in err
    assert len(err.splitlines()) == 1


def test_the_mock_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lifelearn", "chat"],
        env={**os.environ, "LL_INFERENCE_BACKEND": "mock", "LL_MODEL_STORAGE_DIR": str(tmp_path)},
        input="hello\n",
        capture_output=True,
        check=False,
        text=True,
        timeout=HANG_SECONDS,
    )
    assert done.returncode == 0
    assert "mock" in done.stderr
    assert "not a real one" in done.stdout
