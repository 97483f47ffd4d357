"""What the page does with the run that it shows: its learning rate, a run resumed elsewhere, and a network from a file."""

from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest

from mnist_fc.config import PRESETS
from mnist_fc.network import checkpoint
from mnist_fc.server.run import Run
from mnist_fc.views import rest
from mnist_fc.views.state import networks, session, shared
from tests.support.session import State, new_app, shown_config

LONG = PRESETS["best"].replace(hidden_sizes=(16,), threads=1)

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("own_store")]


@pytest.fixture
def run() -> Iterator[Run]:
    assert not new_app().run().exception  # the scheduler belongs to Streamlit's runtime
    made = shared.scheduler().start(LONG)
    assert made.wait_until_state("running", timeout=300)
    yield made
    shared.scheduler().stop(made)
    assert made.wait_for(lambda run: not run.is_active, 300)


def open_page(run: Run, **query: str) -> AppTest:
    app = new_app(run=run.id, **query)
    assert not app.run().exception
    return app


def captions(app: AppTest) -> list[str]:
    return [caption.value for caption in app.sidebar.caption]


def test_preset_is_for_the_next_run(run: Run) -> None:
    app = open_page(run)
    for preset in ("blog-keras", "blog-pytorch", "fast"):
        app.selectbox(key="preset").select(preset).run()
        assert shown_config(app) == PRESETS[preset].replace(threads=LONG.threads, seed=LONG.seed)
        assert run.learning_rate == LONG.learning_rate


def test_panel_says_the_learning_rate_that_the_run_has(run: Run) -> None:
    app = open_page(run)
    app.selectbox(key="preset").select("blog-keras").run()
    rest = "Only moving its slider changes it. Everything else is for the next run."
    assert f"This run's learning rate is {LONG.learning_rate}. {rest}" in captions(app)
    app.select_slider(key="learning_rate").set_value(0.01).run()
    assert run.learning_rate == 0.01
    assert f"This run's learning rate is 0.01. {rest}" in captions(app)


def test_hidden_learning_rate_is_not_said_to_change_the_run(run: Run) -> None:
    rate = f"This run's learning rate is {LONG.learning_rate}."
    assert f"{rate} Only moving its slider changes it. Everything else is for the next run." in captions(open_page(run))
    assert f"{rate} These settings are for the next run." in captions(open_page(run, hide="learning_rate"))


def test_page_at_rest_watches_only_runs_that_can_be_resumed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamlit.session_state", State())
    monkeypatch.setattr("mnist_fc.views.state.pace.num_present", lambda: 1)  # no server counts the pages here
    session.set_address("run", run.id)
    assert rest.look_seconds() is None
    shared.scheduler().stop(run)
    assert run.wait_until_state("stopped", timeout=300)
    assert rest.look_seconds() == rest.LOOK_SECONDS
    done = shared.scheduler().start(LONG.replace(num_epochs=1, augmentation="none"))
    assert done.wait_until_state("done", timeout=300)
    session.set_address("run", done.id)
    assert rest.look_seconds() is None


def test_loaded_file_is_named_and_removed_beside_the_drawing() -> None:
    app = new_app()
    loaded = checkpoint.Loaded(shared.shipped_reader().model, "0..1", ())
    app.session_state["loaded_file"] = networks.LoadedFile("my net.ckpt", "digest", loaded)
    app.session_state["network"] = "file"
    app.session_state["network_before"] = "shipped"
    assert not app.run().exception
    assert any("my net\\.ckpt" in caption.value for caption in app.caption)
    app.button(key="remove_file").click().run()
    assert app.session_state["loaded_file"] is None
    assert not any("my net" in caption.value for caption in app.caption)
