"""What one network does with one image: what every unit says, the arithmetic of one, and which pixels spoke for a digit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mnist_fc.network import kernels
from mnist_fc.network.mlp import MLP

PIECEWISE_LINEAR = ("relu", "leaky_relu")

# How integrated gradients integrates: with so many nodes from blank paper to the image, and where the gap is larger than this
# in halves, and their halves, up to so many parts. One part does for most networks; deep ones with large weights need more,
# most of them near blank paper.
NUM_NODES = 16
SMALL_GAP = 1e-4
MAX_PARTS = 64

# A diverging run leaves weights whose sums overflow, which is no reason to warn: the page says so where it reads.
OVERFLOWING = np.errstate(over="ignore", invalid="ignore")


@dataclass(frozen=True)
class LayerActivity:
    """What one layer's units make of one image, each float32 (units,); of the output layer both are the logits."""

    sums: np.ndarray
    """Before the activation function."""
    activations: np.ndarray


@dataclass(frozen=True)
class Attribution:
    """How much each pixel contributes to the logits of some digits: each logit is the sum of its pixels and its base."""

    pixels: np.ndarray
    """float64 (digits, 28, 28)."""
    base: np.ndarray
    """What does not come from the pixels, float64 (digits,): the biases' part if exact, else the logits of blank paper."""
    logits: np.ndarray
    """What the network itself says, float64 (digits,)."""
    is_exact: bool
    """Whether it is arithmetic alone, and not an integral."""

    @property
    def sums(self) -> np.ndarray:
        """Pixels and base together, float64 (digits,)."""
        sums: np.ndarray = self.pixels.sum((1, 2)) + self.base
        return sums

    @property
    @OVERFLOWING
    def gaps(self) -> np.ndarray:
        """What the sums leave of the logits, float64 (digits,): rounding, and the integral's error."""
        gaps: np.ndarray = self.logits - self.sums
        return gaps


@dataclass(frozen=True)
class Unit:
    """The arithmetic of one unit: the sum of its inputs, each times its weight, and its bias, through the activation function."""

    weights: np.ndarray
    """float32 (inputs,)."""
    inputs: np.ndarray
    """float32 (inputs,): the image's pixels row by row, or the activations of the layer before."""
    bias: float
    sum: float
    activation: float
    """Of a unit of the output layer its sum."""

    @property
    @OVERFLOWING
    def terms(self) -> np.ndarray:
        """What each input adds to the sum, float32 (inputs,)."""
        terms: np.ndarray = self.weights * self.inputs
        return terms

    def strongest(self, count: int) -> list[int]:
        """The `count` inputs that add or take away the most, in descending order."""
        strongest: list[int] = np.argsort(-np.abs(self.terms), kind="stable")[:count].tolist()
        return strongest


@torch.no_grad()
def layer_outputs(model: MLP, inputs: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Layer by layer the sums before the activation function and the activations, (N, units) float32.

    `inputs` are images, (N, 784) float32 in [0, 1]; of the output layer both are the logits. A layer is computed when it is
    asked for.
    """
    *hidden, output = model.layers
    for layer in hidden:
        sums = kernels.linear(inputs, layer.weight, layer.bias)
        inputs = model.activation(sums)
        yield sums, inputs
    logits = kernels.linear(inputs, output.weight, output.bias)
    yield logits, logits


def layer_inputs(model: MLP, images: Tensor, layer: int) -> Tensor:
    """What a layer, counted from 1, gets for images, (N, 784) float32: (N, inputs), for the first layer the images themselves."""
    for _, activations in islice(layer_outputs(model, images), layer - 1):
        images = activations
    return images


def forward(model: MLP, image: np.ndarray) -> list[LayerActivity]:
    """What every unit makes of one image, float32 (28, 28), layer by layer from the first hidden one to the output."""
    return [LayerActivity(sums[0].numpy(), activations[0].numpy()) for sums, activations in layer_outputs(model, _row(image))]


@torch.no_grad()
def unit(model: MLP, image: np.ndarray, layer: int, index: int) -> Unit:
    """The arithmetic of unit `index` of a layer, counted from 1, the output layer included, for one image, float32 (28, 28)."""
    inputs = layer_inputs(model, _row(image), layer)[0]
    of = model.layers[layer - 1]
    weights, bias = of.weight[index], of.bias[index]
    total = weights @ inputs + bias
    activation = total if layer == len(model.layers) else model.activation(total)
    return Unit(weights.numpy().copy(), inputs.numpy(), bias.item(), total.item(), activation.item())


@torch.no_grad()
def attribute(model: MLP, image: np.ndarray, digits: Sequence[int]) -> Attribution:
    """How much each pixel of one image, float32 (28, 28), contributes to the logits of `digits`.

    With ReLU and leaky ReLU a network is linear where no unit turns on or off: a pixel contributes its ink times the gradient,
    and all the rest is the biases, as far as they come through. With the others it contributes its ink times the mean of the
    gradients on the straight way from blank paper to the image: integrated gradients (Sundararajan, Taly & Yan 2017).
    """
    inputs = _row(image)
    chosen = list(digits)
    logits = model(inputs)[0, chosen].double().numpy()
    line = _IntegrationPath(model, inputs[0], chosen)
    is_exact = model.activation_name in PIECEWISE_LINEAR
    if is_exact:
        gradients = [gradient[:, 0] for gradient in line.at([1.0])[1]]
        base = torch.stack([gradient @ bias for gradient, (_, bias) in zip(gradients, line.layers, strict=True)]).sum(0)
        mean = gradients[0]
    else:
        base = model(torch.zeros_like(inputs))[0, chosen].double()
        mean = line.mean_gradient()
    pixels = mean @ line.layers[0][0] * line.pixels
    return Attribution(pixels.reshape(-1, 28, 28).numpy(), base.numpy(), logits, is_exact)


def _row(image: np.ndarray) -> Tensor:
    """An image, float32 (28, 28), as a network takes it: (1, 784), in memory of its own."""
    return torch.tensor(image.reshape(1, -1))


class _IntegrationPath:
    """A network at points on the straight line from blank paper to an image, in float64.

    In float32 the contributions would not add up to the logits but for the network's own rounding.
    """

    def __init__(self, model: MLP, pixels: Tensor, digits: list[int]) -> None:
        self.pixels = pixels.double()
        self.layers = [(layer.weight.double(), layer.bias.double()) for layer in model.layers]
        self._model = model
        self._digits = digits
        # The line goes through zero: but for the bias, the first layer's sums are multiples of one.
        self._direction = self.layers[0][0] @ self.pixels

    def at(self, places: Sequence[float]) -> tuple[Tensor, list[Tensor]]:
        """At `places`, 0 blank paper and 1 the image: the digits' logits, (digits, places), and their gradients.

        Those are by the sums of each layer from the first to the output, (digits, places, units).
        """
        derivative = kernels.ACTIVATION_GRADIENTS[self._model.activation_name]
        sums = torch.outer(torch.tensor(places, dtype=torch.float64), self._direction) + self.layers[0][1]
        slopes = []
        for weight, bias in self.layers[1:]:
            activations = self._model.activation(sums)
            slopes.append(derivative(torch.ones_like(sums), sums, activations))
            sums = F.linear(activations, weight, bias)
        gradient = torch.eye(sums.shape[1], dtype=torch.float64)[self._digits][:, None].expand(-1, len(places), -1)
        gradients = [gradient]
        for (weight, _), slope in zip(self.layers[:0:-1], slopes[::-1], strict=True):
            gradient = gradient @ weight * slope
            gradients.append(gradient)
        return sums[:, self._digits].t(), gradients[::-1]

    def mean_gradient(self) -> Tensor:
        """The digits' gradients by the first layer's sums, (digits, units), averaged from blank paper to the image.

        By Gauss and Legendre's rule in parts, which are halved as long as their gradients do not add up to how much the logits
        differ from one end to the other.
        """
        nodes, weights = np.polynomial.legendre.leggauss(NUM_NODES)
        # The two ends are looked at for their logits alone.
        within = np.array([0.0, *(nodes + 1) / 2, 1.0])
        importance = torch.tensor([0.0, *weights / 2, 0.0], dtype=torch.float64)
        mean = torch.zeros(len(self._digits), len(self._direction), dtype=torch.float64)
        parts = [(0.0, 1.0)]
        num_parts = 1
        while parts:
            start, width = parts.pop(0)
            logits, (gradient, *_) = self.at((start + width * within).tolist())
            of_part = width * (importance @ gradient)
            gaps = logits[:, -1] - logits[:, 0] - of_part @ self._direction
            if num_parts < MAX_PARTS and (gaps.abs() > SMALL_GAP).any():
                parts += [(start, width / 2), (start + width / 2, width / 2)]
                num_parts += 1
            else:
                mean += of_part
        return mean
