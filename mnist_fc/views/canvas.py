"""A canvas to draw on. Its strokes are kept in the session, so that they can be taken back, changed and read again."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import streamlit as st
from streamlit_drawable_canvas import st_canvas

from mnist_fc.pictures import DrawingError
from mnist_fc.strokes import CANVAS_SIZE, Stroke, canvas_json, render, strokes_of_canvas
from mnist_fc.views import session

BRUSHES = [6, 10, 14, 20, 26, 34]
BRUSH = 20

NO_DRAWING = "the canvas sent something that is no drawing"

# The component's own toolbar lies unseen over the canvas's upper right corner and swallows the strokes that begin there;
# its buttons are on the page. The canvas sits in a shadow root, where the page's style sheet does not reach.
HIDE_TOOLBAR = """
<script>
(() => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(".dc-toolbar { display: none !important } .dc-canvas { border-radius: 6px }");
  const apply = () => {
    for (const element of document.querySelectorAll("[class*='st-key-'][class*='canvas'] *")) {
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


class Canvas:
    """One canvas of the page, by its key; all of its state is this session's."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._component = f"{key}_component"
        self._state: dict[str, Any] = st.session_state.setdefault(
            f"{key}_state", {"strokes": [], "drawing": render([]), "revision": 0, "given": None, "message": None, "problem": None}
        )

    @property
    def strokes(self) -> list[Stroke]:
        """What is drawn."""
        strokes: list[Stroke] = self._state["strokes"]
        return strokes

    @property
    def drawing(self) -> np.ndarray:
        """What is drawn, as a picture: uint8 (280, 280, 4), black on transparent."""
        drawing: np.ndarray = self._state["drawing"]
        return drawing

    @property
    def problem(self) -> str | None:
        """What was wrong with the last message of the browser."""
        problem: str | None = self._state["problem"]
        return problem

    def show(self, brush: int = BRUSH) -> bool:
        """Draw the canvas on the page; return whether the person has just drawn something else than before."""
        state = self._state
        with st.container(key=self._key):
            try:
                message = st_canvas(
                    stroke_width=brush,
                    stroke_color="#000000",
                    background_color="#ffffff",
                    width=CANVAS_SIZE,
                    height=CANVAS_SIZE,
                    initial_drawing=state["given"],
                    key=self._component,
                ).json_data
            except (AttributeError, TypeError, KeyError, ValueError):
                self._refuse(NO_DRAWING)
                return False
        st.html(HIDE_TOOLBAR, unsafe_allow_javascript=True)
        return self._receive(message)

    def receive(self) -> None:
        """Take over what came with the click that is being answered; a callback that needs all strokes asks for it first."""
        drawing = session.sent(self._component, "drawing")
        if isinstance(drawing, Mapping):
            self._receive(drawing.get("raw"))

    def put(self, strokes: list[Stroke]) -> None:
        """Replace what is drawn; the revision makes the component notice, even when the strokes are as before."""
        self._take(strokes)
        self._state["problem"] = None
        self._state["revision"] += 1
        self._state["given"] = {**canvas_json(strokes), "revision": self._state["revision"]}

    def _receive(self, message: Any) -> bool:
        """Take over a message of the browser unless it is an old one or says what is known; return whether it was new."""
        try:
            if message == self._state["message"]:
                return False
            self._state["message"] = message
            strokes = strokes_of_canvas(message)
        except DrawingError as error:
            self._refuse(str(error))
            return False
        except RecursionError:  # two that are so deep cannot be compared
            self._refuse(NO_DRAWING)
            return False
        self._state["problem"] = None
        if strokes == self.strokes:
            return False
        self._take(strokes)
        return True

    def _refuse(self, problem: str) -> None:
        said = problem[:1].upper() + problem[1:]
        if said != self._state["problem"]:  # the browser sends it again whenever the page is drawn anew
            session.refused(f"a drawing: {problem}")
        self._state["problem"] = said

    def _take(self, strokes: list[Stroke]) -> None:
        self._state["strokes"] = strokes
        self._state["drawing"] = render(strokes)
