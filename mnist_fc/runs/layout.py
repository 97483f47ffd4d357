"""The files of a run's folder, their sizes, and the run's metadata."""

import json
import os
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from mnist_fc.config import MAX_CONFIG_BYTES, TrainConfig
from mnist_fc.files import atomic_write, read_bounded, reason
from mnist_fc.records import (
    KEPT_STEPS,
    MAX_KEPT,
)

METADATA_NAME, METRICS_NAME, STATE_NAME, REPORT_NAME, LOCK_NAME = "about.json", "metrics.csv", "state.ckpt", "report.md", ".lock"

MAX_NAME = 60
"""Length of a run's name in characters."""

MAX_NUMBER = 10**9
"""The highest number of a run in its store."""

MAX_ADDED = 200
"""Length of the description of added training data in characters."""


class RunsError(OSError):
    """A run cannot be written or read; the message names the file or folder and the reason."""


@dataclass(frozen=True)
class RunMetadata:
    """The data about a run besides its settings and records."""

    name: str = ""
    """The name that a person gave it, at most MAX_NAME printable characters; empty for the folder's name."""
    is_pinned: bool = False
    """Whether it is never evicted."""
    added: str = ""
    """The data it was trained on besides MNIST, in words; empty if none."""
    number: int = 0
    """Higher than that of every earlier run in the store; times do not order runs, since clocks are set back."""

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and isinstance(self.added, str) and isinstance(self.is_pinned, bool)):
            raise ValueError("name and added must be text, is_pinned true or false")
        if type(self.number) is not int or not 0 <= self.number <= MAX_NUMBER:
            raise ValueError(f"number must be a whole number from 0 to {MAX_NUMBER}")
        for field, length in (("name", MAX_NAME), ("added", MAX_ADDED)):
            printable = "".join(character for character in getattr(self, field) if character.isprintable())
            object.__setattr__(self, field, printable.strip()[:length])


def bytes_of(config: TrainConfig) -> int:
    """Return an upper bound, not far off, of the bytes that a run with these settings takes on disk."""
    num_kept = min(MAX_KEPT, len(KEPT_STEPS) + config.num_epochs + 1)
    return 4 * config.num_parameters * num_kept + bytes_besides_kept(config)


def bytes_besides_kept(config: TrainConfig) -> int:
    """Return the bytes of model.ckpt and of the state with its two moments, each twice while replaced, and of all records."""
    return 4 * config.num_parameters * 8 + 100_000 * (config.num_epochs + 1) + 2_000_000


def bytes_on_disk(found: os.stat_result) -> int:
    """Return the bytes that a file takes on disk: fewer than its size if it has holes."""
    return min(found.st_size, 512 * getattr(found, "st_blocks", found.st_size))


def fingerprint(path: Path) -> tuple[tuple[int, int], ...]:
    """Return a value that changes whenever a run's metrics or metadata do: times and sizes of their files."""
    stamps = []
    for name in (METRICS_NAME, METADATA_NAME):
        with suppress(OSError):  # the file or the folder is missing
            found = (path / name).stat(follow_symlinks=False)
            stamps.append((found.st_mtime_ns, found.st_size))
    return tuple(stamps)


def read_metadata(path: Path) -> RunMetadata:
    """Return the metadata of the run in `path`, or the default if it has none. Raises RunsError for a malformed file."""
    try:
        return RunMetadata(**json.loads(read_bounded(path / METADATA_NAME, MAX_CONFIG_BYTES)))
    except FileNotFoundError:
        return RunMetadata()
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise RunsError(f"the run {path.name} cannot be read: {METADATA_NAME}: {error!s:.200}") from None


def write_metadata(path: Path, value: RunMetadata) -> None:
    """Replace the metadata of the run in `path`. Raises RunsError."""
    try:
        atomic_write(path / METADATA_NAME, lambda file: file.write(json.dumps(asdict(value), indent=2).encode()))
    except OSError as error:
        raise RunsError(f"the run folder {path} cannot be written: {reason(error)}") from None


def kept_checkpoints(path: Path) -> dict[int, Path]:
    """Return the checkpoints kept during a run, by step, in order."""
    found = ((re.fullmatch(r"step-(\d{6,9})\.ckpt", file.name), file) for file in path.glob("step-*.ckpt"))
    return dict(sorted((int(match[1]), file) for match, file in found if match))
