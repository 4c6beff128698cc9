"""The documents say what is so: commands, targets, settings and files that they name exist."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from lifelearn.cli import app
from lifelearn.settings import Settings
from lifelearn.terminal.chat import COMMANDS

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
USE = ROOT / "docs" / "use.md"
ORIGINAL = ROOT / "docs" / "original.md"  # names of other programs are right there
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [README, *sorted({*(ROOT / "docs").glob("*.md")} - {ROOT / "docs" / "LOG.md"})]  # what is, not what was tried
README_LINES = 200

# Variables that begin like settings and are none, with who reads them: the command line, and a test of detection.
OTHER_VARIABLES = {"LL_DEBUG", "LL_EVAL_DATA"}

# A registry's host, in any file, ties the project to it; pip and npm know where they take packages from.
REGISTRY = re.compile(r"\b(?:pypi|pythonhosted|npmjs|pytorch|anaconda)\.(?:org|io|com)\b|--(?:extra-)?index-url")
# A path of somebody's machine. /root/x is the example of a test.
MACHINE_PATH = re.compile(r"(?<![\w.~$})/])/(?:work|opt|home|root|Users|mnt)/(?!x\b)\w")


def code(text: str) -> Iterator[str]:
    """What stands in code: the lines of fenced blocks, and spans between backticks."""
    for block in re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        yield from block.splitlines()
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))


def of_documents(documents: Sequence[Path] = DOCUMENTS) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("document", documents, ids=lambda path: str(path.relative_to(ROOT)))


def test_the_readme_is_short() -> None:
    lines = len(README.read_text("utf-8").splitlines())
    assert lines <= README_LINES, f"README.md has {lines} lines; what is more than {README_LINES} belongs in docs/"


@of_documents()
def test_commands_exist_with_their_options(document: Path) -> None:
    commands: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
    for line in code(document.read_text("utf-8")):
        for name, rest in re.findall(r"(?:^|[\s/|$])lifelearn +([a-z]+)([^|\n]*)", line):
            assert name in commands, f"{line!r}: there is no command {name}; there are {', '.join(commands)}"
            command = commands[name]
            for word in rest.split():  # the command of a group
                command = getattr(command, "commands", {}).get(word, command)
            options = {option for parameter in command.params for option in parameter.opts}
            unknown = set(re.findall(r"(?<!\S)--[a-z-]+", rest)) - options - {"--help"}
            assert not unknown, f"{line!r}: lifelearn {name} has no {', '.join(unknown)}"


def test_the_documents_name_every_command() -> None:
    texts = "\n".join(document.read_text("utf-8") for document in PAGES)
    missing = [name for name in get_command(app).commands if f"lifelearn {name}" not in texts]  # type: ignore[attr-defined]
    assert not missing, f"no document mentions lifelearn {', '.join(missing)}"


def test_every_command_of_the_chat_is_explained() -> None:
    missing = [name for name in COMMANDS if f"`{name}" not in USE.read_text("utf-8")]
    assert not missing, f"docs/use.md does not explain {', '.join(missing)}"


@of_documents((README, USE))
def test_commands_of_the_chat_exist(document: Path) -> None:
    lines = code(document.read_text("utf-8"))
    named = {name for line in lines for name in re.findall(r"(?:^|› )(/[a-z]+)\b(?!/)", line)}
    assert named <= set(COMMANDS), f"the chat has no {', '.join(named - set(COMMANDS))}"


@of_documents()
def test_targets_of_make_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {name for line in code(document.read_text("utf-8")) for name in re.findall(r"^(?:\$ )?make ([a-z]+)", line)}
    assert named <= targets, f"the Makefile has no {', '.join(named - targets)}"


@of_documents([path for path in DOCUMENTS if path != ORIGINAL])
def test_variables_are_settings(document: Path) -> None:
    known = {f"LL_{name.upper()}" for name in Settings.model_fields} | OTHER_VARIABLES
    found = re.findall(r"\bLL_[A-Z_]+\b(?!\*)", document.read_text("utf-8"))
    named = {name for name in found if not name.endswith("_")}
    assert named <= known, f"{', '.join(sorted(named - known))}: no such setting"


@of_documents()
def test_linked_files_exist(document: Path) -> None:
    text = document.read_text("utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)|<img[^>]+src=\"([^\"]+)\"", text):
        link = "".join(target)
        path, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), f"{document.name} links to {link}, which does not exist"
        if anchor:
            assert anchor in headings(file), f"{document.name} links to {link}, but there is no such heading"


@of_documents([path for path in DOCUMENTS if path.name != "LOG.md"])
def test_nothing_is_left_to_be_filled_in(document: Path) -> None:
    left = [line for line in document.read_text("utf-8").splitlines() if "TBD" in line]
    assert not left, f"{document.name} has {len(left)} lines with TBD, the first: {left[0]}"


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (REGISTRY, "names a registry's host; leave it to the configuration of pip or npm"),
        (MACHINE_PATH, "names a path of one machine; make it relative"),
    ],
    ids=["registries", "machine paths"],
)
def test_nothing_ties_the_project_to_a_place(pattern: re.Pattern[str], why: str) -> None:
    wrong = [
        f"{file.relative_to(ROOT)}:{number} {why}: {found[0]}"
        for file in tracked()
        for number, line in enumerate(text_of(file).splitlines(), start=1)
        if (found := pattern.search(line))
    ]
    assert not wrong, "\n".join(wrong)


def headings(file: Path) -> set[str]:
    """The anchors of a document's headings."""
    found = re.findall(r"^#+ (.+)$", text_of(file), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def text_of(file: Path) -> str:
    """A file's text; nothing for a picture or a file that was just deleted."""
    try:
        return file.read_text("utf-8")
    except (UnicodeDecodeError, FileNotFoundError):
        return ""


@cache
def tracked() -> list[Path]:
    """What is in the repository, or would be added to it."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("this is not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name]
