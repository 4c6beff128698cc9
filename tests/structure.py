"""The project's rooms and the imports between them, as a picture: docs/structure.svg.

    python tests/structure.py [FILE.svg] [--source src]

Read from the code by grimp. A room lies above all that it imports; what an arrow says that others say together is left
out. Rooms that import each other in a circle stand side by side, their arrows red: there are to be none. Prints what
there is of each, and the longest files. `--source` draws another checkout.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from html import escape
from pathlib import Path

import grimp
import networkx as nx

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "structure.svg"
HOUSES = {
    "lifelearn": "The project",
    "lifelearn.learning": "The engine: learning/",
    "lifelearn.workspace": "The workspace: workspace/",
}
WIDTH, HIGH, GAP, STEP, A_ROW = 1120, 34, 14, 80, 9
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 } rect { fill: #f6f8fa; stroke: #8c959f; rx: 8px }
path { fill: none; stroke: #8c959f; stroke-width: 1.2 } .circle { stroke: #cf222e; stroke-width: 1.6 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 }
rect { fill: #161b22; stroke: #6e7681 } path { stroke: #6e7681 } .circle { stroke: #ff7b72 } }
"""


def rooms(graph: grimp.ImportGraph, house: str) -> nx.DiGraph:
    """The rooms of a house, packages and single modules alike, and which imports which."""
    found = nx.DiGraph()
    for module in sorted(graph.modules):
        if (room := room_of(module, house)) is not None:
            found.add_node(room)
            for other in sorted(graph.find_modules_directly_imported_by(module)):
                if (its := room_of(other, house)) is not None and its != room:
                    found.add_edge(room, its)
    return found


def room_of(module: str, house: str) -> str | None:
    """The part of a house that a module is in; None for the house's own door and for what is elsewhere."""
    rest = module.removeprefix(f"{house}.")
    return None if rest == module else rest.split(".")[0]


def levels(imports: nx.DiGraph) -> Mapping[str, int]:
    """How far above the ground each room is: 0 for what imports no other; the same for those in one circle."""
    circles = nx.condensation(imports)
    height: dict[int, int] = {}
    for circle in reversed(list(nx.topological_sort(circles))):
        height[circle] = max((height[below] + 1 for below in circles.successors(circle)), default=0)
    return {room: height[circle] for room, circle in circles.graph["mapping"].items()}


def in_circles(imports: nx.DiGraph) -> list[tuple[str, str]]:
    """The arrows between rooms that import each other, directly or by way of others."""
    circle = {room: number for number, each in enumerate(nx.strongly_connected_components(imports)) for room in each}
    return sorted((one, other) for one, other in imports.edges if circle[one] == circle[other])


def drawn(imports: nx.DiGraph, title: str, top: int) -> tuple[list[str], int]:
    """SVG of one house from `top` on, and where it ends."""
    height = levels(imports)
    bad = set(in_circles(imports))
    rows = [sorted(room for room in imports if height[room] == level) for level in range(max(height.values()), -1, -1)]
    at: dict[str, tuple[float, float]] = {}
    shapes: list[str] = [f'<text class="title" x="20" y="{top + 24}">{escape(title)}</text>']
    y = top + 44
    for row in rows:
        parts = [row[start : start + A_ROW] for start in range(0, len(row), A_ROW)]
        for part in parts:
            wide = [max(74, 9 * len(room) + 22) for room in part]
            x = (WIDTH - sum(wide) - GAP * (len(part) - 1)) / 2
            for room, width in zip(part, wide, strict=True):
                middle = x + width / 2
                at[room] = (middle, y)
                shapes += [
                    f'<rect x="{x:.0f}" y="{y}" width="{width}" height="{HIGH}"/>',
                    f'<text x="{middle:.0f}" y="{y + 22}" text-anchor="middle">{escape(room)}</text>',
                ]
                x += width + GAP
            y += STEP if part is parts[-1] else HIGH + GAP
    plain = nx.DiGraph(edge for edge in imports.edges if edge not in bad)
    arrows = [*sorted(nx.transitive_reduction(plain).edges), *sorted(bad)] if plain else sorted(bad)
    curves = [curve(at[one], at[other], "circle" if (one, other) in bad else "") for one, other in arrows]
    return curves + shapes, y + 10


def curve(start: tuple[float, float], end: tuple[float, float], kind: str) -> str:
    (x, y), (to_x, to_y) = start, end
    y += HIGH
    bend = max(24.0, abs(to_y - y) / 2)
    marker = "red" if kind else "grey"
    return (
        f'<path class="{kind}" marker-end="url(#{marker})" '
        f'd="M{x:.0f} {y:.0f}C{x:.0f} {y + bend:.0f} {to_x:.0f} {to_y - bend:.0f} {to_x:.0f} {to_y - 2:.0f}"/>'
    )


def read(source: Path) -> dict[str, nx.DiGraph]:
    """The rooms of each house, as the code below `source` has them."""
    sys.path.insert(0, str(source))
    graph = grimp.build_graph("lifelearn", cache_dir=None)
    return {house: rooms(graph, house) for house in HOUSES}


def picture(houses: Mapping[str, nx.DiGraph]) -> str:
    """SVG."""
    shapes: list[str] = []
    top = 0
    for house, title in HOUSES.items():
        more, top = drawn(houses[house], title, top)
        shapes += more
    markers = [
        f'<marker id="{name}" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path class="{kind}" d="M0 0L7 4L0 8"/></marker>'
        for name, kind in (("grey", ""), ("red", "circle"))
    ]
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" role="img">',
        "<title>The rooms of Life-Learn, each above all that it imports</title>",
        f"<style>{STYLE}</style>",
    ]
    return "\n".join([*head, "<defs>", *markers, "</defs>", *shapes, "</svg>", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?", default=PICTURE)
    parser.add_argument("--source", type=Path, default=ROOT / "src")
    arguments = parser.parse_args()
    houses = read(arguments.source)
    arguments.file.write_text(picture(houses), "utf-8")
    for house, imports in houses.items():
        bad = len(in_circles(imports))
        print(f"{house}: {len(imports)} rooms, {imports.number_of_edges()} arrows, {bad} of them in a circle")
    files = {file: len(file.read_text("utf-8").splitlines()) for file in arguments.source.rglob("*.py")}
    longest = sorted(files, key=lambda file: -files[file])[:5]
    print(f"{sum(files.values())} lines in {len(files)} files; the longest:")
    print("\n".join(f"{files[file]:6} {file.relative_to(arguments.source)}" for file in longest))


if __name__ == "__main__":
    main()
