"""The view of a run's progress, on the page's script with a real run."""

from pathlib import Path

import pytest

from mnist_fc.views.state import shared
from tests.support.session import new_app
from tests.support.training_runs import DIVERGING

pytestmark = pytest.mark.usefixtures("own_store")


@pytest.mark.slow
def test_diagnosis_is_of_the_moment_looked_back_at(small_npz: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNIST_FC_DATA", str(small_npz))
    new_app().run()  # starts the server that trains
    run = shared.scheduler().start(DIVERGING["adam, 1 layer"])
    assert run.wait_until_state("done", timeout=300)
    page = new_app()
    page.query_params["run"] = run.id
    page.run()
    assert not page.exception
    (warning,) = page.warning
    assert "Training diverged" in warning.value
    assert "at the end" in warning.value
    page.session_state["chosen_step"] = run.id, 5
    page.run()
    assert not page.exception
    assert not page.warning
