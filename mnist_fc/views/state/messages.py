"""What a browser sends, message by message.

Streamlit (1.67) merges the messages that arrive while the page's script runs: the newest values win, and the order of the changes
is lost. So the values of some widgets are recorded here until the script asks for them.
"""

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from streamlit.proto.WidgetStates_pb2 import WidgetState, WidgetStates
from streamlit.runtime.scriptrunner import RerunData, get_script_run_ctx
from streamlit.runtime.scriptrunner_utils.script_requests import ScriptRequests

MAX_MESSAGES = 1000
"""Kept for one session; of more the oldest are dropped, and with them only the order of their changes."""
MAX_VALUE_BYTES = 1000
"""A widget that is recorded has no longer values."""

TRIGGERS = ("trigger_value", "string_trigger_value", "json_trigger_value")


@dataclass(frozen=True)
class Message:
    """The values of the recorded widgets in one message, as the browser sent them."""

    values: dict[str, Any]
    """By key; of a widget with options the label of the chosen one."""
    has_click: bool
    """Whether a button or a component was clicked; Streamlit then runs callbacks before the script."""


_recorded_keys: set[str] = set()
_messages: WeakKeyDictionary[ScriptRequests, deque[Message]] = WeakKeyDictionary()
_lock = threading.Lock()


def record(keys: Iterable[str]) -> None:
    """Record the values of the widgets with these keys from now on, for every session."""
    _recorded_keys.update(keys)


def take() -> list[Message]:
    """Return this session's messages since the last call, oldest first.

    A callback gets those up to the last click: what the person changed after the click is not part of what the click does.
    """
    context = get_script_run_ctx()
    if context is None or context.script_requests is None:
        return []
    with _lock:
        waiting = _messages.get(context.script_requests, deque())
        count = len(waiting)
        if not context.has_script_started:
            count = max((place for place, message in enumerate(waiting, 1) if message.has_click), default=count)
        return [waiting.popleft() for _ in range(count)]


def _record(requests: ScriptRequests, states: WidgetStates) -> None:
    values = {}
    has_click = False
    for state in states.widgets:
        has_click = has_click or any(state.WhichOneof("value") == kind and getattr(state, kind) for kind in TRIGGERS)
        if (key := _key(state.id)) in _recorded_keys and state.ByteSize() <= MAX_VALUE_BYTES:
            values[key] = _value(state)
    with _lock:
        _messages.setdefault(requests, deque(maxlen=MAX_MESSAGES)).append(Message(values, has_click))


def _key(widget_id: str) -> str:
    """Return the key that the script gave a widget, from its id: $$ID-digest-key."""
    return widget_id.split("-", 2)[2] if widget_id.count("-") >= 2 else ""


def _value(state: WidgetState) -> Any:
    """Return the number, truth value or text that a widget holds; of a list of one text that text."""
    kind = state.WhichOneof("value")
    value: Any = getattr(state, kind) if kind else None
    if kind == "string_array_value":
        labels = list(state.string_array_value.data)
        return labels[0] if len(labels) == 1 else None
    if kind == "double_value" and value.is_integer():  # as a number input sends whole numbers
        return int(value)
    return value


_request_rerun = ScriptRequests.request_rerun


def _record_and_request(self: ScriptRequests, new_data: RerunData) -> bool:
    if new_data.widget_states is not None:
        _record(self, new_data.widget_states)
    return _request_rerun(self, new_data)


ScriptRequests.request_rerun = _record_and_request  # type: ignore[method-assign]
