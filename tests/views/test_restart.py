"""A page that outlives its session, as when the server restarts: what the browser still sends of the old session."""

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from mnist_fc.config import PRESETS
from mnist_fc.server.run import Run
from mnist_fc.views.state import shared
from tests.support.jobs import SHORT
from tests.support.session import browser_state, has_text, new_app, opened_app, rerun, shown_config, state_of
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("own_small_store")


@pytest.fixture
def run() -> Run:
    run = shared.scheduler().start(SHORT)
    wait_until(run, "done")
    return run


def chosen(app: AppTest) -> str:
    """Return the network that reads, as the page shows it."""
    return str(app.segmented_control(key="network_choice").value)


def test_page_keeps_reading_with_its_run(run: Run) -> None:
    old = opened_app(run=run.id)
    for source in ("shipped", "run"):
        old.segmented_control(key="network_choice").set_value(source)
        rerun(old)
    assert chosen(old) == "run"
    of_old = browser_state(old)
    of_old.widgets.append(state_of(old, "reconnection", {"query": f"run={run.id}"}))
    new = rerun(new_app(), of_old)
    assert chosen(new) == "run"
    first_answer = browser_state(new)
    rerun(new, of_old)
    rerun(new, first_answer)  # the browser has heard of the first answer only
    assert chosen(new) == "run"
    assert chosen(rerun(new)) == "run"


def reopened_after(choose: Callable[[AppTest], object], **query: str) -> AppTest:
    """Return a new session for a page opened with `query`, after choices on the page that no session has heard of."""
    old = opened_app(**query)
    address = state_of(old, "reconnection", {"query": "&".join(f"{name}={text}" for name, text in query.items())})
    choose(old)
    shown = browser_state(old)
    shown.widgets.append(address)
    new = rerun(new_app(), shown)
    rerun(new, shown)  # Streamlit may deliver the message again
    return rerun(new)


CHOICES: dict[str, tuple[Callable[[AppTest], object], dict[str, object]]] = {
    "slider": (lambda app: app.select_slider(key="epochs").set_value(20), {"num_epochs": 20}),
    "layers": (lambda app: app.number_input(key="num_layers").set_value(3), {"hidden_sizes": (256, 256, 256)}),
    "list": (lambda app: app.selectbox(key="activation").set_value("tanh"), {"activation": "tanh"}),
    "number": (lambda app: app.number_input(key="seed").set_value(7), {"seed": 7}),
}


@pytest.mark.parametrize("name", CHOICES)
def test_choice_during_a_restart_is_kept(name: str) -> None:
    choose, chosen_settings = CHOICES[name]
    app = reopened_after(choose, preset="fast", learning_rate="0.0123")
    assert shown_config(app) == PRESETS["fast"].replace(learning_rate=0.0123, **chosen_settings)


def test_preset_chosen_during_a_restart_sets_all_controls() -> None:
    app = reopened_after(lambda app: app.selectbox(key="preset").set_value("blog-keras"), preset="fast", learning_rate="0.03")
    assert shown_config(app) == PRESETS["blog-keras"].replace(threads=shown_config(app).threads)
    assert app.select_slider(key="learning_rate").value == PRESETS["blog-keras"].learning_rate


def test_keep_training_outlasts_a_restart() -> None:
    app = reopened_after(lambda app: app.toggle(key="detached").set_value(True), preset="fast")
    assert app.toggle(key="detached").value is True


def test_without_choices_a_restart_changes_nothing() -> None:
    app = reopened_after(lambda app: None, preset="fast", learning_rate="0.0123", epochs="7")
    assert shown_config(app) == PRESETS["fast"].replace(learning_rate=0.0123, num_epochs=7)


def test_page_says_what_a_restart_has_cost() -> None:
    assert not has_text(opened_app(), "began anew")
    assert has_text(reopened_after(lambda app: None), "any pins, loaded file or handwriting-test digits of this page are gone")
