"""Train an MLP and evaluate it. `train` yields records; it draws no screen, starts no thread and writes no file.

A step costs little more than its matrix products and one fused optimizer update: see backprop.py and optimizer.py.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch

from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.records import (
    KEPT_STEPS,
    MAX_KEPT,
    NOT_FINITE,
    EndRecord,
    EpochRecord,
    Outcome,
    Record,
    StateRecord,
    StepRecord,
    Weights,
    WeightsRecord,
)
from mnist_fc.training.distributed import SINGLE_PROCESS, ProcessGroup
from mnist_fc.training.pacing import Pacer
from mnist_fc.training.train_state import TrainState

RECORDS_PER_EPOCH = 60

FIRST_STEPS = 20
"""The loss falls fastest at the start, so each of these steps has a record of its own."""

STATE_SECONDS = 1.0
STATE_BYTES_PER_SECOND = 5e6
"""The time between two states that a run yields to resume from. Large states come less often, so as not to slow the run."""


def never_stop(_training: TrainState) -> bool:
    """Let a training take its next step."""
    return True


@torch.no_grad()
def train(
    config: TrainConfig,
    data: Mnist,
    on_step: Callable[[TrainState], bool] = never_stop,
    state: Mapping[str, np.ndarray] | None = None,
    group: ProcessGroup = SINGLE_PROCESS,
    start: Weights | None = None,
) -> Iterator[Record]:
    """Train as `config` says and yield records. The last is an EndRecord, just after the last finite weights.

    It begins with the weights of `start`, or with random ones. `on_step` is called before every step. It may block (a pause), set
    `training.learning_rate`, or return False to stop. With the `state` of an interrupted or stopped run, training resumes from
    there to the same losses. The same arguments give the same losses on the same machine. Raises DataError when `data` has too
    few images, and StateError for a state that does not fit.

    In a `group` every process makes the same call, and all get the same records, except for seconds and for the moments of
    states. The learning rate that the first process sets holds for all. When one stops, all stop one step later. Raises
    ProcessGroupError when their settings or data differ, or when a process ends.
    """
    training = TrainState(config, data, group, start)
    if state is not None:
        training.restore(state)
    training.check_group()
    recorder = _Recorder(training)
    take_step = Pacer(training).take_step if group.size == 1 and config.threads > 1 else training.take_step
    outcome: Outcome = "done"
    yield recorder.first_weights()
    while training.step < training.num_steps:
        if recorder.is_state_due():
            yield recorder.state()
        if not training.should_continue(on_step(training)):
            outcome = "stopped"
            break
        if not take_step(training.next_batch()):
            outcome = "failed"
            break
        yield from recorder.after_step()
    yield from recorder.at_end(outcome)


class _Recorder:
    """Decides which records a run yields when, and makes them from its state."""

    def __init__(self, training: TrainState) -> None:
        self._training = training
        self._steps_per_record = _steps_per_record(training)
        # All of KEPT_STEPS, the ends of epochs this far apart, and the end of the run are MAX_KEPT at most.
        self._epochs_per_kept = math.ceil(training.config.num_epochs / (MAX_KEPT - len(KEPT_STEPS) - 1))
        self._state_seconds = max(STATE_SECONDS, 12 * training.model.num_parameters / STATE_BYTES_PER_SECOND)
        self._state_at = training.seconds
        self._newest = self._weights(is_kept=training.step == 0)
        self._test_result: tuple[float, float] | None = None
        """Loss and accuracy of the current weights on the test images, once they are known."""

    def first_weights(self) -> WeightsRecord:
        """Return the weights that the training starts or resumes from."""
        return self._newest

    def is_state_due(self) -> bool:
        """Return whether the last state was yielded so long ago that it is time for another."""
        return self._training.seconds - self._state_at > self._state_seconds

    def state(self) -> StateRecord:
        """Return the state to resume from."""
        self._state_at = self._training.seconds
        return StateRecord(self._training.step, self._training.epoch, self._training.state())

    def after_step(self) -> Iterator[Record]:
        """Yield what there is to record of the step last taken, and of the epoch if the step ends one."""
        training = self._training
        self._test_result = None
        if training.step <= FIRST_STEPS or training.step % self._steps_per_record == 0 or training.ends_epoch:
            yield self._step()
        if (training.step in KEPT_STEPS or training.ends_epoch) and training.weights_are_finite():
            self._newest = self._weights(
                is_kept=training.step in KEPT_STEPS or training.epoch % self._epochs_per_kept == 0,
            )
            yield self._newest
        if training.ends_epoch:
            yield training.histograms()
            yield self._epoch()

    def at_end(self, outcome: Outcome) -> Iterator[Record]:
        """Yield the state of a stopped run, the last finite weights, and how the run ended."""
        training = self._training
        if not training.weights_are_finite():
            outcome = "failed"
        elif self._newest.step < training.step:
            self._newest = self._weights(is_kept=True)
        if outcome == "stopped":
            yield self.state()
        yield replace(self._newest, is_kept=True)
        test_loss, test_accuracy = (None, None) if outcome == "failed" else self._test()
        yield EndRecord(
            step=training.step,
            epoch=training.epoch,
            outcome=outcome,
            message=_divergence_message(training) if outcome == "failed" else "",
            train_seconds=training.seconds,
            test_loss=test_loss,
            test_accuracy=test_accuracy,
        )

    def _weights(self, *, is_kept: bool) -> WeightsRecord:
        return WeightsRecord(self._training.step, self._training.epoch, self._training.weights(), is_kept)

    def _step(self) -> StepRecord:
        training, mean = self._training, self._training.take_mean()
        return StepRecord(
            step=training.step,
            epoch=training.epoch,
            images_seen=training.images_seen,
            seconds=training.seconds,
            train_loss=mean.loss,
            train_accuracy=mean.accuracy,
            learning_rate=training.step_learning_rate,
            gradient_norms=training.gradient_norms(),
        )

    def _epoch(self) -> EpochRecord:
        training, mean = self._training, self._training.epoch_mean()
        val_loss, val_accuracy = training.validate()
        test_loss, test_accuracy = (None, None) if training.config.num_validation else self._test()
        return EpochRecord(
            step=training.step,
            epoch=training.epoch,
            seconds=training.epoch_seconds,
            images_per_second=mean.count / training.epoch_seconds,
            train_loss=mean.loss,
            train_accuracy=mean.accuracy,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            test_loss=test_loss,
            test_accuracy=test_accuracy,
        )

    def _test(self) -> tuple[float, float]:
        if self._test_result is None:
            self._test_result = self._training.test()
        return self._test_result


def _steps_per_record(training: TrainState) -> int:
    """Return how many steps lie between two records: an epoch has RECORDS_PER_EPOCH, or more where steps take long.

    An estimate stands in for the clock, so that the same seed gives the same records.
    """
    parameters, batch_size = training.model.num_parameters, training.config.batch_size
    seconds_per_step = 6 * parameters * batch_size / 5e10 + 28 * parameters / 1e10
    return max(1, min(training.steps_per_epoch // RECORDS_PER_EPOCH, int(0.5 / seconds_per_step)))


def _divergence_message(training: TrainState) -> str:
    rate = training.learning_rate
    step = min(training.step + 1, training.num_steps)
    epoch = math.ceil(step / training.steps_per_epoch)
    return (
        f"The loss {NOT_FINITE} at step {step} (epoch {epoch}). "
        f"What usually helps is a lower learning rate: it was {rate:g}, try {rate / 10:g}."
    )
