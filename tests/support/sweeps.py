"""Small sweeps that the tests of several modules run, and what they leave."""

from itertools import groupby
from pathlib import Path
from typing import Any

import optuna

from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.sweep.search import sweep
from mnist_fc.sweep.space import Interval, Space, SweepConfig, TrialRecord, Values

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
