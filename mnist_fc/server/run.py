"""Jobs: what is asked of a training process, as the server has received it so far: a run, a test of speed, or a sweep.

Each is written by the trainer, under a lock of its own, and read through immutable snapshots.
"""

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal, Self

import numpy as np

from mnist_fc.config import ConfigError, TrainConfig
from mnist_fc.network import checkpoint
from mnist_fc.network.checkpoint import CheckpointError
from mnist_fc.records import EndRecord, EpochRecord, Record, StateRecord, StepRecord, WeightsRecord
from mnist_fc.runs.layout import STATE_NAME, RunsError, fingerprint, kept_checkpoints
from mnist_fc.runs.lock import is_locked
from mnist_fc.runs.reader import StoredRun, is_resumable, read_run
from mnist_fc.runs.store import RunStore
from mnist_fc.runs.writer import RunFolder
from mnist_fc.server.estimate import expected_seconds, num_images_of_run
from mnist_fc.server.job import ACTIVE_STATES, Job, State

BYTES_OF_STEP = 500
"""A StepRecord with its numbers."""

RATE_RECORDS = 30
"""The speed of a run is that of so many records, half an epoch."""


@dataclass(frozen=True)
class RunSnapshot:
    """A run as it was at one moment."""

    id: str
    config: TrainConfig
    """As the run began."""
    learning_rate: float
    """The schedule's highest, as last set."""
    state: State
    message: str
    """Why a run failed, or was stopped when nobody pressed Stop; else empty."""
    storage_problem: str
    """Why the run is not in the store on disk, else empty."""
    is_resumable: bool
    """Whether it was cut off or stopped, and can go on from its last state."""
    steps: tuple[StepRecord, ...]
    epochs: tuple[EpochRecord, ...]
    weights: WeightsRecord | None
    """The newest copy."""
    kept: dict[int, Path]
    """By step, in order: the checkpoints of the weights that were kept on disk."""
    end: EndRecord | None

    @property
    def is_active(self) -> bool:
        """Whether it has not ended: waiting for its turn, starting, running or paused."""
        return self.state in ACTIVE_STATES

    @property
    def settings(self) -> TrainConfig:
        """Its settings as they are now: the learning rate can be changed while it trains."""
        return self.config.replace(learning_rate=self.learning_rate)

    @property
    def last_step(self) -> int:
        """The last step of which anything is known."""
        last_records = (self.steps[-1] if self.steps else None, self.weights, self.end)
        return max((record.step for record in last_records if record), default=0)

    def up_to(self, step: int) -> "RunSnapshot":
        """Return the run with its figures as they were after `step` steps."""
        steps = tuple(record for record in self.steps if record.step <= step)
        epochs = tuple(record for record in self.epochs if record.step <= step)
        return replace(self, steps=steps, epochs=epochs, end=self.end if self.end and self.end.step <= step else None)

    @property
    def images_per_second(self) -> float | None:
        """As it trained last; None before it has."""
        if not self.steps:
            return None
        last, earlier = self.steps[-1], self.steps[-min(RATE_RECORDS, len(self.steps))]
        if earlier.images_seen < last.images_seen and earlier.seconds < last.seconds:
            return (last.images_seen - earlier.images_seen) / (last.seconds - earlier.seconds)
        return last.images_seen / last.seconds if last.seconds > 0 else None


class Run(Job):
    """One run. Written by the trainer, read through `snapshot`."""

    name = "A run goes on"

    def __init__(self, run_id: str, config: TrainConfig, session_id: str = "") -> None:
        super().__init__(run_id, session_id)
        self.config = config
        self.learning_rate = config.learning_rate
        self.started_at = time.monotonic()
        """When its turn last began."""
        self._folder: RunFolder | None = None
        self.path: Path | None = None
        """Where it is in the store; None before its turn, and when it could not be written there."""
        self.storage_problem = ""
        """Why it is not in the store on disk, else empty."""
        self._stamp: object = None
        self._added = ""
        self._state: State = "waiting"
        self._message = ""
        self.pause_requested = False
        """Whether its person wants it paused."""
        self._steps: list[StepRecord] = []
        self._epochs: list[EpochRecord] = []
        self._weights: WeightsRecord | None = None
        self._kept: dict[int, Path] = {}
        self._last_state: dict[str, np.ndarray] | None = None
        self._end: EndRecord | None = None

    @classmethod
    def stored(cls, run: StoredRun, stamp: object) -> Self:
        """A run as it is on disk; one without an end was cut off, or goes on elsewhere. `stamp` was taken before it was read."""
        self = cls(run.id, run.config)
        self.path, self._stamp = run.path, stamp
        self._added = run.metadata.added
        self._steps, self._epochs, self._end = list(run.steps), list(run.epochs), run.end
        self.has_begun = True
        self._kept = kept_checkpoints(run.path)
        if run.end:
            self._state, self._message = run.end.outcome, run.end.message
        else:
            self._state = "elsewhere" if is_locked(run.path) else "interrupted"
        self._weights = _newest_weights(run)
        return self

    def has_changed_on_disk(self) -> bool:
        """Whether another program has gone on with it, or ended, since it was read or written here."""
        if self.path is None or self.is_active or self._stamp is None:
            return False
        is_elsewhere = self._state == "elsewhere"
        return fingerprint(self.path) != self._stamp or (is_elsewhere and not _was_active(self.path, int(time.monotonic())))

    def resume_stored(self, folder: RunFolder, learning_rate: float, session_id: str) -> None:
        """Be a run that waits to start again from what `folder` has, and is written to it."""
        stored = read_run(folder.path)
        with self._changed:
            self._folder, self._state, self._message, self._end = folder, "waiting", "", None
            self._steps, self._epochs = list(stored.steps), list(stored.epochs)
            self._kept = folder.kept
            self.storage_problem = self._why_stopped = ""
            self.depends_on = None
            self.is_stopping = self.pause_requested = False
            self.learning_rate = learning_rate
            self.session_id = session_id
            self.viewers |= {session_id} if session_id else set()
            self.seen_at = time.monotonic()
            self._changed.notify_all()

    def begin_slice(self, store: RunStore) -> dict[str, np.ndarray] | None:
        """Be about to train; return the state to go on from, None for the beginning. A new run gets its folder now: one that
        waits takes no room. Raises RunsError for a state that cannot be read.
        """
        is_new = self._folder is None and not (self._steps or self.storage_problem)
        folder, problem = None, ""
        if is_new:
            try:
                folder = store.create(self.config, run_id=self.id)
            except OSError as error:  # RunsError too: it trains all the same, and is not kept
                problem = str(error)
        state = self._folder.state() if self._folder else self._last_state
        if state is None and self._steps:
            raise RunsError(f"the state of the run {self.id} after step {self._steps[-1].step:,} is gone")
        with self._changed:
            if is_new:
                self._folder, self.storage_problem = folder, problem
                self.path = folder.path if folder else None
            self._last_state = None
            self._state = "starting"
            self.started_at = time.monotonic()
            self._changed.notify_all()
        return state

    def snapshot(self) -> RunSnapshot:
        """The run as it is now."""
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
            )

    @property
    def state(self) -> State:
        """What it is at."""
        return self._state

    @property
    def is_active(self) -> bool:
        """Whether it has not ended: waiting for its turn, starting, running or paused."""
        return self._state in ACTIVE_STATES

    def _is_resumable(self) -> bool:
        is_free = self.path is not None and not self.is_active and self._state != "elsewhere"
        return is_free and not self._added and is_resumable(self._end)

    @property
    def num_bytes(self) -> int:
        """About what it takes in memory."""
        copies = (self._weights is not None) + 3 * (self._last_state is not None)  # a state has two moments besides
        return 4 * self.config.num_parameters * copies + BYTES_OF_STEP * len(self._steps)

    def forget_weights(self) -> None:
        """While no process is at it: it has them again, from its folder, when its turn comes or when it ends before."""
        with self._changed:
            if self._folder and self._weights:
                with contextlib.suppress(RunsError):  # the folder keeps them, and the next record will say why
                    self._folder.forget_weights()
                self._weights, self._kept = None, self._folder.kept

    @property
    def may_change_externally(self) -> bool:
        """Whether another program trains it, or somebody else may let it go on: it was cut off."""
        return self._state in ("elsewhere", "interrupted")

    def seconds_left(self, num_train_images: int, pace: float) -> float:
        """As fast as it trained last; before its first step as long as other networks let expect."""
        now = self.snapshot()
        seen = now.steps[-1].images_seen if now.steps else 0
        num_left = max(0, num_images_of_run(self.config, num_train_images) - seen)
        rate = now.images_per_second
        return num_left / rate if rate else pace * expected_seconds(self.config, num_left)

    def wait_for(self, condition: Callable[["Run"], bool], timeout: float) -> bool:
        """Wait until `condition(run)` holds, at most `timeout` seconds; whether it does."""
        with self._changed:
            return self._changed.wait_for(lambda: condition(self), timeout)

    def wait_until_state(self, *states: State, timeout: float) -> bool:
        """Wait until the run is in one of `states`, at most `timeout` seconds; whether it is."""
        return self.wait_for(lambda run: run._state in states, timeout)

    def receive(self, record: Record) -> None:
        """Add a record, to the store on disk first."""
        if isinstance(record, EndRecord) and record.outcome == "stopped":
            record = replace(record, message=self._why_stopped)
        self._store(record)
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
                case StateRecord() if self._folder is None:
                    self._last_state = record.state  # what is not on disk is to go on all the same when its turn comes again
                case EndRecord():
                    self._end = record
                    self._message = record.message
                    self._state = record.outcome
                    self._last_state = None
            self._changed.notify_all()

    def set_state(self, state: State) -> None:
        """The process says that it runs or is paused."""
        with self._changed:
            self._state = state
            self._changed.notify_all()

    def mark_queued(self) -> None:
        """It waits for a training process, for the first time or again."""
        self.set_state("waiting")

    def cancel(self, why: str) -> None:
        """It is stopped while no process is at it."""
        self._why_stopped = why or self._why_stopped
        self.receive(self._end_here("stopped", self._why_stopped))

    def fail(self, why: str) -> None:
        """The process had no time to send the end, which is told here, so that the run ends in the store as on the page."""
        step = self._steps[-1].step if self._steps else 0
        way_on = "Train starts anew"
        if self.path and not self.storage_problem:
            has_state = (self.path / STATE_NAME).exists()
            way_on = f"Resume {'goes on from its last state' if has_state else 'begins it again'}, {way_on}"
        self.receive(self._end_here("failed", f"{why} The page has what it had sent, up to step {step}; {way_on}."))

    def _end_here(self, outcome: Literal["stopped", "failed"], message: str) -> EndRecord:
        last = self._steps[-1] if self._steps else None
        step, epoch, seconds = (last.step, last.epoch, last.seconds) if last else (0, 0, 0.0)
        return EndRecord(step, epoch, outcome, message, seconds, None, None)

    def interrupt(self) -> None:
        """It ends without an end, and can go on later."""
        with self._changed:
            self._state = "interrupted"
            self._close_folder()
            self._changed.notify_all()

    def _close_folder(self) -> None:
        if self._folder:
            with contextlib.suppress(OSError):  # what could not be written is lost with the rest
                self._folder.close()
            self._stamp = fingerprint(self._folder.path) if self._weights else ()  # those are on disk, and read again
            self._folder = None

    def _store(self, record: Record) -> None:
        """A store that cannot be written is said on the page and costs the run nothing."""
        if self._folder is None:
            return
        try:
            self._folder.write(record)
        except RunsError as error:
            self.storage_problem = str(error)
            self._close_folder()
            self._stamp = None  # what is on disk by then is less than what is here
        else:
            if isinstance(record, EndRecord):
                self._close_folder()


@lru_cache(maxsize=64)
def _was_active(path: Path, _second: int) -> bool:
    """Whether a run goes on in another program; a page asks many times a second."""
    return is_locked(path)


def _newest_weights(run: StoredRun) -> WeightsRecord | None:
    """Of a run on disk: those of its last epoch, or kept later; None where there are none that can be read."""
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
