"""The form of a sweep, by the page's script alone."""

import pytest
from streamlit.testing.v1 import AppTest

from mnist_fc.views.state import formatting
from tests.support.session import new_app, set_tab

pytestmark = pytest.mark.usefixtures("own_store")

LIMITS = "1 to 4 layers of 8 to 2048 units"


@pytest.fixture
def form() -> AppTest:
    """Open the page at the tab of sweeps."""
    app = new_app().run()
    set_tab(app, "Sweep")
    return app.run()


def problems(app: AppTest) -> list[str]:
    assert not app.exception
    return [warning.value for warning in app.main.warning]


@pytest.mark.parametrize(
    ("sizes", "problem"),
    [
        ("256, 5", f"hidden_sizes is 5; it must be {LIMITS}."),
        ("<b>*wide*</b>", f"hidden_sizes is <b>*wide*</b>; it must be {LIMITS}."),
        ("64..128", f"hidden_sizes cannot be an interval; list its values, separated by commas, each {LIMITS}."),
    ],
)
def test_invalid_sizes_are_reported_as_text_and_nothing_starts(form: AppTest, sizes: str, problem: str) -> None:
    form.text_input(key="sweep_hidden_sizes").set_value(sizes).run()
    assert problems(form) == [f"{formatting.escape_markdown(problem.removesuffix('.'))}."]
    form.button(key="start_sweep").click().run()
    assert problems(form) == [f"{formatting.escape_markdown(problem.removesuffix('.'))}."]
    assert "stop_sweep" not in {button.key for button in form.button}
    form.text_input(key="sweep_hidden_sizes").set_value("64, 32-16").run()
    assert problems(form) == []
