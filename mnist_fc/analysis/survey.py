"""What one network does with many images: what it reads, which units do nothing, and the images that excite a unit or are alike.

Images are uint8 (N, 784) with N >= 1, and go through in batches that keep memory small. Where sums overflow, as in a diverging
run, nothing is raised, and what is not a number comes last.
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
"""A unit whose activation differs by less between any two images tells nothing: a ReLU never on, a sigmoid that is stuck."""


@dataclass(frozen=True)
class Survey:
    """What a network reads in images, and how many units had no part in it."""

    digits: np.ndarray
    """The digit read in each image, int64 (N,)."""
    confidences: np.ndarray
    """Its probability, float32 (N,); 0 where the sums overflow."""
    is_dead: tuple[np.ndarray, ...]
    """Which units of each hidden layer say the same to all images, each bool (units,): see DEAD_RANGE."""

    @property
    def num_dead(self) -> tuple[int, ...]:
        """How many units of each hidden layer are dead."""
        return tuple(int(of_layer.sum()) for of_layer in self.is_dead)

    @property
    def reads_nothing(self) -> bool:
        """Whether the sums overflow for every image."""
        return not self.confidences.any()


@torch.no_grad()
def survey(model: MLP, images: Tensor) -> Survey:
    """What `model` reads in `images`, and its dead units, in one pass."""
    digits, confidences, extremes = [], [], []
    for batch in _batches(images):
        of_batch = []
        for _, activations in layer_outputs(model, batch):
            of_batch.append((activations.amin(0), activations.amax(0)))
        extremes.append(of_batch[:-1])
        digits.append(activations.argmax(1))
        confidences.append(activations.softmax(1).amax(1).nan_to_num_(0.0))
    is_dead = []
    for of_layer in zip(*extremes, strict=True):
        lowest, highest = (torch.stack(values) for values in zip(*of_layer, strict=True))
        is_dead.append((highest.amax(0) - lowest.amin(0) < DEAD_RANGE).numpy())
    return Survey(torch.cat(digits).numpy(), torch.cat(confidences).numpy(), tuple(is_dead))


def confusion(labels: Tensor, digits: np.ndarray) -> np.ndarray:
    """How often each digit was read as which, int64 (10, 10): rows the labels, columns the digits read, both (N,) int64."""
    counts: np.ndarray = np.bincount(labels.numpy() * NUM_CLASSES + digits, minlength=NUM_CLASSES**2)
    return counts.reshape(NUM_CLASSES, NUM_CLASSES)


def misclassified(labels: Tensor, survey: Survey) -> np.ndarray:
    """The images whose digit is not their label, (N,) int64, as indices, the surest first."""
    return surest_first(survey, survey.digits != labels.numpy())


def surest_first(survey: Survey, chosen: np.ndarray) -> np.ndarray:
    """Those images that are `chosen`, bool (N,), as indices, the surest first."""
    indices = np.flatnonzero(chosen)
    return indices[np.argsort(-survey.confidences[indices], kind="stable")]


@torch.no_grad()
def top_activating(model: MLP, images: Tensor, layer: int, index: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The `count` images that excite unit `index` of a layer, counted from 1, the most: indices and activations, descending.

    Of a unit of the output layer, which is a digit, the activation is its logit. No other unit of the layer is computed.
    """
    of = model.layers[layer - 1]
    weights, bias = of.weight[index], of.bias[index]
    sums = torch.cat([layer_inputs(model, batch, layer) @ weights + bias for batch in _batches(images)])
    activations = sums if layer == len(model.layers) else model.activation(sums)
    values: np.ndarray = activations.numpy()
    indices = np.argsort(-values, kind="stable")[:count]
    return indices, values[indices]


@torch.no_grad()
def most_discriminative(model: MLP, images: Tensor, count: int) -> np.ndarray:
    """The first-layer units whose answers tell the images apart the most, as indices, at most `count`, descending.

    That is the standard deviation of a unit's activation, times the Euclidean norm of the weights it goes out by.
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
    """The `count` images most like `image`, float32 (28, 28), to the network: indices and distances, ascending.

    Distances are Euclidean, between the activations of the last hidden layer.
    """
    last = len(model.layers)
    own = layer_inputs(model, torch.tensor(image.reshape(1, -1)), last)
    by_batch = [torch.linalg.vector_norm(layer_inputs(model, batch, last) - own, dim=1) for batch in _batches(images)]
    distances: np.ndarray = torch.cat(by_batch).numpy()
    indices = np.argsort(distances, kind="stable")[:count]
    return indices, distances[indices]


def _batches(images: Tensor) -> Iterator[Tensor]:
    """The images as float32 in [0, 1], (at most BATCH_SIZE, 784), each batch in the memory of the one before."""
    buffer = torch.empty(min(BATCH_SIZE, len(images)), images.shape[1])
    for batch in images.split(BATCH_SIZE):
        yield buffer[: len(batch)].copy_(batch).mul_(1 / 255)
