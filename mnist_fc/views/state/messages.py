"""The messages of a browser, one by one.

Streamlit (1.67) merges the messages that arrive while the page's script runs: the newest values win, and the order of the
changes is lost. So the values of some widgets are recorded here, until the script asks for them. If Streamlit's internals do
not allow that, each run of the script has one message, with the merged values from `st.session_state`.
"""

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import streamlit as st

from mnist_fc.views.state import streamlit_patches

if TYPE_CHECKING:
    from streamlit.proto.WidgetStates_pb2 import WidgetState, WidgetStates
    from streamlit.runtime.scriptrunner_utils.script_requests import ScriptRequests

MAX_MESSAGES = 1000
"""Kept for one session. Beyond that the oldest are dropped, and only the order of their changes is lost."""
MAX_VALUE_BYTES = 1000
"""A longer value of a widget is not recorded: none of the recorded widgets has one."""

TRIGGERS = ("trigger_value", "string_trigger_value", "json_trigger_value")


@dataclass(frozen=True)
class Message:
    """The values of the recorded widgets in one message of the browser."""

    values: dict[str, Any]
    """By key. For a widget with options it is the label of the chosen one; in a merged message, the option itself."""
    clicked: frozenset[str] = frozenset()
    """The keys of the buttons and components that were clicked; Streamlit then runs callbacks before the script."""
    is_merged: bool = False
    """Whether these are Streamlit's merged values, not those of one message."""


class Inbox:
    """The messages of a session that its script has not taken yet."""

    def __init__(self) -> None:
        self._waiting: deque[Message] = deque(maxlen=MAX_MESSAGES)
        self._num_in_run = 0
        """The number of oldest messages that belong to the current run of the script, which began after they had come."""

    def put(self, message: Message) -> None:
        """Add a message."""
        if len(self._waiting) == MAX_MESSAGES:
            self._num_in_run = max(0, self._num_in_run - 1)
        self._waiting.append(message)

    def begin_run(self) -> None:
        """Note that a run of the script begins, to which all messages so far belong."""
        self._num_in_run = len(self._waiting)

    def take(self, *, for_callback: bool) -> list[Message]:
        """Return the messages, oldest first, that a callback or the script may have: see `messages.take`."""
        waiting = list(self._waiting)
        in_run, later = waiting[: self._num_in_run], waiting[self._num_in_run :]
        if for_callback:
            last_click = max((number for number, message in enumerate(in_run, 1) if message.clicked), default=len(in_run))
            taken = in_run[:last_click]
        else:
            taken = in_run + list(takewhile(lambda message: not message.clicked, later))
        for _ in taken:
            self._waiting.popleft()
        self._num_in_run = max(0, self._num_in_run - len(taken))
        return taken


_recorded_keys: set[str] = set()
_inboxes: "WeakKeyDictionary[ScriptRequests, Inbox]" = WeakKeyDictionary()
_lock = threading.Lock()


def record(keys: Iterable[str]) -> None:
    """Record the values of the widgets with these keys from now on, for every session."""
    _recorded_keys.update(keys)


def take() -> list[Message]:
    """Return the messages that the caller may handle now, oldest first, and remove them.

    A callback gets the messages of its run up to the last click: what the person changed after a click is not part of what the
    click does. The script gets the rest, and those that have come since, up to the next click. That click and everything after it
    wait for the next run, which calls its callback first.
    """
    context = streamlit_patches.script_context()
    if not _is_recording or context is None or context.script_requests is None:
        return _merged() if st.runtime.exists() else []
    with _lock:
        inbox = _inboxes.get(context.script_requests)
        return inbox.take(for_callback=not context.has_script_started) if inbox else []


def before_drawing() -> Message:
    """Return the values of recorded widgets that the browser has sent although this session has not drawn them yet.

    They come from a page that is older than the session.
    """
    states = streamlit_patches.undrawn_states() or []
    return Message({key: _value(state) for state in states if (key := _recorded_key(state))})


def set_value(key: str, value: Any) -> None:
    """Make a widget show `value`, before it is drawn."""
    st.session_state[key] = value
    _known_values()[key] = value


def _merged() -> list[Message]:
    """Return one message if the browser has sent other values than those that are known, else none."""
    known = _known_values()
    values = {key: st.session_state[key] for key in _recorded_keys if key in st.session_state}
    if all(key in known and known[key] == value for key, value in values.items()):
        return []
    known.update(values)
    return [Message(values, is_merged=True)]


def _known_values() -> dict[str, Any]:
    """Return the last known values of the recorded widgets: those that the script set, or was sent last."""
    known: dict[str, Any] = st.session_state.setdefault("known_values", {})
    return known


def _record(requests: "ScriptRequests", states: "WidgetStates") -> None:
    values, clicked = {}, set()
    for state in states.widgets:
        if any(state.WhichOneof("value") == kind and getattr(state, kind) for kind in TRIGGERS):
            clicked.add(_key(state.id))
        if key := _recorded_key(state):
            values[key] = _value(state)
    with _lock:
        _inboxes.setdefault(requests, Inbox()).put(Message(values, frozenset(clicked)))


def _begin_run(requests: "ScriptRequests") -> None:
    with _lock:
        if inbox := _inboxes.get(requests):
            inbox.begin_run()


def _key(widget_id: str) -> str:
    """Return the key that the script gave a widget, from its id: $$ID-digest-key."""
    return widget_id.split("-", 2)[2] if widget_id.count("-") >= 2 else ""


def _recorded_key(state: "WidgetState") -> str:
    """Return the key of a widget if its value is to be recorded, else an empty text."""
    key = _key(state.id)
    return key if key in _recorded_keys and state.ByteSize() <= MAX_VALUE_BYTES else ""


def _value(state: "WidgetState") -> Any:
    """Return the number, truth value or text that a widget holds; for a list of one text, that text."""
    kind = state.WhichOneof("value")
    value: Any = getattr(state, kind) if kind else None
    if kind == "string_array_value":
        labels = list(state.string_array_value.data)
        return labels[0] if len(labels) == 1 else None
    if kind == "double_value" and value.is_integer():  # as a number input sends whole numbers
        return int(value)
    return value


_is_recording = streamlit_patches.observe_messages(_record, _begin_run) is True
