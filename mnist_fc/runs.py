"""A run on disk: a folder with its config, its metrics, one row a record, its checkpoint, the weights to keep of its way, the
state that it can be resumed from, a TensorBoard event file, a report, and what a person says about it.

Whatever is written is added to the end of a file or takes the place of a whole one, so that a folder can be read at any moment,
and after a kill at any moment. What is read is not trusted: it is checked, and nothing is unpickled.
"""

import builtins
import csv
import io
import json
import math
import os
import re
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TypeVar

from mnist_fc.records import learning_rate_of, step_of

if sys.platform != "win32":
    import fcntl

import numpy as np
import torch
from filelock import FileLock, Timeout

from mnist_fc.config import MAX_CONFIG_BYTES, ConfigError, TrainConfig, preset_of
from mnist_fc.events import EventFile
from mnist_fc.files import open_plain, read_whole, write_whole
from mnist_fc.network import checkpoint
from mnist_fc.network.checkpoint import CheckpointError
from mnist_fc.records import (
    KEPT_STEPS,
    MAX_KEPT,
    NOT_FINITE,
    NUM_NUMBERS,
    EndRecord,
    EpochRecord,
    Record,
    StateRecord,
    StepRecord,
    WeightsRecord,
)

ABOUT_NAME, METRICS_NAME, STATE_NAME, REPORT_NAME, LOCK_NAME = "about.json", "metrics.csv", "state.ckpt", "report.md", ".lock"

WORDS = (
    "amber birch cedar clover copper coral dune ember fern flint harbor hazel heron indigo ivory jade juniper kestrel "
    "lark laurel linen lotus maple marble meadow mint moss nectar oak ochre olive opal orchid otter pearl pebble pine "
    "plum poppy quartz raven reed river robin saffron sage slate sparrow spruce tide topaz tulip umber velvet violet "
    "walnut willow wren zephyr"
).split()

COLUMNS = [
    *("step", "epoch", "images_seen", "seconds", "train_loss", "train_accuracy", "learning_rate", "gradient_norms"),
    *("images_per_second", "val_loss", "val_accuracy", "test_loss", "test_accuracy", "outcome", "message", "train_seconds"),
]

MAX_NAME = 60
"""Characters of the name that a person gives a run."""

MAX_NUMBER = 10**9
"""Of a run in its store."""

MAX_ADDED = 200
"""Characters of what a run learned from besides MNIST."""

# What is read of a folder from elsewhere has an end.
MAX_FILES = 1000
"""A run leaves some fifty."""
MAX_METRICS_BYTES = 8 * 2**20
"""A hundred epochs come to 1 MB."""
MAX_ROWS = 20_000
"""A hundred epochs come to 6,000."""
MAX_LAYERS = 8
MAX_MESSAGE = 2000

LOCK_SECONDS = 0.5
"""So long somebody who asks whether a run is active may hold its lock, and much less."""

SYNC_SECONDS = 1.0
"""While a run goes on, what was written so long ago outlasts a loss of power, too."""

MAX_FLOAT32, MAX_INT = 3.5e38, 2**48
"""Nothing that is measured or counted is above."""


class RunsError(OSError):
    """A run cannot be written or read; the message names the file or folder and says why."""


@dataclass(frozen=True)
class About:
    """What is known of a run besides its settings."""

    name: str = ""
    """As a person calls it, at most MAX_NAME printable characters; empty for the folder's name."""
    is_pinned: bool = False
    """Whether it stays when room is made."""
    added: str = ""
    """What it learned from besides MNIST, in words; empty for nothing."""
    number: int = 0
    """Above that of every run that was in the store when it began: clocks are set back, and two runs can begin in one second."""

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and isinstance(self.added, str) and isinstance(self.is_pinned, bool)):
            raise ValueError("name and added must be text, is_pinned true or false")
        if type(self.number) is not int or not 0 <= self.number <= MAX_NUMBER:
            raise ValueError(f"number must be a whole number from 0 to {MAX_NUMBER}")
        for field, length in (("name", MAX_NAME), ("added", MAX_ADDED)):
            printable = "".join(character for character in getattr(self, field) if character.isprintable())
            object.__setattr__(self, field, printable.strip()[:length])


@dataclass(frozen=True)
class StoredRun:
    """A run as it was found on disk."""

    path: Path
    config: TrainConfig
    about: About
    num_bytes: int
    """On disk."""
    steps: tuple[StepRecord, ...]
    """None of them where they were not asked for."""
    epochs: tuple[EpochRecord, ...]
    end: EndRecord | None
    """None for one that was cut off, or that goes on."""

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.path.name


def is_resumable(end: EndRecord | None) -> bool:
    """Whether a run that ended so can go on: one that is done has nothing left to do, and one that diverged would again."""
    return end is None or end.outcome == "stopped" or (end.outcome == "failed" and NOT_FINITE not in end.message)


class RunFolder:
    """A run that is being written, by nobody else meanwhile.

    Raises RunsError when something cannot be written; what is there by then stays readable.
    """

    _events: EventFile | None = None

    def __init__(
        self,
        store: Path,
        config: TrainConfig,
        run_id: str | None = None,
        *,
        added: str = "",
        number: int = 0,
        max_bytes: float = math.inf,
    ) -> None:
        """Begin a new run in `store`, in a folder that is called `run_id` where that is given; see About for `added`, `number`.

        `max_bytes` is what it may take, at the cost of the weights kept.
        """
        path = _new_folder(store, config, run_id)
        try:
            self._open(path, config, max_bytes)
            with self._saying_why():
                write_about(self.path, About(added=added, number=number))
                self._append(COLUMNS)
                self._events = EventFile(self.path, config)
                # Last, for it makes the folder a run.
                write_whole(self.path / checkpoint.CONFIG_NAME, lambda file: file.write(config.to_json().encode()))
        except BaseException:
            with suppress(OSError, AttributeError):  # it may not have come so far as to be open
                self.close()
            shutil.rmtree(path, ignore_errors=True)
            raise

    @classmethod
    def reopen(cls, path: Path, *, max_bytes: float = math.inf) -> tuple[Self, dict[str, np.ndarray] | None]:
        """Go on with a run that was cut off or stopped, from the state that is returned; None for its beginning.

        What was written after that state is dropped. Raises RunsError for a run that cannot go on.
        """
        stored = read_run(path)
        if not is_resumable(stored.end):
            raise RunsError(f"the run {path.name} has come to its end")
        if stored.about.added:
            raise RunsError(
                f"the run {path.name} cannot go on: it learned from {stored.about.added}, which the store does not keep"
            )
        folder = cls.__new__(cls)
        folder._open(path, stored.config, max_bytes)
        try:
            state = read_state(path, stored.config)
            step = step_of(state) if state else -1
            with folder._saying_why():
                folder._cut_after(step)
                if state:
                    checkpoint.save(folder.checkpoint, {name: array for name, array in state.items() if name.startswith("fc")})
                else:
                    folder.checkpoint.unlink(missing_ok=True)
                folder._epochs = [epoch for epoch in stored.epochs if epoch.step <= step]
                folder._events = EventFile(path, stored.config, purge_from=step + 1)
        except BaseException:
            folder.close()
            raise
        return folder, state

    def _open(self, path: Path, config: TrainConfig, max_bytes: float) -> None:
        self.path = path
        self._config = config
        self._lock = FileLock(path / LOCK_NAME, thread_local=False)
        try:
            self._lock.acquire(timeout=LOCK_SECONDS)
        except Timeout:
            raise RunsError(f"the run {path.name} goes on in another program") from None
        except OSError as error:
            raise RunsError(f"the run folder {path} cannot be written: {error}") from None
        _written_here.add(path.absolute())
        self._kept = kept_checkpoints(path)
        self._max_kept = max(2, (min(max_bytes, 1e15) - _bytes_besides_kept(config)) // (4 * config.num_parameters))
        self._weights: WeightsRecord | None = None
        self._epochs: list[EpochRecord] = []
        self._synced_at = time.monotonic()

    @property
    def checkpoint(self) -> Path:
        """Where the newest weights are, from the end of the first epoch on at the latest."""
        return self.path / checkpoint.CHECKPOINT_NAME

    @property
    def kept(self) -> dict[int, Path]:
        """By step, in order: the checkpoints of the weights that are kept of its way."""
        return dict(self._kept)

    def state(self) -> dict[str, np.ndarray] | None:
        """The newest that was written; None where there is none. Raises RunsError."""
        return read_state(self.path, self._config)

    def write(self, record: Record) -> None:
        """Add a record: a row of metrics, or weights to keep, or the state; the newest weights are the checkpoint whenever an
        epoch or the run ends. Nothing can be added after an EndRecord.
        """
        with self._saying_why():
            match record:
                case WeightsRecord():
                    self._weights = record
                    if record.is_kept:
                        self._keep(record)
                case StateRecord():
                    self._sync()  # a state is of use with the rows that came before it
                    checkpoint.save(self.path / STATE_NAME, record.state)
                case StepRecord() | EpochRecord() | EndRecord():
                    if not isinstance(record, StepRecord):
                        self._save_weights()
                    self._append([_cell(getattr(record, column, None)) for column in COLUMNS])
            if self._events:
                self._events.write(record)
            match record:
                case EpochRecord():
                    self._epochs.append(record)
                    self._report(None)
                case EndRecord():
                    self._report(record)
                    self._sync()
                    self.close()

    def forget_weights(self) -> None:
        """Have the newest weights on disk alone. Raises RunsError."""
        with self._saying_why():
            if self._weights:
                self._keep(self._weights)
            self._save_weights()
        if self._events:
            self._events.forget_weights()

    def close(self) -> None:
        """Let others have it. Without an EndRecord it counts as cut off."""
        try:
            if self._events:
                self._events.close()
        finally:
            self._events = None
            _written_here.discard(self.path.absolute())
            self._lock.release()

    def _save_weights(self) -> None:
        if self._weights:
            checkpoint.save(self.checkpoint, self._weights.weights)
            self._weights = None

    def _keep(self, record: WeightsRecord) -> None:
        path = self.path / f"step-{record.step:06}.ckpt"
        if record.step in self._kept:
            return
        checkpoint.save(path, record.weights)
        self._kept[record.step] = path
        if len(self._kept) > self._max_kept:
            for step in list(self._kept)[1:-1:2]:
                self._kept.pop(step).unlink()

    def _cut_after(self, step: int) -> None:
        """Drop what was written of later steps, and of the end."""
        for left_over in self.path.glob(".*.*"):  # of a writer that was killed
            left_over.unlink()
        rows = [row for row in _rows(self.path) if int(row["step"]) <= step and not row["outcome"]]
        text = io.StringIO(newline="")
        csv.writer(text).writerows([COLUMNS, *([row[column] for column in COLUMNS] for row in rows)])
        write_whole(self.path / METRICS_NAME, lambda file: file.write(text.getvalue().encode()))
        for late in [late for late in self._kept if late > step]:
            self._kept.pop(late).unlink()

    def _append(self, row: list[str]) -> None:
        with (self.path / METRICS_NAME).open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(row)
        if time.monotonic() - self._synced_at > SYNC_SECONDS:
            self._sync()

    def _sync(self) -> None:
        with (self.path / METRICS_NAME).open("ab") as file:
            os.fsync(file.fileno())
        self._synced_at = time.monotonic()

    def _report(self, end: EndRecord | None) -> None:
        text = report(self.path.name, self._config, self._epochs, end)
        write_whole(self.path / REPORT_NAME, lambda file: file.write(text.encode()))

    @contextmanager
    def _saying_why(self) -> Iterator[None]:
        try:
            yield
        except RunsError:
            raise
        except OSError as error:
            raise RunsError(f"the run folder {self.path} cannot be written: {error}") from None


def bytes_of(config: TrainConfig) -> int:
    """About what a run with these settings comes to on disk, and no less."""
    num_kept = min(MAX_KEPT, len(KEPT_STEPS) + config.num_epochs + 1)
    return 4 * config.num_parameters * num_kept + _bytes_besides_kept(config)


def _bytes_besides_kept(config: TrainConfig) -> int:
    """model.ckpt, the state with its two moments, each of these once more while it is replaced; and an epoch's records."""
    return 4 * config.num_parameters * 8 + 100_000 * (config.num_epochs + 1) + 2_000_000


def bytes_on_disk(found: os.stat_result) -> int:
    """What a file takes; much of its size may be a hole."""
    return min(found.st_size, 512 * getattr(found, "st_blocks", found.st_size))


_written_here: set[Path] = set()
"""The folders of the runs that this program writes."""


def is_active(path: Path) -> bool:
    """Return whether some program, this one or another, is writing the run now."""
    if path.absolute() in _written_here:
        return True
    if not (path / LOCK_NAME).exists():  # to ask would make the file, and its folder
        return False
    try:
        return _is_locked(path / LOCK_NAME)
    except OSError:  # it cannot be written here, then not by a run either
        return False


if sys.platform == "win32":

    def _is_locked(path: Path) -> bool:
        try:
            # Another that asks holds it for a moment, too.
            with FileLock(path).acquire(timeout=0.05, poll_interval=0.005):
                return False
        except Timeout:
            return True

else:

    def _is_locked(path: Path) -> bool:
        """Ask with a shared lock, which others who ask can hold at the same time."""
        with open_plain(path) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False


def read_run(path: Path, *, with_steps: bool = True) -> StoredRun:
    """The run in the folder `path`. Raises RunsError when it is none, or does not hold what it should."""
    try:
        num_bytes = _num_bytes(path)
        config = TrainConfig.from_json(read_whole(path / checkpoint.CONFIG_NAME, MAX_CONFIG_BYTES))
    except RunsError:
        raise
    except (OSError, ConfigError) as error:
        raise RunsError(f"the run {path.name} cannot be read: {checkpoint.CONFIG_NAME}: {error}") from None
    steps, epochs, end = [], [], None
    for row in _rows(path, with_steps=with_steps):
        try:
            if row["outcome"]:
                end = _record(EndRecord, row)
            elif row["images_seen"]:
                steps.append(_record(StepRecord, row))
                if len(steps[-1].gradient_norms) != len(config.layer_sizes) - 1:
                    raise ValueError(f"gradient_norms are {len(steps[-1].gradient_norms)}, not one for each layer")
            else:
                epochs.append(_record(EpochRecord, row))
        except ValueError as error:
            raise RunsError(f"the run {path.name} cannot be read: {METRICS_NAME}: {error!s:.200}") from None
    return StoredRun(path, config, read_about(path), num_bytes, tuple(steps), tuple(epochs), end)


def stamp_of(path: Path) -> tuple[tuple[int, int], ...]:
    """Changes whenever a run's metrics or what is known of it does."""
    stamps = []
    for name in (METRICS_NAME, ABOUT_NAME):
        with suppress(OSError):  # there is none, or no folder
            found = (path / name).stat(follow_symlinks=False)
            stamps.append((found.st_mtime_ns, found.st_size))
    return tuple(stamps)


def read_about(path: Path) -> About:
    """What is known of the run in `path`; nothing where that is missing. Raises RunsError for a file that says something else."""
    try:
        return About(**json.loads(read_whole(path / ABOUT_NAME, MAX_CONFIG_BYTES)))
    except FileNotFoundError:
        return About()
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise RunsError(f"the run {path.name} cannot be read: {ABOUT_NAME}: {error!s:.200}") from None


def write_about(path: Path, about: About) -> None:
    """Replace what is known of the run in `path`. Raises RunsError."""
    try:
        write_whole(path / ABOUT_NAME, lambda file: file.write(json.dumps(asdict(about), indent=2).encode()))
    except OSError as error:
        raise RunsError(f"the run folder {path} cannot be written: {error}") from None


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


def kept_checkpoints(path: Path) -> dict[int, Path]:
    """By step, in order: the checkpoints that are kept of a run's way."""
    found = ((re.fullmatch(r"step-(\d{6,9})\.ckpt", file.name), file) for file in path.glob("step-*.ckpt"))
    return dict(sorted((int(match[1]), file) for match, file in found if match))


def report(name: str, config: TrainConfig, epochs: Sequence[EpochRecord], end: EndRecord | None) -> str:
    """What a person wants to know of a run, in Markdown."""
    network = "-".join(map(str, config.layer_sizes))
    outcome = (
        "It goes on, or was cut off." if end is None else f"{end.outcome.capitalize()} after {end.step:,} steps. {end.message}"
    )
    lines = [f"# {name}", "", f"{network}, preset {preset_of(config)}, PyTorch {torch.__version__}. {outcome.strip()}", ""]
    if end and end.test_accuracy is not None:
        lines += [f"Test accuracy {end.test_accuracy:.2%}, {end.train_seconds:.1f} s of training.", ""]
    if epochs:
        measured = "validation" if epochs[-1].val_accuracy is not None else "test"
        lines += [f"| epoch | loss | train accuracy | {measured} accuracy | seconds | images/s |", "| --- " * 6 + "|"]
        for epoch in epochs:
            accuracy = epoch.test_accuracy if epoch.val_accuracy is None else epoch.val_accuracy
            lines.append(
                f"| {epoch.epoch} | {epoch.train_loss:.4f} | {epoch.train_accuracy:.2%} | {accuracy or 0.0:.2%} "
                f"| {epoch.seconds:.2f} | {epoch.images_per_second:,.0f} |"
            )
        lines.append("")
    lines += ["| setting | value |", "| --- | --- |"]
    lines += [f"| {field} | {value} |" for field, value in asdict(config).items()]
    return "\n".join([*lines, ""])


def _rows(path: Path, *, with_steps: bool = True) -> list[dict[str, str]]:
    """The rows of a run's metrics, without one that was not written whole. Raises RunsError."""
    try:
        content = read_whole(path / METRICS_NAME, MAX_METRICS_BYTES)
        if content.count(b"\r\n") > MAX_ROWS:
            raise OSError(f"it has more than {MAX_ROWS:,} rows")
        lines = content.split(b"\r\n")[:-1]  # what follows the last is not whole, or nothing
        if not with_steps:
            lines = lines[:1] + [line for line in lines[1:] if line.split(b",", 3)[2:3] == [b""]]
        rows = list(csv.reader(b"\r\n".join(lines).decode("utf-8").split("\r\n"))) if lines else []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RunsError(f"the run {path.name} cannot be read: {METRICS_NAME}: {error}") from None
    if rows and rows[0] != COLUMNS:
        raise RunsError(f"the run {path.name} cannot be read: the columns of {METRICS_NAME} are not {', '.join(COLUMNS)}")
    return [dict(zip(COLUMNS, row, strict=False)) for row in rows[1:] if len(row) == len(COLUMNS)]


R = TypeVar("R", StepRecord, EpochRecord, EndRecord)


def _record(kind: type[R], row: dict[str, str]) -> R:
    """The record that a row was written from. Raises ValueError for a cell that it cannot have."""
    values: dict[str, Any] = {}
    for field in fields(kind):
        cell = row[field.name]
        match field.type:
            case builtins.int:
                values[field.name] = int(cell)
            case builtins.float:
                values[field.name] = float(cell)
            case _ if field.name == "gradient_norms":
                values[field.name] = tuple(map(float, cell.split(maxsplit=MAX_LAYERS)))
            case _ if field.name in ("outcome", "message"):
                values[field.name] = cell[:MAX_MESSAGE]
            case _:
                values[field.name] = float(cell) if cell else None
    for name, value in values.items():
        for number in value if isinstance(value, tuple) else (value,):
            is_wrong = isinstance(number, int) and not 0 <= number <= MAX_INT
            if is_wrong or (isinstance(number, float) and abs(number) > MAX_FLOAT32):
                raise ValueError(f"{name} is {number!r:.40}")
    if values.get("outcome", "done") not in ("done", "stopped", "failed"):
        raise ValueError(f"outcome is {values['outcome']!r}")
    return kind(**values)


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


def new_id(config: TrainConfig) -> str:
    """A name for a run that begins now: date, preset and a word."""
    return f"{datetime.now().astimezone():%Y-%m-%d-%H%M%S}-{preset_of(config)}-{secrets.choice(WORDS)}"


def _new_folder(store: Path, config: TrainConfig, run_id: str | None) -> Path:
    try:
        while True:
            path = store / (run_id or new_id(config))
            try:
                path.mkdir(parents=True)
                return path
            except FileExistsError:
                if run_id or not store.is_dir():
                    raise
    except OSError as error:
        raise RunsError(
            f"the runs folder {store} cannot be written: {error}; name another with --runs-dir or MNIST_FC_RUNS"
        ) from None


def _cell(value: object) -> str:
    if value is None:
        return ""
    return " ".join(f"{v:.6g}" for v in value) if isinstance(value, tuple) else str(value)
