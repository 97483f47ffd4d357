"""A small test of one's own hand: ten digits drawn as they are asked for, and how each network reads them."""

import streamlit as st

from mnist_fc.config import NUM_CLASSES
from mnist_fc.drawing.strokes import CANVAS_SIZE, Stroke, render
from mnist_fc.reading.reader import Reading, number, percent
from mnist_fc.views.components.canvas import BRUSH, Canvas, Press
from mnist_fc.views.components.images import picture
from mnist_fc.views.state import networks, session

KEY = "hand_canvas"


def panel(network: networks.Network) -> None:
    """The canvas for the digit that is asked for, the ten boxes, and the score with every network that has read them."""
    num_drawn = len(_drawn())
    readings = _readings(network)
    st.caption(
        "The page asks for 0 to 9 in turn. Write each as you always do. They stay here while the page is open, and every "
        "network that you train reads them again."
    )
    asked, boxes = st.columns([1, 2], gap="large")
    with boxes, st.container(key="hand_boxes"):
        st.html(f"<div class='boxes'>{''.join(_box(digit, readings) for digit in range(NUM_CLASSES))}</div>")
    with asked:
        if num_drawn < NUM_CLASSES:
            _ask(num_drawn)
    with boxes if num_drawn < NUM_CLASSES else asked:
        if readings:
            with st.container(key="hand_score"):
                st.markdown(f"#### {_score(readings, network)}")
            st.caption(f"Read by {network.name}.")
        if num_drawn == NUM_CLASSES:
            _others(network)


def keep_score(network: networks.Network) -> None:
    """Let the network that reads now read the ten digits, where they are drawn, and keep its score."""
    state = st.session_state
    read_by = network.key, network.name, network.accuracy
    if len(_drawn()) < NUM_CLASSES or not network.is_newest or state.get("hand_read_by") == read_by:
        return
    state.hand_read_by = read_by
    scores: dict[str, str] = state.setdefault("hand_scores", {})
    scores.pop(network.key, None)  # the newest comes last
    readings = _readings(network)
    scores[network.key] = f"{_score(readings, network)}: {network.title}"
    state.setdefault("hands_right", {})[network.key] = _num_right(readings)


def num_right(key: str) -> int | None:
    """How many of the person's ten digits the network of that key has read right; None if it has not read them."""
    right: dict[str, int] = st.session_state.get("hands_right", {})
    return right.get(key)


def _drawn() -> list[list[Stroke]]:
    """The strokes of each digit drawn so far, from 0 on."""
    drawn: list[list[Stroke]] = st.session_state.setdefault("hand", [])
    return drawn


def _readings(network: networks.Network) -> list[Reading]:
    return [network.reader.read(render(strokes)) for strokes in _drawn()]


def _score(readings: list[Reading], network: networks.Network) -> str:
    return f"You {_num_right(readings)} of {len(readings)}, {network.accuracy}"


def _num_right(readings: list[Reading]) -> int:
    return sum(reading.digit == digit for digit, reading in enumerate(readings))


def _canvas() -> Canvas:
    """The canvas of this tab, with the buttons that change what is on it."""
    presses = {
        "hand_next": Press("clear", _next),
        "hand_clear": Press("clear", Canvas.clear),
    }
    return Canvas(KEY, presses, on_rejected=session.log_rejected)


def _ask(digit: int) -> None:
    canvas = _canvas()
    with st.container(key="hand_asked"):
        st.markdown(f"### Draw a {digit}")
    with st.container(width=CANVAS_SIZE):
        canvas.show(st.session_state.get("brush", BRUSH))
        with st.container(horizontal=True, gap="small"):
            last = digit == NUM_CLASSES - 1
            canvas.button(
                "That was the last" if last else f"Next: {digit + 1}",
                "hand_next",
                type="primary",
                disabled=not canvas.strokes,
            )
            canvas.button("Clear", "hand_clear", icon=":material/delete:")
            st.button("Back", key="hand_back", icon=":material/undo:", disabled=digit == 0, on_click=_back)
    if canvas.problem:
        st.error(f"{canvas.problem}. Press Clear and draw again.")


def _others(network: networks.Network) -> None:
    """The scores of the networks before, and the ways on."""
    keep_score(network)
    others = [f"- {line}" for key, line in reversed(st.session_state.hand_scores.items()) if key != network.key]
    if others:
        st.markdown("The same ten digits before:\n" + "\n".join(others))
    with st.container(horizontal=True, gap="small"):
        st.button("Back", key="hand_back", icon=":material/undo:", on_click=_back)
        st.button("Start again", key="hand_again", icon=":material/restart_alt:", on_click=_again)


def _next(canvas: Canvas) -> None:
    if canvas.strokes:
        _drawn().append(canvas.strokes)
        canvas.put([])


def _back() -> None:
    """Draw the last digit once more, beginning with what it was; the scores were of other digits."""
    canvas = _canvas()
    canvas.receive()
    canvas.put(_drawn().pop())
    _forget_scores()


def _again() -> None:
    st.session_state.hand = []
    _forget_scores()


def _forget_scores() -> None:
    st.session_state.hand_scores = {}
    st.session_state.hand_read_by = None


def _box(digit: int, readings: list[Reading]) -> str:
    if digit >= len(readings):
        return f"<div class='box'><span class='asked'>{digit}</span></div>"
    reading = readings[digit]
    right = reading.digit == digit
    shown = picture(reading.image, f"your {digit}")
    return (
        f"<div class='box {'right' if right else 'wrong'}'><span class='asked'>{digit}</span>{shown}"
        f"<b>{'✓' if right else '✗'}</b> {_said(reading)}</div>"
    )


def _said(reading: Reading) -> str:
    if reading.digit is None:
        return "not a digit" if reading.problem == "no digit" else "not read: values overflowed"
    said = f"read as {number([reading])}<br>{percent(reading.probabilities[reading.digit])} sure"
    return f"{said},<br>maybe {reading.runner_up}" if reading.is_close else said
