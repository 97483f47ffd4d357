"""A small test of one's own hand: ten digits drawn as they are asked for, and how each network reads them."""

import streamlit as st

from mnist_fc.config import NUM_CLASSES
from mnist_fc.reading import Reading, number, percent
from mnist_fc.strokes import CANVAS_SIZE, Stroke, render
from mnist_fc.views import draw, session
from mnist_fc.views.canvas import BRUSH, Canvas

KEY = "hand_canvas"


def panel() -> None:
    """The canvas for the digit that is asked for, the ten boxes, and the score with every network that has read them."""
    # Anew at every tick, for the network that learns; see `live` in app.py.
    st.fragment(_panel, run_every=session.tick_seconds())()


def _panel() -> None:
    state = st.session_state
    drawn: list[list[Stroke]] = state.setdefault("hand", [])
    network = session.network()
    st.caption(
        "The page asks for 0 to 9 in turn. Write each as you always do. They stay here while the page is open, and every "
        "network that you train reads them again."
    )
    asked, boxes = st.columns([1, 2], gap="large")
    readings = [network.reader.read(render(strokes)) for strokes in drawn]
    is_done = len(drawn) == NUM_CLASSES
    with boxes, st.container(key="hand_boxes"):
        st.html(f"<div class='boxes'>{''.join(_box(digit, readings) for digit in range(NUM_CLASSES))}</div>")
    if not is_done:
        with asked:
            _ask(len(drawn))
    if readings:
        with asked if is_done else boxes:
            _scores(readings, network)
    if is_done:
        asked.button("Start again", key="hand_again", icon=":material/restart_alt:", on_click=_again)


def _ask(digit: int) -> None:
    canvas = Canvas(KEY)
    with st.container(key="hand_asked"):
        st.markdown(f"### Draw a {digit}")
    with st.container(width=CANVAS_SIZE):
        canvas.show(st.session_state.get("brush", BRUSH))
        with st.container(horizontal=True, gap="small"):
            last = digit == NUM_CLASSES - 1
            st.button(
                "That was the last" if last else f"Next: {digit + 1}",
                key="hand_next",
                type="primary",
                disabled=not canvas.strokes,
                on_click=_next,
            )
            st.button("Clear", key="hand_clear", icon=":material/delete:", on_click=canvas.put, args=([],))
            st.button("Back", key="hand_back", icon=":material/undo:", disabled=digit == 0, on_click=_back)
    if canvas.problem:
        st.error(f"{canvas.problem}. Press Clear and draw again.")


def _next() -> None:
    canvas = Canvas(KEY)
    if canvas.strokes:
        st.session_state.hand.append(canvas.strokes)
        canvas.put([])


def _back() -> None:
    st.session_state.hand_scores = {}
    Canvas(KEY).put(st.session_state.hand.pop())


def _again() -> None:
    st.session_state.hand = []
    st.session_state.hand_scores = {}


def _box(digit: int, readings: list[Reading]) -> str:
    if digit >= len(readings):
        return f"<div class='box'><span class='asked'>{digit}</span></div>"
    reading = readings[digit]
    right = reading.digit == digit
    said = "read" if right else f"read as {number([reading])}"
    picture = draw.picture(reading.image, f"your {digit}")
    return (
        f"<div class='box {'right' if right else 'wrong'}'><span class='asked'>{digit}</span>{picture}"
        f"<b>{'✓' if right else '✗'}</b> {said}<br>{percent(max(reading.probabilities))} sure</div>"
    )


def _scores(readings: list[Reading], network: session.Network) -> None:
    """The score of this network, and under it those of the networks before it."""
    num_right = sum(reading.digit == digit for digit, reading in enumerate(readings))
    score = f"You {num_right} of {len(readings)}, {network.accuracy}"
    with st.container(key="hand_score"):
        st.markdown(f"#### {score}")
    st.caption(f"Read by {network.name}.")
    if len(readings) < NUM_CLASSES:
        return
    scores: dict[str, str] = st.session_state.setdefault("hand_scores", {})
    others = [line for key, line in reversed(scores.items()) if key != network.key]
    scores.pop(network.key, None)  # the newest comes last
    scores[network.key] = f"- {score}: {network.title}"
    if others:
        st.markdown("The same ten digits before:\n" + "\n".join(others))
