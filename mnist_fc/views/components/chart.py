"""Line charts that are cheap to draw again: in a run they are, at every tick, on the cores that train.

The drawing is chart.js. A general charting library took ten times as long a tick, and training slowed by a quarter.
"""

import html
import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

import streamlit as st

from mnist_fc.views.components.component import Component
from mnist_fc.views.components.numbers import format_number

_chart = Component("chart", "<div class='line-chart'></div>")

COLORS = (
    *("#4f7df0", "#e07b1a", "#1f9d6b", "#b0509a", "#8a6d1f", "#2f95b5"),
    *("#d0483e", "#6b7280", "#7a58e0", "#e0609f", "#7e9420", "#a35a4a"),
)
"""Of curves that have no colour of their own, in their order; legible in both themes."""


MIN_EXPONENT, MAX_EXPONENT = -300, 300
"""Of the powers of ten that end an axis: all that a float holds, but for a few."""


@dataclass(frozen=True)
class Series:
    """One curve: `x` and `y` of equal length, finite, in the axes' units. `dots` marks each of its points.

    A logarithmic axis has no place for 0, which is drawn at its lower end.
    """

    name: str
    color: str
    x: Sequence[float]
    y: Sequence[float]
    dots: bool = False

    def up_to(self, x: float) -> "Series":
        """Return the curve with its points up to `x` alone, which may be none."""
        count = bisect_right(self.x, x)
        return replace(self, x=self.x[:count], y=self.y[:count])


@dataclass(frozen=True)
class Axis:
    """What an axis shows: from `domain[0]` to `domain[1]`, above 0 when `log`; round ticks unless some are given."""

    domain: tuple[float, float]
    title: str = ""
    log: bool = False
    percent: bool = False
    ticks: Sequence[float] | None = None


def heading(title: str, series: Sequence[Series], number_format: str | None = None) -> None:
    """A chart's title and legend in one line: each curve in its colour, with its newest value if that has a format and the
    curve any point.
    """
    legend = " ".join(
        f"<span class='series'><i style='background:{one.color}'></i>{html.escape(one.name)}"
        + (f" <b>{_short(one.y[-1], number_format)}</b></span>" if number_format and one.y else "</span>")
        for one in series
    )
    st.html(f"<div class='chart-heading'><h3>{html.escape(title)}</h3>{legend}</div>", width="content")


def _short(value: float, number_format: str) -> str:
    if number_format.endswith("g") or abs(value) >= 1e5:  # gradients, and the loss of a run that diverges
        return format_number(value, 2)
    return f"{value:{number_format}}" if abs(value) < 1e3 else f"{value:,.0f}"


def powers_of_ten(values: Iterable[float]) -> tuple[float, float]:
    """Return the powers of ten around all `values` that are above zero, as the domain of a logarithmic axis."""
    exponents = [math.log10(value) for value in values if value > 0]
    low, high = math.floor(min(exponents, default=-2)), math.ceil(max(exponents, default=0) + 1e-9)
    low, high = max(min(low, MAX_EXPONENT - 1), MIN_EXPONENT), max(min(high, MAX_EXPONENT), MIN_EXPONENT + 1)
    return 10.0**low, 10.0**high


HEIGHT = 215
"""Pixels of a chart that has the room."""


def line_chart(
    key: str, series: Sequence[Series], x: Axis, y: Axis, label: str, *, height: int = HEIGHT, mark: float | None = None
) -> None:
    """Draw `series`; pointing at a curve says the exact values of its nearest point, and two buttons save the chart as a file.

    `label` is for those who cannot see it; up to its first colon or comma it is the title in a file. The file is named after
    `key`, without its `_curves`. `height` in pixels, `mark` a place on the x axis that is marked by a line.
    """
    data = {
        "name": key.removesuffix("_curves"),
        "label": label,
        "x": asdict(x),
        "y": asdict(y),
        "series": [asdict(one) for one in series],
        "height": height,
        "mark": mark,
    }
    _chart.show(key, data)
