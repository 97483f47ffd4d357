"""Train an MLP and evaluate it. `train` yields records; it draws no screen, starts no thread and writes no file.

A step costs little more than its matrix products and one fused optimizer update: see backprop.py and optimizer.py.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mnist_fc.augment import augment
from mnist_fc.backprop import Backprop
from mnist_fc.config import TrainConfig
from mnist_fc.data import Mnist, split
from mnist_fc.model import MLP, initialize
from mnist_fc.optimizer import Optimizer

RECORDS_PER_EPOCH = 60
KEPT_STEPS = frozenset({0, 5, 10, 20, 50, 100, 200, 400})
"""Steps after which the weights are worth keeping, besides epochs' ends: densely while the network learns most."""

MAX_KEPT = 40
"""A run yields at most so many weights to keep."""

NOT_FINITE = "stopped being a finite number"
"""What the message of a run that diverged says of its loss."""

Weights = dict[str, np.ndarray]
"""A state dict as float32 arrays, which travel between processes."""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """The training since the record before; losses and accuracies are means over those images, as the network saw them."""

    step: int
    epoch: int
    images_seen: int
    seconds: float
    """Spent in training steps since the run began; evaluation and pauses do not count."""
    train_loss: float
    train_accuracy: float
    learning_rate: float
    gradient_norms: tuple[float, ...]
    """Of this step, layer by layer from the input."""


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """The end of an epoch. Validation is None in a run that trains on all images, and the test set is None in the others."""

    step: int
    epoch: int
    seconds: float
    """Of this epoch, training steps alone."""
    images_per_second: float
    train_loss: float
    train_accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    test_loss: float | None
    test_accuracy: float | None


@dataclass(frozen=True, slots=True)
class WeightsRecord:
    """A whole copy of the weights after `step` steps."""

    step: int
    epoch: int
    weights: Weights
    is_kept: bool = False
    """Whether it is one of those that show how the run went; the others matter until the next comes."""


@dataclass(frozen=True, slots=True)
class EndRecord:
    """The last record of a run. A run that failed has no test result, and a message that says why and what helps."""

    step: int
    epoch: int
    outcome: Literal["done", "stopped", "failed"]
    message: str
    train_seconds: float
    test_loss: float | None
    test_accuracy: float | None


Record = StepRecord | EpochRecord | WeightsRecord | EndRecord


class Training:
    """The state of one run between two steps."""

    def __init__(self, config: TrainConfig, data: Mnist) -> None:
        torch.set_num_threads(config.threads)
        torch.set_flush_denormal(True)  # late in a run, gradients so small that the CPU treats them one by one
        self.config = config
        self.learning_rate = config.learning_rate
        """The schedule's highest learning rate; a new value holds from the next step on."""
        self.step = 0
        self.seconds = 0.0
        self._data = data
        self._generator = torch.Generator().manual_seed(config.seed)
        num_own = len(data.train_labels) - data.num_added
        train_indices, val_indices = split(data.train_labels[:num_own], config.num_validation, config.seed)
        self._train_indices = torch.cat([train_indices, torch.arange(num_own, len(data.train_labels))])
        self._validation = data.train_images[val_indices], data.train_labels[val_indices]
        self.steps_per_epoch = config.steps_per_epoch(len(data.train_labels))
        self.num_steps = self.steps_per_epoch * config.num_epochs

        self.model = MLP(config.hidden_sizes, config.activation, data.num_classes)
        initialize(self.model, config.initialization, self._generator)
        self._optimizer = Optimizer(config, self.model.parameters())
        self._passes: dict[int, Backprop] = {}

    @property
    def epoch(self) -> int:
        """The epoch of the step last taken, from 1; 0 before the first."""
        return math.ceil(self.step / self.steps_per_epoch)

    def weights(self) -> Weights:
        """A whole copy of the weights as they are now."""
        return {name: tensor.numpy() for name, tensor in self.model.state_copy().items()}

    def weights_are_finite(self) -> bool:
        """Whether no weight has run out of range."""
        return all(bool(parameter.isfinite().all()) for parameter in self.model.parameters())

    def shuffled(self) -> Iterator[Tensor]:
        """The batches of one epoch, as indices of training images."""
        order = torch.randperm(len(self._train_indices), generator=self._generator)
        yield from self._train_indices[order].split(self.config.batch_size)

    def take_step(self, batch: Tensor) -> tuple[float, int]:
        """Train on one batch; return its mean loss and how many it got right. With a loss not finite nothing changes."""
        started = time.perf_counter()
        backprop = self._passes.get(len(batch)) or self._new_pass(len(batch))
        backprop.load(self._data.train_images, self._data.train_labels, batch)
        augment(backprop.images, self.config.augmentation, self._generator)
        loss, num_correct = backprop.run()
        if math.isfinite(loss):
            self._optimizer.step(self.scheduled_learning_rate())
            self.step += 1
        self.seconds += time.perf_counter() - started
        return loss, num_correct

    def scheduled_learning_rate(self) -> float:
        """The learning rate of the step to come."""
        return self.learning_rate * _schedule_factor(self.config.schedule, self.step / self.num_steps)

    def gradient_norms(self) -> tuple[float, ...]:
        """Of the step last taken: Euclidean norms, layer by layer from the input."""
        norms = [
            torch.linalg.vector_norm(gradient) for gradient in (p.grad for p in self.model.parameters()) if gradient is not None
        ]
        return tuple(math.hypot(weight, bias) for weight, bias in zip(norms[0::2], norms[1::2], strict=True))

    def validate(self) -> tuple[float, float] | tuple[None, None]:
        """Loss and accuracy on the validation images; None where there are none."""
        return evaluate(self.model, *self._validation) if self.config.num_validation else (None, None)

    def test(self) -> tuple[float, float]:
        """Mean loss and accuracy, a fraction, on the test images."""
        return evaluate(self.model, self._data.test_images, self._data.test_labels)

    def _new_pass(self, batch_size: int) -> Backprop:
        backprop = Backprop(self.model, self.config, batch_size, self._generator)
        self._passes[batch_size] = backprop
        return backprop


def _continue(_training: Training) -> bool:
    return True


@torch.no_grad()
def train(config: TrainConfig, data: Mnist, before_step: Callable[[Training], bool] = _continue) -> Iterator[Record]:
    """Train as `config` says and yield records; the last is an EndRecord, just after the last finite weights that there were.

    `before_step` is called before every step: it may wait (a pause), set `training.learning_rate`, or return False to
    stop. The same config and data give the same losses on the same machine. Raises DataError when `data` has too few
    images.
    """
    training = Training(config, data)
    newest = WeightsRecord(0, 0, training.weights(), is_kept=True)
    yield newest
    # All of KEPT_STEPS, so many epochs' ends, and the end of the run.
    epochs_apart = math.ceil(config.num_epochs / (MAX_KEPT - len(KEPT_STEPS) - 1))
    since_record = _Mean()
    test_loss = test_accuracy = None
    every = _steps_per_record(training)
    outcome: Literal["done", "stopped", "failed"] = "done"
    message = ""
    while outcome == "done" and training.step < training.num_steps:
        epoch_mean, epoch_started = _Mean(), training.seconds
        test_loss = test_accuracy = None
        for batch in training.shuffled():
            if not before_step(training):
                outcome = "stopped"
                break
            learning_rate = training.scheduled_learning_rate()
            loss, num_correct = training.take_step(batch)
            if not math.isfinite(loss):
                outcome, message = "failed", _divergence_message(training)
                break
            for mean in (since_record, epoch_mean):
                mean.add(loss, num_correct, len(batch))
            ends_epoch = training.step % training.steps_per_epoch == 0
            if training.step <= 20 or training.step % every == 0 or ends_epoch:
                yield StepRecord(
                    step=training.step,
                    epoch=training.epoch,
                    images_seen=(training.epoch - 1) * len(training._train_indices) + epoch_mean.count,
                    seconds=training.seconds,
                    train_loss=since_record.loss,
                    train_accuracy=since_record.accuracy,
                    learning_rate=learning_rate,
                    gradient_norms=training.gradient_norms(),
                )
                since_record = _Mean()
            if (training.step in KEPT_STEPS or ends_epoch) and training.weights_are_finite():
                is_kept = training.step in KEPT_STEPS or training.epoch % epochs_apart == 0
                newest = WeightsRecord(training.step, training.epoch, training.weights(), is_kept)
                yield newest
        else:
            val_loss, val_accuracy = training.validate()
            if not config.num_validation:
                test_loss, test_accuracy = training.test()
            seconds = training.seconds - epoch_started
            yield EpochRecord(
                step=training.step,
                epoch=training.epoch,
                seconds=seconds,
                images_per_second=epoch_mean.count / seconds,
                train_loss=epoch_mean.loss,
                train_accuracy=epoch_mean.accuracy,
                val_loss=val_loss,
                val_accuracy=val_accuracy,
                test_loss=test_loss,
                test_accuracy=test_accuracy,
            )
    if not training.weights_are_finite():
        outcome, message = "failed", message or _divergence_message(training)
    elif newest.step < training.step:
        newest = WeightsRecord(training.step, training.epoch, training.weights())
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


@torch.no_grad()
def evaluate(model: MLP, images: Tensor, labels: Tensor) -> tuple[float, float]:
    """Mean loss and accuracy of `model` on uint8 images (N, 784), in batches that keep memory small."""
    total_loss, num_correct = 0.0, 0
    for image_batch, label_batch in zip(images.split(1000), labels.split(1000), strict=True):
        logits = model(image_batch.float().mul_(1 / 255))
        total_loss += float(F.cross_entropy(logits, label_batch, reduction="sum"))
        num_correct += int((logits.argmax(1) == label_batch).sum())
    return total_loss / len(labels), num_correct / len(labels)


@dataclass
class _Mean:
    """Loss and accuracy over images, whatever the sizes of the batches they came in."""

    count: int = 0
    total_loss: float = 0.0
    num_correct: int = 0

    def add(self, loss: float, num_correct: int, count: int) -> None:
        self.total_loss += loss * count
        self.num_correct += num_correct
        self.count += count

    @property
    def loss(self) -> float:
        return self.total_loss / self.count

    @property
    def accuracy(self) -> float:
        return self.num_correct / self.count


def _schedule_factor(schedule: str, progress: float) -> float:
    """What the highest learning rate is multiplied by at `progress`, 0 to 1, of the run.

    "one_cycle" is Smith & Topin 2018 with PyTorch's shape: cosine up from 1/25 over the first 30 %, then cosine down to 0.
    """
    match schedule:
        case "constant":
            return 1.0
        case "cosine":
            return (1 + math.cos(math.pi * progress)) / 2
    if progress < 0.3:
        return 1 / 25 + (1 - 1 / 25) * (1 - math.cos(math.pi * progress / 0.3)) / 2
    return (1 + math.cos(math.pi * (progress - 0.3) / 0.7)) / 2


def _steps_per_record(training: Training) -> int:
    """So many that an epoch has RECORDS_PER_EPOCH, fewer where a step is so long that records would be seconds apart.

    The estimate stands in for the clock, so that the same seed gives the same records.
    """
    parameters, batch_size = training.model.num_parameters, training.config.batch_size
    seconds_per_step = 6 * parameters * batch_size / 5e10 + 28 * parameters / 1e10
    return max(1, min(training.steps_per_epoch // RECORDS_PER_EPOCH, int(0.5 / seconds_per_step)))


def _divergence_message(training: Training) -> str:
    rate = training.learning_rate
    step = min(training.step + 1, training.num_steps)
    epoch = math.ceil(step / training.steps_per_epoch)
    return (
        f"The loss {NOT_FINITE} at step {step} (epoch {epoch}). "
        f"What usually helps is a lower learning rate: it was {rate:g}, try {rate / 10:g}."
    )
