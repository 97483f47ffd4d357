"""Small sweeps that the tests of several modules run, and what they leave."""

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.sweep.search import sweep
from mnist_fc.sweep.space import LOG_SCALE, Interval, Space, SweepConfig, TrialRecord, Values, to_optuna_value
from mnist_fc.sweep.storage import open_storage
from mnist_fc.sweep.study import MESSAGE, SECONDS, join_study

BASE = TrainConfig(hidden_sizes=(16,), num_epochs=1, num_validation=500, threads=1)
RATES: Space = {"learning_rate": Interval(1e-5, 1e-1)}
MIXED: Space = {
    "hidden_sizes": Values(((16,), (24, 16))),
    "activation": Values(("relu", "tanh")),
    "learning_rate": Interval(1e-5, 1e-1),
    "batch_size": Interval(50, 200),
    "num_epochs": Interval(1, 2),
}


def config_for(storage: str, **changes: Any) -> SweepConfig:
    """Return a sweep of three trials over RATES, with `changes`."""
    settings: dict[str, Any] = {"base": BASE, "space": RATES, "study": "rates", "storage": storage, "num_runs": 3}
    return SweepConfig(**settings | changes)


def last_records(records: list[TrialRecord]) -> list[TrialRecord]:
    """Return the last record of each trial."""
    return [list(group)[-1] for _, group in groupby(records, key=lambda record: record.number)]


def run_sweep(storage: str, data: Mnist, **changes: Any) -> list[TrialRecord]:
    """Run `config_for(storage, **changes)`; return the last record of each trial."""
    return last_records(list(sweep(config_for(storage, **changes), data)))


def load_study(storage: str, study: str = "rates") -> optuna.Study:
    """Load a study as Optuna sees it."""
    return optuna.load_study(study_name=study, storage=storage)


def with_folder(storage: str) -> str:
    """Return the address of an SQLite file, after creating its folder."""
    Path(storage.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    return storage


# Studies whose results are known beforehand


def create_study(storage: str, study: str, space: Space, trials: Iterable[FrozenTrial] = ()) -> None:
    """Create a study as a sweep over `space` does, with these trials."""
    with open_storage(with_folder(storage), to_write=True) as opened:
        join_study(config_for(storage, study=study, space=space), opened).add_trials(trials)


def stored_trial(
    space: Space,
    accuracy: float | None = None,
    state: TrialState = TrialState.COMPLETE,
    message: str = "",
    **settings: Any,
) -> FrozenTrial:
    """Return a trial as a sweep stores it, after one epoch of 1.25 seconds if it has an accuracy."""
    return optuna.create_trial(
        state=state,
        value=accuracy if state is TrialState.COMPLETE else None,
        params={name: to_optuna_value(value) for name, value in settings.items()},
        distributions={name: _distribution(name, space[name]) for name in settings},
        intermediate_values={} if accuracy is None else {100: accuracy},
        user_attrs={SECONDS: 0.0 if accuracy is None else 1.25} | ({MESSAGE: message} if message else {}),
    )


def _distribution(name: str, varied: Values | Interval) -> BaseDistribution:
    match varied:
        case Values(options):
            return CategoricalDistribution([to_optuna_value(option) for option in options])
        case Interval(int(low), int(high)):
            return IntDistribution(low, high, log=name in LOG_SCALE)
        case Interval(low, high):
            return FloatDistribution(low, high, log=name in LOG_SCALE)
