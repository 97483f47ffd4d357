"""settings.py: what a run was trained with, whoever names it, and the learning rates that it was changed to on the way."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from mnist_fc.config import PRESETS, TrainConfig
from mnist_fc.data.mnist import DATA_VARIABLE, Mnist
from mnist_fc.records import EndRecord, Record
from mnist_fc.runs.reader import read_run
from mnist_fc.runs.settings import RunSettings
from mnist_fc.runs.store import RunStore
from mnist_fc.runs.writer import RunFolder
from mnist_fc.server.run import Run
from mnist_fc.server.scheduler import Scheduler
from mnist_fc.training.engine import train
from mnist_fc.training.train_state import TrainState
from tests.support.waiting import wait_for, wait_for_steps, wait_until_ended

CHANGES = {1: 0.003, 35: 0.002}
"""Learning rates by the step before which they are set."""
CONFIG = TrainConfig(hidden_sizes=(8,), batch_size=100, num_epochs=3, num_validation=0, threads=1)


def records(config: TrainConfig, data: Mnist, changes: dict[int, float]) -> list[Record]:
    def on_step(training: TrainState) -> bool:
        training.learning_rate = changes.get(training.step, training.learning_rate)
        return True

    return list(train(config, data, on_step))


def written(folder: Path, config: TrainConfig, all_records: Iterable[Record]) -> Path:
    run = RunFolder(folder, config)
    for record in all_records:
        run.write(record)
    return run.path


def settings_of(path: Path, *, with_steps: bool) -> RunSettings:
    return read_run(path, with_steps=with_steps).settings


@pytest.mark.parametrize("schedule", ["constant", "one_cycle", "cosine"])
@pytest.mark.parametrize("changes", [{}, CHANGES], ids=["unchanged", "changed"])
def test_learning_rates_follow_from_the_records(tmp_path: Path, small: Mnist, schedule: str, changes: dict[int, float]) -> None:
    config = CONFIG.replace(schedule=schedule)
    path = written(tmp_path, config, records(config, small, changes))
    expected = pytest.approx((config.learning_rate, *changes.values()), rel=1e-6)
    assert settings_of(path, with_steps=True).learning_rates == expected
    assert settings_of(path, with_steps=False) == settings_of(path, with_steps=True)
    stored = Run.stored(read_run(path), None).snapshot()
    assert stored.settings == settings_of(path, with_steps=True)


@pytest.mark.integration
def test_changed_run_says_so_in_the_same_words_everywhere(tmp_path: Path, small: Mnist) -> None:
    config = PRESETS["blog-keras"].replace(num_epochs=10, threads=1)
    path = written(tmp_path, config, records(config, small, {30: 0.003}))
    stored, shown = read_run(path, with_steps=False), Run.stored(read_run(path), None).snapshot()
    words = "blog-keras, learning rate 0.001 → 0.003"
    assert (stored.settings.in_words, shown.settings.in_words) == (words, words)
    report = (path / "report.md").read_text("utf-8")
    assert f"preset {words}, PyTorch" in report
    assert "| learning_rate | 0.001 → 0.003 |" in report
    assert "config.json has the settings that it began with" in report
    assert stored.settings.preset == "custom"
    assert stored.settings.latest == shown.settings.latest == config.replace(learning_rate=0.003)


def test_many_changes_are_said_in_short() -> None:
    steps = [(step, 0.001 * step) for step in range(1, 9)]
    assert RunSettings.of(CONFIG, steps, ()).in_words == "custom, learning rate 0.001 → … → 0.008"


@pytest.mark.parametrize("rate", [0.0, -1.0, 7.0, float("inf"), float("nan")])
def test_rate_that_no_run_can_have_changes_nothing(rate: float) -> None:
    assert RunSettings.of(CONFIG, [(1, rate)], ()).learning_rates == (CONFIG.learning_rate,)


@pytest.fixture
def scheduler(tmp_path: Path, small_npz: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scheduler]:
    monkeypatch.setenv(DATA_VARIABLE, str(small_npz))
    with contextlib.closing(Scheduler(RunStore(tmp_path))) as made:
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("act", [lambda store, run_id: store.rename(run_id, "another name"), lambda store, run_id: None])
def test_changed_rate_outlasts_the_memory_of_the_server(scheduler: Scheduler, act: Callable[[RunStore, str], None]) -> None:
    run = scheduler.start(CONFIG.replace(hidden_sizes=(256,), batch_size=8, num_epochs=100))
    wait_for_steps(run, 30)
    scheduler.set_learning_rate(run, 0.003)
    assert run.snapshot().settings.in_words == "custom, learning rate 0.001 → 0.003"
    wait_for(run, lambda: run.snapshot().steps[-1].learning_rate == 0.003)
    scheduler.stop(run)
    wait_until_ended(run)
    ended = run.snapshot().settings
    act(scheduler.store, run.id)
    again = scheduler.run(run.id)
    assert again
    assert again.snapshot().settings == ended
    scheduler.evict(run.id)
    read = scheduler.run(run.id)
    assert read
    assert read.snapshot().settings == ended
    assert read.learning_rate == 0.003


def test_rate_set_for_a_step_never_reached_is_ignored() -> None:
    run = Run("a run", CONFIG)
    run.learning_rate = 0.003
    assert run.snapshot().settings.latest.learning_rate == 0.003
    run.receive(EndRecord(0, 0, "failed", "", 0.0, None, None))
    assert run.snapshot().settings.latest.learning_rate == CONFIG.learning_rate
    assert run.learning_rate == CONFIG.learning_rate
