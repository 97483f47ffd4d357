"""Widgets that both the person and the page set, kept equal in the browser and on the server over a slow connection.

The problem: with every message the browser sends the values of all widgets, including those that the server has changed
meanwhile, of which the browser has not heard yet. Such an *echo* of an old value must not be taken for a choice of the person,
because it would undo the change.

The protocol, for one group of widgets:

1. The server numbers its updates. Two hidden text fields carry the number of the newest update, its *version*, to the browser
   and back: `begun` is drawn before the widgets of the group and `seen` after them. So a message says that the browser had
   applied every update up to version `seen`, perhaps a part of the updates after it up to `begun`, and none after `begun`.
   With the number goes a random name of the session, since a page outlives its session when the server restarts.
2. For each widget the server remembers the values that it has sent and that are not confirmed yet. A value in a message is
   an echo if the widget can show it without the person's doing. Every other value is a choice.
3. Updates can be lost: Streamlit drops what a run of the script has drawn if the next run begins before it was sent. So a
   value is sent again with each run until the browser has confirmed it.
4. A page that is older than its session may show choices of which no session has heard: it looked ready while the server
   restarted. So the first time such a page is drawn, nothing is sent; what it shows other than the session is a choice.
5. While a page is loading, its first messages may lack the version. Until one arrives, any value that was sent before counts as
   an echo.
6. If a person keeps changing a widget while updates are on their way, the server waits for the browser before it sends one
   more (see `BrowserView._must_wait`). A hidden component (answer.js) then makes the browser send a message.

The session holds what the page shows. A widget's own value in `st.session_state` is only what the browser reports.
tests/views/test_sync.py simulates such conversations, with delays, losses and updates that arrive in parts.
"""

import secrets
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import streamlit as st

from mnist_fc.views.components.component import Component
from mnist_fc.views.state import messages
from mnist_fc.views.state.presses import Buttons

MAX_UNCONFIRMED = 100
"""Unconfirmed values of one widget; a browser that answers confirms each within seconds."""

WITHHELD: Any = object()
"""Stands among the unconfirmed values of a widget for a version that should have updated it, but had to wait."""

_answer = Component("answer", "<i></i>")


class BrowserView:
    """What the server knows about the values that the browser shows in a group of widgets."""

    def __init__(self) -> None:
        self.version = 0
        """The number of the newest update."""
        self.needs_answer = False
        """Whether the browser must send a message before it can get the rest of the update."""
        self._reported: dict[str, Any] = {}
        """The values in the browser's last message, by key."""
        self._unconfirmed: dict[str, deque[tuple[int, Any]]] = {}
        """The versions and values sent since the version that the browser last confirmed, by key, oldest first."""
        self._on_page: set[str] = set()
        """The widgets of the last update. A widget that was not among them starts with the value it is sent."""

    def choices(self, values: Mapping[str, Any], begun: int, seen: int) -> dict[str, Any]:
        """Return those of the `values` in the next message that the person chose; see the module for `begun` and `seen`."""
        chosen = {}
        for key, value in values.items():
            unconfirmed = self._unconfirmed.setdefault(key, deque(maxlen=MAX_UNCONFIRMED))
            confirmed = _pop_up_to(seen, unconfirmed)
            if confirmed and confirmed[-1] is not WITHHELD:
                echoes = confirmed[-1:]
            else:  # nothing new, or a version that may follow lost ones: the widget shows any of these
                echoes = [*confirmed, *([self._reported[key]] if key in self._reported else [])]
            if not echoes:  # the fields of the version are not loaded yet; the widget began with a value that was sent
                echoes = [sent for _, sent in unconfirmed if sent is not WITHHELD]
            if echoes and value not in echoes:
                if any(version <= begun and arriving == value for version, arriving in unconfirmed):
                    _pop_up_to(begun, unconfirmed)  # an update that has arrived in part, this widget's part included
                else:
                    chosen[key] = value
        self._reported = dict(values)
        return chosen

    def update(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values to send so that the browser shows `wanted`, under a new version if there are any.

        A value that the browser has not confirmed may have been lost, and is sent again.
        """
        withheld = {key: WITHHELD for key, value in wanted.items() if key in self._on_page and self._must_wait(key, value)}
        sent = {
            key: value
            for key, value in wanted.items()
            if key not in withheld and not (key in self._on_page and self._will_show(key, value))
        }
        self._on_page = set(wanted)
        if sent or withheld:
            self.version += 1
        for key, value in (sent | withheld).items():
            self._unconfirmed.setdefault(key, deque(maxlen=MAX_UNCONFIRMED)).append((self.version, value))
        self.needs_answer = bool(withheld)
        return sent

    def _will_show(self, key: str, value: Any) -> bool:
        """Return whether a widget shows `value` now, and still will once everything on the way has arrived."""
        return key in self._reported and all(
            each == value for each in (self._reported[key], *(sent for _, sent in self._unconfirmed[key]))
        )

    def _must_wait(self, key: str, value: Any) -> bool:
        """Return whether to wait for the browser's next message before `value` is sent.

        Two different values on the way to one widget mean that the person changed it before the first arrived, and may be
        changing it still. A third value would undo such a change when it arrives; what the person does then would bring a
        fourth, and so on: the widget would flip back and forth for as long as the network is slow.
        """
        on_the_way = [sent for _, sent in self._unconfirmed.get(key, ()) if sent is not WITHHELD]
        return len({*on_the_way}) > 1 and on_the_way[-1] != value


def _pop_up_to(version: int, unconfirmed: deque[tuple[int, Any]]) -> list[Any]:
    """Remove the values that were sent up to `version`, and return them."""
    popped = []
    while unconfirmed and unconfirmed[0][0] <= version:
        popped.append(unconfirmed.popleft()[1])
    return popped


class Widgets:
    """A group of widgets of this session, drawn together within `drawn`."""

    def __init__(self, name: str, keys: Sequence[str], choose: Callable[[str, Any], None]) -> None:
        self._name = name
        self._session = secrets.token_hex(8)
        self._begun_key, self._seen_key = f"{name}_begun", f"{name}_seen"
        self._num_questions = 0
        """The number of times that the browser was asked for a message that it does not send by itself."""
        self._keys = keys
        self._choose = choose
        self._browser = BrowserView()
        self._options: dict[str, dict[str, Any]] = {}
        """Every option that a widget has offered, by the widget's key and the option's label."""
        messages.record([*keys, self._begun_key, self._seen_key])
        shown = messages.before_drawing()
        self._older_page = shown if self._begun_key in shown.values else None
        """What the browser shows, if its page was drawn by an earlier session; until that is taken over."""

    def offer(self, key: str, values: Sequence[Any], label: Callable[[Any], str] = str) -> list[Any]:
        """Return the options of a widget: what it offered before and `values`, so that no value on the way becomes invalid."""
        options = self._options.setdefault(key, {})
        options |= {label(value): value for value in values}
        return list(options.values())

    def receive(self, message: messages.Message) -> None:
        """Pass on the choices of the person in a message."""
        values = self._values(message)
        if not values:
            return
        if self._older_page is not None:
            self._older_page = message
            return
        begun, seen = (self._version(message.values.get(key)) for key in (self._begun_key, self._seen_key))
        for key, value in self._browser.choices(values, begun, seen).items():
            self._choose(key, value)

    def _values(self, message: messages.Message) -> dict[str, Any]:
        """Return the values in a message by key. The browser is not trusted: unknown options are ignored."""
        values = {}
        for key in self._keys:
            if key in message.values:
                value = message.values[key]
                options = self._options.get(key)
                if options is None:
                    values[key] = value
                elif isinstance(value, str) and value in options:
                    values[key] = options[value]
                elif message.is_merged and value in options.values():
                    values[key] = value
        return values

    @contextmanager
    def drawn(self, wanted: Mapping[str, Any]) -> Iterator[None]:
        """Draw the widgets within; they show `wanted`, which has a value for each that is drawn.

        With a page that is older than the session, they show what they showed, and the script then runs anew.
        """
        older_page, self._older_page = self._older_page, None
        if older_page is None:
            for key, value in self._browser.update(wanted).items():
                messages.set_value(key, value)
        self._show_version(self._begun_key)
        yield
        if older_page:
            self._take_over(self._values(older_page), wanted)
            st.rerun()
        self._show_version(self._seen_key)
        self._num_questions += self._browser.needs_answer
        _answer.show(f"{self._name}_answer", {"numQuestions": self._num_questions})

    def _take_over(self, shown: dict[str, Any], wanted: Mapping[str, Any]) -> None:
        """Take what an older page shows other than `wanted` for choices of the person, in the order of the widgets.

        The values are compared before the first is chosen: a preset changes the others, of which the page does not know yet.
        """
        st.session_state.has_older_page = True
        self._browser.choices(shown, 0, 0)  # from now on the browser has reported these
        for key in self._keys:
            if key in shown and key in wanted and shown[key] != wanted[key]:
                self._choose(key, shown[key])

    def _show_version(self, key: str) -> None:
        messages.set_value(key, f"{self._session} {self._browser.version}")
        st.text_input("Version of the page", key=key, label_visibility="collapsed")

    def _version(self, text: Any) -> int:
        """Return the version that a hidden text field holds; 0 before it has one of this session."""
        session, _, version = text.partition(" ") if isinstance(text, str) else ("", "", "")
        is_number = version.isdecimal() and version.isascii() and len(version) < 20
        return int(version) if session == self._session and is_number else 0


def has_older_page() -> bool:
    """Return whether the page in the browser was drawn by an earlier session, as when the server has restarted below it."""
    return bool(st.session_state.get("has_older_page"))


def widgets(name: str, keys: Sequence[str], choose: Callable[[str, Any], None]) -> Widgets:
    """Return this session's group of that name; `choose` is called with the key and the value of what the person chooses."""
    groups: dict[str, Widgets] = st.session_state.setdefault("widget_groups", {})
    if name not in groups:
        groups[name] = Widgets(name, keys, choose)
    return groups[name]


def buttons(name: str, keys: Sequence[str]) -> Buttons:
    """Return this session's group of buttons of that name."""
    groups: dict[str, Buttons] = st.session_state.setdefault("button_groups", {})
    if name not in groups:
        groups[name] = Buttons(name, keys)
    return groups[name]


def receive() -> None:
    """Pass on what the person has chosen and pressed in all groups since the last call, in that order."""
    widget_groups: dict[str, Widgets] = st.session_state.setdefault("widget_groups", {})
    button_groups: dict[str, Buttons] = st.session_state.setdefault("button_groups", {})
    for message in messages.take():
        for widgets_ in widget_groups.values():
            widgets_.receive(message)
        for buttons_ in button_groups.values():
            buttons_.receive(message)
