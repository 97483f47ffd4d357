"""What was read: the digit, how sure the network is, the probability of each digit, and what one can do with it."""

import streamlit as st

from mnist_fc.analysis.probes import MAX_PROBES
from mnist_fc.percentages import in_percent
from mnist_fc.reading.reader import MAX_DIGITS, Reading, number, percent
from mnist_fc.views import correction, drawing, probes, tabs
from mnist_fc.views.components.component import Component
from mnist_fc.views.components.images import data_url, figure
from mnist_fc.views.state import networks

PROBLEMS = {
    "empty": "Draw a digit.",
    "no digit": "Not a digit.<br>The bars show the<br>closest digits.",
    "too many digits": f"Too many digits:<br>at most {MAX_DIGITS}.",
    "overflow": "The network's values overflowed, so it cannot read the drawing.",
}

NEXT_TO_NOTHING = 1e-3
"""A probability below this has no number above its bar, nor beside its digit in a number."""

_glance = Component(
    "glance",
    "<button type='button' class='glance' aria-label='Back to the drawing'>"
    "<small><i>Back to the</i> drawing</small><span></span><b></b></button>",
)


def panel(readings: list[Reading], network: networks.Network) -> None:
    """Draw what was read, how sure the network is, and what one can do with it."""
    cover = drawing.covered_by()
    with st.container(key="result", gap="small"):
        with st.container(key="reading"):
            size = f" style='font-size: {min(5.5, 10 / len(readings)):.1f}rem'" if len(readings) > 1 else ""
            st.html(f"<div class='digit' aria-live='polite'{size}>{number(readings)}</div>")
        what, said = "drawing", _said(readings[0]) if len(readings) == 1 else _said_of_number(readings)
        if cover:
            what, said = "cover", f"{said}<br>{cover.describe(readings[0].digit)}"
        st.html(f"<div class='under-digit {what}'>{said}<br><span class='by'>{network.name}</span></div>")
        can_ask = drawing.can_be_explained(readings[0])
        why = "Ask why" if can_ask else "No answer"
        st.button(why, key="ask_why", icon=":material/help:", disabled=not can_ask, on_click=tabs.open_tab, args=(tabs.WHY,))
        digits = [reading for reading in readings if reading.digit is not None]
        is_pinned = bool(digits) and all(map(probes.is_pinned, digits))
        is_full = len(probes.pinned()) == MAX_PROBES
        # The label says why the button is disabled: a help text would not be seen on a touch screen.
        label = "Pinned" if is_pinned else "No digit to pin" if not digits else f"{MAX_PROBES} are pinned" if is_full else "Pin"
        st.button(label, key="pin", icon=":material/keep:", disabled=label != "Pin", on_click=_pin)


def glance(readings: list[Reading]) -> None:
    """Draw what the network sees and reads, small, where the page stays in view: a button that leads back to the drawing."""
    with st.container(key="seen"):
        _glance.show("glance_button", {"pictures": [data_url(reading.image) for reading in readings], "answer": number(readings)})


def probabilities(readings: list[Reading]) -> None:
    """Draw the probability of each digit; of a number, its digits."""
    with st.container(key="probabilities"):
        if problem := drawing.canvas().problem:
            st.error(f"{problem}. Press Clear and draw again.")
        else:
            st.html(_bars(readings[0]) if len(readings) == 1 else _digits(readings))
        correction.panel(readings)


def _pin() -> None:
    """Pin what is drawn, for every network to read from now on."""
    drawing.canvas().receive()
    cover = drawing.covered_by()
    probes.pin(drawing.read(networks.network()), cover.label if cover else None)


def _said(reading: Reading) -> str:
    """Return a reading in a few short lines of HTML."""
    if reading.problem or reading.digit is None or reading.runner_up is None:
        return PROBLEMS[reading.problem or "no digit"]
    sure, next_sure = (percent(reading.probabilities[digit]) for digit in (reading.digit, reading.runner_up))
    if reading.is_close:
        return f"{sure} sure, or<br><b>maybe {reading.runner_up}</b>, {next_sure}"
    return f"{sure} sure<br>then {reading.runner_up}, {next_sure}"


def _said_of_one_of_many(reading: Reading) -> str:
    """Return the same in the narrow column of one digit of a number: a runner-up that is next to nothing is left out."""
    if reading.problem:
        return "not a digit"
    said = _said(reading)
    is_sure = reading.runner_up is not None and reading.probabilities[reading.runner_up] < NEXT_TO_NOTHING
    return said.partition("<br>")[0] if is_sure else said


def _said_of_number(readings: list[Reading]) -> str:
    return f"{len(readings)} digits<br>from left to right"


def _bars(reading: Reading) -> str:
    return f"<div class='bars'>{''.join(_bar(reading, digit) for digit in range(len(reading.probabilities)))}</div>"


def _bar(reading: Reading, digit: int) -> str:
    probability = reading.probabilities[digit]
    kind = " best" if digit == reading.digit else " doubtful" if reading.digit is None else ""
    shown = "" if reading.digit is None else _whole_percent(probability)
    return (
        f"<div class='bar{kind}' role='img' title='{digit}: {percent(probability)}' aria-label='{digit}: {percent(probability)}'>"
        f"<span>{shown}</span><div><i style='height:{probability * 100:.2f}%'></i></div><b>{digit}</b></div>"
    )


def _digits(readings: list[Reading]) -> str:
    """Return HTML for each digit of a number: its picture, how it is read and what it might be instead."""
    cells = (figure(r.image, f"<b>{number([r])}</b> {_said_of_one_of_many(r)}", number([r])) for r in readings)
    return f"<div class='comparison number' role='group' aria-label='The digits' tabindex='0'>{''.join(cells)}</div>"


def _whole_percent(probability: float) -> str:
    """Return a probability in whole percent, as short as there is room for above a bar; empty if it is next to nothing."""
    if probability < NEXT_TO_NOTHING:
        return ""
    return in_percent(min(probability, 1 - NEXT_TO_NOTHING), 0).replace("over ", ">").replace("under ", "<").removesuffix("%")
