"""Why this digit: what each pixel adds to the sum of the digit read, of the runner-up, and to the one's lead over the other."""

import math

import numpy as np
import streamlit as st

from mnist_fc.analysis.attribution import Attribution, attribute
from mnist_fc.reading.reader import Reading
from mnist_fc.views import drawing
from mnist_fc.views.components.numbers import format_fixed, format_number, format_times
from mnist_fc.views.components.pixels import Tile, pictures
from mnist_fc.views.state import networks

EXACT = (
    "With this activation the network is, for this very drawing, plain arithmetic: the sum behind each digit (its **logit**) is "
    "each pixel's ink times one number, and what the biases give. **Orange pixels speak for the digit, blue ones against it**; "
    "where there is no ink there is nothing to say. All three pictures have one scale. Point at or tap a pixel for its number."
)
INTEGRATED = (
    "With this activation no share of a pixel is exact, so the ink is brought in little by little, from blank paper to the "
    "drawing, and each pixel gets what it changed on the way (integrated gradients, Sundararajan and others, 2017). **Orange "
    "pixels speak for the digit, blue ones against it.** The last line says how nearly it all adds up. Point at or tap a pixel "
    "for its number."
)


def panel(readings: list[Reading], network: networks.Network) -> None:
    """The pictures and their sums, for the drawing as it was just read."""
    reading = drawing.to_explain(readings, "why")
    if reading is None:
        return
    assert reading.image is not None
    assert reading.runner_up is not None
    first, second = int(np.argmax(reading.probabilities)), reading.runner_up
    attribution = attribute(network.reader.model, reading.image, (first, second))
    if reading.digit is None:
        st.caption(f"The page says **?**, for this is hardly a digit; the network alone would say {first}.")
    if not np.isfinite(attribution.pixels).all():
        st.info("Some of the network's values overflowed, so its answer cannot be split into pixels.")
        return
    lead = attribution.pixels[0] - attribution.pixels[1]
    shown = [
        Tile(attribution.pixels[0], f"for {first}"),
        Tile(attribution.pixels[1], f"for {second}"),
        Tile(lead, f"why {first} and not {second}"),
    ]
    left, right = st.columns([2, 1.1])
    with left, st.container(key="why_pictures"):
        pictures("why_pixels", shown, label=f"each pixel's part in {first}, in {second}, and in the difference", size=190)
    with right, st.container(key="why_sums"):
        st.html(_sums(attribution, first, second))
    ahead = float(attribution.logits[0] - attribution.logits[1])
    st.caption(
        f"The logit of {first} is higher by {format_number(ahead)}, so {first} is {format_times(math.exp(min(ahead, 700)))} as "
        f"probable as {second}. Read by {network.name}."
    )
    st.caption(EXACT if attribution.is_exact else INTEGRATED)


def _sums(attribution: Attribution, first: int, second: int) -> str:
    """The pictures' sums as a table: pixels, what is not of the pixels, both together, and the network's own logit."""
    rest = "the biases' part" if attribution.is_exact else "blank paper's logit"
    rows = {
        "all pixels": attribution.pixels.sum((1, 2)),
        rest: attribution.base,
        "together": attribution.sums,
        "the network's logit": attribution.logits,
    }
    header = "<td></td>" + "".join(f"<th>{name}</th>" for name in (f"for {first}", f"for {second}", "difference"))
    body = "".join(_row(name, [_signed(value) for value in (*values, values[0] - values[1])]) for name, values in rows.items())
    gaps = attribution.gaps
    missing = ["&lt; 0.0001" if abs(gap) < 1e-4 else _signed(gap) for gap in (*gaps, gaps[0] - gaps[1])]
    gap = _row("what is missing", missing)
    return f"<table class='sums'><thead><tr>{header}</tr></thead><tbody>{body}{gap}</tbody></table>"


def _signed(value: float) -> str:
    return format_fixed(value, signed=True)


def _row(name: str, cells: list[str]) -> str:
    return f"<tr><th>{name}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
