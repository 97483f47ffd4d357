"""The page's script without a browser, what a browser would send it, and a session's state without a page."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from streamlit.proto.WidgetStates_pb2 import WidgetState, WidgetStates
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.testing.v1 import AppTest

from mnist_fc.config import TrainConfig
from mnist_fc.files import ROOT
from mnist_fc.views import notices, tabs
from mnist_fc.views.settings import Settings
from mnist_fc.views.state import formatting, shared, throttle

SESSION_ID = "test session id"
"""The id that AppTest gives to every session."""


@contextmanager
def new_server(runs: Path, **variables: str) -> Iterator[None]:
    """Give AppTest the resources of a new server with its store at `runs`; close its scheduler afterwards."""
    _forget_server()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"MNIST_FC_RUNS": str(runs), **variables}.items():
            patch.setenv(name, value)
        yield
        shared.scheduler().close()
    _forget_server()


def _forget_server() -> None:
    """Drop what the page's script keeps for the lifetime of a server."""
    for resource in (
        shared.scheduler,
        shared.mnist,
        shared.train_images,
        shared.shipped_reader,
        shared.shipped_accuracy,
        throttle.results,
        throttle.curves,
    ):
        resource.clear()
    for cached in (shared.trained_on, notices._removed_by):
        cached.cache_clear()


def new_app(**query: str) -> AppTest:
    """Return the page's script, not yet run, at an address with these parameters."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    for name, text in query.items():
        app.query_params[name] = text
    return app


def opened_app(**query: str) -> AppTest:
    """Return the page's script after its first run, which must not fail."""
    return rerun(new_app(**query))


def rerun(app: AppTest, state: WidgetStates | None = None) -> AppTest:
    """Run the script again, which must not fail; with `state`, in a browser that still shows that."""
    if state:
        app._run(state)
    else:
        app.run()
    assert not app.exception, app.exception[0].value
    return app


def opened_tab(tab: str, **query: str) -> AppTest:
    """Return the page's script after its first run, with this tab open."""
    return open_tab(new_app(**query), tab)


def open_tab(app: AppTest, name: str) -> AppTest:
    """Open a tab of the page, in its group."""
    set_tab(app, name)
    return rerun(app)


def set_tab(app: AppTest, name: str) -> None:
    """Let the next run of the script draw a tab of the page."""
    for key, choice in tabs.choices(name).items():
        app.session_state[key] = choice


def press(app: AppTest, key: str) -> AppTest:
    """Press a button, which must be enabled."""
    button = app.button(key=key)
    assert not button.disabled
    button.click()
    return rerun(app)


def press_again(app: AppTest, key: str) -> AppTest:
    """Press a button that is disabled by now: the second click of a double click, sent before the browser heard of it."""
    return _run_with(app, WidgetState(id=app.button(key=key).id, trigger_value=True))


def browser_state(app: AppTest) -> WidgetStates:
    """Return the values of all widgets that the browser sends with each message while it shows this page."""
    return app._tree.get_widget_states()


def press_as_of(app: AppTest, key: str, state: WidgetStates) -> AppTest:
    """Press a button in a browser that has not heard of what has changed since it showed `state`."""
    return _run_with(app, WidgetState(id=app.button(key=key).id, trigger_value=True), state)


def texts(app: AppTest) -> list[str]:
    """Return the texts on the page, Markdown's without the backslashes that escape characters: captions, notices and HTML."""
    shown = [*app.markdown, *app.caption, *app.info, *app.warning, *app.error]
    html = [str(element.proto.body) for element in app.get("html")]
    return [
        *(formatting.unescape_markdown(element.value) for element in shown),
        *(body for body in html if not body.startswith("<style>")),
    ]


def has_text(app: AppTest, part: str) -> bool:
    """Return whether a text on the page contains this part."""
    return any(part in text for text in texts(app))


def progress_line(app: AppTest) -> str:
    """Return the line beside the status of the run."""
    progress, *_ = app.get("progress")  # a tab may have another
    return formatting.unescape_markdown(progress.proto.text)


def status_html(app: AppTest) -> str:
    """Return the status of the run as HTML."""
    (status,) = (text for text in texts(app) if "role='status'" in text)
    return status


def component_data(app: AppTest, key: str) -> Any:
    """Return what one of our own components draws."""
    return json.loads(_component(app, key).json)


def send(app: AppTest, key: str, event: str, value: object) -> AppTest:
    """Send what the browser sends when something is pressed in one of our own components."""
    identity = f"$$STREAMLIT_INTERNAL_KEY_{_component(app, key).id}__events"
    payload = json.dumps([{"event": event, "value": value}])
    return _run_with(app, WidgetState(id=identity, json_trigger_value=payload))


def state_of(app: AppTest, key: str, value: object) -> WidgetState:
    """Return the state of one of our own components, such as a canvas's log, as a browser sends it."""
    return WidgetState(id=_component(app, key).id, json_value=json.dumps(value))


def send_state(app: AppTest, key: str, value: object) -> AppTest:
    """Send the state of one of our own components."""
    return _run_with(app, state_of(app, key, value))


def _run_with(app: AppTest, change: WidgetState, state: WidgetStates | None = None) -> AppTest:
    """Run the script after a change in a browser that shows the page as it is, or as it was with `state`."""
    states = WidgetStates(widgets=(state or browser_state(app)).widgets)
    states.widgets.append(change)
    return rerun(app, states)


def _component(app: AppTest, key: str) -> Any:
    (proto,) = (one.proto for one in app.get("bidi_component") if one.proto.id.endswith(f"-{key}"))
    return proto


class Downloads:
    """The files that the page offers. Streamlit makes a file when its button is pressed, and AppTest has no such press."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._managers: list[MediaFileManager] = []
        monkeypatch.setattr("streamlit.testing.v1.app_test.MediaFileManager", self._new_manager)

    def _new_manager(self, *args: Any) -> MediaFileManager:
        self._managers.append(MediaFileManager(*args))
        return self._managers[-1]

    def file(self, app: AppTest, key: str) -> bytes:
        """Return the content of the file behind an enabled button; of text, its UTF-8."""
        (button,) = (one for one in app.get("download_button") if one.key == key)
        assert not button.proto.disabled
        content = self._managers[-1]._deferred_callables[button.proto.deferred_file_id]["callable"]()
        assert isinstance(content, str | bytes)
        return content.encode() if isinstance(content, str) else content


class State(dict[str, Any]):
    """A dict whose items are attributes, too, like a session's state."""

    __getattr__ = dict.__getitem__
    __setattr__ = dict.__setitem__


def shown_config(app: AppTest) -> TrainConfig:
    """Return the config that the controls of the page show."""
    settings: Settings = app.session_state["settings"]
    return settings.config
