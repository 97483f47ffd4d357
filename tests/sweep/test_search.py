"""sweep.py: what is tried, how it ends, and what others see of it; with Optuna itself and real storages."""

import dataclasses
import math
import os
import pickle
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import TrialState

from mnist_fc.config import FIELDS, Choice, ConfigError, LayerSizes, Range, TrainConfig
from mnist_fc.data.mnist import DataError, Mnist
from mnist_fc.files import ROOT
from mnist_fc.records import NOT_FINITE, EpochRecord
from mnist_fc.sweep.search import sweep
from mnist_fc.sweep.space import (
    LOG_SCALE,
    VARIABLE,
    Interval,
    Space,
    SweepConfig,
    TrialRecord,
    Values,
    best,
    config_of,
    parse_space,
)
from mnist_fc.sweep.storage import GRACE_SECONDS, SweepError, default_storage
from mnist_fc.sweep.study import (
    DESCRIPTION,
    MESSAGE,
    MIN_DONE,
    base_and_space,
    importance_plot,
    importances,
    parallel_coordinates,
    studies,
    trials,
)
from mnist_fc.training.engine import train
from mnist_fc.training.train_state import TrainState
from tests.support.settings import OVERFLOWING

BASE = TrainConfig(hidden_sizes=(16,), num_epochs=1, num_validation=500, threads=1)
RATES: Space = {"learning_rate": Interval(1e-5, 1e-1)}
MIXED: Space = {
    "hidden_sizes": Values(((16,), (24, 16))),
    "activation": Values(("relu", "tanh")),
    "learning_rate": Interval(1e-5, 1e-1),
    "batch_size": Interval(50, 200),
    "num_epochs": Interval(1, 2),
}

BAD, GOOD = 1e-5, (0.01, 0.02)


def _text(value: Any) -> str:
    return "-".join(map(str, value)) if isinstance(value, tuple) else str(value)


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return default_storage(tmp_path)


def config_for(storage: str, **changes: Any) -> SweepConfig:
    settings: dict[str, Any] = {"base": BASE, "space": RATES, "study": "rates", "storage": storage, "num_runs": 3}
    return SweepConfig(**settings | changes)


def ends(records: list[TrialRecord]) -> list[TrialRecord]:
    """The last record of each trial."""
    return [list(group)[-1] for _, group in groupby(records, key=lambda record: record.number)]


def run(storage: str, data: Mnist, **changes: Any) -> list[TrialRecord]:
    return ends(list(sweep(config_for(storage, **changes), data)))


def in_optuna(storage: str, study: str = "rates") -> optuna.Study:
    return optuna.load_study(study_name=study, storage=storage)


@pytest.fixture(scope="module")
def mixed(small: Mnist, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[TrialRecord]]:
    """The storage of a study of MIXED, and the records of the sweep that made it."""
    storage = default_storage(tmp_path_factory.mktemp("mixed"))
    return storage, list(sweep(config_for(storage, space=MIXED, study="mixed", num_runs=24), small))


class TestParseSpace:
    def test_values_intervals_layers_and_words_are_read(self) -> None:
        texts = "learning-rate=1e-4..1e-2 batch_size=64,128 hidden-sizes=256,500-500 activation=relu,tanh epochs=5..20"
        assert parse_space(texts.split()) == {
            "learning_rate": Interval(1e-4, 1e-2),
            "batch_size": Values((64, 128)),
            "hidden_sizes": Values(((256,), (500, 500))),
            "activation": Values(("relu", "tanh")),
            "num_epochs": Interval(5, 20),
        }

    @given(data=st.data(), names=st.sets(st.sampled_from(VARIABLE), min_size=1), dash=st.sampled_from("-_"))
    def test_every_space_in_range_is_read_as_it_was_written(self, data: st.DataObject, names: set[str], dash: str) -> None:
        texts, expected = [], {}
        for name in names:
            varied, text = data.draw(varied_and_text(name))
            texts.append(f"{name.replace('_', dash)}={text}")
            expected[name] = varied
        assert parse_space(texts) == expected

    @given(name=st.sampled_from(VARIABLE), values=st.text(max_size=20))
    def test_any_text_is_read_or_refused_with_the_field_named(self, name: str, values: str) -> None:
        try:
            space = parse_space([f"{name}={values}"])
        except ConfigError as error:
            assert name in str(error)  # noqa: PT017 (either may happen)
        else:
            assert SweepConfig(BASE, space, "study", "storage").space == space

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("learning-rate", "'learning-rate' says no values; it must be like learning-rate=1e-4"),
            ("", "'' says no values"),
            ("width=3", "width cannot be varied; what can is hidden_sizes, activation"),
            ("threads=1,2", "threads cannot be varied"),
            ("seed=1..9", "seed cannot be varied"),
            ("num-validation=5000", "num_validation cannot be varied"),
            ("learning-rate=", "learning_rate is ''; it must be a number from 1e-05 to 1"),
            ("learning-rate=0.1,", "learning_rate is ''"),
            ("learning-rate=2", "learning_rate is 2; it must be a number from 1e-05 to 1"),
            ("learning-rate=nan..1", "learning_rate is nan; it must be a number"),
            ("learning-rate=0.1..", "learning_rate is ''"),
            ("learning-rate=0.1..0.01", "learning_rate is to go from 0.1 to 0.01; the first must be lower"),
            ("learning-rate=0.1..0.1", "learning_rate is to go from 0.1 to 0.1"),
            ("batch-size=64.5,128", "batch_size is 64.5; it must be a whole number from 8 to 4096"),
            ("batch-size=4..64", "batch_size is 4; it must be a whole number"),
            ("weight-decay=0..0.1", "weight_decay is searched on a log scale, so 0..0.1 must begin above 0"),
            ("activation=relu,swish", "activation is 'swish'; it must be one of relu, tanh"),
            ("activation=relu..tanh", "activation has no numbers in between; name its values"),
            ("hidden-sizes=16..64", "hidden_sizes has no numbers in between"),
            ("hidden-sizes=500-4", "hidden_sizes is (500, 4); it must be 1 to 4 layers of 8 to 2048 units"),
            ("hidden-sizes=500-wide", "hidden_sizes is (500, 'wide'); it must be 1 to 4 layers"),
        ],
    )
    def test_what_is_wrong_is_said(self, text: str, reason: str) -> None:
        with pytest.raises(ConfigError) as caught:
            parse_space([text])
        assert reason in str(caught.value)

    def test_a_field_given_twice_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="batch_size is given twice"):
            parse_space(["batch-size=64", "batch_size=128"])

    def test_no_space_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="the space is empty; it must name what to vary, of hidden_sizes"):
            parse_space([])


@st.composite
def varied_and_text(draw: st.DrawFn, name: str) -> tuple[Values | Interval, str]:
    """What a field is varied over, and how a person would write it."""
    match FIELDS[name]:
        case Choice(options):
            words = draw(st.lists(st.sampled_from(options), min_size=1, unique=True))
            return Values(tuple(words)), ",".join(words)
        case LayerSizes():
            sizes = st.lists(st.integers(8, 2048), min_size=1, max_size=4).map(tuple)
            layers = draw(st.lists(sizes, min_size=1, max_size=3, unique=True))
            return Values(tuple(layers)), ",".join("-".join(map(str, layer)) for layer in layers)
        case Range(kind, low, high) as limit:
            number = st.integers(int(low), int(high)) if kind is int else st.floats(low, high)
            if draw(st.booleans()):
                numbers = draw(st.lists(number, min_size=1, max_size=3, unique=True))
                return Values(tuple(numbers)), ",".join(map(str, numbers))
            above = [limit.low] if name not in LOG_SCALE else []
            ends = draw(st.lists(number.filter(lambda x: x not in above and x > 0), min_size=2, max_size=2, unique=True))
            return Interval(min(ends), max(ends)), f"{min(ends)}..{max(ends)}"


class TestSweepConfig:
    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"num_runs": 0}, "num_runs is 0; it must be a whole number from 1 to 10000"),
            ({"minutes": 0}, "minutes is 0; it must be a number from 0.001 to 10080"),
            ({"minutes": math.nan}, "minutes is nan"),
            ({"seed": -1}, "seed is -1"),
            ({"study": " "}, "study is ' '; it must be a line of text"),
            ({"study": "a\nb"}, r"study is 'a\\nb'; it must be a line"),
            ({"study": "a" * 101}, "study is 101 characters long; it must have at most 100"),
            ({"storage": ""}, "storage is ''"),
            ({"space": {}}, "the space is empty"),
            ({"space": {"dropout": Values(())}}, "dropout has no values to choose from; each must be a number from 0 to 0.5"),
            ({"space": {"threads": Values((1,))}}, "threads cannot be varied"),
        ],
    )
    def test_what_is_out_of_range_is_refused(self, change: dict[str, Any], reason: str) -> None:
        with pytest.raises(ConfigError, match=reason):
            config_for(**({"storage": "storage"} | change))

    def test_a_base_without_validation_images_gets_as_many_as_is_usual(self) -> None:
        assert config_for("storage", base=BASE.replace(num_validation=0)).base == BASE.replace(num_validation=5000)

    def test_it_travels_between_processes(self) -> None:
        config = config_for("storage", space=MIXED, minutes=5)
        assert pickle.loads(pickle.dumps(config)) == config

    def test_a_value_given_twice_is_tried_as_one(self) -> None:
        assert config_for("storage", space={"batch_size": Values((64, 64.0, 32))}).space == {"batch_size": Values((64, 32))}


class TestTrials:
    def test_a_trial_has_a_record_when_it_begins_after_each_epoch_and_when_it_ends(
        self, mixed: tuple[str, list[TrialRecord]]
    ) -> None:
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

    def test_the_settings_are_the_varied_fields_within_the_space(self, mixed: tuple[str, list[TrialRecord]]) -> None:
        for record in mixed[1]:
            assert list(record.settings) == list(MIXED)
            for name, value in record.settings.items():
                match MIXED[name]:
                    case Values(options):
                        assert value in options
                    case Interval(low, high):
                        assert low <= value <= high
                        assert isinstance(value, type(low))

    def test_numbers_are_drawn_on_the_scale_that_is_promised(self, storage: str, small: Mnist) -> None:
        space: Space = {"learning_rate": Interval(1e-5, 1e-1), "dropout": Interval(0.0, 0.5)}
        run(storage, small, space=space, num_runs=1)
        log = {name: distribution.log for name, distribution in in_optuna(storage).trials[0].distributions.items()}  # type: ignore[attr-defined]
        assert log == {"learning_rate": True, "dropout": False}

    def test_the_accuracy_is_what_the_engine_finds_on_the_validation_images_after_the_last_epoch(
        self, mixed: tuple[str, list[TrialRecord]], small: Mnist
    ) -> None:
        trial = best(ends(mixed[1]))
        assert trial
        *_, last = (record for record in train(config_of(BASE, trial), small) if isinstance(record, EpochRecord))
        assert (trial.val_accuracy, trial.epoch) == (last.val_accuracy, last.epoch)

    def test_the_test_set_makes_no_difference(self, tmp_path: Path, small: Mnist) -> None:
        other = dataclasses.replace(small, test_images=255 - small.test_images, test_labels=small.test_labels.flip(0))
        first, second = (run(default_storage(tmp_path / name), data, num_runs=12) for name, data in (("a", small), ("b", other)))
        assert [trial.val_accuracy for trial in first] == [trial.val_accuracy for trial in second]

    def test_the_same_seed_tries_the_same_and_another_seed_does_not(self, tmp_path: Path, small: Mnist) -> None:
        tried = {}
        for name, seed in (("a", 1), ("b", 1), ("c", 2)):
            records = run(default_storage(tmp_path / name), small, seed=seed, num_runs=13)
            tried[name] = [(trial.settings, trial.state, trial.val_accuracy) for trial in records]
        assert tried["a"] == tried["b"]
        assert not [settings for settings in tried["a"] if settings in tried["c"]]

    def test_the_clearly_better_learning_rates_are_found_and_tried_most(self, storage: str, small: Mnist) -> None:
        records = run(storage, small, num_runs=24)
        found = best(records)
        assert found
        assert 2e-3 < found.settings["learning_rate"] < 0.1
        # The first ten are drawn at random.
        at_random, chosen = records[:10], records[10:]
        good = [[2e-3 < t.settings["learning_rate"] < 0.1 for t in some] for some in (at_random, chosen)]
        assert sum(good[1]) / len(good[1]) > max(0.7, sum(good[0]) / len(good[0]))

    def test_clearly_bad_trials_are_pruned_half_way_once_five_are_done(self, storage: str, small: Mnist) -> None:
        records = run(storage, small, base=BASE.replace(num_epochs=6), space={"learning_rate": Values((BAD, *GOOD))}, num_runs=20)
        num_done, num_pruned = 0, 0
        for trial in records:
            if trial.settings["learning_rate"] == BAD and num_done >= 5:
                assert (trial.state, trial.epoch) == ("pruned", 3)
                num_pruned += 1
            assert trial.state == "done" or num_done >= 5
            num_done += trial.state == "done"
        assert num_pruned >= 1
        found = best(records)
        assert found
        assert found.settings["learning_rate"] in GOOD

    def test_runs_of_different_lengths_are_compared_at_the_same_part_of_the_way(self, storage: str, small: Mnist) -> None:
        run(storage, small, base=BASE.replace(num_epochs=4), num_runs=1)
        assert list(in_optuna(storage).trials[0].intermediate_values) == [25, 50, 75, 100]

    def test_a_trial_that_diverges_fails_with_the_reason_and_the_sampler_takes_it_for_a_bad_one(
        self, storage: str, small: Mnist
    ) -> None:
        base = BASE.replace(**OVERFLOWING, num_epochs=5)
        records = run(storage, small, base=base, space={"learning_rate": Values((1.0, 0.001))}, num_runs=8)
        for trial in records:
            diverged = trial.settings["learning_rate"] == 1.0
            assert trial.state == ("failed" if diverged else "done")
            assert (NOT_FINITE in trial.message) == diverged
        assert {trial.state for trial in records} == {"failed", "done"}
        found = best(records)
        assert found
        assert found.settings == {"learning_rate": 0.001}
        states = {trial.state for trial in in_optuna(storage).trials}
        assert states == {TrialState.PRUNED, TrialState.COMPLETE}

    def test_nothing_is_printed(self, storage: str, small: Mnist, capfd: pytest.CaptureFixture[str]) -> None:
        run(storage, small, num_runs=12)
        importances(storage, "rates")
        assert capfd.readouterr() == ("", "")

    def test_records_travel_between_processes(self, mixed: tuple[str, list[TrialRecord]]) -> None:
        assert pickle.loads(pickle.dumps(mixed[1])) == mixed[1]

    def test_too_few_images_are_said_and_no_trial_is_left_running(self, storage: str, small: Mnist) -> None:
        with pytest.raises(DataError, match="5000 validation images cannot be split off 2000"):
            run(storage, small, base=BASE.replace(num_validation=5000))
        assert [trial.state for trial in trials(storage, "rates")] == ["failed"]


class TestEnd:
    def test_it_begins_so_many_trials_and_others_do_not_count(self, storage: str, small: Mnist) -> None:
        assert [trial.number for trial in run(storage, small, num_runs=2)] == [0, 1]
        assert [trial.number for trial in run(storage, small, num_runs=3)] == [2, 3, 4]
        settings = [trial.settings["learning_rate"] for trial in trials(storage, "rates")]
        assert len(set(settings)) == 5

    def test_when_the_time_is_up_the_trial_is_stopped(self, storage: str, small: Mnist) -> None:
        records = run(storage, small, base=BASE.replace(num_epochs=100, hidden_sizes=(512, 512)), minutes=0.005)
        assert (records[-1].state, records[-1].message) == ("failed", "stopped: the time was up")
        assert len(records) < 3 or records[-1].epoch < 100
        assert trials(storage, "rates") == records

    def test_when_before_step_says_so_the_trial_is_stopped_and_no_other_begins(self, storage: str, small: Mnist) -> None:
        num_steps = 0

        def on_step(training: TrainState) -> bool:
            nonlocal num_steps
            num_steps += 1
            return num_steps <= 20  # an epoch has 15

        records = ends(list(sweep(config_for(storage), small, on_step)))
        assert [(trial.state, trial.message) for trial in records] == [("done", ""), ("failed", "stopped")]
        assert num_steps == 21
        assert trials(storage, "rates") == records

    @pytest.mark.parametrize("num_records", [1, 2, 3, 4])
    def test_when_the_generator_is_closed_no_trial_is_left_running(self, storage: str, small: Mnist, num_records: int) -> None:
        records = sweep(config_for(storage, base=BASE.replace(num_epochs=3)), small)
        for _ in range(num_records):
            assert next(records).state == "running"
        records.close()
        assert [(trial.state, trial.epoch) for trial in trials(storage, "rates")] == [("failed", num_records - 1)]

    def test_when_it_is_interrupted_no_trial_is_left_running(self, storage: str, small: Mnist) -> None:
        def interrupted(training: TrainState) -> bool:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            list(sweep(config_for(storage), small, interrupted))
        assert [trial.state for trial in trials(storage, "rates")] == ["failed"]

    def test_a_stopped_trial_says_nothing_to_the_sampler(self, storage: str, small: Mnist) -> None:
        list(sweep(config_for(storage), small, lambda training: False))
        assert [trial.state for trial in in_optuna(storage).trials] == [TrialState.FAIL]

    def test_a_trial_that_others_gave_up_meanwhile_is_lost_and_the_sweep_goes_on(self, storage: str, small: Mnist) -> None:
        def on_step(training: TrainState) -> bool:
            for trial in in_optuna(storage).trials:
                if trial.number == 0 and not trial.state.is_finished():
                    in_optuna(storage).tell(0, state=TrialState.FAIL)
            return True

        records = ends(list(sweep(config_for(storage, num_runs=2), small, on_step)))
        assert [trial.state for trial in records] == ["failed", "done"]
        assert f"no sign of life for {GRACE_SECONDS} seconds" in records[0].message


PROGRAM = """
import sys
from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import load
from mnist_fc.sweep.search import Interval, SweepConfig, sweep

base = TrainConfig(hidden_sizes=(16,), num_epochs=int(sys.argv[3]), num_validation=500, threads=1)
config = SweepConfig(base, {"learning_rate": Interval(1e-5, 1e-1)}, "rates", sys.argv[1], num_runs=6)
data = load(sys.argv[2])
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
    @pytest.mark.parametrize("kind", ["sqlite", "journal"])
    def test_two_that_begin_a_study_at_once_share_it(self, tmp_path: Path, start: Start, kind: str) -> None:
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
        # Both have the same seed.
        assert len({trial.settings["learning_rate"] for trial in found}) == 12

    def test_the_trial_of_a_killed_one_is_failed_by_the_next_sweep_once_it_was_silent_for_long(
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


class TestStudy:
    def test_the_table_of_a_study_is_what_the_sweep_said(self, mixed: tuple[str, list[TrialRecord]]) -> None:
        assert trials(mixed[0], "mixed") == ends(mixed[1])

    def test_a_trial_that_runs_is_in_the_table(self, storage: str, small: Mnist) -> None:
        for record in sweep(config_for(storage, num_runs=2, base=BASE.replace(num_epochs=2)), small):
            assert trials(storage, "rates")[-1] == record

    def test_base_and_space_come_with_it(self, mixed: tuple[str, list[TrialRecord]]) -> None:
        assert base_and_space(mixed[0], "mixed") == (BASE, MIXED)

    def test_studies_are_listed_but_those_of_other_programs(self, storage: str, small: Mnist) -> None:
        run(storage, small, study="b", num_runs=1)
        optuna.create_study(storage=storage, study_name="others")
        run(storage, small, study="a", num_runs=1)
        assert studies(storage) == ["b", "a"]

    def test_before_the_first_sweep_there_is_nothing_and_reading_makes_no_file(self, tmp_path: Path, storage: str) -> None:
        for address in (storage, str(tmp_path / "sweeps.journal")):
            assert studies(address) == []
            for read in (trials, base_and_space, importances, importance_plot, parallel_coordinates):
                with pytest.raises(SweepError, match=r"there is no study rates in .*sweeps"):
                    read(address, "rates")
        assert list(tmp_path.iterdir()) == []

    def test_an_unknown_study_is_named(self, mixed: tuple[str, list[TrialRecord]]) -> None:
        with pytest.raises(SweepError, match=r"there is no study rates in sqlite:///.*sweeps\.db"):
            trials(mixed[0], "rates")

    def test_a_store_whose_name_an_address_must_quote_will_do(self, tmp_path: Path, small: Mnist) -> None:
        store = tmp_path / "a b%20?c#d@e:f"
        run(default_storage(store), small, num_runs=1)
        assert (store / "sweeps.db").exists()
        assert len(trials(default_storage(store), "rates")) == 1

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"base": BASE.replace(batch_size=50)}, "the study rates has batch_size 100, not 50; for that name another study"),
            ({"base": BASE.replace(hidden_sizes=(16, 8))}, "has hidden_sizes 16, not 16-8"),
            ({"space": {"learning_rate": Interval(1e-4, 1e-1)}}, r"varies learning_rate=1e-05\.\.0\.1; for another space"),
            ({"space": {"learning_rate": Values((0.1,))}}, "for another space name another study"),
        ],
    )
    def test_another_base_or_space_is_refused(self, storage: str, small: Mnist, change: dict[str, Any], reason: str) -> None:
        run(storage, small, num_runs=1)
        with pytest.raises(SweepError, match=reason):
            run(storage, small, **change)
        assert len(trials(storage, "rates")) == 1

    def test_what_the_base_has_in_place_of_what_is_varied_makes_no_difference(self, storage: str, small: Mnist) -> None:
        run(storage, small, num_runs=1)
        assert run(storage, small, base=BASE.replace(learning_rate=0.5), num_runs=1)[0].number == 1

    def test_the_best_is_the_first_of_the_most_accurate_that_are_done(self) -> None:
        accuracies = [("done", 0.5), ("pruned", 0.9), ("done", 0.8), ("done", 0.8), ("failed", 0.95), ("running", 0.99)]
        records = [
            TrialRecord(i, state, {}, 1, 1, accuracy, 0.0)  # type: ignore[arg-type]
            for i, (state, accuracy) in enumerate(accuracies)
        ]
        assert best(records) == records[2]
        assert best([record for record in records if record.state != "done"]) is None
        assert best([]) is None

    def test_the_settings_of_a_trial_take_the_place_of_the_bases(self, mixed: tuple[str, list[TrialRecord]]) -> None:
        for trial in trials(mixed[0], "mixed"):
            config = config_of(BASE, trial)
            assert {name: getattr(config, name) for name in MIXED} == trial.settings
            assert config.replace(**{name: getattr(BASE, name) for name in MIXED}) == BASE


class TestFigures:
    def test_the_shares_of_all_varied_fields_sum_to_one_the_greatest_first(self, mixed: tuple[str, list[TrialRecord]]) -> None:
        shares = importances(mixed[0], "mixed")
        assert shares.keys() == MIXED.keys()
        assert sum(shares.values()) == pytest.approx(1)
        assert list(shares.values()) == sorted(shares.values(), reverse=True)

    def test_what_makes_all_the_difference_comes_first(self, storage: str, small: Mnist) -> None:
        space: Space = {"initialization": Values(("pytorch", "keras")), "learning_rate": Interval(1e-5, 1e-1)}
        run(storage, small, space=space, num_runs=24)
        assert next(iter(importances(storage, "rates"))) == "learning_rate"

    def test_the_parallel_axes_name_every_varied_field_and_show_every_trial_done(
        self, mixed: tuple[str, list[TrialRecord]]
    ) -> None:
        figure = parallel_coordinates(mixed[0], "mixed")
        assert figure
        labels = set(figure.layout.xaxis.ticktext)
        assert labels == {"validation accuracy", *MIXED}
        num_done = sum(trial.state == "done" for trial in ends(mixed[1]))
        lines = [trace for trace in figure.data if trace.mode == "lines" and trace.x and len(trace.x) == len(labels)]
        assert len(lines) == num_done
        assert "24-16" in {annotation.text for annotation in figure.layout.annotations}

    def test_values_of_parallel_axes_stand_in_the_order_of_their_field(self, storage: str, small: Mnist) -> None:
        space: Space = {
            "hidden_sizes": Values(((128,), (16,), (24, 16), (9,))),
            "activation": Values(("gelu", "sigmoid", "relu", "tanh")),
            "batch_size": Values((1000, 200)),
        }
        for _ in sweep(SweepConfig(BASE, space, "ordered", storage, num_runs=8), small):
            pass
        done = [trial for trial in trials(storage, "ordered") if trial.state == "done"]
        figure = parallel_coordinates(storage, "ordered")
        assert figure
        axes = {name: axis for axis, name in enumerate(figure.layout.xaxis.ticktext)}
        lines = [trace for trace in figure.data if trace.mode == "lines"]
        for name, in_order in {
            "hidden_sizes": ["9", "16", "24-16", "128"],
            "activation": ["relu", "tanh", "sigmoid", "gelu"],
            "batch_size": ["200", "1000"],
        }.items():
            labels = {one.text: one.y for one in figure.layout.annotations if one.x == axes[name]}
            shown = sorted(labels, key=labels.__getitem__)
            assert shown == [value for value in in_order if value in shown]
            ends = [(line.customdata[axes[name]][1], line.y[axes[name]]) for line in lines]
            assert all(height == pytest.approx(labels[value]) for value, height in ends)
            assert sorted(value for value, _ in ends) == sorted(_text(trial.settings[name]) for trial in done)

    def test_the_plot_of_importances_names_every_varied_field_with_its_share(self, mixed: tuple[str, list[TrialRecord]]) -> None:
        figure = importance_plot(mixed[0], "mixed")
        assert figure
        (bars,) = figure.data
        assert dict(zip(bars.y, bars.x, strict=True)) == pytest.approx(importances(mixed[0], "mixed"))

    def test_with_too_few_trials_there_are_none(self, storage: str, small: Mnist) -> None:
        run(storage, small, num_runs=1)
        assert parallel_coordinates(storage, "rates") is None
        run(storage, small, num_runs=MIN_DONE - 2)
        assert parallel_coordinates(storage, "rates")
        assert (importances(storage, "rates"), importance_plot(storage, "rates")) == ({}, None)
        run(storage, small, num_runs=1)
        assert importances(storage, "rates") == {"learning_rate": 1.0}
        assert importance_plot(storage, "rates")

    def test_trials_that_are_all_alike_say_nothing_about_what_matters(self, storage: str, small: Mnist) -> None:
        run(storage, small, num_runs=1)
        study = in_optuna(storage)
        value = study.trials[0].value
        for _ in range(MIN_DONE):
            study.add_trial(optuna.create_trial(value=value, params=study.trials[0].params, distributions=RATE))
        assert importances(storage, "rates") == {}
        assert importance_plot(storage, "rates") is None
        assert parallel_coordinates(storage, "rates")


RATE: dict[str, BaseDistribution] = {"learning_rate": FloatDistribution(1e-5, 1e-1, log=True)}
READERS = (trials, importances, importance_plot, parallel_coordinates)


class TestDistrust:
    @pytest.mark.parametrize(
        ("description", "reason"),
        [
            (
                {"base": {"learning_rate": 5}, "space": {"dropout": [0, 0.5]}},
                "learning_rate is 5; it must be a number from 1e-05",
            ),
            ({"base": {"width": 5}, "space": {"dropout": [0, 0.5]}}, "the settings name width"),
            ({"base": 3, "space": {"dropout": [0, 0.5]}}, "the settings are 3; they must be a JSON object"),
            ({"base": {}, "space": {"dropout": [0, 0.9]}}, "dropout is 0.9; it must be a number from 0 to 0.5"),
            ({"base": {}, "space": {"dropout": ["0", {}]}}, "dropout is '0'"),
            ({"base": {}, "space": {"seed": [0, 9]}}, "seed cannot be varied"),
            ({"base": {}, "space": {"dropout": {"options": []}}}, "dropout has no values"),
            ({"base": {}, "space": {"dropout": {"options": [[]]}}}, r"dropout is \[\]"),
            ({"base": {}, "space": {"dropout": {"options": 3}}}, "it does not say what it varies"),
            ({"base": {}, "space": {"dropout": [0, 0.1, 0.2]}}, "it does not say what it varies"),
            ({"base": {}, "space": [1]}, "it does not say what it varies"),
            ({"base": {}, "space": {}}, "the space is empty"),
            ({"base": {}}, "it does not say what it varies"),
            ([], "it does not say what it varies"),
            ("text", "it does not say what it varies"),
        ],
    )
    def test_a_study_that_no_sweep_can_have_begun_is_refused(
        self, storage: str, small: Mnist, description: object, reason: str
    ) -> None:
        optuna.create_study(storage=storage_made(storage), study_name="rates", direction="maximize").set_user_attr(
            DESCRIPTION, description
        )
        for read in (base_and_space, *READERS):
            with pytest.raises(SweepError, match=f"the study rates is damaged: .*{reason}"):
                read(storage, "rates")
        with pytest.raises(SweepError, match=reason):
            run(storage, small)

    def test_a_study_of_another_program_is_not_joined(self, storage: str, small: Mnist) -> None:
        optuna.create_study(storage=storage_made(storage), study_name="rates", direction="minimize")
        for read in (base_and_space, *READERS):
            with pytest.raises(SweepError, match="the study rates was not begun by a sweep of this program"):
                read(storage, "rates")
        with pytest.raises(SweepError, match="was not begun by a sweep"):
            run(storage, small)

    @pytest.mark.parametrize(
        ("trial", "reason"),
        [
            ({"params": {"learning_rate": 5.0}}, "learning_rate is 5.0; it must be a number from 1e-05 to 1"),
            ({"params": {"seed": 5.0}}, "varies seed; the study varies learning_rate"),
            ({"value": 1.5}, "val_accuracy is 1.5; it must be a number from 0 to 1"),
            ({"value": math.inf}, "val_accuracy is inf"),
            ({"user_attrs": {"seconds": "long"}}, "seconds is 'long'"),
            ({"user_attrs": {"seconds": -1}}, "seconds is -1"),
            (
                {"state": TrialState.PRUNED, "value": None, "intermediate_values": {1: math.nan}},
                "val_accuracy is nan",
            ),
        ],
    )
    def test_a_trial_that_no_sweep_can_have_run_is_refused(
        self, storage: str, small: Mnist, trial: dict[str, Any], reason: str
    ) -> None:
        run(storage, small, num_runs=1)
        given: dict[str, Any] = {"value": 0.5, "params": {"learning_rate": 0.1}} | trial
        given["distributions"] = {name: FloatDistribution(1e-5, 10, log=True) for name in given["params"]}
        in_optuna(storage).add_trial(optuna.create_trial(**given))
        for read in READERS:
            with pytest.raises(SweepError, match=f"the study rates is damaged: trial 1.*{reason}"):
                read(storage, "rates")

    @pytest.mark.parametrize("text", ["", "{", "[1", '{"name": "NoDistribution"}'])
    def test_tables_that_hold_no_json_are_refused(self, storage: str, small: Mnist, tmp_path: Path, text: str) -> None:
        run(storage, small, num_runs=1)
        database = sqlite3.connect(tmp_path / "sweeps.db")
        with database:
            database.execute("UPDATE trial_params SET distribution_json = ?", [text])
        database.close()
        for read in READERS:
            with pytest.raises(SweepError, match="the study rates is damaged: "):
                read(storage, "rates")

    def test_a_message_is_shown_as_text_whatever_it_is(self, storage: str, small: Mnist) -> None:
        run(storage, small, num_runs=1)
        in_optuna(storage).add_trial(optuna.create_trial(value=0.5, user_attrs={MESSAGE: [1, 2]}))
        assert (trials(storage, "rates")[1].state, trials(storage, "rates")[1].message) == ("failed", "[1, 2]")


def storage_made(storage: str) -> str:
    """The address, once its folder exists."""
    Path(storage.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    return storage


class TestStorage:
    @pytest.mark.parametrize(
        ("address", "reason"),
        [
            ("mysql://me:secret@host/db", r"the storage mysql://\*\*\*@host/db needs a package that is not installed: MySQLdb"),
            (
                "oracle+oracledb://me:se/cr@et@host/db?wallet_password=secret",
                r"oracle\+oracledb://\*\*\*@host/db needs a package",
            ),
            ("fantasy://me:secret@host/db", r"the storage fantasy://\*\*\*@host/db cannot be opened: Can't load plugin"),
            ("redis://:secret@host:6379/0", r"redis://\*\*\*@host:6379/0 cannot be opened: Optuna unpickles what it finds there"),
            ("://", "the storage :// cannot be opened: Could not parse"),
            ("mysql://me:secret@host:port/db", r"the storage mysql://\*\*\*@host:port/db cannot be opened"),
        ],
    )
    def test_an_address_that_cannot_be_opened_is_named_without_its_password(
        self, small: Mnist, address: str, reason: str
    ) -> None:
        for use in (studies, lambda storage: trials(storage, "rates"), lambda storage: run(storage, small)):
            with pytest.raises(SweepError, match=reason) as caught:
                use(address)
            assert "secret" not in str(caught.value)
            assert "cr@et" not in str(caught.value)

    @pytest.mark.parametrize("address", ["sqlite:///{}", "{}"])
    def test_a_file_of_another_kind_is_refused_and_left_as_it_is(self, tmp_path: Path, small: Mnist, address: str) -> None:
        path = tmp_path / "notes.txt"
        path.write_text("learning rates to try\n" * 200)
        for use in (studies, lambda storage: trials(storage, "rates"), lambda storage: run(storage, small)):
            with pytest.raises(SweepError, match=r"notes\.txt cannot be opened: "):
                use(address.format(path))
        assert path.read_text() == "learning rates to try\n" * 200

    def test_a_folder_that_cannot_be_made_is_said(self, tmp_path: Path, small: Mnist) -> None:
        (tmp_path / "file").write_text("")
        for address in (default_storage(tmp_path / "file" / "runs"), str(tmp_path / "file" / "runs" / "sweeps.journal")):
            with pytest.raises(SweepError, match=r"cannot be opened: .*Not a directory"):
                run(address, small)

    def test_a_storage_that_goes_away_ends_the_sweep_with_the_reason(self, tmp_path: Path, storage: str, small: Mnist) -> None:
        records = sweep(config_for(storage), small)
        next(records)
        database = sqlite3.connect(tmp_path / "sweeps.db")
        with database:
            database.execute("DROP TABLE trial_intermediate_values")
        database.close()
        with pytest.raises(SweepError, match=r"sweeps\.db failed: no such table: trial_intermediate_values"):
            list(records)


def test_what_a_sweep_does_not_set_is_as_it_was(storage: str, small: Mnist) -> None:
    """The caller's own random numbers and warnings go on as if there had been no sweep."""
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    run(storage, small, num_runs=1)
    assert torch.equal(torch.rand(1), expected)
