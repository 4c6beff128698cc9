"""Attacks on a workspace with the real default model, and what another organisation's member notices of them.

    python tests/load/attacks.py [--database sqlite|postgresql|both] [--json FILE]

For each database a server of its own on loopback; each attack is bounded in count and time. The exit status is 1 where
a member was refused or waited too long (MOST), or something went over its ceiling.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from floods import connections, drip, streams
from server import served, tell
from texts import detection, imports, markdown
from visitors import MEMBER, Figures, People, Visitor, first_token

from lifelearn.workspace.database import Database
from workspace.postgresql import created
from workspace.postgresql import server as postgresql

# What a member of another organisation may wait at most, in seconds, on two cores; how much HTML a text may become,
# beside 16 KiB; and how long one message may take to be read.
MOST = {"page": 2.0, "first_token": 2.0, "times_the_text": 20.0, "read": 5.0}


def timed(name: str, attack: Callable[[], Figures]) -> Figures:
    """The figures of an attack, told once they are there, with how long it took."""
    started = time.monotonic()
    found = attack()
    print(f"{name}: {json.dumps(found)} ({time.monotonic() - started:.0f} s)", file=sys.stderr, flush=True)
    return found


def attacked(url: str) -> Figures:
    folder = Path(tempfile.mkdtemp(prefix="lifelearn-attacks-"))
    url = url or f"sqlite:///{folder}/attacks.db"
    database = Database(url)
    try:
        with served(url, folder) as server:
            people = People(database, server)
            visitor = Visitor(people)
            server.wait_for_model()
            member = people.program(people.member, MEMBER)
            quiet = sorted(first_token(member, f"What is {number}?") for number in range(5))[2]
            attacks: dict[str, Callable[[], Figures]] = {
                "quiet": lambda: visitor.look(5),
                "drip": lambda: drip(people, visitor),
                "connections": lambda: connections(people, visitor),
                "streams": lambda: streams(people, visitor, quiet),
                "imports": lambda: imports(people, visitor),
            }
            found = {name: timed(name, attack) for name, attack in attacks.items()}
            found["server"] = {"web_process_mib": server.mib, "bugs": server.told("[error")}
    finally:
        database.close()
    return found


def problems(found: Figures) -> Iterator[str]:
    """What a member noticed more of than MOST allows."""
    for database, attacks in found.items():
        for name, told in attacks.items():
            if told.get("refused"):
                yield f"{database}, {name}: a member was refused {told['refused']} times"
            if told.get("slowest_page", 0) > MOST["page"]:
                yield f"{database}, {name}: a page took {told['slowest_page']} s"
            if told.get("first_token_slowest", 0) > MOST["first_token"]:
                yield f"{database}, {name}: a first token took {told['first_token_slowest']} s"
            if (
                told.get("most_times_the_text", 0) > MOST["times_the_text"]
                or told.get("slowest_cpu_seconds", 0) > MOST["read"]
            ):
                yield f"{database}, {name}: over its ceiling, {told}"
            if told.get("bugs"):
                yield f"{database}: {told['bugs']} errors in the server's log"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: Figures = {}
    if options.database in ("sqlite", "both"):
        found["sqlite"] = attacked("")
    if options.database in ("postgresql", "both"):
        with postgresql() as start, created(start) as url:
            found["postgresql"] = attacked(url)
    found["no server"] = {"markdown": timed("markdown", markdown), "detection": timed("detection", detection)}
    tell(found, options.json)
    told = list(problems(found))
    print("\n".join(told) or "Nobody else noticed more than they may.")
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
