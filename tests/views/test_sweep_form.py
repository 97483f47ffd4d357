"""The form of a sweep, by the page's script alone."""

import pytest
from streamlit.testing.v1 import AppTest

from mnist_fc.views.state import formatting
from tests.support.session import new_app

pytestmark = pytest.mark.usefixtures("own_store")

LIMITS = "1 to 4 layers of 8 to 2048 units"


@pytest.fixture
def form() -> AppTest:
    """Open the page at the tab of sweeps."""
    app = new_app().run()
    app.session_state["tabs"] = "Sweep"
    return app.run()


def problems(app: AppTest) -> list[str]:
    assert not app.exception
    return [warning.value for warning in app.main.warning]


@pytest.mark.parametrize("sizes", ["256, 5", "<b>*wide*</b>", "64..128"])
def test_invalid_sizes_are_reported_and_nothing_starts(form: AppTest, sizes: str) -> None:
    form.text_input(key="sweep_hidden_sizes").set_value(sizes).run()
    (problem,) = problems(form)
    assert LIMITS in problem
    form.button(key="start_sweep").click().run()
    assert any(LIMITS in problem for problem in problems(form))
    assert "stop_sweep" not in {button.key for button in form.button}
    form.text_input(key="sweep_hidden_sizes").set_value("64, 32-16").run()
    assert problems(form) == []


def test_invalid_sizes_are_shown_as_text(form: AppTest) -> None:
    form.text_input(key="sweep_hidden_sizes").set_value("<b>*wide*</b>").run()
    (problem,) = problems(form)
    assert formatting.escape_markdown("<b>*wide*</b>") in problem
