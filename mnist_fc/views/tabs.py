"""The tabs below the drawing, in groups; only the open one is drawn."""

from collections.abc import Callable

import streamlit as st

from mnist_fc.reading.reader import Reading
from mnist_fc.views import export, gradients, handwriting_test, inside, look_alikes, mistakes, my_digits, runs, speed, why
from mnist_fc.views.components.component import Component
from mnist_fc.views.state import networks

WHY, INSIDE, SWEEP, SPEED = "Why this digit?", "Inside", "Sweep", "How fast is this machine?"
TEACH = "Teach it your hand"

Panel = Callable[[list[Reading], networks.Network], None]
"""Draws a tab, given how the drawing was just read and the network that read it."""

GROUPS: dict[str, dict[str, Panel]] = {
    "Understand": {
        WHY: why.panel,
        INSIDE: inside.panel,
        "Gradients": lambda readings, network: gradients.panel(network),
    },
    "Mistakes": {
        "Misread digits": lambda readings, network: mistakes.panel(network),
        "Look-alikes": look_alikes.panel,
    },
    "Your handwriting": {
        TEACH: my_digits.panel,
        "Test your handwriting": lambda readings, network: handwriting_test.panel(network),
    },
    "Experiments": {
        "Runs": lambda readings, network: runs.panel(),
        SWEEP: lambda readings, network: _sweep_panel(),
        SPEED: lambda readings, network: speed.panel(),
    },
    "Export": {
        "Export and import": lambda readings, network: export.panel(network),
    },
}
"""The tabs of each group by name. The tab of a group that has but one is not shown."""

MUCH_TO_DRAW = (INSIDE, TEACH, "Gradients", "Misread digits", "Look-alikes", "Runs")
"""Tabs that are redrawn less often while a run is active, so that they do not slow it."""

_tab_focus = Component("tab_focus", "<i></i>")


def panel(readings: list[Reading], network: networks.Network) -> None:
    """Draw the open tab; the others are not drawn."""
    for opened, (name, group) in zip(st.tabs(list(GROUPS), key="tabs", on_change="rerun"), GROUPS.items(), strict=True):
        if opened.open:
            with opened:
                _group(name, group, readings, network)
    _tab_focus.show("tab_focus", {"turn": st.session_state.get("tab_turn", 0)})


def _group(name: str, group: dict[str, Panel], readings: list[Reading], network: networks.Network) -> None:
    if len(group) == 1:
        next(iter(group.values()))(readings, network)
        return
    state, key = st.session_state, key_of(name)
    if key not in state and f"{key}_last" in state:
        state[key] = state[f"{key}_last"]  # Streamlit forgets it while another group is open
    for opened, draw in zip(st.tabs(list(group), key=key, on_change="rerun"), group.values(), strict=True):
        if opened.open:
            with opened:
                draw(readings, network)
    state[f"{key}_last"] = current()


def current() -> str:
    """Return the name of the open tab."""
    state = st.session_state
    group: str = state.get("tabs", "")
    if group not in GROUPS:
        group = next(iter(GROUPS))
    tabs = GROUPS[group]
    chosen = state.get(key_of(group), state.get(f"{key_of(group)}_last"))
    return chosen if chosen in tabs else next(iter(tabs))


def has_asked() -> bool:
    """Return whether the person has asked why or clicked a neuron, or looks inside."""
    return "tab_turn" in st.session_state or current() in (INSIDE, "Gradients")


def open_tab(name: str) -> None:
    """Open a tab from a callback, and bring it into view."""
    state = st.session_state
    state.update(choices(name))
    state.tab_turn = state.get("tab_turn", 0) + 1


def choices(name: str) -> dict[str, str]:
    """Return what is chosen in the groups, and in the group of a tab if it shows its tabs, by their keys."""
    group = group_of(name)
    return {"tabs": group} | ({key_of(group): name} if len(GROUPS[group]) > 1 else {})


def group_of(name: str) -> str:
    """Return the group that a tab is in."""
    return next(group for group, tabs in GROUPS.items() if name in tabs)


def key_of(group: str) -> str:
    """Return the key of the tabs of a group."""
    return f"tabs_{group.lower().replace(' ', '_')}"


def _sweep_panel() -> None:
    from mnist_fc.views import sweep  # imported here: Optuna and SQLAlchemy take 20 MB and 0.4 s, and few open this tab

    sweep.panel()
