"""The front end of streamlit-drawable-canvas, which canvas.js calls without the package's own Python code.

That relies on the package's internals: the files of its front end, and the names in them. They are checked here. If they
have changed, an error is logged and the page draws the package's own canvas, in its public way: each stroke then waits for
the server's answer, and a reload loses the drawing. This is not in views/state beside Streamlit's internals, because components
import nothing from there.
"""

import importlib.util
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PACKAGE = "streamlit_drawable_canvas"

log = logging.getLogger(__name__)

NAMES = ("canvas-root", "dc-toolbar", "dc-canvas", "upper-canvas", "initialDrawing", "returnImageData", "as default")
"""The names in the front end that canvas.js, the style sheet and the tests use."""


@dataclass(frozen=True)
class FrontEnd:
    """The files of the package's front end."""

    script: str
    """Its address, relative to the page's."""
    style: str
    """The text of its style sheet."""


def front_end() -> FrontEnd | None:
    """Return the package's front end; None, with an error in the log, if it is not as canvas.js expects."""
    try:
        spec = importlib.util.find_spec(PACKAGE)  # it is not imported: only its own canvas needs that
        if not spec or not spec.origin:
            raise ValueError("it is not installed")
        folder = Path(spec.origin).parent / "frontend" / "build"
        (script,) = folder.glob("index-*.js")
        (style,) = folder.glob("index-*.css")
        text = script.read_text("utf-8")
        if missing := [name for name in NAMES if name not in text]:
            raise ValueError(f"its script does not contain {', '.join(missing)}")
        address = f"_stcore/bidi-components/streamlit-drawable-canvas.{PACKAGE}/{script.name}"
        return FrontEnd(address, style.read_text("utf-8"))
    except (OSError, ValueError) as error:
        log.error(
            "streamlit-drawable-canvas is not as expected, so a stroke shows late and a reload loses the drawing: %s", error
        )
        return None


def public_canvas(key: str, size: int, brush: int, objects: Sequence[Any]) -> list[Any]:
    """Draw the package's own canvas, which begins with Fabric.js `objects`, and return the objects that it has now.

    A canvas that is to begin with others needs another `key`.
    """
    from streamlit_drawable_canvas import st_canvas

    result = st_canvas(
        stroke_width=brush,
        stroke_color="#000000",
        background_color="#ffffff",
        height=size,
        width=size,
        initial_drawing={"objects": list(objects)},
        key=key,
    )
    found = (result.json_data or {}).get("objects")
    return list(found) if isinstance(found, list) else list(objects)
