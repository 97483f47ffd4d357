"""status.py and results.py: one word and one test figure for each run, whoever asks."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mnist_fc.analysis.diagnosis import diagnose, has_diverged
from mnist_fc.analysis.results import test_curve as curve_of_test
from mnist_fc.analysis.results import test_result as result_of_test
from mnist_fc.config import TrainConfig
from mnist_fc.records import NOT_FINITE, EndRecord, EpochRecord, StepRecord
from mnist_fc.runs.reader import read_run
from mnist_fc.runs.writer import RunFolder
from mnist_fc.server.job import JobState
from mnist_fc.server.run import Run, RunSnapshot
from mnist_fc.server.status import status, status_word, stored_status_word

CONFIG = TrainConfig(hidden_sizes=(8,), batch_size=100, num_epochs=3, threads=1)
STEPS_PER_EPOCH = 10


def step_record(step: int, loss: float = 0.5) -> StepRecord:
    return StepRecord(step, -(-step // STEPS_PER_EPOCH), 100 * step, 0.01 * step, loss, 0.9, 0.001, (1.0, 1.0))


def epoch_record(epoch: int, test_accuracy: float | None = None) -> EpochRecord:
    test_loss = None if test_accuracy is None else 1 - test_accuracy
    validation = 0.9 if test_accuracy is None else None
    return EpochRecord(epoch * STEPS_PER_EPOCH, epoch, 0.1, 1e4, 0.5, 0.9, validation, validation, test_loss, test_accuracy)


def end_record(step: int, outcome: Any = "done", message: str = "", test_accuracy: float | None = None) -> EndRecord:
    test_loss = None if test_accuracy is None else 1 - test_accuracy
    return EndRecord(step, -(-step // STEPS_PER_EPOCH), outcome, message, 0.01 * step, test_loss, test_accuracy)


def snapshot(state: str, num_steps: int = 0, end: EndRecord | None = None, losses: tuple[float, ...] = ()) -> RunSnapshot:
    run = Run("a run", CONFIG).snapshot()
    steps = tuple(step_record(step, losses[step - 1] if losses else 0.5) for step in range(1, num_steps + 1))
    epochs = tuple(epoch_record(epoch) for epoch in range(1, num_steps // STEPS_PER_EPOCH + 1))
    return replace(run, state=JobState(state), steps=steps, epochs=epochs, end=end, message=end.message if end else "")


OVERFLOW = f"The loss {NOT_FINITE} at step 21 (epoch 3)."
CLIMBING = (2.3, *(0.4,) * 14, *(9.0,) * 15)
"""Of a run that takes all its steps though it has broken."""


@pytest.mark.parametrize(
    ("run", "word", "line"),
    [
        (snapshot("waiting"), "waiting", "waiting"),
        (snapshot("waiting", 12), "waiting", "waiting, epoch 2 of 3"),
        (snapshot("starting"), "starting", "starting"),
        (snapshot("running"), "running", "running, epoch 1 of 3"),
        (snapshot("running", 12), "running", "running, epoch 2 of 3"),
        (snapshot("pausing", 12), "running", "running, epoch 2 of 3"),
        (snapshot("stopping", 12), "running", "running, epoch 2 of 3"),
        (snapshot("paused", 12), "paused", "paused, epoch 2 of 3"),
        (snapshot("external", 12), "running elsewhere", "running elsewhere, epoch 2 of 3"),
        (snapshot("interrupted", 12), "interrupted", "interrupted in epoch 2 of 3"),
        (snapshot("stopped", 12, end_record(12, "stopped")), "stopped", "stopped in epoch 2 of 3"),
        (snapshot("stopped", 0, end_record(0, "stopped")), "stopped", "stopped before it began"),
        (snapshot("failed", 12, end_record(12, "failed", "The process was ended.")), "failed", "failed"),
        (snapshot("failed", 12, end_record(12, "failed", OVERFLOW)), "diverged", "diverged in epoch 2 of 3"),
        (snapshot("failed", 20, end_record(20, "failed", OVERFLOW)), "diverged", "diverged in epoch 3 of 3"),
        (snapshot("failed", 0, end_record(0, "failed", OVERFLOW)), "diverged", "diverged in epoch 1 of 3"),
        (snapshot("done", 30, end_record(30), CLIMBING), "diverged", "diverged"),
        (snapshot("done", 30, end_record(30)), "done", "done"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_state_has_its_own_word(run: RunSnapshot, word: str, line: str) -> None:
    assert (status(run).word, status(run).line) == (word, line)
    assert status_word(run) == word


@pytest.mark.parametrize("outcome", ["done", "stopped", "failed"])
def test_run_of_the_store_has_the_word_of_the_header(tmp_path: Path, outcome: Any) -> None:
    for losses in ((0.5,) * 30, CLIMBING):
        end = end_record(30, outcome, OVERFLOW if outcome == "failed" else "")
        shown = snapshot(outcome, 30, end, losses)
        folder = RunFolder(tmp_path, CONFIG)
        for record in shown.steps:
            folder.write(record)
        folder.write(end)
        assert stored_status_word(read_run(folder.path, with_steps=False), None) == status_word(shown)


def test_diverged_is_what_the_diagnosis_calls_divergence() -> None:
    run = snapshot("done", 30, end_record(30), CLIMBING)
    found = diagnose(CONFIG, CONFIG.learning_rate, run.steps, run.epochs, run.end)
    assert found
    assert found.name == "diverges"
    assert has_diverged(run.steps, run.end)
    assert not has_diverged(run.steps, None), "it has not ended"
    assert not has_diverged(run.steps, end_record(30, "stopped")), "somebody stopped it"
    assert not has_diverged(run.steps, end_record(30, "failed", "The process was ended.")), "its process died"


def test_test_figure_is_of_the_end_though_it_came_after_an_epochs() -> None:
    epochs = [epoch_record(1, 0.1135), epoch_record(2, 0.1028)]
    stopped = end_record(25, "stopped", test_accuracy=0.0982)
    result = result_of_test(epochs, stopped)
    assert result
    assert (result.step, result.epoch, result.accuracy) == (25, 3, 0.0982)
    curve = curve_of_test(epochs, stopped, "accuracy")
    assert (curve.steps.tolist(), curve.values.tolist()) == ([10, 20, 25], [0.1135, 0.1028, 0.0982])


def test_test_figure_is_of_the_last_epoch_until_the_end_has_one() -> None:
    epochs = [epoch_record(1, 0.1135), epoch_record(2, 0.1028), epoch_record(3)]
    for end in (None, end_record(25, "failed", OVERFLOW)):
        result = result_of_test(epochs, end)
        assert result
        assert (result.step, result.accuracy) == (20, 0.1028)
        assert curve_of_test(epochs, end, "loss").values.tolist() == pytest.approx([1 - 0.1135, 1 - 0.1028])
    assert result_of_test([epoch_record(1)], None) is None
    done = end_record(20, test_accuracy=0.1028)
    assert curve_of_test(epochs[:2], done, "accuracy").steps.tolist() == [10, 20], "measured once at the same step"


def test_run_up_to_a_step_has_the_figures_of_that_step() -> None:
    run = snapshot("done", 30, end_record(30, test_accuracy=0.9))
    then = run.up_to(25)
    assert (then.steps[-1].step, then.epochs[-1].epoch, then.end) == (25, 2, None)
    assert run.up_to(30) == run
    assert (run.up_to(0).steps, run.up_to(0).epochs) == ((), ())
    assert (run.last_step, then.last_step, run.up_to(0).last_step) == (30, 25, 0)
