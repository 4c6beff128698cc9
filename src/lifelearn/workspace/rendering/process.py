"""The process that makes HTML of Markdown: `python -m lifelearn.workspace.rendering.process`, started by renderer.py.

Speaks JSON, a line each. First comes {"seconds", "memory"}, the limits, and {"ready"} goes. Then for each {"text"} goes
{"html"}, or {"problem"} where there is none. A text that takes more processor time than it may ends the process on the
spot, by SIGPROF: whatever was at work, parser, lexer or sanitiser, is not asked, and nothing is left half done. Time
that other programs take does not count. It ends when its input does, and knows no database, no web and no settings.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import traceback
from contextlib import suppress

from lifelearn.workspace.children import own_output, sender
from lifelearn.workspace.rendering.markdown import TooLargeError, render_markdown


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the web process, with which this one ends
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF})
    send = sender(own_output())
    first = sys.stdin.buffer.readline()
    if not first:
        return
    limits = json.loads(first)
    with suppress(OSError, ValueError):  # not every system can
        resource.setrlimit(resource.RLIMIT_AS, (limits["memory"], limits["memory"]))
    render_markdown("*")  # parsers finish themselves at their first use
    send(b'{"ready": true}')
    for line in sys.stdin.buffer:
        send(json.dumps(_answer(json.loads(line)["text"], limits["seconds"])).encode())


def _answer(text: str, seconds: float) -> dict[str, str]:
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        return {"html": render_markdown(text)}
    except TooLargeError as error:
        return {"problem": str(error)}
    except Exception as error:  # what a parser cannot do, the text can be shown; its message may hold words of the text
        at = traceback.extract_tb(error.__traceback__)[-1]
        return {"problem": f"{type(error).__name__} in {at.filename}, line {at.lineno}"}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


if __name__ == "__main__":
    main()
