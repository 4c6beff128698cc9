"""Imports run one way, the engine knows nothing of its surroundings, and what is imported is declared."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import structure

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "lifelearn"
FILES = sorted(SOURCE.rglob("*.py"))

# What each part may import of the others: cli → terminal, workspace, bench → chat_models → learning.
MAY_IMPORT: dict[str, set[str]] = {
    "learning": set(),
    "chat_models": {"learning"},
    "settings": {"learning"},  # of which only RECIPE
    "backends": {"settings", "chat_models", "learning"},
    "terminal": {"backends", "settings", "chat_models", "learning"},
    "workspace": {"backends", "settings", "chat_models", "learning"},
    "bench": {"backends", "settings", "chat_models", "learning"},
    "cli": {"terminal", "workspace", "bench", "settings", "chat_models", "learning"},
    "__main__": {"cli"},
    "__init__": set(),
}
RECIPE = "lifelearn.learning.recipe"

# What the engine must do without, whatever a stage would like to look up.
NOT_IN_LEARNING = {
    "alembic", "dbos", "fastapi", "httpx", "httpx2", "openai", "pydantic_settings", "rich", "sqlalchemy",
    "sqlite3", "starlette", "typer", "uvicorn",
}  # fmt: skip


NAMED_OTHERWISE = {"markdown_it": "markdown-it-py", "stdnum": "python-stdnum", "text_to_num": "text2num"}
# transformers reads the bundled model by gguf, SQLAlchemy reaches PostgreSQL by psycopg, FastAPI forms by multipart.
NEEDED_BY_OTHERS = {"gguf", "psycopg", "python-multipart"}


@cache
def imports(file: Path) -> tuple[tuple[int, str], ...]:
    """Line and full name of every module that a file imports, those within functions and for types included."""
    return tuple(_imports(file))


def _imports(file: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(file.read_text("utf-8"), str(file))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{shown(file, node.lineno)}: write the whole name: from lifelearn.… import …"
            for name in node.names:
                # `from lifelearn.learning import detect` imports a module of that package
                submodule = SOURCE.parent.joinpath(*str(node.module).split("."), f"{name.name}.py")
                package = SOURCE.parent.joinpath(*str(node.module).split("."), name.name)
                inner = submodule.exists() or package.is_dir()
                yield node.lineno, f"{node.module}.{name.name}" if inner else str(node.module)


def part(file: Path) -> str:
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def shown(file: Path, line: int) -> str:
    return f"{file.relative_to(ROOT)}:{line}"


def in_part(name: str) -> list[Path]:
    return [file for file in FILES if part(file) == name]


def test_every_part_has_its_place() -> None:
    unknown = {part(file) for file in FILES} - set(MAY_IMPORT)
    named = ", ".join(sorted(unknown))
    assert not unknown, f"say in MAY_IMPORT what {named} may import, and in docs/architecture.md what it is for"


@pytest.mark.parametrize("name", sorted({part(file) for file in FILES}))
def test_imports_run_one_way(name: str) -> None:
    wrong = [
        f"{shown(file, line)} imports {module}"
        for file in in_part(name)
        for line, module in imports(file)
        if module.startswith("lifelearn.") and module.split(".")[1] not in {name, *MAY_IMPORT[name]}
    ]
    allowed = ", ".join(sorted(MAY_IMPORT[name])) or "nothing else of lifelearn"
    assert not wrong, (
        f"{name} may import {allowed}. Imports run cli → terminal, workspace, bench → chat_models → learning: move "
        "down what both need, or hand it in as an argument. " + "; ".join(wrong)
    )


def test_settings_know_only_the_recipe() -> None:
    wrong = [
        f"{shown(file, line)} imports {module}"
        for file in in_part("settings")
        for line, module in imports(file)
        if module.startswith("lifelearn.") and module.split(".")[1] != "settings" and module != RECIPE
    ]
    assert not wrong, f"settings/ is read by everybody, so it imports {RECIPE} at most: " + "; ".join(wrong)


def test_the_engine_knows_no_web_no_database_and_no_terminal() -> None:
    wrong = [
        f"{shown(file, line)} imports {module}"
        for file in in_part("learning")
        for line, module in imports(file)
        if module.split(".")[0] in NOT_IN_LEARNING
    ]
    assert not wrong, (
        "learning/ takes frozen values and gives frozen values. What it needs from outside comes in as an argument: "
        + "; ".join(wrong)
    )


@cache
def doors() -> dict[str, set[str]]:
    """The packages whose `__init__` names what others may use of them, and these names."""
    found = {}
    for file in SOURCE.rglob("__init__.py"):
        for node in ast.parse(file.read_text("utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                package = ".".join(file.parent.relative_to(SOURCE.parent).parts)
                found[package] = set(ast.literal_eval(node.value))
    return found


@pytest.mark.parametrize("room", sorted(doors()))
def test_a_room_is_entered_by_its_door(room: str) -> None:
    folder, named = SOURCE.parent / room.replace(".", "/"), doors()[room]
    wrong = [
        f"{shown(file, line)} imports {module}"
        for file in FILES
        if not file.is_relative_to(folder)
        for line, module in imports(file)
        if module.startswith(f"{room}.") and module.removeprefix(f"{room}.").split(".")[0] not in named
    ]
    assert not wrong, f"others use of {room} what its __init__ names: {', '.join(sorted(named))}. {'; '.join(wrong)}"


def test_the_picture_of_the_structure_is_what_the_code_says() -> None:
    houses = structure.read(SOURCE.parent)
    assert not [arrow for imports in houses.values() for arrow in structure.in_circles(imports)]
    drawn = structure.PICTURE.read_text("utf-8")
    assert drawn == structure.picture(houses), "draw it again: python tests/structure.py"


@pytest.mark.parametrize("name", ["learning", "chat_models"])
def test_the_environment_is_not_read(name: str) -> None:
    wrong = [
        shown(file, node.lineno)
        for file in in_part(name)
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
    ]
    assert not wrong, f"only settings/ reads the environment; pass the value in: {'; '.join(wrong)}"


def test_what_is_imported_is_declared_and_the_other_way_round() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    requirements = [*project["dependencies"], *project["optional-dependencies"]["bench"]]
    declared = {re.split(r"[^\w-]", requirement)[0] for requirement in requirements}
    imported = {
        NAMED_OTHERWISE.get(module.split(".")[0], module.split(".")[0].replace("_", "-"))
        for file in FILES
        for _, module in imports(file)
        if module.split(".")[0] not in {*sys.stdlib_module_names, "lifelearn"}
    }
    assert imported <= declared, f"add to pyproject.toml: {', '.join(sorted(imported - declared))}"
    unused = declared - imported - NEEDED_BY_OTHERS
    assert not unused, f"nothing imports {', '.join(sorted(unused))}: take it out of pyproject.toml"


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
)
def test_threads_do_not_spin_for_long_unless_they_are_told_to(given: dict[str, str], expected: str) -> None:
    inherited = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    script = "import os, lifelearn; print(os.environ.get('GOMP_SPINCOUNT'))"
    found = subprocess.run(
        [sys.executable, "-c", script], env={**inherited, **given}, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == expected
