"""The process that holds the model: `python -m lifelearn.workspace.model_process`, started by inference.py.

One base model in memory answers for all organisations, each by its own version. The answers that are being written
take turns, so that a short one does not wait for a long one, nor one organisation for another.

Speaks JSON, a line each. The first line in is what it needs of the settings (keys are in no argument and in no
environment). Then comes {"id", "of", "conversation", "sampling", "weights"} for an answer and {"id", "stop"} to end
one; out go {"doing"} while it is loading, {"state", "name" or "problem"}, {"id", "piece"}, and {"id", "end"} or
{"id", "error"}. It ends when its input does, however the process that started it ended. Knows no web and no database.
"""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from lifelearn.backends import chat_model
from lifelearn.learning import private
from lifelearn.learning.chat_model import ChatModel, ChatModelError, Sampling
from lifelearn.learning.types import Conversation, Message
from lifelearn.settings import Settings
from lifelearn.workspace import logs
from lifelearn.workspace.children import inbox, own_output, sender
from lifelearn.workspace.jobs.orders import ANSWERS
from lifelearn.workspace.turns import AT_ONCE, READ, WRITTEN, Turns

if TYPE_CHECKING:
    from lifelearn.chat_models.local import LocalChatModel

PREPARED_AT_ONCE = 2  # prompts that are made of conversations
THREADS = 4 * AT_ONCE  # that wait for another server: one whose answer was left hears of it with the next piece only

log = structlog.get_logger("lifelearn.model")
Line = dict[str, Any]
Send = Callable[[Line], None]
Inbox = queue.SimpleQueue[Line]


def main() -> None:
    private.umask()
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the web process, which closes our input when it is done
        signal.signal(number, signal.SIG_IGN)
    write = sender(own_output())

    def send(line: Line) -> None:
        write(json.dumps(line).encode())

    first = sys.stdin.buffer.readline()
    if first:
        settings = Settings(**json.loads(first))
        logs.configure(settings.log_format)
        _serve(settings, inbox(json.loads), send)
    os._exit(0)  # not waiting for the thread that reads


def _serve(settings: Settings, inbox: Inbox, send: Send) -> None:
    """Loads the model and answers; returns where it cannot be loaded."""

    def tell(doing: str) -> None:
        log.info(doing)
        send({"doing": doing})

    try:
        model = chat_model(settings, tell)
    except ChatModelError as error:
        send({"state": "failed", "problem": str(error)})
        return
    except Exception as error:
        log.exception("the model cannot be loaded")
        send({"state": "failed", "problem": f"The model cannot be loaded: {_line(error)} The log says more."})
        return
    send({"state": "ready", "name": model.name})
    if settings.inference_backend == "local":
        in_turns(model, inbox, send)  # type: ignore[arg-type]  # which that backend gives
    else:
        in_threads(model, inbox, send)


def in_turns(model: LocalChatModel, inbox: Inbox, send: Send) -> None:
    """Answers on this machine: each in its turn reads a part of its prompt or writes a token (turns.py).

    Prompts are made of conversations in threads of their own, outside everybody's turn. Once one is there, its line
    comes to the inbox with it, or with why there is none.
    """
    turns, waiting = Turns(), Turns()
    asked: dict[int, Line] = {}  # whose prompts are to be made
    preparing: set[int] = set()
    ready: dict[int, Line] = {}
    running: dict[int, Iterator[str | None]] = {}
    busy = 0  # threads that prepare, also for those who have left meanwhile

    def prepare(line: Line) -> None:
        try:
            conversation, sampling, weights = _asked(line)
            prompt = model.prompt(conversation, sampling.max_tokens)
            made = {"of": line["of"], "prompt": prompt, "sampling": sampling, "weights": weights}
        except Exception as error:
            made = {"problem": _told(error)}
        inbox.put({"id": line["id"], **made})

    def take(line: Line) -> None:
        nonlocal busy
        number = line["id"]
        if "stop" in line:
            waiting.remove(number)
            asked.pop(number, None)
            preparing.discard(number)
            ready.pop(number, None)
            end(number)
        elif "conversation" in line:
            asked[number] = line
            waiting.add(number, line["of"])
        else:
            busy -= 1
            if number not in preparing:
                return  # stopped meanwhile
            preparing.remove(number)
            if "problem" in line:
                send({"id": number, "error": line["problem"]})
            else:
                ready[number] = line

    def hand_out() -> None:
        """Has the next prompts made, of whoever has had least text read."""
        nonlocal busy
        while waiting and busy < PREPARED_AT_ONCE:
            number = waiting.next()
            line = asked.pop(number)
            waiting.used(number, sum(len(turn["content"]) for turn in line["conversation"]))
            waiting.remove(number)
            preparing.add(number)
            busy += 1
            pool.submit(prepare, line)

    def begin(made: Line) -> None:
        number = made["id"]
        try:
            running[number] = model.pieces(made["prompt"], made["sampling"], model.network_for(made["weights"]))
            turns.add(number, made["of"])
        except Exception as error:
            send({"id": number, "error": _told(error)})

    def go_on(number: int) -> None:
        try:
            piece = next(running[number])
        except StopIteration:
            end(number)
            return send({"id": number, "end": True})
        except Exception as error:
            end(number)
            return send({"id": number, "error": _told(error)})
        turns.used(number, READ if piece is None else WRITTEN)
        if piece:
            send({"id": number, "piece": piece})
        return None

    def end(number: int) -> None:
        running.pop(number, None)
        turns.remove(number)

    with ThreadPoolExecutor(PREPARED_AT_ONCE) as pool:
        while True:
            while not inbox.empty() or not (turns or ready):
                take(inbox.get())
                hand_out()
            if ready and len(turns) < AT_ONCE:
                begin(ready.pop(min(ready, key=lambda number: turns.count(ready[number]["of"]))))
            if turns:
                go_on(turns.next())


def in_threads(model: ChatModel, inbox: Inbox, send: Send) -> None:
    """Answers from elsewhere: each waits for its server in a thread of its own."""
    stopped: dict[int, threading.Event] = {}

    def answer(asked: Line, stop: threading.Event) -> None:
        number = asked["id"]
        conversation, sampling, weights = _asked(asked)
        try:
            if not stop.is_set():
                for piece in _scripted(conversation, weights) or model.stream(conversation, sampling):
                    if stop.is_set():
                        break
                    send({"id": number, "piece": piece})
            send({"id": number, "end": True})
        except Exception as error:
            send({"id": number, "error": _told(error)})
        finally:
            stopped.pop(number, None)

    with ThreadPoolExecutor(THREADS) as pool:
        while True:
            line = inbox.get()
            if "stop" not in line:
                stop = stopped[line["id"]] = threading.Event()
                pool.submit(answer, line, stop)
            elif line["id"] in stopped:
                stopped[line["id"]].set()


def _scripted(conversation: Conversation, weights: Path | None) -> list[str]:
    """What a version that was learned without a model (jobs/scripted.py) answers; nothing where it has no answer."""
    if weights is None or not (answers := weights / ANSWERS).exists():
        return []
    said = json.loads(answers.read_text()).get(conversation[-1].content, "")
    return re.findall(r"\S+\s*", said)


def _asked(line: Line) -> tuple[Conversation, Sampling, Path | None]:
    conversation = tuple(Message(**turn) for turn in line["conversation"])
    return conversation, Sampling(**line["sampling"]), Path(line["weights"]) if line["weights"] else None


def _told(error: Exception) -> str:
    if isinstance(error, ChatModelError):
        return str(error)
    log.error("the model stopped answering", exc_info=error)
    return f"The model stopped answering: {_line(error)}"


def _line(error: Exception) -> str:
    line = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return line if line.endswith(".") else f"{line}."


if __name__ == "__main__":
    main()
