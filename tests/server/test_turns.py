"""Runs that start one after the other, places in the queue, and its limits."""

from pathlib import Path

import pytest

from mnist_fc.config import CPU_COUNT, ConfigError
from mnist_fc.server.estimate import expected_seconds
from mnist_fc.server.queue import MAX_PER_SESSION, MAX_WAITING
from mnist_fc.server.scheduler import SLOTS_VARIABLE, JobRejected, num_slots
from mnist_fc.sweep.space import Interval, Space, SweepConfig
from mnist_fc.sweep.storage import default_storage
from mnist_fc.views.state.shared import _slots_option
from tests.support.jobs import LONG, SHORT, Open
from tests.support.waiting import finished, wait_for_steps, wait_until


@pytest.mark.slow
def test_runs_queued_together_never_overlap(open_scheduler: Open) -> None:
    scheduler = open_scheduler(slots=2)
    first, second = scheduler.start_in_turn(LONG, SHORT, session_id="ann")
    wait_for_steps(first, 5)
    assert second.state == "waiting"
    other = scheduler.start(SHORT, "ben")
    assert finished(other).state == "done"
    assert second.state == "waiting"
    scheduler.stop(first)
    assert finished(second).state == "done"


@pytest.mark.slow
@pytest.mark.parametrize("slots", [1, 2])
def test_stop_in_turn_ends_the_followers_as_well(open_scheduler: Open, slots: int) -> None:
    scheduler = open_scheduler(slots=slots)
    first, second, third = scheduler.start_in_turn(LONG, SHORT, SHORT, session_id="ann")
    wait_for_steps(first, 1)
    scheduler.pause(third)  # before it starts
    other = scheduler.start(SHORT, "ben")
    scheduler.stop_in_turn(first)
    assert [finished(run).state for run in (first, second, third)] == ["stopped"] * 3
    assert finished(other).state == "done"
    assert [run.has_begun for run in (second, third)] == [False, False]
    assert not scheduler.is_busy


def test_stop_in_turn_leaves_earlier_runs(open_scheduler: Open) -> None:
    scheduler = open_scheduler()
    first, second = scheduler.start_in_turn(LONG, SHORT, session_id="ann")
    wait_for_steps(first, 1)
    scheduler.stop_in_turn(second)
    assert (first.state, finished(second).state) == ("running", "stopped")
    scheduler.stop(first)


def test_stopping_run_does_not_count_against_the_session_limit(open_scheduler: Open) -> None:
    scheduler = open_scheduler()
    runs = [scheduler.start(LONG, "ann") for _ in range(MAX_PER_SESSION)]
    wait_until(runs[0], "running")
    with runs[0]._writing:  # its end cannot be written before the next start
        scheduler.stop_in_turn(runs[0])
        assert runs[0].is_active
        runs.append(scheduler.start(SHORT, "ann"))
    assert finished(runs[0]).state == "stopped"
    for run in runs[1:]:
        scheduler.stop(run)


def test_place_and_expected_wait_shrink(open_scheduler: Open) -> None:
    scheduler = open_scheduler()
    runs = [scheduler.start(LONG, session_id) for session_id in ("ann", "ben", "cleo")]
    places = [scheduler.place(run, 2000) for run in runs]
    assert places[0] is None
    assert [(place.number, place.of) for place in places if place] == [(1, 2), (2, 2)]
    assert places[1]
    assert places[2]
    assert 0 < places[1].seconds < places[2].seconds
    scheduler.stop(runs[1])
    place = scheduler.place(runs[2], 2000)
    assert place
    assert (place.number, place.of) == (1, 1)
    assert place.seconds < places[2].seconds
    scheduler.stop(runs[0])
    wait_until(runs[2], "running")
    assert scheduler.place(runs[2], 2000) is None


@pytest.mark.slow
def test_pace_is_learned_from_earlier_runs(open_scheduler: Open) -> None:
    scheduler = open_scheduler()
    done = finished(scheduler.start(LONG.replace(num_epochs=2)))
    expected = scheduler._board.pace * expected_seconds(LONG, num_images=2 * 1800)
    assert expected == pytest.approx(2 * done.epochs[-1].seconds), "as long as the last epoch took"


def test_session_limit_and_queue_limit_reject_jobs(open_scheduler: Open) -> None:
    scheduler = open_scheduler()
    runs = [scheduler.start(LONG, "ann") for _ in range(MAX_PER_SESSION)]
    with pytest.raises(JobRejected, match=f"You have {MAX_PER_SESSION} trainings"):
        scheduler.start(LONG, "ann")
    for number in range(MAX_WAITING - MAX_PER_SESSION + 1):
        scheduler.start(LONG, f"another {number}")
    with pytest.raises(JobRejected, match=f"{MAX_WAITING} others are waiting"):
        scheduler.start(LONG, "ben")
    assert len(scheduler.store.runs()) == 1  # waiting runs take no space
    scheduler.stop(runs[-1])
    assert scheduler.start(LONG, "ben").state == "waiting"


@pytest.mark.slow
def test_two_slots_share_the_cores(open_scheduler: Open, tmp_path: Path) -> None:
    scheduler = open_scheduler(slots=2)
    runs = [scheduler.start(LONG.replace(threads=CPU_COUNT), session_id) for session_id in ("ann", "ben", "cleo")]
    wait_for_steps(runs[0], 1)
    wait_for_steps(runs[1], 1)
    assert [run.state for run in runs] == ["running", "running", "waiting"]
    assert {run.config.threads for run in runs} == {max(1, CPU_COUNT // 2)}
    assert len(set(scheduler.process_ids)) == 2
    scheduler.stop(runs[1])
    wait_until(runs[2], "running")
    assert runs[0].state == "running"
    space: Space = {"learning_rate": Interval(1e-4, 1e-2)}
    config = SweepConfig(LONG.replace(threads=CPU_COUNT), space, "shared cores", default_storage(tmp_path))
    sweep = scheduler.start_sweep(config, "dan")
    assert sweep.config.base.threads == max(1, CPU_COUNT // 2)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "x", "", str(CPU_COUNT + 1)])
def test_wrong_number_of_slots_is_reported(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="--slots is"):
        num_slots(text)
    if text:
        monkeypatch.setenv(SLOTS_VARIABLE, text)
        with pytest.raises(ConfigError, match=f"{SLOTS_VARIABLE} is"):
            num_slots()


def test_slots_come_from_command_line_or_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SLOTS_VARIABLE, "1")
    monkeypatch.setattr("sys.argv", ["app.py", "--slots", f"{CPU_COUNT}"])
    assert num_slots(_slots_option()) == CPU_COUNT
    monkeypatch.setattr("sys.argv", ["app.py"])
    assert num_slots(_slots_option()) == 1
    monkeypatch.setattr("sys.argv", ["app.py", "--slots"])
    with pytest.raises(ConfigError, match="--slots"):
        _slots_option()
