"""Curves as coordinates, for templates that draw them as SVG. Knows neither versions nor pages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 640, 240
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 14, 40  # room for what stands at the axes
TICKS = 5


@dataclass(frozen=True)
class Tick:
    at: float
    label: str


@dataclass(frozen=True)
class Curve:
    """Values over steps, from 1. points: of each value that is a number, in the picture's coordinates."""

    values: tuple[float, ...]
    points: tuple[tuple[float, float], ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM

    @property
    def line(self) -> str:
        return " ".join(f"{x:g},{y:g}" for x, y in self.points)

    @property
    def area(self) -> str:
        """The same, closed along the axis."""
        if not self.points:
            return ""
        return f"{self.points[0][0]:g},{self.bottom} {self.line} {self.points[-1][0]:g},{self.bottom}"


def curve(values: Sequence[float], steps: int = 0) -> Curve:
    """steps: how many there will be, where not all are done."""
    last = max(len(values), steps, 2)
    sound = [(step, value) for step, value in enumerate(values, 1) if math.isfinite(value)]
    tops = ticks(max((value for _, value in sound), default=1.0))
    most = tops[-1]

    def x(step: float) -> float:
        return round(LEFT + (step - 1) / (last - 1) * (WIDTH - LEFT - RIGHT), 1)

    def y(value: float) -> float:
        return round(HEIGHT - BOTTOM - max(value, 0) / most * (HEIGHT - BOTTOM - TOP), 1)

    every = max(1, math.ceil(last / 8))
    steps_shown = [1, *range(every, last + 1, every)] if every > 1 else list(range(1, last + 1))
    return Curve(
        values=tuple(values),
        points=tuple((x(step), y(value)) for step, value in sound),
        across=tuple(Tick(x(step), str(step)) for step in steps_shown),
        up=tuple(Tick(y(value), f"{value:g}") for value in tops),
    )


def ticks(most: float, wanted: int = TICKS) -> list[float]:
    """Round numbers from 0 to at least `most`, about so many."""
    if not math.isfinite(most) or most <= 0:
        most = 1.0
    raw = most / wanted
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= raw * (1 - 1e-9))
    count = max(1, math.ceil(most / step - 1e-9))
    return [float(f"{step * number:.6g}") for number in range(count + 1)]
