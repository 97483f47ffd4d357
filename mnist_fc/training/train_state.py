"""The state of a training run: weights, moments, the order of the images, and the means since the last record."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

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
from mnist_fc.records import Histogram, HistogramsRecord, Weights
from mnist_fc.training.batches import Batch, Batches
from mnist_fc.training.distributed import SINGLE_PROCESS, ProcessGroup, ProcessGroupError
from mnist_fc.training.evaluation import total_loss_and_correct

HISTOGRAM_BINS = 64


class StateError(ValueError):
    """A state does not fit the settings; the message says why."""


@dataclass
class RunningMean:
    """Mean loss and accuracy over images, whatever the sizes of their batches. The number of correct answers may lag behind."""

    count: int = 0
    total_loss: float = 0.0
    num_correct: int = 0

    def add(self, loss: float, count: int) -> None:
        self.total_loss += loss * count
        self.count += count

    @property
    def loss(self) -> float:
        return self.total_loss / self.count

    @property
    def accuracy(self) -> float:
        return self.num_correct / self.count


class TrainState:
    """The state of one run between two steps. It is the same in every process of the `group` that trains it."""

    def __init__(
        self, config: TrainConfig, data: Mnist, group: ProcessGroup = SINGLE_PROCESS, start: Weights | None = None
    ) -> None:
        """Begin with the weights of `start`, or with random ones. Raises DataError, and StateError if `start` does not fit."""
        torch.set_num_threads(config.threads)
        torch.set_flush_denormal(True)  # as kernels.py does; this may be another thread
        self.config = config
        self.learning_rate = config.learning_rate
        """The schedule's highest learning rate; a new value applies from the next step on."""
        self.step_learning_rate = 0.0
        """The learning rate of the step last taken."""
        self.step = 0
        self.seconds = 0.0
        self._data = data
        self._group = group
        self._wants_stop = self._group_stops = False
        self._flat = torch.empty(0)
        self._generator = torch.Generator().manual_seed(config.seed)
        self._train_indices, self._validation = _split(config, data)
        self.steps_per_epoch = math.ceil(len(self._train_indices) / config.batch_size)
        self.num_steps = self.steps_per_epoch * config.num_epochs

        self.model = MLP(config.hidden_sizes, config.activation, data.num_classes)
        initialize(self.model, config.initialization, self._generator)
        if start is not None:
            self._begin_with(start)
        self._optimizer = Optimizer(config, self.model.parameters())
        self._passes: dict[int, Backprop] = {}
        # Now, since it measures products: those of a whole batch, and of the last of an epoch, which may be smaller.
        for size in (config.batch_size, len(self._train_indices) % config.batch_size):
            self._pass_for(size or config.batch_size)
        self._batches = Batches(data.train_images, data.train_labels, self._train_indices, config.batch_size, group.shard)
        self._epoch_started = 0.0
        self._since_record, self._since_epoch = RunningMean(), RunningMean()

    @property
    def epoch(self) -> int:
        """The epoch of the step last taken, from 1; 0 before the first."""
        return math.ceil(self.step / self.steps_per_epoch)

    def weights(self) -> Weights:
        """Return a copy of the weights."""
        return {name: tensor.numpy() for name, tensor in self.model.state_copy().items()}

    def weights_are_finite(self) -> bool:
        """Return whether no weight has overflowed."""
        # Both extremes are NaN if any weight is. `isfinite` would take ten times as long.
        return all(math.isfinite(extreme) for parameter in self.model.parameters() for extreme in parameter.detach().aminmax())

    @property
    def ends_epoch(self) -> bool:
        """Whether the step last taken was the last of its epoch."""
        return self.step % self.steps_per_epoch == 0

    @property
    def steps_ahead(self) -> int:
        """Steps whose images are gathered at a time."""
        return self._batches.steps_ahead

    @property
    def epoch_seconds(self) -> float:
        """Seconds spent in the steps of this epoch."""
        return self.seconds - self._epoch_started

    @property
    def images_seen(self) -> int:
        """Images trained on since the run began, each as often as it was seen."""
        return (self.epoch - 1) * len(self._train_indices) + self._since_epoch.count

    def take_mean(self) -> RunningMean:
        """Return the mean over the images since the last call."""
        self._count_correct()
        mean, self._since_record = self._since_record, RunningMean()
        return mean

    def epoch_mean(self) -> RunningMean:
        """Return the mean over the images since the epoch began."""
        self._count_correct()
        return replace(self._since_epoch)

    def take_step(self, batch: Batch) -> bool:
        """Train on `batch`; return False, and change nothing, if the loss is not finite.

        Each process of the group computes its own shard; the step is that of the whole batch.
        """
        started = time.perf_counter()
        rows = self._group.shard(batch.size)
        images = augment(batch.images, self.config.augmentation, self._generator, batch.size, rows)
        backprop = self._pass_for(batch.size)
        loss = backprop.run(images, batch.labels)
        num_correct = 0  # a single process counts later, for several steps
        if self._group.size > 1:
            loss, num_correct = self._all_reduce(loss, backprop.take_num_correct())
        is_finite = math.isfinite(loss)
        if is_finite:
            self._add_num_correct(num_correct)
            self.step_learning_rate = self.scheduled_learning_rate()
            self._optimizer.step(self.step_learning_rate)
            self.step += 1
            self._since_record.add(loss, batch.size)
            self._since_epoch.add(loss, batch.size)
        self.seconds += time.perf_counter() - started
        return is_finite

    def should_continue(self, wanted: bool) -> bool:
        """Return whether to take the next step; `wanted` is whether this process wants it.

        A group stops before the same step: a process that wants to stop tells the others with its next step.
        """
        if self._group.size == 1:
            return wanted
        self._wants_stop = not wanted
        return not self._group_stops

    def next_batch(self) -> Batch:
        """Return the next step's images; each epoch has all images in a new order."""
        started = time.perf_counter()
        if self.ends_epoch:
            self._batches.set_order(torch.randperm(len(self._train_indices), generator=self._generator))
            self._epoch_started = self.seconds
            self._count_correct()
            self._since_epoch = RunningMean()
        batch = self._batches[self.step % self.steps_per_epoch]
        self.seconds += time.perf_counter() - started
        return batch

    def scheduled_learning_rate(self) -> float:
        """Return the learning rate of the next step."""
        return self.learning_rate * schedule_factor(self.config.schedule, self.step / self.num_steps)

    def histograms(self) -> HistogramsRecord:
        """Return histograms of the weights, and of the gradients of the step last taken."""
        parameters = dict(self.model.named_parameters())
        return HistogramsRecord(
            self.step,
            self.epoch,
            {name: _histogram(parameter) for name, parameter in parameters.items()},
            {name: _histogram(parameter.grad) for name, parameter in parameters.items() if parameter.grad is not None},
        )

    def gradient_norms(self) -> tuple[float, ...]:
        """Return the Euclidean norm of each layer's gradient in the step last taken, from the input on."""
        gradients = [p.grad.flatten() for p in self.model.parameters() if p.grad is not None]
        squares = [float(gradient.dot(gradient)) for gradient in gradients]  # half the time of `vector_norm`
        return tuple(math.sqrt(weight + bias) for weight, bias in zip(squares[0::2], squares[1::2], strict=True))

    def validate(self) -> tuple[float, float] | tuple[None, None]:
        """Return mean loss and accuracy on the validation images, or None for both if there are none."""
        return self._evaluate(*self._validation) if len(self._validation[1]) else (None, None)

    def test(self) -> tuple[float, float]:
        """Return mean loss and accuracy on the test images."""
        return self._evaluate(self._data.test_images, self._data.test_labels)

    def state(self) -> dict[str, np.ndarray]:
        """Return copies of all that changes during a run."""
        self._count_correct()
        means = [(mean.count, mean.total_loss, mean.num_correct) for mean in (self._since_record, self._since_epoch)]
        numbers = [self.step, self.seconds, self._epoch_started, self.learning_rate, *means[0], *means[1]]
        tensors = {
            **self.model.state_dict(),
            **self._optimizer.state(),
            "generator": self._generator.get_state(),
            "order": self._batches.order.int(),
        }
        return {name: tensor.numpy().copy() for name, tensor in tensors.items()} | {"numbers": np.array(numbers, np.float64)}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Resume from `state`. Raises StateError unless it is of a run with this config and data."""
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
        self._since_record = RunningMean(int(means[0]), means[1], int(means[2]))
        self._since_epoch = RunningMean(int(means[3]), means[4], int(means[5]))
        self._batches.set_order(tensors["order"].long())
        self.model.load_state_dict({name: tensors[name] for name in self.model.state_dict()})
        self._optimizer.restore(tensors)

    def _begin_with(self, start: Weights) -> None:
        try:
            self.model.load_state_dict({name: torch.from_numpy(array) for name, array in start.items()})
        except (RuntimeError, TypeError):
            raise StateError("the weights to begin with are not those of a network with these settings") from None

    def check_group(self) -> None:
        """Raise ProcessGroupError unless all processes of the group have the same PyTorch, settings, data and initial weights."""
        if self._group.size == 1:
            return
        data = self._data
        tensors = data.train_images, data.train_labels, data.test_images, data.test_labels
        contents = {
            "PyTorch": [torch.__version__.encode()],
            "settings": [self.config.replace(threads=1).to_json().encode()],
            "data": (tensor.numpy().tobytes() for tensor in tensors),
            # Without the numbers: each process has its own seconds.
            "initial weights": (array.tobytes() for name, array in self.state().items() if name != "numbers"),
        }
        for name, content in contents.items():
            if not self._group.all_equal(content):
                raise ProcessGroupError(
                    f"not all processes of the group have the same {name}; each needs the same command and data"
                )

    def _all_reduce(self, loss: float, num_correct: int) -> tuple[float, int]:
        """Sum the gradients over the group; return the whole batch's loss and number of images classified correctly.

        One sum carries everything, because each costs as much as a small network's step: also whether any process wants to
        stop, and the bytes of the first process's learning rate, to which the others add zeros.
        """
        parameters = list(self.model.parameters())
        learning_rate = torch.tensor([self.learning_rate if self._group.rank == 0 else 0.0], dtype=torch.float64)
        parts = [
            *(parameter.grad.flatten() for parameter in parameters if parameter.grad is not None),
            torch.tensor([loss, num_correct, self._wants_stop], dtype=torch.float32),
            learning_rate.view(torch.uint8).float(),
        ]
        flat = torch.cat(parts, out=self._flat)
        self._group.all_reduce_sum_(flat)
        *gradients, numbers, rate_bytes = flat.split([len(part) for part in parts])
        for parameter, gradient in zip(parameters, gradients, strict=True):
            assert parameter.grad is not None
            parameter.grad.copy_(gradient.view_as(parameter))
        loss, num_correct, num_stops = numbers.tolist()
        self._group_stops = num_stops > 0
        self.learning_rate = rate_bytes.to(torch.uint8).view(torch.float64).item()
        return loss, int(num_correct)

    def _count_correct(self) -> None:
        """Add the correct answers of the steps since the last call to the means."""
        self._add_num_correct(sum(backprop.take_num_correct() for backprop in self._passes.values()))

    def _add_num_correct(self, num_correct: int) -> None:
        for mean in (self._since_record, self._since_epoch):
            mean.num_correct += num_correct

    def _evaluate(self, images: Tensor, labels: Tensor) -> tuple[float, float]:
        """Evaluate like `evaluate`, but with each process of the group on its own shard."""
        rows = self._group.shard(len(labels))
        totals = torch.tensor(total_loss_and_correct(self.model, images[rows], labels[rows]), dtype=torch.float64)
        self._group.all_reduce_sum_(totals)
        total_loss, num_correct = totals.tolist()
        return total_loss / len(labels), num_correct / len(labels)

    def _pass_for(self, batch_size: int) -> Backprop:
        if batch_size not in self._passes:
            rows = self._group.shard(batch_size)
            self._passes[batch_size] = Backprop(self.model, self.config, batch_size, self._generator, rows)
        return self._passes[batch_size]


def _split(config: TrainConfig, data: Mnist) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Return the indices of the images of an epoch, int64 (n,), and the images and labels that validate."""
    num_own = len(data.train_labels) - data.num_added
    train_indices = val_indices = torch.empty(0, dtype=torch.int64)
    if num_own or not data.num_added:  # else all images are added ones, of which none is split off
        train_indices, val_indices = split_validation(data.train_labels[:num_own], config.num_validation, config.seed)
    added_indices = torch.arange(num_own, len(data.train_labels)).repeat(data.added_repeats)
    validation = data.validation or (data.train_images[val_indices], data.train_labels[val_indices])
    return torch.cat([train_indices, added_indices]), validation


def _histogram(tensor: Tensor) -> Histogram:
    values = tensor.detach().flatten()
    low, high = map(float, values.aminmax())
    if not math.isfinite(high - low):
        values = values[values.isfinite()]
        low, high = map(float, values.aminmax()) if len(values) else (0.0, 0.0)
    counts = torch.histc(values, HISTOGRAM_BINS, low, high).long().numpy()
    return Histogram(low, high, counts, float(values.sum()), float(values.dot(values)))
