"""The policy of the queue: pure functions of plain values, without threads, clocks or locks.

The queue is fair: everyone's first job runs before anyone's second. Among sessions, the one whose last slice was longest ago is
next. Jobs that depend on an unfinished job come last.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

MAX_WAITING = 100
"""Jobs in the queue, over all sessions."""

MAX_PER_SESSION = 3
"""Jobs of one session that have not ended; "Train both" starts two."""


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
class Place:
    """Where a job stands in the queue."""

    number: int
    """Its position, counted from 1."""
    of: int
    """The number of jobs in the queue."""
    seconds: float
    """The estimated time until it starts, if no other job leaves the queue."""


def fair_order(queued: Iterable[Queued], last_slices: Mapping[str, int]) -> list[Queued]:
    """Return the jobs in the order in which they start.

    `queued` is in order of arrival. `last_slices` holds, by session, the number of its last slice, counted over all sessions.
    """
    unblocked_first = sorted(queued, key=lambda job: job.is_blocked)
    num_ahead = Counter[str]()
    ranked = []
    for arrival, job in enumerate(unblocked_first):
        ranked.append(((job.is_blocked, num_ahead[job.session_id], last_slices.get(job.session_id, 0), arrival), job))
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


def expected_wait(active: Sequence[float], ahead: Sequence[float], num_slots: int, slice_seconds: float) -> float:
    """Estimate the seconds until a job starts.

    `active` holds the seconds until each occupied slot is free, `ahead` the seconds that each earlier job needs in all.
    """
    return (sum(active) + sum(min(seconds, slice_seconds) for seconds in ahead)) / num_slots


def admission_problem(num_new: int, num_own: int, num_waiting: int) -> str:
    """Return why a session with `num_own` active jobs may not queue `num_new` more; empty if it may."""
    if num_own + num_new > MAX_PER_SESSION:
        return f"You have {num_own} trainings that are running or waiting"
    if num_waiting + num_new > MAX_WAITING:
        return f"{num_waiting} others are waiting already"
    return ""
