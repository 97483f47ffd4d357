"""The state of a training run: weights, moments, the random order and the means since the last record."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mnist_fc.config import ConfigError, TrainConfig
from mnist_fc.data.augment import augment
from mnist_fc.data.mnist import Mnist, split_validation
from mnist_fc.network.backprop import Backprop
from mnist_fc.network.mlp import MLP, initialize
from mnist_fc.network.optimizer import Optimizer
from mnist_fc.network.schedule import schedule_factor
from mnist_fc.records import (
    Histogram,
    HistogramsRecord,
    Weights,
)
from mnist_fc.training.distributed import SINGLE_PROCESS, ProcessGroup, ProcessGroupError
from mnist_fc.training.evaluation import total_loss_and_correct

HISTOGRAM_BINS = 64


class StateError(ValueError):
    """A state that does not fit the settings; the message says what is wrong with it."""


@dataclass
class RunningMean:
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


class TrainState:
    """The state of one run between two steps, the same in each process of the `team` that trains it."""

    def __init__(self, config: TrainConfig, data: Mnist, team: ProcessGroup = SINGLE_PROCESS) -> None:
        torch.set_num_threads(config.threads)
        torch.set_flush_denormal(True)  # late in a run, gradients so small that the CPU treats them one by one
        self.config = config
        self.learning_rate = config.learning_rate
        """The schedule's highest learning rate; a new value holds from the next step on."""
        self.step_learning_rate = 0.0
        """Of the step last taken."""
        self.step = 0
        self.seconds = 0.0
        self._data = data
        self._team = team
        self._wants_stop = self._team_stops = False
        self._flat = torch.empty(0)
        self._generator = torch.Generator().manual_seed(config.seed)
        num_own = len(data.train_labels) - data.num_added
        train_indices, val_indices = split_validation(data.train_labels[:num_own], config.num_validation, config.seed)
        self._train_indices = torch.cat([train_indices, torch.arange(num_own, len(data.train_labels))])
        self._validation = data.train_images[val_indices], data.train_labels[val_indices]
        self.steps_per_epoch = config.steps_per_epoch(len(data.train_labels))
        self.num_steps = self.steps_per_epoch * config.num_epochs

        self.model = MLP(config.hidden_sizes, config.activation, data.num_classes)
        initialize(self.model, config.initialization, self._generator)
        self._optimizer = Optimizer(config, self.model.parameters())
        self._passes: dict[int, Backprop] = {}
        self._order = torch.empty(0, dtype=torch.int64)
        self._epoch_started = 0.0
        self.since_record, self.since_epoch = RunningMean(), RunningMean()
        """Over the images since the record before, and since the epoch began."""

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

    @property
    def ends_epoch(self) -> bool:
        """Whether the step last taken was the last of its epoch."""
        return self.step % self.steps_per_epoch == 0

    @property
    def epoch_seconds(self) -> float:
        """Spent in the steps of this epoch."""
        return self.seconds - self._epoch_started

    @property
    def images_seen(self) -> int:
        """Since the run began."""
        return (self.epoch - 1) * len(self._train_indices) + self.since_epoch.count

    def take_step(self, batch: Tensor) -> bool:
        """Train on the images at the indices `batch`; False, and the network has not changed, if their loss is not finite.

        Each process of the team takes its own rows; the step is that of the whole batch.
        """
        started = time.perf_counter()
        backprop = self._passes.get(len(batch)) or self._new_pass(len(batch))
        backprop.load(self._data.train_images, self._data.train_labels, batch)
        augment(backprop.images, self.config.augmentation, self._generator, len(batch), self._team.rows(len(batch)))
        loss, num_correct = backprop.run()
        if self._team.size > 1:
            loss, num_correct = self._add_up(loss, num_correct)
        is_finite = math.isfinite(loss)
        if is_finite:
            self.step_learning_rate = self.scheduled_learning_rate()
            self._optimizer.step(self.step_learning_rate)
            self.step += 1
            for mean in (self.since_record, self.since_epoch):
                mean.add(loss, num_correct, len(batch))
        self.seconds += time.perf_counter() - started
        return is_finite

    def should_continue(self, wanted: bool) -> bool:
        """Whether to take the step to come, which this process has `wanted` or not.

        In a team all stop before the same step: the others learn with the next step that one of them wants no more.
        """
        if self._team.size == 1:
            return wanted
        self._wants_stop = not wanted
        return not self._team_stops

    def next_batch(self) -> Tensor:
        """The indices of the training images of the step to come; each epoch has them all, in an order of its own."""
        if self.ends_epoch:
            self._order = torch.randperm(len(self._train_indices), generator=self._generator)
            self._epoch_started = self.seconds
            self.since_epoch = RunningMean()
        first = self.step % self.steps_per_epoch * self.config.batch_size
        return self._train_indices[self._order[first : first + self.config.batch_size]]

    def scheduled_learning_rate(self) -> float:
        """The learning rate of the step to come."""
        return self.learning_rate * schedule_factor(self.config.schedule, self.step / self.num_steps)

    def histograms(self) -> HistogramsRecord:
        """Of the weights as they are now, and of the gradients of the step last taken."""
        parameters = dict(self.model.named_parameters())
        return HistogramsRecord(
            self.step,
            self.epoch,
            {name: _histogram(parameter) for name, parameter in parameters.items()},
            {name: _histogram(parameter.grad) for name, parameter in parameters.items() if parameter.grad is not None},
        )

    def gradient_norms(self) -> tuple[float, ...]:
        """Of the step last taken: Euclidean norms, layer by layer from the input."""
        norms = [
            torch.linalg.vector_norm(gradient) for gradient in (p.grad for p in self.model.parameters()) if gradient is not None
        ]
        return tuple(math.hypot(weight, bias) for weight, bias in zip(norms[0::2], norms[1::2], strict=True))

    def validate(self) -> tuple[float, float] | tuple[None, None]:
        """Loss and accuracy on the validation images; None where there are none."""
        return self._evaluate(*self._validation) if self.config.num_validation else (None, None)

    def test(self) -> tuple[float, float]:
        """Mean loss and accuracy, a fraction, on the test images."""
        return self._evaluate(self._data.test_images, self._data.test_labels)

    def state(self) -> dict[str, np.ndarray]:
        """All that changes in a run, as whole copies."""
        means = [(mean.count, mean.total_loss, mean.num_correct) for mean in (self.since_record, self.since_epoch)]
        numbers = [self.step, self.seconds, self._epoch_started, self.learning_rate, *means[0], *means[1]]
        tensors = {
            **self.model.state_dict(),
            **self._optimizer.state(),
            "generator": self._generator.get_state(),
            "order": self._order.int(),
        }
        return {name: tensor.numpy().copy() for name, tensor in tensors.items()} | {"numbers": np.array(numbers, np.float64)}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on where `state` was taken. Raises StateError for one that is not of a run with this config and data."""
        own = self.state()
        if state.keys() != own.keys():
            raise StateError(f"its {', '.join(sorted(state.keys() ^ own.keys()))} is not that of a run with these settings")
        in_epoch = state["order"].shape == (len(self._train_indices),)
        for name, array in own.items():
            of_epoch = name == "order" and in_epoch
            if state[name].dtype != array.dtype or (state[name].shape != array.shape and not of_epoch):
                raise StateError(f"its {name} is not that of a run with these settings")
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in state.items()}
        step, seconds, epoch_started, learning_rate, *means = state["numbers"].tolist()
        if not (step in range(self.num_steps + 1) and (in_epoch or step == 0) and all(map(math.isfinite, state["numbers"]))):
            raise StateError(f"it is of step {step:g}, of {self.num_steps}")
        if in_epoch and not torch.equal(tensors["order"].sort().values.long(), torch.arange(len(self._train_indices))):
            raise StateError("its order is not that of the training images")
        if not all(bool(tensors[name].isfinite().all()) for name in self.model.state_dict()):
            raise StateError("its weights are not finite numbers")
        try:
            self.learning_rate = self.config.replace(learning_rate=learning_rate).learning_rate
            self._generator.set_state(tensors["generator"])
        except (ConfigError, RuntimeError) as error:
            raise StateError(f"its state is not that of a run: {error}") from None
        self.step, self.seconds, self._epoch_started = int(step), seconds, epoch_started
        self.since_record = RunningMean(int(means[0]), means[1], int(means[2]))
        self.since_epoch = RunningMean(int(means[3]), means[4], int(means[5]))
        self._order = tensors["order"].long()
        self.model.load_state_dict({name: tensors[name] for name in self.model.state_dict()})
        self._optimizer.restore(tensors)

    def check_team(self) -> None:
        """Raise ProcessGroupError unless all processes of the team have the same settings, data and weights to begin with."""
        data = self._data
        tensors = data.train_images, data.train_labels, data.test_images, data.test_labels
        contents = {
            "PyTorch": [torch.__version__.encode()],
            "settings": [self.config.replace(threads=1).to_json().encode()],
            "data": (tensor.numpy().tobytes() for tensor in tensors),
            # But for the seconds, each process's own.
            "weights to begin with": (array.tobytes() for name, array in self.state().items() if name != "numbers"),
        }
        for name, content in contents.items():
            if not self._team.all_equal(content):
                raise ProcessGroupError(
                    f"not all processes of the team have the same {name}; each needs the same command and data"
                )

    def _add_up(self, loss: float, num_correct: int) -> tuple[float, int]:
        """Make the gradients those of the whole batch, and return its loss and how many it got right.

        All in one sum, for a sum costs as much as a small network's step: also whether any process wants to stop, and the
        learning rate of the first, whose bytes the others add zeros to.
        """
        parameters = list(self.model.parameters())
        learning_rate = torch.tensor([self.learning_rate if self._team.rank == 0 else 0.0], dtype=torch.float64)
        parts = [
            *(parameter.grad.flatten() for parameter in parameters if parameter.grad is not None),
            torch.tensor([loss, num_correct, self._wants_stop], dtype=torch.float32),
            learning_rate.view(torch.uint8).float(),
        ]
        flat = torch.cat(parts, out=self._flat)
        self._team.all_reduce_sum_(flat)
        *gradients, numbers, rate_bytes = flat.split([len(part) for part in parts])
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient.view_as(parameter)
        loss, num_correct, num_stops = numbers.tolist()
        self._team_stops = num_stops > 0
        self.learning_rate = rate_bytes.to(torch.uint8).view(torch.float64).item()
        return loss, int(num_correct)

    def _evaluate(self, images: Tensor, labels: Tensor) -> tuple[float, float]:
        """As `evaluate`, each process of the team on its own rows."""
        rows = self._team.rows(len(labels))
        totals = torch.tensor(total_loss_and_correct(self.model, images[rows], labels[rows]), dtype=torch.float64)
        self._team.all_reduce_sum_(totals)
        total_loss, num_correct = totals.tolist()
        return total_loss / len(labels), num_correct / len(labels)

    def _new_pass(self, batch_size: int) -> Backprop:
        backprop = Backprop(self.model, self.config, batch_size, self._generator, self._team.rows(batch_size))
        self._passes[batch_size] = backprop
        return backprop


def _histogram(tensor: Tensor) -> Histogram:
    values = tensor.detach().flatten()
    low, high = float(values.amin()), float(values.amax())
    if not math.isfinite(high - low):
        values = values[values.isfinite()]
        low, high = (float(values.amin()), float(values.amax())) if len(values) else (0.0, 0.0)
    counts = torch.histc(values, HISTOGRAM_BINS, low, high).long().numpy()
    return Histogram(low, high, counts, float(values.sum()), float(values.dot(values)))
