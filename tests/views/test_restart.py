"""A page that outlives its session, as when the server restarts: what the browser still sends of the old session."""

import pytest
from streamlit.testing.v1 import AppTest

from mnist_fc.server.run import Run
from mnist_fc.views.state import shared
from tests.support.jobs import SHORT
from tests.support.session import browser_state, new_app, opened_app, rerun, state_of
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
