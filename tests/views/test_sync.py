"""views/state/sync.py: a browser behind a slow network that loses updates, and a person who does not wait for updates."""

import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import pytest

from mnist_fc.views.state.sync import BrowserView

PRESETS: dict[str, dict[str, int]] = {"one": {"a": 1, "b": 1}, "two": {"a": 2, "b": 2}}


def chosen(settings: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """Return the settings after a choice: a preset sets `a` and `b`; they in turn make it one of the presets or custom."""
    settings = settings | ({"preset": value, **PRESETS[value]} if key == "preset" else {key: value})
    rest = {key: settings[key] for key in ("a", "b")}
    return settings | {"preset": next((name for name, preset in PRESETS.items() if preset == rest), "custom")}


Update = list[tuple[str, Any]]
"""An update of the server, widget by widget; the first and the last are versions."""


@dataclass
class Page:
    """A browser's page: what its widgets show, and what is on its way to and from it.

    For an instant, a part of an update may have arrived before the rest: the page may send a message then, but nobody acts.
    """

    shown: dict[str, Any] = field(default_factory=dict)
    messages: deque[dict[str, Any]] = field(default_factory=deque)
    updates: deque[Update] = field(default_factory=deque)

    def choose(self, key: str, value: Any) -> None:
        self.shown[key] = value
        self.messages.append(dict(self.shown))

    def receive(self, chance: random.Random) -> None:
        """Apply an update, or only a part of it and the rest later."""
        if self.updates:
            update = self.updates[0]
            count = chance.choice([len(update), chance.randint(1, len(update))])
            self.shown |= dict(update[:count])
            del update[:count]
            if not update:
                self.updates.popleft()


class Server:
    def __init__(self) -> None:
        self.settings: dict[str, Any] = chosen({}, "preset", "one")
        self.browser = BrowserView()

    def respond(self, messages: list[dict[str, Any]]) -> Update:
        for message in messages:
            values = {key: message[key] for key in self.settings if key in message}
            for key, value in self.browser.choices(values, message.get("begun", 0), message.get("seen", 0)).items():
                self.settings = chosen(self.settings, key, value)
        update = self.browser.update(self.settings)
        return [("begun", self.browser.version), *update.items(), ("seen", self.browser.version)]


@pytest.mark.parametrize("seed", range(300))
def test_page_and_server_agree_with_the_persons_choices(seed: int) -> None:
    chance, page, server = random.Random(seed), Page(), Server()
    page.shown |= dict(server.respond([]))
    wanted = server.settings
    for _ in range(40):
        match chance.choice(["choose", "choose", "tick", "serve", "serve and lose", "receive", "receive"]):
            case "choose" if page.shown["begun"] == page.shown["seen"]:
                key = chance.choice(["preset", "a", "b"])
                options = list(PRESETS) if key == "preset" else [1, 2, 3]
                value = chance.choice([option for option in options if option != page.shown[key]])
                page.choose(key, value)
                wanted = chosen(wanted, key, value)
            case "tick":
                page.messages.append(dict(page.shown))
            case "serve" | "serve and lose" as what if page.messages:
                taken = [page.messages.popleft() for _ in range(chance.randint(1, len(page.messages)))]
                update = server.respond(taken)
                if what == "serve":
                    page.updates.append(update)
                else:  # the next run of the script begins before this update is sent, and draws the same widgets
                    page.updates.append(server.respond([]))
            case "receive":
                page.receive(chance)
    for _ in range(4):
        page.messages.append(dict(page.shown))
        while page.messages:
            page.updates.append(server.respond([page.messages.popleft()]))
        while page.updates:
            page.receive(chance)
    assert server.settings == wanted
    assert {key: page.shown[key] for key in wanted} == wanted


def test_widget_that_returns_is_sent_its_value_again() -> None:
    browser = BrowserView()
    assert browser.update({"a": 1, "b": 2}) == {"a": 1, "b": 2}
    assert browser.choices({"a": 1, "b": 2}, 1, 1) == {}
    assert browser.update({"a": 1}) == {}
    assert browser.choices({"a": 1, "b": 2}, 1, 1) == {}, "sent before the browser heard that it is gone"
    assert browser.update({"a": 1, "b": 2}) == {"b": 2}


def test_choice_in_a_message_without_a_version_counts() -> None:
    """As when the script of the fields that carry the version arrives after that of a slider."""
    browser = BrowserView()
    browser.update({"a": 1, "b": 2})
    assert browser.choices({"a": 1, "b": 3}, 0, 0) == {"b": 3}
    assert browser.update({"a": 1, "b": 3}) == {"b": 3}
    assert browser.choices({"a": 1, "b": 3}, 1, 1) == {"b": 3}, "once more, which changes nothing"
    assert browser.choices({"a": 1, "b": 3}, 2, 2) == {}
