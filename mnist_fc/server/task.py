"""Jobs other than runs: tests of speed, and sweeps."""

import math
import os
import time
from dataclasses import replace
from typing import Generic, Literal, TypeVar

from mnist_fc.config import CPU_COUNT, ConfigError, TrainConfig
from mnist_fc.server.estimate import SECONDS_PER_SPEED_RECORD, expected_seconds, num_images_of_run
from mnist_fc.server.job import Job
from mnist_fc.sweep.space import SweepConfig, TrialRecord
from mnist_fc.training.throughput import BATCH_SIZES, SpeedRecord, thread_counts

C = TypeVar("C", TrainConfig, SweepConfig)
R = TypeVar("R", SpeedRecord, TrialRecord)


class Task(Job, Generic[C, R]):
    """What the process does besides runs: a measurement of its speed, or a sweep."""

    def __init__(self, config: C, session_id: str = "") -> None:
        super().__init__(os.urandom(6).hex(), session_id)
        self.config: C = config
        self.problem = ""
        """Why it ended before its time, else empty."""
        self._records: list[R] = []
        self._state: Literal["waiting", "running", "ended"] = "waiting"

    @property
    def is_active(self) -> bool:
        """Whether it has not ended."""
        return self._state != "ended"

    @property
    def has_failed(self) -> bool:
        """Whether it ended with a problem, and not because its end was asked for."""
        return bool(self.problem) and self.problem != self._why_stopped

    @property
    def is_waiting(self) -> bool:
        """Whether its turn has not come."""
        return self._state == "waiting"

    def mark_queued(self) -> None:
        """It waits for a training process, for the first time or again."""
        self._set("waiting")

    def begin_slice(self) -> None:
        """A process is at it from now on."""
        self._set("running")

    def _set(self, state: Literal["waiting", "running", "ended"]) -> None:
        with self._changed:
            self._state = state
            self._changed.notify_all()

    def records(self) -> list[R]:
        """What has come of it so far."""
        with self._changed:
            return list(self._records)

    def wait_until_ended(self, timeout: float) -> bool:
        """Wait until it has ended, at most `timeout` seconds; whether it has."""
        with self._changed:
            return self._changed.wait_for(lambda: not self.is_active, timeout)

    def receive(self, record: R) -> None:
        """Add a record."""
        with self._changed:
            self._records.append(record)
            self._changed.notify_all()

    def end(self, problem: str) -> None:
        """There is no more to come."""
        with self._changed:
            self.problem = problem or self._why_stopped
            self._state = "ended"
            self._changed.notify_all()

    def cancel(self, why: str) -> None:
        """It ends while no process is at it."""
        self._why_stopped = why or self._why_stopped
        self.end("")

    def fail(self, why: str) -> None:
        """It ends with its process."""
        self.end(why)


class SpeedTest(Task[TrainConfig, SpeedRecord]):
    """A measurement of this machine's speed, with at most `threads` of its cores."""

    name = "The speed of this machine is being measured"
    takes_turns = False

    def __init__(self, config: TrainConfig, session_id: str = "", threads: int = CPU_COUNT) -> None:
        super().__init__(config, session_id)
        self.thread_counts = thread_counts(threads)
        """What it measures, each with all of BATCH_SIZES."""

    @property
    def num_records(self) -> int:
        """How many figures it has when it is done."""
        return len(self.thread_counts) * len(BATCH_SIZES)

    def seconds_left(self, num_train_images: int, pace: float) -> float:  # noqa: ARG002 (the same on every machine)
        """Each figure takes its time; of a large network more than this."""
        return SECONDS_PER_SPEED_RECORD * (self.num_records - len(self._records))


class Sweep(Task[SweepConfig, TrialRecord]):
    """A search for better settings; a record whenever a trial begins, has done an epoch, or ends."""

    name = "A sweep goes on"

    def __init__(self, config: SweepConfig, session_id: str = "") -> None:
        super().__init__(config, session_id)
        self._seconds = 0.0
        self._began_at = 0.0

    def begin_slice(self) -> None:
        """A process is at it from now on."""
        self._began_at = time.monotonic()
        super().begin_slice()

    def mark_queued(self) -> None:
        """It waits for a process; that costs none of its minutes."""
        if not self.is_waiting:
            self._seconds += time.monotonic() - self._began_at
        super().mark_queued()

    def rest(self) -> SweepConfig | None:
        """What is left of it to do; None for nothing."""
        num_left = self.config.num_runs - len({record.number for record in self.records() if record.state != "running"})
        minutes = self.config.minutes
        left = None if minutes is None else minutes - self._seconds / 60
        if num_left <= 0 or (left is not None and left <= 0):
            return None
        try:
            return replace(self.config, num_runs=num_left, minutes=left)
        except ConfigError:  # less than a sweep can be asked for
            return None

    def seconds_left(self, num_train_images: int, pace: float) -> float:
        """As if each trial were a run with the settings that are not varied; at most the minutes."""
        if (config := self.rest()) is None:
            return 0.0
        one = pace * expected_seconds(config.base, num_images_of_run(config.base, num_train_images))
        return min(config.num_runs * one, math.inf if config.minutes is None else 60 * config.minutes)
