"""The policy of the queue: pure functions of plain values, without threads, clocks or locks.

The queue is fair: everyone's first job runs before anyone's second. Among sessions, the one whose last slice was longest ago is
next. Jobs that depend on an unfinished job come last.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

MAX_WAITING = 100
"""Jobs in the queue, over all sessions."""

MAX_PER_SESSION = 3
"""Jobs of one session that have not ended; "Train both" starts two."""

MAX_FORECAST = 300
"""Starts and ends of slices that `expected_wait` looks ahead: enough for 100 jobs, which take it 12 ms."""


@dataclass(frozen=True)
class Queued:
    """A job in the queue, as the policy sees it."""

    job_id: str
    session_id: str
    is_blocked: bool = False
    """Whether it depends on a job that has not ended."""


@dataclass(frozen=True)
class Active:
    """A job that holds a slot, as the policy sees it."""

    job_id: str
    session_id: str
    can_yield: bool = True
    is_paused: bool = False


@dataclass(frozen=True)
class Work(Active):
    """A job and an estimate of its work, for `expected_wait`."""

    seconds: float = 0.0
    """How much longer it needs a slot, in all."""
    held: float = 0.0
    """How long it has held its slot; 0 in the queue."""
    depends_on: str = ""
    """The id of an unfinished job that it depends on; empty if there is none."""


@dataclass(frozen=True)
class Place:
    """Where a job stands in the queue."""

    number: int
    """Its position, counted from 1."""
    of: int
    """The number of jobs in the queue."""
    seconds: float
    """The estimated time until it starts, if no other job joins or leaves the queue."""
    can_be_overtaken: bool
    """Whether the first job of a new session would start before it: its own session has had a slice."""


def fair_order(queued: Iterable[Queued], last_slices: Mapping[str, int]) -> list[Queued]:
    """Return the jobs in the order in which they start.

    `queued` is in order of arrival. `last_slices` holds, by session, the number of its last slice, counted over all sessions.
    """
    unblocked_first = sorted(queued, key=lambda job: job.is_blocked)
    num_ahead = Counter[str]()
    first_arrivals: dict[str, int] = {}
    ranked = []
    for arrival, job in enumerate(unblocked_first):
        turn = last_slices.get(job.session_id, 0), first_arrivals.setdefault(job.session_id, arrival)  # the same in every round
        ranked.append(((job.is_blocked, num_ahead[job.session_id], *turn, arrival), job))
        num_ahead[job.session_id] += 1
    return [job for _, job in sorted(ranked, key=lambda pair: pair[0])]


def next_job(queued: Iterable[Queued], last_slices: Mapping[str, int]) -> Queued | None:
    """Return the job to start in a free slot; None if none may start."""
    first = next(iter(fair_order(queued, last_slices)), None)
    return first if first and not first.is_blocked else None


def is_wanted_by_others(active: Active, queued: Iterable[Queued]) -> bool:
    """Return whether a job must yield once its slice is over: to another session, and while it is paused to any job."""
    return active.can_yield and any(
        not job.is_blocked and (active.is_paused or job.session_id != active.session_id) for job in queued
    )


def should_yield(active: Active, queued: Iterable[Queued], seconds: float, slice_seconds: float) -> bool:
    """Return whether a job that has held its slot for `seconds` must yield now."""
    return (active.is_paused or seconds >= slice_seconds) and is_wanted_by_others(active, queued)


def expected_wait(
    job_id: str,
    active: Iterable[Work],
    queued: Iterable[Work],
    last_slices: Mapping[str, int],
    num_slots: int,
    slice_seconds: float,
) -> float:
    """Estimate the seconds until a job of the queue starts, by following this policy through the slices until then.

    `queued` is in order of arrival. A wait beyond MAX_FORECAST starts and ends is underestimated.
    """
    running, waiting, last = list(active), list(queued), dict(last_slices)
    ended = {""}  # what a job without a dependency waits for
    passed = 0.0
    for _ in range(MAX_FORECAST):
        queue = [Queued(each.job_id, each.session_id, each.depends_on not in ended) for each in waiting]
        if len(running) < num_slots and (first := next_job(queue, last)):
            if first.job_id == job_id:
                break
            running.append(waiting.pop(queue.index(first)))
            last[first.session_id] = max(last.values(), default=0) + 1
            continue
        if not running:
            break
        seconds, index = min((_seconds_until_free(each, queue, slice_seconds), i) for i, each in enumerate(running))
        passed += seconds
        running = [replace(each, seconds=each.seconds - seconds, held=each.held + seconds) for each in running]
        free = running.pop(index)
        if free.seconds <= 0:
            ended.add(free.job_id)
        elif not free.is_paused:
            waiting.append(replace(free, held=0.0))
    return passed


def _seconds_until_free(active: Work, queued: Iterable[Queued], slice_seconds: float) -> float:
    if not is_wanted_by_others(active, queued):
        return active.seconds
    return 0.0 if active.is_paused else min(active.seconds, max(0.0, slice_seconds - active.held))


def admission_problem(num_new: int, num_own: int, num_waiting: int) -> str:
    """Return why a session with `num_own` active jobs may not queue `num_new` more; empty if it may."""
    if num_own + num_new > MAX_PER_SESSION:
        return f"You have {num_own} trainings that are running or waiting"
    if num_waiting + num_new > MAX_WAITING:
        return f"{num_waiting} others are waiting already"
    return ""
