"""Survey many images with one network: its readings, its dead units, and the images that activate a unit or are alike.

Images are uint8 (N, 784) with N >= 1. They pass through in batches, to bound the memory. Where a network's values overflow, as
those of a diverging run do, nothing is raised, and values that are not numbers are ranked last.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mnist_fc.analysis.attribution import layer_inputs, layer_outputs
from mnist_fc.config import NUM_CLASSES
from mnist_fc.network.mlp import MLP

BATCH_SIZE = 1000

DEAD_RANGE = 1e-3
"""A unit is dead if its activation differs by less between any two images: a ReLU that is never on, a saturated sigmoid."""


@dataclass(frozen=True)
class Survey:
    """The readings of N images by a network, and its dead units."""

    digits: np.ndarray
    """The digit read in each image, int64 (N,)."""
    confidences: np.ndarray
    """The probability of that digit, float32 (N,). 0 where the network's values overflow."""
    is_dead: tuple[np.ndarray, ...]
    """The dead units of each hidden layer, each bool (units,). See DEAD_RANGE."""

    @property
    def num_dead(self) -> tuple[int, ...]:
        """The number of dead units in each hidden layer."""
        return tuple(int(layer.sum()) for layer in self.is_dead)

    @property
    def overflows(self) -> bool:
        """Whether the network's values overflow for every image."""
        return not self.confidences.any()


@torch.no_grad()
def survey(model: MLP, images: Tensor) -> Survey:
    """Return what `model` reads in `images`, and its dead units, in one pass."""
    digits, confidences, extremes = [], [], []
    for batch in _batches(images):
        extremes_of_batch = []
        for _, activations in layer_outputs(model, batch):
            extremes_of_batch.append((activations.amin(0), activations.amax(0)))
        extremes.append(extremes_of_batch[:-1])
        digits.append(activations.argmax(1))
        confidences.append(activations.softmax(1).amax(1).nan_to_num_(0.0))
    is_dead = []
    for layer in zip(*extremes, strict=True):
        lowest, highest = (torch.stack(values) for values in zip(*layer, strict=True))
        is_dead.append((highest.amax(0) - lowest.amin(0) < DEAD_RANGE).numpy())
    return Survey(torch.cat(digits).numpy(), torch.cat(confidences).numpy(), tuple(is_dead))


def confusion(labels: Tensor, digits: np.ndarray) -> np.ndarray:
    """Return the confusion matrix, int64 (10, 10): labels by row, digits read by column. Both arguments are int64 (N,)."""
    counts: np.ndarray = np.bincount(labels.numpy() * NUM_CLASSES + digits, minlength=NUM_CLASSES**2)
    return counts.reshape(NUM_CLASSES, NUM_CLASSES)


def misclassified(labels: Tensor, survey: Survey) -> np.ndarray:
    """Return the indices of the images not read as their label, the most confident first. `labels` is int64 (N,)."""
    return most_confident_first(survey, survey.digits != labels.numpy())


def most_confident_first(survey: Survey, chosen: np.ndarray) -> np.ndarray:
    """Return the indices of the images that are `chosen`, bool (N,), the most confident first."""
    indices = np.flatnonzero(chosen)
    return indices[np.argsort(-survey.confidences[indices], kind="stable")]


@torch.no_grad()
def top_activating(model: MLP, images: Tensor, layer: int, index: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the `count` images that activate a unit most, and its activations, in descending order.

    It is unit `index` of `layer`, counted from 1. An output unit is a digit, and its activation is the logit. No other unit of
    the layer is computed.
    """
    own_layer = model.layers[layer - 1]
    weights, bias = own_layer.weight[index], own_layer.bias[index]
    sums = torch.cat([layer_inputs(model, batch, layer) @ weights + bias for batch in _batches(images)])
    activations = sums if layer == len(model.layers) else model.activation(sums)
    values: np.ndarray = activations.numpy()
    indices = np.argsort(-values, kind="stable")[:count]
    return indices, values[indices]


@torch.no_grad()
def most_discriminative(model: MLP, images: Tensor, count: int) -> np.ndarray:
    """Return the indices of at most `count` first-layer units that tell the images apart best, in descending order.

    The measure is the standard deviation of a unit's activation, times the Euclidean norm of its outgoing weights.
    """
    num_units = model.hidden_sizes[0]
    totals, squares = torch.zeros(num_units, dtype=torch.float64), torch.zeros(num_units, dtype=torch.float64)
    for batch in _batches(images):
        activations = layer_inputs(model, batch, 2).double()
        totals += activations.sum(0)
        squares += activations.square_().sum(0)
    means = totals / len(images)
    deviations = (squares / len(images) - means.square()).clamp_min(0).sqrt()
    weight = deviations * torch.linalg.vector_norm(model.layers[1].weight, dim=0)
    return np.argsort(-weight.numpy(), kind="stable")[:count]


@torch.no_grad()
def nearest_neighbours(model: MLP, image: np.ndarray, images: Tensor, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the `count` images that the network finds most like `image`, and their distances, ascending.

    `image` is float32 (28, 28). Distances are Euclidean, between the activations of the last hidden layer.
    """
    last = len(model.layers)
    own = layer_inputs(model, torch.tensor(image.reshape(1, -1)), last)
    by_batch = [torch.linalg.vector_norm(layer_inputs(model, batch, last) - own, dim=1) for batch in _batches(images)]
    distances: np.ndarray = torch.cat(by_batch).numpy()
    indices = np.argsort(distances, kind="stable")[:count]
    return indices, distances[indices]


def _batches(images: Tensor) -> Iterator[Tensor]:
    """Yield the images as float32 in [0, 1], (at most BATCH_SIZE, 784). All batches share one buffer."""
    buffer = torch.empty(min(BATCH_SIZE, len(images)), images.shape[1])
    for batch in images.split(BATCH_SIZE):
        yield buffer[: len(batch)].copy_(batch).mul_(1 / 255)
