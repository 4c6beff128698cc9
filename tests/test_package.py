"""What is built is whole: the wheel alone, far from the checkout, gives a workspace whose pages load all they need."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import venv
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest
from playwright.sync_api import expect, sync_playwright

from workspace.live import ARGUMENTS, CHROMIUM

ROOT = Path(__file__).parents[1]
VENDOR = "src/lifelearn/workspace/static/vendor"
LOADED = ("htmx.min.js", "sse.min.js", "pico.jade.min.css")

pytestmark = [pytest.mark.check("installing"), pytest.mark.xdist_group("processes")]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the sdist and the wheel; DIST, where they are built already."""
    if "DIST" in os.environ:
        return ROOT / os.environ["DIST"]
    folder = tmp_path_factory.mktemp("dist")
    build(ROOT, folder)
    return folder


def build(project: Path, output: Path, *options: str, **environment: str) -> None:
    """The sdist, and the wheel from it, if the options ask for nothing else."""
    command = [sys.executable, "-m", "build", "--no-isolation", *options, "--outdir", str(output), str(project)]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel in it. What it requires is found where these tests find it."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    made = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(made), "install", "--quiet", "--no-deps", str(wheel)]
    subprocess.run(pip, check=True)
    (site,) = folder.glob("lib/*/site-packages")
    (site / "required.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    return made


def outside() -> dict[str, str]:
    """The environment, in which nothing leads to the checkout."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


@pytest.fixture
def served(python: Path, tmp_path: Path) -> Iterator[str]:
    """`lifelearn serve` in an empty folder; where it is."""
    process = subprocess.Popen(
        [python.with_name("lifelearn"), "serve", "--port", "0"],
        cwd=tmp_path, env={**outside(), "LL_INFERENCE_BACKEND": "mock"}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield re.findall(r"http://\S+", line)[0]
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_it_is_imported_from_the_wheel(python: Path, tmp_path: Path) -> None:
    where = [str(python), "-c", "import lifelearn; print(lifelearn.__file__)"]
    said = subprocess.run(where, cwd=tmp_path, env=outside(), capture_output=True, text=True, check=True).stdout
    assert Path(said).is_relative_to(python.parents[1])


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (apt-get install chromium)")
def test_the_wheel_serves_a_whole_workspace(served: str) -> None:
    answers: list[tuple[int, str]] = []
    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page()
        page.on("response", lambda answer: answers.append((answer.status, answer.url)))
        page.on("requestfailed", lambda request: errors.append(f"{request.url}: {request.failure}"))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.goto(served)
        expect(page.get_by_label("Your team or company")).to_be_visible()
        page.wait_for_load_state("networkidle")
        htmx = page.evaluate("() => typeof htmx.process")
        button = page.locator("main button[type=submit]")
        jade = button.evaluate("it => getComputedStyle(it).getPropertyValue('--pico-primary-background').trim()")
        colour = button.evaluate("it => getComputedStyle(it).backgroundColor")
        browser.close()
    assert errors == []
    assert [answer for answer in answers if answer[0] not in (200, 303) or not answer[1].startswith(f"{served}/")] == []
    assert {url.rsplit("/", 1)[1] for _, url in answers} >= {*LOADED, "workspace.css", "workspace.js"}
    assert htmx == "function"
    assert colour == "rgb({}, {}, {})".format(*bytes.fromhex(jade.removeprefix("#"))), "Pico's style is applied"


def test_what_pages_load_is_in_both_with_its_licences(wheel: Path, built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with ZipFile(wheel) as held, tarfile.open(archive) as source:
        names = held.namelist()
        for name in LOADED:
            path = f"lifelearn/workspace/static/vendor/{name}"
            assert held.read(path) == (ROOT / VENDOR / name).read_bytes()
            assert b"permission" in held.read(f"{path}.LICENSE.txt").lower()
            assert source.extractfile(f"{archive.name.removesuffix('.tar.gz')}/src/{path}") is not None
        about = next(name for name in names if name.endswith(".dist-info/METADATA"))
        assert "License-Expression: Apache-2.0 AND MIT AND 0BSD\n" in held.read(about).decode()
        assert about.replace("METADATA", "licenses/LICENSE") in names


def test_nothing_else_is_in_the_wheel(wheel: Path) -> None:
    """What git has under src, and what pages load."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "src"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    ours = {name.removeprefix("src/") for name in listed}
    with ZipFile(wheel) as held:
        found = {name for name in held.namelist() if ".dist-info/" not in name}
    vendor = {name for name in found if name.startswith("lifelearn/workspace/static/vendor/")}
    assert found - vendor == ours
    assert len(vendor) == 2 * len(LOADED) + 1  # a licence each, and the lock file


def test_npm_runs_again_only_where_the_lock_file_changed(tmp_path: Path) -> None:
    project, tools, calls = tmp_path / "project", tmp_path / "tools", tmp_path / "calls"
    (project / "src" / "lifelearn" / "workspace" / "static").mkdir(parents=True)
    (project / "src" / "lifelearn" / "__init__.py").touch()
    for name in ("pyproject.toml", "hatch_build.py", "package-lock.json", "README.md", "LICENSE"):
        (project / name).write_bytes((ROOT / name).read_bytes())
    for file in ("htmx.org/dist/htmx.min.js", "htmx-ext-sse/dist/sse.min.js", "@picocss/pico/css/pico.jade.min.css"):
        path = project / "node_modules" / file
        path.parent.mkdir(parents=True)
        path.touch()
        (path.parents[1] / "LICENSE").touch()
    tools.mkdir()
    npm = tools / "npm"
    npm.write_text(f'#!/bin/sh\necho "$@" >>{calls}\n')
    npm.chmod(0o755)
    first = f"{tools}{os.pathsep}{os.environ['PATH']}"
    build(project, tmp_path / "dist", PATH=first)  # from the sdist the wheel is built without npm
    build(project, tmp_path / "dist", "--sdist", PATH=first)
    assert calls.read_text() == "ci --loglevel=error\n"
    with (project / "package-lock.json").open("a") as lock:
        lock.write("\n")
    build(project, tmp_path / "dist", "--sdist", PATH=first)
    assert calls.read_text() == 2 * "ci --loglevel=error\n"
