"""A bench's report: what it is, its file, and its figures as a table."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Report = dict[str, Any]
Say = Callable[[str], None]


def write(report: Report, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def summary(report: Mapping[str, Any]) -> str:
    """The figures as a Markdown table; baselines as further columns."""
    columns = {"ours": report["figures"], **report["baselines"]}
    names = list(report["figures"])
    lines = ["| figure | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in names:
        cells = [_cell(name, column.get(name)) for column in columns.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(name: str, figure: Mapping[str, Any] | None) -> str:
    if figure is None or figure["value"] is None:
        return "–"
    value, low, high = figure["value"], figure["low"], figure["high"]
    if name in ("drift", "seconds_median", "steps", "completion_tokens", "peak_gib"):
        form = "{:.4f}" if name == "drift" else "{:.1f}"
        text = form.format(value)
        return text if low is None or figure["of"] < 2 else f"{text} [{form.format(low)}, {form.format(high)}]"
    text = f"{100 * value:.0f} % ({figure['n']:g}/{figure['of']})"
    return text if low is None else f"{text} [{100 * low:.0f}, {100 * high:.0f}]"
