"""The tab Runs by the page's script: what its buttons do, the curves of the ticked runs, and the messages below the table."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from mnist_fc.config import PRESETS, TrainConfig
from mnist_fc.records import EndRecord, EpochRecord, StepRecord
from mnist_fc.runs.writer import RunFolder
from mnist_fc.server.run import Run
from mnist_fc.views import notices
from mnist_fc.views.state import shared
from tests.support.jobs import LONG, SHORT
from tests.support.session import (
    component_data,
    has_text,
    open_tab,
    opened_app,
    press,
    rerun,
    send,
    shown_config,
    status_html,
    texts,
)
from tests.support.waiting import wait_until, wait_until_ended

pytestmark = pytest.mark.usefixtures("own_small_store")


@pytest.fixture(autouse=True)
def _empty_store(own_small_store: None) -> Iterator[None]:
    """End all jobs and remove all runs after each test."""
    yield
    scheduler = shared.scheduler()
    for job in reversed(scheduler.jobs()):
        scheduler.stop(job)
        wait_until_ended(job)
    for run in scheduler.store.runs():
        scheduler.evict(run.id)
    shutil.rmtree(scheduler.store.path, ignore_errors=True)  # deleted runs, too, which the table still shows
    notices._removed_by.cache_clear()


def write_run(config: TrainConfig = SHORT, accuracy: float = 0.9) -> str:
    """Write a run of two epochs of ten steps in two seconds, and return its id."""
    store = shared.scheduler().store
    folder = RunFolder(store.path, config, number=1 + len(store.runs()))
    for step in range(1, 21):
        folder.write(StepRecord(step, 1 + (step > 10), 64 * step, 0.1 * step, 2 / step, 0.8, config.learning_rate, (1.0, 1.0)))
        if step % 10 == 0:
            folder.write(EpochRecord(step, step // 10, 0.1 * step, 640.0, 0.5, 0.8, 0.4, accuracy - 0.01, None, None))
    folder.write(EndRecord(20, 2, "done", "", 2.0, 0.3, accuracy))
    folder.close()
    return folder.path.name


def open_runs(**query: str) -> AppTest:
    return open_tab(opened_app(**query), "Runs")


def rows(app: AppTest) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = component_data(app, "runs_table")["rows"]
    return shown


def row(app: AppTest, run_id: str) -> dict[str, Any]:
    return next(row for row in rows(app) if row["id"] == run_id)


def act(app: AppTest, what: str, run_id: str, value: object = None) -> AppTest:
    return send(app, "runs_table", "act", {"what": what, "run": run_id, "value": value})


def choose(app: AppTest, key: str, option: str) -> AppTest:
    app.segmented_control(key=key).set_value(option)
    return rerun(app)


# The table


def test_table_shows_only_settings_that_differ() -> None:
    first, second = write_run(SHORT.replace(learning_rate=0.03)), write_run(SHORT.replace(learning_rate=0.001), 0.95)
    app = open_runs()
    columns = component_data(app, "runs_table")["columns"]
    assert columns[:6] == ["state", "validation", "test", "time", "images/s", "settings"]
    assert columns[6:] == ["learning rate"]
    assert row(app, second)["cells"] == ["done", "94.00%", "95.00%", "2.0 s", "640", "custom", "0.001"]
    assert row(app, first)["cells"][-1] == "0.03"
    assert [one["id"] for one in rows(app)] == [second, first]


def test_empty_table_says_how_to_begin() -> None:
    assert has_text(open_runs(), "There are no runs yet. Press Train, and the run appears here.")


def test_first_thirty_runs_are_listed_until_all_are_asked_for() -> None:
    for _ in range(31):
        write_run()
    app = open_runs()
    assert len(rows(app)) == 30
    app.toggle(key="all_runs").set_value(True)
    assert len(rows(rerun(app))) == 31


def test_unreadable_run_is_reported_below_the_table() -> None:
    write_run()
    damaged = shared.scheduler().store.path / write_run()
    (damaged / "config.json").write_text("no JSON")
    app = open_runs()
    assert damaged.name not in [one["id"] for one in rows(app)]
    assert has_text(app, "config.json")


def test_nearly_full_store_names_the_oldest_unpinned_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    store = shared.scheduler().store
    oldest, newest = write_run(), write_run()
    monkeypatch.setattr(store, "limit", 1.01 * sum(run.num_bytes for run in store.runs()))
    app = open_runs()
    assert has_text(app, f"The first to be removed for room: {oldest}, {newest}.")
    assert has_text(app, "The store is full: the next run will remove the oldest, **")
    for run_id in (oldest, newest):
        act(app, "pin", run_id, True)
    assert has_text(app, "The first to be removed for room: none, all are pinned.")
    notices._removed_by.cache_clear()
    assert has_text(rerun(app), "The next run will not be kept on disk: ")


# Its buttons


def test_run_can_be_renamed_pinned_deleted_and_restored() -> None:
    run_id = write_run()
    app = open_runs(run=run_id)
    evil = "<img src=x onerror=alert(1)> **bold**"
    act(app, "rename", run_id, evil)
    assert row(app, run_id)["name"] == evil
    assert not [html for html in app.get("html") if "<img src=x" in html.proto.body]
    act(app, "pin", run_id, True)
    again = open_runs(run=run_id)
    assert (row(again, run_id)["name"], row(again, run_id)["isPinned"]) == (evil, True)
    act(app, "delete", run_id)
    assert (row(app, run_id)["isDeleted"], row(app, run_id)["name"]) == (True, evil)
    assert "data-state='ready'" in status_html(app)
    act(app, "undelete", run_id)
    assert (row(app, run_id)["isDeleted"], row(app, run_id)["isWatched"]) == (False, True)
    assert row(app, run_id)["color"]
    assert "data-state='done'" in status_html(app)
    press(app, "reset")
    act(app, "open", run_id)
    assert "data-state='done'" in status_html(app)
    act(app, "rename", run_id, run_id)
    assert row(app, run_id)["name"] == run_id


def test_active_run_cannot_be_deleted() -> None:
    app = open_runs()
    run = shared.scheduler().start(LONG)
    wait_until(run, "running")
    act(rerun(app), "delete", run.id)
    assert has_text(app, "is running or waiting; stop it first.")
    assert run.is_active


def test_run_is_trained_again_with_its_settings() -> None:
    config = SHORT.replace(dropout=0.4, seed=7)
    first = shared.scheduler().start(config)
    wait_until(first, "done")
    app = open_runs(preset="best")
    act(app, "again", first.id, component_data(app, "runs_table")["turn"])
    assert shown_config(app) == config
    again = shared.scheduler().run(app.session_state["page_address"]["run"])
    assert again
    wait_until(again, "done")
    rerun(app)
    assert row(app, again.id)["cells"][1:3] == row(app, first.id)["cells"][1:3]
    assert [one["id"] for one in rows(app)] == [again.id, first.id]


def test_same_seed_starts_with_the_same_weights() -> None:
    folders: list[Path] = []
    for learning_rate in (0.03, 0.001):
        run = shared.scheduler().start(SHORT.replace(learning_rate=learning_rate))
        wait_until(run, "done")
        assert run.path
        folders.append(run.path)
    assert len({(folder / "step-000000.ckpt").read_bytes() for folder in folders}) == 1
    assert len({(folder / "model.ckpt").read_bytes() for folder in folders}) == 2


GARBAGE: list[object] = [
    *("x", None, True, 1e300, [], {}, {"what": "delete"}, {"what": "delete", "run": 5, "value": None}),
    *({"what": "delete", "run": "../..", "value": None}, {"what": "rename", "run": "x", "value": {}}),
]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_forged_message_changes_nothing(garbage: object) -> None:
    run_id = write_run()
    app = open_runs()
    before = rows(app)
    send(app, "runs_table", "act", garbage)
    assert rows(app) == before
    is_well_formed = isinstance(garbage, dict) and isinstance(garbage.get("run"), str)
    assert has_text(app, "There is no such run in the store.") == is_well_formed
    act(app, "pin", run_id, True)
    assert row(app, run_id)["isPinned"]


# Curves


def test_curves_of_ticked_runs_are_compared() -> None:
    ids = [write_run(), write_run(SHORT.replace(learning_rate=0.03))]
    app = open_runs()

    def chart() -> dict[str, Any]:
        data: dict[str, Any] = component_data(app, "compare_curves")
        return data

    assert chart()["label"] == "train loss over step of 2 runs"
    for key, option in (("compare_what", "accuracy"), ("compare_of", "test"), ("compare_over", "seconds")):
        choose(app, key, option)
    assert chart()["label"] == "test accuracy over seconds of 2 runs"
    choose(app, "compare_of", "validation")
    assert chart()["label"] == "validation accuracy over seconds of 2 runs"
    act(app, "show", ids[1], False)
    assert chart()["label"] == "validation accuracy over seconds of 1 runs"
    act(app, "show", ids[0], False)
    assert has_text(app, "Tick runs in the table to see their curves here.")
    act(app, "show", ids[0], True)
    act(app, "delete", ids[0])
    assert has_text(app, f"{ids[0]} (deleted)")
    assert has_text(app, "None of these runs has such figures.")


def test_run_trained_while_another_tab_was_open_is_compared() -> None:
    write_run()
    app = open_tab(open_runs(), "Gradients")
    app.session_state["page_address"]["run"] = newest = write_run(SHORT.replace(learning_rate=0.03))
    open_tab(app, "Runs")
    assert rows(app)[0]["id"] == newest
    assert rows(app)[0]["color"]
    assert component_data(app, "compare_curves")["label"].endswith("of 2 runs")


# The blog's programs


def blog_rows(app: AppTest) -> list[list[str]]:
    (table,) = (text for text in texts(app) if "data-program" in text)
    return [re.findall("<td>(.*?)</td>", part) for part in table.split("<tr data-program")[1:]]


def test_blog_programs_train_in_sequence_and_fill_the_table() -> None:
    app = open_runs(preset="fast", threads="1", seed="3")
    keras, pytorch = blog_rows(app)
    assert keras == ["Keras", "784-500-500-10", "97.7%", "not trained yet", "", ""]
    assert pytorch == ["PyTorch", "784-500-10", "not published", "not trained yet", "", ""]
    press(app, "train_blog")
    runs = [job for job in shared.scheduler().jobs() if isinstance(job, Run)]
    assert [run.config for run in runs] == [PRESETS[name].replace(threads=1, seed=3) for name in ("blog-keras", "blog-pytorch")]
    for run in runs:
        wait_until(run, "done")
    rerun(app)
    for cells, run in zip(blog_rows(app), runs, strict=True):
        end = run.snapshot().end
        assert end
        assert cells[3:] == [f"{end.test_accuracy:.2%}", f"{end.train_seconds:.1f} s", f"{end.train_seconds / 10:.2f} s"]
    assert app.session_state["page_address"]["run"] == runs[1].id
