"""A session's state without a page."""

from typing import Any

from streamlit.testing.v1 import AppTest

from mnist_fc.config import TrainConfig
from mnist_fc.views import controls


class State(dict[str, Any]):
    """A dict whose items are attributes, too, like a session's state."""

    __getattr__ = dict.__getitem__
    __setattr__ = dict.__setitem__


def said(app: AppTest) -> TrainConfig:
    """Return the config that the controls of the page show."""
    settings: controls.Settings = app.session_state["settings"]
    return settings.config
