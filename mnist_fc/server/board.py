"""Board: the slots, the queue, and which job holds which slot, all under one lock.

Nothing here is slow, since every page takes the lock.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from mnist_fc.server.job import Job, JobEnd, JobState
from mnist_fc.server.job_log import log_end, name_of
from mnist_fc.server.process import Process
from mnist_fc.server.protocol import Command, Stop, Yield
from mnist_fc.server.queue import Active, Place, Queued, Work, expected_wait, fair_order, next_job, should_yield
from mnist_fc.server.run import Run

MAX_REMEMBERED_SESSIONS = 1000
"""The most recent sessions; the last slices of others are forgotten."""

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Slot:
    """A process and the job that it works on."""

    process: Process | None
    """None after it has died, until there is another."""
    job: Job | None = None
    is_handed_over: bool = False
    """Whether the process has been given the job; until then the background thread prepares the slice."""
    began_at: float | None = None
    """The time when the process first replied about the job: loading does not count as part of a slice."""
    abandoned_id: str = ""
    """The id of a job that the server has failed and its process has not yet ended; the slot is not free before."""

    @property
    def is_free(self) -> bool:
        """Whether a job may be assigned to it."""
        return self.job is None and not self.abandoned_id

    def assign(self, job: Job | None) -> None:
        """Give the slot to a job, or free it."""
        self.job, self.is_handed_over, self.began_at = job, False, None

    def seconds(self, now: float) -> float:
        """Return how long the slice of the job has lasted."""
        return 0.0 if self.began_at is None else now - self.began_at


class Board:
    """The slots and the queue. Methods take `lock` themselves, so that a caller may hold it over several of them."""

    def __init__(self, slice_seconds: float, on_assigned: Callable[[Slot, Job], None]) -> None:
        """Call `on_assigned`, with the lock held, whenever a job gets a slot."""
        self.lock = threading.RLock()
        self.slots: list[Slot] = []
        self.slice_seconds = slice_seconds
        self.pace = 1.0
        """Seconds that training takes here for each second of `estimate`."""
        self.bfloat16_share: float | None = None
        """The time of products in bfloat16 here as a share of their time in float32; None until a process has measured it."""
        self.is_closing = False
        """Whether no job may get a slot any more."""
        self._on_assigned = on_assigned
        self._pending: list[Job] = []
        """Jobs without a slot in order of arrival: in the queue, or paused."""
        self._num_slices = 0
        self._last_slices: dict[str, int] = {}
        """The number of the last slice by session, the latest last; also of sessions whose jobs have ended."""

    @property
    def process_ids(self) -> list[int]:
        """The ids of the training processes."""
        return [process.id for slot in self.slots if (process := slot.process)]

    def jobs(self) -> list[Job]:
        """Return the jobs that have not ended: those with a slot, then the queue by arrival, then paused ones without a slot."""
        with self.lock:
            active = [job for slot in self.slots if (job := slot.job)]
            return active + sorted(self._pending, key=lambda job: not job.is_waiting)

    @property
    def num_pending(self) -> int:
        """The number of jobs without a slot."""
        return len(self._pending)

    def slot_of(self, job: Job) -> Slot | None:
        """Return the slot that a job holds."""
        return next((slot for slot in self.slots if slot.job is job), None)

    def slot_with(self, process: Process) -> Slot | None:
        """Return the slot of a process; None if the slot has another process by now."""
        return next((slot for slot in self.slots if slot.process is process), None)

    def enqueue(self, *jobs: Job) -> None:
        """Queue jobs and start what can be started."""
        with self.lock:
            for job in jobs:
                job.mark_queued()
                self._pending.append(job)
            self.dispatch()
            for job in jobs:
                if job.is_waiting:
                    order = self._order()
                    log.info("%s waits, place %d of %d", name_of(job), order.index(job) + 1, len(order))

    def release(self, run: Run) -> None:
        """Put a paused run without a slot at the end of the queue."""
        with self.lock:
            self._pending.remove(run)
            self.enqueue(run)

    def requeue(self, job: Job) -> None:
        """Put a job that has yielded its slot at the end of the queue, or hold it if it is paused."""
        with self.lock:
            if job.state in (JobState.PAUSING, JobState.PAUSED):
                job.hold()
                log.info("%s is paused, and yields its slot", name_of(job))
            else:
                job.mark_queued()
                log.info("%s yields its slot", name_of(job))
            self._pending.append(job)

    def dispatch(self) -> None:
        """Assign the free slots to jobs of the queue."""
        with self.lock:
            for slot in self.slots:
                if self.is_closing or not slot.is_free:
                    continue
                if (first := next_job(self._queued(), self._last_slices)) is None:
                    return
                job = next(job for job in self._pending if job.id == first.job_id)
                self._pending.remove(job)
                slot.assign(job)
                job.begin_slice()
                self._num_slices += 1
                self._note_slice(job.session_id)
                self._on_assigned(slot, job)

    def _note_slice(self, session_id: str) -> None:
        """Note that a session has a slice now. It counts after its jobs have ended, so that short jobs starve no long one."""
        self._last_slices.pop(session_id, None)
        self._last_slices[session_id] = self._num_slices
        while len(self._last_slices) > MAX_REMEMBERED_SESSIONS:
            del self._last_slices[next(iter(self._last_slices))]

    def place(self, job: Job, num_train_images: int) -> Place | None:
        """Return where a job stands in the queue; None if it is not in the queue."""
        with self.lock:
            if job not in self._pending or not job.is_waiting:
                return None
            order, now = self._order(), time.monotonic()
            active = [self._work(slot.job, num_train_images, slot.seconds(now)) for slot in self.slots if slot.job]
            queued = [self._work(other, num_train_images) for other in self._pending if other.is_waiting]
            number, last_slices = order.index(job) + 1, dict(self._last_slices)
        seconds = expected_wait(job.id, active, queued, last_slices, len(self.slots), self.slice_seconds)
        return Place(number, len(order), seconds, job.session_id in last_slices)

    def send(self, job: Job, command: Command) -> None:
        """Send a command to the process of a job, if it has one.

        A job that is not handed over yet gets the command with its start.
        """
        with self.lock:
            slot = self.slot_of(job)
            if slot and slot.process and slot.is_handed_over:
                slot.process.send(command)

    def request_stop(self, job: Job, reason: str) -> bool:
        """Request the end of a job; return True if no process will end it, so that its end is left to the caller."""
        with self.lock:
            if not job.request_stop(reason):
                return False
            if job in self._pending:
                self._pending.remove(job)
                return True
            self.send(job, Stop(job.id))
            return False

    def request_yields(self) -> None:
        """Ask jobs whose slice is over to yield if others want their slot."""
        with self.lock:
            now = time.monotonic()
            for slot in self.slots:
                if slot.job and slot.began_at is not None:
                    seconds = slot.seconds(now)
                    if should_yield(_active(slot.job), self._queued(), seconds, self.slice_seconds):
                        self.send(slot.job, Yield(slot.job.id))

    def finish(self, slot: Slot | None, job: Job, end: JobEnd, *, dispatches: bool = True) -> None:
        """End a job whose end is on disk, and free its slot."""
        with self.lock:
            if slot and slot.job is job:
                slot.assign(None)
            if job in self._pending:
                self._pending.remove(job)
            job.end(end)
            log_end(job)
            if dispatches:
                self.dispatch()

    def clear(self) -> list[Job]:
        """Take all jobs off the board and return them."""
        with self.lock:
            jobs = self.jobs()
            self._pending.clear()
            for slot in self.slots:
                slot.assign(None)
            return jobs

    def _work(self, job: Job, num_train_images: int, held: float = 0.0) -> Work:
        return Work(
            job.id,
            job.session_id,
            job.can_yield,
            job.state is JobState.PAUSED,
            seconds=job.seconds_left(num_train_images, self.pace),
            held=held,
            depends_on=job.depends_on.id if job.depends_on and job.is_blocked else "",
        )

    def _order(self) -> list[Job]:
        """Return the jobs of the queue in the order in which they start."""
        by_id = {job.id: job for job in self._pending}
        return [by_id[queued.job_id] for queued in fair_order(self._queued(), self._last_slices)]

    def _queued(self) -> list[Queued]:
        return [Queued(job.id, job.session_id, job.is_blocked) for job in self._pending if job.is_waiting]


def _active(job: Job) -> Active:
    return Active(job.id, job.session_id, job.can_yield, job.state is JobState.PAUSED)
