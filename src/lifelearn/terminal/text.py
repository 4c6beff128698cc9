"""Text on its way to and from a terminal. Pure functions; knows nothing of models or screens."""

from __future__ import annotations

import re

# Whole escape sequences (CSI, OSC and the two-character ones), as far as they come in one piece.
_ESCAPE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]")
# What a terminal could take for a command: C0 and C1 controls but tab and newline, the overrides of
# text direction, and lone surrogates, which are no text at all.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def clean(text: str) -> str:
    """`text` without anything that moves the cursor, changes colours or rings the bell; all scripts stay."""
    return _CONTROL.sub("", _ESCAPE.sub("", text.replace("\r\n", "\n")))


def one_line(text: str, width: int = 0) -> str:
    """`text` on a single clean line, cut to `width` characters if that is given."""
    line = " ".join(clean(text).split())
    return line if not width or len(line) <= width else line[: width - 1].rstrip() + "…"


def duration(seconds: float) -> str:
    """A duration as people write it: 0.4 s, 12 s, 1:05, 1:02:03."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size(count: int) -> str:
    """A number of bytes as people write it: 640 B, 9.8 MB."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if value >= 100 or unit == "B" else f"{value:.1f} {unit}"


def figure(value: float) -> str:
    """A number without a tail of zeros: 4, 0.75, 0.0123."""
    return f"{value:.4g}"


def plural(count: int, noun: str) -> str:
    """A number with its noun: 1 correction, 2 corrections."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
