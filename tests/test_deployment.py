"""The files to run it by say what is so: they can be read, name settings and commands that exist, and pin releases."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from typer.main import get_command

from lifelearn.cli import app
from lifelearn.settings import Settings

ROOT = Path(__file__).parents[1]
CONTAINERFILE = (ROOT / "Containerfile").read_text("utf-8")
COMPOSE = (ROOT / "compose.yaml").read_text("utf-8")
UNITS = sorted(path for path in (ROOT / "deploy" / "systemd").rglob("*") if path.is_file())
FILES = [ROOT / "Containerfile", ROOT / "compose.yaml", *UNITS]
SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE)["services"]

of_files = pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)


def commands() -> Iterator[list[str]]:
    """What they have lifelearn do."""
    for service in SERVICES.values():
        if str(service["image"]).startswith("lifelearn") and "command" in service:
            yield service["command"]
    for words in re.findall(r"^CMD \[(.*)\]$", CONTAINERFILE, re.MULTILINE):
        yield [word.strip(' "') for word in words.split(",")]
    for unit in UNITS:
        for line in re.findall(r"^ExecStart=\S*/lifelearn (.*)$", unit.read_text("utf-8"), re.MULTILINE):
            yield shlex.split(line)


@of_files
def test_variables_are_settings(file: Path) -> None:
    named = set(re.findall(r"\bLL_[A-Z_]+\b", file.read_text("utf-8")))
    assert named <= {f"LL_{name.upper()}" for name in Settings.model_fields}


def test_commands_exist_with_their_options() -> None:
    known: Any = get_command(app).commands  # type: ignore[attr-defined]
    found = list(commands())
    assert {words[0] for words in found} == {"serve", "worker", "backup"}
    for words in found:
        options = {option for parameter in known[words[0]].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, words


@of_files
def test_images_are_of_a_release(file: Path) -> None:
    """What was tried is what is taken; and no registry is named but the one that people have set."""
    text = file.read_text("utf-8")
    images = re.findall(r"^(?:ARG BASE=|\s*image: )(\S+)$", text, re.MULTILINE)
    assert all(re.fullmatch(r"[a-z]+:[\w.-]+", image) and not image.endswith(":latest") for image in images), images
    assert "latest" not in text


def test_the_containers_may_do_no_more_than_they_must() -> None:
    for name, service in SERVICES.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["user"] not in ("root", "0"), name
        assert "/tmp" in service["tmpfs"], name
        assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", ())), name
    assert re.findall(r"^USER (\S+)$", CONTAINERFILE, re.MULTILINE) == [SERVICES["workspace"]["user"]]


def test_secrets_have_no_default() -> None:
    for name in ("LL_SECRET_KEY", "POSTGRES_PASSWORD"):
        uses = re.findall(rf"\$\{{{name}(.*?)\}}", COMPOSE)
        assert uses, name
        assert all(use.startswith(":?") for use in uses), name


def test_the_clients_of_the_image_fit_its_server() -> None:
    """pg_dump dumps no server newer than itself. Debian's release decides its own."""
    clients = {"bookworm": 15, "trixie": 17}
    (debian,) = re.findall(r"^ARG BASE=python:[\d.]+-slim-(\w+)$", CONTAINERFILE, re.MULTILINE)
    server = int(re.findall(r"^postgres:(\d+)", SERVICES["database"]["image"])[0])
    assert server <= clients[debian]


def test_the_image_has_the_python_that_the_project_wants() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["requires-python"]
    (found,) = re.findall(r"^ARG BASE=python:3\.(\d+)-slim", CONTAINERFILE, re.MULTILINE)
    assert int(found) >= int(wanted.removeprefix(">=3."))


def test_what_the_image_is_built_from_is_let_in() -> None:
    """Everything that the build reads is excepted from .containerignore, which lets nothing in."""
    let_in = {
        line.removeprefix("!") for line in (ROOT / ".containerignore").read_text().splitlines() if line[:1] == "!"
    }
    assert {"src", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"} <= let_in
    assert (ROOT / ".dockerignore").read_text() == (ROOT / ".containerignore").read_text()


def test_a_worker_finds_the_folder_of_versions() -> None:
    """It makes none itself: elsewhere that would be a folder that nobody shares."""
    (folder,) = re.findall(r"LL_MODEL_STORAGE_DIR=(\S+)$", CONTAINERFILE, re.MULTILINE)
    assert folder in re.findall(r"install --directory (.*)$", CONTAINERFILE, re.MULTILINE)[0].split()
    shared = (ROOT / "deploy" / "systemd" / "lifelearn-.service.d" / "common.conf").read_text("utf-8")
    (folder,) = re.findall(r"LL_MODEL_STORAGE_DIR=/var/lib/(\S+)$", shared, re.MULTILINE)
    assert folder in re.findall(r"^StateDirectory=(.*)$", shared, re.MULTILINE)[0].split()
