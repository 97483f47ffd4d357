"""views/state/sync.py: a browser behind a slow network that loses updates, and a person who does not wait for answers."""

import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import pytest

from mnist_fc.views.state.sync import BrowserView

PRESETS: dict[str, dict[str, int]] = {"one": {"a": 1, "b": 1}, "two": {"a": 2, "b": 2}}


def chosen(settings: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """What the settings are after a choice: a preset sets the rest, and the rest makes a preset of it or a custom one."""
    settings = settings | ({"preset": value, **PRESETS[value]} if key == "preset" else {key: value})
    rest = {key: settings[key] for key in ("a", "b")}
    return settings | {"preset": next((name for name, preset in PRESETS.items() if preset == rest), "custom")}


Answer = list[tuple[str, Any]]
"""What the server tells, widget by widget; the first and the last are versions."""


@dataclass
class Page:
    """A browser's page: what its widgets show, and what is on the way to and from it.

    A part of an answer may be there before the rest, for an instant, in which the page may send but nobody acts.
    """

    shown: dict[str, Any] = field(default_factory=dict)
    messages: deque[dict[str, Any]] = field(default_factory=deque)
    answers: deque[Answer] = field(default_factory=deque)

    def choose(self, key: str, value: Any) -> None:
        self.shown[key] = value
        self.messages.append(dict(self.shown))

    def hear(self, chance: random.Random) -> None:
        """Apply an answer, or a part of it and the rest later."""
        if self.answers:
            answer = self.answers[0]
            count = chance.choice([len(answer), chance.randint(1, len(answer))])
            self.shown |= dict(answer[:count])
            del answer[:count]
            if not answer:
                self.answers.popleft()


class Server:
    def __init__(self) -> None:
        self.settings: dict[str, Any] = chosen({}, "preset", "one")
        self.browser = BrowserView()

    def answer(self, messages: list[dict[str, Any]]) -> Answer:
        for message in messages:
            values = {key: message[key] for key in self.settings if key in message}
            for key, value in self.browser.choices(values, message.get("begun", 0), message.get("seen", 0)).items():
                self.settings = chosen(self.settings, key, value)
        update = self.browser.update(self.settings)
        return [("begun", self.browser.version), *update.items(), ("seen", self.browser.version)]


@pytest.mark.parametrize("seed", range(300))
def test_page_and_server_agree_with_the_persons_choices(seed: int) -> None:
    chance, page, server = random.Random(seed), Page(), Server()
    page.shown |= dict(server.answer([]))
    wanted = server.settings
    for _ in range(40):
        match chance.choice(["choose", "choose", "tick", "serve", "serve and lose", "hear", "hear"]):
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
                answer = server.answer(taken)
                if what == "serve":
                    page.answers.append(answer)
                else:  # the next run of the script begins before this is sent, and draws the same widgets
                    page.answers.append(server.answer([]))
            case "hear":
                page.hear(chance)
    for _ in range(4):
        page.messages.append(dict(page.shown))
        while page.messages:
            page.answers.append(server.answer([page.messages.popleft()]))
        while page.answers:
            page.hear(chance)
    assert server.settings == wanted
    assert {key: page.shown[key] for key in wanted} == wanted


def test_widget_that_returns_is_sent_its_value_again() -> None:
    browser = BrowserView()
    assert browser.update({"a": 1, "b": 2}) == {"a": 1, "b": 2}
    assert browser.choices({"a": 1, "b": 2}, 1, 1) == {}
    assert browser.update({"a": 1}) == {}
    assert browser.choices({"a": 1, "b": 2}, 1, 1) == {}, "sent before the browser heard that it is gone"
    assert browser.update({"a": 1, "b": 2}) == {"b": 2}
