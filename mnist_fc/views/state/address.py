"""The page's address: the settings by name and the run, so that a reload, another tab or a link opens the same page.

`?preset=fast&learning_rate=0.01&hidden_sizes=300,100` sets controls, `hide=learning_rate,seed` removes controls from the page,
`run=` names the run, and `sweep=` the sweep that this person started. An address is untrusted: each value is checked, and
messages show it as literal text.
"""

from collections.abc import Iterable
from urllib.parse import parse_qsl, urlencode

import streamlit as st

from mnist_fc.config import (
    DEFAULT_PRESET,
    FIELDS,
    PRESETS,
    ConfigError,
    TrainConfig,
    comma_hint,
    format_value,
    nearest_preset,
    parse_value,
)
from mnist_fc.views.components.component import Component, browser_value
from mnist_fc.views.state import session
from mnist_fc.views.state.formatting import escape_markdown

_address = Component("address", "<i></i>")
_reconnection = Component("reconnection", "<i></i>")

NAMES = {"num_epochs": "epochs"}
"""Fields of a config that have another name on the page."""

STREAMLITS = ["embed", "embed_options"]
"""Parameters of the address that are Streamlit's own: the page keeps them there and takes nothing from them."""

MAX_SHOWN = 60
"""Characters of a wrong value that a message repeats."""
MAX_PROBLEMS = 8
"""Messages about one address; any more are counted."""
MAX_QUERY = 4000
"""Characters of an address that a browser reports."""


def name_in_address(field: str) -> str:
    """Return the name of a config's field in the address."""
    return NAMES.get(field, field)


FIELD_NAMES = {name_in_address(field): field for field in FIELDS}


def settings() -> tuple[TrainConfig | None, list[str]]:
    """Return the settings in the address, None if it has none, and messages in Markdown about what is wrong with it.

    A value that is out of range is replaced by the preset's.
    """
    address = session.address()
    given = {name: address[name] for name in ("preset", *FIELD_NAMES) if name in address}
    unknown = set(address) - {"preset", "run", "sweep", "hide", *FIELD_NAMES}
    problems = [
        f"{escape_markdown(name[:MAX_SHOWN])} in the address is not a setting, so it is ignored." for name in sorted(unknown)
    ]
    if not given:
        return None, _few(problems)
    preset = given.pop("preset", DEFAULT_PRESET)
    if preset not in PRESETS:
        problems.append(
            f"preset is {escape_markdown(repr(preset[:MAX_SHOWN]))}; it must be one of {', '.join(PRESETS)}. Using fast."
        )
        preset = DEFAULT_PRESET
    config = PRESETS[preset]
    for name, text in given.items():
        field = FIELD_NAMES[name]
        try:
            config = config.replace(**{field: parse_value(field, text[:200])})
        except (ConfigError, OverflowError):
            value, default = escape_markdown(repr(text[:MAX_SHOWN])), escape_markdown(format_value(getattr(config, field)))
            problems.append(f"{escape_markdown(name)} is {value}; it must be {FIELDS[field]}{comma_hint(text)}. Using {default}.")
    return config, _few(problems)


def hidden(controls: Iterable[str]) -> tuple[set[str], list[str]]:
    """Return which of `controls` the address hides, where "all" hides all, and messages in Markdown about unknown names."""
    known = set(controls)
    named = {name.strip() for name in session.address().get("hide", "").split(",") if name.strip()}
    problems = [
        f"{escape_markdown(name[:MAX_SHOWN])} in hide= is not a control, so it is ignored."
        for name in sorted(named - known - {"all"})
    ]
    return known if "all" in named else named & known, _few(problems)


def _few(problems: list[str]) -> list[str]:
    more = len(problems) - MAX_PROBLEMS
    return [*problems[:MAX_PROBLEMS], f"{more:,} more values are wrong."] if more > 0 else problems


def show_settings(config: TrainConfig) -> None:
    """Put `config` into the address, as its nearest preset and the settings that differ from that."""
    preset, differing = nearest_preset(config)
    wanted = {"preset": preset} | {name_in_address(field): format_value(value) for field, value in differing.items()}
    given = session.address()
    for name in ("preset", *FIELD_NAMES):
        given.pop(name, None)
    given.update(wanted)


def begin() -> None:
    """Begin a new session with the address that the browser shows.

    A page outlives its session when the server restarts. Streamlit (1.67) sends the new session the address with which the page
    was loaded; reconnection.js reports the one that it shows.
    """
    _reconnection.show("reconnection", {})
    query = browser_value("reconnection", "query")
    if "page_address" in st.session_state or query is None:
        return
    if not isinstance(query, str) or len(query) > MAX_QUERY:
        session.log_rejected("an address that is too long or not text")
        return
    parameters = parse_qsl(query, keep_blank_values=True)
    st.session_state.page_address = {name: value for name, value in parameters if name not in STREAMLITS}


def show() -> None:
    """Show the address in the browser. It replaces the one before: its history would fill up with every move of a slider."""
    _address.show("address", {"query": urlencode(session.address()), "streamlits": STREAMLITS})
