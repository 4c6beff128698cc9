from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from terminal_fakes import correction

from lifelearn.terminal.journal import Journal, JournalError
from waiting import HANG_SECONDS


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "data" / "journal.jsonl")


def ids(journal: Journal) -> list[str]:
    return [waiting.id for waiting in journal.pending()]


def test_an_acknowledged_correction_is_pending_until_it_is_settled(journal: Journal) -> None:
    assert journal.pending() == []
    journal.acknowledge(correction(number="a"))
    journal.acknowledge(correction(number="b"))
    journal.acknowledge(correction(number="a"))
    assert Journal(journal.path).pending() == [correction(number="a"), correction(number="b")]
    journal.settle("a", "learned", 1, "")
    assert ids(journal) == ["b"]
    journal.settle("b", "withdrawn", None, "by the user")
    assert ids(journal) == []
    assert len(journal.path.read_text().splitlines()) == 4


def test_an_attempt_that_broke_off_leaves_the_correction_pending(journal: Journal) -> None:
    journal.acknowledge(correction(number="a"))
    journal.settle("a", "failed", None, "interrupted")
    assert ids(journal) == ["a"]
    assert journal.failures() == {"a": "interrupted"}
    journal.settle("a", "rejected", 2, "did not pass: efficacy")
    assert ids(journal) == []


def test_only_the_owner_can_read_it(journal: Journal) -> None:
    journal.acknowledge(correction())
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_a_torn_last_line_is_dropped_and_the_next_write_repairs_it(journal: Journal, kept: float) -> None:
    journal.acknowledge(correction(number="a"))
    whole = journal.path.read_bytes()
    line = whole.replace(b'"a"', b'"b"').rstrip(b"\n")
    journal.path.write_bytes(whole + line[: int(len(line) * kept)])
    assert ids(journal) == ["a"]
    journal.acknowledge(correction(number="c"))
    assert ids(journal) == ["a", "c"]
    assert journal.path.read_bytes().startswith(whole)


def test_a_last_line_that_only_lacks_its_newline_is_kept(journal: Journal) -> None:
    journal.acknowledge(correction(number="a"))
    journal.path.write_bytes(journal.path.read_bytes().rstrip(b"\n"))
    assert ids(journal) == ["a"]
    journal.acknowledge(correction(number="b"))
    assert ids(journal) == ["a", "b"]


def test_a_damaged_line_in_the_middle_is_named(journal: Journal) -> None:
    for number in "abc":
        journal.acknowledge(correction(number=number))
    lines = journal.path.read_bytes().splitlines(keepends=True)
    journal.path.write_bytes(lines[0] + b'{"at": "20\n' + lines[2])
    with pytest.raises(JournalError, match=r"Line 2 of the journal .*journal\.jsonl is damaged"):
        journal.pending()


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk_is_not_an_acknowledgement(journal: Journal, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    journal.acknowledge(correction(number="a"))
    before = journal.path.read_bytes()
    real = os.write

    def full(descriptor: int, data: bytes = b"") -> int:
        if call == "write" and os.fstat(descriptor).st_size == len(before):
            return real(descriptor, data[:20])  # some of it still fits
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(JournalError, match=r"the disk is full\. The correction was not kept"):
            journal.acknowledge(correction(number="b"))
    assert journal.path.read_bytes() == before
    assert ids(journal) == ["a"]


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="Not a directory"):
        Journal(tmp_path / "file" / "journal.jsonl").acknowledge(correction())


def test_two_processes_can_append(journal: Journal) -> None:
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[3])\n"
        "from lifelearn.terminal.journal import Journal; from lifelearn.learning.types import Correction\n"
        "for i in range(20): Journal(Path(sys.argv[1])).acknowledge(Correction(id=f'{sys.argv[2]}{i}', question='q',"
        " wrong='w', message='m', statement='s', answer='a'))"
    )
    folder = str(Path(__file__).parent)
    both = [subprocess.Popen([sys.executable, "-c", code, str(journal.path), name, folder]) for name in "xy"]
    assert [process.wait(HANG_SECONDS) for process in both] == [0, 0]
    assert sorted(ids(journal)) == sorted(f"{name}{i}" for name in "xy" for i in range(20))
