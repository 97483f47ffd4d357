"""Draw a study's trials and importances as plotly figures.

Both are drawn from our own records. Optuna has figures of its own, but it puts the values of a field in the order in which
trials met them, and only its internals could sort them. plotly is imported where it is used: the first figure takes 0.3 s.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mnist_fc.config import FIELDS, Choice
from mnist_fc.percentages import in_percent
from mnist_fc.sweep.space import LOG_SCALE, Interval, Space, TrialRecord, to_optuna_value

if TYPE_CHECKING:
    from plotly.graph_objects import Figure  # type: ignore[import-untyped]

OBJECTIVE = "validation accuracy"
NUM_TICKS = 5


@dataclass(frozen=True)
class _Axis:
    """One axis: the height of each trial on it, from 0 to 1, with its value as text; and the ticks, as height and text."""

    name: str
    heights: list[float]
    texts: list[str]
    ticks: list[tuple[float, str]]


def importance_bars(importances: Mapping[str, float]) -> "Figure | None":
    """Return a bar for the share of each field, the greatest on top; None without importances."""
    from plotly.graph_objects import Bar, Figure

    if not importances:
        return None
    names, shares = list(importances)[::-1], list(importances.values())[::-1]
    bars = Bar(
        x=shares,
        y=names,
        orientation="h",
        text=[in_percent(share, 0) for share in shares],
        textposition="outside",
        cliponaxis=False,
        customdata=[in_percent(share) for share in shares],
        hovertemplate="%{y}: %{customdata}<extra></extra>",
    )
    return Figure(bars)


def parallel_coordinates(space: Space, trials: Sequence[TrialRecord]) -> "Figure | None":
    """Return a line for each done trial, from its validation accuracy through its settings; None before two are done.

    Numbers and layer sizes ascend on their axes; words are in the order of their field, from the bottom.
    """
    from plotly.graph_objects import Figure, Scatter

    done = [trial for trial in trials if trial.state == "done" and trial.settings.keys() == space.keys()]
    if len(done) < 2:
        return None
    axes = [_number_axis(OBJECTIVE, [trial.val_accuracy or 0.0 for trial in done])]
    for name in sorted(space):
        values = [trial.settings[name] for trial in done]
        is_interval = isinstance(space[name], Interval)
        axes.append(_number_axis(name, values, is_log=name in LOG_SCALE) if is_interval else _option_axis(name, values))
    positions = list(range(len(axes)))
    lines = [
        Scatter(
            x=positions,
            y=[axis.heights[i] for axis in axes],
            customdata=[[axis.name, axis.texts[i]] for axis in axes],
            mode="lines",
            line={"width": 1.2},
            opacity=0.5,
            showlegend=False,
            hovertemplate="%{customdata[0]}: %{customdata[1]}<extra></extra>",
        )
        for i in range(len(done))
    ]
    figure = Figure(lines)
    figure.update_layout(
        xaxis={
            "tickvals": positions,
            "ticktext": [axis.name for axis in axes],
            "range": (-0.2, len(axes) - 0.8),
            "showgrid": False,
            "zeroline": False,
        },
        yaxis={"range": (-0.08, 1.08), "visible": False, "fixedrange": True},
        shapes=[_axis_line(position) for position in positions],
        annotations=[
            _tick_label(position, height, text)
            for position, axis in zip(positions, axes, strict=True)
            for height, text in axis.ticks
        ],
        hovermode="closest",
    )
    return figure


def _number_axis(name: str, values: Sequence[float], is_log: bool = False) -> _Axis:
    """Return an axis from the lowest to the highest value; with ticks at powers of ten and the ends on a log scale."""
    scaled = [math.log10(value) for value in values] if is_log else list(values)
    low, high = min(scaled), max(scaled)
    if is_log:
        ticks = sorted({low, *range(math.ceil(low), math.floor(high) + 1), high})
    else:
        ticks = [low + (high - low) * i / (NUM_TICKS - 1) for i in range(NUM_TICKS)] if low < high else [low]

    def height(number: float) -> float:
        return (number - low) / (high - low) if low < high else 0.5

    def text(number: float) -> str:
        return f"{10**number if is_log else number:.3g}"

    return _Axis(name, [*map(height, scaled)], [*map(text, scaled)], [(height(tick), text(tick)) for tick in ticks])


def _option_axis(name: str, values: Sequence[Any]) -> _Axis:
    """Return an axis with the options that occur at equal distances."""
    field = FIELDS[name]
    options = sorted(set(values), key=field.options.index if isinstance(field, Choice) else None)
    heights = {option: i / (len(options) - 1) if len(options) > 1 else 0.5 for i, option in enumerate(options)}
    texts = {option: str(to_optuna_value(option)) for option in options}
    return _Axis(
        name,
        [heights[value] for value in values],
        [texts[value] for value in values],
        [(heights[option], texts[option]) for option in options],
    )


def _axis_line(position: int) -> dict[str, Any]:
    return {
        "type": "line",
        "x0": position,
        "x1": position,
        "y0": 0,
        "y1": 1,
        "line": {"color": "#888", "width": 1},
        "layer": "below",
    }


def _tick_label(position: int, height: float, text: str) -> dict[str, Any]:
    return {
        "x": position,
        "y": height,
        "text": text,
        "showarrow": False,
        "xanchor": "right",
        "xshift": -4,
        "font": {"size": 10, "color": "#555"},
    }
