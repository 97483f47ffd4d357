"""The page's address: the settings by name and the run, so that a reload, another tab or a link opens the page as it is.

`?preset=fast&learning_rate=0.01&hidden_sizes=300,100` sets controls, `hide=learning_rate,seed` takes controls off the page,
`run=` names the run, and `sweep=` the sweep that its person has started. An address comes from anywhere: each value is checked,
and what is said of it is shown as text.
"""

import secrets
from collections.abc import Iterable
from urllib.parse import parse_qsl, urlencode

import streamlit as st

from mnist_fc.config import FIELDS, PRESETS, ConfigError, TrainConfig, format_value, nearest_preset, parse_value
from mnist_fc.views.components.component import Component, browser_value
from mnist_fc.views.state import session
from mnist_fc.views.state.formatting import escape_markdown

_address = Component("address", "<i></i>")

NAMES = {"num_epochs": "epochs"}
"""Fields of a config that go by another name on the page."""

MAX_SHOWN = 60
"""Characters of a wrong value that are said again."""
MAX_PROBLEMS = 8
"""Of what is wrong with an address; more are counted."""
MAX_QUERY = 4000
"""Characters of an address that a browser reports."""


def name_of(field: str) -> str:
    """What a field of a config is called in the address."""
    return NAMES.get(field, field)


FIELD_NAMES = {name_of(field): field for field in FIELDS}


def settings() -> tuple[TrainConfig | None, list[str]]:
    """What the address says of the settings, None where it says nothing, and what is wrong with it, as Markdown.

    For a value that is out of range the preset's is taken.
    """
    all_said = session.address()
    said = {name: all_said[name] for name in ("preset", *FIELD_NAMES) if name in all_said}
    unknown = set(all_said) - {"preset", "run", "sweep", "hide", *FIELD_NAMES}
    problems = [f"The address names {escape_markdown(name[:MAX_SHOWN])}, which is no setting." for name in sorted(unknown)]
    if not said:
        return None, _few(problems)
    preset = said.pop("preset", "fast")
    if preset not in PRESETS:
        problems.append(
            f"preset is {escape_markdown(repr(preset[:MAX_SHOWN]))}; it must be one of {', '.join(PRESETS)}. fast is taken."
        )
        preset = "fast"
    config = PRESETS[preset]
    for name, text in said.items():
        field = FIELD_NAMES[name]
        try:
            config = config.replace(**{field: parse_value(field, text[:200])})
        except (ConfigError, OverflowError):
            value, default = escape_markdown(repr(text[:MAX_SHOWN])), escape_markdown(format_value(getattr(config, field)))
            problems.append(f"{escape_markdown(name)} is {value}; it must be {FIELDS[field]}. {default} is taken.")
    return config, _few(problems)


def hidden(controls: Iterable[str]) -> tuple[set[str], list[str]]:
    """Which of `controls` the address hides, "all" being all of them; and what is wrong with it, as Markdown."""
    known = set(controls)
    named = {name.strip() for name in session.address().get("hide", "").split(",") if name.strip()}
    problems = [
        f"hide names {escape_markdown(name[:MAX_SHOWN])}, which is no control." for name in sorted(named - known - {"all"})
    ]
    return known if "all" in named else named & known, _few(problems)


def _few(problems: list[str]) -> list[str]:
    more = len(problems) - MAX_PROBLEMS
    return [*problems[:MAX_PROBLEMS], f"{more:,} more are wrong."] if more > 0 else problems


def show_settings(config: TrainConfig) -> None:
    """Let the address say `config`, as the preset that is nearest to it and what differs from that."""
    preset, differing = nearest_preset(config)
    wanted = {"preset": preset} | {name_of(field): format_value(value) for field, value in differing.items()}
    said = session.address()
    for name in ("preset", *FIELD_NAMES):
        said.pop(name, None)
    said.update(wanted)


def show() -> None:
    """Show the address in the browser. It replaces the one before: its history would fill up with every move of a slider.

    Reruns the script if the browser has just reported another address; see `_adopt`.
    """
    state = st.session_state
    name = state.setdefault("address_session", secrets.token_hex(8))
    is_adopted = state.setdefault("address_is_adopted", False)
    data = {"session": name, "query": urlencode(session.address()), "isAdopted": is_adopted}
    _address.show("address", data, on_shown_change=_adopt)
    if state.pop("address_is_new", False):
        st.rerun()


def _adopt() -> None:
    """Begin this session again with the address that the browser shows.

    The page outlives its session when the server restarts. Streamlit (1.67) then sends the new session the address with which
    the page was loaded, not the one that it shows by now: address.js reports that, once for a session.
    """
    state, query = st.session_state, browser_value("address", "shown")
    if state.get("address_is_adopted") or not isinstance(query, str) or len(query) > MAX_QUERY:
        return
    shown = dict(parse_qsl(query, keep_blank_values=True))
    state.address_is_adopted = True
    state.address_is_new = shown != session.address()
    if state.address_is_new:
        state.page_address = shown
        state.pop("settings", None)  # the controls read them from the address again
