"""Which settings a sweep tries, how its trials end, and what several processes make of one study; with Optuna itself."""

import dataclasses
import os
import pickle
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import pytest
import torch
from optuna.trial import TrialState

from mnist_fc.data.mnist import DataError, Mnist
from mnist_fc.files import ROOT
from mnist_fc.records import NOT_FINITE, EpochRecord
from mnist_fc.sweep.search import sweep
from mnist_fc.sweep.space import Interval, Space, TrialRecord, Values, best_trial, config_of
from mnist_fc.sweep.storage import GRACE_SECONDS, default_storage
from mnist_fc.sweep.study import importances, trials
from mnist_fc.training.engine import train
from mnist_fc.training.train_state import TrainState
from tests.support.settings import OVERFLOWING
from tests.support.sweeps import BASE, MIXED, config_for, last_records, load_study, run_sweep

pytestmark = pytest.mark.integration

BAD, GOOD = 1e-5, (0.01, 0.02)
"""Learning rates."""


class TestTrials:
    def test_trial_has_records_at_start_epochs_and_end(self, mixed: tuple[str, list[TrialRecord]]) -> None:
        by_trial = [list(group) for _, group in groupby(mixed[1], key=lambda record: record.number)]
        assert [records[0].number for records in by_trial] == list(range(24))
        lengths = set()
        for begin, *epochs, end in by_trial:
            assert (begin.state, begin.epoch, begin.val_accuracy, begin.seconds) == ("running", 0, None, 0.0)
            assert [(record.state, record.epoch) for record in epochs] == [("running", i + 1) for i in range(len(epochs))]
            assert end == dataclasses.replace(epochs[-1], state=end.state)
            assert end.state in {"done", "pruned"}
            assert (len(epochs) == end.num_epochs == end.settings["num_epochs"]) or end.state == "pruned"
            lengths.add(end.num_epochs)
        assert lengths == {1, 2}

    def test_settings_are_the_varied_fields_within_the_space(self, mixed: tuple[str, list[TrialRecord]]) -> None:
        for record in mixed[1]:
            assert list(record.settings) == list(MIXED)
            for name, value in record.settings.items():
                match MIXED[name]:
                    case Values(options):
                        assert value in options
                    case Interval(low, high):
                        assert low <= value <= high
                        assert isinstance(value, type(low))

    def test_log_scale_fields_are_drawn_on_a_log_scale(self, storage: str, small: Mnist) -> None:
        space: Space = {"learning_rate": Interval(1e-5, 1e-1), "dropout": Interval(0.0, 0.5)}
        run_sweep(storage, small, space=space, num_runs=1)
        log = {name: distribution.log for name, distribution in load_study(storage).trials[0].distributions.items()}  # type: ignore[attr-defined]
        assert log == {"learning_rate": True, "dropout": False}

    def test_accuracy_is_the_engines_final_validation_accuracy(self, mixed: tuple[str, list[TrialRecord]], small: Mnist) -> None:
        trial = best_trial(last_records(mixed[1]))
        assert trial
        *_, last = (record for record in train(config_of(BASE, trial), small) if isinstance(record, EpochRecord))
        assert (trial.val_accuracy, trial.epoch) == (last.val_accuracy, last.epoch)

    def test_results_do_not_depend_on_the_test_set(self, tmp_path: Path, small: Mnist) -> None:
        other = dataclasses.replace(small, test_images=255 - small.test_images, test_labels=small.test_labels.flip(0))
        first = run_sweep(default_storage(tmp_path / "a"), small, num_runs=12)
        second = run_sweep(default_storage(tmp_path / "b"), other, num_runs=12)
        assert [trial.val_accuracy for trial in first] == [trial.val_accuracy for trial in second]

    def test_seed_determines_the_trials(self, tmp_path: Path, small: Mnist) -> None:
        tried = {}
        for name, seed in (("a", 1), ("b", 1), ("c", 2)):
            records = run_sweep(default_storage(tmp_path / name), small, seed=seed, num_runs=13)
            tried[name] = [(trial.settings, trial.state, trial.val_accuracy) for trial in records]
        assert tried["a"] == tried["b"]
        assert not [settings for settings in tried["a"] if settings in tried["c"]]

    def test_better_learning_rates_are_found_and_tried_most(self, storage: str, small: Mnist) -> None:
        records = run_sweep(storage, small, num_runs=24)
        found = best_trial(records)
        assert found
        assert 2e-3 < found.settings["learning_rate"] < 0.1
        # The first ten are drawn at random.
        at_random, chosen = records[:10], records[10:]
        good = [[2e-3 < t.settings["learning_rate"] < 0.1 for t in some] for some in (at_random, chosen)]
        assert sum(good[1]) / len(good[1]) > max(0.7, sum(good[0]) / len(good[0]))

    @pytest.mark.slow
    def test_bad_trials_are_pruned_half_way_after_five_are_done(self, storage: str, small: Mnist) -> None:
        records = run_sweep(
            storage, small, base=BASE.replace(num_epochs=6), space={"learning_rate": Values((BAD, *GOOD))}, num_runs=20
        )
        num_done, num_pruned = 0, 0
        for trial in records:
            if trial.settings["learning_rate"] == BAD and num_done >= 5:
                assert (trial.state, trial.epoch) == ("pruned", 3)
                num_pruned += 1
            assert trial.state == "done" or num_done >= 5
            num_done += trial.state == "done"
        assert num_pruned >= 1
        found = best_trial(records)
        assert found
        assert found.settings["learning_rate"] in GOOD

    def test_progress_is_reported_in_per_cent(self, storage: str, small: Mnist) -> None:
        run_sweep(storage, small, base=BASE.replace(num_epochs=4), num_runs=1)
        assert list(load_study(storage).trials[0].intermediate_values) == [25, 50, 75, 100]

    def test_diverging_trial_fails_and_counts_as_bad(self, storage: str, small: Mnist) -> None:
        base = BASE.replace(**OVERFLOWING, num_epochs=5)
        records = run_sweep(storage, small, base=base, space={"learning_rate": Values((1.0, 0.001))}, num_runs=8)
        for trial in records:
            diverged = trial.settings["learning_rate"] == 1.0
            assert trial.state == ("failed" if diverged else "done")
            assert (NOT_FINITE in trial.message) == diverged
        assert {trial.state for trial in records} == {"failed", "done"}
        found = best_trial(records)
        assert found
        assert found.settings == {"learning_rate": 0.001}
        states = {trial.state for trial in load_study(storage).trials}
        assert states == {TrialState.PRUNED, TrialState.COMPLETE}

    def test_sweep_prints_nothing(self, storage: str, small: Mnist, capfd: pytest.CaptureFixture[str]) -> None:
        run_sweep(storage, small, num_runs=12)
        importances(storage, "rates")
        assert capfd.readouterr() == ("", "")

    def test_records_can_be_pickled(self, mixed: tuple[str, list[TrialRecord]]) -> None:
        assert pickle.loads(pickle.dumps(mixed[1])) == mixed[1]

    def test_too_few_images_leave_no_trial_running(self, storage: str, small: Mnist) -> None:
        with pytest.raises(DataError, match="5000 validation images cannot be split off 2000"):
            run_sweep(storage, small, base=BASE.replace(num_validation=5000))
        assert [trial.state for trial in trials(storage, "rates")] == ["failed"]


class TestEnd:
    def test_num_runs_counts_only_own_trials(self, storage: str, small: Mnist) -> None:
        assert [trial.number for trial in run_sweep(storage, small, num_runs=2)] == [0, 1]
        assert [trial.number for trial in run_sweep(storage, small, num_runs=3)] == [2, 3, 4]
        settings = [trial.settings["learning_rate"] for trial in trials(storage, "rates")]
        assert len(set(settings)) == 5

    def test_trial_is_stopped_when_the_time_is_up(self, storage: str, small: Mnist) -> None:
        records = run_sweep(storage, small, base=BASE.replace(num_epochs=100, hidden_sizes=(512, 512)), minutes=0.005)
        assert (records[-1].state, records[-1].message) == ("failed", "stopped: the time was up")
        assert len(records) < 3 or records[-1].epoch < 100
        assert trials(storage, "rates") == records

    def test_on_step_can_end_the_sweep(self, storage: str, small: Mnist) -> None:
        num_steps = 0

        def on_step(training: TrainState) -> bool:
            nonlocal num_steps
            num_steps += 1
            return num_steps <= 20  # an epoch has 15

        records = last_records(list(sweep(config_for(storage), small, on_step)))
        assert [(trial.state, trial.message) for trial in records] == [("done", ""), ("failed", "stopped")]
        assert num_steps == 21
        assert trials(storage, "rates") == records

    @pytest.mark.parametrize("num_records", [1, 2, 3, 4])
    def test_closing_the_generator_leaves_no_trial_running(self, storage: str, small: Mnist, num_records: int) -> None:
        records = sweep(config_for(storage, base=BASE.replace(num_epochs=3)), small)
        for _ in range(num_records):
            assert next(records).state == "running"
        records.close()
        assert [(trial.state, trial.epoch) for trial in trials(storage, "rates")] == [("failed", num_records - 1)]

    def test_interrupt_leaves_no_trial_running(self, storage: str, small: Mnist) -> None:
        def interrupted(training: TrainState) -> bool:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            list(sweep(config_for(storage), small, interrupted))
        assert [trial.state for trial in trials(storage, "rates")] == ["failed"]

    def test_sampler_ignores_stopped_trials(self, storage: str, small: Mnist) -> None:
        list(sweep(config_for(storage), small, lambda training: False))
        assert [trial.state for trial in load_study(storage).trials] == [TrialState.FAIL]

    def test_sweep_continues_after_others_failed_its_trial(self, storage: str, small: Mnist) -> None:
        def on_step(training: TrainState) -> bool:
            for trial in load_study(storage).trials:
                if trial.number == 0 and not trial.state.is_finished():
                    load_study(storage).tell(0, state=TrialState.FAIL)
            return True

        records = last_records(list(sweep(config_for(storage, num_runs=2), small, on_step)))
        assert [trial.state for trial in records] == ["failed", "done"]
        assert f"no heartbeat for {GRACE_SECONDS} seconds" in records[0].message


PROGRAM = """
import sys
from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import load_mnist
from mnist_fc.sweep.search import sweep
from mnist_fc.sweep.space import Interval, SweepConfig

base = TrainConfig(hidden_sizes=(16,), num_epochs=int(sys.argv[3]), num_validation=500, threads=1)
config = SweepConfig(base, {"learning_rate": Interval(1e-5, 1e-1)}, "rates", sys.argv[1], num_runs=6)
data = load_mnist(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for record in sweep(config, data):
    print(record.number, record.epoch, flush=True)
"""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(small_npz: Path) -> Start:
    def start_one(storage: str, num_epochs: int = 1) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", PROGRAM, storage, str(small_npz), str(num_epochs)],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": "random"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        return process

    return start_one


class TestProcesses:
    @pytest.mark.parametrize("kind", [pytest.param("sqlite", marks=pytest.mark.slow), "journal"])
    def test_two_processes_share_a_study_from_the_start(self, tmp_path: Path, start: Start, kind: str) -> None:
        storage = default_storage(tmp_path / "runs") if kind == "sqlite" else str(tmp_path / "runs" / "sweeps.journal")
        both = [start(storage), start(storage)]
        for process in both:
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()
        numbers = []
        for process in both:
            output, errors = process.communicate()
            assert (process.returncode, errors) == (0, "")
            numbers.append({int(line.split()[0]) for line in output.splitlines()})
        assert [len(some) for some in numbers] == [6, 6]
        assert numbers[0] | numbers[1] == set(range(12))
        found = trials(storage, "rates")
        assert [trial.number for trial in found] == list(range(12))
        assert {trial.state for trial in found} <= {"done", "pruned"}
        # Both processes have the same seed.
        assert len({trial.settings["learning_rate"] for trial in found}) == 12

    @pytest.mark.slow
    def test_next_sweep_fails_the_trial_of_a_killed_process(
        self, tmp_path: Path, storage: str, small: Mnist, start: Start
    ) -> None:
        process = start(storage, 100)
        assert process.stdin
        assert process.stdout
        process.stdin.write("\n")
        process.stdin.flush()
        while process.stdout.readline() != "0 1\n":
            assert process.poll() is None
        process.kill()
        process.communicate()
        assert [trial.state for trial in trials(storage, "rates")] == ["running"]

        def first_trial_after_another_sweep() -> TrialRecord:
            config = config_for(storage, base=BASE.replace(num_epochs=100), num_runs=1)
            list(sweep(config, small, lambda training: False))
            return trials(storage, "rates")[0]

        assert first_trial_after_another_sweep().state == "running"
        database = sqlite3.connect(tmp_path / "sweeps.db")
        with database:
            database.execute("UPDATE trial_heartbeats SET heartbeat = datetime(heartbeat, '-1 hour')")
        database.close()
        killed = first_trial_after_another_sweep()
        assert killed.state == "failed"
        assert "its process was killed" in killed.message


def test_sweep_leaves_the_callers_random_numbers_unchanged(storage: str, small: Mnist) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    run_sweep(storage, small, num_runs=1)
    assert torch.equal(torch.rand(1), expected)
