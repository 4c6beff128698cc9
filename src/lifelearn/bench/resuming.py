"""What a run of the corrections bench has done so far, so that one that is stopped goes on.

A file of JSON Lines beside the report: which run it is, then a line for each row with all its answers. They are marked
again when they are read: after a change of the marker a finished run gives its new report without training.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from lifelearn.bench.outcomes import Outcome, questions_of
from lifelearn.bench.rows import Row, RowsError

_OUTCOME = TypeAdapter(Outcome)


class Log:
    """The file, and what stood in it. outcomes: of the first rows of the run, in its order."""

    def __init__(self, path: Path, run: Mapping[str, Any], rows: Sequence[Row], *, resume: bool) -> None:
        """run: what must be the same for a run to go on. Raises RowsError where the file is of another run."""
        self._path = path
        self._rows = rows
        asked = [[row.id, *(question.text for question in questions_of(row))] for row in rows]
        head = {**run, "rows": hashlib.sha256(json.dumps(asked).encode()).hexdigest()}
        try:
            lines = self._whole_lines() if resume and path.exists() else []
            self._check(lines, json.loads(json.dumps(head)))
            self.outcomes = [self._outcome(line) for line in lines[1:]]
        except (OSError, ValidationError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise RowsError(f"{path} cannot be gone on from: {reason} Leave --resume out to begin again.") from error
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(lines) or json.dumps(head, ensure_ascii=False) + "\n", "utf-8")

    def _whole_lines(self) -> list[str]:
        """What was written to its end: who was killed may have left half a line."""
        return [line for line in self._path.read_text("utf-8").splitlines(keepends=True) if line.endswith("\n")]

    def _check(self, lines: Sequence[str], head: Mapping[str, Any]) -> None:
        if not lines:
            return
        before = json.loads(lines[0])
        other = sorted(name for name in head if before.get(name) != head[name])
        if other:
            raise ValueError(f"it is of another run ({', '.join(other)} differ).")

    def _outcome(self, line: str) -> Outcome:
        """A row as it was, to be marked by the accepted forms that it has now."""
        outcome = _OUTCOME.validate_json(line)
        outcome.row = next(row for row in self._rows if row.id == outcome.row.id)
        for asked, question in zip(outcome.asked, questions_of(outcome.row), strict=True):
            asked.question = question
        return outcome

    def add(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_OUTCOME.dump_json(outcome).decode() + "\n")
