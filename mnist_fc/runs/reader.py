"""Read a stored run without trusting it: everything is checked and bounded."""

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
    NUM_NUMBERS,
    EndRecord,
    EpochRecord,
    StepRecord,
    learning_rate_of,
    reports_overflow,
)
from mnist_fc.runs.layout import METRICS_NAME, STATE_NAME, RunMetadata, RunsError, bytes_on_disk, read_metadata
from mnist_fc.runs.metrics import parse_learning_rates, parse_record, parse_rows, read_lines
from mnist_fc.runs.settings import RunSettings

MAX_FILES = 1000
"""A run has about fifty files."""


@dataclass(frozen=True)
class StoredRun:
    """A run as it is on disk."""

    path: Path
    settings: RunSettings
    metadata: RunMetadata
    num_bytes: int
    """Bytes on disk."""
    steps: tuple[StepRecord, ...]
    """Only the last one if the run was read without steps."""
    epochs: tuple[EpochRecord, ...]
    end: EndRecord | None
    """None if the run was interrupted or is running."""

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def config(self) -> TrainConfig:
        """Its settings as it began."""
        return self.settings.config


def is_resumable(end: EndRecord | None) -> bool:
    """Return whether a run with this end can resume: a finished run has nothing left to do, and a diverged one would again."""
    return end is None or end.outcome == "stopped" or (end.outcome == "failed" and not reports_overflow(end.message))


def read_run(path: Path, *, with_steps: bool = True) -> StoredRun:
    """Return the run in the folder `path`. Raises RunsError for a folder that is not a run, or is malformed."""
    try:
        num_bytes = _num_bytes(path)
        config = TrainConfig.from_json(read_bounded(path / checkpoint.CONFIG_NAME, MAX_CONFIG_BYTES))
    except RunsError:
        raise
    except (OSError, ConfigError) as error:
        raise RunsError(f"the run {path.name} cannot be read: {checkpoint.CONFIG_NAME}: {error}") from None
    steps, epochs, end = [], [], None
    lines = read_lines(path)
    for row in parse_rows(path, lines, with_steps=with_steps):
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
        settings = RunSettings.of(config, parse_learning_rates(lines), epochs)
    except (ValueError, OverflowError) as error:
        raise RunsError(f"the run {path.name} cannot be read: {METRICS_NAME}: {error!s:.200}") from None
    return StoredRun(path, settings, read_metadata(path), num_bytes, tuple(steps), tuple(epochs), end)


def read_state(path: Path, config: TrainConfig) -> dict[str, np.ndarray] | None:
    """Return the newest state in the run folder `path`, or None if there is none.

    Raises RunsError unless it is the state of a run with these settings; the data is not checked.
    """
    if not (path / STATE_NAME).exists():
        return None
    try:
        tensors = checkpoint.load_tensors(path / STATE_NAME, _bytes_of_state(config))
        if sum(tensor.nbytes for tensor in tensors.values()) > _bytes_of_state(config):
            raise ValueError("it repeats one number in place of many")
        state = {name: tensor.numpy() for name, tensor in tensors.items()}
        numbers = state["numbers"]
        if numbers.shape != (NUM_NUMBERS,) or numbers.dtype != np.float64 or not np.isfinite(numbers).all():
            raise ValueError(f"its numbers are not {NUM_NUMBERS}")
        config.replace(learning_rate=learning_rate_of(state))
    except CheckpointError as error:
        raise RunsError(str(error)) from None
    except (LookupError, TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise RunsError(f"{path / STATE_NAME} is not the state of a run: {error!s:.200}") from None
    return state


def _bytes_of_state(config: TrainConfig) -> int:
    """Return an upper bound of a state's bytes: weights, two moments, and little besides."""
    return 12 * config.num_parameters + 2**20


def _num_bytes(path: Path) -> int:
    """Return the bytes that a run's folder takes on disk.

    Raises OSError, also if it holds what no run leaves there: links lead elsewhere, and pipes and devices never end.
    """
    num_bytes = 0
    with os.scandir(path) as entries:
        for number, entry in enumerate(entries, start=1):
            if number > MAX_FILES:
                raise RunsError(f"the run {path.name} cannot be read: its folder has more than {MAX_FILES:,} files")
            with suppress(FileNotFoundError):  # gone: a new file has replaced it
                found = entry.stat(follow_symlinks=False)
                if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
                    raise RunsError(f"the run {path.name} cannot be read: {entry.name} is not a regular file")
                num_bytes += bytes_on_disk(found)
    return num_bytes
