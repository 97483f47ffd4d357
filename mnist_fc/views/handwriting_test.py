"""A small test of the person's handwriting: ten digits drawn as they are asked for, and the readings of each network.

Drawings are kept: every digit has its drawing, finished or not, also while another digit is asked for.
"""

from dataclasses import dataclass, replace

import streamlit as st

from mnist_fc.config import NUM_CLASSES
from mnist_fc.data.errors import DataError
from mnist_fc.data.my_digits import MyDigit
from mnist_fc.drawing.strokes import CANVAS_SIZE, Stroke, render
from mnist_fc.reading.reader import Reading, number, percent
from mnist_fc.views.components.canvas import BRUSH, Canvas, Press
from mnist_fc.views.components.images import picture
from mnist_fc.views.state import networks, session
from mnist_fc.views.state.tray import tray

KEY = "hand_canvas"

MAX_SETS = 10
"""Sets of ten digits that are kept besides the one on the page, and sets whose scores are kept."""

Drawings = tuple[tuple[Stroke, ...], ...]


@dataclass(frozen=True)
class Digits:
    """Ten drawings, from 0 to 9, and the one that is asked for; 10 when all are drawn."""

    drawings: Drawings = ((),) * NUM_CLASSES
    asked: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether all ten are drawn."""
        return self.asked == NUM_CLASSES

    @property
    def drawn(self) -> Drawings:
        """The drawings before the one that is asked for."""
        return self.drawings[: self.asked]

    def with_drawing(self, strokes: list[Stroke]) -> "Digits":
        """Return the digits with `strokes` for the one that is asked for."""
        if self.is_complete:
            return self
        return replace(self, drawings=(*self.drawn, tuple(strokes), *self.drawings[self.asked + 1 :]))


def panel(network: networks.Network) -> None:
    """Draw the canvas for the digit that is asked for, the ten boxes, and the score with every network that has read them."""
    digits = _digits()
    readings = _readings(network)
    st.caption(
        "The page asks for 0 to 9 in turn. Write each as you always do. They stay here while the page is open, and every "
        "network that you train reads them again."
    )
    asked, boxes = st.columns([1, 2], gap="large")
    with boxes, st.container(key="hand_boxes"):
        st.html(f"<div class='boxes'>{''.join(_box(digit, readings) for digit in range(NUM_CLASSES))}</div>")
    with asked:
        if not digits.is_complete:
            _ask(digits.asked)
    with asked if digits.is_complete else boxes:
        if readings:
            with st.container(key="hand_score"):
                st.markdown(f"#### {_score(readings, network)}")
            st.caption(f"Read by {network.name}{_taught(readings, network)}.")
        if digits.is_complete:
            _others(network)
        if _past():
            st.button(
                "Previous digits",
                key="hand_restore",
                icon=":material/history:",
                help="Bring back the digits from before Start again.",
                on_click=_restore,
            )


def _taught(readings: list[Reading], network: networks.Network) -> str:
    """Return what the network was taught of the person's hand, in words; empty if nothing."""
    if network.run is None or network.run.lesson is None:
        return ""
    seen = {image.tobytes() for image in network.run.lesson.images}
    num_seen = sum(reading.pixels is not None and reading.pixels.tobytes() in seen for reading in readings)
    return f", {network.run.in_words}" + (f", {num_seen} of these among them" if num_seen else "")


def keep_score(network: networks.Network) -> None:
    """Let the network that reads now read the ten digits, if they are drawn, and keep its score."""
    state, digits = st.session_state, _digits()
    read_by = digits.drawings, network.key, network.name, network.accuracy
    if not digits.is_complete or not network.is_newest or state.get("hand_read_by") == read_by:
        return
    state.hand_read_by = read_by
    all_scores: dict[Drawings, dict[str, str]] = state.setdefault("hand_scores", {})
    scores = all_scores.pop(digits.drawings, {})
    scores.pop(network.key, None)  # the newest comes last
    readings = _readings(network)
    scores[network.key] = f"{_score(readings, network)}: {network.title}"
    all_scores[digits.drawings] = scores
    while len(all_scores) > MAX_SETS:
        del all_scores[next(iter(all_scores))]
    state.setdefault("hands_right", {})[network.key] = _num_right(readings)


def num_right(key: str) -> int | None:
    """Return how many of the person's ten digits the network of that key has read right; None if it has not read them."""
    right: dict[str, int] = st.session_state.get("hands_right", {})
    return right.get(key)


def _digits() -> Digits:
    digits: Digits = st.session_state.setdefault("hand", Digits())
    return digits


def _past() -> list[Digits]:
    """Return the sets that Start again has put away, the newest last."""
    past: list[Digits] = st.session_state.setdefault("hand_past", [])
    return past


def _readings(network: networks.Network) -> list[Reading]:
    return [network.reader.read(render(list(strokes))) for strokes in _digits().drawn]


def _score(readings: list[Reading], network: networks.Network) -> str:
    return f"You {_num_right(readings)} of {len(readings)}, {network.accuracy}"


def _num_right(readings: list[Reading]) -> int:
    return sum(reading.digit == digit for digit, reading in enumerate(readings))


def _canvas() -> Canvas:
    """Return the canvas of this tab, with the buttons that change its drawing."""
    presses = {
        "hand_next": Press("clear", _next),
        "hand_undo": Press("undo", Canvas.undo),
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
                "Finish" if last else f"Next: {digit + 1}",
                "hand_next",
                type="primary",
                disabled=not canvas.strokes,
            )
            st.button("Back", key="hand_back", icon=":material/arrow_back:", disabled=digit == 0, on_click=_back)
        with st.container(horizontal=True, gap="small"):
            canvas.button("Undo", "hand_undo", icon=":material/undo:", disabled=not canvas.can_undo)
            canvas.button("Clear", "hand_clear", icon=":material/delete:")
    if canvas.problem:
        st.error(f"{canvas.problem}. Press Clear and draw again.")


def _others(network: networks.Network) -> None:
    """Draw the scores of earlier networks, and the buttons."""
    keep_score(network)
    scores: dict[str, str] = st.session_state.get("hand_scores", {}).get(_digits().drawings, {})
    others = [f"- {line}" for key, line in reversed(scores.items()) if key != network.key]
    with st.container():
        if others:
            st.markdown("The same ten digits before:\n" + "\n".join(others))
    with st.container(horizontal=True, gap="small"):
        st.button("Back", key="hand_back", icon=":material/arrow_back:", on_click=_back)
        st.button("Start again", key="hand_again", icon=":material/restart_alt:", on_click=_again)
        images = [reading.pixels for reading in _readings(network)]
        is_joined = all(image is not None and tray().find(image) is not None for image in images)
        label = "In My digits" if is_joined else "Add to My digits"
        st.button(label, key="hand_join", icon=":material/add:", disabled=is_joined, on_click=_join)
    if problem := st.session_state.get("hand_problem"):
        st.warning(problem)


def _turn_to(canvas: Canvas, digits: Digits) -> None:
    """Show `digits`, with the drawing of the one that is asked for on the canvas."""
    st.session_state.hand = digits
    canvas.put(() if digits.is_complete else digits.drawings[digits.asked])


def _next(canvas: Canvas) -> None:
    if canvas.strokes:
        digits = _digits().with_drawing(canvas.strokes)
        _turn_to(canvas, replace(digits, asked=digits.asked + 1))


def _received() -> tuple[Canvas, Digits]:
    """Return the canvas and the digits with all that the browser has sent by now."""
    canvas = _canvas()
    canvas.receive()
    return canvas, _digits().with_drawing(canvas.strokes)


def _back() -> None:
    canvas, digits = _received()
    _turn_to(canvas, replace(digits, asked=max(0, digits.asked - 1)))


def _again() -> None:
    """Begin with ten new digits; `_restore` brings these back."""
    canvas, digits = _received()
    st.session_state.hand_past = [*_past(), digits][-MAX_SETS:]
    _turn_to(canvas, Digits())


def _join() -> None:
    """Add the ten digits to My digits."""
    state, readings = st.session_state, _readings(networks.network())
    state.hand_problem = ""
    images = (reading.pixels for reading in readings)
    drawn = enumerate(zip(_digits().drawn, images, strict=True))
    try:
        tray().add(*(MyDigit(label, image, strokes) for label, (strokes, image) in drawn if image is not None))
    except DataError as error:
        state.hand_problem = f"{error}."


def _restore() -> None:
    """Bring back the digits that were put away last, in exchange for those on the page if anything of them is drawn."""
    canvas, digits = _received()
    if past := _past():
        _turn_to(canvas, past.pop())
        if any(digits.drawings):
            past.append(digits)


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
