"""The tab "Test your handwriting": ten digits, their scores with each network, and what buttons bring back."""

import re

import pytest
from streamlit.testing.v1 import AppTest

from mnist_fc.config import PRESETS
from mnist_fc.drawing.strokes import Stroke, canvas_json
from mnist_fc.server.run import Run
from mnist_fc.views.state import shared
from tests.support.session import component_data, has_text, open_tab, opened_app, press, rerun, send_state, texts
from tests.support.waiting import wait_until

TAB = "Test your handwriting"
CONFIG = PRESETS["fast"].replace(hidden_sizes=(16,), num_epochs=1, num_validation=100, threads=1)

pytestmark = pytest.mark.usefixtures("own_small_store")


@pytest.fixture(scope="module")
def runs(own_small_store: None) -> list[Run]:
    """Return two runs that are done."""
    made = [shared.scheduler().start(CONFIG.replace(seed=seed)) for seed in (1, 2)]
    for run in made:
        wait_until(run, "done")
    return made


def one(shift: float = 0.0) -> Stroke:
    return Stroke(((140 + shift, 50), (140 + shift, 230)), 20)


def draw(app: AppTest, stroke: Stroke) -> AppTest:
    data = component_data(app, "hand_canvas_component")
    log = {"session": data["session"], "first": data["done"] + 1, "raw": canvas_json([stroke])}
    return send_state(app, "hand_canvas_component", {"drawing": log})


def draw_next(app: AppTest, shift: float = 0.0) -> AppTest:
    assert app.button(key="hand_next").disabled
    return press(draw(app, one(shift)), "hand_next")


def asked(app: AppTest) -> str:
    (text,) = (text.value for text in app.markdown if text.value.startswith("### Draw a"))
    return text.removeprefix("### Draw a ")


def boxes(app: AppTest) -> list[str]:
    """Return the boxes of the ten digits as HTML."""
    (text,) = (text for text in texts(app) if "class='boxes'" in text)
    return re.split("<div class='box(?=[ '])", text)[1:]


def ten_ones(app: AppTest) -> AppTest:
    """Draw a 1 each time, never twice alike; only the requested 1 is right."""
    open_tab(app, TAB)
    for digit in range(10):
        assert asked(app) == str(digit)
        draw_next(app, digit)
    return app


@pytest.mark.slow
def test_ten_digits_are_scored_with_each_network(runs: list[Run]) -> None:
    app = ten_ones(opened_app())
    right = [digit for digit, box in enumerate(boxes(app)) if box.startswith(" right")]
    assert right == [1]
    assert all("read as 1" in box for box in boxes(app))
    assert [text.value for text in app.markdown if re.fullmatch(r"#### You 1 of 10, MNIST \d+\.\d\d%", text.value)]
    for run in runs:
        app.session_state["page_address"]["run"] = run.id
        rerun(app)
    (before,) = (text.value for text in app.markdown if text.value.startswith("The same ten digits before:"))
    assert len(re.findall(r"- You \d+ of 10, MNIST \d+\.\d\d%: ", before)) == 2
    assert "784-16-10, preset custom" in before
    assert "the built-in network" in before
    cells = {row["id"]: row["cells"] for row in component_data(open_tab(app, "Runs"), "runs_table")["rows"]}
    assert all(re.search(r"\d of 10", str(cells[run.id])) for run in runs)
    press(open_tab(app, TAB), "hand_again")
    assert asked(app) == "0"
    assert not [box for box in boxes(app) if "<img" in box]
    press(app, "hand_restore")
    assert len([box for box in boxes(app) if "<img" in box]) == 10


def test_unfinished_digits_survive_a_tab_change_and_a_run(runs: list[Run]) -> None:
    app = draw(draw_next(open_tab(opened_app(), TAB)), one())
    app.session_state["page_address"]["run"] = runs[0].id
    open_tab(open_tab(app, "Gradients"), TAB)
    assert asked(app) == "1"
    assert not app.button(key="hand_next").disabled
    assert len([box for box in boxes(app) if "<img" in box]) == 1
    press(app, "hand_next")
    press(app, "hand_back")
    assert asked(app) == "1"
    assert not app.button(key="hand_next").disabled
    press(app, "hand_clear")
    assert app.button(key="hand_next").disabled
    press(app, "hand_undo")
    assert not app.button(key="hand_next").disabled


def test_hand_test_uses_the_chosen_network_and_brush(runs: list[Run]) -> None:
    app = draw_next(open_tab(opened_app(run=runs[0].id), TAB))
    assert has_text(app, "Read by this run, step 15.")
    app.segmented_control(key="network_choice").set_value("shipped")
    rerun(app)
    assert has_text(app, "Read by the built-in network.")
    app.select_slider(key="brush").set_value(6)
    assert component_data(rerun(app), "hand_canvas_component")["brush"] == 6
    press(app, "reset")
    assert has_text(app, "Read by the built-in network.")


def test_last_digit_is_announced() -> None:
    app = open_tab(opened_app(), TAB)
    for digit in range(9):
        assert app.button(key="hand_next").label == f"Next: {digit + 1}"
        draw_next(app, digit)
    assert app.button(key="hand_next").label == "Finish"


def test_box_of_a_scribble_says_that_it_is_no_digit() -> None:
    app = open_tab(opened_app(), TAB)
    scribble = Stroke(tuple((float(40 + 200 * (i % 2)), 40.0 + 8 * i) for i in range(26)), 20)
    press(draw(app, scribble), "hand_next")
    assert "✗</b> not a digit" in boxes(app)[0]


def test_malformed_stroke_is_rejected_with_a_remedy() -> None:
    app = open_tab(opened_app(), TAB)
    data = component_data(app, "hand_canvas_component")
    log = {"session": data["session"], "first": data["done"] + 1, "raw": {"objects": [{"path": "no path"}]}}
    send_state(app, "hand_canvas_component", {"drawing": log})
    assert [error.value for error in app.error if error.value.endswith(". Press Clear and draw again.")]
