"""Read a stored run back, without trust."""

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnist_fc.config import MAX_CONFIG_BYTES, ConfigError, TrainConfig
from mnist_fc.files import read_bounded
from mnist_fc.network import checkpoint
from mnist_fc.network.checkpoint import CheckpointError
from mnist_fc.records import (
    NOT_FINITE,
    NUM_NUMBERS,
    EndRecord,
    EpochRecord,
    StepRecord,
    learning_rate_of,
)
from mnist_fc.runs.layout import METRICS_NAME, STATE_NAME, RunMetadata, RunsError, bytes_on_disk, read_metadata
from mnist_fc.runs.metrics import parse_record, read_learning_rates, read_rows
from mnist_fc.runs.settings import RunSettings

# What is read of a folder from elsewhere has an end.
MAX_FILES = 1000
"""A run leaves some fifty."""


@dataclass(frozen=True)
class StoredRun:
    """A run as it was found on disk."""

    path: Path
    settings: RunSettings
    metadata: RunMetadata
    num_bytes: int
    """On disk."""
    steps: tuple[StepRecord, ...]
    """None but the last where they were not asked for."""
    epochs: tuple[EpochRecord, ...]
    end: EndRecord | None
    """None for one that was cut off, or that goes on."""

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def config(self) -> TrainConfig:
        """Its settings as it began."""
        return self.settings.config


def is_resumable(end: EndRecord | None) -> bool:
    """Whether a run that ended so can go on: one that is done has nothing left to do, and one that diverged would again."""
    return end is None or end.outcome == "stopped" or (end.outcome == "failed" and NOT_FINITE not in end.message)


def read_run(path: Path, *, with_steps: bool = True) -> StoredRun:
    """The run in the folder `path`. Raises RunsError when it is none, or does not hold what it should."""
    try:
        num_bytes = _num_bytes(path)
        config = TrainConfig.from_json(read_bounded(path / checkpoint.CONFIG_NAME, MAX_CONFIG_BYTES))
    except RunsError:
        raise
    except (OSError, ConfigError) as error:
        raise RunsError(f"the run {path.name} cannot be read: {checkpoint.CONFIG_NAME}: {error}") from None
    steps, epochs, end = [], [], None
    for row in read_rows(path, with_steps=with_steps):
        try:
            if row["outcome"]:
                end = parse_record(EndRecord, row)
            elif row["images_seen"]:
                steps.append(parse_record(StepRecord, row))
                if len(steps[-1].gradient_norms) != len(config.layer_sizes) - 1:
                    raise ValueError(f"gradient_norms are {len(steps[-1].gradient_norms)}, not one for each layer")
            else:
                epochs.append(parse_record(EpochRecord, row))
        except ValueError as error:
            raise RunsError(f"the run {path.name} cannot be read: {METRICS_NAME}: {error!s:.200}") from None
    try:
        settings = RunSettings.of(config, read_learning_rates(path), epochs)
    except (ValueError, OverflowError) as error:
        raise RunsError(f"the run {path.name} cannot be read: {METRICS_NAME}: {error!s:.200}") from None
    return StoredRun(path, settings, read_metadata(path), num_bytes, tuple(steps), tuple(epochs), end)


def read_state(path: Path, config: TrainConfig) -> dict[str, np.ndarray] | None:
    """The newest state in the run folder `path`; None where there is none. Raises RunsError for a file that is no state of a
    run with such settings, as far as can be told without the data.
    """
    if not (path / STATE_NAME).exists():
        return None
    try:
        tensors = checkpoint.load_tensors(path / STATE_NAME, _bytes_of_state(config))
        if sum(tensor.nbytes for tensor in tensors.values()) > _bytes_of_state(config):
            raise ValueError("it holds one number in place of many")
        state = {name: tensor.numpy() for name, tensor in tensors.items()}
        numbers = state["numbers"]
        if numbers.shape != (NUM_NUMBERS,) or numbers.dtype != np.float64 or not np.isfinite(numbers).all():
            raise ValueError(f"its numbers are not {NUM_NUMBERS}")
        config.replace(learning_rate=learning_rate_of(state))
    except CheckpointError as error:
        raise RunsError(str(error)) from None
    except (LookupError, TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise RunsError(f"{path / STATE_NAME} is no state of a run: {error!s:.200}") from None
    return state


def _bytes_of_state(config: TrainConfig) -> int:
    """No state of a run with these settings is larger: weights, two moments and what little there is besides."""
    return 12 * config.num_parameters + 2**20


def _num_bytes(path: Path) -> int:
    """Bytes that the files in a run's folder take on disk. Raises OSError, also for what no run leaves there: a link leads
    elsewhere, a pipe or a device has no end.
    """
    num_bytes = 0
    with os.scandir(path) as entries:
        for number, entry in enumerate(entries, start=1):
            if number > MAX_FILES:
                raise RunsError(f"the run {path.name} cannot be read: its folder has more than {MAX_FILES:,} files")
            with suppress(FileNotFoundError):  # it is gone: one that is written takes the place of another
                found = entry.stat(follow_symlinks=False)
                if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
                    raise RunsError(f"the run {path.name} cannot be read: {entry.name} is a link or no plain file")
                num_bytes += bytes_on_disk(found)
    return num_bytes
