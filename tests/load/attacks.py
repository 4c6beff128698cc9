"""Attacks on a workspace with the real default model, and what another organisation's member notices of them.

    python tests/load/attacks.py [--database sqlite|postgresql|both] [--json FILE]

For each database a server of its own on loopback; each attack is bounded in count and time. The exit status is 1 where
a member was refused or waited too long (MOST), or something went over its ceiling.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
from fastapi.routing import iter_route_contexts

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from run import PER_ORGANIZATION, fill, memory_mib, wait  # noqa: E402

from lifelearn.learning.author.detect import DetectionError, detect  # noqa: E402
from lifelearn.learning.types import Message as Turn  # noqa: E402
from lifelearn.workspace.accounts.tables import SignIn  # noqa: E402
from lifelearn.workspace.app import ROUTES  # noqa: E402
from lifelearn.workspace.crypto import Keys, hash_token, new_token  # noqa: E402
from lifelearn.workspace.database import Database  # noqa: E402
from lifelearn.workspace.programs.keys import PREFIX, START  # noqa: E402
from lifelearn.workspace.programs.tables import ApiKey, Scope  # noqa: E402
from lifelearn.workspace.rendering.renderer import RENDERER  # noqa: E402
from workspace.postgresql import server as postgresql  # noqa: E402

# What a member of another organisation may wait at most, in seconds, on two cores; how much HTML a text may become,
# beside 16 KiB; and how long one message may take to be read.
MOST = {"page": 2.0, "first_token": 2.0, "times_the_text": 20.0, "read": 5.0}
ATTACKER, MEMBER = "127.0.0.1", "127.0.0.2"
DRIP_SECONDS, DRIPS_A_ROUTE, CONNECTIONS = 20, 2, 1_200
STREAMS, TURNS, TITLES = 40, 300, 3
FUZZED = 2_000

Figures = dict[str, Any]


class People:
    """Of two organisations: those who attack, and a member who works meanwhile."""

    def __init__(self, database: Database, port: int, secret: str) -> None:
        self.database, self.port, self.secret = database, port, secret
        everybody = fill(database, PER_ORGANIZATION + 1)
        self.attackers, self.member = everybody[:-1], everybody[-1]

    def client(self, person: dict[str, Any], of: str = ATTACKER) -> httpx2.Client:
        """A browser. of: the address that it comes from."""
        return httpx2.Client(
            base_url=f"http://localhost:{self.port}",
            cookies={"lifelearn": person["token"]},
            headers={"X-CSRF-Token": Keys(self.secret).sign("csrf", person["token"])},
            transport=httpx2.HTTPTransport(local_address=of),
            timeout=300,
        )

    def program(self, person: dict[str, Any], of: str = ATTACKER) -> httpx2.Client:
        token = new_token(PREFIX)
        organization_id = uuid.UUID(person["organization"])
        with self.database.write() as db:
            sign_in = db.query(SignIn).filter_by(token_hash=hash_token(person["token"])).one()
            key = {"name": "attack", "start": token[:START], "token_hash": hash_token(token), "scopes": [Scope.CHAT]}
            db.add(ApiKey(organization_id=organization_id, user_id=sign_in.user_id, **key))
        return httpx2.Client(
            base_url=f"http://localhost:{self.port}/v1",
            headers={"Authorization": f"Bearer {token}"},
            transport=httpx2.HTTPTransport(local_address=of),
            timeout=300,
        )


class Visitor:
    """Reads and writes as somebody does who works, and notes how long each took."""

    def __init__(self, people: People) -> None:
        self.browser = people.client(people.member, MEMBER)
        self.at = f"/o/{people.member['organization']}"
        self.seconds: list[float] = []
        self.refused = 0

    def look(self, times: int, every: float = 0.5) -> Figures:
        self.seconds, self.refused = [], 0
        for number in range(times):
            self._timed(lambda: self.browser.get(f"{self.at}/threads"))
            named = {"name": f"A member {number}", "theme": "dark"}
            self._timed(lambda named=named: self.browser.post("/account", data=named))  # type: ignore[misc]
            time.sleep(every)
        return {"slowest_page": round(max(self.seconds), 2), "refused": self.refused}

    def _timed(self, do: Callable[[], httpx2.Response]) -> None:
        started = time.perf_counter()
        try:
            self.refused += do().status_code >= 400
        except httpx2.HTTPError:
            self.refused += 1
        self.seconds.append(time.perf_counter() - started)


def first_token(program: httpx2.Client, text: str) -> float:
    """Seconds from a question to the first piece of its answer."""
    started = time.perf_counter()
    body = {"model": "life-learn", "messages": [{"role": "user", "content": text}], "stream": True, "max_tokens": 16}
    with program.stream("POST", "/chat/completions", json=body) as answer:
        if answer.status_code != 200:
            return float("inf")
        first = float("inf")
        for line in answer.iter_lines():
            if first == float("inf") and '"content": "' in line and '"content": ""' not in line:
                first = time.perf_counter() - started
    return first


# The attacks


def drip(people: People, visitor: Visitor) -> Figures:
    """Bodies that come byte by byte, at every route that takes one, from nobody and from a member."""
    organization = people.attackers[0]["organization"]
    routes = sorted(
        (method, re.sub(r"\{[^}]*\}", str(uuid.uuid4()), str(route.path).replace("{organization_id}", organization)))
        for route in iter_route_contexts(ROUTES.routes)
        for method in {"POST", "PUT", "PATCH", "DELETE"}.intersection(getattr(route, "methods", None) or ())
    )
    assert len(routes) > 50
    ends = threading.Event()

    async def one(method: str, path: str, cookie: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", people.port)
        lines = [f"{method} {path} HTTP/1.1", f"Host: localhost:{people.port}", "Content-Length: 1000"]
        lines += ["Content-Type: application/x-www-form-urlencoded", *([f"Cookie: {cookie}"] if cookie else [])]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        while not ends.is_set() and not reader.at_eof():
            writer.write(b"x")
            await asyncio.sleep(1)
        writer.close()

    async def all_of_them() -> None:
        cookies = ["", f"lifelearn={people.attackers[0]['token']}"]
        drips = (one(*route, cookies[number % 2]) for route in routes for number in range(DRIPS_A_ROUTE))
        await asyncio.gather(*drips, return_exceptions=True)

    dripping = threading.Thread(target=lambda: asyncio.run(all_of_them()))
    dripping.start()
    time.sleep(2)
    told = visitor.look(DRIP_SECONDS)
    ends.set()
    dripping.join()
    return {"routes": len(routes), "bodies": len(routes) * DRIPS_A_ROUTE, **told}


def connections(people: People, visitor: Visitor) -> Figures:
    """More connections than one address may have, each with a body that does not come."""
    head = f"POST /sign-in HTTP/1.1\r\nHost: localhost:{people.port}\r\nContent-Length: 9\r\n\r\n".encode()
    held, taken = [], 0
    for _ in range(CONNECTIONS):
        one = socket.create_connection(("127.0.0.1", people.port), 30, (ATTACKER, 0))
        held.append(one)
        try:
            one.sendall(head)
        except OSError:  # refused, and closed already
            continue
    time.sleep(1)
    for one in held:
        one.setblocking(False)
        try:
            taken += bool(one.recv(1, socket.MSG_PEEK)) and 0
        except BlockingIOError:
            taken += 1
        except OSError:
            pass
    told = visitor.look(10)
    for one in held:
        one.close()
    return {"connections": CONNECTIONS, "held": taken, **told}


def streams(people: People, visitor: Visitor, quiet: float) -> Figures:
    """Forty long answers of one organisation, a conversation of three hundred turns, and chat front ends' titles."""
    programs = [people.program(person) for person in people.attackers[:6]]
    long = {"model": "life-learn", "stream": True, "max_tokens": 4096, "temperature": 1}
    ends = threading.Event()
    begun, told = [0], []

    def read(program: httpx2.Client, messages: list[dict[str, str]]) -> None:
        started = time.perf_counter()
        try:
            with program.stream("POST", "/chat/completions", json={**long, "messages": messages}) as answer:
                if answer.status_code != 200:
                    told.append(answer.status_code)
                    return
                for line in answer.iter_lines():
                    if line and not begun[0]:
                        begun[0] = 1
                    if len(messages) == TURNS and "turns" not in found and '"content"' in line:
                        found["turns"] = round(time.perf_counter() - started, 1)
                    if ends.is_set():
                        return
        except httpx2.HTTPError:
            pass

    found: Figures = {}
    story = [{"role": "user", "content": "Tell me a very long story about the sea."}]
    talk = [
        {"role": "user" if turn % 2 == 0 else "assistant", "content": f"Turn {turn}. " + "We talk of leave. " * 36}
        for turn in range(TURNS - 1)
    ]
    talk += [{"role": "user", "content": "And now?"}]
    titles = [*talk[:20], {"role": "user", "content": "Give this chat a title of three words."}]
    assert len(talk) == TURNS
    with ThreadPoolExecutor(STREAMS + 1 + TITLES) as pool:
        for number in range(STREAMS):
            pool.submit(read, programs[number % 5], story)
        time.sleep(3)
        pool.submit(read, programs[5], talk)
        for _ in range(TITLES):
            pool.submit(read, programs[5], titles)
        member = people.program(people.member, MEMBER)
        time.sleep(0.5)
        firsts = [first_token(member, f"What is {number} and {number}?") for number in range(10)]
        pages = visitor.look(5)
        ends.set()
    return {
        "streams": STREAMS,
        "turns": TURNS,
        "kb_of_turns": sum(len(each["content"]) for each in talk) // 1000,
        "first_token_quiet": round(quiet, 2),
        "first_token_median": round(sorted(firsts)[len(firsts) // 2], 2),
        "first_token_slowest": round(max(firsts), 2),
        "refused_with_429": told.count(429),
        **pages,
    }


def imports(people: People, visitor: Visitor, server: int) -> Figures:
    """Answers that amplify: a long title referenced thousands of times, bare schemes, brackets, tables, quotes."""
    title = "x" * 20_000
    answers = [
        f'[a]: http://e.example "{title}"\n\n' + "[a] " * 4_500,
        "xmpp:" * 7_900,
        "www." * 9_900,
        "https://" * 4_900,
        "[" * 39_000,
        "![" * 19_000,
        "*a_ " * 9_900,
        "> " * 19_000 + "x",
        "| a " * 9_900 + "\n" + "|-" * 9_900 + "\n|\n",
        "- " * 19_000,
        "`" * 39_000,
        "<" * 39_000,
        "$x^{" * 9_000,
        "```python\n" + "(" * 39_000,
        "\\[" * 19_000,
        "&" * 39_000,
        "a@b.c " * 6_500,
        ("[a](" * 9_000),
        ("~~a" * 13_000),
        ("1. " * 12_000),
    ]
    nodes: dict[str, Any] = {"root": {"id": "root", "message": None, "parent": None, "children": []}}
    parent = "root"
    for number, text in enumerate(answers):
        name = f"n{number}"
        message = {
            "id": name, "author": {"role": "assistant"}, "content": {"content_type": "text", "parts": [text]},
            "create_time": 1.7e9 + number,
        }  # fmt: skip
        nodes[name] = {"id": name, "message": message, "parent": parent, "children": []}
        nodes[parent]["children"].append(name)
        parent = name
    chat = {
        "title": "Amplified",
        "mapping": nodes,
        "current_node": parent,
        "conversation_id": "c1",
        "create_time": 1.7e9,
    }
    browser = people.client(people.attackers[0])
    at = f"/o/{people.attackers[0]['organization']}"
    before = memory_mib(server)
    data = json.dumps([chat]).encode()
    answer = browser.post(f"{at}/import", files={"file": ("conversations.json", data, "application/json")})
    assert "1 chat imported" in answer.text, answer.text[:2000]
    listed = browser.get(f"{at}/threads").text
    [path] = set(re.findall(rf'"({at}/threads/[0-9a-f-]+)"[^>]*>[^<]*Amplified', listed))
    views: list[tuple[float, int]] = []

    def view() -> None:
        for _ in range(6):
            started = time.perf_counter()
            page = browser.get(f"{path}?turns=200")
            views.append((time.perf_counter() - started, len(page.content)))

    with ThreadPoolExecutor(1) as pool:
        viewing = pool.submit(view)
        told = visitor.look(10)
        viewing.result()
    return {
        "answers": len(answers),
        "kb": len(data) // 1000,
        "first_view": round(views[0][0], 2),
        "last_view": round(views[-1][0], 2),
        "page_kb": max(size for _, size in views) // 1000,
        "web_process_grew_mib": max(0, memory_mib(server) - before),
        **told,
    }


PIECES = (
    "No", ", ", "that is wrong", ". ", "it is", " 25 ", "days", "not", "\n", "\"", "'", "(", ")", " is is", "!", "?",
    "s" * 500, "ß" * 200, "1 " * 200, "a." * 200, "Actually ", "you said ", "\u200b", "e\u0301" * 50, "北京", "اثنان",
    "http://a.b/" * 20, "<|im_end|>", "0" * 300, "- " * 200, "of the " * 100, "the " * 200, "\ud7ff", "🙂" * 30,
)  # fmt: skip


MARKS = (
    "[",
    "](",
    ")",
    "![",
    "[a]",
    ": http://e.example",
    ' "' + "t" * 500 + '"',
    "*",
    "_",
    "**",
    "~~",
    "`",
    "```",
    "~~~python",
    "\n",
    "\n\n",
    "> ",
    "- ",
    "1. ",
    "    ",
    "| a ",
    "|-",
    "#",
    "<",
    ">",
    "&",
    "$",
    "\\(",
    "\\[",
    "\\]",
    "^{",
    "}",
    "xmpp:",
    "www.",
    "https://",
    "mailto:",
    "a@b.c",
    "\\",
    "\t",
    "word ",
    "&#x",
    "<!--",
    "<a href=",
    "(" * 50,
    "é",
    "\u202e",
    "🙂",
)


def markdown(seed: int = 0) -> Figures:
    """Texts put together of Markdown's marks, some of them repeated by the hundred, and what became of them."""
    draw = random.Random(seed)
    slowest, most, how = 0.0, 0.0, Counter[str]()
    for _ in range(FUZZED // 4):
        pieces = draw.choices(MARKS, k=draw.randint(1, 12))
        text = "".join(piece * draw.choice((1, 1, 3, 200, 2_000)) for piece in pieces)[:40_000]
        started = time.perf_counter()
        shown = RENDERER.render(text)
        slowest = max(slowest, time.perf_counter() - started)
        how[shown.how] += 1
        most = max(most, (len(shown.html) - (16 << 10)) / len(text))
    return {"texts": FUZZED // 4, **how, "slowest_seconds": round(slowest, 2), "most_times_the_text": round(most, 1)}


def detection(seed: int = 0) -> Figures:
    """Messages put together of pieces that are awkward for patterns, and how long the longest took to read."""
    draw = random.Random(seed)
    slowest = 0.0
    for _ in range(FUZZED // 4):
        text = "".join(draw.choices(PIECES, k=draw.randint(1, 60)))
        asked, answered = Turn(role="user", content="How many days?"), Turn(role="assistant", content="20 days.")
        started = time.process_time()
        with suppress(DetectionError):  # one that contradicts itself, which is told
            detect((asked, answered, Turn(role="user", content=text)), None)
        slowest = max(slowest, time.process_time() - started)
    return {"messages": FUZZED // 4, "slowest_cpu_seconds": round(slowest, 2)}


# A run


@contextmanager
def served(url: str, folder: Path) -> Iterator[tuple[int, int, str]]:
    """A server: its port, its process, and its secret."""
    secret = secrets.token_urlsafe(48)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "LL_DATABASE_URL": url,
        "LL_MODEL_STORAGE_DIR": str(folder / "models"),
        "LL_PUBLIC_URL": f"http://localhost:{port}",
        "LL_SECRET_KEY": secret,
    }
    command = [sys.executable, "-m", "lifelearn", "serve", "--port", str(port)]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            wait(port, server)
            yield port, server.pid, secret
        finally:
            server.terminate()
            server.wait(60)


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
        with served(url, folder) as (port, server, secret):
            people = People(database, port, secret)
            visitor = Visitor(people)
            while visitor.browser.get("/readyz").json()["model"] != "ready":
                time.sleep(0.2)
            member = people.program(people.member, MEMBER)
            quiet = sorted(first_token(member, f"What is {number}?") for number in range(5))[2]
            attacks: dict[str, Callable[[], Figures]] = {
                "quiet": lambda: visitor.look(5),
                "drip": lambda: drip(people, visitor),
                "connections": lambda: connections(people, visitor),
                "streams": lambda: streams(people, visitor, quiet),
                "imports": lambda: imports(people, visitor, server),
            }
            found = {name: timed(name, attack) for name, attack in attacks.items()}
            log = (folder / "server.log").read_text("utf-8", "replace")
            found["server"] = {"web_process_mib": memory_mib(server), "bugs": log.count("[error")}
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
        with postgresql() as url:
            name = f"attacks_{secrets.token_hex(4)}"
            create(url, name)
            found["postgresql"] = attacked(url.replace("NAME", name))
    found["no server"] = {"markdown": timed("markdown", markdown), "detection": timed("detection", detection)}
    print(json.dumps(found, indent=1))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    told = list(problems(found))
    print("\n".join(told) or "Nobody else noticed more than they may.")
    return 1 if told else 0


def create(url: str, name: str) -> None:
    import psycopg

    with psycopg.connect(url.replace("NAME", "postgres"), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')


if __name__ == "__main__":
    sys.exit(main())
