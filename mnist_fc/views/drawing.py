"""The canvas, and the readings of what is drawn on it."""

from typing import Any

import numpy as np
import streamlit as st

from mnist_fc.analysis.probes import MAX_PROBES
from mnist_fc.drawing.normalize import NormalizationSteps, extract_ink, normalize, resize_canvas, segment_digits
from mnist_fc.drawing.strokes import CANVAS_SIZE, strokes_of_canvas
from mnist_fc.reading.reader import Reading, number, percent
from mnist_fc.views import export, probes
from mnist_fc.views.components.canvas import BRUSH, BRUSHES, Canvas, Press
from mnist_fc.views.components.images import figure, picture
from mnist_fc.views.components.labels import distinct_digits
from mnist_fc.views.covers import Cover, TestDigit
from mnist_fc.views.state import formatting, networks, session, shared, sync

FIRST_DRAWING: dict[str, Any] = {
    "objects": [
        {
            "path": [
                ["M", 92, 92],
                ["Q", 100, 62, 138, 60],
                ["Q", 186, 60, 184, 98],
                ["Q", 182, 130, 134, 136],
                ["Q", 196, 138, 196, 182],
                ["Q", 194, 226, 142, 228],
                ["Q", 100, 228, 84, 200],
            ],
            "strokeWidth": 20,
        }
    ]
}
"""A 3, there when the page opens."""
FIRST_STROKES = strokes_of_canvas(FIRST_DRAWING)

SOURCES = {"run": "This run's network", "shipped": "Built-in network", "file": "Loaded file"}
"""The source of the network that reads, in words."""

PROBLEMS = {
    "empty": "Draw a digit.",
    "no digit": "Not a digit.<br>The bars show the<br>closest digits.",
    "overflow": "The network's values overflowed, so it cannot read the drawing.",
}


def panel(network: networks.Network) -> list[Reading]:
    """Draw the canvas with its tools, and return what `network` reads."""
    canvas = _canvas()
    row = st.container(horizontal=True, gap="small", key="drawing")
    with row.container(width=CANVAS_SIZE):
        canvas.show(st.session_state.get("brush", BRUSH), is_kept=True)
        _tools(canvas)
    _choice()
    readings = _read(canvas, network)
    with row.container(width=150, key="result"):
        _result(readings, network.name, covered_by())
    with st.container(key="probabilities"):
        if canvas.problem:
            st.error(f"{canvas.problem}. Press Clear and draw again.")
        else:
            st.html(_bars(readings[0]) if len(readings) == 1 else _digits(readings))
    show_steps = st.toggle(
        "How the drawing is prepared",
        key="show_steps",
        help="Step by step from your drawing to what the network sees, and how it reads a plain resize instead.",
    )
    if show_steps:
        _preparation(canvas, readings, network)
    return readings


def _preparation(canvas: Canvas, readings: list[Reading], network: networks.Network) -> None:
    """Draw how the drawing became what the network sees, or say why there is nothing to show."""
    if isinstance(covered_by(), TestDigit):
        st.caption("A test digit needs no preparation: the network sees it as it is.")
    elif readings[0].image is None:
        st.caption("Draw a digit to see how it is prepared.")
    else:
        _steps(canvas.drawing, readings, network)


def _read(canvas: Canvas, network: networks.Network) -> list[Reading]:
    """Return how `network` reads what covers the drawing, otherwise the drawing."""
    cover = covered_by()
    return [cover.read(network.reader)] if cover else network.reader.read_number(canvas.drawing)


def to_explain(readings: list[Reading], key: str) -> Reading | None:
    """Return the reading that a tab explains; of several digits, the one picked there. Draw the reason if there is none."""
    reading = readings[0]
    if len(readings) > 1:
        places = list(range(len(readings)))
        labels = distinct_digits([number([reading]) for reading in readings])
        place = st.segmented_control(
            "Which digit",
            places,
            default=0,
            required=True,
            key=f"{key}_place",
            format_func=labels.__getitem__,
            label_visibility="collapsed",
        )
        reading = readings[place if place in places else 0]
    if reading.problem == "empty":
        st.info("Draw a digit to see it explained.")
        return None
    if reading.problem == "overflow":
        st.info("The network's values overflowed, so there is nothing to explain. Look back at an earlier step.")
        return None
    return reading


def _canvas() -> Canvas:
    """Return the page's canvas, with the buttons that change its drawing."""
    presses = {
        "undo": Press("undo", Canvas.undo),
        "clear": Press("clear", Canvas.clear),
        "test_digit_button": Press("cover", _load_test_digit),
    }
    return Canvas("canvas", presses, FIRST_STROKES, session.log_rejected)


def _tools(canvas: Canvas) -> None:
    with st.container(horizontal=True, gap="small", key="tools"):
        canvas.button("Undo", "undo", icon=":material/undo:", disabled=not canvas.can_undo)
        canvas.button("Clear", "clear", icon=":material/delete:")
        canvas.button("Test digit", "test_digit_button")
    st.select_slider(
        "Brush width",
        BRUSHES,
        value=BRUSH,
        key="brush",
        help="In pixels of the canvas, which has 280.",
        label_visibility="collapsed",
        format_func=lambda width: f"brush {width} px",
    )


def _load_test_digit(canvas: Canvas) -> None:
    canvas.cover(TestDigit(int(np.random.default_rng().integers(len(shared.mnist().test_labels)))))


def covered_by() -> Cover | None:
    """Return what is read in the drawing's place; None if the drawing is."""
    cover: Cover | None = _canvas().covered_by
    return cover


def cover(digit: Cover) -> None:
    """Read `digit` instead of the drawing; Undo brings the drawing back."""
    canvas = _canvas()
    canvas.receive()
    canvas.cover(digit)


def _choice() -> None:
    """Draw the choice of the network that reads."""
    sources = networks.sources()
    widgets = sync.widgets("network", ["network_choice"], _choose)
    with st.container(key="network"), widgets.drawn({"network_choice": networks.source()}):
        offered = sources if len(sources) > 1 else ["run", "shipped"]
        widgets.offer("network_choice", offered, SOURCES.__getitem__)
        st.segmented_control(
            "Read with",
            offered,
            key="network_choice",
            required=True,
            disabled=len(sources) == 1,
            format_func=SOURCES.__getitem__,
            label_visibility="collapsed",
        )
    if file := networks.loaded_file():
        with st.container(key="loaded_file", horizontal=True, vertical_alignment="center", gap="small"):
            st.caption(f"Loaded file: **{formatting.escape_markdown(file.name)}**", width="content")
            st.button("Remove", key="remove_file", icon=":material/close:", on_click=export.remove_file)


def _choose(_key: str, source: session.Source) -> None:
    st.session_state.network = source


def _result(readings: list[Reading], name: str, cover: Cover | None) -> None:
    with st.container(key="answer", gap=None):
        with st.container(key="reading"):
            size = f" style='font-size: {min(5.5, 10 / len(readings)):.1f}rem'" if len(readings) > 1 else ""
            st.html(f"<div class='digit' aria-live='polite'{size}>{number(readings)}</div>")
        what, said = "drawing", _said(readings[0]) if len(readings) == 1 else _said_of_number(readings)
        if cover:
            what, said = "cover", f"{said}<br>{cover.describe(readings[0].digit)}"
        st.html(f"<div class='under-digit {what}'>{said}<br><span class='by'>{name}</span></div>")
    with st.container(key="sight", gap=None):
        with st.container(key="seen"):
            pictures = "".join(picture(reading.image, "what the network sees: 28 by 28 pixels") for reading in readings)
            st.html(f"<div class='{'one' if len(readings) == 1 else 'several'}'>{pictures}</div>")
        st.caption("What the network sees")
        digits = [reading for reading in readings if reading.digit is not None]
        is_pinned = bool(digits) and all(map(probes.is_pinned, digits))
        is_full = len(probes.pinned()) == MAX_PROBES
        # The label says why the button is disabled: a help text would not be seen on a touch screen.
        label = "Pinned" if is_pinned else "No digit to pin" if not digits else f"{MAX_PROBES} are pinned" if is_full else "Pin"
        st.button(label, key="pin", icon=":material/keep:", disabled=label != "Pin", on_click=_pin)


def _pin() -> None:
    """Pin what is drawn, for every network to read from now on."""
    canvas = _canvas()
    canvas.receive()
    cover = covered_by()
    probes.pin(_read(canvas, networks.network()), cover.label if cover else None)


def _said(reading: Reading) -> str:
    """Return a reading in a few short lines of HTML."""
    if reading.problem or reading.digit is None or reading.runner_up is None:
        return PROBLEMS[reading.problem or "no digit"]
    sure, next_sure = (percent(reading.probabilities[digit]) for digit in (reading.digit, reading.runner_up))
    if reading.is_close:
        return f"{sure} sure, or<br><b>maybe {reading.runner_up}</b>, {next_sure}"
    return f"{sure} sure<br>then {reading.runner_up}, {next_sure}"


def _said_of_one_of_many(reading: Reading) -> str:
    return "not a digit" if reading.problem else _said(reading)


def _said_of_number(readings: list[Reading]) -> str:
    return f"{len(readings)} digits<br>from left to right"


def _bars(reading: Reading) -> str:
    return f"<div class='bars'>{''.join(_bar(reading, digit) for digit in range(len(reading.probabilities)))}</div>"


def _bar(reading: Reading, digit: int) -> str:
    probability = reading.probabilities[digit]
    kind = " best" if digit == reading.digit else " doubtful" if reading.digit is None else ""
    shown = "" if reading.digit is None else _whole_percent(probability)
    return (
        f"<div class='bar{kind}' role='img' title='{digit}: {probability:.4%}' aria-label='{digit}: {probability:.1%}'>"
        f"<span>{shown}</span><div><i style='height:{probability * 100:.2f}%'></i></div><b>{digit}</b></div>"
    )


def _digits(readings: list[Reading]) -> str:
    """Return HTML for each digit of a number: its picture, how it is read and what it might be instead."""
    cells = (figure(r.image, f"<b>{number([r])}</b> {_said_of_one_of_many(r)}", number([r])) for r in readings)
    return f"<div class='comparison number'>{''.join(cells)}</div>"


def _whole_percent(probability: float) -> str:
    return "<1" if 0.001 < probability < 0.01 else f"{probability * 100:.0f}"


def _steps(drawing: np.ndarray, readings: list[Reading], network: networks.Network) -> None:
    """Draw the steps of the preparation as pictures, and the result beside a plain resize."""
    drawn, resized = extract_ink(drawing), resize_canvas(drawing)
    if drawn is None or resized is None:
        return
    several = len(readings) > 1
    steps = normalize(segment_digits(drawn)[0] if several else drawn)
    st.html(f"<div class='steps'>{''.join(figure(*step) for step in _pictures_of(steps))}</div>")
    if several:
        st.caption("The steps of the first digit, and its picture below. Each digit is prepared in this way.")
    compared = (("Normalised", readings), ("Plain resize", [network.reader.read_image(resized)]))
    st.html(f"<div class='comparison'>{''.join(_compared(name, which) for name, which in compared)}</div>")
    st.caption(
        "MNIST's digits were cropped, scaled to 20 pixels and centred by weight, and all were written with a similar pen. A "
        "network that learned from them hardly knows any other place, size or stroke width."
    )


def _compared(name: str, readings: list[Reading]) -> str:
    sure = min(max(reading.probabilities) for reading in readings)
    what = f"{name}: read as <b>{number(readings)}</b>"
    rejected = any(reading.digit is None for reading in readings)
    return figure(readings[0].image, what if rejected else f"{what}, {percent(sure)} sure", name)


def _pictures_of(steps: NormalizationSteps) -> list[tuple[np.ndarray, str, str]]:
    captions = {
        "drawn": "drawn",
        "cropped": "cropped",
        "stroke": "stroke as in MNIST",
        "scaled": "scaled to 20 px",
        "image": "centred by weight",
    }
    return [(getattr(steps, name), caption, caption) for name, caption in captions.items()]
