"""The bar of the run: its status in every state, the line beside it, and what its buttons do."""

import logging
import re
from collections.abc import Iterator

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from mnist_fc.config import PRESETS, TrainConfig
from mnist_fc.reading.reader import Reading
from mnist_fc.records import EndRecord, EpochRecord, StepRecord
from mnist_fc.runs.writer import RunFolder
from mnist_fc.server.queue import MAX_PER_SESSION
from mnist_fc.server.run import Run
from mnist_fc.views import controls, drawing
from mnist_fc.views.settings import Settings
from mnist_fc.views.state import networks, shared
from tests.support.jobs import LONG, SHORT
from tests.support.session import (
    State,
    browser_state,
    component_data,
    has_text,
    open_tab,
    opened_app,
    press,
    press_again,
    press_as_of,
    progress_line,
    rerun,
    send,
    shown_config,
    status_html,
    texts,
)
from tests.support.settings import as_query
from tests.support.waiting import wait_for, wait_for_steps, wait_until, wait_until_ended

DIVERGING = PRESETS["fast"].replace(
    optimizer="sgd",
    learning_rate=1.0,
    schedule="constant",
    hidden_sizes=(64,) * 4,
    num_validation=500,
    num_epochs=5,
    batch_size=200,
    label_smoothing=0.0,
    threads=1,
)
"""With a momentum of 0.9 the loss climbs immediately on every machine, whether it overflows or not."""

pytestmark = pytest.mark.usefixtures("own_small_store")


@pytest.fixture(autouse=True)
def _idle(own_small_store: None) -> Iterator[None]:
    """End all jobs after each test."""
    yield
    scheduler = shared.scheduler()
    for job in reversed(scheduler.jobs()):
        scheduler.stop(job)
        wait_until_ended(job)


def address(config: TrainConfig) -> dict[str, str]:
    """Return the parameters of a page with these settings."""
    query = as_query(vars(config))[1:]
    return dict(part.split("=", 1) for part in query.replace("num_epochs", "epochs").split("&"))


def run_of(app: AppTest) -> Run:
    run = shared.scheduler().run(app.session_state["page_address"]["run"])
    assert run
    return run


def status_of(app: AppTest) -> tuple[str, str]:
    """Return the state that programs read, and the line that people read."""
    shown = status_html(app)
    word = re.search("data-state='(.*?)'", shown)
    assert word
    return word[1], re.sub("<.*?>", "", shown)


def table_row(app: AppTest, run: Run) -> dict[str, object]:
    row: dict[str, object]
    (row,) = (row for row in component_data(app, "runs_table")["rows"] if row["id"] == run.id)
    return row


def started(config: TrainConfig = LONG) -> tuple[AppTest, Run]:
    """Press Train on a page with these settings, and wait until the run has taken a step."""
    app = press(opened_app(**address(config)), "train")
    run = run_of(app)
    wait_for_steps(run, 1)
    return app, run


def write_run(end: EndRecord | None, num_steps: int = 25) -> Run:
    """Write a run of the blog's network that was tested after step 20: 11.35%."""
    folder = RunFolder(shared.scheduler().store.path, PRESETS["blog-pytorch"].replace(threads=1))
    for step in range(1, num_steps + 1):
        folder.write(StepRecord(step, 1 + (step > 20), 100 * step, 0.1 * step, 2.3, 0.1, 0.001, (1.0, 1.0)))
        if step == 20:
            folder.write(EpochRecord(20, 1, 2.0, 1000.0, 2.3, 0.1, None, None, 2.3, 0.1135))
    if end:
        folder.write(end)
    folder.close()
    run = shared.scheduler().run(folder.path.name)
    assert run
    return run


# Status


def test_status_and_buttons_follow_a_run_to_its_end() -> None:
    app = opened_app(**address(LONG))
    assert status_of(app) == ("ready", "ready")
    assert progress_line(app) == "Press :material/play_arrow: Train to watch a network learn to read digits."
    app = press(app, "train")
    run = run_of(app)
    wait_for_steps(run, 1)
    rerun(app)
    assert status_of(app) == ("running", f"running, epoch {run.snapshot().steps[-1].epoch} of 100")
    assert app.button(key="train").disabled
    app = press(app, "pause")
    wait_until(run, "paused")
    rerun(app)
    assert status_of(app)[0] == "paused"
    assert re.fullmatch(r"paused, epoch \d+ of 100", status_of(app)[1])
    assert app.button(key="pause").label == "Resume"
    app = press(app, "pause")
    wait_until(run, "running")
    rerun(app)
    assert app.button(key="pause").label == "Pause"
    app = press(app, "stop")
    wait_until_ended(run)
    rerun(app)
    assert status_of(app)[0] == "stopped"
    assert re.fullmatch(r"stopped in epoch \d+ of 100", status_of(app)[1])
    app = press(app, "reset")
    assert status_of(app) == ("ready", "ready")
    assert app.button(key="reset").disabled


def test_finished_run_reads_done_in_header_and_table() -> None:
    app = press(opened_app(**address(SHORT)), "train")
    run = run_of(app)
    wait_until(run, "done")
    open_tab(app, "Runs")
    assert status_of(app) == ("done", "done")
    assert table_row(app, run)["state"] == "done"
    assert app.button(key="pause").disabled


def test_run_that_leaves_the_queue_has_stopped_before_it_began() -> None:
    _, first = started()
    other = press(opened_app(**address(SHORT)), "train")
    assert status_of(other) == ("waiting", "waiting")
    assert progress_line(other).startswith("Next unless others join, about ")
    assert other.button(key="stop").label == "Leave queue"
    press(other, "stop")
    wait_until_ended(run_of(other))
    rerun(other)
    assert status_of(other) == ("stopped", "stopped before it began")
    assert progress_line(other) == "You left the queue."
    assert first.is_active


def test_diverged_reads_alike_in_header_table_diagnosis_and_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("mnist_fc"), "propagate", True)
    app = press(opened_app(**address(DIVERGING)), "train")
    run = run_of(app)
    wait_until_ended(run)
    open_tab(app, "Runs")
    assert status_of(app)[0] == "diverged"
    assert re.fullmatch(r"diverged( in epoch \d of 5)?", status_of(app)[1])
    assert table_row(app, run)["state"] == "diverged"
    assert "diverged" in str(table_row(app, run)["cells"])
    assert re.search(rf"{run.id}.* ends at step \d+, diverged", caplog.text)
    press(app, "cure")
    assert app.button(key="retrain").label == "Retrain"
    press(app, "retrain")
    again = run_of(app)
    assert again.id != run.id
    wait_until(again, "done")
    assert status_of(rerun(app)) == ("done", "done")


def test_cure_stops_the_active_run_and_retrains_once() -> None:
    app, run = started(LONG.replace(learning_rate=1.0, schedule="constant", hidden_sizes=(512, 512)))
    assert run.wait_for(lambda run: len(run.snapshot().steps) > 60 or not run.is_active, 300)
    rerun(app)
    assert has_text(app, "**Training diverged.**")
    assert "**Training diverged**" in progress_line(app)  # the notice may be out of view
    press(app, "cure")
    press(app, "pause")
    wait_until(run, "paused")
    rerun(app)
    assert app.button(key="retrain").label == "Stop and retrain"
    press(app, "retrain")
    wait_until_ended(run)
    assert run.state == "stopped"
    again = run_of(app)
    assert again.id != run.id
    assert again.is_active
    assert {one["state"] for one in component_data(open_tab(app, "Runs"), "runs_table")["rows"] if one["id"] == run.id} == {
        "stopped"
    }


def test_second_press_of_train_starts_nothing() -> None:
    app, run = started()
    number = len(shared.scheduler().jobs())
    press_again(app, "train")
    assert run_of(app) is run
    assert len(shared.scheduler().jobs()) == number


def test_stopped_run_resumes_from_its_last_state() -> None:
    app, run = started()
    press(app, "stop")
    wait_until_ended(run)
    rerun(app)
    stopped = run.snapshot()
    press(app, "pause")
    resumed = run_of(app)
    assert resumed.id == run.id
    wait_for(resumed, lambda: resumed.snapshot().last_step > stopped.last_step)
    steps = [step.step for step in stopped.steps]
    assert [step.step for step in resumed.snapshot().steps][: len(steps)] == steps
    assert status_of(rerun(app))[0] == "running"


def test_run_that_cannot_be_resumed_is_explained() -> None:
    app, run = started()
    press(app, "stop")
    wait_until_ended(run)
    rerun(app)
    assert run.path
    (run.path / "config.json").write_text("no JSON")
    press(app, "pause")
    assert "This run cannot be resumed: " in progress_line(app)
    assert not run_of(app).is_active


@pytest.mark.parametrize("key", ["stop", "reset"])
def test_stop_and_close_end_both_of_the_blogs_programs(key: str) -> None:
    app = open_tab(opened_app(**address(SHORT)), "Runs")
    press(app, "train_blog")
    first, second = (job for job in shared.scheduler().jobs() if isinstance(job, Run))
    assert run_of(app).id == first.id
    press(app, key)
    for run in (first, second):
        wait_until_ended(run)
    rerun(app)
    if key == "stop":
        assert progress_line(app).startswith("Stopped both. ")
        assert status_of(app)[0] == "stopped"
    else:
        assert status_of(app) == ("ready", "ready")
    press(app, "train")
    wait_until(run_of(app), "done")
    assert (first.state, second.has_begun) == ("stopped", False)


def test_person_with_many_runs_is_told_to_wait() -> None:
    app, first = started()
    press(app, "stop")
    wait_until_ended(first)
    scheduler, session_id = shared.scheduler(), first.session_id
    for _ in range(MAX_PER_SESSION):
        scheduler.start(LONG, session_id)
    rerun(app)
    for key, words in (("train", "Press Train again"), ("pause", "Press Resume again")):
        press(app, key)
        assert f"{words} when one of them has ended." in progress_line(app)
        assert run_of(app).id == first.id
    press(open_tab(app, "Runs"), "train_blog")
    assert [warning.value for warning in app.main.warning if "Press Train both again when they have ended." in warning.value]


def test_own_sweep_is_the_status_until_it_ends() -> None:
    _, first = started()
    app = press(open_tab(opened_app(**address(LONG)), "Sweep"), "start_sweep")
    assert status_of(app) == ("waiting", "waiting")
    assert progress_line(app) == "Your sweep is waiting: see the tab **Sweep**."
    shared.scheduler().stop(first)
    sweep = shared.scheduler().sweep
    assert sweep
    wait_for(sweep, lambda: not sweep.is_waiting)
    for tab in ("Sweep", "Gradients"):
        assert status_of(open_tab(app, tab)) == ("running", "running a sweep")
        assert progress_line(app) == "Your sweep is running: see the tab **Sweep**."
    press(open_tab(app, "Sweep"), "stop_sweep")
    wait_until_ended(sweep)
    assert status_of(open_tab(app, "Gradients")) == ("ready", "ready")


# Lines


def test_paused_run_shows_its_last_step_everywhere() -> None:
    app, run = started()
    press(app, "pause")
    wait_until(run, "paused")
    rerun(app)
    step = run.snapshot().last_step
    assert progress_line(app).startswith(f"Step {step:,} of ")
    assert component_data(app, "timeline_slider")["newest"] == step
    assert has_text(app, f"<span class='by'>this run, step {step:,}</span>")


def test_stopped_run_has_one_test_figure_everywhere() -> None:
    run = write_run(EndRecord(25, 2, "stopped", "", 2.5, 2.3, 0.0982))
    app = open_tab(opened_app(run=run.id), "Runs")
    assert status_of(app) == ("stopped", "stopped in epoch 2 of 10")
    assert "Test accuracy **9.82%** after 25 steps" in progress_line(app)
    (test,) = (text for text in texts(app) if "Accuracy" in text and "chart-heading" in text)
    assert "9.82%" in test
    cells = str(table_row(app, run)["cells"])
    assert "9.82%" in cells
    assert "11.35%" not in cells


def test_end_that_was_not_tested_shows_the_last_tested_step() -> None:
    run = write_run(EndRecord(25, 2, "stopped", "", 2.5, None, None))
    assert progress_line(opened_app(run=run.id)) == "Step 25 of 200 · test accuracy **11.35%** after 20 steps"


@pytest.mark.parametrize("message", ["The data is gone.", "The data is gone. Choose other data."])
def test_failed_run_says_why_beside_its_status(message: str) -> None:
    run = write_run(EndRecord(25, 2, "failed", message, 2.5, None, None))
    assert progress_line(opened_app(run=run.id)) == "The data is gone."


def test_interrupted_run_says_where_it_continues() -> None:
    app = opened_app(run=write_run(None).id)
    assert status_of(app) == ("interrupted", "interrupted in epoch 2 of 10")
    assert progress_line(app).startswith("Step 25 of 200. The program ended during this run;")


def test_failed_run_without_steps_says_so() -> None:
    app = opened_app(run=write_run(EndRecord(0, 0, "failed", "It broke.", 0.0, None, None), num_steps=0).id)
    assert status_of(app)[0] == "failed"
    assert progress_line(app) == "It ended before its first step."
    assert len(app.error) == 1
    assert has_text(app, "It broke.")


def test_stopped_run_with_a_message_says_how_to_continue() -> None:
    app = opened_app(run=write_run(EndRecord(25, 2, "stopped", "It was evicted.", 2.5, None, None)).id)
    (info,) = (text for text in texts(app) if "evicted" in text)
    assert info in ("It was evicted. Resume continues it.", "It was evicted. Train starts a new run.")


def test_link_to_a_missing_run_is_reported() -> None:
    app = opened_app(run="2026-01-01-<b>none</b>")
    assert progress_line(app).endswith("There is no run 2026-01-01-<b>none</b> in the store; it may have been deleted.")
    assert status_of(app) == ("ready", "ready")


# The settings of the run


def test_link_applies_its_settings_and_reports_errors() -> None:
    app = opened_app(preset="blog-keras", learning_rate="0.01", epochs="3", dropout="7", colour="red")
    assert has_text(app, "784-500-500-10: 648,010 parameters")
    assert has_text(app, "dropout is '7'; it must be a number from 0 to 0.5. Using 0.")
    assert has_text(app, "colour in the address is not a setting, so it is ignored.")
    assert shown_config(app) == PRESETS["blog-keras"].replace(learning_rate=0.01, num_epochs=3)


def test_link_that_hides_controls_can_train() -> None:
    hidden = "preset,hidden_sizes,seed,num_validation,initialization,threads"
    app = opened_app(**address(SHORT), hide=hidden)
    keys = {str(one.key) for kind in ("selectbox", "select_slider", "number_input") for one in app.sidebar.get(kind)}
    assert "learning_rate" in keys
    assert not keys & {"preset", "num_layers", "size_0", "seed", "num_validation", "initialization", "threads"}
    press(app, "train")
    wait_until(run_of(app), "done")
    assert run_of(app).config == SHORT


def test_changed_learning_rate_is_named_alike_by_header_and_table() -> None:
    app, run = started(PRESETS["blog-keras"].replace(batch_size=8, num_epochs=100, threads=1))
    app.select_slider(key="learning_rate").set_value(0.002)
    rerun(app)
    wait_for(run, lambda: run._steps[-1].learning_rate == 0.002)
    press(app, "stop")
    wait_until_ended(run)
    open_tab(app, "Runs")
    words = "custom, learning rate 0.001 → 0.002"
    assert component_data(app, "timeline_slider")["settings"].endswith(words)
    assert words in str(table_row(app, run)["cells"])
    send(app, "runs_table", "act", {"what": "rename", "run": run.id, "value": "my <b>net</b>"})
    assert component_data(app, "timeline_slider")["name"] == "my <b>net</b>"
    for key, event, value in (
        ("timeline_slider", "use", run.id),
        ("runs_table", "act", {"what": "use", "run": run.id, "value": None}),
    ):
        app.select_slider(key="learning_rate").set_value(1.0)
        rerun(app)
        send(app, key, event, value)
        assert shown_config(app) == run.config.replace(learning_rate=0.002)


def test_header_names_the_run_and_its_settings() -> None:
    app = press(opened_app(**address(SHORT)), "train")
    wait_until(run_of(app), "done")
    data = component_data(rerun(app), "timeline_slider")
    assert (data["name"], data["settings"]) == (run_of(app).id.split("-", 4)[-1], "784-16-10, custom")
    app.select_slider(key="epochs").set_value(100)
    rerun(app)
    send(app, "timeline_slider", "use", run_of(app).id)
    assert shown_config(app) == SHORT


# Looking back


def test_looking_back_shows_the_figures_of_that_moment() -> None:
    app = press(opened_app(**address(SHORT.replace(batch_size=200, num_validation=100))), "train")
    wait_until(run_of(app), "done")
    open_tab(app, "Gradients")
    assert has_text(app, "The gradient of layer 1 is now")

    def headings() -> list[str]:
        return [text for text in texts(app) if "class='chart-heading'" in text]

    def look_at(step: int) -> None:
        send(app, "timeline_slider", "moment", {"step": step, "turn": step})

    at_end = headings()
    assert sum(text.count("test") for text in at_end) >= 2
    look_at(0)
    assert progress_line(app) == "Step 0 of 20"
    assert not [text for text in headings() if "%" in text]
    assert has_text(app, "No step has been taken yet.")
    look_at(5)
    line = re.fullmatch(r"Step 5 of 20 · train accuracy (\d+\.\d\d%) · loss \d\.\d{3}", progress_line(app))
    assert line
    assert any(line[1] in text for text in headings())
    assert not [text for text in headings() if re.search("(validation|test) <b>", text)]
    look_at(10)
    assert status_of(app) == ("done", "done")
    look_at(20)
    assert "Test accuracy" in progress_line(app)
    assert headings() == at_end


def test_chart_caption_matches_the_curves() -> None:
    app = opened_app(**address(SHORT))
    assert has_text(app, "These are the curves of the built-in network's own training, until you train one.")
    press(app, "train")
    wait_until(run_of(app), "done")
    rerun(app)
    (caption,) = (caption.value for caption in app.main.caption if "Train" in caption.value and "Test" in caption.value)
    assert re.search("Train.*Validation.*Test.*500 images", caption)


def test_resume_on_a_second_page_does_not_pause_the_run() -> None:
    app, run = started()
    press(app, "stop")
    wait_until_ended(run)
    first, second = opened_app(run=run.id), opened_app(run=run.id)
    press(first, "pause")
    wait_for_steps(run_of(first), 1)
    assert second.button(key="pause").label == "Resume"
    second.button(key="pause").click()
    rerun(second)
    assert run_of(first).state in ("running", "starting")
    assert second.button(key="pause").label == "Pause"


def test_second_press_on_pause_does_not_resume() -> None:
    app, run = started()
    rerun(app)
    shown = browser_state(app)
    assert app.button(key="pause").label == "Pause"
    press(app, "pause")
    wait_until(run, "paused")
    rerun(app)
    press_as_of(app, "pause", shown)
    assert status_of(rerun(app))[0] == "paused"


def test_second_press_on_resume_does_not_pause() -> None:
    app, run = started()
    press(app, "pause")
    wait_until(run, "paused")
    shown = browser_state(rerun(app))
    assert app.button(key="pause").label == "Resume"
    press(app, "pause")
    wait_until(run, "running")
    rerun(app)
    press_as_of(app, "pause", shown)
    assert status_of(rerun(app))[0] == "running"


def test_resume_pressed_for_another_run_resumes_nothing() -> None:
    app, first = started()
    press(app, "stop")
    wait_until_ended(first)
    shown = browser_state(rerun(app))
    assert app.button(key="pause").label == "Resume"
    _, second = started()
    shared.scheduler().pause(second)
    wait_until(second, "paused")
    app.session_state["page_address"]["run"] = second.id
    rerun(app)
    press_as_of(app, "pause", shown)
    assert second.state == "paused"
    assert first.state == "stopped"


def test_press_on_leave_queue_does_not_stop_a_run_that_has_begun() -> None:
    _, first = started()
    app = press(opened_app(**address(LONG)), "train")
    run = run_of(app)
    assert app.button(key="stop").label == "Leave queue"
    shown = browser_state(app)
    shared.scheduler().stop(first)
    wait_for_steps(run, 1)
    rerun(app)
    assert app.button(key="stop").label == "Stop"
    press_as_of(app, "stop", shown)
    assert run.is_active
    press(app, "stop")
    wait_until_ended(run)


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"pause": ["resume"]}', '{"pause": 1, "stop": null}', "[" * 900])
def test_meanings_that_no_page_shows_do_nothing(text: str) -> None:
    app, run = started()
    rerun(app)
    for key in ("pause", "stop"):
        app.text_input(key="run_bar_meanings").set_value(text)
        press_as_of(app, key, browser_state(app))
    assert run.state == "running"


def test_only_the_last_weights_of_a_finished_run_are_final() -> None:
    app, run = started()
    press(app, "stop")
    wait_until_ended(run)
    assert not component_data(rerun(app), "timeline_slider")["isDone"]
    app = press(opened_app(**address(SHORT)), "train")
    wait_until(run_of(app), "done")
    assert component_data(rerun(app), "timeline_slider")["isDone"]


def test_slider_names_the_step_of_the_weights_that_read(monkeypatch: pytest.MonkeyPatch) -> None:
    app, run = started()
    read = drawing.read

    def newer_weights_meanwhile(network: networks.Network) -> list[Reading]:
        wait_for(run, lambda: (weights := run.snapshot().weights) and weights.step > network.step)
        return read(network)

    monkeypatch.setattr(drawing, "read", newer_weights_meanwhile)
    rerun(app)
    assert has_text(app, f"this run, step {component_data(app, 'timeline_slider')['newest']:,}")


def test_weights_that_are_gone_cannot_be_looked_back_at() -> None:
    app = press(opened_app(**address(SHORT)), "train")
    run = run_of(app)
    wait_until(run, "done")
    rerun(app)
    run.snapshot().kept[5].unlink()
    send(app, "timeline_slider", "moment", {"step": 5, "turn": 1})
    assert any(warning.value.startswith("The weights of step 5 cannot be shown: ") for warning in app.warning)
    assert "Test accuracy" in progress_line(app), "the newest weights are shown"


# What the side panel changes in a run


def test_detached_toggle_applies_to_the_active_run() -> None:
    app, run = started()
    assert not run.detached
    for is_on in (True, False):
        app.toggle(key="detached").set_value(is_on)
        rerun(app)
        assert run.detached is is_on


def test_setting_out_of_range_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    state = State(settings=Settings.of(SHORT))
    monkeypatch.setattr(st, "session_state", state)
    for key, value in (("epochs", 10**9), ("learning_rate", 7.0), ("activation", "step"), ("size_0", -1)):
        controls._choose(key, value)
        assert state["settings"].config == SHORT
