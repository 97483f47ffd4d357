"""A canvas to draw on, whose drawing is kept in the session with its history.

The browser logs what is done to the drawing: strokes, and presses of buttons such as Clear, numbered from 1. It shows the
effect at once and sends the entries that the server has not confirmed: `{"session", "first", "raw": {"objects": [...]}}`,
`first` being the number of the first of them. An entry is a Fabric.js path, `{"press": button}`, or `{"open": paths}` for the
drawing that the tab had before a reload. The server applies each number once, in order. It answers `done`, the last number
applied, and `given`, the drawing after entry number `at`, with the one `before` it that undoing brings back. The browser shows
`given` with the later entries applied to it. So a late answer never replaces a newer stroke, and a canvas that is mounted anew
shows everything. `session` is a random name: a server that has restarted, and a page that has been reloaded, get another, and
entries that belong to the old one are ignored.
"""

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import streamlit as st
import streamlit_drawable_canvas

from mnist_fc.drawing.pictures import DrawingError
from mnist_fc.drawing.strokes import CANVAS_SIZE, MAX_STROKES, Stroke, canvas_json, check_size, render, strokes_of_canvas
from mnist_fc.views.components.component import browser_value

BRUSHES = [6, 10, 14, 20, 26, 34]
BRUSH = 20

MAX_PAST = 100
"""Steps that can be undone."""

NO_DRAWING = "the canvas sent something that is no drawing"

_FRONT_END = Path(streamlit_drawable_canvas.__file__).parent / "frontend" / "build"
_SCRIPT = (
    "_stcore/bidi-components/streamlit-drawable-canvas.streamlit_drawable_canvas/" + next(_FRONT_END.glob("index-*.js")).name
)
"""The address of the front end of streamlit-drawable-canvas, which canvas.js imports."""

# Its own toolbar would lie unseen over the upper right corner and swallow the strokes that begin there.
_STYLE = """
.dc-toolbar { display: none !important }
.dc-canvas { border-radius: 6px }
.upper-canvas { cursor: crosshair }
"""

_canvas = st.components.v2.component(
    "mnist_fc_canvas",
    html="<div class='canvas-root'></div>",
    css=next(_FRONT_END.glob("index-*.css")).read_text("utf-8") + _STYLE,
    js="".join(Path(__file__).with_name(name).read_text("utf-8") for name in ("pointers.js", "canvas.js")),
)


@dataclass(frozen=True)
class Drawing:
    """What is on the canvas: strokes, or a test digit that covers them."""

    strokes: tuple[Stroke, ...] = ()
    test_digit: int | None = None


@dataclass(frozen=True)
class Press:
    """What pressing a button does to a canvas, and what the browser shows until the server has done it.

    "clear" and "undo" are as their names say; after "cover" the next stroke begins a new drawing.
    """

    effect: Literal["undo", "clear", "cover"]
    act: Callable[["Canvas"], None]


class Canvas:
    """One canvas of the page, by its key; all of its state is this session's.

    `presses` names the buttons that change it; `first` is on it when the session begins, and undoing leaves it.
    `on_rejected` is called with what is wrong with a message of the browser.
    """

    def __init__(
        self,
        key: str,
        presses: Mapping[str, Press] | None = None,
        first: Iterable[Stroke] = (),
        on_rejected: Callable[[str], object] = str,
    ) -> None:
        self._key = key
        self._presses = presses or {}
        self._on_rejected = on_rejected
        self._component = f"{key}_component"
        self._state: dict[str, Any] = st.session_state.setdefault(f"{key}_state", {})
        if not self._state:
            self._state.update(session=secrets.token_hex(8), done=0, revision=0, problem=None, past=[])
            self._give(Drawing(tuple(first)))

    @property
    def strokes(self) -> list[Stroke]:
        """What is drawn."""
        return list(self._now.strokes)

    @property
    def drawing(self) -> np.ndarray:
        """What is drawn, as a picture: uint8 (280, 280, 4), black on transparent."""
        if self._state.get("picture_of") is not self._now.strokes:
            self._state.update(picture_of=self._now.strokes, picture=render(self._now.strokes))
        picture: np.ndarray = self._state["picture"]
        return picture

    @property
    def test_digit(self) -> int | None:
        """The index of the test image that is shown instead of what is drawn; None if none is."""
        return self._now.test_digit

    @property
    def can_undo(self) -> bool:
        """Whether there is anything to undo."""
        return bool(self._state["past"])

    @property
    def problem(self) -> str | None:
        """What was wrong with the last message of the browser."""
        problem: str | None = self._state["problem"]
        return problem

    def show(self, brush: int = BRUSH, *, is_kept: bool = False) -> None:
        """Put the canvas on the page; with `is_kept` a reload of the browser's tab keeps the drawing."""
        with st.container(key=self._key):
            _canvas(
                key=self._component,
                data={
                    "key": self._key,
                    "script": _SCRIPT,
                    "size": CANVAS_SIZE,
                    "brush": brush,
                    "isKept": is_kept,
                    "presses": {name: press.effect for name, press in self._presses.items()},
                    "session": self._state["session"],
                    "done": self._state["done"],
                    "given": self._state["given"],
                },
                on_drawing_change=self.receive,
                width="content",
                height="content",
            )

    def receive(self) -> None:
        """Apply the entries that are new: a callback, like those of other widgets, which may come first and call this."""
        message = browser_value(self._component, "drawing")
        if message is None:
            return
        try:
            entries = self._new_entries(message)
        except DrawingError as error:
            self._reject(str(error))
            return
        for entry in entries:
            self._state["done"] += 1
            try:
                self._apply(entry)
                self._state["problem"] = None
            except DrawingError as error:
                self._give(self._now)  # the browser shows what cannot be read
                self._reject(str(error))

    def button(self, label: str, key: str, **options: Any) -> None:
        """A button that changes the canvas; options are those of st.button. In the browser, canvas.js catches the click."""
        st.button(label, key=key, on_click=self._press, args=(key,), **options)

    def _press(self, name: str) -> None:
        """Do what the button of that key does, for a client that does not run canvas.js."""
        self.receive()
        self._presses[name].act(self)

    def put(self, strokes: Iterable[Stroke]) -> None:
        """Begin a new drawing with these strokes: undoing takes them away one by one, and nothing that was before comes back."""
        strokes = tuple(strokes)
        self._state["past"] = [Drawing(strokes[:i]) for i in range(len(strokes))][-MAX_PAST:]
        self._give(Drawing(strokes))

    def clear(self) -> None:
        """Take everything away; `undo` brings it back."""
        if self._now != Drawing():
            self._remember()
        self._give(Drawing())

    def undo(self) -> None:
        """Go back to what was there before the last stroke, test digit or `clear`."""
        past: list[Drawing] = self._state["past"]
        self._give(past.pop() if past else self._now)

    def cover(self, test_digit: int) -> None:
        """Show a test digit, by its index, in the place of what is drawn; `undo` brings back what was shown before."""
        if self.test_digit != test_digit:
            self._remember()
        self._give(replace(self._now, test_digit=test_digit))

    @property
    def _now(self) -> Drawing:
        now: Drawing = self._state["now"]
        return now

    def _new_entries(self, message: Any) -> list[Any]:
        """The entries of a message that have not been applied. Raises DrawingError for what is no message of the canvas."""
        match message:
            case {"session": str(name), "first": int(first), "raw": {"objects": list(entries)}}:
                pass
            case _:
                raise DrawingError(NO_DRAWING)
        if name != self._state["session"]:
            return []
        if len(entries) > MAX_STROKES:
            raise DrawingError(f"the canvas sent {len(entries)} changes at once; {MAX_STROKES} are read at the most")
        num_known = self._state["done"] + 1 - first
        if num_known < 0:
            raise DrawingError(NO_DRAWING)
        return entries[num_known:]

    def _apply(self, entry: Any) -> None:
        """Do what an entry of the log says; raises DrawingError if it says nothing that can be done."""
        match entry:
            case {"press": str(name)} if name in self._presses:
                self._presses[name].act(self)
            case {"open": list(objects)}:
                self.put(strokes_of_canvas({"objects": objects}))
            case _:
                self._draw(strokes_of_canvas({"objects": [entry]}))

    def _draw(self, new: list[Stroke]) -> None:
        """Add strokes to the drawing, or begin a new one if a test digit covers it."""
        strokes = (*(() if self.test_digit is not None else self._now.strokes), *new)
        check_size(strokes)
        self._remember()
        self._state["now"] = Drawing(strokes)  # not given to the browser, which has it

    def _remember(self) -> None:
        self._state["past"] = [*self._state["past"], self._now][-MAX_PAST:]

    def _give(self, drawing: Drawing) -> None:
        """Let the browser begin from `drawing`."""
        self._state["now"] = drawing
        self._state["problem"] = None
        self._state["revision"] += 1
        past: list[Drawing] = self._state["past"]
        self._state["given"] = {
            "revision": self._state["revision"],
            "at": self._state["done"],
            **_as_data(drawing),
            "before": _as_data(past[-1]) if past else None,
            "numPast": len(past),
        }

    def _reject(self, problem: str) -> None:
        said = problem[:1].upper() + problem[1:]
        if said != self._state["problem"]:  # each callback that needs the strokes reads the message again
            self._on_rejected(f"a drawing: {problem}")
        self._state["problem"] = said


def _as_data(drawing: Drawing) -> dict[str, Any]:
    """Return what canvas.js is told of a drawing."""
    return {"strokes": canvas_json(drawing.strokes)["objects"], "isCovered": drawing.test_digit is not None}
