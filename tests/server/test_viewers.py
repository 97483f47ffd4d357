"""Jobs end when every session that viewed them has left."""

import pytest

from tests.support.jobs import LONG, MOMENT, Open
from tests.support.waiting import finished, wait_for_steps, wait_until


def test_run_whose_viewers_left_stops_with_the_reason(open_scheduler: Open) -> None:
    here = {"ann", "ben", "cleo"}
    scheduler = open_scheduler(is_present=here.__contains__, away_seconds=MOMENT)
    going, waiting, kept = scheduler.start(LONG, "ann"), scheduler.start(LONG, "ben"), scheduler.start(LONG, "cleo")
    kept.detached = True
    wait_for_steps(going, 1)
    here.clear()
    for run in (going, waiting):
        snapshot = finished(run)
        assert snapshot.state == "stopped"
        assert "its page had been closed" in snapshot.message
    wait_until(kept, "running")
    assert going.snapshot().is_resumable
    assert scheduler.store.run(going.id).end == going.snapshot().end


@pytest.mark.slow
def test_viewer_who_returns_in_time_keeps_the_run(open_scheduler: Open) -> None:
    here = {"ann"}
    scheduler = open_scheduler(is_present=here.__contains__, away_seconds=3600)
    run = scheduler.start(LONG, "ann")
    wait_for_steps(run, 1)
    here.remove("ann")
    with scheduler._lock:
        run.seen_at -= 3590
        scheduler._cancel_abandoned()
        here.add("ann again")
        scheduler.touch(run, "ann again")
        run.seen_at -= 3700
        scheduler._cancel_abandoned()
    wait_for_steps(run, 5)
    assert run.state == "running"
    with scheduler._lock:
        here.clear()
        run.seen_at -= 3700
        scheduler._cancel_abandoned()
    assert finished(run).state == "stopped"


def test_viewer_of_one_run_keeps_the_owners_other_runs(open_scheduler: Open) -> None:
    here = {"ann"}
    scheduler = open_scheduler(is_present=here.__contains__, away_seconds=3600)
    first, second = scheduler.start_in_turn(LONG, LONG, session_id="ann")
    here.clear()
    here.add("ann again")
    scheduler.touch(first, "ann again")
    with scheduler._lock:
        for run in (first, second):
            run.seen_at -= 3700
        scheduler._cancel_abandoned()
    assert (first.is_active, second.state) == (True, "waiting")
    scheduler.stop(first)
    wait_until(second, "running")
    here.clear()
    here.add("ann once more")
    scheduler.touch(first, "ann once more")
    with scheduler._lock:
        second.seen_at -= 3700
        scheduler._cancel_abandoned()
    wait_for_steps(second, 5)
    assert second.state == "running"
