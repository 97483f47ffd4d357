"""views/state/address.py under Streamlit's AppTest: settings in a link apply, and errors in it are reported."""

import json
from urllib.parse import parse_qsl

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from mnist_fc.config import PRESETS, TrainConfig, format_value, nearest_preset, parse_value
from mnist_fc.server.scheduler import Scheduler
from mnist_fc.views import controls
from mnist_fc.views.settings import SIZE_KEYS
from mnist_fc.views.state import address, formatting, session
from tests.support.session import State, opened_app, shown_config

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("own_store")]


def query(app: AppTest) -> dict[str, str]:
    """Return the parameters in the page's address."""
    (component,) = [one for one in app.sidebar.get("bidi_component") if one.proto.component_name == "mnist_fc_address"]
    return dict(parse_qsl(json.loads(component.proto.json)["query"]))


def warnings(app: AppTest) -> str:
    return "\n".join(warning.value for warning in app.sidebar.warning)


CONFIGS = [
    *PRESETS.values(),
    PRESETS["best"].replace(learning_rate=0.0123456789, hidden_sizes=(8, 2048, 100), seed=2**31 - 1, momentum=0.5),
    TrainConfig(activation="gelu", optimizer="adamw", weight_decay=1e-6, adam_epsilon=1e-12, num_validation=7, threads=1),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_address_opens_page_with_its_settings(config: TrainConfig) -> None:
    preset, differing = nearest_preset(config)
    names = {"num_epochs": "epochs"}
    app = opened_app(preset=preset, **{names.get(field, field): format_value(value) for field, value in differing.items()})
    assert shown_config(app) == config
    assert warnings(app) == ""
    assert shown_config(opened_app(**query(app))) == config


@pytest.mark.parametrize("config", CONFIGS)
def test_every_field_round_trips_through_its_text(config: TrainConfig) -> None:
    for field in vars(config):
        assert parse_value(field, format_value(getattr(config, field))) == getattr(config, field)


def test_address_follows_the_controls() -> None:
    app = opened_app()
    assert query(app) == {"preset": "fast"}
    app.select_slider(key="learning_rate").set_value(0.03).run()
    app.select_slider(key="epochs").set_value(10).run()
    app.number_input(key="num_layers").set_value(2).run()
    assert query(app) == {"preset": "fast", "learning_rate": "0.03", "epochs": "10", "hidden_sizes": "256,256"}
    app.select_slider(key="learning_rate").set_value(PRESETS["fast"].learning_rate).run()
    app.select_slider(key="epochs").set_value(PRESETS["fast"].num_epochs).run()
    app.number_input(key="num_layers").set_value(1).run()
    assert query(app) == {"preset": "fast"}


@pytest.mark.parametrize(
    ("name", "text", "limits"),
    [
        ("learning_rate", "7", "a number from 1e-05 to 1"),
        ("learning_rate", "fast", "a number from 1e-05 to 1"),
        ("learning_rate", "nan", "a number from 1e-05 to 1"),
        ("batch_size", "1,000", "a whole number from 8 to 4096; use no comma, and a point for decimals"),
        ("epochs", "1e400", "a whole number from 1 to 100"),
        ("epochs", "2.5", "a whole number from 1 to 100"),
        ("hidden_sizes", "500,5000", "1 to 4 layers of 8 to 2048 units"),
        ("hidden_sizes", ",,,,,,", "1 to 4 layers of 8 to 2048 units"),
        ("activation", "step", "one of relu, tanh"),
        ("seed", "9" * 300, "a whole number from 0"),
    ],
)
def test_value_out_of_range_is_replaced_by_the_presets(name: str, text: str, limits: str) -> None:
    app = opened_app(preset="best", **{name: text})
    assert shown_config(app) == PRESETS["best"]
    assert f"it must be {limits}" in warnings(app)
    assert formatting.escape_markdown(name) in warnings(app)


def test_unknown_names_are_reported_and_ignored() -> None:
    app = opened_app(preset="huge", learning_rat="0.1", hide="seed,sead")
    assert shown_config(app) == PRESETS["fast"]
    for part in (r"preset is \'huge\'", r"learning\_rat", "sead in hide= is not a control"):
        assert part.replace("\\_", "_") in warnings(app).replace("\\_", "_")


def test_address_is_shown_as_literal_text() -> None:
    app = opened_app(**{"[x](http://evil)": "1", "learning_rate": "![x](http://evil) <b> :smile: $x$"})
    assert "](http" not in warnings(app)
    assert "<b>" not in warnings(app)
    assert ":smile:" not in warnings(app)


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> State:
    """Return the state of a session without a page, which was loaded at an address that names a run."""
    made = State()
    monkeypatch.setattr(st, "session_state", made)
    monkeypatch.setattr(st, "query_params", {"run": "A"})
    monkeypatch.setattr(address._reconnection, "show", lambda key, data: None)
    return made


def test_new_session_begins_with_the_address_in_the_browser(state: State) -> None:
    state["reconnection"] = {"query": "run=B&epochs=7&seed=&embed=true&embed_options=light_theme"}
    address.begin()
    assert session.address() == {"run": "B", "epochs": "7", "seed": ""}


def test_session_keeps_its_address_when_the_connection_returns(state: State) -> None:
    address.begin()
    assert session.address() == {"run": "A"}
    state["reconnection"] = {"query": "run=B"}
    address.begin()
    assert session.address() == {"run": "A"}


@pytest.mark.parametrize("query", [3, ["run=B"], {"run": "B"}, "run=" + "B" * address.MAX_QUERY])
def test_malformed_address_of_the_browser_is_ignored(state: State, query: object) -> None:
    state["reconnection"] = {"query": query}
    address.begin()
    assert session.address() == {"run": "A"}


@pytest.mark.parametrize("name", controls.HIDEABLE)
def test_hidden_control_keeps_its_setting(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scheduler, "bfloat16_share", None)  # as before it is measured: a precision can be chosen

    def keys(app: AppTest) -> set[str]:
        kinds = ("select_slider", "selectbox", "number_input", "toggle")
        return {str(one.key) for kind in kinds for one in app.sidebar.get(kind)}

    shown, app = opened_app(dropout="0.3"), opened_app(dropout="0.3", hide=name)
    assert shown_config(app) == shown_config(shown)
    gone = keys(shown) - keys(app)
    assert gone
    expected = {"hidden_sizes": ("num_layers", *SIZE_KEYS), "keep_training": ("detached",)}.get(name, (name,))
    assert gone == set(expected)
    app.select_slider(key="batch_size" if name != "batch_size" else "epochs").set_value(8).run()
    assert not app.exception
    assert keys(shown) - keys(app) == gone
    assert query(app)["hide"] == name


def test_link_can_hide_all_controls() -> None:
    app = opened_app(preset="blog-keras", hide="all")
    assert shown_config(app) == PRESETS["blog-keras"]
    kinds = ("select_slider", "selectbox", "number_input", "toggle", "expander", "subheader")
    assert not [one for kind in kinds for one in app.sidebar.get(kind)]
    assert not app.sidebar.caption
