from __future__ import annotations

import errno

import pytest

from lifelearn.learning.chat_model import ChatModelError
from lifelearn.terminal.errors import sentence
from lifelearn.terminal.text import clean, duration, one_line, size
from lifelearn.terminal.wrap import Wrapper


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;owned title\x07after", "after"),
        ("\x1b]8;;http://example.org\x1b\\link", "link"),
        ("a\x1bcb", "ab"),  # reset of the terminal
        ("a\x9b31mb", "a31mb"),  # the one-byte form of CSI
        ("bell\x07 back\x08space", "bell backspace"),
        ("over\rwritten", "overwritten"),
        ("flip \u202eped\u202c", "flip ped"),
        ("lone \udcff surrogate", "lone  surrogate"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("日本語 العربية हिन्दी 👩‍🔬", "日本語 العربية हिन्दी 👩‍🔬"),
    ],
)
def test_what_could_command_a_terminal_is_removed_and_all_scripts_stay(raw: str, shown: str) -> None:
    assert clean(raw) == shown


def test_an_escape_sequence_torn_between_pieces_is_harmless() -> None:
    assert "\x1b" not in "".join(map(clean, ["a\x1b", "[2", "Jb"]))


def test_durations_sizes_and_cut_lines_are_short_and_readable() -> None:
    assert [duration(s) for s in (0.04, 12.3, 59.6, 65, 3723)] == ["0.0 s", "12 s", "1:00", "1:05", "1:02:03"]
    assert [size(n) for n in (640, 9_800_000, 540_000_000)] == ["640 B", "9.8 MB", "540 MB"]
    assert one_line("a\n b\x07  c", 4) == "a b…"


@pytest.mark.parametrize("cut", range(1, 9))
def test_streamed_words_wrap_as_whole_text_does(cut: int) -> None:
    text = "one two three four\nfive averyveryverylongwordindeed 日本語日本語日本語 six"
    wrapper = Wrapper(width=20, indent=4)
    pieces = [wrapper.feed(text[i : i + cut]) for i in range(0, len(text), cut)]
    written = "".join(pieces) + wrapper.end()
    assert [line.strip() for line in written.split("\n")] == [
        "one two three",
        "four",
        "five",
        "averyveryverylon",
        "gwordindeed",
        "日本語日本語日本",
        "語 six",
    ]


def test_errors_are_sentences_and_bugs_are_not() -> None:
    assert sentence(ChatModelError("The model is not there.")) == "The model is not there."
    assert "no space left" in str(sentence(OSError(errno.ENOSPC, "No space left on device", "/x")))
    assert "/x" in str(sentence(PermissionError(errno.EACCES, "Permission denied", "/x")))
    assert sentence(KeyError("bug")) is None
