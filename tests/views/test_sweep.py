"""Sweeps from the page, by its script alone and on a real training process: start, queue, follow and stop them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from streamlit.testing.v1 import AppTest

from mnist_fc.config import TrainConfig
from mnist_fc.server.queue import MAX_PER_SESSION
from mnist_fc.server.task import Sweep
from mnist_fc.sweep.space import SWEEPS_VARIABLE, Interval, Space, SweepConfig, Values, best_trial
from mnist_fc.sweep.storage import default_storage
from mnist_fc.sweep.study import base_and_space, trials
from mnist_fc.views import studies, sweep
from mnist_fc.views.state import shared, throttle
from tests.support.jobs import end_slice
from tests.support.processes import suspended
from tests.support.session import SESSION_ID, State, opened_tab, press, set_tab, shown_config
from tests.support.sweep_tab import reread, trial_rows, trials_note
from tests.support.sweeps import RATES, create_study, stored_trial
from tests.support.waiting import wait_for, wait_until, wait_until_ended

pytestmark = pytest.mark.usefixtures("own_small_store")

SHORT = {"preset": "fast", "epochs": "1", "num_validation": "500", "hidden_sizes": "16", "threads": "1"}
LONG = SHORT | {"epochs": "100", "batch_size": "8"}
LONG_CONFIG = TrainConfig(hidden_sizes=(512, 256), batch_size=8, num_epochs=100, num_validation=500, threads=1)


@pytest.fixture(autouse=True)
def _own_storage(own_small_store: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give the test a storage of its own; stop what still trains at its end, and forget the newest sweep."""
    monkeypatch.setenv(SWEEPS_VARIABLE, default_storage(tmp_path))
    throttle.results.clear()
    yield
    scheduler = shared.scheduler()
    for job in reversed(scheduler.jobs()):
        scheduler.stop(job)
        wait_until_ended(job)
    scheduler.sweep = None


@pytest.fixture
def page() -> AppTest:
    """Open the form beside settings with which a trial takes a moment."""
    return opened_tab("Sweep", **SHORT)


@pytest.fixture
def long_page() -> AppTest:
    """Open the form beside settings with which a trial takes long."""
    page = opened_tab("Sweep", **LONG)
    page.text_input(key="sweep_hidden_sizes").set_value("512-256, 500-300").run()
    return page


def enter(page: AppTest, **values: Any) -> None:
    """Fill in fields of the form by their keys, without "sweep_"."""
    for name, value in values.items():
        kind = page.text_input if isinstance(value, str) else page.number_input
        kind(key=f"sweep_{name}").set_value(value).run()
    assert not page.exception


def newest() -> Sweep:
    started = shared.scheduler().sweep
    assert started
    return started


def start_others(study: str) -> Sweep:
    """Start another person's sweep."""
    config = SweepConfig(LONG_CONFIG, RATES, study, studies.storage())
    started = shared.scheduler().start_sweep(config, "ann")
    wait_for(started, lambda: started._records)
    return started


def buttons(page: AppTest) -> set[str]:
    return {str(button.key) for button in page.main.button if str(button.key).endswith("_sweep")}


def heading(page: AppTest) -> str:
    """Return the heading above the active sweep."""
    (found,) = [one.value for one in page.main.markdown if one.value.endswith((" running", " waiting"))]
    return str(found)


def progress(page: AppTest) -> str:
    """Return the line on the sweep's progress bar, below that of runs."""
    _, bar = page.main.progress
    return str(bar.text)


# From the form to the best settings


@pytest.mark.slow
def test_sweep_of_the_form_ends_with_its_best_settings_in_the_panel(page: AppTest) -> None:
    page.number_input(key="seed").set_value(7).run()
    enter(page, hidden_sizes="48, 64-32", runs=2, name=" short ")
    press(page, "start_sweep")
    wait_until_ended(newest())
    reread(page)
    assert newest().problem == ""
    assert buttons(page) == {"start_sweep"}
    base, space = base_and_space(studies.storage(), "short")
    assert space == {"hidden_sizes": Values(((48,), (64, 32))), "learning_rate": Interval(1e-4, 3e-2)}
    assert base == shown_config(page).replace(threads=base.threads)
    found = trials(studies.storage(), "short")
    assert [trial.state for trial in found] == ["done", "done"]
    assert page.selectbox(key="sweep_study").value == "short"
    first = best_trial(found)
    assert first
    assert first.val_accuracy == max(trial.val_accuracy or 0 for trial in found)
    row = trial_rows(page)[0]
    assert row[:2] == [f"{first.number} ★", f"{first.val_accuracy:.2%}"]
    assert row[-3:] == ["1 / 1", f"{first.seconds:.1f}", "done"]
    assert trials_note(page).startswith("2 done. The other settings are those of the preset fast")
    press(page, "use_trial")
    used = shown_config(page)
    assert (used.hidden_sizes, used.learning_rate) == (first.settings["hidden_sizes"], first.settings["learning_rate"])
    assert used.seed == 7
    press(page, "train")
    run = shared.scheduler().run(page.session_state["page_address"]["run"])
    assert run
    wait_until(run, "done")
    assert not page.run().exception
    assert "Test accuracy" in page.main.progress[0].text


def test_study_without_a_name_gets_the_next_number(long_page: AppTest) -> None:
    for name in ("sweep 1", "sweep 3"):
        create_study(studies.storage(), name, RATES)
    press(long_page, "start_sweep")
    assert newest().config.study == "sweep 2"
    assert newest().config.seed == shown_config(long_page).seed


def test_every_kind_of_field_can_be_varied(page: AppTest) -> None:
    page.multiselect(key="sweep_fields").set_value(["batch_size", "activation", "dropout"]).run()
    page.multiselect(key="sweep_activation").set_value(["relu", "gelu"]).run()
    page.select_slider(key="sweep_batch_size").set_range(64, 256).run()
    enter(page, minutes=5)
    press(page, "start_sweep")
    expected: Space = {"activation": Values(("relu", "gelu")), "dropout": Interval(0.0, 0.5), "batch_size": Interval(64, 256)}
    assert newest().config.space == expected
    assert newest().config.minutes == 5


def test_nothing_to_vary_is_reported(page: AppTest) -> None:
    page.multiselect(key="sweep_fields").set_value([]).run()
    (warning,) = page.main.warning
    assert "nothing to vary" in warning.value
    press(page, "start_sweep")
    assert shared.scheduler().sweep is None


def test_detached_session_detaches_its_sweep(long_page: AppTest) -> None:
    long_page.toggle(key="detached").set_value(True).run()
    press(long_page, "start_sweep")
    assert newest().detached


# What prevents a sweep


def test_study_with_another_search_space_is_reported(page: AppTest) -> None:
    name = "<b>another's</b> *study* & more"
    create_study(studies.storage(), name, {"hidden_sizes": Values(((16,), (32, 16))), "batch_size": Interval(32, 256)})
    enter(page, name=name)
    press(page, "start_sweep")
    wait_until_ended(newest())
    reread(page)
    (error,) = page.main.error
    shown = re.sub(r"\\([^\w\s]|_)", r"\1", error.value)
    assert shown == f"The study {name} varies hidden_sizes=16,32-16 batch_size=32..256; to vary anything else, name a new study."
    assert "<b>" not in error.value
    assert buttons(page) == {"start_sweep"}


def test_unreadable_storage_starts_nothing(page: AppTest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"not a database" * 100)
    monkeypatch.setenv(SWEEPS_VARIABLE, f"sqlite:///{damaged}")
    press(page, "start_sweep")
    assert shared.scheduler().sweep is None
    (warning,) = page.main.warning
    assert warning.value.startswith("The storage ")


def test_session_with_too_many_jobs_cannot_start_a_sweep(page: AppTest) -> None:
    for _ in range(MAX_PER_SESSION):
        shared.scheduler().start(LONG_CONFIG, SESSION_ID)
    press(page, "start_sweep")
    (warning,) = page.main.warning
    assert warning.value.endswith("Press Start sweep again later.")
    assert shared.scheduler().sweep is None


# While it is active


def test_active_sweep_shows_its_progress_until_it_is_stopped(long_page: AppTest) -> None:
    enter(long_page, name="to be *stopped*", runs=3, minutes=60)
    with suspended(shared.scheduler().process_ids[0]):
        press(long_page, "start_sweep")
        wait_for(newest(), lambda: not newest().is_waiting)
        reread(long_page)
        assert heading(long_page) == "#### Your sweep is running"
        assert progress(long_page) == r"**to be \*stopped\***: starting."
        assert buttons(long_page) == {"stop_sweep"}
        assert long_page.main.progress[0].text == "Your sweep is running: see the tab **Sweep**."
    wait_for(newest(), lambda: newest()._records and newest()._records[-1].epoch > 1)
    with suspended(shared.scheduler().process_ids[0]):
        reread(long_page)
        epoch = newest().records()[-1].epoch
        within = "0 of 3 trials, at most 60 minutes; trial 0: epoch"
        assert progress(long_page) == rf"**to be \*stopped\***: {within} {epoch} of 100"
        assert long_page.selectbox(key="sweep_study").value == "to be *stopped*"
    press(long_page, "stop_sweep")
    wait_until_ended(newest())
    reread(long_page)
    assert buttons(long_page) == {"start_sweep"}
    assert trial_rows(long_page)[0][-1] == "stopped"
    assert {trial.state for trial in trials(studies.storage(), "to be *stopped*")} == {"failed"}
    assert not long_page.main.error


def test_queued_sweep_can_leave_and_keeps_the_form(long_page: AppTest) -> None:
    run = shared.scheduler().start(LONG_CONFIG, "ann")
    wait_until(run, "running")
    enter(long_page, hidden_sizes="40, 24")
    press(long_page, "start_sweep")
    assert heading(long_page) == "#### Your sweep is waiting"
    assert re.search(
        r": (you're next|next unless others join), about \d+ (s|min) until it starts\. Starts automatically\.$",
        progress(long_page),
    )
    press(long_page, "stop_sweep")
    assert not newest().is_active
    assert buttons(long_page) == {"start_sweep"}
    assert long_page.text_input(key="sweep_hidden_sizes").value == "40, 24"
    for tab in ("Inside", "Sweep"):
        set_tab(long_page, tab)
        assert not long_page.run().exception
    assert long_page.text_input(key="sweep_hidden_sizes").value == "40, 24"


def test_empty_time_limit_says_that_there_is_none(long_page: AppTest) -> None:
    limit = long_page.number_input(key="sweep_minutes")
    assert (limit.value, limit.placeholder) == (None, "no limit")
    press(long_page, "start_sweep")
    assert newest().config.minutes is None


def test_trial_of_a_waiting_sweep_is_waiting_too(long_page: AppTest) -> None:
    press(long_page, "start_sweep")
    wait_for(newest(), lambda: newest()._records)
    reread(long_page)
    assert (heading(long_page), trial_rows(long_page)[0][-1]) == ("#### Your sweep is running", "running")
    run = shared.scheduler().start(LONG_CONFIG, "ann")
    end_slice(shared.scheduler())
    wait_until(run, "running")
    reread(long_page)
    assert (heading(long_page), trial_rows(long_page)[0][-1]) == ("#### Your sweep is waiting", "waiting")
    assert trials_note(long_page).startswith("1 waiting. ")


def test_another_persons_sweep_is_visible_but_not_stoppable(page: AppTest) -> None:
    others = start_others("another's")
    reread(page)
    assert heading(page) == "#### Another person's sweep is running"
    assert buttons(page) == set()
    assert "One sweep runs at a time. Yours can start when this one has ended." in [one.value for one in page.main.caption]
    owner = opened_tab("Sweep", sweep=others.id)
    assert heading(owner) == "#### Your sweep is running"
    press(owner, "stop_sweep")
    wait_until_ended(others)
    reread(page)
    assert buttons(page) == {"start_sweep"}


def test_reload_after_start_returns_to_the_own_sweep(long_page: AppTest) -> None:
    press(long_page, "start_sweep")
    assert long_page.session_state["page_address"]["sweep"] == newest().id


def test_second_click_shows_the_sweep_of_another_person(page: AppTest) -> None:
    others = start_others("meanwhile")
    press(page, "start_sweep")
    assert newest() is others
    assert heading(page) == "#### Another person's sweep is running"
    assert not page.main.warning


def test_stop_does_nothing_to_the_next_persons_sweep(long_page: AppTest) -> None:
    press(long_page, "start_sweep")
    own = newest()
    shared.scheduler().stop(own)
    wait_until_ended(own)
    others = start_others("the next")
    press(long_page, "stop_sweep")
    assert others.is_active
    assert others.state != "stopping"


# How often it is redrawn


def test_tab_is_redrawn_often_only_while_trials_are_to_come(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamlit.session_state", State())
    monkeypatch.setattr("mnist_fc.views.state.pace.num_present", lambda: 1)  # no server counts the pages here
    assert sweep.tick_seconds() == sweep.REST_SECONDS
    others = start_others("ticking")
    assert sweep.tick_seconds() < sweep.REST_SECONDS
    shared.scheduler().stop(others)
    wait_until_ended(others)
    throttle.results.clear()
    assert sweep.tick_seconds() == sweep.REST_SECONDS
    create_study(studies.storage(), "of another process", RATES, [stored_trial(RATES, state=TrialState.RUNNING)])
    throttle.results.clear()
    assert sweep.tick_seconds() < sweep.REST_SECONDS
