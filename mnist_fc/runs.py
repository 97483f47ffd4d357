"""The store of runs on disk: a folder for each, with its config, its metrics, one row a record, its newest checkpoint, and the
weights to keep of its way, each a checkpoint of its own.
"""

import csv
import os
import secrets
from datetime import datetime
from pathlib import Path

from mnist_fc import checkpoint
from mnist_fc.config import TrainConfig, preset_of
from mnist_fc.engine import EndRecord, EpochRecord, HistogramsRecord, Record, StateRecord, WeightsRecord

RUNS_VARIABLE = "MNIST_FC_RUNS"

WORDS = (
    "amber birch cedar clover copper coral dune ember fern flint harbor hazel heron indigo ivory jade juniper kestrel "
    "lark laurel linen lotus maple marble meadow mint moss nectar oak ochre olive opal orchid otter pearl pebble pine "
    "plum poppy quartz raven reed river robin saffron sage slate sparrow spruce tide topaz tulip umber velvet violet "
    "walnut willow wren zephyr"
).split()

COLUMNS = [
    *("step", "epoch", "images_seen", "seconds", "train_loss", "train_accuracy", "learning_rate", "gradient_norms"),
    *("images_per_second", "val_loss", "val_accuracy", "test_loss", "test_accuracy", "outcome", "message"),
]


class RunsError(OSError):
    """The store cannot be written; the message names the folder and says why."""


def runs_dir(path: str | Path | None = None) -> Path:
    """`path`, else the environment's MNIST_FC_RUNS, else runs/ in the working folder."""
    return Path(path or os.environ.get(RUNS_VARIABLE) or "runs")


class RunFolder:
    """One run on disk. Raises RunsError when something cannot be written; what is there by then stays readable."""

    def __init__(self, store: Path, config: TrainConfig) -> None:
        self.path = _new_folder(store, config)
        self._metrics = self.path / "metrics.csv"
        self._weights: WeightsRecord | None = None
        try:
            (self.path / checkpoint.CONFIG_NAME).write_text(config.to_json(), "utf-8")
            self._append(COLUMNS)
        except OSError as error:
            raise RunsError(f"the run folder {self.path} cannot be written: {error}") from None

    @property
    def checkpoint(self) -> Path:
        """Where the newest weights are, from the end of the first epoch on."""
        return self.path / checkpoint.CHECKPOINT_NAME

    def checkpoint_at(self, step: int) -> Path:
        """Where the weights after `step` steps are, if they are among those to keep."""
        return self.path / f"step-{step:06}.ckpt"

    def write(self, record: Record) -> None:
        """Add a record: a row of metrics, or weights to keep; the newest are the checkpoint whenever an epoch or the run ends."""
        try:
            if isinstance(record, (HistogramsRecord, StateRecord)):
                return
            if isinstance(record, WeightsRecord):
                self._weights = record
                if record.is_kept and not self.checkpoint_at(record.step).exists():
                    checkpoint.save(self.checkpoint_at(record.step), record.weights)
                return
            if isinstance(record, (EpochRecord, EndRecord)) and self._weights:
                checkpoint.save(self.checkpoint, self._weights.weights)
                self._weights = None
            self._append([_cell(getattr(record, column, None)) for column in COLUMNS])
        except OSError as error:
            raise RunsError(f"the run folder {self.path} cannot be written: {error}") from None

    def _append(self, row: list[str]) -> None:
        with self._metrics.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(row)


def _new_folder(store: Path, config: TrainConfig) -> Path:
    try:
        while True:
            name = f"{datetime.now().astimezone():%Y-%m-%d-%H%M%S}-{preset_of(config)}-{secrets.choice(WORDS)}"
            try:
                (store / name).mkdir(parents=True)
                return store / name
            except FileExistsError:
                if not store.is_dir():
                    raise
    except OSError as error:
        raise RunsError(
            f"the runs folder {store} cannot be written: {error}; name another with --runs-dir or {RUNS_VARIABLE}"
        ) from None


def _cell(value: object) -> str:
    if value is None:
        return ""
    return " ".join(f"{v:.6g}" for v in value) if isinstance(value, tuple) else str(value)
