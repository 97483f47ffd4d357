"""Jobs: what a training process is asked to do, who asked, and the state that each job is in."""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from mnist_fc.records import EndRecord


class JobState(StrEnum):
    """The state of a job. The values are also the words that pages and tests compare with."""

    WAITING = "waiting"
    """It is in the queue."""
    STARTING = "starting"
    """It has a slot, but its process has not started it yet."""
    RUNNING = "running"
    """A process is working on it."""
    PAUSING = "pausing"
    """Its process has been asked to pause it."""
    PAUSED = "paused"
    """It waits for its owner, and keeps its slot until another job needs the slot."""
    STOPPING = "stopping"
    """Its end has been requested and is not on record yet."""
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    """Its server ended before it did."""
    EXTERNAL = "external"
    """Another program trains it."""


_ENDS_OF_PROCESS = {JobState.DONE, JobState.FAILED, JobState.INTERRUPTED}

TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    state: frozenset(following)
    for state, following in {
        JobState.WAITING: {JobState.STARTING, JobState.PAUSED, JobState.STOPPING, JobState.FAILED, JobState.INTERRUPTED},
        JobState.STARTING: {JobState.RUNNING, JobState.WAITING, JobState.PAUSING, JobState.STOPPING, *_ENDS_OF_PROCESS},
        JobState.RUNNING: {JobState.WAITING, JobState.PAUSING, JobState.STOPPING, *_ENDS_OF_PROCESS},
        JobState.PAUSING: {JobState.PAUSED, JobState.RUNNING, JobState.STOPPING, *_ENDS_OF_PROCESS},
        JobState.PAUSED: {JobState.RUNNING, JobState.WAITING, JobState.STOPPING, *_ENDS_OF_PROCESS},
        JobState.STOPPING: {JobState.STOPPED, *_ENDS_OF_PROCESS},
        JobState.DONE: set[JobState](),
        # A stored run can be resumed.
        JobState.STOPPED: {JobState.WAITING},
        JobState.FAILED: {JobState.WAITING},
        JobState.INTERRUPTED: {JobState.WAITING},
        JobState.EXTERNAL: {JobState.WAITING},
    }.items()
}
"""The states that may follow each state. `Job` checks every change against this table."""

ACTIVE_STATES = frozenset(
    {
        JobState.WAITING,
        JobState.STARTING,
        JobState.RUNNING,
        JobState.PAUSING,
        JobState.PAUSED,
        JobState.STOPPING,
    }
)
"""The states of a job that has not ended."""


class TransitionError(RuntimeError):
    """A change of state that TRANSITIONS does not allow: an error in the scheduler."""


@dataclass(frozen=True)
class JobEnd:
    """The end of a job."""

    outcome: JobState
    """DONE, STOPPED, FAILED or INTERRUPTED."""
    message: str = ""
    """Why it failed or was stopped; empty if its owner stopped it."""
    record: EndRecord | None = None
    """The last record of a run that has one."""


class Job(ABC):
    """A run, a sweep or a speed test. Methods that change the state are atomic and may be called from any thread.

    Only `write_end` touches the disk; call it without holding a lock.
    """

    busy_message = "Another training is running"
    """The reason to give when only one such job may exist."""
    can_yield = True
    """Whether it can give up its slot and resume later."""

    def __init__(self, job_id: str, session_id: str) -> None:
        self.id = job_id
        self.session_id = session_id
        """The session that asked for it; empty if none did."""
        self.detached = False
        """Whether it continues after every session that viewed it has left."""
        self.viewers = {session_id} if session_id else set()
        """The sessions that have viewed it."""
        self.seen_at = time.monotonic()
        """The time when one of its viewers was last present."""
        self.started_at = time.monotonic()
        """The time when its last slice began."""
        self.num_slices = 0
        """The number of times that it has had a slot."""
        self.depends_on: Job | None = None
        """The job that must end before this one may start."""
        self.stop_reason = ""
        """Why its end was requested; empty if its owner did."""
        self._state = JobState.WAITING
        self._changed = threading.Condition()

    @property
    def state(self) -> JobState:
        """The current state."""
        return self._state

    @property
    def is_active(self) -> bool:
        """Whether it has not ended."""
        return self._state in ACTIVE_STATES

    @property
    def is_waiting(self) -> bool:
        """Whether it is in the queue."""
        return self._state is JobState.WAITING

    @property
    def has_begun(self) -> bool:
        """Whether it has ever had a slot."""
        return self.num_slices > 0

    @property
    def is_blocked(self) -> bool:
        """Whether the job that it depends on has not ended."""
        return self.depends_on is not None and self.depends_on.is_active

    @property
    def has_work_left(self) -> bool:
        """Whether another slice would do anything."""
        return True

    def follows(self, first: "Job") -> bool:
        """Return whether it may start only after `first` has ended, directly or through other jobs."""
        return self.depends_on is not None and (self.depends_on is first or self.depends_on.follows(first))

    def mark_queued(self) -> None:
        """Mark the job as waiting for a slot, for the first time or again."""
        self._set_state(JobState.WAITING)

    def begin_slice(self) -> None:
        """Mark the job as started in a slot."""
        with self._changed:
            self._set_state(JobState.STARTING)
            self.num_slices += 1
            self.started_at = time.monotonic()
            self.depends_on = None

    def confirm_running(self) -> None:
        """Note that the process has begun; ignored if something else has been requested since."""
        self._move({JobState.STARTING}, JobState.RUNNING)

    def request_pause(self) -> bool:
        """Request a pause from the process; return whether there was anything to pause."""
        return self._move({JobState.STARTING, JobState.RUNNING}, JobState.PAUSING)

    def confirm_paused(self) -> None:
        """Note that the process has paused; ignored if the run has been resumed since."""
        self._move({JobState.PAUSING}, JobState.PAUSED)

    def hold(self) -> None:
        """Mark the job as paused without a slot."""
        self._set_state(JobState.PAUSED)

    def request_resume(self) -> bool:
        """Request that the process resume; return whether it was paused or about to pause."""
        return self._move({JobState.PAUSING, JobState.PAUSED}, JobState.RUNNING)

    def request_stop(self, reason: str) -> bool:
        """Request the end; return False if it has ended or its end has been requested before."""
        with self._changed:
            if not self.is_active or self._state is JobState.STOPPING:
                return False
            self.stop_reason = reason
            self._set_state(JobState.STOPPING)
            return True

    @abstractmethod
    def write_end(self, outcome: JobState, message: str) -> JobEnd:
        """Write to disk an end that the process did not report, and return it for `end`. May be slow."""

    def end(self, end: JobEnd) -> None:
        """Set the end."""
        self._set_state(end.outcome)

    @abstractmethod
    def seconds_left(self, num_train_images: int, pace: float) -> float:
        """Estimate how many more seconds of a process it needs; `pace` is this machine's seconds per second of `estimate`."""

    def wait_for(self, condition: Callable[[Self], object], timeout: float) -> bool:
        """Wait at most `timeout` seconds until `condition(job)` holds; return whether it does."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(condition(self)), timeout)

    def wait_until_ended(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds until it has ended; return whether it has."""
        return self.wait_for(lambda job: not job.is_active, timeout)

    def _move(self, before: set[JobState], after: JobState) -> bool:
        """Change the state to `after` if it is one of `before`; return whether it was."""
        with self._changed:
            if self._state not in before:
                return False
            self._set_state(after)
            return True

    def _set_state(self, state: JobState) -> None:
        with self._changed:
            if state is not self._state and state not in TRANSITIONS[self._state]:
                raise TransitionError(f"job {self.id} is {self._state} and cannot become {state}")
            self._state = state
            self._changed.notify_all()
