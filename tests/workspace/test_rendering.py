"""The process that renders: its ceilings, its end and its return, and that nobody waits for it for long."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lifelearn.workspace.rendering import renderer as rendering
from lifelearn.workspace.rendering.renderer import Renderer, Shown, as_written
from waiting import HANG_SECONDS, until

SLOW = "xmpp:" * 8000  # some twenty seconds
TEXT, HTML = "*a*", "<p><em>a</em></p>\n"

Make = Callable[..., Renderer]


@pytest.fixture
def make() -> Iterator[Make]:
    made = []

    def renderer(**limits: Any) -> Renderer:
        made.append(Renderer(**{"patience": HANG_SECONDS, **limits}))
        return made[-1]

    yield renderer
    for each in made:
        each.close()


def pid(renderer: Renderer) -> int:
    assert renderer._process is not None
    return renderer._process.pid


def asked(renderer: Renderer, text: str = TEXT) -> tuple[threading.Thread, list[Shown]]:
    """A text that is asked for elsewhere, and what comes of it."""
    shown: list[Shown] = []
    thread = threading.Thread(target=lambda: shown.append(renderer.render(text)), daemon=True)
    thread.start()
    until(lambda: renderer._turns._work_queue.empty() and renderer._turns._threads)
    return thread, shown


def test_it_is_one_process_started_at_the_first_use(make: Make) -> None:
    renderer = make()
    assert renderer._process is None
    assert renderer.render(TEXT) == Shown(HTML, "rendered")
    first = pid(renderer)
    assert asyncio.run(renderer.rendered(TEXT)) == Shown(HTML, "rendered")
    assert pid(renderer) == first
    assert os.getsid(first) == first, "Ctrl-C does not reach it"


def test_the_ceiling_of_time_is_of_processor_time(make: Make) -> None:
    renderer = make(seconds=0.5)
    renderer.render(TEXT)
    first = pid(renderer)
    assert renderer.render(SLOW) == Shown(as_written(SLOW), "over")
    assert renderer.render(TEXT) == Shown(HTML, "rendered"), "and it comes back"
    assert pid(renderer) != first
    # Time in which it does nothing does not count.
    os.kill(pid(renderer), signal.SIGSTOP)
    thread, shown = asked(renderer)
    thread.join(1.0)
    assert shown == []
    os.kill(pid(renderer), signal.SIGCONT)
    thread.join()
    assert shown == [Shown(HTML, "rendered")]


def test_who_asks_for_what_is_slow_waits_and_others_do_not(make: Make) -> None:
    renderer = make(seconds=0.2)
    for _ in range(rendering.SLOW_MOST):
        assert renderer.render(SLOW, "a").how == "over"
    assert renderer.render(TEXT, "a") == Shown(as_written(TEXT), "busy"), "for a while"
    assert asyncio.run(renderer.rendered(TEXT, "a")).how == "busy"
    assert renderer.render(TEXT, "b") == Shown(HTML, "rendered")


def test_the_ceiling_of_memory(make: Make) -> None:
    cells = "|" * 300 + "\n" + "|-" * 299 + "|\n" + "a\n" * 190
    text = f"{cells}\n\n{'a' * 30_000}"  # so long that its HTML has room
    renderer = make(seconds=HANG_SECONDS)
    renderer.render(TEXT)
    begins_with = int(re.search(r"VmSize:\s*(\d+) kB", Path(f"/proc/{pid(renderer)}/status").read_text())[1]) << 10  # type: ignore[index]
    assert renderer.render(text).how == "rendered"
    renderer = make(seconds=HANG_SECONDS, memory=begins_with + (24 << 20))
    assert renderer.render(text) == Shown(as_written(text), "over")
    assert renderer.render(TEXT) == Shown(HTML, "rendered")


def test_what_breaks_a_parser_is_shown_as_written(make: Make) -> None:
    text = "*a*\ud800"  # which the sanitiser does not take
    renderer = make()
    assert renderer.render(text) == Shown(as_written(text), "over")
    assert renderer.render(TEXT) == Shown(HTML, "rendered")


def test_killed_while_it_rests_it_is_there_for_the_next_text(make: Make) -> None:
    renderer = make()
    for _ in range(3):
        assert renderer.render(TEXT) == Shown(HTML, "rendered")
        os.kill(pid(renderer), signal.SIGKILL)
        until(lambda: renderer._process is not None and renderer._process.poll() is not None)


@pytest.mark.parametrize(("number", "how"), [(signal.SIGKILL, "busy"), (signal.SIGSEGV, "over")])
def test_killed_at_a_text(make: Make, number: signal.Signals, how: str) -> None:
    """By somebody else it says nothing of the text; by a fault of its own it would end at it again."""
    renderer = make()
    renderer.render(TEXT)
    os.kill(pid(renderer), signal.SIGSTOP)
    thread, shown = asked(renderer)
    os.kill(pid(renderer), number)
    os.kill(pid(renderer), signal.SIGCONT)
    thread.join()
    assert [(each.html, each.how) for each in shown] == [(as_written(TEXT), how)]
    assert renderer.render(TEXT) == Shown(HTML, "rendered")


def test_what_ends_other_processes_does_not_end_it(make: Make) -> None:
    """The whole group of a service is told to end at once; it is asked for until the web process has ended."""
    renderer = make()
    renderer.render(TEXT)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid(renderer), number)
    first = pid(renderer)
    assert renderer.render(TEXT) == Shown(HTML, "rendered")
    assert pid(renderer) == first


def test_one_that_hangs_is_ended(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    renderer = make()
    renderer.render(TEXT)
    os.kill(pid(renderer), signal.SIGSTOP)
    monkeypatch.setattr(rendering, "HANGS", 0.01)
    assert renderer.render(TEXT) == Shown(as_written(TEXT), "busy")
    monkeypatch.undo()
    assert renderer.render(TEXT) == Shown(HTML, "rendered")


def test_one_that_cannot_be_started(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    renderer = make()
    with monkeypatch.context() as patch:
        patch.setattr(rendering, "MODULE", "lifelearn.no_such_module")
        assert renderer.render(TEXT) == Shown(as_written(TEXT), "busy")
        patch.setattr(rendering, "command", lambda _: ["/no/such/program"])
        assert renderer.render(TEXT) == Shown(as_written(TEXT), "busy")
    assert renderer.render(TEXT) == Shown(HTML, "rendered")


def test_nobody_waits_for_long(make: Make) -> None:
    renderer = make()
    renderer.render(TEXT)
    os.kill(pid(renderer), signal.SIGSTOP)
    thread, shown = asked(renderer)
    busy = Shown(as_written("*b*"), "busy")
    assert renderer.render("*b*", left=0.01) == busy
    renderer.patience = 0.01
    assert renderer.render("*b*") == busy
    assert asyncio.run(renderer.rendered("*b*")) == busy
    os.kill(pid(renderer), signal.SIGCONT)
    thread.join()
    assert shown == [Shown(HTML, "rendered")]


def test_who_stops_waiting_leaves_nothing(make: Make) -> None:
    renderer = make()
    renderer.render(TEXT)
    os.kill(pid(renderer), signal.SIGSTOP)

    async def leave() -> None:
        task = asyncio.create_task(renderer.rendered(TEXT))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(leave())
    os.kill(pid(renderer), signal.SIGCONT)
    assert renderer.render(TEXT) == Shown(HTML, "rendered")


PARENT = """
import os, signal
from lifelearn.workspace.rendering.renderer import RENDERER
RENDERER.render("a")
print(RENDERER._process.pid, flush=True)
{end}
"""


@pytest.mark.check("processes")
@pytest.mark.parametrize("end", ["os.kill(os.getpid(), signal.SIGKILL)", ""])
def test_it_ends_with_the_process_that_started_it(end: str) -> None:
    done = subprocess.run([sys.executable, "-c", PARENT.format(end=end)], capture_output=True, text=True, check=False)
    until(lambda: not _runs(int(done.stdout)))


def _runs(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True
