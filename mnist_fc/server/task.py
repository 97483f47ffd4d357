"""Jobs other than runs: speed tests and sweeps."""

import logging
import math
import os
import time
from dataclasses import replace
from typing import Generic, TypeVar

from mnist_fc.config import CPU_COUNT, ConfigError, TrainConfig
from mnist_fc.server.estimate import SECONDS_PER_SPEED_RECORD, expected_seconds, num_images_of_run
from mnist_fc.server.job import Job, JobEnd, JobState
from mnist_fc.sweep.errors import DAMAGED, SweepError
from mnist_fc.sweep.space import ParkedTrial, SweepConfig, TrialRecord
from mnist_fc.training.throughput import BATCH_SIZES, SpeedRecord, thread_counts

C = TypeVar("C", TrainConfig, SweepConfig)
R = TypeVar("R", SpeedRecord, TrialRecord)

log = logging.getLogger(__name__)


class Task(Job, Generic[C, R]):
    """A sweep or a speed test: settings, the records so far, and why it ended early."""

    def __init__(self, config: C, session_id: str = "") -> None:
        super().__init__(os.urandom(6).hex(), session_id)
        self.config: C = config
        self.problem = ""
        """Why it ended early; empty if it did not, or if its owner stopped it."""
        self._records: list[R] = []

    def records(self) -> list[R]:
        """Return the records so far."""
        with self._changed:
            return list(self._records)

    def receive(self, record: R) -> None:
        """Add a record."""
        with self._changed:
            self._records.append(record)
            self._changed.notify_all()

    def write_end(self, outcome: JobState, message: str) -> JobEnd:
        """Return the end; a task has nothing on disk."""
        return JobEnd(outcome, message)

    def end_as_reported(self, problem: str) -> JobEnd:
        """Return the end that its process reported: a problem, a requested end, or nothing left to do."""
        if problem:
            return JobEnd(JobState.FAILED, problem)
        return JobEnd(JobState.STOPPED if self.state is JobState.STOPPING else JobState.DONE, self.stop_reason)

    def end(self, end: JobEnd) -> None:
        """Set the end."""
        with self._changed:
            self.problem = end.message
            super().end(end)


class SpeedTest(Task[TrainConfig, SpeedRecord]):
    """A measurement of this machine's speed with 1 to `threads` threads."""

    busy_message = "The speed of this machine is being measured"
    can_yield = False

    def __init__(self, config: TrainConfig, session_id: str = "", threads: int = CPU_COUNT) -> None:
        super().__init__(config, session_id)
        self.thread_counts = thread_counts(threads)
        """The numbers of threads that it measures, each with all of BATCH_SIZES."""

    @property
    def num_records(self) -> int:
        """The number of records when it is done."""
        return len(self.thread_counts) * len(BATCH_SIZES)

    def seconds_left(self, num_train_images: int, pace: float) -> float:  # noqa: ARG002 (the same on every machine)
        """Estimate from the number of records to come; those of a large network take longer than this."""
        return SECONDS_PER_SPEED_RECORD * (self.num_records - len(self._records))


class Sweep(Task[SweepConfig, TrialRecord]):
    """A search for better settings. It gets a record whenever a trial begins, completes an epoch, or ends.

    Between two slices it holds the training state of the trial in progress, of at most 172 MB. A server has one sweep.
    """

    busy_message = "Another sweep is running"

    def __init__(self, config: SweepConfig, session_id: str = "") -> None:
        super().__init__(config, session_id)
        self.parked: ParkedTrial | None = None
        """The trial in progress while no process is working on it."""
        self._seconds = 0.0
        self._slice_began_at = 0.0

    def confirm_running(self) -> None:
        """Note that the process has begun; from now on the time of this slice counts."""
        with self._changed:
            self._slice_began_at = time.monotonic()
            super().confirm_running()

    def end_slice(self, parked: ParkedTrial | None) -> None:
        """Keep the trial in progress for the next slice, and count the time of this one."""
        self.parked = parked
        self._seconds += time.monotonic() - self._slice_began_at

    def take_parked(self) -> ParkedTrial | None:
        """Return the trial to resume, and keep it no longer: it is with the process from now on."""
        parked, self.parked = self.parked, None
        return parked

    @property
    def has_work_left(self) -> bool:
        """Whether there are trials to run and time to run them."""
        return self.remaining() is not None

    def remaining(self) -> SweepConfig | None:
        """Return the config with the trials and minutes that are left; None if either has run out."""
        num_left = self.config.num_runs - len({record.number for record in self.records() if record.state != "running"})
        minutes = self.config.minutes
        left = None if minutes is None else minutes - self._seconds / 60
        if num_left <= 0 or (left is not None and left <= 0):
            return None
        try:
            return replace(self.config, num_runs=num_left, minutes=left)
        except ConfigError:  # less time than a sweep can be given
            return None

    def write_end(self, outcome: JobState, message: str) -> JobEnd:
        """Mark the parked trial failed in the study, if there is one. Slow: another process may be writing to the storage."""
        if parked := self.take_parked():
            from mnist_fc.sweep.search import STOPPED, TIME_IS_UP, discard  # Optuna and SQLAlchemy; few servers ever need them

            try:
                discard(self.config, parked, TIME_IS_UP if outcome is JobState.DONE else STOPPED)
            except (SweepError, OSError, *DAMAGED):
                log.exception("trial %d of study %r cannot be marked as stopped", parked.number, self.config.study)
        return super().write_end(outcome, message)

    def seconds_left(self, num_train_images: int, pace: float) -> float:
        """Estimate as if each trial were a run with the settings that are not varied, within the minutes that are left."""
        if (config := self.remaining()) is None:
            return 0.0
        one = pace * expected_seconds(config.base, num_images_of_run(config.base, num_train_images))
        return min(config.num_runs * one, math.inf if config.minutes is None else 60 * config.minutes)
