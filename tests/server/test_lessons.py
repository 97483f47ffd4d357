"""Lessons on a real training process: queued, taught, held out, kept, stopped and resumed as runs are."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
import torch

from mnist_fc.config import TrainConfig
from mnist_fc.data.lesson import NUM_FOLDS, Lesson
from mnist_fc.data.mnist import Mnist
from mnist_fc.data.my_digits import MyDigit
from mnist_fc.network import checkpoint
from mnist_fc.network.mlp import MLP, initialize
from mnist_fc.records import HeldOutRecord, Record, WeightsRecord
from mnist_fc.runs.layout import RunsError
from mnist_fc.runs.lessons import HELD_OUT_NAME, LESSON_NAME
from mnist_fc.runs.store import RunStore
from mnist_fc.server.run import Run, RunSnapshot
from mnist_fc.server.scheduler import Scheduler
from mnist_fc.training.teaching import lesson_for, predictions, settings, teach
from tests.support import training
from tests.support.jobs import LONG, NEVER, SHORT, Open, end_slice, losses, wait_until_handed_over
from tests.support.lessons import BEFORE, misread, model_before
from tests.support.models import model_of
from tests.support.waiting import finished, wait_for, wait_for_steps, wait_until

CONFIG = settings(BEFORE.hidden_sizes, threads=1)
WIDE = settings((256,), threads=1).replace(num_epochs=3)
"""Seconds without rehearsal, so that commands reach the lesson, and live weights would be sent while digits are held out."""


@pytest.fixture(scope="module")
def digits(small: Mnist) -> list[MyDigit]:
    return misread(model_before(small), small, 6)


@pytest.fixture(scope="module")
def lesson(small: Mnist, digits: list[MyDigit]) -> Lesson:
    scribble = MyDigit(None, np.full((28, 28), 9, np.uint8))
    return lesson_for(model_before(small), [*digits, scribble], parent="mine")


@pytest.fixture(scope="module")
def long_lesson(digits: list[MyDigit]) -> Lesson:
    """Return a lesson for an untrained network."""
    model = MLP(WIDE.hidden_sizes)
    initialize(model, WIDE.initialization, torch.Generator().manual_seed(0))
    return lesson_for(model, digits, rehearses=False)


@pytest.fixture(scope="module")
def expected(small: Mnist, lesson: Lesson) -> list[Record]:
    """Return the records of the lesson in this process."""
    return list(teach(CONFIG, small, lesson))


def assert_same_lesson(found: RunSnapshot, expected: Lesson) -> None:
    assert found.lesson
    assert np.array_equal(found.lesson.images, expected.images)
    assert np.array_equal(found.lesson.labels, expected.labels)
    assert np.array_equal(found.lesson.not_digits, expected.not_digits)
    assert (found.lesson.parent, found.lesson.rehearses) == (expected.parent, expected.rehearses)


def held_out_of(records: list[Record]) -> tuple[int, ...]:
    (record,) = training.of(HeldOutRecord, records)
    return record.digits


def wait_until_all_steps_are_taken(run: Run) -> int:
    """Wait until only the digits held out are left to read, and return the number of steps."""
    assert run.lesson
    num_steps = run.config.num_epochs * run.config.steps_per_epoch(run.lesson.num_images(2000))
    wait_for(run, lambda: num_steps in run._kept)
    return num_steps


def assert_weights_are_those_taught(snapshot: RunSnapshot, num_steps: int) -> None:
    """Compare with those that were kept after the last step, before any digit was held out."""
    kept = checkpoint.load(snapshot.kept[num_steps]).state_dict()
    assert snapshot.weights
    assert snapshot.weights.step == num_steps
    assert all(np.array_equal(array, kept[name].numpy()) for name, array in snapshot.weights.weights.items())


# A lesson from beginning to end


def test_lesson_ends_done_with_held_out_digits(open_scheduler: Open, lesson: Lesson, expected: list[Record]) -> None:
    scheduler = open_scheduler()
    run = scheduler.start(CONFIG, lesson=lesson)
    snapshot = finished(run)
    assert (snapshot.state, snapshot.message, snapshot.storage_problem) == ("done", "", "")
    assert snapshot.lesson is lesson
    assert snapshot.held_out == held_out_of(expected)
    assert losses(snapshot) == pytest.approx(training.losses(expected), rel=1e-5)
    assert snapshot.end
    assert snapshot.end.step == training.end_of(expected).step
    assert "-taught-" in snapshot.id
    assert snapshot.in_words == "taught 6 own digits"
    assert not snapshot.is_resumable
    assert snapshot.weights
    taught = model_of(snapshot.weights, CONFIG)
    assert np.array_equal(predictions(taught, lesson.images), lesson.labels)


def test_new_scheduler_reads_the_lesson_from_the_store(open_scheduler: Open, lesson: Lesson) -> None:
    before = finished(open_scheduler().start(CONFIG, lesson=lesson))
    run = open_scheduler().run(before.id)
    assert run
    after = run.snapshot()
    assert_same_lesson(after, lesson)
    assert after.lesson is not lesson
    assert (after.state, after.held_out, after.end, after.in_words) == ("done", before.held_out, before.end, before.in_words)
    assert losses(after) == losses(before)
    assert after.num_train_images(2000) == lesson.num_images(2000)


def test_lesson_from_scratch_has_no_held_out_digits(open_scheduler: Open, digits: list[MyDigit]) -> None:
    scheduler = open_scheduler()
    snapshot = finished(scheduler.start(CONFIG, lesson=lesson_for(None, digits)))
    assert (snapshot.state, snapshot.held_out) == ("done", None)
    assert snapshot.lesson
    assert snapshot.lesson.start is None


def test_run_without_a_lesson_has_none(open_scheduler: Open) -> None:
    scheduler = open_scheduler()
    snapshot = finished(scheduler.start(SHORT))
    assert (snapshot.lesson, snapshot.held_out) == (None, None)
    assert snapshot.num_train_images(2000) == 2000
    assert "-taught-" not in snapshot.id


def test_lesson_without_a_folder_is_taught_all_the_same(
    open_scheduler: Open, tmp_path: Path, lesson: Lesson, expected: list[Record]
) -> None:
    (tmp_path / "runs").write_text("a file where the store should be")
    snapshot = finished(open_scheduler().start(CONFIG, lesson=lesson))
    assert snapshot.state == "done"
    assert snapshot.storage_problem
    assert snapshot.held_out == held_out_of(expected)


def test_weights_that_do_not_fit_fail_the_lesson_alone(open_scheduler: Open, digits: list[MyDigit], lesson: Lesson) -> None:
    scheduler = open_scheduler()
    snapshot = finished(scheduler.start(CONFIG, lesson=lesson_for(MLP((16,)), digits)))
    assert snapshot.state == "failed"
    assert "the weights to begin with are not those of a network with these settings" in snapshot.message
    process_ids = scheduler.process_ids
    assert finished(scheduler.start(CONFIG, lesson=lesson)).state == "done"
    assert scheduler.process_ids == process_ids


# The queue


def let_another_run(scheduler: Scheduler) -> None:
    """End the slice of the lesson for another person's run, and wait until that is done."""
    other = scheduler.start(SHORT, "ben")
    end_slice(scheduler)
    assert finished(other).state == "done"


def test_lesson_waits_while_another_run_trains(open_scheduler: Open, lesson: Lesson) -> None:
    scheduler = open_scheduler()
    other = scheduler.start(LONG, "ann")
    wait_for_steps(other, 1)
    run = scheduler.start(CONFIG, "ben", lesson)
    place = scheduler.place(run, 2000)
    assert place
    snapshot = run.snapshot()
    assert (snapshot.state, snapshot.steps, snapshot.held_out) == ("waiting", (), None)
    assert snapshot.weights
    assert snapshot.weights.step == 0
    assert snapshot.weights.weights is lesson.start  # so that the network reads meanwhile
    assert_same_lesson(snapshot, lesson)
    wait_for_steps(other, 20)
    assert run.state == "waiting"
    scheduler.stop(other)
    after = finished(run)
    assert after.state == "done"
    assert after.held_out


@pytest.mark.slow
def test_lesson_that_yields_resumes_to_the_same_losses(open_scheduler: Open, small: Mnist, long_lesson: Lesson) -> None:
    scheduler = open_scheduler(slice_seconds=NEVER)
    run = scheduler.start(WIDE, "ann", long_lesson)
    wait_for_steps(run, 1)
    let_another_run(scheduler)
    after = finished(run)
    assert (after.state, run.num_slices) == ("done", 2)
    assert after.held_out
    records = list(teach(WIDE, small, long_lesson))
    assert losses(after) == pytest.approx(training.losses(records), rel=1e-5)
    assert after.held_out == held_out_of(records)


def test_time_of_the_repeated_lessons_is_part_of_the_estimate(digits: list[MyDigit], lesson: Lesson) -> None:
    alone = lesson_for(None, digits)
    seconds = [Run("a", CONFIG, lesson=each).seconds_left(2000, 1.0) for each in (alone, lesson)]
    shares = [each.num_images(2000) * (1 + each.num_folds) for each in (alone, lesson)]
    assert lesson.num_folds == NUM_FOLDS
    assert seconds[1] / seconds[0] == pytest.approx(shares[1] / shares[0], rel=0.05)


# While digits are held out


def test_taught_weights_stay_while_digits_are_held_out(open_scheduler: Open, long_lesson: Lesson) -> None:
    run = open_scheduler().start(WIDE, lesson=long_lesson)
    num_steps = wait_until_all_steps_are_taken(run)
    seen: list[int] = []

    def has_ended() -> bool:
        seen.append(run._weights.step if run._weights else -1)
        return not run.is_active

    wait_for(run, has_ended)
    snapshot = run.snapshot()
    assert snapshot.held_out
    assert set(seen) == {num_steps}
    assert_weights_are_those_taught(snapshot, num_steps)
    assert run.path
    written = checkpoint.load(run.path / checkpoint.CHECKPOINT_NAME).state_dict()
    kept = checkpoint.load(snapshot.kept[num_steps]).state_dict()
    assert all(np.array_equal(tensor.numpy(), kept[name].numpy()) for name, tensor in written.items())


def test_pause_while_digits_are_held_out_comes_too_late(open_scheduler: Open, long_lesson: Lesson) -> None:
    scheduler = open_scheduler()
    run = scheduler.start(WIDE, lesson=long_lesson)
    num_steps = wait_until_all_steps_are_taken(run)
    scheduler.pause(run)
    snapshot = finished(run)
    assert snapshot.state == "done"
    assert snapshot.held_out
    assert_weights_are_those_taught(snapshot, num_steps)


@pytest.mark.slow
def test_lesson_whose_slice_ends_while_digits_are_held_out_is_done_first(open_scheduler: Open, long_lesson: Lesson) -> None:
    scheduler = open_scheduler(slice_seconds=NEVER)
    run = scheduler.start(WIDE, "ann", long_lesson)
    num_steps = wait_until_all_steps_are_taken(run)
    let_another_run(scheduler)
    snapshot = finished(run)
    assert (snapshot.state, run.num_slices) == ("done", 1)
    assert snapshot.held_out
    assert_weights_are_those_taught(snapshot, num_steps)


def test_stop_while_digits_are_held_out_ends_a_done_lesson(open_scheduler: Open, long_lesson: Lesson) -> None:
    scheduler = open_scheduler()
    run = scheduler.start(WIDE, lesson=long_lesson)
    num_steps = wait_until_all_steps_are_taken(run)
    scheduler.stop(run)
    snapshot = finished(run)
    assert (snapshot.state, snapshot.held_out) == ("done", None)
    assert_weights_are_those_taught(snapshot, num_steps)
    assert run.path
    assert not (run.path / HELD_OUT_NAME).exists()


# Stop and resume


def stopped(scheduler: Scheduler, config: TrainConfig, lesson: Lesson) -> Run:
    """Return a lesson that was stopped after its first steps."""
    run = scheduler.start(config, lesson=lesson)
    wait_for_steps(run, 1)
    scheduler.stop(run)
    wait_until(run, "stopped")
    return run


def test_stopped_lesson_resumes_to_the_same_losses(open_scheduler: Open, small: Mnist, long_lesson: Lesson) -> None:
    scheduler = open_scheduler()
    run = stopped(scheduler, WIDE, long_lesson)
    before = run.snapshot()
    assert (before.held_out, before.is_resumable) == (None, True)
    scheduler.resume_stored(run)
    after = finished(run)
    records = list(teach(WIDE, small, long_lesson))
    assert after.state == "done"
    assert losses(after) == pytest.approx(training.losses(records), rel=1e-5)
    assert after.held_out == held_out_of(records)
    assert after.weights
    last = training.of(WeightsRecord, records)[-1].weights
    assert all(np.allclose(array, last[name], atol=1e-4) for name, array in after.weights.weights.items())


@pytest.mark.slow
def test_another_scheduler_resumes_a_stopped_lesson(open_scheduler: Open, long_lesson: Lesson) -> None:
    with contextlib.closing(open_scheduler()) as first:
        run_id = stopped(first, WIDE, long_lesson).id
    scheduler = open_scheduler()
    run = scheduler.run(run_id)
    assert run
    assert run.snapshot().is_resumable
    assert_same_lesson(run.snapshot(), long_lesson)
    scheduler.resume_stored(run)
    after = finished(run)
    assert (after.state, after.storage_problem) == ("done", "")
    assert after.held_out
    assert np.array_equal(predictions(model_of(after.weights, WIDE), long_lesson.images), long_lesson.labels)  # type: ignore[arg-type]


def test_stopped_before_it_starts_a_lesson_is_over(open_scheduler: Open, lesson: Lesson) -> None:
    scheduler = open_scheduler()
    other = scheduler.start(LONG, "ann")
    wait_for_steps(other, 1)
    run = scheduler.start(CONFIG, "ben", lesson)
    scheduler.stop(run)
    snapshot = finished(run)
    assert (snapshot.state, snapshot.held_out) == ("stopped", None)
    assert_same_lesson(snapshot, lesson)
    wait_until_handed_over(scheduler)


def test_a_damaged_lesson_is_shown_and_cannot_resume(open_scheduler: Open, tmp_path: Path, long_lesson: Lesson) -> None:
    with contextlib.closing(open_scheduler()) as first:
        run_id = stopped(first, WIDE, long_lesson).id
    (RunStore(tmp_path / "runs").folder(run_id) / LESSON_NAME).write_bytes(b"damaged")
    scheduler = open_scheduler()
    run = scheduler.run(run_id)
    assert run
    assert run.snapshot().steps
    assert run.snapshot().lesson is None
    with pytest.raises(RunsError, match=r"lesson\.npz is not a lesson"):
        scheduler.resume_stored(run)
    assert not run.is_active
