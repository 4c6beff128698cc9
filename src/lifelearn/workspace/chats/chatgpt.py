"""ChatGPT's export as conversations: `conversations.json`, or the zip that holds it. Knows no database.

The file is anybody's: it is read piece by piece, one conversation in memory at a time, and each number in it is
bounded. What cannot be used is skipped and counted with the reason.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
import zipfile
import zlib
from collections import Counter, deque
from collections.abc import Container, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import IO, Any

from lifelearn.workspace.errors import InvalidError, TooLargeError
from lifelearn.workspace.texts import cleaned
from lifelearn.workspace.threads.managing import TITLE_CHARS
from lifelearn.workspace.threads.writing import MESSAGE_CHARS, UNTITLED

UNPACKED_BYTES = 128 << 20
CONVERSATION_BYTES = 8 << 20
CONVERSATIONS_MOST = 5_000
MESSAGES_MOST = 100_000
NODES_MOST = 5_000  # of one conversation
DEPTH_MOST = 60  # of brackets; ChatGPT's files have about ten
SIGNS_MOST = 20_000_000  # brackets and quotes, which are read one by one
DIRECTORY_BYTES = 4 << 20  # of a zip: its list of files
CHUNK = 1 << 20
CUT_CHARS = 3 * MESSAGE_CHARS  # a longer message is cut

_NAME = re.compile(r"(?:.*/)?conversations(?:-\d+)?\.json")
_SIGN = re.compile(rb'[\[\]{}"]')
_REST = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)  # of a string
_EARLIEST = datetime(2015, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Said:
    """A message. parent: a number in the same list, always an earlier one; None for a first."""

    role: str
    content: str
    parent: int | None
    at: datetime | None


@dataclass(frozen=True)
class Conversation:
    """id: ChatGPT's, or one made of its contents. shown: the number of the message at the end of the shown branch."""

    id: str
    title: str
    at: datetime | None
    messages: tuple[Said, ...]
    shown: int


@dataclass
class Skipped:
    """What was left out, and how often."""

    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, reason: str, count: int = 1) -> None:
        if count:
            self.reasons[reason] += count


def read(file: IO[bytes], skipped: Skipped) -> Iterator[Conversation]:
    """The conversations of an upload. Raises InvalidError where it is no such export, TooLargeError above a limit."""
    conversations = messages = 0
    try:
        for raw in (raw for part in _parts(file) for raw in _elements(part, skipped)):
            conversation = _conversation(raw, skipped)
            if conversation is None:
                continue
            conversations += 1
            messages += len(conversation.messages)
            if conversations > CONVERSATIONS_MOST or messages > MESSAGES_MOST:
                skipped.add(f"everything after the first {conversations - 1:,} conversations: too much for one import")
                return
            yield conversation
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, struct.error) as error:
        raise InvalidError("This zip is damaged. Download it again, or unpack it first.") from error


# The file


def _parts(file: IO[bytes]) -> Iterator[Iterator[bytes]]:
    """Each conversations.json in the upload, in chunks."""
    start = file.read(4)
    file.seek(0)
    if not start.startswith(b"PK"):
        yield _limited(file)
        return
    if _directory_bytes(file) > DIRECTORY_BYTES:
        raise TooLargeError("This zip holds too many files. Upload the conversations.json that is in it.")
    total = 0
    with _opened(file) as archive:
        members = sorted((each for each in archive.infolist() if _NAME.fullmatch(each.filename)), key=_by_name)
        if not members:
            raise InvalidError("There is no conversations.json in this zip. Is it ChatGPT's export?")
        for member in members:
            total += member.file_size
            if total > UNPACKED_BYTES:
                raise _too_large()
            if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise InvalidError("This zip is encrypted or packed in an unusual way. Unpack it first.")
            with archive.open(member) as stream:
                yield _limited(stream)


def _opened(file: IO[bytes]) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except (ValueError, RuntimeError) as error:  # of offsets that cannot be
        raise zipfile.BadZipFile from error


def _by_name(member: zipfile.ZipInfo) -> str:
    return member.filename


def _directory_bytes(file: IO[bytes]) -> int:
    """The size of a zip's list of files, which Python would read whole; more than is allowed for one beyond 4 GB."""
    size = file.seek(0, 2)
    file.seek(max(0, size - (1 << 16) - 42))
    tail = file.read()
    file.seek(0)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise InvalidError("This zip is damaged. Download it again, or unpack it first.")
    if tail[max(0, at - 20) : at].startswith(b"PK\x06\x07"):
        return DIRECTORY_BYTES + 1
    return int(struct.unpack("<I", tail[at + 12 : at + 16])[0])


def _limited(stream: IO[bytes]) -> Iterator[bytes]:
    total = 0
    while chunk := stream.read(CHUNK):
        total += len(chunk)
        if total > UNPACKED_BYTES:  # whatever the zip said of it
            raise _too_large()
        yield chunk


def _too_large() -> TooLargeError:
    return TooLargeError(f"The conversations are larger than {UNPACKED_BYTES >> 20} MiB. Upload a part of them.")


def _elements(chunks: Iterator[bytes], skipped: Skipped) -> Iterator[bytes]:
    """The elements of the list that the file is, one after another; too large or too deep ones are skipped."""
    depth, at, quoted, usable, begun_file, signs = 0, 0, False, True, False, 0
    element = bytearray()
    for chunk in chunks:
        if not begun_file:
            chunk = chunk.removeprefix(b"\xef\xbb\xbf").lstrip()  # noqa: PLW2901
            if not chunk.startswith(b"["):
                raise InvalidError("This is not ChatGPT's export: conversations.json begins with a list.")
            begun_file, depth, at = True, 1, 1
        start = 0  # of what belongs to the element
        while at < len(chunk):
            if quoted:
                rest = _REST.match(chunk, at)
                assert rest is not None
                quoted = chunk[rest.end() : rest.end() + 1] != b'"'
                at = len(chunk) + (rest.end() < len(chunk)) if quoted else rest.end() + 1
                continue  # after a backslash at the end of the chunk, the first byte of the next one is passed over
            found = _SIGN.search(chunk, at)
            if found is None:
                break
            at, sign, signs = found.end(), found.group(), signs + 1
            if signs > SIGNS_MOST:
                raise _too_large()
            if sign == b'"':
                quoted = True
            elif sign in (b"{", b"["):
                depth += 1
                if depth == 2:
                    start, usable = found.start(), True
                usable = usable and depth <= DEPTH_MOST
            else:
                depth -= 1
                if depth == 0:
                    return
                if depth == 1:
                    element += chunk[start:at]
                    if usable and len(element) <= CONVERSATION_BYTES:
                        yield bytes(element)
                    else:
                        skipped.add("conversations that are too large or too deep")
                    element.clear()
        at = max(0, at - len(chunk))
        if depth > 1 and usable:
            element += chunk[start:]
            if len(element) > CONVERSATION_BYTES:
                usable = False
                element.clear()
    if not begun_file:
        raise InvalidError("The file is empty.")
    skipped.add("the end of the file, which is cut off")


# A conversation


def _conversation(raw: bytes, skipped: Skipped) -> Conversation | None:
    try:
        given = json.loads(raw)
    except (ValueError, RecursionError):
        skipped.add("conversations that cannot be read")
        return None
    mapping = given.get("mapping") if isinstance(given, dict) else None
    if not isinstance(mapping, dict):
        skipped.add("conversations without messages")
        return None
    if len(mapping) > NODES_MOST:
        skipped.add(f"conversations with more than {NODES_MOST:,} messages")
        return None
    said = {node: found for node, each in mapping.items() if (found := _said(each, skipped)) is not None}
    tree, nodes = _tree(mapping, said)
    skipped.add("messages that follow themselves", len(said) - len(tree))
    if not tree:
        skipped.add("conversations without messages")
        return None
    shown = _kept(given.get("current_node"), mapping, nodes)
    name = next((each for key in ("conversation_id", "id") if isinstance(each := given.get(key), str) and each), "")
    title = given.get("title")
    return Conversation(
        name or hashlib.sha256(raw).hexdigest(),
        (cleaned(title, one_line=True)[:TITLE_CHARS] if isinstance(title, str) else "") or UNTITLED,
        _moment(given.get("update_time")) or _moment(given.get("create_time")),
        tuple(tree),
        len(tree) - 1 if shown is None else nodes[shown],
    )


def _said(node: Any, skipped: Skipped) -> Said | None:
    """What somebody said in a node; None for what is not shown in ChatGPT either: tools, settings, empty roots."""
    message = node.get("message") if isinstance(node, dict) else None
    if not isinstance(message, dict):
        return None
    author, content, about = message.get("author"), message.get("content"), message.get("metadata")
    role = author.get("role") if isinstance(author, dict) else None
    hidden = isinstance(about, dict) and about.get("is_visually_hidden_from_conversation")
    if role not in ("user", "assistant") or hidden or message.get("recipient", "all") != "all":
        return None
    if not isinstance(content, dict) or content.get("content_type") not in ("text", "multimodal_text"):
        return None
    parts = content.get("parts")
    parts = parts if isinstance(parts, list) else []
    skipped.add("images and files", sum(isinstance(part, dict) for part in parts))
    text = cleaned("\n".join(part for part in parts if isinstance(part, str)))
    if not text:
        return None
    if len(text) > CUT_CHARS:
        skipped.add(f"the ends of messages, after {CUT_CHARS:,} characters")
        text = text[:CUT_CHARS]
    return Said(role, text, None, _moment(message.get("create_time")))


def _tree(mapping: dict[str, Any], said: dict[str, Said]) -> tuple[list[Said], dict[str, int]]:
    """The messages, each after the one that it follows, and the number of each node among them.

    What hangs on a node that is left out follows the next one above. Nodes in a loop have no beginning and are lost.
    """
    known: dict[str, str | None] = {}
    children: dict[str | None, list[str]] = {}
    for node in said:
        children.setdefault(_kept(_parent(mapping, node), mapping, said, known), []).append(node)
    tree: list[Said] = []
    numbers: dict[str, int] = {}
    waiting: deque[tuple[str, int | None]] = deque((node, None) for node in children.get(None, ()))
    while waiting:
        node, parent = waiting.popleft()
        numbers[node] = len(tree)
        tree.append(replace(said[node], parent=parent))
        waiting.extend((child, numbers[node]) for child in children.get(node, ()))
    return tree, numbers


def _kept(
    node: Any, mapping: dict[str, Any], kept: Container[str], known: dict[str, str | None] | None = None
) -> str | None:
    """The node itself or the next above it that is kept. known: what was found before, so that no way is gone twice."""
    known = {} if known is None else known
    path: list[str] = []
    while isinstance(node, str) and node in mapping and node not in kept and node not in known:
        known[node] = None  # also the end of a loop
        path.append(node)
        node = _parent(mapping, node)
    found = None
    if isinstance(node, str):
        found = node if node in kept else known.get(node)
    known.update(dict.fromkeys(path, found))
    return found


def _parent(mapping: dict[str, Any], node: str) -> Any:
    each = mapping.get(node)
    return each.get("parent") if isinstance(each, dict) else None


def _moment(value: Any) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not _EARLIEST.timestamp() <= value <= datetime.now(UTC).timestamp():
        return None
    return datetime.fromtimestamp(value, UTC)
