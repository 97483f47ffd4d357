"""The queue's policy: pure functions of plain values."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_fc.server.queue import (
    MAX_PER_SESSION,
    MAX_WAITING,
    Active,
    Queued,
    Work,
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


SWEEP = Work("sweep", "ann", seconds=600, held=28)
TEST = Work("test", "ann", can_yield=False, seconds=14)
RUN, SECOND = Work("run", "ben", seconds=50), Work("second", "ben", seconds=50)
LATER = Work("later", "ben", seconds=50, depends_on="run")
OTHER = Work("other", "cleo", seconds=5)


@pytest.mark.parametrize(
    ("job", "active", "queued", "num_slots", "expected"),
    [
        (RUN, [SWEEP], [RUN], 1, 2),
        (RUN, [TEST], [RUN], 1, 14),
        (RUN, [SWEEP, TEST], [RUN], 2, 2),
        (RUN, [], [RUN], 1, 0),
        (Work("own", "ann"), [SWEEP], [Work("own", "ann")], 1, 600),
        (Work("own", "ann"), [SWEEP], [Work("own", "ann"), RUN], 1, 2 + 30),
        (RUN, [replace(SWEEP, is_paused=True)], [RUN], 1, 0),
        (OTHER, [SWEEP], [RUN, OTHER], 1, 2 + 30),
        (RUN, [SWEEP], [OTHER, RUN], 1, 2 + 5),
        (SECOND, [RUN], [SECOND], 1, 50),
        (SECOND, [SWEEP], [RUN, SECOND], 1, 2 + 30 + 30),
        (LATER, [TEST], [RUN, LATER], 1, 14 + 50),
        (LATER, [TEST, OTHER], [RUN, LATER], 2, 5 + 50),
    ],
)
def test_expected_wait_follows_the_policy(
    job: Work, active: list[Work], queued: list[Work], num_slots: int, expected: float
) -> None:
    last = {each.session_id: number for number, each in enumerate(active, 1)}
    assert expected_wait(job.job_id, active, queued, last, num_slots, slice_seconds=30) == expected


@given(queues, last_slices)
def test_jobs_are_expected_to_start_in_their_order(queued: list[Queued], last: dict[str, int]) -> None:
    work = [Work(job.job_id, job.session_id, seconds=50) for job in queued]
    waits = {each.job_id: expected_wait(each.job_id, [SWEEP], work, {**last, "ann": 200}, 1, 30) for each in work}
    ordered = [waits[name] for name in order([replace(job, is_blocked=False) for job in queued], {**last, "ann": 200})]
    assert ordered == sorted(ordered)


def test_admission_is_limited_by_session_and_in_total() -> None:
    assert admission_problem(1, MAX_PER_SESSION - 1, MAX_WAITING - 1) == ""
    assert "You have 2 trainings" in admission_problem(2, 2, 0)
    assert f"{MAX_WAITING} others are waiting" in admission_problem(1, 0, MAX_WAITING)
