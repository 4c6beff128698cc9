"""Pictures of reports, as SVG: the retention matrix, and recipes by generalisation and drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

BLUE, GREY, RED = "#2a6fdb", "#e4e6ea", "#c2402d"


def retention_matrix(report: Mapping[str, Any], path: Path) -> None:
    """Each correction (row) after each lesson (column): right or wrong; grey before it was taught."""
    from matplotlib.colors import ListedColormap

    matrix: Sequence[Sequence[bool]] = report["matrix"]
    count = len(matrix)
    cells = [[0.0] * count for _ in range(count)]
    for lesson, asked in enumerate(matrix):
        for correction, right in enumerate(asked):
            cells[correction][lesson] = 1.0 if right else 2.0
    figure, axes = _axes(4.6, 4.4)
    axes.imshow(cells, cmap=ListedColormap([GREY, BLUE, RED]), vmin=0, vmax=2)
    axes.set_xlabel("after lesson")
    axes.set_ylabel("correction")
    axes.set_title("Blue: answered right. Red: wrong.", fontsize=9)
    _save(figure, path)


def recipes(reports: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Generalisation against drift, with intervals; one point a recipe (name → its figures)."""
    figure, axes = _axes(5.6, 3.8)
    for name, figures in reports.items():
        drift, learned = figures["drift"], figures["generalisation"]
        if drift["value"] is None or learned["value"] is None:
            continue
        value, low, high = (100 * learned[key] for key in ("value", "low", "high"))
        colour = BLUE if name == "ours" else "#666"
        axes.errorbar(drift["value"], value, yerr=[[value - low], [high - value]], fmt="o", color=colour, capsize=3)
        axes.annotate(name, (drift["value"], value), textcoords="offset points", xytext=(8, 4), color=colour)
    axes.set_xlabel("drift, nats per token (less is better)")
    axes.set_ylabel("unseen wordings right, %")
    axes.set_ylim(-3, 103)
    axes.set_xlim(left=0)
    _save(figure, path)


def _axes(width: float, height: float) -> tuple[Any, Any]:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "lifelearn"  # the same picture for the same report
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", facecolor="white", metadata={"Date": None})
