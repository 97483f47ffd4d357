"""The trainer's queue with its real processes: turns, places, people who come and go, and what a training may take."""

import contextlib
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mnist_fc.config import CPU_COUNT, ConfigError, TrainConfig
from mnist_fc.data.mnist import DATA_VARIABLE, Mnist
from mnist_fc.records import StepRecord
from mnist_fc.runs.layout import STATE_NAME
from mnist_fc.runs.store import RunStore
from mnist_fc.server.estimate import expected_seconds
from mnist_fc.server.limits import MEMORY_VARIABLE
from mnist_fc.server.run import Run
from mnist_fc.server.scheduler import MAX_OF_ONE_PERSON, MAX_WAITING, SLOTS_VARIABLE, JobRejected, Scheduler, num_slots
from mnist_fc.sweep.space import Interval, SweepConfig, TrialRecord
from mnist_fc.sweep.storage import default_storage
from mnist_fc.sweep.study import trials
from mnist_fc.training.engine import train
from mnist_fc.views.state.shared import _slots_option
from tests.support.settings import OVERFLOWING
from tests.support.waiting import finished, wait_for, wait_for_steps, wait_until, wait_until_ended

SHORT = TrainConfig(hidden_sizes=(16,), batch_size=64, num_epochs=2, num_validation=200, threads=1)
LONG = SHORT.replace(hidden_sizes=(256,), batch_size=8, num_epochs=100)
"""Seconds on the fastest machine, so that what is done to it comes while it goes on."""
TURNS = SHORT.replace(hidden_sizes=(128,), batch_size=8, num_epochs=24, dropout=0.2, schedule="one_cycle")
"""Many moments on the fastest machine, so that turns of a moment end in it."""
MOMENT = 0.1
NEVER = 3600.0

Open = Callable[..., Scheduler]


@pytest.fixture
def open_trainer(small_npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """A trainer with a store of its own, and what else it is to be like."""
    monkeypatch.setenv(DATA_VARIABLE, str(small_npz))
    with contextlib.ExitStack() as stack:

        def open_one(*, is_present: Callable[[str], bool] = lambda _: True, slots: int = 1, **options: float) -> Scheduler:
            trainer = Scheduler(RunStore(tmp_path / "runs"), slots, is_present, **options)
            return stack.enter_context(contextlib.closing(trainer))

        yield open_one


@pytest.fixture(scope="module")
def uninterrupted(small: Mnist) -> list[float]:
    return [record.train_loss for record in train(TURNS, small) if isinstance(record, StepRecord)]


@pytest.fixture
def log() -> Iterator[list[str]]:
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{record.levelname} {record.getMessage()}")

    logger, handler = logging.getLogger("mnist_fc"), Keep()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel("INFO")
    yield lines
    logger.removeHandler(handler)
    logger.setLevel(level)


def losses(run: Run) -> list[float]:
    return [step.train_loss for step in run.snapshot().steps]


# Turns


def turns(log: list[str], *runs: Run) -> list[Run]:
    """Whose turn it was, one after the other."""
    return [run for line in log if line.endswith(("begins", "goes on")) for run in runs if run.id in line]


def end_turn(trainer: Scheduler) -> None:
    """End the turn of the job that is running, and of none after it."""
    with trainer._lock:
        trainer._turn_seconds = 0
        trainer._end_turns()
        trainer._turn_seconds = NEVER


def paused_run(trainer: Scheduler, session_id: str) -> Run:
    """One that was paused in its turn."""
    run = trainer.start(LONG, session_id)
    wait_for_steps(run, 5)
    trainer.pause(run)
    wait_until(run, "paused")
    return run


def test_runs_take_turns_and_lose_nothing_by_it(open_trainer: Open, uninterrupted: list[float], log: list[str]) -> None:
    trainer = open_trainer(turn_seconds=MOMENT)
    runs = [trainer.start(TURNS, session_id) for session_id in ("ann", "ben")]
    for run in runs:
        assert finished(run).state == "done"
        assert losses(run) == pytest.approx(uninterrupted, rel=1e-5)
        assert [step.step for step in trainer.store.run(run.id).steps] == [step.step for step in run.snapshot().steps]
    assert turns(log, *runs)[:4] == [*runs, *runs]


def test_run_that_is_not_on_disk_takes_turns_too(open_trainer: Open, tmp_path: Path, uninterrupted: list[float]) -> None:
    (tmp_path / "runs").write_text("a file where the store should be")
    trainer = open_trainer(turn_seconds=MOMENT)
    first, second = trainer.start(TURNS, "ann"), trainer.start(SHORT, "ben")
    assert finished(second).state == "done"
    assert first.is_active
    assert finished(first).state == "done"
    assert first.snapshot().storage_problem
    assert losses(first) == pytest.approx(uninterrupted, rel=1e-5)


def test_run_keeps_its_slot_while_nobody_else_waits(open_trainer: Open) -> None:
    trainer = open_trainer(turn_seconds=0)
    run, own = trainer.start_in_turn(LONG, SHORT, session_id="ann")
    wait_for_steps(run, 50)
    with trainer._lock:
        trainer._end_turns()
    wait_for_steps(run, 50)
    assert (run.state, own.state) == ("running", "waiting")


def test_run_that_is_almost_done_is_not_sent_to_wait(open_trainer: Open, log: list[str]) -> None:
    trainer = open_trainer(turn_seconds=0)
    run = trainer.start(LONG, "ann")
    num_steps = LONG.steps_per_epoch(2000) * LONG.num_epochs
    wait_for(run, lambda: run._steps and run._steps[-1].step > 0.97 * num_steps)
    other = trainer.start(SHORT, "ben")
    assert finished(other).state == "done"
    assert run.state == "done"
    assert not any("lets others" in line for line in log)


def test_paused_run_makes_room_at_once_and_waits_for_its_person_alone(open_trainer: Open) -> None:
    trainer = open_trainer()
    paused = paused_run(trainer, "ann")
    assert finished(trainer.start(SHORT, "ben")).state == "done"
    assert paused.state == "paused"
    assert trainer.jobs() == [paused]
    steps = len(paused._steps)
    trainer.resume(paused)
    wait_until(paused, "running")
    wait_for_steps(paused, 5)
    numbers = [step.step for step in paused.snapshot().steps]
    assert numbers == sorted(set(numbers))
    assert len(numbers) > steps


def test_paused_run_makes_room_for_the_next_of_the_same_person_too(open_trainer: Open) -> None:
    trainer = open_trainer()
    paused = paused_run(trainer, "ann")
    assert finished(trainer.start(SHORT, "ann")).state == "done"
    assert paused.state == "paused"


def test_nobody_has_a_second_turn_before_another_who_waits_has_a_first(open_trainer: Open, log: list[str]) -> None:
    trainer = open_trainer(turn_seconds=MOMENT)
    with trainer._lock:  # so long nobody's turn ends
        first, second, third = (trainer.start(LONG, "ann") for _ in range(3))
        other = trainer.start(LONG, "ben")
        places = [trainer.place(run, 2000) for run in (second, third, other)]
    assert [place.number for place in places if place] == [2, 3, 1]
    wait_until(third, "running")
    assert turns(log, first, second, third, other)[:5] == [first, other, second, other, third]


def test_everybody_has_a_turn_though_one_has_runs_that_wait_for_their_own(open_trainer: Open, log: list[str]) -> None:
    trainer = open_trainer(turn_seconds=MOMENT)
    with trainer._lock:
        first, second = trainer.start_in_turn(LONG, LONG, session_id="ann")
        others = [trainer.start(LONG, session_id) for session_id in ("ben", "cleo")]
        places = [trainer.place(run, 2000) for run in (*others, second)]
    assert [place.number for place in places if place] == [1, 2, 3]
    wait_until(others[1], "running")
    wait_until(first, "running")
    assert turns(log, first, second, *others)[:4] == [first, *others, first]


def test_run_that_is_stopped_between_its_turns_can_go_on_later(open_trainer: Open) -> None:
    trainer = open_trainer(turn_seconds=NEVER)
    first = trainer.start(LONG, "ann")
    wait_for_steps(first, 1)
    second = trainer.start(LONG, "ben")
    end_turn(trainer)
    wait_until(second, "running")
    trainer.stop(first)
    stopped = finished(first)
    assert (stopped.state, stopped.is_resumable) == ("stopped", True)
    assert stopped.steps
    trainer.stop(second)
    trainer.resume_stored(first)
    wait_for(first, lambda: len(first._steps) > len(stopped.steps))
    before = [step.train_loss for step in stopped.steps]
    assert losses(first)[: len(before)] == before


@pytest.mark.parametrize("slots", [1, 2])
def test_stopped_run_goes_on_again_and_again_whichever_slot_it_had(open_trainer: Open, slots: int) -> None:
    trainer = open_trainer(slots=slots)
    run, other = trainer.start(LONG, "ann"), trainer.start(LONG, "ben")
    for going, resting in [(run, other), (other, run)] * 2:
        trainer.stop(going)
        wait_until(going, "stopped")
        wait_until(resting, "running")
        trainer.resume_stored(going)
        if slots == 1:
            trainer.stop(resting)
            wait_until(resting, "stopped")
            trainer.resume_stored(resting)
        wait_until(going, "running")
    assert set(trainer.jobs()) == {run, other}


@pytest.fixture
def search(tmp_path: Path) -> SweepConfig:
    return SweepConfig(SHORT, {"learning_rate": Interval(1e-4, 1e-2)}, "turns", default_storage(tmp_path), num_runs=4)


def test_sweep_lets_others_have_their_turn_and_has_all_its_trials(open_trainer: Open, search: SweepConfig) -> None:
    trainer = open_trainer(turn_seconds=0)
    sweep = trainer.start_sweep(search, "ann")
    wait_for(sweep, lambda: sweep._records)
    run = trainer.start(SHORT, "ben")
    finished(run)
    wait_until_ended(sweep)
    assert sweep.problem == ""
    ended = [record for record in sweep.records() if record.state == "done"]
    assert [record.number for record in ended] == [0, 1, 2, 3]
    stored: list[TrialRecord] = trials(search.storage, "turns")
    assert stored == ended


@pytest.mark.parametrize("slots", [1, 2])
def test_long_trial_waits_in_the_middle_and_goes_on_from_there(open_trainer: Open, search: SweepConfig, slots: int) -> None:
    trainer = open_trainer(turn_seconds=0, slots=slots)
    sweep = trainer.start_sweep(replace(search, base=LONG, num_runs=1), "ann")
    others = [trainer.start(LONG, "ben")] if slots == 2 else []  # which has the other slot
    wait_for(sweep, lambda: sweep._records)
    run = trainer.start(SHORT, "cleo")
    assert finished(run).state == "done"
    assert sweep.is_active
    for other in others:
        trainer.stop(other)
    wait_until_ended(sweep)
    assert [(record.number, record.epoch) for record in sweep.records()] == [
        (0, epoch) for epoch in [*range(LONG.num_epochs + 1), LONG.num_epochs]
    ]
    assert sweep.records()[-1].state == "done"


def test_sweep_that_is_stopped_in_the_middle_of_a_trial_that_waits_leaves_none_running(
    open_trainer: Open, search: SweepConfig
) -> None:
    trainer = open_trainer(turn_seconds=NEVER)
    sweep = trainer.start_sweep(replace(search, base=LONG), "ann")
    wait_for(sweep, lambda: sweep._records)
    run = trainer.start(LONG, "ben")
    end_turn(trainer)
    wait_for_steps(run, 1)
    assert sweep.is_waiting
    trainer.stop(sweep)
    assert (sweep.is_active, sweep.problem) == (False, "")
    trainer.stop(run)
    assert finished(run).state == "stopped"
    assert [trial.state for trial in trials(search.storage, "turns")] == ["failed"]


def test_sweep_that_takes_turns_ends_when_its_own_minutes_are_over(open_trainer: Open, search: SweepConfig) -> None:
    trainer = open_trainer(turn_seconds=0)
    sweep = trainer.start_sweep(replace(search, num_runs=1000, minutes=4 / 60), "ann")
    wait_for(sweep, lambda: sweep._records)
    while sweep.is_active:
        assert finished(trainer.start(SHORT, "ben")).state == "done"
    assert sweep.problem == ""
    ended = trials(search.storage, "turns")
    assert 1 <= len(ended) < 1000
    assert {trial.state for trial in ended} <= {"done", "pruned", "failed"}


def test_runs_in_turn_are_one_after_the_other_though_two_slots_are_free(open_trainer: Open) -> None:
    trainer = open_trainer(slots=2)
    first, second = trainer.start_in_turn(LONG, SHORT, session_id="ann")
    wait_for_steps(first, 5)
    assert second.state == "waiting"
    other = trainer.start(SHORT, "ben")
    assert finished(other).state == "done"
    assert second.state == "waiting"
    trainer.stop(first)
    assert finished(second).state == "done"


@pytest.mark.parametrize("slots", [1, 2])
def test_stop_of_runs_queued_together_ends_all_of_them(open_trainer: Open, slots: int) -> None:
    trainer = open_trainer(slots=slots)
    first, second, third = trainer.start_in_turn(LONG, SHORT, SHORT, session_id="ann")
    wait_for_steps(first, 1)
    trainer.pause(third)  # before its turn
    other = trainer.start(SHORT, "ben")
    trainer.stop_in_turn(first)
    assert [finished(run).state for run in (first, second, third)] == ["stopped"] * 3
    assert finished(other).state == "done"
    assert [run.has_begun for run in (second, third)] == [False, False]
    assert not trainer.is_busy


def test_stop_of_the_last_queued_run_leaves_those_before_it(open_trainer: Open) -> None:
    trainer = open_trainer()
    first, second = trainer.start_in_turn(LONG, SHORT, session_id="ann")
    wait_for_steps(first, 1)
    trainer.stop_in_turn(second)
    assert (first.state, finished(second).state) == ("running", "stopped")
    trainer.stop(first)


def test_run_that_is_stopping_leaves_room_for_the_next_of_its_person(open_trainer: Open) -> None:
    trainer = open_trainer()
    runs = [trainer.start(LONG, "ann") for _ in range(MAX_OF_ONE_PERSON)]
    wait_until(runs[0], "running")
    with runs[0]._changed:  # its end cannot be received before the next has been asked for
        trainer.stop_in_turn(runs[0])
        assert runs[0].is_active
        runs.append(trainer.start(SHORT, "ann"))
    assert finished(runs[0]).state == "stopped"
    for run in runs[1:]:
        trainer.stop(run)


def test_nobody_makes_room_for_a_run_that_waits_for_another(open_trainer: Open, log: list[str]) -> None:
    trainer = open_trainer(turn_seconds=0)
    first, second = trainer.start_in_turn(LONG, SHORT, session_id="ann")
    wait_for_steps(first, 1)
    trainer.pause(first)
    wait_until(first, "paused")
    other = trainer.start(TURNS, "ben")
    assert finished(other).state == "done"
    assert (first.state, second.state) == ("paused", "waiting")
    assert not any(other.id in line and "lets others" in line for line in log)
    trainer.resume(first)
    trainer.stop(first)
    assert finished(second).state == "done"


def test_run_whose_state_is_gone_when_its_turn_comes_again_says_so(open_trainer: Open) -> None:
    trainer = open_trainer(turn_seconds=NEVER)
    run = trainer.start(LONG, "ann")
    wait_for_steps(run, 1)
    other = trainer.start(LONG, "ben")
    end_turn(trainer)
    wait_for_steps(other, 1)
    assert run.state == "waiting"
    assert run.path
    (run.path / STATE_NAME).unlink()
    steps = losses(run)
    end_turn(trainer)
    snapshot = finished(run)
    assert snapshot.state == "failed"
    assert "is gone" in snapshot.message
    assert losses(run) == steps
    trainer.stop(other)
    assert finished(trainer.start(SHORT, "ann")).state == "done"


def test_speed_test_is_no_run_and_measures_each_figure_once_though_others_wait(open_trainer: Open) -> None:
    trainer = open_trainer(turn_seconds=0)
    test, run = trainer.measure_speed(SHORT, "ann"), trainer.start(SHORT, "ben")
    assert finished(run).state == "done"
    assert not test.is_active
    figures = [(record.threads, record.batch_size) for record in test.records()]
    assert len(set(figures)) == len(figures) == test.num_records


def test_pause_that_comes_as_the_turn_ends_holds(open_trainer: Open) -> None:
    trainer = open_trainer()
    run = trainer.start(LONG, "ann")
    wait_for_steps(run, 1)
    with trainer._lock:
        other = trainer.start(SHORT, "ben")
        trainer._slots[0].process.send("yield", run.id)
        trainer.pause(run)  # the process hears of it when it is at the run no more
    assert finished(other).state == "done"
    wait_until(run, "paused")
    trainer.resume(run)
    wait_for_steps(run, 5)


# Places


def test_the_place_and_the_time_until_it_begins_are_known_and_shrink(open_trainer: Open) -> None:
    trainer = open_trainer()
    runs = [trainer.start(LONG, session_id) for session_id in ("ann", "ben", "cleo")]
    places = [trainer.place(run, 2000) for run in runs]
    assert places[0] is None
    assert [(place.number, place.of) for place in places if place] == [(1, 2), (2, 2)]
    assert places[1]
    assert places[2]
    assert 0 < places[1].seconds < places[2].seconds
    trainer.stop(runs[1])
    place = trainer.place(runs[2], 2000)
    assert place
    assert (place.number, place.of) == (1, 1)
    assert place.seconds < places[2].seconds
    trainer.stop(runs[0])
    wait_until(runs[2], "running")
    assert trainer.place(runs[2], 2000) is None


def test_what_is_expected_of_a_run_is_learned_from_those_before(open_trainer: Open) -> None:
    trainer = open_trainer()
    done = finished(trainer.start(LONG.replace(num_epochs=2)))
    expected = trainer._pace * expected_seconds(LONG, num_images=2 * 1800)
    assert expected == pytest.approx(2 * done.epochs[-1].seconds), "as long as the last epoch took"


def test_nobody_has_more_than_a_few_and_the_queue_has_an_end(open_trainer: Open) -> None:
    trainer = open_trainer()
    runs = [trainer.start(LONG, "ann") for _ in range(MAX_OF_ONE_PERSON)]
    with pytest.raises(JobRejected, match=f"You have {MAX_OF_ONE_PERSON} trainings"):
        trainer.start(LONG, "ann")
    for number in range(MAX_WAITING - MAX_OF_ONE_PERSON + 1):
        trainer.start(LONG, f"another {number}")
    with pytest.raises(JobRejected, match=f"{MAX_WAITING} others wait"):
        trainer.start(LONG, "ben")
    assert len(trainer.store.runs()) == 1  # what waits takes no room
    trainer.stop(runs[-1])
    assert trainer.start(LONG, "ben").state == "waiting"


def test_two_slots_train_two_at_once_each_with_its_share_of_the_cores(open_trainer: Open, search: SweepConfig) -> None:
    trainer = open_trainer(slots=2)
    runs = [trainer.start(LONG.replace(threads=CPU_COUNT), session_id) for session_id in ("ann", "ben", "cleo")]
    wait_for_steps(runs[0], 1)
    wait_for_steps(runs[1], 1)
    assert [run.state for run in runs] == ["running", "running", "waiting"]
    assert {run.config.threads for run in runs} == {max(1, CPU_COUNT // 2)}
    assert len(set(trainer.process_ids)) == 2
    trainer.stop(runs[1])
    wait_until(runs[2], "running")
    assert runs[0].state == "running"
    sweep = trainer.start_sweep(replace(search, base=LONG.replace(threads=CPU_COUNT)), "dan")
    assert sweep.config.base.threads == max(1, CPU_COUNT // 2)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "x", "", str(CPU_COUNT + 1)])
def test_wrong_number_of_slots_is_named(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="--slots is"):
        num_slots(text)
    if text:
        monkeypatch.setenv(SLOTS_VARIABLE, text)
        with pytest.raises(ConfigError, match=f"{SLOTS_VARIABLE} is"):
            num_slots()


def test_slots_are_as_the_command_line_says_or_else_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SLOTS_VARIABLE, "1")
    monkeypatch.setattr("sys.argv", ["app.py", "--slots", f"{CPU_COUNT}"])
    assert num_slots(_slots_option()) == CPU_COUNT
    monkeypatch.setattr("sys.argv", ["app.py"])
    assert num_slots(_slots_option()) == 1
    monkeypatch.setattr("sys.argv", ["app.py", "--slots"])
    with pytest.raises(ConfigError, match="--slots"):
        _slots_option()


# People


def test_run_whose_people_are_gone_is_stopped_and_says_why(open_trainer: Open) -> None:
    here = {"ann", "ben", "cleo"}
    trainer = open_trainer(is_present=here.__contains__, away_seconds=MOMENT)
    going, waiting, kept = trainer.start(LONG, "ann"), trainer.start(LONG, "ben"), trainer.start(LONG, "cleo")
    kept.detached = True
    wait_for_steps(going, 1)
    here.clear()
    for run in (going, waiting):
        snapshot = finished(run)
        assert snapshot.state == "stopped"
        assert "its page had been closed" in snapshot.message
    wait_until(kept, "running")
    assert going.snapshot().is_resumable
    assert trainer.store.run(going.id).end == going.snapshot().end


def test_whoever_is_back_in_time_or_looks_at_it_from_elsewhere_keeps_it_going(open_trainer: Open) -> None:
    here = {"ann"}
    trainer = open_trainer(is_present=here.__contains__, away_seconds=3600)
    run = trainer.start(LONG, "ann")
    wait_for_steps(run, 1)
    here.remove("ann")
    with trainer._lock:
        run.seen_at -= 3590
        trainer._end_what_nobody_looks_at()
        here.add("ann again")
        trainer.touch(run, "ann again")
        run.seen_at -= 3700
        trainer._end_what_nobody_looks_at()
    wait_for_steps(run, 5)
    assert run.state == "running"
    with trainer._lock:
        here.clear()
        run.seen_at -= 3700
        trainer._end_what_nobody_looks_at()
    assert finished(run).state == "stopped"


def test_whoever_looks_at_one_run_of_a_person_is_there_for_the_next_of_theirs_too(open_trainer: Open) -> None:
    here = {"ann"}
    trainer = open_trainer(is_present=here.__contains__, away_seconds=3600)
    first, second = trainer.start_in_turn(LONG, LONG, session_id="ann")
    here.clear()
    here.add("ann again")
    trainer.touch(first, "ann again")
    with trainer._lock:
        for run in (first, second):
            run.seen_at -= 3700
        trainer._end_what_nobody_looks_at()
    assert (first.is_active, second.state) == (True, "waiting")
    trainer.stop(first)
    wait_until(second, "running")
    here.clear()
    here.add("ann once more")
    trainer.touch(first, "ann once more")
    with trainer._lock:
        second.seen_at -= 3700
        trainer._end_what_nobody_looks_at()
    wait_for_steps(second, 5)
    assert second.state == "running"


# What a training may take


def test_training_that_needs_more_memory_than_it_may_take_says_so_and_the_next_works(
    open_trainer: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MEMORY_VARIABLE, "0.2")
    trainer = open_trainer()
    snapshot = finished(trainer.start(SHORT.replace(hidden_sizes=(2048,) * 4, batch_size=1024)))
    assert snapshot.state == "failed"
    assert "needs more memory than the 0.2 GB that it may take" in snapshot.message
    process_id = trainer.process_ids[0]
    assert finished(trainer.start(SHORT)).state == "done"
    assert trainer.process_ids[0] == process_id


def test_weights_of_runs_that_wait_are_bounded_and_come_back(open_trainer: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnist_fc.server.scheduler.MAX_BYTES_IN_MEMORY", 0)
    trainer = open_trainer(turn_seconds=NEVER)
    run = trainer.start(LONG, "ann")
    wait_for_steps(run, 1)
    other = trainer.start(LONG, "ben")
    end_turn(trainer)
    wait_until(other, "running")
    waiting = run.snapshot()
    assert (waiting.state, waiting.weights) == ("waiting", None)
    trainer.stop(other)
    wait_for(run, lambda: run._weights)
    assert run.snapshot().weights


def test_runs_in_memory_are_bounded_and_what_is_on_disk_goes_first(open_trainer: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnist_fc.server.scheduler.MAX_RUNS_IN_MEMORY", 2)
    trainer = open_trainer()
    only_here = trainer.start(SHORT)
    only_here.storage_problem = "there is no room"
    runs = [only_here, *(trainer.start(SHORT) for _ in range(4))]
    for run in runs:
        assert finished(run).state == "done"
    trainer.start(SHORT)
    assert trainer.run(only_here.id) is only_here
    assert len(trainer._runs) <= 4
    again = trainer.run(runs[1].id)
    assert again
    assert again is not runs[1]
    assert losses(again) == losses(runs[1])


def test_largest_training_has_enough_memory(open_trainer: Open) -> None:
    trainer = open_trainer()
    largest = SHORT.replace(hidden_sizes=(2048,) * 4, batch_size=4096, augmentation="elastic", num_epochs=1, num_validation=0)
    assert finished(trainer.start(largest.replace(dropout=0.5))).state == "done"


def test_system_out_of_memory_ends_the_training_and_not_the_server(open_trainer: Open) -> None:
    trainer = open_trainer()
    wait_for_steps(trainer.start(LONG), 1)
    scores = [int(Path(f"/proc/{pid}/oom_score_adj").read_text()) for pid in ("self", trainer.process_ids[0])]
    assert scores[1] == 1000 >= scores[0]  # the highest there is, which a container may have given the server too


# The log


def test_each_start_end_failure_and_refusal_is_a_line_with_run_and_session(
    open_trainer: Open, log: list[str], tmp_path: Path
) -> None:
    trainer = open_trainer()
    done = trainer.start(SHORT, "0123456789")
    finished(done)
    failed = trainer.start(SHORT.replace(**OVERFLOWING), "ben")
    assert finished(failed).state == "failed"
    going = [trainer.start(LONG, "cleo") for _ in range(MAX_OF_ONE_PERSON)]
    with pytest.raises(JobRejected):
        trainer.start(LONG, "cleo")
    trainer.stop(going[-1])
    trainer.stop(going[0])
    wait_until(going[1], "running")
    trainer.store.path.rename(tmp_path / "elsewhere")
    not_kept = re.compile(f"ERROR.*{going[1].id}.*is no longer kept on disk")
    wait_for(going[1], lambda: any(map(not_kept.match, log)))
    named = f"run {done.id} (784-16-10, custom, 2 epochs) of session 01234567"
    assert log[:2] == [f"INFO {named} begins", f"INFO {named} ends at step 58, done"]
    assert [line.startswith("ERROR run") and "diverged: The loss" in line for line in log if failed.id in line] == [False, True]
    assert re.findall(r"waits, place (\d) of (\d)", "\n".join(log)) == [("1", "1"), ("2", "2")]
    assert [line for line in log if line.startswith("WARNING")] == [
        "WARNING refused session cleo: You have 3 trainings that go on or wait"
    ]
    assert any(going[-1].id in line and "ends at step 0, stopped" in line for line in log)
