"""Attacks by texts: those that grow when they are shown, and those that are slow to be read."""

from __future__ import annotations

import json
import random
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from visitors import Figures, People, Visitor

from lifelearn.learning.author.detect import DetectionError, detect
from lifelearn.learning.types import Message as Turn
from lifelearn.workspace.rendering.renderer import RENDERER

FUZZED = 2_000
PIECES = (
    "No", ", ", "that is wrong", ". ", "it is", " 25 ", "days", "not", "\n", "\"", "'", "(", ")", " is is", "!", "?",
    "s" * 500, "ß" * 200, "1 " * 200, "a." * 200, "Actually ", "you said ", "\u200b", "e\u0301" * 50, "北京", "اثنان",
    "http://a.b/" * 20, "<|im_end|>", "0" * 300, "- " * 200, "of the " * 100, "the " * 200, "\ud7ff", "🙂" * 30,
)  # fmt: skip
MARKS = (
    "[", "](", ")", "![", "[a]", ": http://e.example", ' "' + "t" * 500 + '"', "*", "_", "**", "~~", "`", "```",
    "~~~python", "\n", "\n\n", "> ", "- ", "1. ", "    ", "| a ", "|-", "#", "<", ">", "&", "$", "\\(", "\\[", "\\]",
    "^{", "}", "xmpp:", "www.", "https://", "mailto:", "a@b.c", "\\", "\t", "word ", "&#x", "<!--", "<a href=",
    "(" * 50, "é", "\u202e", "🙂",
)  # fmt: skip


def imports(people: People, visitor: Visitor) -> Figures:
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
    before = people.server.mib
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
        "web_process_grew_mib": max(0, people.server.mib - before),
        **told,
    }


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
