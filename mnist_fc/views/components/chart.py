"""Line charts, drawn by chart.js as SVG.

They are hand-written although libraries exist, because the page redraws them at every tick of a run, on the processor cores
that train. Streamlit's charts (Vega-Lite) took 75% of the browser's time per tick, on two cores with Chromium; training on
both cores slowed by a quarter. chart.js takes a tenth of the time of Vega-Lite.
"""

import html
import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import streamlit as st

from mnist_fc.percentages import in_percent
from mnist_fc.views.components.component import Component
from mnist_fc.views.components.numbers import format_number

_chart = Component("chart", "<div class='line-chart'></div>")

COLORS = (
    *("#4f7df0", "#e07b1a", "#1f9d6b", "#b0509a", "#8a6d1f", "#2f95b5"),
    *("#d0483e", "#6b7280", "#7a58e0", "#e0609f", "#7e9420", "#a35a4a"),
)
"""The colours of curves that have none of their own, in this order; legible in both themes."""


MIN_EXPONENT, MAX_EXPONENT = -300, 300
"""The exponents of the powers of ten at the ends of an axis: nearly the whole range of a float."""


DOT = 3.5
"""The radius of a point's dot in pixels."""


@dataclass(frozen=True)
class Series:
    """One curve: `x` and `y` of equal length, finite, in the axes' units. `dots` is the radius of its dots in pixels, or 0.

    On a logarithmic axis, 0 is drawn at the lower end.
    """

    name: str
    color: str
    x: Sequence[float]
    y: Sequence[float]
    dots: float = 0.0

    def up_to(self, x: float) -> "Series":
        """Return the curve with its points up to `x` alone, which may be none."""
        count = bisect_right(self.x, x)
        return replace(self, x=self.x[:count], y=self.y[:count])


@dataclass(frozen=True)
class Axis:
    """An axis from `domain[0]` to `domain[1]`, both above 0 if `log`. Its ticks are round numbers unless `ticks` has others."""

    domain: tuple[float, float]
    title: str = ""
    log: bool = False
    percent: bool = False
    ticks: Sequence[float] | None = None


def heading(title: str, series: Sequence[Series], number_format: str | None = None) -> None:
    """Draw a chart's title and legend in one line: each curve's name and colour.

    With `number_format`, each curve that has points also shows its newest value.
    """
    legend = " ".join(
        f"<span class='series'><i style='background:{one.color}'></i>{html.escape(one.name)}"
        + (f" <b>{_short(one.y[-1], number_format)}</b></span>" if number_format and one.y else "</span>")
        for one in series
    )
    st.html(f"<div class='chart-heading'><h3>{html.escape(title)}</h3>{legend}</div>", width="content")


def _short(value: float, number_format: str) -> str:
    if number_format.endswith("%"):
        return in_percent(value, 2)
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
"""The height of a chart in pixels, where there is room."""


def line_chart(
    key: str, series: Sequence[Series], x: Axis, y: Axis, label: str, *, height: int = HEIGHT, mark: float | None = None
) -> None:
    """Draw `series`. Pointing at a curve shows the exact values of its nearest point; two buttons save the chart as a file.

    `label` describes the chart to screen readers; up to its first colon or comma it is the title in a saved file. The file is
    named after `key`, without its `_curves`. `height` is in pixels; `mark` is a value on the x axis that a line marks.
    """
    data = {
        "name": key.removesuffix("_curves"),
        "label": label,
        "x": vars(x),
        "y": vars(y),
        "series": [vars(one) for one in series],
        "height": height,
        "mark": mark,
    }
    _chart.show(key, data)
