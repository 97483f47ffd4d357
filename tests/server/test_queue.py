"""The queue's policy: pure functions of plain values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_fc.server.queue import (
    MAX_PER_SESSION,
    MAX_WAITING,
    Active,
    Queued,
    admission_problem,
    expected_wait,
    fair_order,
    next_job,
    should_yield,
)

queues = st.lists(st.tuples(st.sampled_from(["ann", "ben", "cleo"]), st.booleans()), max_size=12).map(
    lambda jobs: [Queued(str(number), session, is_blocked) for number, (session, is_blocked) in enumerate(jobs)]
)
last_slices = st.dictionaries(st.sampled_from(["ann", "ben", "cleo"]), st.integers(1, 100))


def order(queued: list[Queued], last: dict[str, int]) -> list[str]:
    return [job.job_id for job in fair_order(queued, last)]


def test_everyones_first_job_precedes_anyones_second() -> None:
    jobs = [Queued("a1", "ann"), Queued("a2", "ann"), Queued("b1", "ben"), Queued("b2", "ben"), Queued("c1", "cleo")]
    assert order(jobs, {}) == ["a1", "b1", "c1", "a2", "b2"]


def test_session_with_the_oldest_slice_is_next() -> None:
    jobs = [Queued("a", "ann"), Queued("b", "ben"), Queued("c", "cleo")]
    assert order(jobs, {"ann": 3, "ben": 2}) == ["c", "b", "a"]


def test_blocked_jobs_come_last_and_do_not_start() -> None:
    jobs = [Queued("a", "ann", is_blocked=True), Queued("b", "ben"), Queued("c", "ben")]
    assert order(jobs, {}) == ["b", "c", "a"]
    assert next_job(jobs[:1], {}) is None
    assert next_job([], {}) is None


@given(queues, last_slices)
def test_order_is_fair(queued: list[Queued], last: dict[str, int]) -> None:
    ordered = fair_order(queued, last)
    assert sorted(ordered, key=lambda job: int(job.job_id)) == queued
    unblocked = [job for job in ordered if not job.is_blocked]
    assert ordered[: len(unblocked)] == unblocked
    nth = [sum(other.session_id == job.session_id for other in unblocked[:index]) for index, job in enumerate(unblocked)]
    assert nth == sorted(nth), "nobody's second job precedes another's first"
    firsts = [last.get(job.session_id, 0) for job, number in zip(unblocked, nth, strict=True) if number == 0]
    assert firsts == sorted(firsts)
    for session in ("ann", "ben", "cleo"):
        arrivals = [int(job.job_id) for job in unblocked if job.session_id == session]
        assert arrivals == sorted(arrivals)


@pytest.mark.parametrize(
    ("active", "queued", "seconds", "expected"),
    [
        (Active("a", "ann"), [Queued("b", "ben")], 30, True),
        (Active("a", "ann"), [Queued("b", "ben")], 29, False),
        (Active("a", "ann"), [Queued("b", "ben", is_blocked=True)], 30, False),
        (Active("a", "ann"), [Queued("b", "ann")], 30, False),
        (Active("a", "ann"), [], 30, False),
        (Active("a", "ann", can_yield=False), [Queued("b", "ben")], 30, False),
        (Active("a", "ann", is_paused=True), [Queued("b", "ann")], 0, True),
        (Active("a", "ann", is_paused=True), [], 0, False),
    ],
)
def test_job_yields_when_others_want_its_slot(active: Active, queued: list[Queued], seconds: float, expected: bool) -> None:
    assert should_yield(active, queued, seconds, slice_seconds=30) is expected


def test_expected_wait_counts_slices_and_slots() -> None:
    assert expected_wait([10, 20], [100, 5], num_slots=2, slice_seconds=30) == (10 + 20 + 30 + 5) / 2


def test_admission_is_limited_by_session_and_in_total() -> None:
    assert admission_problem(1, MAX_PER_SESSION - 1, MAX_WAITING - 1) == ""
    assert "You have 2 trainings" in admission_problem(2, 2, 0)
    assert f"{MAX_WAITING} others are waiting" in admission_problem(1, 0, MAX_WAITING)
