"""Pictures of reports: the retention matrix and recipes by generalisation and drift, as SVG; skills, as PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

BLUE, GREY, RED = "#2a6fdb", "#e4e6ea", "#c2402d"
STYLES = (("o", BLUE), ("s", "#1b9e77"), ("^", RED))  # marker and colour of each method


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
    around = (0.5, count + 0.5, count + 0.5, 0.5)  # both axes count from 1
    axes.imshow(cells, cmap=ListedColormap([GREY, BLUE, RED]), vmin=0, vmax=2, extent=around)
    axes.locator_params(integer=True)
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


def frontier(report: Mapping[str, Any], path: Path) -> None:
    """Accuracy on the first skill against what it cost, on general questions and in drift: a point a rate."""
    first = report["settings"]["skills"][0]

    def lost(stage: Mapping[str, Any]) -> float:
        return 100 * (1 - float(stage["right"]["general questions"]["value"]))

    def drift(stage: Mapping[str, Any]) -> float:
        return float(stage["drift"]["value"])

    costs = (("general questions no longer right, %", lost), ("drift from the base, nats per token", drift))
    figure, grid = _grid(8.4, 3.8, 1, 2)
    for axes, (label, cost) in zip(grid[0], costs, strict=True):
        for (marker, colour), method in zip(STYLES, report["settings"]["methods"], strict=False):
            found = [stage for stage in report["stages"] if stage["method"] == method and stage["learned"] == 1]
            found.sort(key=lambda stage: stage["rate"])
            across, up, error = [cost(stage) for stage in found], *_percent([s["right"][first] for s in found])
            axes.errorbar(across, up, yerr=error, fmt=f"{marker}-", color=colour, capsize=2, lw=1, label=method)
            for stage, x, y in zip(found, across, up, strict=True):
                axes.annotate(
                    f"{stage['rate']:g}", (x, y), textcoords="offset points", xytext=(6, 5), fontsize=7, color=colour
                )
        axes.set_xlabel(f"{label} (less is better)")
        axes.set_ylabel(f"new skill ({first}), % right")
        axes.set_ylim(-4, 104)
    grid[0][0].set_xlim(-4, 104)
    grid[0][1].margins(x=0.2)
    grid[0][1].set_xlim(left=0)
    grid[0][0].legend(frameon=False, fontsize=8)
    figure.suptitle("One skill from the base; numbers are learning rates, bars 95 % intervals", fontsize=9)
    _save(figure, path)


def sequence(report: Mapping[str, Any], path: Path) -> None:
    """Each skill, the general questions and drift, after each skill that was learned."""
    names = report["settings"]["skills"]
    figure, grid = _grid(9.0, 5.2, 2, 3)
    panels = [*grid[0], *grid[1]]
    (base,) = (stage for stage in report["stages"] if stage["method"] == "base")
    ticks = ["base", *(f"+ {name}" for name in names)]
    for beside, (method, used) in enumerate(report["settings"]["methods"].items()):
        marker, colour = STYLES[beside]
        own = [s for s in report["stages"] if s["method"] == method and s["rate"] == used["sequence_rate"]]
        stages = [base, *own]
        at = [stage["learned"] + 0.06 * (beside - 1) for stage in stages]  # bars beside each other
        style: dict[str, Any] = {"fmt": f"{marker}-", "color": colour, "capsize": 2, "lw": 1.2, "ms": 4}
        for axes, name in zip(panels, (*names, "general questions"), strict=False):
            up, error = _percent([stage["right"][name] for stage in stages])
            axes.errorbar(at, up, yerr=error, label=f"{method}, {used['sequence_rate']:g}", **style)
        panels[4].plot(at, [s["drift"]["value"] for s in stages], f"{marker}-", color=colour, lw=1.2, ms=4)
    for number, (axes, name) in enumerate(zip(panels, (*names, "general questions"), strict=False), 1):
        axes.set_title(name, fontsize=9)
        axes.set_ylabel("right, %")
        axes.set_ylim(-4, 104)
        if number <= len(names):
            axes.axvline(number, color=GREY, lw=6, zorder=0)  # where it was taught
    panels[4].set_title("drift from the base", fontsize=9)
    panels[4].set_ylabel("nats per token")
    panels[4].set_ylim(bottom=0)
    for axes in panels[:5]:
        axes.set_xticks(range(len(ticks)), ticks, fontsize=7, rotation=15)
        axes.set_xlim(-0.2, len(names) + 0.2)
    handles, labels = panels[0].get_legend_handles_labels()
    panels[5].axis("off")
    panels[5].legend(handles, labels, frameon=False, loc="center left", title="method, learning rate")
    figure.suptitle("Three skills, one after another; the grey band is where a skill is taught", fontsize=9)
    _save(figure, path)


def _percent(found: Sequence[Mapping[str, Any]]) -> tuple[list[float], list[list[float]]]:
    """Shares in per cent, and how far their intervals reach below and above."""
    values = [100 * figure["value"] for figure in found]
    below = [value - 100 * figure["low"] for value, figure in zip(values, found, strict=True)]
    above = [100 * figure["high"] - value for value, figure in zip(values, found, strict=True)]
    return values, [[max(0.0, each) for each in side] for side in (below, above)]


def _axes(width: float, height: float) -> tuple[Any, Any]:
    figure, grid = _grid(width, height, 1, 1)
    return figure, grid[0][0]


def _grid(width: float, height: float, down: int, across: int) -> tuple[Any, Any]:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "lifelearn"  # the same picture for the same report
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False)
    for axes in grid.flat:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, grid


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = path.suffix.removeprefix(".")
    figure.savefig(path, format=kind, dpi=100, facecolor="white", metadata={"Date": None} if kind == "svg" else None)
