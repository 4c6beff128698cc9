"""Attacks by connections: bodies that drip, connections that are only held, answers without an end."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx2
from fastapi.routing import iter_route_contexts
from visitors import ATTACKER, MEMBER, Figures, People, Visitor, first_token

from lifelearn.workspace.app import ROUTES

DRIP_SECONDS, DRIPS_A_ROUTE, CONNECTIONS = 20, 2, 1_200
STREAMS, TURNS, TITLES = 40, 300, 3


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
        reader, writer = await asyncio.open_connection("127.0.0.1", people.server.port)
        lines = [f"{method} {path} HTTP/1.1", f"Host: localhost:{people.server.port}", "Content-Length: 1000"]
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
    head = f"POST /sign-in HTTP/1.1\r\nHost: localhost:{people.server.port}\r\nContent-Length: 9\r\n\r\n".encode()
    held, taken = [], 0
    for _ in range(CONNECTIONS):
        one = socket.create_connection(("127.0.0.1", people.server.port), 30, (ATTACKER, 0))
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
