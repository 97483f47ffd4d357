"""The canvas, and how a network reads what is on it."""

import base64
import io
from typing import Any

import numpy as np
import streamlit as st
import torch
from PIL import Image
from streamlit_drawable_canvas import st_canvas

from mnist_fc.drawing import CANVAS_SIZE, DrawingError, Stroke, canvas_json, plain_resize, render, strokes_of_canvas
from mnist_fc.reading import Reader, Reading
from mnist_fc.views import session

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

# The component's own toolbar lies unseen over the canvas's upper right corner and swallows the strokes that begin there;
# its buttons are on the page. The canvas sits in a shadow root, where the page's style sheet does not reach.
HIDE_TOOLBAR = """
<script>
(() => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(".dc-toolbar { display: none !important } .dc-canvas { border-radius: 6px }");
  const apply = () => {
    for (const element of document.querySelectorAll(".st-key-canvas *")) {
      const root = element.shadowRoot;
      if (!root) continue;
      if (!root.adoptedStyleSheets.length) root.adoptedStyleSheets = [sheet];
      const canvas = root.querySelector("canvas.upper-canvas");
      canvas?.setAttribute("aria-label", "Draw a digit here with the mouse, a pen or a finger");
    }
  };
  apply();
  window.mnistCanvasObserver?.disconnect();
  window.mnistCanvasObserver = new MutationObserver(apply);
  window.mnistCanvasObserver.observe(document.body, { childList: true, subtree: true });
})();
</script>
"""


def panel() -> None:
    """The canvas with its tools, and the reading."""
    state = st.session_state
    if "strokes" not in state:
        state.canvas_revision = 0
        state.canvas_message = None  # the component's last, so that a new one is told from an old
        _put_on_canvas(strokes_of_canvas(FIRST_DRAWING))
    side_by_side = st.container(horizontal=True, gap="small", key="drawing")
    with side_by_side.container(width=CANVAS_SIZE):
        _canvas()
        _tools()
    reader, name = _reader()
    rgba = None if state.test_digit is not None else state.drawing
    reading = _test_reading(reader) if rgba is None else reader.read(rgba)
    with side_by_side.container(width=150, key="result"):
        _result(reading, name)
    if state.canvas_problem:
        st.error(f"{state.canvas_problem}. Press Clear and draw again.")
    with st.container(key="probabilities"):
        st.html(_bars(reading))
    show_plain = st.toggle(
        "Show the plain resize beside it",
        key="show_plain",
        disabled=rgba is None,
        help="What the network would see, and say, if the whole canvas were shrunk as it is.",
    )
    if show_plain and rgba is not None:
        _comparison(reading, reader.read(rgba, plain_resize))


def _canvas() -> None:
    """Show the canvas and take over a new drawing, or what is wrong with it."""
    state = st.session_state
    with st.container(key="canvas"):
        try:
            message = st_canvas(
                stroke_width=state.get("brush", 20),
                stroke_color="#000000",
                background_color="#ffffff",
                width=CANVAS_SIZE,
                height=CANVAS_SIZE,
                initial_drawing=state.canvas_drawing,
                key="drawing_canvas",
            ).json_data
        except (AttributeError, TypeError, KeyError, ValueError):
            state.canvas_problem = "The canvas sent something that is no drawing"
            return
    st.html(HIDE_TOOLBAR, unsafe_allow_javascript=True)
    if message == state.canvas_message:
        return
    first, state.canvas_message = state.canvas_message is None, message
    if first:
        return
    try:
        strokes = strokes_of_canvas(message)
    except DrawingError as error:
        state.canvas_problem = str(error).capitalize()
        return
    state.canvas_problem = None
    if strokes != state.strokes:  # else it is the echo of an Undo or a Clear
        _show(strokes)
        state.test_digit = None


def _show(strokes: list[Stroke]) -> None:
    """Read `strokes` from now on."""
    st.session_state.strokes = strokes
    st.session_state.drawing = render(strokes)


def _tools() -> None:
    state = st.session_state
    with st.container(horizontal=True, gap="small", key="tools"):
        st.button(
            "Undo", key="undo", icon=":material/undo:", on_click=_undo, disabled=not state.strokes and state.test_digit is None
        )
        st.button("Clear", key="clear", icon=":material/delete:", on_click=_clear)
        st.button("Test digit", key="test_digit_button", on_click=_load_test_digit)
    st.select_slider(
        "Brush width",
        [6, 10, 14, 20, 26, 34],
        value=20,
        key="brush",
        help="In pixels of the canvas, which has 280.",
        label_visibility="collapsed",
        format_func=lambda width: f"brush {width} px",
    )


def _put_on_canvas(strokes: list[Stroke]) -> None:
    """Replace what the canvas shows; the revision makes the component notice, even when the strokes are as before."""
    state = st.session_state
    _show(strokes)
    state.test_digit = None
    state.canvas_problem = None
    state.canvas_revision += 1
    state.canvas_drawing = {**canvas_json(strokes), "revision": state.canvas_revision}


def _undo() -> None:
    """Take back what came last: the test digit that is shown, else the last stroke."""
    if st.session_state.test_digit is not None:
        st.session_state.test_digit = None
    else:
        _put_on_canvas(st.session_state.strokes[:-1])


def _clear() -> None:
    _put_on_canvas([])


def _load_test_digit() -> None:
    st.session_state.test_digit = int(np.random.default_rng().integers(len(session.mnist().test_labels)))


def _reader() -> tuple[Reader, str]:
    """The network that reads, and its name: the newest weights of the run watched, or the shipped network."""
    state = st.session_state
    run = session.watched_run()
    weights = run.snapshot().weights if run else None
    state.setdefault("network", "run")
    choice = st.segmented_control(
        "Read with",
        ["run", "shipped"],
        key="network" if weights else "network_without_run",
        default=None if weights else "shipped",
        required=True,
        disabled=weights is None,
        format_func={"run": "This run's network", "shipped": "Shipped network"}.__getitem__,
        help="Your run's newest weights, as it learns, or the network that comes with the program.",
        label_visibility="collapsed",
    )
    if not run or not weights or choice == "shipped":
        return session.shipped_reader(), "the shipped network"
    if state.get("run_reader_of") != (run.id, weights.step):
        state.run_reader_of = (run.id, weights.step)
        state.run_reader = Reader.from_weights(weights.weights, run.config)
    return state.run_reader, f"this run, step {weights.step:,}"


def _test_reading(reader: Reader) -> Reading:
    image = session.mnist().test_images[st.session_state.test_digit]
    return reader.read_image(image.view(28, 28).to(torch.float32).div(255).numpy())


def _result(reading: Reading, name: str) -> None:
    with st.container(key="answer", gap=None):
        with st.container(key="reading"):
            st.html(f"<div class='digit' aria-live='polite'>{_digit(reading)}</div>")
        what = "test-digit" if st.session_state.test_digit is not None else "drawing"
        st.html(f"<div class='under-digit {what}'>{_said(reading)}<br><span class='by'>{name}</span></div>")
    with st.container(key="sight", gap=None):
        with st.container(key="seen"):
            st.html(_picture(reading.image, "what the network sees: the drawing as 28 by 28 pixels"))
        st.caption("What the network sees")


def _digit(reading: Reading) -> str:
    """The digit read, "?" for what is not read as one, and nothing for an empty canvas."""
    return "" if reading.image is None else "?" if reading.digit is None else str(reading.digit)


def _said(reading: Reading) -> str:
    if reading.image is None:
        return "Draw a digit."
    if reading.digit is None or reading.runner_up is None:
        return "This network's numbers have run out of range; it reads nothing."
    sure, next_sure = (_exact_percent(reading.probabilities[digit]) for digit in (reading.digit, reading.runner_up))
    line = f"{sure} sure<br>then {reading.runner_up}, {next_sure}"
    if (index := st.session_state.test_digit) is not None:
        label = int(session.mnist().test_labels[index])
        line += f"<br>Test digit {index:,},<br>labelled <b>{label}</b> {'✓' if label == reading.digit else '✗'}"
    return line


def _bars(reading: Reading) -> str:
    return f"<div class='bars'>{''.join(_bar(reading, digit) for digit in range(len(reading.probabilities)))}</div>"


def _bar(reading: Reading, digit: int) -> str:
    probability = reading.probabilities[digit]
    best = " best" if digit == reading.digit else ""
    shown = "" if reading.digit is None else _percent(probability)
    return (
        f"<div class='bar{best}' role='img' title='{digit}: {probability:.4%}' aria-label='{digit}: {probability:.1%}'>"
        f"<span>{shown}</span><div><i style='height:{probability * 100:.2f}%'></i></div><b>{digit}</b></div>"
    )


def _percent(probability: float) -> str:
    return "<1" if 0.001 < probability < 0.01 else f"{probability * 100:.0f}"


def _exact_percent(probability: float) -> str:
    """One decimal; what only rounding would make certain or impossible is not called so."""
    return "over 99.9%" if probability > 0.9995 else "under 0.1%" if probability < 0.0005 else f"{probability:.1%}"


def _comparison(normalised: Reading, plain: Reading) -> None:
    if normalised.digit is None or plain.digit is None:
        return
    cells = "".join(
        f"<figure>{_picture(reading.image, label)}<figcaption>{label}: read as <b>{_digit(reading)}</b>, "
        f"{_exact_percent(max(reading.probabilities))} sure</figcaption></figure>"
        for label, reading in (("Normalised", normalised), ("Plain resize", plain))
    )
    st.html(f"<div class='comparison'>{cells}</div>")
    st.caption(
        "MNIST's digits were cropped, scaled to 20 pixels and centred by their weight. A network that learned from them reads "
        "yours best when it is treated alike; the plain resize keeps its place and size, which the network never saw vary."
    )


def _picture(image: np.ndarray | None, label: str) -> str:
    """An image, float32 (28, 28), as an <img> that the browser enlarges without blur."""
    values = np.zeros((28, 28), np.uint8) if image is None else (image * 255).round().astype(np.uint8)
    png = io.BytesIO()
    Image.fromarray(values).save(png, "PNG")
    return f"<img class='pixels' alt='{label}' src='data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}'>"
