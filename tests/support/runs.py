"""Runs on disk, as the tests of runs/ write them."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

from mnist_fc.config import TrainConfig
from mnist_fc.records import Record
from mnist_fc.runs.writer import RunFolder

CONFIG = TrainConfig(hidden_sizes=(16, 8), activation="tanh", num_epochs=2, num_validation=500, threads=1)
"""Of the fixture `records`: 15 steps an epoch."""

NewRun = Callable[..., RunFolder]
"""The fixture `new_run`: RunFolder itself, but the folder is closed when the test ends."""


def write_all(folder: RunFolder, records: Sequence[Record]) -> RunFolder:
    for record in records:
        folder.write(record)
    return folder


def rows_of(run: Path) -> list[dict[str, str]]:
    """Return the rows of a run's metrics as the csv module reads them."""
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
