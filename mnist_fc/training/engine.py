"""Train an MLP and evaluate it. `train` yields records; it draws no screen, starts no thread and writes no file.

A step costs little more than its matrix products and one fused optimizer update: see backprop.py and optimizer.py.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Literal

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
    Record,
    StateRecord,
    StepRecord,
    WeightsRecord,
)
from mnist_fc.training.distributed import SINGLE_PROCESS, ProcessGroup
from mnist_fc.training.train_state import RunningMean, TrainState

RECORDS_PER_EPOCH = 60

STATE_SECONDS = 1.0
STATE_BYTES_PER_SECOND = 5e6
"""A run yields the state that it can be resumed from this often, and a large one so seldom that it is not slowed."""


def _continue(_training: TrainState) -> bool:
    return True


@torch.no_grad()
def train(
    config: TrainConfig,
    data: Mnist,
    on_step: Callable[[TrainState], bool] = _continue,
    state: Mapping[str, np.ndarray] | None = None,
    team: ProcessGroup = SINGLE_PROCESS,
) -> Iterator[Record]:
    """Train as `config` says and yield records; the last is an EndRecord, just after the last finite weights that there were.

    `on_step` is called before every step: it may wait (a pause), set `training.learning_rate`, or return False to
    stop. With the `state` of a run that was cut off or stopped it goes on from there, to the same losses. The same config and
    data give the same losses on the same machine. Raises DataError when `data` has too few images, and StateError for a state
    that does not fit.

    In a `team` every process calls it alike, and all get the same records, but for seconds and the moments of states. What
    the first sets as the learning rate holds for all, and when one is to stop all do, a step later. Raises ProcessGroupError when
    their settings or data differ, or when one ends.
    """
    training = TrainState(config, data, team)
    if state is not None:
        training.restore(state)
    if team.size > 1:
        training.check_team()
    newest = WeightsRecord(training.step, training.epoch, training.weights(), is_kept=training.step == 0)
    yield newest
    # All of KEPT_STEPS, so many epochs' ends, and the end of the run.
    epochs_apart = math.ceil(config.num_epochs / (MAX_KEPT - len(KEPT_STEPS) - 1))
    every = _steps_per_record(training)
    state_seconds = max(STATE_SECONDS, 12 * training.model.num_parameters / STATE_BYTES_PER_SECOND)
    state_at = training.seconds
    test_loss = test_accuracy = None
    outcome: Literal["done", "stopped", "failed"] = "done"
    message = ""
    while training.step < training.num_steps:
        if training.seconds - state_at > state_seconds:
            yield StateRecord(training.step, training.epoch, training.state())
            state_at = training.seconds
        if not training.should_continue(on_step(training)):
            outcome = "stopped"
            break
        if not training.take_step(training.next_batch()):
            outcome, message = "failed", _divergence_message(training)
            break
        test_loss = test_accuracy = None
        if training.step <= 20 or training.step % every == 0 or training.ends_epoch:
            yield StepRecord(
                step=training.step,
                epoch=training.epoch,
                images_seen=training.images_seen,
                seconds=training.seconds,
                train_loss=training.since_record.loss,
                train_accuracy=training.since_record.accuracy,
                learning_rate=training.step_learning_rate,
                gradient_norms=training.gradient_norms(),
            )
            training.since_record = RunningMean()
        if (training.step in KEPT_STEPS or training.ends_epoch) and training.weights_are_finite():
            is_kept = training.step in KEPT_STEPS or training.epoch % epochs_apart == 0
            newest = WeightsRecord(training.step, training.epoch, training.weights(), is_kept)
            yield newest
        if training.ends_epoch:
            yield training.histograms()
            val_loss, val_accuracy = training.validate()
            if not config.num_validation:
                test_loss, test_accuracy = training.test()
            yield EpochRecord(
                step=training.step,
                epoch=training.epoch,
                seconds=training.epoch_seconds,
                images_per_second=training.since_epoch.count / training.epoch_seconds,
                train_loss=training.since_epoch.loss,
                train_accuracy=training.since_epoch.accuracy,
                val_loss=val_loss,
                val_accuracy=val_accuracy,
                test_loss=test_loss,
                test_accuracy=test_accuracy,
            )
    if not training.weights_are_finite():
        outcome, message = "failed", message or _divergence_message(training)
    elif newest.step < training.step:
        newest = WeightsRecord(training.step, training.epoch, training.weights())
    if outcome == "stopped":
        yield StateRecord(training.step, training.epoch, training.state())
    yield replace(newest, is_kept=True)
    if outcome == "failed":
        test_loss = test_accuracy = None
    elif test_loss is None:
        test_loss, test_accuracy = training.test()
    yield EndRecord(
        step=training.step,
        epoch=training.epoch,
        outcome=outcome,
        message=message,
        train_seconds=training.seconds,
        test_loss=test_loss,
        test_accuracy=test_accuracy,
    )


def _steps_per_record(training: TrainState) -> int:
    """So many that an epoch has RECORDS_PER_EPOCH, fewer where a step is so long that records would be seconds apart.

    The estimate stands in for the clock, so that the same seed gives the same records.
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
