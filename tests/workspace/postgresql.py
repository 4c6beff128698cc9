"""PostgreSQL for tests and load: a server of their own, in its own folder, and databases on it, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg


class NotInstalledError(Exception):
    """There is no PostgreSQL on this machine."""


@contextmanager
def server() -> Iterator[str]:
    """A server that is reached through a socket in its folder; gives a URL with NAME for the database's name.

    Raises NotInstalledError.
    """
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = shutil.which("initdb") or (str(programs[-1]) if programs else "")
    if not initdb:
        raise NotInstalledError("PostgreSQL is not installed (apt-get install postgresql)")
    # Not in pytest's folder: that is root's alone, again with each run of pytest that begins beside this one.
    folder = Path(tempfile.mkdtemp(prefix="lifelearn-postgresql-"))
    as_user: dict[str, Any] = {}
    if os.geteuid() == 0:  # the server refuses to run as root
        user = next(each for each in pwd.getpwall() if each.pw_name in ("postgres", "nobody"))
        os.chown(folder, user.pw_uid, user.pw_gid)
        as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    data = folder / "data"
    quiet: dict[str, Any] = {"capture_output": True, "cwd": "/", **as_user}
    subprocess.run([initdb, "-D", data, "-U", "lifelearn", "--auth=trust", "--no-sync"], check=True, **quiet)
    control = str(Path(initdb).with_name("pg_ctl"))
    options = f"-k {folder} -c listen_addresses='' -c fsync=off -c max_connections=200"
    subprocess.run([control, "-D", data, "-o", options, "-l", folder / "log", "-w", "start"], check=True, **quiet)
    try:
        yield f"postgresql://lifelearn@/NAME?host={folder}"
    finally:
        subprocess.run([control, "-D", data, "-m", "immediate", "stop"], check=True, **quiet)
        shutil.rmtree(folder)


@contextmanager
def created(start: str, template: str = "template1") -> Iterator[str]:
    """A database for a while, on the server whose URL starts so; gives its URL."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    admin = start.replace("/NAME", "/postgres")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    yield start.replace("/NAME", f"/{name}")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
