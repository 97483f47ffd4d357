"""What a study tells of its sweeps: trials, settings and importances; and which values it rejects."""

import math
import sqlite3
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import TrialState

from mnist_fc.data.mnist import Mnist
from mnist_fc.sweep.errors import SweepError
from mnist_fc.sweep.search import sweep
from mnist_fc.sweep.space import Interval, Space, TrialRecord, Values
from mnist_fc.sweep.study import DESCRIPTION, MESSAGE, MIN_DONE, base_and_space, importances, studies, trials
from tests.support.sweeps import BASE, MIXED, config_for, last_records, load_study, run_sweep, with_folder

pytestmark = pytest.mark.integration

RATE: dict[str, BaseDistribution] = {"learning_rate": FloatDistribution(1e-5, 1e-1, log=True)}
READERS = (trials, importances)


class TestStudy:
    def test_trials_are_the_last_records_of_the_sweep(self, mixed: tuple[str, list[TrialRecord]]) -> None:
        assert trials(mixed[0], "mixed") == last_records(mixed[1])

    def test_running_trial_is_among_the_trials(self, storage: str, small: Mnist) -> None:
        for record in sweep(config_for(storage, num_runs=2, base=BASE.replace(num_epochs=2)), small):
            assert trials(storage, "rates")[-1] == record

    def test_base_and_space_are_stored(self, mixed: tuple[str, list[TrialRecord]]) -> None:
        assert base_and_space(mixed[0], "mixed") == (BASE, MIXED)

    def test_only_studies_of_sweeps_are_listed(self, storage: str, small: Mnist) -> None:
        run_sweep(storage, small, study="b", num_runs=1)
        optuna.create_study(storage=storage, study_name="others")
        run_sweep(storage, small, study="a", num_runs=1)
        assert studies(storage) == ["b", "a"]

    def test_reading_before_the_first_sweep_creates_no_file(self, tmp_path: Path, storage: str) -> None:
        for address in (storage, str(tmp_path / "sweeps.journal")):
            assert studies(address) == []
            for read in (trials, base_and_space, importances):
                with pytest.raises(SweepError, match=r"there is no study rates in .*sweeps"):
                    read(address, "rates")
        assert list(tmp_path.iterdir()) == []

    def test_unknown_study_is_named_in_the_error(self, mixed: tuple[str, list[TrialRecord]]) -> None:
        with pytest.raises(SweepError, match=r"there is no study rates in sqlite:///.*sweeps\.db"):
            trials(mixed[0], "rates")

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"base": BASE.replace(batch_size=50)}, "the study rates has batch_size 100, not 50; to change it, name a new study"),
            ({"base": BASE.replace(hidden_sizes=(16, 8))}, "has hidden_sizes 16, not 16-8"),
            ({"space": {"learning_rate": Interval(1e-4, 1e-1)}}, r"varies learning_rate=1e-05\.\.0\.1; to vary anything else"),
            ({"space": {"learning_rate": Values((0.1,))}}, "to vary anything else, name a new study"),
        ],
    )
    def test_other_base_or_space_is_rejected(self, storage: str, small: Mnist, change: dict[str, Any], reason: str) -> None:
        run_sweep(storage, small, num_runs=1)
        with pytest.raises(SweepError, match=reason):
            run_sweep(storage, small, **change)
        assert len(trials(storage, "rates")) == 1

    def test_base_values_of_varied_fields_do_not_matter(self, storage: str, small: Mnist) -> None:
        run_sweep(storage, small, num_runs=1)
        assert run_sweep(storage, small, base=BASE.replace(learning_rate=0.5), num_runs=1)[0].number == 1


class TestImportances:
    def test_shares_sum_to_one_and_descend(self, mixed: tuple[str, list[TrialRecord]]) -> None:
        shares = importances(mixed[0], "mixed")
        assert shares.keys() == MIXED.keys()
        assert sum(shares.values()) == pytest.approx(1)
        assert list(shares.values()) == sorted(shares.values(), reverse=True)

    def test_decisive_field_comes_first(self, storage: str, small: Mnist) -> None:
        space: Space = {"initialization": Values(("pytorch", "keras")), "learning_rate": Interval(1e-5, 1e-1)}
        run_sweep(storage, small, space=space, num_runs=24)
        assert next(iter(importances(storage, "rates"))) == "learning_rate"

    def test_too_few_trials_give_no_importances(self, storage: str, small: Mnist) -> None:
        run_sweep(storage, small, num_runs=MIN_DONE - 1)
        assert importances(storage, "rates") == {}
        run_sweep(storage, small, num_runs=1)
        assert importances(storage, "rates") == {"learning_rate": 1.0}

    def test_equal_accuracies_give_no_importances(self, storage: str, small: Mnist) -> None:
        run_sweep(storage, small, num_runs=1)
        study = load_study(storage)
        value = study.trials[0].value
        for _ in range(MIN_DONE):
            study.add_trial(optuna.create_trial(value=value, params=study.trials[0].params, distributions=RATE))
        assert importances(storage, "rates") == {}


class TestForeignValues:
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
            ({"base": {}, "space": {"dropout": {"options": 3}}}, "its search space cannot be read"),
            ({"base": {}, "space": {"dropout": [0, 0.1, 0.2]}}, "its search space cannot be read"),
            ({"base": {}, "space": [1]}, "its search space cannot be read"),
            ({"base": {}, "space": {}}, "there is nothing to vary"),
            ({"base": {}}, "its search space cannot be read"),
            ([], "its search space cannot be read"),
            ("text", "its search space cannot be read"),
        ],
    )
    def test_invalid_description_is_rejected(self, storage: str, small: Mnist, description: object, reason: str) -> None:
        optuna.create_study(storage=with_folder(storage), study_name="rates", direction="maximize").set_user_attr(
            DESCRIPTION, description
        )
        for read in (base_and_space, *READERS):
            with pytest.raises(SweepError, match=f"the study rates is damaged: .*{reason}"):
                read(storage, "rates")
        with pytest.raises(SweepError, match=reason):
            run_sweep(storage, small)

    def test_study_of_another_program_is_not_joined(self, storage: str, small: Mnist) -> None:
        optuna.create_study(storage=with_folder(storage), study_name="rates", direction="minimize")
        for read in (base_and_space, *READERS):
            with pytest.raises(SweepError, match="the study rates was not created by a sweep of this program"):
                read(storage, "rates")
        with pytest.raises(SweepError, match="was not created by a sweep"):
            run_sweep(storage, small)

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
    def test_invalid_trial_is_rejected(self, storage: str, small: Mnist, trial: dict[str, Any], reason: str) -> None:
        run_sweep(storage, small, num_runs=1)
        given: dict[str, Any] = {"value": 0.5, "params": {"learning_rate": 0.1}} | trial
        given["distributions"] = {name: FloatDistribution(1e-5, 10, log=True) for name in given["params"]}
        load_study(storage).add_trial(optuna.create_trial(**given))
        for read in READERS:
            with pytest.raises(SweepError, match=f"the study rates is damaged: trial 1.*{reason}"):
                read(storage, "rates")

    @pytest.mark.parametrize("text", ["", "{", "[1", '{"name": "NoDistribution"}'])
    def test_invalid_json_in_tables_is_rejected(self, storage: str, small: Mnist, tmp_path: Path, text: str) -> None:
        run_sweep(storage, small, num_runs=1)
        database = sqlite3.connect(tmp_path / "sweeps.db")
        with database:
            database.execute("UPDATE trial_params SET distribution_json = ?", [text])
        database.close()
        for read in READERS:
            with pytest.raises(SweepError, match="the study rates is damaged: "):
                read(storage, "rates")

    def test_message_of_another_type_becomes_text(self, storage: str, small: Mnist) -> None:
        run_sweep(storage, small, num_runs=1)
        load_study(storage).add_trial(optuna.create_trial(value=0.5, user_attrs={MESSAGE: [1, 2]}))
        assert (trials(storage, "rates")[1].state, trials(storage, "rates")[1].message) == ("failed", "[1, 2]")
