"""Our own components: each is drawn in the browser by a script in this folder, from data that Python sends."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import streamlit as st

SHARED = ("numbers", "colours")
"""The scripts whose functions all other scripts can call."""


class Component:
    """A component drawn by `name`.js. It is not isolated, so that the page's style sheet and its themes reach it."""

    def __init__(self, name: str, html: str) -> None:
        self._mount: Callable[..., object] = st.components.v2.component(
            f"mnist_fc_{name}", html=html, js=script(name), isolate_styles=False
        )

    def show(self, key: str, data: Mapping[str, Any], **on_change: Callable[[], None]) -> None:
        """Draw `data` under `key`. Raises TypeError or ValueError, as `check_plain` does, if it is not plain JSON.

        `on_change` has the callback for each event, under the name `on_EVENT_change`.
        """
        check_plain(data)
        self._mount(key=key, data=data, **on_change)


def script(name: str) -> str:
    """Return the JavaScript of a component, after the functions that all of them share."""
    folder = Path(__file__).parent
    return "\n".join(folder.joinpath(f"{each}.js").read_text("utf-8") for each in (*SHARED, name))


def check_plain(data: Mapping[str, Any]) -> None:
    """Raise TypeError for values that JSON does not have, such as NumPy's scalars, and ValueError for NaN and infinities.

    Streamlit (1.67) would send such a value as text, and NaN as it is, which JavaScript cannot parse. The component would then
    fail in the browser.
    """
    json.dumps(data, allow_nan=False)


def browser_value(key: str, name: str) -> Any:
    """Return what the browser has sent under `name` from the component `key`, or None: untrusted JSON."""
    message = st.session_state.get(key)
    return message.get(name) if isinstance(message, Mapping) else None
