"""Run: a training run as the server knows it, whether it waits, trains here or was read from the store.

Pages read it through immutable snapshots.
"""

import contextlib
import math
import threading
import time
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal, Self

import numpy as np

from mnist_fc.config import ConfigError, TrainConfig
from mnist_fc.data.lesson import Lesson
from mnist_fc.network import checkpoint
from mnist_fc.network.checkpoint import CheckpointError
from mnist_fc.records import EndRecord, EpochRecord, HeldOutRecord, Record, StateRecord, StepRecord, WeightsRecord
from mnist_fc.runs.layout import STATE_NAME, RunsError, fingerprint, kept_checkpoints
from mnist_fc.runs.lessons import read_held_out, read_lesson
from mnist_fc.runs.lock import is_locked
from mnist_fc.runs.reader import StoredRun, is_resumable
from mnist_fc.runs.settings import RunSettings
from mnist_fc.runs.store import RunStore
from mnist_fc.runs.writer import RunFolder
from mnist_fc.server.estimate import expected_seconds, num_images_of_run
from mnist_fc.server.job import ACTIVE_STATES, Job, JobEnd, JobState

BYTES_OF_STEP = 500
"""The memory of a StepRecord with its numbers."""

RATE_RECORDS = 30
"""The number of records over which the speed of a run is measured: half an epoch."""


@dataclass(frozen=True)
class RunSnapshot:
    """A run as it was at one moment."""

    id: str
    config: TrainConfig
    """The settings that the run began with."""
    learning_rate: float
    """The schedule's peak, as last set."""
    state: JobState
    message: str
    """Why the run failed, or was stopped without a press of Stop; else empty."""
    storage_problem: str
    """Why the run is not in the store on disk; empty if it is."""
    is_resumable: bool
    """Whether it was interrupted or stopped, and can be resumed from its last state."""
    steps: tuple[StepRecord, ...]
    epochs: tuple[EpochRecord, ...]
    weights: WeightsRecord | None
    """The newest copy."""
    kept: dict[int, Path]
    """The checkpoints that were kept on disk, by step in ascending order."""
    end: EndRecord | None
    lesson: Lesson | None = None
    """What the network is taught besides MNIST; None for other runs."""
    held_out: tuple[int, ...] | None = None
    """The answer for each digit of the lesson by a network that was not taught it; None until that is known."""

    @property
    def is_active(self) -> bool:
        """Whether it has not ended."""
        return self.state in ACTIVE_STATES

    @cached_property
    def settings(self) -> RunSettings:
        """The settings that it was trained with so far, and that the next step uses."""
        learning_rates = ((record.step, record.learning_rate) for record in self.steps)
        return RunSettings.of(self.config, learning_rates, self.epochs, self.learning_rate if self.is_active else None)

    @property
    def in_words(self) -> str:
        """Its preset and what was changed of it, or what it was taught."""
        if self.lesson is None:
            return self.settings.in_words
        count = len(self.lesson.labels)
        return f"taught {count} own {'digit' if count == 1 else 'digits'}"

    def num_train_images(self, in_data: int) -> int:
        """Return the number of images to train on, of which `in_data` are in the data set."""
        return self.lesson.num_images(in_data) if self.lesson else in_data

    @property
    def last_step(self) -> int:
        """The last step that any record tells of; 0 before the first."""
        last_records = (self.steps[-1] if self.steps else None, self.weights, self.end)
        return max((record.step for record in last_records if record), default=0)

    def up_to(self, step: int) -> "RunSnapshot":
        """Return the run with its figures as they were after `step` steps."""
        steps = tuple(record for record in self.steps if record.step <= step)
        epochs = tuple(record for record in self.epochs if record.step <= step)
        return replace(self, steps=steps, epochs=epochs, end=self.end if self.end and self.end.step <= step else None)

    @property
    def images_per_second(self) -> float | None:
        """The speed over the last RATE_RECORDS records; None before the first."""
        if not self.steps:
            return None
        last, earlier = self.steps[-1], self.steps[-min(RATE_RECORDS, len(self.steps))]
        if earlier.images_seen < last.images_seen and earlier.seconds < last.seconds:
            return (last.images_seen - earlier.images_seen) / (last.seconds - earlier.seconds)
        return last.images_seen / last.seconds if last.seconds > 0 else None


class Run(Job):
    """One run, written by the scheduler and read through `snapshot`.

    Two locks keep pages from waiting for the disk: `_changed` guards what `snapshot` reads and is held for moments, `_writing`
    guards the folder and is held while it is written. A thread that needs both takes `_writing` first.
    """

    busy_message = "Another run is training"

    def __init__(self, run_id: str, config: TrainConfig, session_id: str = "", lesson: Lesson | None = None) -> None:
        super().__init__(run_id, session_id)
        self.config = config
        self.lesson = lesson
        self.learning_rate = config.learning_rate
        """The schedule's peak, as last set."""
        self.path: Path | None = None
        """Its folder in the store; None before its first slice, and if the folder could not be created."""
        self.storage_problem = ""
        """Why it is not in the store on disk; empty if it is."""
        self._writing = threading.Lock()
        self._folder: RunFolder | None = None
        self._fingerprint: object = None
        self._added = ""
        self._message = ""
        self._steps: list[StepRecord] = []
        self._epochs: list[EpochRecord] = []
        self._weights = WeightsRecord(0, 0, lesson.start) if lesson and lesson.start else None
        """The newest copy. A lesson has weights before it begins, so that a network reads while it waits."""
        self._kept: dict[int, Path] = {}
        self._last_state: dict[str, np.ndarray] | None = None
        self._end: EndRecord | None = None
        self._held_out: tuple[int, ...] | None = None

    @classmethod
    def stored(cls, run: StoredRun, read_at: object) -> Self:
        """Return a run as it is on disk; `read_at` is the fingerprint of its folder from before it was read.

        A run without an end was interrupted, or another program is training it.
        """
        lesson = None
        with contextlib.suppress(RunsError):  # it can be shown all the same; `reopen` reports the problem
            lesson = read_lesson(run.path, run.config.layer_sizes)
        self = cls(run.id, run.config, lesson=lesson)
        self._held_out = read_held_out(run.path, lesson)
        self.learning_rate = run.settings.latest.learning_rate
        self.path, self._fingerprint = run.path, read_at
        self._added = run.metadata.added
        self._steps, self._epochs, self._end = list(run.steps), list(run.epochs), run.end
        self.num_slices = 1
        self._kept = kept_checkpoints(run.path)
        if run.end:
            self._state, self._message = JobState(run.end.outcome), run.end.message
        else:
            self._state = JobState.EXTERNAL if is_locked(run.path) else JobState.INTERRUPTED
        self._weights = _newest_weights(run)
        return self

    def has_changed_on_disk(self) -> bool:
        """Return whether another program has resumed or ended the run since it was read or written here."""
        if self.path is None or self.is_active or self._fingerprint is None:
            return False
        is_external = self._state is JobState.EXTERNAL
        return fingerprint(self.path) != self._fingerprint or (is_external and not _was_active(self.path, int(time.monotonic())))

    def resume_from(self, folder: RunFolder, stored: StoredRun, learning_rate: float, session_id: str) -> None:
        """Queue the run to resume from what `stored` holds, and to be written to `folder`."""
        with self._changed:
            self.mark_queued()
            self._folder, self._message, self._end = folder, "", None
            self._steps, self._epochs = list(stored.steps), list(stored.epochs)
            self._kept = folder.kept
            self.storage_problem = self.stop_reason = ""
            self.depends_on = None
            self.learning_rate = learning_rate
            self.session_id = session_id
            self.viewers |= {session_id} if session_id else set()
            self.seen_at = time.monotonic()

    def prepare(self, store: RunStore) -> dict[str, np.ndarray] | None:
        """Return the state to train from, None for the beginning. Slow: reads the state, or creates a new run's folder.

        The folder is created now because a run that waits should take no space. Raises RunsError if the state cannot be read.
        """
        with self._writing:
            if self._folder is None and not (self._steps or self.storage_problem):
                self._create_folder(store)
            state, self._last_state = self._folder.state() if self._folder else self._last_state, None
        if state is None and self._steps:
            raise RunsError(f"the state of the run {self.id} after step {self._steps[-1].step:,} is gone")
        return state

    def _create_folder(self, store: RunStore) -> None:
        folder, problem = None, ""
        try:
            folder = store.create(self.config, run_id=self.id, lesson=self.lesson)
        except OSError as error:  # the run trains all the same, and is not kept
            problem = str(error)
        with self._changed:
            self._folder, self.storage_problem = folder, problem
            self.path = folder.path if folder else None

    def snapshot(self) -> RunSnapshot:
        """Return the run as it is now. Never waits for the disk."""
        with self._changed:
            return RunSnapshot(
                id=self.id,
                config=self.config,
                learning_rate=self.learning_rate,
                state=self._state,
                message=self._message,
                storage_problem=self.storage_problem,
                is_resumable=self._is_resumable(),
                steps=tuple(self._steps),
                epochs=tuple(self._epochs),
                weights=self._weights,
                kept=dict(self._kept),
                end=self._end,
                lesson=self.lesson,
                held_out=self._held_out,
            )

    def _is_resumable(self) -> bool:
        is_free = self.path is not None and not self.is_active and self._state is not JobState.EXTERNAL
        return is_free and not self._added and is_resumable(self._end)

    @property
    def num_bytes(self) -> int:
        """An estimate of the memory that it takes."""
        copies = (self._weights is not None) + 3 * (self._last_state is not None)  # a state holds two moments as well
        copies += self.lesson is not None and self.lesson.start is not None
        return 4 * self.config.num_parameters * copies + BYTES_OF_STEP * len(self._steps)

    @property
    def num_releasable_bytes(self) -> int:
        """The memory that `release_weights` would free."""
        return 4 * self.config.num_parameters * (self._folder is not None and self._weights is not None)

    def release_weights(self) -> None:
        """Keep the weights only on disk, if no process is working on the run. Slow.

        The run gets weights again with its next slice, or from its folder when it ends before.
        """
        with self._writing:
            if not (self._folder and self._weights and self._state in (JobState.WAITING, JobState.PAUSED)):
                return
            with contextlib.suppress(RunsError):  # the folder keeps them in memory, and the next record will fail with why
                self._folder.release_weights()
            with self._changed:
                self._weights, self._kept = None, self._folder.kept

    @property
    def may_change_externally(self) -> bool:
        """Whether another process owns the run, or it was interrupted and may be resumed elsewhere."""
        return self._state in (JobState.EXTERNAL, JobState.INTERRUPTED)

    def seconds_left(self, num_train_images: int, pace: float) -> float:
        """Estimate from its own speed, and before its first step from the speed of earlier runs.

        A lesson is repeated to read the digits that are left out.
        """
        now = self.snapshot()
        seen = now.steps[-1].images_seen if now.steps else 0
        num_images = num_images_of_run(self.config, now.num_train_images(num_train_images))
        num_left = max(0, num_images - seen) + (self.lesson.num_folds * num_images if self.lesson else 0)
        rate = now.images_per_second
        return num_left / rate if rate else pace * expected_seconds(self.config, num_left)

    def wait_until_state(self, *states: str, timeout: float) -> bool:
        """Wait at most `timeout` seconds until the run is in one of `states`; return whether it is."""
        return self.wait_for(lambda run: run.state in states, timeout)

    def receive(self, record: Record) -> None:
        """Add a record, first to the folder, then to what `snapshot` shows. Slow."""
        if isinstance(record, EndRecord):
            self.end(self.write_end_record(record))
            return
        self._write(record)
        with self._changed:
            match record:
                case StepRecord():
                    self._steps.append(record)
                case EpochRecord():
                    self._epochs.append(record)
                case WeightsRecord():
                    self._weights = record
                    if self._folder:
                        self._kept = self._folder.kept
                case HeldOutRecord():
                    self._held_out = record.digits
                case StateRecord() if self._folder is None:
                    self._last_state = record.state  # without a folder, the next slice starts from memory
            self._changed.notify_all()

    def write_end_record(self, record: EndRecord) -> JobEnd:
        """Write the end that the process reported, and return it for `end`. Slow."""
        if record.outcome == "stopped":
            record = replace(record, message=self.stop_reason)
        self._write(record)
        return JobEnd(JobState(record.outcome), record.message, record)

    def write_end(self, outcome: JobState, message: str) -> JobEnd:
        """Write an end that the process did not report; an interruption leaves no record. Slow."""
        if outcome is JobState.INTERRUPTED:
            with self._writing:
                self._close_folder()
            return JobEnd(outcome)
        last = self._steps[-1] if self._steps else None
        step, epoch, seconds = (last.step, last.epoch, last.seconds) if last else (0, 0, 0.0)
        if outcome is JobState.FAILED:
            advice = "Train starts a new run"
            if self.path and not self.storage_problem:
                has_state = (self.path / STATE_NAME).exists()
                advice = f"Resume {'continues from its last state' if has_state else 'begins it again'}, {advice}"
            message = f"{message} The page has what it had sent, up to step {step}; {advice}."
        end_outcome: Literal["stopped", "failed"] = "failed" if outcome is JobState.FAILED else "stopped"
        return self.write_end_record(EndRecord(step, epoch, end_outcome, message, seconds, None, None))

    def end(self, end: JobEnd) -> None:
        """Set the end, which `snapshot` then shows."""
        with self._changed:
            self._end, self._message, self._last_state = end.record, end.message, None
            super().end(end)
            if end.record:  # a rate that was set and trained no step is forgotten
                self.learning_rate = self.snapshot().settings.latest.learning_rate

    def _write(self, record: Record) -> None:
        """Write a record to the folder. If the folder cannot be written, the run continues without a place in the store."""
        with self._writing:
            if self._folder is None:
                return
            try:
                self._folder.write(record)
            except RunsError as error:
                self._close_folder()
                with self._changed:
                    self.storage_problem = str(error)
                    self._fingerprint = None  # what is on disk by then is less than what is here
            except Exception:
                self._close_folder()
                raise
            else:
                if isinstance(record, EndRecord):
                    self._close_folder()

    def _close_folder(self) -> None:
        """Close the folder; call with `_writing` held."""
        if folder := self._folder:
            with contextlib.suppress(OSError):  # what could not be written is lost with the rest
                folder.close()
            found = fingerprint(folder.path)
            with self._changed:
                self._fingerprint = found if self._weights else ()  # released weights are read again from the disk
                self._folder = None


@lru_cache(maxsize=64)
def _was_active(path: Path, _second: int) -> bool:
    """Return whether another program is writing the run; cached, since a page asks many times a second."""
    return is_locked(path)


def _newest_weights(run: StoredRun) -> WeightsRecord | None:
    """Return the newest weights on disk that can be read, kept ones or those of the last epoch; None if there are none."""
    candidates = dict(kept_checkpoints(run.path))
    if run.epochs:
        candidates.setdefault(run.epochs[-1].step, run.path / checkpoint.CHECKPOINT_NAME)
    for step in sorted(candidates, reverse=True):
        with contextlib.suppress(CheckpointError, ConfigError):  # an older one serves as well
            model = checkpoint.load(candidates[step])
            if model.hidden_sizes != run.config.hidden_sizes:
                continue
            steps_per_epoch = run.epochs[0].step if run.epochs else 0
            epoch = math.ceil(step / steps_per_epoch) if steps_per_epoch else min(step, 1)
            return WeightsRecord(step, epoch, {name: tensor.numpy() for name, tensor in model.state_copy().items()})
    return None
