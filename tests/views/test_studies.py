"""The studies that the page offers, by its script alone: which is shown, and how its trials follow storage and sweep."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest

from mnist_fc.data.mnist import Mnist
from mnist_fc.server.task import Sweep
from mnist_fc.sweep.errors import SweepError
from mnist_fc.sweep.search import sweep as search
from mnist_fc.sweep.space import SWEEPS_VARIABLE, Interval
from mnist_fc.sweep.storage import default_storage
from mnist_fc.views import studies
from mnist_fc.views.state import shared, throttle
from tests.support.processes import kill, suspended
from tests.support.session import opened_tab
from tests.support.sweep_tab import reread, trial_rows
from tests.support.sweeps import BASE, RATES, config_for, create_study, load_study, stored_trial
from tests.support.waiting import wait_for, wait_until_ended

pytestmark = pytest.mark.usefixtures("own_small_store")


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the storage of this test alone, which the page reads."""
    address = default_storage(tmp_path)
    monkeypatch.setenv(SWEEPS_VARIABLE, address)
    throttle.results.clear()
    return address


@pytest.fixture
def sweep(storage: str) -> Iterator[Sweep]:
    """Run a sweep on the server whose trials take long, until its first epoch is over."""
    opened_tab("Sweep")  # the scheduler belongs to Streamlit's runtime
    base = BASE.replace(hidden_sizes=(512, 256), batch_size=8, num_epochs=100)
    started = shared.scheduler().start_sweep(config_for(storage, study="own", base=base), "ann")
    wait_for(started, lambda: started._records and started._records[-1].epoch > 0)
    yield started
    shared.scheduler().stop(started)
    wait_until_ended(started)


# Which study is shown


def test_newest_study_is_first_and_shown(storage: str) -> None:
    for name in ("older", "newer"):
        create_study(storage, name, RATES)
    page = opened_tab("Sweep")
    assert page.selectbox(key="sweep_study").options == ["newer", "older"]
    assert page.selectbox(key="sweep_study").value == "newer"


def test_chosen_study_is_shown_until_it_is_deleted(storage: str) -> None:
    for name in ("older", "newer"):
        create_study(storage, name, RATES)
    page = opened_tab("Sweep")
    page.selectbox(key="sweep_study").select("older").run()
    create_study(storage, "newest", RATES)
    reread(page)
    assert page.selectbox(key="sweep_study").options == ["newest", "newer", "older"]
    assert page.selectbox(key="sweep_study").value == "older"
    optuna.delete_study(study_name="older", storage=storage)
    reread(page)
    assert page.selectbox(key="sweep_study").value == "newest"


def test_page_without_studies_shows_no_trials(storage: str) -> None:
    page = opened_tab("Sweep")
    assert not page.main.error
    assert "sweep_study" not in {box.key for box in page.selectbox}


def test_damaged_storage_is_reported_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"not a database" * 100)
    monkeypatch.setenv(SWEEPS_VARIABLE, f"sqlite:///{damaged}")
    page = opened_tab("Sweep")
    (error,) = page.main.error
    assert error.value.startswith("The sweeps cannot be shown: ")
    assert "cannot be opened" in error.value
    assert "start_sweep" in {button.key for button in page.main.button}


# Its trials


def test_trials_of_another_process_are_shown_as_they_come(storage: str, small: Mnist) -> None:
    config = config_for(storage, base=BASE.replace(num_epochs=3), space={"dropout": Interval(0.0, 0.5)}, num_runs=2)
    with closing(search(config, small)) as records:
        next(records)
        page = opened_tab("Sweep")
        assert [(row[0], row[-3], row[-1]) for row in trial_rows(page)] == [("0", "0 / 3", "running")]
        next(records)
        assert [(row[0], row[-3], row[-1]) for row in trial_rows(reread(page))] == [("0", "1 / 3", "running")]
        for _ in records:
            pass
    assert [row[-1] for row in trial_rows(reread(page))] == ["done", "done"]


def test_unchanging_study_is_read_once_in_a_while(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened_tab("Sweep")  # the scheduler belongs to Streamlit's runtime
    clock = 0.0
    monkeypatch.setattr(throttle, "time", SimpleNamespace(monotonic=lambda: clock))
    monkeypatch.setattr(throttle, "results", throttle.Throttle())
    create_study(storage, "rates", RATES)
    assert studies.names() == ["rates"]
    assert studies.read("rates").trials == []
    load_study(storage).add_trial(stored_trial(RATES, 0.9, learning_rate=0.01))
    clock = 0.99 * studies.READ_SECONDS
    assert studies.read("rates").trials == []
    clock = studies.READ_SECONDS
    (trial,) = studies.read("rates").trials
    assert trial.settings == {"learning_rate": 0.01}


@pytest.mark.parametrize(("cost", "age"), [(0.1, 2.0), (1.0, 5.0), (10.0, 50.0), (1000.0, 60.0)])
def test_slow_reading_is_repeated_less_often(cost: float, age: float, storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened_tab("Sweep")  # the scheduler belongs to Streamlit's runtime
    clock, count = 0.0, 0
    monkeypatch.setattr(throttle, "time", SimpleNamespace(monotonic=lambda: clock))
    monkeypatch.setattr(throttle, "results", throttle.Throttle())

    def read() -> int:
        nonlocal clock, count
        clock += cost
        count += 1
        return count

    assert studies.throttled("slow", None, read) == 1
    clock += 0.99 * age
    assert studies.throttled("slow", None, read) == 1
    clock += 0.02 * age
    assert studies.throttled("slow", None, read) == 2


def test_missing_study_raises_the_same_error_again(storage: str) -> None:
    opened_tab("Sweep")  # the scheduler belongs to Streamlit's runtime
    create_study(storage, "rates", RATES)
    messages = []
    for _ in range(2):
        with pytest.raises(SweepError) as caught:
            studies.read("missing")
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert messages[0].startswith("there is no study missing in sqlite:///")


# The sweep of this server


def test_own_study_is_offered_with_its_first_trial(storage: str) -> None:
    page = opened_tab("Sweep")
    with suspended(shared.scheduler().process_ids[0]):
        started = shared.scheduler().start_sweep(config_for(storage, study="own"), "ann")
        reread(page)
        assert "sweep_study" not in {box.key for box in page.selectbox}
    wait_for(started, lambda: started._records)
    assert not page.run().exception
    assert page.selectbox(key="sweep_study").options == ["own"]
    wait_until_ended(started)


def test_own_sweep_is_shown_before_the_storage_is_read_again(sweep: Sweep) -> None:
    throttle.results.clear()
    page = opened_tab("Sweep")
    assert page.selectbox(key="sweep_study").options == ["own"]
    wait_for(sweep, lambda: sweep._records[-1].epoch > 1)
    with suspended(shared.scheduler().process_ids[0]):
        assert not page.run().exception
        newest = sweep.records()[-1]
        assert newest.val_accuracy is not None
        (row,) = trial_rows(page)
        assert row[:2] == ["0", f"{newest.val_accuracy:.2%}"]
        assert row[-3:] == [f"{newest.epoch} / 100", f"{newest.seconds:.1f}", "running"]


def test_sweep_into_another_storage_adds_no_trials(sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = default_storage(tmp_path / "another")
    monkeypatch.setenv(SWEEPS_VARIABLE, address)
    create_study(address, "own", RATES, [stored_trial(RATES, 0.9, learning_rate=0.01)])
    page = opened_tab("Sweep")
    assert [row[1] for row in trial_rows(page)] == ["90.00%"]


@pytest.mark.slow
def test_trial_of_a_killed_process_has_failed(sweep: Sweep) -> None:
    page = opened_tab("Sweep")
    kill(shared.scheduler().process_ids[0])
    wait_until_ended(sweep)
    (row,) = trial_rows(reread(page))
    assert row[-1].startswith("failed: ")
    assert "SIGKILL" in row[-1]
    assert load_study(sweep.config.storage, "own").trials[0].state.name == "RUNNING", "nobody could store its end"
