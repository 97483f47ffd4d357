"""Widgets that the page sets as well as the person.

With every message the browser sends the values of all widgets, also of those that the page has set since and of which the browser
has not heard yet. Such an echo must not be taken for a choice: it would undo the change. So the page numbers what it tells the
browser. Two hidden widgets, before and after the others, carry the number back: their values in a message say what the browser
knew when it sent it. What the page shows is kept in the session; a widget's own value is only what the browser says.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import streamlit as st

from mnist_fc.views.components.component import Component
from mnist_fc.views.state import messages

MAX_UNCONFIRMED = 100
"""Values that a widget was told and the browser has not confirmed; a browser that answers confirms them within seconds."""

NOT_TOLD: Any = object()
"""Stands among the values that a widget was told for a version that told it nothing though it should have."""

_answer = Component("answer", "<i></i>")


class Browser:
    """What the browser shows in some widgets, as far as the server knows."""

    def __init__(self) -> None:
        self.version = 0
        """The number of what the browser was told last."""
        self._sent: dict[str, Any] = {}
        self._told: dict[str, deque[tuple[int, Any]]] = {}
        """By key, the values told since the version that the browser last confirmed, oldest first."""
        self.is_waiting = False
        """Whether the browser must send a message before it can be told the rest."""
        self._drawn: set[str] = set()
        """The widgets that were on the page last; one that is new there begins with what it is told."""

    def choices(self, values: Mapping[str, Any], begun: int, seen: int) -> dict[str, Any]:
        """Return which of the `values` of the next message are choices of the person.

        The browser had applied everything up to version `seen`, and perhaps a part of what is newer up to version `begun`.
        """
        chosen = {}
        for key, value in values.items():
            told = self._told.setdefault(key, deque(maxlen=MAX_UNCONFIRMED))
            heard = _pop_up_to(seen, told)
            if heard and heard[-1] is not NOT_TOLD:
                expected = heard[-1:]
            else:  # which of them have arrived is not known
                expected = [*heard, *([self._sent[key]] if key in self._sent else [])]
            if expected and value not in expected:
                if any(version <= begun and arriving == value for version, arriving in told):
                    _pop_up_to(begun, told)
                else:
                    chosen[key] = value
        self._sent = dict(values)
        return chosen

    def tell(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the browser must be told so that it shows `wanted`, under the next version if there is anything.

        What it has not confirmed may have been lost on the way, and is told again.
        """
        waiting = {key: NOT_TOLD for key, value in wanted.items() if key in self._drawn and self._must_wait(key, value)}
        untold = {
            key: value
            for key, value in wanted.items()
            if key not in waiting and not (key in self._drawn and self._shows(key, value))
        }
        self._drawn = set(wanted)
        if untold or waiting:
            self.version += 1
        for key, value in (untold | waiting).items():
            self._told.setdefault(key, deque(maxlen=MAX_UNCONFIRMED)).append((self.version, value))
        self.is_waiting = bool(waiting)
        return untold

    def _shows(self, key: str, value: Any) -> bool:
        """Return whether a widget shows `value` now, and still will when everything on the way has arrived."""
        return key in self._sent and all(each == value for each in (self._sent[key], *(told for _, told in self._told[key])))

    def _must_wait(self, key: str, value: Any) -> bool:
        """Return whether to wait for the browser before it is told `value`.

        The person has changed the widget before two other values had arrived, and may be changing it still. A third would undo
        that, and a fourth what is done then, and so on.
        """
        on_the_way = [told for _, told in self._told.get(key, ()) if told is not NOT_TOLD]
        return len({*on_the_way}) > 1 and on_the_way[-1] != value


def _pop_up_to(version: int, told: deque[tuple[int, Any]]) -> list[Any]:
    """Take away the values that were told up to `version`, and return them."""
    popped = []
    while told and told[0][0] <= version:
        popped.append(told.popleft()[1])
    return popped


class Widgets:
    """A group of widgets of this session, drawn together by `drawn`."""

    def __init__(self, name: str, keys: Sequence[str], choose: Callable[[str, Any], None]) -> None:
        self._name = name
        self._begun_key, self._seen_key = f"{name}_begun", f"{name}_seen"
        self._num_questions = 0
        """How often the browser was asked for a message, which it does not send by itself."""
        self._keys = keys
        self._choose = choose
        self._browser = Browser()
        self._labels: dict[str, dict[str, Any]] = {}
        """By key, each value that a widget has offered, by its label."""
        messages.record([*keys, self._begun_key, self._seen_key])

    def offer(self, key: str, values: Sequence[Any], label: Callable[[Any], str] = str) -> list[Any]:
        """Return the options of a widget: `values`, after what it offered before, so that no value on the way becomes invalid."""
        labels = self._labels.setdefault(key, {})
        labels |= {label(value): value for value in values}
        return list(labels.values())

    def receive(self, message: messages.Message) -> None:
        """Pass on what the person chose with a message."""
        values = {}
        for key in self._keys:
            if key in message.values:
                value = message.values[key]
                labels = self._labels.get(key)
                if labels is None:
                    values[key] = value
                elif isinstance(value, str) and value in labels:
                    values[key] = labels[value]
        begun, seen = (self._version(message.values.get(key)) for key in (self._begun_key, self._seen_key))
        for key, value in self._browser.choices(values, begun, seen).items():
            self._choose(key, value)

    def _version(self, text: Any) -> int:
        """Return the version that a hidden widget holds; 0 before it has one."""
        return int(text) if isinstance(text, str) and text.isdecimal() and text.isascii() and len(text) < 20 else 0

    @contextmanager
    def drawn(self, wanted: Mapping[str, Any]) -> Iterator[None]:
        """Draw the widgets within; they show `wanted`, which has a value for each that is drawn."""
        for key, value in self._browser.tell(wanted).items():
            st.session_state[key] = value
        self._show_version(self._begun_key)
        yield
        self._show_version(self._seen_key)
        self._num_questions += self._browser.is_waiting
        _answer.show(f"{self._name}_answer", {"numQuestions": self._num_questions})

    def _show_version(self, key: str) -> None:
        st.session_state[key] = str(self._browser.version)
        st.text_input("Version of the page", key=key, label_visibility="collapsed")


def widgets(name: str, keys: Sequence[str], choose: Callable[[str, Any], None]) -> Widgets:
    """Return this session's group of that name; `choose` is called with the key and the value of what the person chooses."""
    groups: dict[str, Widgets] = st.session_state.setdefault("widget_groups", {})
    if name not in groups:
        groups[name] = Widgets(name, keys, choose)
    return groups[name]


def receive() -> None:
    """Take over what the person has chosen in all groups since the last call, in the person's order."""
    groups: dict[str, Widgets] = st.session_state.setdefault("widget_groups", {})
    for message in messages.take():
        for group in groups.values():
            group.receive(message)
