"""Write a run's folder: config, metrics, checkpoint, kept snapshots, state to resume from, TensorBoard file, report and metadata.

Every write appends to a file or replaces one atomically, so a folder can be read at any moment, also after a kill.
"""

import csv
import io
import math
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from mnist_fc.analysis.diagnosis import outcome_word
from mnist_fc.config import TrainConfig, preset_of
from mnist_fc.data.lesson import Lesson
from mnist_fc.files import atomic_write, reason, sync
from mnist_fc.network import checkpoint
from mnist_fc.records import (
    EndRecord,
    EpochRecord,
    HeldOutRecord,
    Record,
    StateRecord,
    StepRecord,
    WeightsRecord,
    step_of,
)
from mnist_fc.runs.layout import (
    METRICS_NAME,
    REPORT_NAME,
    STATE_NAME,
    RunMetadata,
    RunsError,
    bytes_besides_kept,
    kept_checkpoints,
    write_metadata,
)
from mnist_fc.runs.lessons import read_lesson, write_held_out, write_lesson
from mnist_fc.runs.lock import WRITTEN_HERE, acquire
from mnist_fc.runs.metrics import COLUMNS, format_row, read_rows
from mnist_fc.runs.reader import is_resumable, read_run, read_state
from mnist_fc.runs.report import report
from mnist_fc.runs.settings import RunSettings

if TYPE_CHECKING:
    from mnist_fc.runs.tensorboard import EventFile

WORDS = (
    "amber birch cedar clover copper coral dune ember fern flint harbor hazel heron indigo ivory jade juniper kestrel "
    "lark laurel linen lotus maple marble meadow mint moss nectar oak ochre olive opal orchid otter pearl pebble pine "
    "plum poppy quartz raven reed river robin saffron sage slate sparrow spruce tide topaz tulip umber velvet violet "
    "walnut willow wren zephyr"
).split()


SYNC_SECONDS = 1.0
"""While a run is running, metrics older than this survive a power failure."""


class RunFolder:
    """A run that this process is writing, and no other.

    Methods raise RunsError when something cannot be written; what was written before stays readable.
    """

    _events: "EventFile | None" = None

    def __init__(
        self,
        store: Path,
        config: TrainConfig,
        run_id: str | None = None,
        *,
        added: str = "",
        number: int = 0,
        max_bytes: float = math.inf,
        lesson: Lesson | None = None,
    ) -> None:
        """Start a new run in `store`, in a folder called `run_id` if given; see RunMetadata for `added` and `number`.

        It keeps fewer snapshots if it would take more than `max_bytes` otherwise.
        """
        path = _new_folder(store, config, run_id)
        try:
            self._open(path, config, max_bytes)
            with self._reporting_errors():
                if lesson:
                    write_lesson(path, lesson)
                write_metadata(self.path, RunMetadata(added=added, number=number))
                self._append(COLUMNS)
                self._events = _new_event_file(self.path, config)
                # Last, because a folder with a config counts as a run.
                atomic_write(self.path / checkpoint.CONFIG_NAME, lambda file: file.write(config.to_json().encode()))
        except BaseException:
            with suppress(OSError, AttributeError):  # opening may have failed half-way
                self.close()
            shutil.rmtree(path, ignore_errors=True)
            raise

    @classmethod
    def reopen(cls, path: Path, *, max_bytes: float = math.inf) -> tuple[Self, dict[str, np.ndarray] | None]:
        """Resume an interrupted or stopped run; return its folder, and the state to resume from, or None for its start.

        What was written after that state is dropped. Raises RunsError for a run that cannot resume.
        """
        stored = read_run(path)
        if not is_resumable(stored.end):
            raise RunsError(f"the run {path.name} cannot resume: it is done or has diverged")
        if stored.metadata.added:
            raise RunsError(
                f"the run {path.name} cannot resume: it was trained on {stored.metadata.added}, which the store does not keep"
            )
        read_lesson(path, stored.config.layer_sizes)  # which may be damaged
        folder = cls.__new__(cls)
        folder._open(path, stored.config, max_bytes)
        try:
            state = read_state(path, stored.config)
            step = step_of(state) if state else -1
            with folder._reporting_errors():
                folder._truncate_after(step)
                if state:
                    checkpoint.save(folder.checkpoint, {name: array for name, array in state.items() if name.startswith("fc")})
                else:
                    folder.checkpoint.unlink(missing_ok=True)
                folder._steps = [record for record in stored.steps if record.step <= step]
                folder._epochs = [epoch for epoch in stored.epochs if epoch.step <= step]
                folder._events = _new_event_file(path, stored.config, purge_from=step + 1)
        except BaseException:
            folder.close()
            raise
        return folder, state

    def _open(self, path: Path, config: TrainConfig, max_bytes: float) -> None:
        self.path = path
        self._config = config
        self._lock = acquire(path)
        WRITTEN_HERE.add(path.absolute())
        self._kept = kept_checkpoints(path)
        self._max_kept = max(2, (min(max_bytes, 1e15) - bytes_besides_kept(config)) // (4 * config.num_parameters))
        self._weights: WeightsRecord | None = None
        self._epochs: list[EpochRecord] = []
        self._steps: list[StepRecord] = []
        self._synced_at = time.monotonic()

    @property
    def checkpoint(self) -> Path:
        """The file of the newest weights. It exists from the end of the first epoch at the latest."""
        return self.path / checkpoint.CHECKPOINT_NAME

    @property
    def kept(self) -> dict[int, Path]:
        """The checkpoints of kept weights, by step, in order."""
        return dict(self._kept)

    def state(self) -> dict[str, np.ndarray] | None:
        """Return the newest state written, or None. Raises RunsError."""
        return read_state(self.path, self._config)

    def write(self, record: Record) -> None:
        """Add a record: a row of metrics, weights to keep, or the state.

        When an epoch or the run ends, the newest weights become the checkpoint. Nothing can be added after an EndRecord.
        """
        with self._reporting_errors():
            match record:
                case WeightsRecord():
                    self._weights = record
                    if record.is_kept:
                        self._keep(record)
                case HeldOutRecord():
                    write_held_out(self.path, record)
                case StateRecord():
                    self._sync()  # a state is useful only with the rows before it
                    checkpoint.save(self.path / STATE_NAME, record.state)
                case StepRecord() | EpochRecord() | EndRecord():
                    if not isinstance(record, StepRecord):
                        self._save_weights()
                    self._append(format_row(record))
            if self._events:
                self._events.write(record, has_diverged=isinstance(record, EndRecord) and self.outcome_word(record) == "diverged")
            match record:
                case StepRecord():
                    self._steps.append(record)
                case EpochRecord():
                    self._epochs.append(record)
                    self._report(None)
                case EndRecord():
                    self._report(record)
                    self._sync()
                    self.close()

    def outcome_word(self, end: EndRecord) -> str:
        """Return the word for how the run ended, judged by all its steps: also by those from before it was resumed."""
        return outcome_word(self._steps, end)

    def release_weights(self) -> None:
        """Write the newest weights to disk and release their memory. Raises RunsError."""
        with self._reporting_errors():
            if self._weights:
                self._keep(self._weights)
            self._save_weights()
        if self._events:
            self._events.release_weights()

    def close(self) -> None:
        """Release the folder. Without an EndRecord the run counts as interrupted."""
        try:
            if self._events:
                self._events.close()
        finally:
            self._events = None
            WRITTEN_HERE.discard(self.path.absolute())
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

    def _truncate_after(self, step: int) -> None:
        """Drop everything written after `step`, and the end."""
        for left_over in self.path.glob(".*.*"):  # by a writer that was killed
            left_over.unlink()
        rows = [row for row in read_rows(self.path) if int(row["step"]) <= step and not row["outcome"]]
        text = io.StringIO(newline="")
        csv.writer(text).writerows([COLUMNS, *([row[column] for column in COLUMNS] for row in rows)])
        atomic_write(self.path / METRICS_NAME, lambda file: file.write(text.getvalue().encode()))
        for late in [late for late in self._kept if late > step]:
            self._kept.pop(late).unlink()

    def _append(self, row: list[str]) -> None:
        with (self.path / METRICS_NAME).open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(row)
        if time.monotonic() - self._synced_at > SYNC_SECONDS:
            self._sync()

    def _sync(self) -> None:
        with (self.path / METRICS_NAME).open("ab") as file:
            sync(file.fileno())
        self._synced_at = time.monotonic()

    def _report(self, end: EndRecord | None) -> None:
        learning_rates = ((record.step, record.learning_rate) for record in self._steps)
        settings = RunSettings.of(self._config, learning_rates, self._epochs)
        text = report(self.path.name, settings, self._steps, self._epochs, end)
        atomic_write(self.path / REPORT_NAME, lambda file: file.write(text.encode()))

    @contextmanager
    def _reporting_errors(self) -> Iterator[None]:
        try:
            yield
        except RunsError:
            raise
        except OSError as error:
            raise RunsError(f"the run folder {self.path} cannot be written: {reason(error)}") from None


def new_id(config: TrainConfig, kind: str = "") -> str:
    """Return an id for a run that starts now: date, `kind` or else the preset, and a random word."""
    return f"{datetime.now().astimezone():%Y-%m-%d-%H%M%S}-{kind or preset_of(config)}-{secrets.choice(WORDS)}"


def _new_event_file(folder: Path, config: TrainConfig, *, purge_from: int | None = None) -> "EventFile":
    from mnist_fc.runs.tensorboard import EventFile  # imported here: reading and drawing need no TensorBoard, which takes 0.2 s

    return EventFile(folder, config, purge_from=purge_from)


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
            f"the runs folder {store} cannot be written: {reason(error)}; name another with --runs-dir or MNIST_FC_RUNS"
        ) from None
