"""A canvas to draw on, whose drawing and history are kept in the session.

The browser keeps a log of what the person does to the drawing, numbered from 1: strokes, and presses of buttons such as
Clear. It shows the effect at once, and sends the entries that the server has not confirmed:
`{"session", "first", "raw": {"objects": [...]}}`, where `first` is the number of the first entry. An entry is a Fabric.js path,
`{"press": button}`, or `{"open": paths}` for the drawing that the tab had before a reload.

The server applies each number once, in order. It answers `done`, the number of the last entry applied, and `given`, the
drawing after entry number `at`, with `before`, the drawing that undo brings back. The browser shows `given` with the later
entries applied to it. So a late answer never replaces a newer stroke, and a canvas that is mounted again shows everything.
`session` is a random name: a restarted server or a reloaded page has another one, and entries of the old session are ignored.
"""

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import streamlit as st

from mnist_fc.drawing.errors import DrawingError
from mnist_fc.drawing.strokes import CANVAS_SIZE, MAX_STROKES, Stroke, canvas_json, check_size, render, strokes_of_canvas
from mnist_fc.views.components.component import browser_value
from mnist_fc.views.components.drawable_canvas import front_end, public_canvas

BRUSHES = [6, 10, 14, 20, 26, 34]
BRUSH = 20

MAX_PAST = 100
"""Changes that can be undone."""

NO_DRAWING = "the canvas sent something that is not a drawing"

_FRONT_END = front_end()

# The toolbar would cover the upper right corner, invisible, and swallow the strokes that begin there.
_STYLE = """
.dc-toolbar { display: none !important }
.dc-canvas { border-radius: 6px }
.upper-canvas { cursor: crosshair; outline: none }
.paper { position: relative }
.invitation { position: absolute; z-index: 20; left: 0; right: 0; bottom: 0.5rem; text-align: center; pointer-events: none }
.invitation { font: 600 0.95rem "Source Sans", sans-serif; color: #1d4ed8 }
.invitation[hidden] { display: none }
"""

_canvas = st.components.v2.component(
    "mnist_fc_canvas",
    html="<div class='paper'><div class='canvas-root'></div><div class='invitation' hidden></div></div>",
    css=(_FRONT_END.style if _FRONT_END else "") + _STYLE,
    js="".join(Path(__file__).with_name(name).read_text("utf-8") for name in ("pointers.js", "canvas.js")),
)


@dataclass(frozen=True)
class Drawing:
    """The content of the canvas: strokes, or something that covers them and is read in their place."""

    strokes: tuple[Stroke, ...] = ()
    cover: Any = None
    """What covers them, comparable with ==; its meaning belongs to whoever calls `Canvas.cover`."""
    is_sample: bool = False
    """Whether the first stroke replaces it."""
    is_finished: bool = False
    """The same for what the person has drawn and said what it is."""


@dataclass(frozen=True)
class Press:
    """The action of a button on a canvas.

    `effect` is what the browser shows until the server has called `act`. After "cover" the next stroke begins a new drawing.
    """

    effect: Literal["undo", "clear", "cover"]
    act: Callable[["Canvas"], None]


class Canvas:
    """One canvas of the page, by its key. Its state belongs to this session.

    `presses` has the buttons that change it, by key; `sample` is the drawing on it when the session begins, which undo keeps and
    the first stroke replaces.
    `on_rejected` is called with a description of each message of the browser that was rejected.
    """

    def __init__(
        self,
        key: str,
        presses: Mapping[str, Press] | None = None,
        sample: Iterable[Stroke] = (),
        on_rejected: Callable[[str], object] = str,
    ) -> None:
        self._key = key
        self._presses = presses or {}
        self._on_rejected = on_rejected
        self._component = f"{key}_component"
        self._state: dict[str, Any] = st.session_state.setdefault(f"{key}_state", {})
        if not self._state:
            self._state.update(session=secrets.token_hex(8), done=0, revision=0, problem=None, past=[], has_drawn=False)
            self._give(Drawing(tuple(sample), is_sample=bool(sample)))

    @property
    def strokes(self) -> list[Stroke]:
        """The strokes of the drawing, also of one that is covered."""
        return list(self._now.strokes)

    @property
    def drawing(self) -> np.ndarray:
        """The drawing as a picture: uint8 (280, 280, 4), black on transparent."""
        if self._state.get("picture_of") is not self._now.strokes:
            self._state.update(picture_of=self._now.strokes, picture=render(self._now.strokes))
        picture: np.ndarray = self._state["picture"]
        return picture

    @property
    def covered_by(self) -> Any:
        """What covers the drawing; None if nothing does."""
        return self._now.cover

    @property
    def has_drawn(self) -> bool:
        """Whether the person has drawn anything here, in this session or before a reload."""
        has_drawn: bool = self._state["has_drawn"]
        return has_drawn

    @property
    def is_sample(self) -> bool:
        """Whether the drawing is the sample."""
        return self._now.is_sample and self._now.cover is None

    @property
    def can_undo(self) -> bool:
        """Whether there is anything to undo."""
        return bool(self._state["past"])

    @property
    def problem(self) -> str | None:
        """Why the browser's last message was rejected; None if it was not."""
        problem: str | None = self._state["problem"]
        return problem

    def show(self, brush: int = BRUSH, *, is_kept: bool = False, invitation: str = "") -> None:
        """Draw the canvas on the page; with `is_kept`, the drawing survives a reload of the browser's tab.

        The `invitation` stands on it until the person has drawn.
        """
        with st.container(key=self._key):
            if _FRONT_END is None:
                self._show_public(brush)
                return
            _canvas(
                key=self._component,
                data={
                    "key": self._key,
                    "script": _FRONT_END.script,
                    "size": CANVAS_SIZE,
                    "brush": brush,
                    "isKept": is_kept,
                    "invitation": "" if self.has_drawn else invitation,
                    "presses": {name: press.effect for name, press in self._presses.items()},
                    "session": self._state["session"],
                    "done": self._state["done"],
                    "given": self._state["given"],
                },
                on_drawing_change=self.receive,
                width="content",
                height="content",
            )

    def _show_public(self, brush: int) -> None:
        """Draw the canvas without canvas.js, and apply the strokes that are new on it."""
        given = self._state["given"]
        initial = [] if given["beginsAnew"] else given["strokes"]
        objects = public_canvas(f"{self._component}_{given['revision']}", CANVAS_SIZE, brush, initial)
        num_known = len(initial) + self._state.get("public_strokes", {}).get(given["revision"], 0)
        new = objects[num_known : num_known + MAX_STROKES]
        self._state["public_strokes"] = {given["revision"]: num_known - len(initial) + len(new)}
        for entry in new:
            self._apply_or_reject(entry)

    def receive(self) -> None:
        """Apply the new entries of the browser's log.

        This is a callback. Callbacks of other widgets may run before it, and call it if they need the newest strokes.
        """
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
            self._apply_or_reject(entry)

    def button(self, label: str, key: str, **options: Any) -> None:
        """Draw a button that changes the canvas, with the options of st.button. In the browser, canvas.js handles the click."""
        st.button(label, key=key, on_click=self._press, args=(key,), **options)

    def _press(self, name: str) -> None:
        """Carry out the action of the button with that key, for a client that does not run canvas.js."""
        self.receive()
        self._presses[name].act(self)

    def put(self, strokes: Iterable[Stroke]) -> None:
        """Begin a new drawing with these strokes. Undo removes them one by one; the drawing before is gone."""
        strokes = tuple(strokes)
        self._state["past"] = [Drawing(strokes[:i]) for i in range(len(strokes))][-MAX_PAST:]
        self._give(Drawing(strokes))

    def clear(self) -> None:
        """Remove everything; `undo` brings it back."""
        if self._now != Drawing():
            self._remember()
        self._give(Drawing())

    def finish(self) -> None:
        """Let the next stroke begin a new drawing; `undo` then brings this one back."""
        self._give(replace(self._now, is_finished=True))

    def undo(self) -> None:
        """Return to the drawing before the last stroke, `cover` or `clear`."""
        past: list[Drawing] = self._state["past"]
        self._give(past.pop() if past else self._now)

    def cover(self, cover: Any) -> None:
        """Cover the drawing; `undo` brings back what was shown before."""
        if self.covered_by != cover:
            self._remember()
        self._give(replace(self._now, cover=cover))

    @property
    def _now(self) -> Drawing:
        now: Drawing = self._state["now"]
        return now

    def _new_entries(self, message: Any) -> list[Any]:
        """Return the entries of a message that have not been applied. Raises DrawingError if it is not a message of canvas.js."""
        match message:
            case {"session": str(name), "first": int(first), "raw": {"objects": list(entries)}}:
                pass
            case _:
                raise DrawingError(NO_DRAWING)
        if name != self._state["session"]:
            return []
        if len(entries) > MAX_STROKES:
            raise DrawingError(f"the canvas sent {len(entries)} changes at once, but at most {MAX_STROKES} are allowed")
        num_known = self._state["done"] + 1 - first
        if num_known < 0:
            raise DrawingError(NO_DRAWING)
        return entries[num_known:]

    def _apply_or_reject(self, entry: Any) -> None:
        try:
            self._apply(entry)
            self._state["problem"] = None
        except DrawingError as error:
            self._give(self._now)  # the browser shows something that cannot be read
            self._reject(str(error))

    def _apply(self, entry: Any) -> None:
        """Apply an entry of the log. Raises DrawingError if it is not one."""
        match entry:
            case {"press": str(name)} if name in self._presses:
                self._presses[name].act(self)
            case {"open": list(objects)}:
                self.put(strokes_of_canvas({"objects": objects}))
                self._state["has_drawn"] |= bool(objects)
            case _:
                self._draw(strokes_of_canvas({"objects": [entry]}))

    def _draw(self, new: list[Stroke]) -> None:
        """Add strokes to the drawing, or begin a new one if it is covered or the sample."""
        strokes = (*(() if _begins_anew(self._now) else self._now.strokes), *new)
        check_size(strokes)
        self._remember()
        self._state.update(now=Drawing(strokes), has_drawn=True)  # the browser shows it already

    def _remember(self) -> None:
        self._state["past"] = [*self._state["past"], self._now][-MAX_PAST:]

    def _give(self, drawing: Drawing) -> None:
        """Make the browser show `drawing`."""
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
        sentence = problem[:1].upper() + problem[1:]
        if sentence != self._state["problem"]:  # each callback that needs the strokes reads the message again
            self._on_rejected(f"a drawing: {problem}")
        self._state["problem"] = sentence


def _begins_anew(drawing: Drawing) -> bool:
    """Return whether the next stroke begins a new drawing."""
    return drawing.is_sample or drawing.is_finished or drawing.cover is not None


def _as_data(drawing: Drawing) -> dict[str, Any]:
    """Return a drawing as canvas.js takes it."""
    strokes = canvas_json(drawing.strokes)["objects"]
    return {
        "strokes": strokes,
        "isCovered": drawing.cover is not None,
        "isSample": drawing.is_sample,
        "beginsAnew": _begins_anew(drawing),
    }
