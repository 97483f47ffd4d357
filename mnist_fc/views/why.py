"""Why this digit: the contribution of each pixel to the score of the digit read, of the runner-up, and to the difference."""

import math
from typing import Literal

import numpy as np
import streamlit as st

from mnist_fc.analysis.attribution import Attribution, attribute
from mnist_fc.analysis.places import by_place, main_places
from mnist_fc.reading.reader import Reading
from mnist_fc.views import drawing
from mnist_fc.views.components.numbers import format_fixed, format_number, format_times
from mnist_fc.views.components.pixels import Tile, pictures
from mnist_fc.views.state import networks
from mnist_fc.views.state.tray import tray

COLOURS = (
    "**Orange raises a digit's score, blue lowers it.** Blank pixels add nothing. All three pictures share one scale. "
    "Point at or tap a pixel for its value."
)
EXACT = "For this drawing, each score (logit) is a plain sum over the inked pixels, plus a constant from the biases."
INTEGRATED = (
    "With this activation no pixel has an exact share. So the ink is added little by little, from blank paper to the drawing. "
    "Each pixel gets the change that it caused. The method is called integrated gradients (Sundararajan et al., 2017). "
    "The last line of the table shows the unexplained rest."
)

WORTH_SAYING = 0.25
"""A place that speaks for the other digit is named if it counts for at least this share of the strongest place."""

NEXT = " **Is that wrong?** Press what you drew, under the bars, and teach the network."
NEXT_AFTER_LABEL = " **You labelled it {}.** Teach the network your digits, under the bars."


def panel(readings: list[Reading], network: networks.Network) -> None:
    """Draw the pictures and their sums, for the drawing as it was just read."""
    reading = drawing.to_explain(readings, "why")
    if reading is None:
        return
    assert reading.image is not None
    assert reading.runner_up is not None
    first, second = int(np.argmax(reading.probabilities)), reading.runner_up
    label = tray().label_of(reading.pixels)
    if isinstance(label, int) and label != first:  # the question is then why it was not read as that
        second = label
    attribution = attribute(network.reader.model, reading.image, (first, second))
    if not np.isfinite(attribution.pixels).all():
        st.info("Some of the network's values overflowed, so its answer cannot be split into pixels.")
        return
    lead = attribution.pixels[0] - attribution.pixels[1]
    with st.container(key="why_in_words"):
        st.markdown(_in_words(attribution, reading, first, second))
    shown = [
        Tile(attribution.pixels[0], f"for {first}"),
        Tile(attribution.pixels[1], f"for {second}"),
        Tile(lead, f"why {first} and not {second}"),
    ]
    left, right = st.columns([2, 1.1])
    with left, st.container(key="why_pictures"):
        pictures("why_pixels", shown, label=f"each pixel's part in {first}, in {second}, and in the difference", size=190)
        st.caption(COLOURS)
    with right, st.container(key="why_sums"):
        st.html(_sums(attribution, first, second))
    ahead = float(attribution.logits[0] - attribution.logits[1])
    st.caption(
        f"The score of {first} is higher by {format_number(ahead)}, so {first} is {format_times(math.exp(min(ahead, 700)))} "
        f"likelier than {second}. Read by {network.name}.{_next(reading.digit, label)}"
    )
    st.caption(EXACT if attribution.is_exact else INTEGRATED)


def _in_words(attribution: Attribution, reading: Reading, first: int, second: int) -> str:
    """Return in a sentence or two, as Markdown, why the network answers `first` rather than `second`."""
    answer = f"This is read as **{first}** rather than **{second}**"
    if reading.digit is None:
        why = "has too many digits" if reading.problem == "too many digits" else "hardly looks like a digit"
        answer = f"The page shows **?**, because this {why}. The network alone would answer **{first}** rather than **{second}**"
    lead = attribution.pixels[0] - attribution.pixels[1]
    ink, rest = float(lead.sum()), float(attribution.base[0] - attribution.base[1])
    unseen = "the network's biases" if attribution.is_exact else "the network's scores for blank paper"
    if ink <= 0:
        return f"{answer}, because of {unseen}: the ink speaks more for {second}."
    sums = by_place(lead)
    (strongest, most), *_, (other, least) = sums.items()
    named = main_places(sums)
    because = f"because of ink in many places, above all **{strongest}**"
    if named:
        because = f"mostly because of the ink **{' and '.join(named)}**"
    if rest > ink:
        because = f"mostly because of {unseen}; of the ink, above all that **{strongest}**"
    against = f" The ink {other} speaks for {second}." if least <= -WORTH_SAYING * most else ""
    return f"{answer}, {because}.{against}"


def _next(read: int | None, label: int | Literal["none"] | None) -> str:
    """Return what to do if the answer, None for "?", is wrong; `label` is the person's own."""
    if label == ("none" if read is None else read) or not drawing.can_be_taught():
        return ""
    return NEXT if label is None else NEXT_AFTER_LABEL.format("not a digit" if label == "none" else label)


def _sums(attribution: Attribution, first: int, second: int) -> str:
    """Return a table as HTML: the pixels, the constant, their sum, the network's own logit, and the difference."""
    rest = "from the biases" if attribution.is_exact else "score of blank paper"
    rows = {
        "all pixels": attribution.pixels.sum((1, 2)),
        rest: attribution.base,
        "sum": attribution.sums,
        "network's score (logit)": attribution.logits,
    }
    header = "<td></td>" + "".join(f"<th>{name}</th>" for name in (f"for {first}", f"for {second}", "difference"))
    body = "".join(_row(name, [_signed(value) for value in (*values, values[0] - values[1])]) for name, values in rows.items())
    gaps = attribution.gaps
    unexplained = ["&lt; 0.0001" if abs(gap) < 1e-4 else _signed(gap) for gap in (*gaps, gaps[0] - gaps[1])]
    gap = _row("unexplained rest", unexplained)
    return f"<table class='sums'><thead><tr>{header}</tr></thead><tbody>{body}{gap}</tbody></table>"


def _signed(value: float) -> str:
    return format_fixed(value, signed=True)


def _row(name: str, cells: list[str]) -> str:
    return f"<tr><th>{name}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
