"""What the buttons of a group meant when the person pressed them.

Streamlit's message about a press names the button and nothing else. By the time the server hears of a press the button may mean
something else, since "Pause" has become "Resume": over a slow connection a second press was meant for the first meaning. So a
hidden text field carries what the buttons mean to the browser, and back with every message.
"""

import json
from collections.abc import Iterable
from typing import Any

import streamlit as st

from mnist_fc.views.state import messages

MEANINGS = "_meanings"
"""Ends the key of such a text field."""


class Buttons:
    """A group of buttons of this session whose meanings change while their keys stay."""

    def __init__(self, name: str, keys: Iterable[str]) -> None:
        self._keys = frozenset(keys)
        self._field = f"{name}{MEANINGS}"
        self._at_press: dict[str, Any] = {}
        """The text that the field had when a button was last pressed, by the button's key."""
        messages.record([self._field])

    def receive(self, message: messages.Message) -> None:
        """Note what the buttons meant that are pressed in a message."""
        for key in message.clicked & self._keys:
            self._at_press[key] = message.values.get(self._field)

    def show(self, **meanings: str) -> None:
        """Draw the field that carries the meanings of the buttons, by key. Call this right after they are drawn."""
        messages.set_value(self._field, json.dumps(meanings))
        st.text_input("Meanings of the buttons", key=self._field, label_visibility="collapsed")

    def meaning(self, key: str) -> str:
        """Return what a button meant when it was pressed; for a browser that does not tell, its newest meaning.

        This is for the button's callback, after `sync.receive`. The browser is not trusted: it may return any text.
        """
        text = self._at_press.pop(key, None) or st.session_state.get(self._field, "")
        try:
            meanings = json.loads(text)
        except (TypeError, ValueError, RecursionError):
            return ""
        meaning = meanings.get(key) if isinstance(meanings, dict) else None
        return meaning if isinstance(meaning, str) else ""
