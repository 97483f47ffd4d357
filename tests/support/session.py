"""The page's script without a browser, and a session's state without a page."""

from typing import Any

from streamlit.testing.v1 import AppTest

from mnist_fc.config import TrainConfig
from mnist_fc.files import ROOT
from mnist_fc.views import controls

SESSION_ID = "test session id"
"""The id that AppTest gives to every session."""


def new_app(**query: str) -> AppTest:
    """Return the page's script, not yet run, at an address with these parameters."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    for name, text in query.items():
        app.query_params[name] = text
    return app


def opened_app(**query: str) -> AppTest:
    """Return the page's script after its first run, which must not fail."""
    app = new_app(**query).run()
    assert not app.exception
    return app


def opened_tab(tab: str, **query: str) -> AppTest:
    """Return the page's script after its first run, with this tab open."""
    app = new_app(**query)
    app.session_state["tabs"] = tab
    assert not app.run().exception
    return app


class State(dict[str, Any]):
    """A dict whose items are attributes, too, like a session's state."""

    __getattr__ = dict.__getitem__
    __setattr__ = dict.__setitem__


def shown_config(app: AppTest) -> TrainConfig:
    """Return the config that the controls of the page show."""
    settings: controls.Settings = app.session_state["settings"]
    return settings.config
