"""Correcting a reading, My digits, and lessons: the tab "Teach it your hand" and the row of buttons under the bars."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from mnist_fc.cli.main import main
from mnist_fc.config import PRESETS
from mnist_fc.data.my_digits import MAX_DIGITS, MyDigit, from_npz
from mnist_fc.drawing.strokes import Stroke, canvas_json, render
from mnist_fc.runs.lessons import LESSON_NAME, read_lesson
from mnist_fc.server.run import Run
from mnist_fc.views.state import shared
from mnist_fc.views.state.formatting import unescape_markdown
from mnist_fc.views.state.tray import Tray, from_data, to_data
from mnist_fc.views.tabs import TEACH
from tests.support.session import (
    Downloads,
    component_data,
    has_text,
    new_app,
    open_tab,
    opened_app,
    press,
    press_again,
    rerun,
    send,
    send_state,
    set_tab,
)
from tests.support.waiting import wait_until

SMALL = PRESETS["fast"].replace(hidden_sizes=(16,), num_epochs=1, num_validation=100, threads=1)
SEVEN = Stroke(((80, 60), (200, 60), (130, 230)), 20)
ONE = Stroke(((140, 50), (140, 230)), 20)
SCRIBBLE = Stroke(((60, 60), (220, 200), (60, 200), (200, 50), (140, 240), (40, 120), (240, 130), (100, 40)), 20)

pytestmark = pytest.mark.usefixtures("own_small_store")


@pytest.fixture(scope="module")
def small_run(own_small_store: None) -> Run:
    run = shared.scheduler().start(SMALL)
    wait_until(run, "done")
    return run


def draw(app: AppTest, *strokes: Stroke) -> AppTest:
    data = component_data(app, "canvas_component")
    log = {"session": data["session"], "first": data["done"] + 1, "raw": canvas_json(strokes)}
    return send_state(app, "canvas_component", {"drawing": log})


def say(app: AppTest, label: Any, part: Any = 0) -> AppTest:
    return send(app, "correction_row", "label", [part, label])


def row(app: AppTest) -> Any:
    return component_data(app, "correction_row")


def tray_of(app: AppTest) -> Tray:
    tray: Tray = app.session_state["tray"]
    return tray


def labels(app: AppTest) -> list[int | None]:
    return [digit.label for digit in tray_of(app).digits]


def test_labelled_drawing_joins_my_digits_with_its_strokes() -> None:
    app = say(draw(opened_app(), SEVEN), 7)
    (digit,) = tray_of(app).digits
    assert digit.label == 7
    assert digit.strokes == (SEVEN,)
    assert row(app)["parts"] == [{"read": "7", "label": 7}]
    assert row(app)["words"] == "Added to My digits: 7."


def test_another_label_for_the_same_drawing_replaces_the_first() -> None:
    app = say(say(draw(opened_app(), SEVEN), 1), 7)
    assert labels(app) == [7]


def test_each_digit_of_a_number_can_be_labelled() -> None:
    left, right = Stroke(((60, 60), (60, 220)), 20), Stroke(((150, 60), (220, 60), (180, 230)), 20)
    app = draw(opened_app(), left, right)
    assert [part["read"] for part in row(app)["parts"]] == ["1", "7"]
    assert row(app)["words"] == "What is each digit?"
    say(app, 7, part=1)
    (digit,) = tray_of(app).digits
    assert (digit.label, digit.strokes) == (7, ())  # strokes belong to the whole number


def test_why_tab_compares_what_was_read_with_the_label_given() -> None:
    app = open_tab(draw(opened_app(), SEVEN), "Why this digit?")
    say(app, 2)
    assert has_text(app, "likelier than 2")
    assert has_text(app, "You labelled it 2.")
    say(app, 7)
    assert not has_text(app, "You labelled")
    assert not has_text(app, "Is that wrong?")
    press(say(app, None), "add_anyway")
    assert has_text(app, "You labelled it not a digit.")


def test_none_marks_a_drawing_as_no_digit() -> None:
    app = say(draw(opened_app(), SCRIBBLE), None)
    assert labels(app) == [None]
    assert row(app)["parts"][0]["label"] == "none"
    assert app.button(key="teach_here").disabled  # there is no digit to teach


def test_label_of_what_is_unlike_a_digit_is_asked_for_again() -> None:
    app = say(draw(opened_app(), SCRIBBLE), 8)
    assert labels(app) == []
    assert row(app)["words"] == "This does not look like a digit."
    press(app, "add_anyway")
    assert labels(app) == [8]


def test_number_that_is_too_long_is_named_and_not_taught_at_once() -> None:
    app = draw(opened_app(), *(Stroke(((x, 120), (x, 150)), 5) for x in range(10, 270, 20)))
    assert has_text(app, "Too many digits:<br>at most 12.")
    say(app, 1)
    assert labels(app) == []
    assert row(app)["words"] == "This does not look like a digit."


def test_none_for_what_is_surely_a_digit_is_asked_for_again() -> None:
    app = say(draw(opened_app(), SEVEN), None)
    assert labels(app) == []
    assert row(app)["words"] == "This looks like a digit."
    press(app, "add_anyway")
    assert labels(app) == [None]


def test_question_about_a_scribble_is_gone_with_the_scribble() -> None:
    app = say(draw(opened_app(), SCRIBBLE), 8)
    press(app, "clear")
    draw(app, SEVEN)
    assert row(app)["words"] == "What is it? Press it to teach it."


def test_empty_canvas_cannot_be_labelled() -> None:
    app = press(draw(opened_app(), SEVEN), "clear")
    assert not row(app)["isEnabled"]
    say(app, 7)
    assert labels(app) == []
    assert row(app)["words"] == "Draw a digit first."


@pytest.mark.parametrize("message", [None, 7, [0], [0, 10], [0, -1], [0, "7"], [0, 7.5], ["0", 7], [5, 7], [-1, 7], [0, 7, 7]])
def test_forged_label_changes_nothing(message: Any) -> None:
    app = draw(opened_app(), SEVEN)
    send(app, "correction_row", "label", message)
    assert labels(app) == []


def test_tray_keeps_at_most_its_limit() -> None:
    app = draw(opened_app(), SEVEN)
    image = np.zeros((MAX_DIGITS, 28, 28), np.uint8)
    image[np.arange(MAX_DIGITS), np.arange(MAX_DIGITS) // 28, np.arange(MAX_DIGITS) % 28] = 255
    tray_of(app).add(*(MyDigit(1, each) for each in image))
    say(app, 7)
    assert len(labels(app)) == MAX_DIGITS
    assert "full" in row(app)["words"]


def test_browser_brings_my_digits_back_after_a_reload() -> None:
    app = say(draw(opened_app(), SEVEN), 7)
    kept = component_data(app, "stored_digits")
    assert [each[0] for each in kept["digits"]] == [7]
    later = opened_app()
    send(later, "stored_digits", "open", [component_data(later, "stored_digits")["session"], kept["digits"]])
    (digit,) = tray_of(later).digits
    assert digit.label == 7
    assert np.array_equal(digit.image, tray_of(app).digits[0].image)
    assert digit.strokes == (SEVEN,)


def test_digits_are_sent_only_until_the_browser_has_stored_them() -> None:
    app = say(draw(opened_app(), SEVEN), 7)
    data = component_data(app, "stored_digits")
    send(app, "stored_digits", "stored", [data["session"], data["revision"]])
    assert component_data(app, "stored_digits")["digits"] is None
    say(app, 1)
    assert component_data(app, "stored_digits")["digits"] is not None


def test_digits_of_an_earlier_session_come_before_newer_ones() -> None:
    app = say(draw(opened_app(), SEVEN), 7)
    old = to_data([MyDigit(3, np.full((28, 28), 9, np.uint8))])
    send(app, "stored_digits", "open", [component_data(app, "stored_digits")["session"], old])
    assert labels(app) == [3, 7]
    send(app, "stored_digits", "open", [component_data(app, "stored_digits")["session"], old])
    assert labels(app) == [3, 7]


@pytest.mark.parametrize(
    "data",
    [
        "x",
        [1],
        [[7]],
        [[7, "!", []]],
        [[7, "AAAA", []]],
        [[10, "", []]],
        [[True, "", []]],
        [[7, "", [["a"]]]],
        [[7, None, None]] * 501,
    ],
)
def test_forged_tray_is_refused(data: Any) -> None:
    app = opened_app()
    send(app, "stored_digits", "open", [component_data(app, "stored_digits")["session"], data])
    assert labels(app) == []


def test_tray_is_the_same_after_its_way_through_the_browser() -> None:
    digits = [MyDigit(7, np.full((28, 28), 200, np.uint8), (SEVEN, ONE)), MyDigit(None, np.eye(28, dtype=np.uint8))]
    returned = from_data(to_data(digits))
    assert [(each.label, each.strokes) for each in returned] == [(each.label, each.strokes) for each in digits]
    assert all(np.array_equal(one.image, other.image) for one, other in zip(returned, digits, strict=True))


def test_digits_can_be_relabelled_deleted_and_brought_back() -> None:
    app = open_tab(say(draw(opened_app(), SEVEN), 1), TEACH)
    send(app, "tray_pictures", "clicked", [0, 0])
    (choice,) = (box for box in app.selectbox if box.label == "Digit 1 is a")
    choice.set_value(7)
    rerun(app)
    assert labels(app) == [7]
    send(app, "tray_pictures", "clicked", [0, 0])
    send(app, "tray_pictures", "clicked", [0, 0])
    press(app, "tray_delete")
    assert labels(app) == []
    press(app, "tray_undo")
    assert labels(app) == [7]
    press(app, "tray_delete_all")
    assert labels(app) == []
    press(app, "tray_undo")
    assert labels(app) == [7]


def test_saved_digits_are_those_of_the_tray(monkeypatch: pytest.MonkeyPatch) -> None:
    downloads = Downloads(monkeypatch)
    app = open_tab(say(draw(opened_app(), SEVEN), 7), TEACH)
    (digit,) = from_npz(downloads.file(app, "tray_save"), "saved")
    assert (digit.label, len(digit.strokes)) == (7, 1)


def taught_app(run: Run, button: str = "teach") -> AppTest:
    """Return a page on which a 7 was taught to the network of `run`, when the lesson is done."""
    app = new_app(run=run.id)
    set_tab(app, TEACH)
    rerun(app)
    say(draw(app, SEVEN), 7)
    press(app, button)
    lesson = shared.scheduler().run(app.session_state["page_address"]["run"])
    assert lesson
    wait_until(lesson, "done")
    return rerun(app)


def shown_run(app: AppTest) -> str:
    run_id: str = app.session_state["page_address"]["run"]
    return run_id


def test_lesson_shows_what_it_gained_and_cost(small_run: Run) -> None:
    app = taught_app(small_run)
    lesson = shared.scheduler().run(shown_run(app))
    assert lesson
    snapshot = lesson.snapshot()
    assert snapshot.lesson is not None
    assert snapshot.lesson.labels.tolist() == [7]
    assert snapshot.config.hidden_sizes == SMALL.hidden_sizes
    for part in ("This drawing", "Digits taught", "MNIST", "Other people", "before", "after"):
        assert has_text(app, part)
    assert not has_text(app, "Your next digits"), "one digit says nothing about the next"


def test_lesson_of_several_digits_estimates_how_the_next_are_read(small_run: Run) -> None:
    app = new_app(run=small_run.id)
    set_tab(app, TEACH)
    say(draw(rerun(app), SEVEN), 7)
    say(draw(press(app, "clear"), Stroke(((140, 60), (140, 220)), 20)), 1)
    press(app, "teach")
    lesson = shared.scheduler().run(shown_run(app))
    assert lesson
    wait_until(lesson, "done")
    assert has_text(rerun(app), "Your next digits")


def primary_buttons(app: AppTest) -> list[str]:
    return [button.label for button in app.button if button.proto.type == "primary" and not button.disabled]


def test_one_action_at_a_time_is_primary(small_run: Run) -> None:
    app = new_app(run=small_run.id)
    set_tab(app, TEACH)
    assert primary_buttons(rerun(app)) == ["Train"]
    assert primary_buttons(say(draw(app, SEVEN), 7)) == ["Teach the network my digit"]
    press(app, "teach_here")
    lesson = shared.scheduler().run(shown_run(app))
    assert lesson
    wait_until(lesson, "done")
    assert primary_buttons(rerun(app)) == ["Train"]


def test_button_offers_to_teach_again_what_the_network_was_taught(small_run: Run) -> None:
    app = taught_app(small_run)
    assert app.button(key="teach_here").label == "Teach my digit again"
    say(draw(press(app, "clear"), SCRIBBLE), None)
    assert app.button(key="teach_here").label == "Teach the network my digit", "the lesson had none of the drawings labelled none"
    say(draw(press(app, "clear"), Stroke(((140, 60), (140, 220)), 20)), 1)
    assert app.button(key="teach_here").label == "Teach the network my 2 digits"


def test_downloads_of_a_taught_network_read_as_it_does(
    small_run: Run, tmp_path: Path, downloads: Downloads, capsys: pytest.CaptureFixture[str]
) -> None:
    app = taught_app(small_run)
    set_tab(app, "Export and import")
    rerun(app)
    for key, name in (("take_model_ckpt", "model.ckpt"), ("take_config_json", "config.json"), ("take_lesson_npz", LESSON_NAME)):
        (tmp_path / name).write_bytes(downloads.file(app, key))
    lesson = read_lesson(tmp_path, SMALL.layer_sizes)
    assert lesson
    assert lesson.labels.tolist() == [7]
    Image.fromarray(render([SEVEN])).save(tmp_path / "seven.png")
    assert main(["predict", str(tmp_path / "seven.png"), "--checkpoint", str(tmp_path / "model.ckpt")]) == 0
    assert "seven.png: 7 (" in capsys.readouterr().out


def test_undo_returns_to_the_network_before_the_lesson(small_run: Run) -> None:
    app = taught_app(small_run)
    assert shown_run(app) != small_run.id
    press(app, "lesson_undo")
    assert shown_run(app) == small_run.id


def test_undo_leads_to_the_first_weights_when_the_parent_is_gone() -> None:
    parent = shared.scheduler().start(SMALL.replace(seed=3))
    wait_until(parent, "done")
    app = taught_app(parent)
    lesson = shown_run(app)
    shared.scheduler().store.delete(parent.id)
    shared.scheduler().evict(parent.id)
    press(app, "lesson_undo")
    assert shown_run(app) == lesson
    assert app.session_state["chosen_step"] == (lesson, 0)


def test_kept_lesson_reads_from_then_on(small_run: Run) -> None:
    app = press(taught_app(small_run), "lesson_keep")
    assert has_text(app, "Kept.")
    assert app.session_state["network"] == "run"


def test_second_click_begins_no_second_lesson(small_run: Run) -> None:
    app = new_app(run=small_run.id)
    set_tab(app, TEACH)
    say(draw(rerun(app), SEVEN), 7)
    press(app, "teach")
    lesson = shown_run(app)
    press_again(app, "teach")
    assert shown_run(app) == lesson
    run = shared.scheduler().run(lesson)
    assert run
    wait_until(run, "done")


def test_built_in_network_can_be_taught() -> None:
    app = open_tab(say(draw(opened_app(), SEVEN), 7), TEACH)
    press(app, "teach")
    lesson = shared.scheduler().run(shown_run(app))
    assert lesson
    wait_until(lesson, "running", "done")
    assert lesson.config.hidden_sizes == shared.shipped_reader().model.hidden_sizes
    shared.scheduler().stop(lesson)
    wait_until(lesson, "done", "stopped")


def test_network_from_my_digits_alone_says_why_it_fails_at_others(small_run: Run) -> None:
    app = taught_app(small_run, "teach_from_scratch")
    assert has_text(app, "many hands")
    lesson = shared.scheduler().run(shown_run(app))
    assert lesson
    assert lesson.lesson
    assert lesson.lesson.start is None


def test_rerun_of_a_lesson_teaches_the_same_digits_from_the_same_weights(small_run: Run) -> None:
    app = taught_app(small_run)
    first = shared.scheduler().run(shown_run(app))
    assert first
    open_tab(app, "Runs")
    message = {"what": "again", "run": first.id, "value": component_data(app, "runs_table")["turn"]}
    send(app, "runs_table", "act", message)
    again = shared.scheduler().run(shown_run(app))
    assert again
    assert again.id != first.id
    wait_until(again, "done")
    before, after = first.snapshot(), again.snapshot()
    assert after.config == before.config
    assert after.lesson is not None
    assert before.lesson is not None
    assert after.lesson.to_npz() == before.lesson.to_npz()
    assert [step.train_loss for step in after.steps] == [step.train_loss for step in before.steps]
    press(open_tab(app, TEACH), "lesson_undo")
    assert shown_run(app) == first.id


def test_rerun_of_an_unreadable_lesson_begins_no_other_run(small_run: Run) -> None:
    app = taught_app(small_run)
    lesson = shared.scheduler().run(shown_run(app))
    assert lesson
    assert lesson.path
    (lesson.path / LESSON_NAME).write_bytes(b"x")
    open_tab(app, "Runs")
    message = {"what": "again", "run": lesson.id, "value": component_data(app, "runs_table")["turn"]}
    send(app, "runs_table", "act", message)
    assert shown_run(app) == lesson.id
    (problem,) = (unescape_markdown(warning.value) for warning in app.warning)
    assert (
        problem == f"The run {lesson.id} cannot be read: {LESSON_NAME} is not a lesson: This file contains pickled (object) data."
    )
    assert not shared.scheduler().jobs()


def test_name_of_the_network_that_is_taught_is_plain_text() -> None:
    parent = shared.scheduler().start(SMALL.replace(seed=4))
    wait_until(parent, "done")
    shared.scheduler().store.rename(parent.id, "![x](https://a.example/p.png)")
    app = taught_app(parent)
    headings = [each.value for each in app.markdown if "taught to" in each.value]
    assert len(headings) == 1
    assert "![x](" not in headings[0]
    assert r"a\.example" in headings[0]
