"""ChatGPT's file of chats: read in pieces and within bounds, whatever is in it."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from lifelearn.workspace.chats import chatgpt
from lifelearn.workspace.chats.chatgpt import Skipped
from lifelearn.workspace.errors import InvalidError, TooLargeError
from lifelearn.workspace.threads.writing import MESSAGE_CHARS
from workspace.chatgpt import SIMPLE, conversation, node


def read(given: Any, skipped: Skipped | None = None) -> list[chatgpt.Conversation]:
    data = given if isinstance(given, bytes) else json.dumps(given).encode()
    return list(chatgpt.read(io.BytesIO(data), skipped or Skipped()))


def zipped(**files: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name.replace("__", "/").replace("_json", ".json"), data)
    return file.getvalue()


def test_a_conversation_is_a_tree() -> None:
    (found,) = read([SIMPLE])
    assert (found.id, found.title, found.at) == ("c1", "Leave", datetime.fromtimestamp(1.7e9 + 60, UTC))
    assert [(each.role, each.content, each.parent) for each in found.messages] == [
        ("user", "How many days?", None),
        ("assistant", "20 days.", 0),
        ("assistant", "25 days.", 0),
        ("user", "Sure?", 1),
    ]
    assert found.shown == 2


def test_what_chatgpt_does_not_show_is_left_out() -> None:
    hidden = node("h", "a", "user", "hidden", metadata={"is_visually_hidden_from_conversation": True})
    tool = node("t", "h", "assistant", "search()", recipient="browser")
    code = node("k", "t", "assistant", "x", content={"content_type": "code", "text": "x"})
    picture = node("p", "k", "user", [{"asset_pointer": "file-1"}, "What is this?"])
    skipped = Skipped()
    (found,) = read([conversation(node("a", None, "user", "one"), hidden, tool, code, picture)], skipped)
    assert [(each.content, each.parent) for each in found.messages] == [("one", None), ("What is this?", 0)]
    assert skipped.reasons == {"images and files": 1}


def test_loops_end_and_are_left_out() -> None:
    loop = [node("x", "y", "user", "x"), node("y", "x", "assistant", "y"), node("z", "z", "user", "z")]
    hidden_loop = [{"id": "h", "parent": "i"}, {"id": "i", "parent": "h"}, node("after", "h", "user", "after")]
    skipped = Skipped()
    (found,) = read([conversation(node("a", None, "user", "one"), *loop, *hidden_loop)], skipped)
    assert [each.content for each in found.messages] == ["one", "after"]
    assert skipped.reasons == {"messages that follow themselves": 3}


def test_a_long_chain_is_read_in_bounded_time() -> None:
    chain = [{"id": str(at), "parent": str(at - 1), "message": None} for at in range(2000)]
    said = [node(f"m{at}", "1999", "user", f"m{at}") for at in range(2000)]
    (found,) = read([conversation(*chain, *said)])
    assert len(found.messages) == 2000


@pytest.mark.parametrize(
    "bad",
    [
        1,
        "text",
        [],
        {},
        {"mapping": []},
        {"mapping": {}},
        {"mapping": {"a": None, "b": 1, "c": {"message": 1}, "d": {"message": {"author": [], "content": 1}}}},
        {"mapping": {"a": {"message": {"author": {"role": "user"}, "content": {"content_type": "text", "parts": 1}}}}},
        {"mapping": {"a": {"parent": {"x": 1}, "message": {"author": {"role": []}}}}},
        conversation(node("a", None, "user", " \x00 ")),
    ],
)
def test_what_has_another_form_is_skipped(bad: Any) -> None:
    skipped = Skipped()
    found = read([bad, SIMPLE], skipped)
    assert [each.title for each in found] == ["Leave"]
    assert sum(skipped.reasons.values()) == (isinstance(bad, dict | list))  # bare values are passed over


@pytest.mark.parametrize("value", ["yesterday", True, -1, 1e300, float("nan"), float("inf"), 10**400, None, [], 9e9])
def test_times_that_cannot_be_are_none(value: Any) -> None:
    data = json.dumps([conversation(node("a", None, "user", "x", value), create_time=value, update_time=value)])
    (found,) = read(data.encode())
    assert found.at is None
    assert found.messages[0].at is None


def test_names_and_titles_of_any_kind() -> None:
    (found,) = read([conversation(node("a", None, "user", "x"), title=7, conversation_id=None, current_node=["a"])])
    assert found.title == "New chat"
    assert len(found.id) == 64
    (found,) = read([conversation(node("a", None, "user", "x"), title="t" * 999)])
    assert len(found.title) == 200


def test_texts_that_a_database_refuses_are_mended() -> None:
    (found,) = read(b'[{"mapping": {"a": {"message": {"author": {"role": "user"}, "content": '
                    b'{"content_type": "text", "parts": ["a\\u0000b\\ud800c"]}}}}}]')  # fmt: skip
    assert found.messages[0].content == "ab?c"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000])
def test_pieces_of_any_size_give_the_same(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tricky = conversation(node("a", None, "user", 'q " \\ [ { ] } \\\\" é 😀'), node("b", "a", "assistant", "\\"))
    expected = read([SIMPLE, tricky, SIMPLE])
    assert expected[1].messages[0].content == 'q " \\ [ { ] } \\\\" é 😀'
    monkeypatch.setattr(chatgpt, "CHUNK", size)
    assert read(json.dumps([SIMPLE, tricky, SIMPLE], ensure_ascii=False).encode()) == expected
    assert read(json.dumps([SIMPLE, tricky, SIMPLE]).encode()) == expected


def test_a_byte_order_mark_is_no_matter() -> None:
    assert len(read(b"\xef\xbb\xbf\n" + json.dumps([SIMPLE]).encode())) == 1


def test_too_deep_and_too_large_ones_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chatgpt, "CONVERSATION_BYTES", 5000)
    deep = b'{"mapping": ' + b"[" * 3000 + b"]" * 3000 + b"}"
    large = json.dumps(conversation(node("a", None, "user", "x" * 9000))).encode()
    skipped = Skipped()
    found = read(b"[" + deep + b"," + large + b"," + json.dumps(SIMPLE).encode() + b"]", skipped)
    assert [each.title for each in found] == ["Leave"]
    assert skipped.reasons == {"conversations that are too large or too deep": 2}


def test_long_messages_are_cut() -> None:
    skipped = Skipped()
    (found,) = read([conversation(node("a", None, "user", "x" * 4 * MESSAGE_CHARS))], skipped)
    assert len(found.messages[0].content) == 3 * MESSAGE_CHARS
    assert sum(skipped.reasons.values()) == 1


def test_a_file_that_is_cut_off_gives_what_is_whole() -> None:
    skipped = Skipped()
    assert len(read(json.dumps([SIMPLE, SIMPLE]).encode()[:-40], skipped)) == 1
    assert skipped.reasons == {"the end of the file, which is cut off": 1}


def test_too_many_conversations_end_the_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chatgpt, "CONVERSATIONS_MOST", 3)
    skipped = Skipped()
    assert len(read([SIMPLE] * 9, skipped)) == 3
    assert len(skipped.reasons) == 1


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"null", b"PK", b"PK\x03\x04 no zip", b"\xff\xfe[\x00", b"<html>", b"PK\x05\x06"]
)
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidError):
        read(data)


def test_a_zip_and_its_parts() -> None:
    data = json.dumps([SIMPLE]).encode()
    parts = {"user_json": b"{}", "x__conversations-000_json": data, "x__conversations-001_json": data}
    assert len(read(zipped(**parts))) == 2
    with pytest.raises(InvalidError, match=r"no conversations\.json"):
        read(zipped(user_json=b"{}"))


def test_a_zip_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chatgpt, "UNPACKED_BYTES", 1 << 20)
    bomb = zipped(conversations_json=b"[" + b" " * (3 << 20) + b"]")
    assert len(bomb) < 10_000
    with pytest.raises(TooLargeError):
        read(bomb)
    said = struct.pack("<I", 3 * (1 << 20) + 2)
    lying = bomb.replace(said, struct.pack("<I", 100))  # it says that it is small
    assert lying != bomb
    with pytest.raises((TooLargeError, InvalidError)):
        read(lying)


def test_a_zip_of_very_many_files_is_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("conversations.json", "[]")
    data = bytearray(file.getvalue())
    data[-10:-6] = struct.pack("<I", chatgpt.DIRECTORY_BYTES + 1)
    with pytest.raises(TooLargeError):
        read(bytes(data))


def test_a_damaged_zip_is_read_or_refused_and_nothing_else_is_raised() -> None:
    good = zipped(conversations_json=json.dumps([SIMPLE] * 50).encode())
    for at in (30, 60, 80, len(good) - 30, len(good) - 60):
        bad = good[:at] + bytes([good[at] ^ 0xFF]) + good[at + 1 :]
        with suppress(InvalidError, TooLargeError):
            read(bad)


def test_an_encrypted_zip_is_refused() -> None:
    good = zipped(conversations_json=json.dumps([SIMPLE] * 50).encode())
    encrypted = bytearray(good)
    encrypted[good.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(InvalidError, match="encrypted"):
        read(bytes(encrypted))


def test_a_file_of_brackets_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chatgpt, "SIGNS_MOST", 1_000)
    with pytest.raises(TooLargeError):
        read(b'[{"a":[' + b"[]" * 2_000 + b"]}]")
