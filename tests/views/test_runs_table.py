"""The table of runs and the blog's table without a browser: which runs they show, their figures, and what the buttons do."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from mnist_fc.config import PRESETS, TrainConfig
from mnist_fc.records import EndRecord, EpochRecord, StepRecord
from mnist_fc.runs.settings import RunSettings
from mnist_fc.runs.store import RunStore
from mnist_fc.runs.writer import RunFolder
from mnist_fc.server.run import Run
from mnist_fc.views.state import shared
from tests.support.session import State, new_app, press_again, set_tab

CONFIG = TrainConfig(hidden_sizes=(8,), batch_size=100, num_epochs=2, num_validation=0, threads=1)


@pytest.fixture(scope="module")
def views(own_store: None) -> SimpleNamespace:
    """What can be imported only after Streamlit has run the page, since the canvas is a component."""
    assert not new_app().run().exception
    from mnist_fc.views import runs, runs_table

    return SimpleNamespace(runs=runs, runs_table=runs_table, ListedRun=runs_table.ListedRun)


@pytest.fixture
def store(own_store: None) -> Iterator[RunStore]:
    """The server's store, empty before and after."""
    scheduler = shared.scheduler()
    yield scheduler.store
    for job in reversed(scheduler.jobs()):
        scheduler.stop(job)
        assert not isinstance(job, Run) or job.wait_for(lambda run: not run.is_active, 300)
    for run in scheduler.store.runs():
        scheduler.store.delete(run.id)
        scheduler.evict(run.id)


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> State:
    """The state of a session that has no page."""
    made = State()
    monkeypatch.setattr(st, "session_state", made)
    return made


def write_run(store: RunStore, config: TrainConfig = CONFIG, learning_rate: float = 0.001) -> str:
    """Write a run of two epochs of ten steps: 2,000 images in 0.4 seconds."""
    folder = RunFolder(store.path, config)
    for step in range(1, 21):
        folder.write(StepRecord(step, 1 + (step > 10), 100 * step, 0.02 * step, 0.5, 0.9, learning_rate, (1.0, 1.0)))
        if step % 10 == 0:
            folder.write(EpochRecord(step, step // 10, 0.2, 99_999.0, 0.5, 0.9, None, None, 0.4, 0.91))
    folder.write(EndRecord(20, 2, "done", "", 0.4, 0.4, 0.91))
    return folder.path.name


def act(views: SimpleNamespace, state: State, what: str, run_id: str, value: Any = None) -> None:
    """Send what the browser sends when a button of the table is pressed."""
    state["runs_table"] = {"act": {"what": what, "run": run_id, "value": value}}
    views.runs_table._act()


def listed(views: SimpleNamespace, run_id: str) -> Any:
    return next(run for run in views.runs_table.listed_runs(shared.scheduler()) if run.id == run_id)


def open_runs() -> AppTest:
    app = new_app()
    set_tab(app, "Runs")
    assert not app.run().exception
    return app


def blog_table(app: AppTest) -> str:
    return next(str(html.proto.body) for html in app.get("html") if "data-program" in str(html.proto.body))


# What is shown


@pytest.mark.integration
def test_waiting_second_program_is_in_both_tables(views: SimpleNamespace, store: RunStore) -> None:
    app = open_runs()
    app.button(key="train_blog").click().run()
    first, second = (job for job in shared.scheduler().jobs() if isinstance(job, Run))
    assert (listed(views, second.id).word, listed(views, second.id).stored) == ("waiting", None)
    assert views.runs_table.listed_runs(shared.scheduler())[0].id == second.id
    assert "<td>waiting</td>" in blog_table(app)
    assert app.button(key="train_blog").disabled
    press_again(app, "train_blog")
    assert shared.scheduler().jobs() == [first, second], "the second click of a double click"


def test_run_whose_learning_rate_was_changed_is_not_the_blogs(views: SimpleNamespace, store: RunStore) -> None:
    config = PRESETS["blog-keras"].replace(threads=1, num_epochs=2)
    assert RunSettings(config, (0.001,)).preset == "custom"
    changed = write_run(store, PRESETS["blog-pytorch"].replace(threads=1), learning_rate=0.003)
    assert listed(views, changed).settings.in_words == "blog-pytorch, learning rate 0.001 → 0.003"
    assert blog_table(open_runs()).count("not trained yet") == 2
    write_run(store, PRESETS["blog-pytorch"].replace(threads=1))
    assert blog_table(open_runs()).count("not trained yet") == 1


def test_speed_is_images_over_the_time_shown(views: SimpleNamespace, store: RunStore) -> None:
    run_id = write_run(store)
    assert views.runs_table._figures(listed(views, run_id)) == ["done", "", "91.00%", "0.4 s", "5,000"]


def test_run_in_its_first_epoch_has_time_and_speed(views: SimpleNamespace, store: RunStore) -> None:
    step = StepRecord(5, 1, 500, 0.5, 2.3, 0.1, 0.001, (1.0, 1.0))
    running = views.ListedRun("a", "a", RunSettings(CONFIG, (0.001,)), "running", (step,), (), None)
    assert views.runs_table._figures(running) == ["running, 0 of 2 epochs done", "", "", "0.5 s", "1,000"]
    stopped = EndRecord(9, 1, "stopped", "", 0.75, None, None)
    assert views.runs_table._figures(views.ListedRun("a", "a", running.settings, "stopped", (step,), (), stopped))[3:] == [
        "0.8 s",
        "1,200",
    ]


# What the buttons do


def test_both_ways_to_copy_a_runs_settings_give_the_same(views: SimpleNamespace, store: RunStore, state: State) -> None:
    run_id = write_run(store, learning_rate=0.003)
    shown = shared.scheduler().run(run_id)
    assert shown
    act(views, state, "use", run_id)
    assert state["settings"].config == shown.snapshot().settings.latest == CONFIG.replace(learning_rate=0.003)


def test_second_click_on_rerun_trains_nothing(views: SimpleNamespace, store: RunStore, state: State) -> None:
    run_id = write_run(store)
    for _ in range(2):
        act(views, state, "again", run_id, value=0)
    assert len(shared.scheduler().jobs()) <= 1
    assert len(store.runs()) <= 2
    assert state["runs_turn"] == 1
    act(views, state, "again", run_id, value=1)
    assert state["runs_turn"] == 2


@pytest.mark.parametrize("value", [True, False])
def test_pin_sent_twice_is_the_same_as_once(views: SimpleNamespace, store: RunStore, state: State, value: bool) -> None:
    run_id = write_run(store)
    for _ in range(2):
        act(views, state, "pin", run_id, value)
    assert store.run(run_id).metadata.is_pinned is value


def test_deleted_runs_keep_their_rows_names_and_colors_until_undo(views: SimpleNamespace, store: RunStore, state: State) -> None:
    ids = [write_run(store) for _ in range(3)]
    act(views, state, "rename", ids[0], "my net")
    before = views.runs_table.listed_runs(shared.scheduler())
    colors = dict(views.runs._colors(before))
    for run_id in ids[:2]:
        act(views, state, "delete", run_id)
    after = views.runs_table.listed_runs(shared.scheduler())
    assert [run.id for run in after] == [run.id for run in before]
    assert {run.name for run in after if run.is_deleted and run.id in ids} == {"my net", ids[1]}
    assert views.runs._colors(after) == colors
    for run_id in ids[:2]:
        act(views, state, "undelete", run_id)
    assert views.runs_table.listed_runs(shared.scheduler()) == before
    assert views.runs._colors(before) == colors


def test_deleted_runs_are_gone_when_the_next_run_begins(views: SimpleNamespace, store: RunStore, state: State) -> None:
    run_id = write_run(store)
    act(views, state, "delete", run_id)
    store.create(CONFIG, run_id=store.new_id(CONFIG, taken=[run_id])).close()  # a new run may get the id of a deleted one
    assert run_id not in [run.id for run in views.runs_table.listed_runs(shared.scheduler())]
    act(views, state, "undelete", run_id)
    assert "another run has begun since" in state["runs_problem"]
