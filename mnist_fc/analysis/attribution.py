"""Explain one reading: the output of every unit, the arithmetic of one unit, and which pixels speak for a digit."""

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

# Integrated gradients uses NUM_NODES points between blank paper and the image. Where the gap to the logits is larger than
# MAX_GAP, it halves the way, and the halves again, into at most MAX_PARTS parts. One part is enough for most networks. Deep
# ones with large weights need more, mostly near blank paper.
NUM_NODES = 16
MAX_GAP = 1e-4
MAX_PARTS = 64

# The values of a diverged network overflow. The page reports that itself, so NumPy need not warn.
allow_overflow = np.errstate(over="ignore", invalid="ignore")


@dataclass(frozen=True)
class LayerActivity:
    """The values of one layer's units for one image, each float32 (units,). In the output layer both are the logits."""

    sums: np.ndarray
    """The weighted sums with their biases, before the activation function."""
    activations: np.ndarray


@dataclass(frozen=True)
class Attribution:
    """The contribution of each pixel to the logits of some digits. A logit is the sum of its pixels and its base."""

    pixels: np.ndarray
    """float64 (digits, 28, 28)."""
    base: np.ndarray
    """The part not due to the pixels, float64 (digits,): that of the biases if exact, else the logits of blank paper."""
    logits: np.ndarray
    """The network's own logits, float64 (digits,)."""
    is_exact: bool
    """Whether it is exact arithmetic, rather than a numerical integral."""

    @property
    def sums(self) -> np.ndarray:
        """The pixels and the base added up, float64 (digits,)."""
        sums: np.ndarray = self.pixels.sum((1, 2)) + self.base
        return sums

    @property
    @allow_overflow
    def gaps(self) -> np.ndarray:
        """The logits minus the sums, float64 (digits,): rounding, and the error of the integral."""
        gaps: np.ndarray = self.logits - self.sums
        return gaps


@dataclass(frozen=True)
class Unit:
    """The arithmetic of one unit: its weighted inputs and its bias add up to a sum, which passes the activation function."""

    weights: np.ndarray
    """float32 (inputs,)."""
    inputs: np.ndarray
    """float32 (inputs,): the image's pixels row by row, or the activations of the layer before."""
    bias: float
    sum: float
    activation: float
    """An output unit has no activation function, so this is its sum."""

    @property
    @allow_overflow
    def terms(self) -> np.ndarray:
        """What each input adds to the sum, its weight times its value, float32 (inputs,)."""
        terms: np.ndarray = self.weights * self.inputs
        return terms

    def strongest(self, count: int) -> list[int]:
        """Return the indices of the `count` inputs with the largest terms, positive or negative, in descending order."""
        strongest: list[int] = np.argsort(-np.abs(self.terms), kind="stable")[:count].tolist()
        return strongest


@torch.no_grad()
def layer_outputs(model: MLP, inputs: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the sums before the activation function and the activations of each layer, both float32 (N, units).

    `inputs` are images, float32 (N, 784) in [0, 1]. In the output layer both are the logits. A layer is computed only when it
    is asked for.
    """
    *hidden, output = model.layers
    for layer in hidden:
        sums = kernels.linear(inputs, layer.weight, layer.bias)
        inputs = model.activation(sums)
        yield sums, inputs
    logits = kernels.linear(inputs, output.weight, output.bias)
    yield logits, logits


def layer_inputs(model: MLP, images: Tensor, layer: int) -> Tensor:
    """Return the inputs of a layer, counted from 1, for images float32 (N, 784): float32 (N, inputs)."""
    for _, activations in islice(layer_outputs(model, images), layer - 1):
        images = activations
    return images


def forward(model: MLP, image: np.ndarray) -> list[LayerActivity]:
    """Return the values of every unit for one image, float32 (28, 28), from the first hidden layer to the output layer."""
    return [LayerActivity(sums[0].numpy(), activations[0].numpy()) for sums, activations in layer_outputs(model, _row(image))]


@torch.no_grad()
def unit(model: MLP, image: np.ndarray, layer: int, index: int) -> Unit:
    """Return the arithmetic of unit `index` for one image, float32 (28, 28). Layers count from 1 and include the output."""
    inputs = layer_inputs(model, _row(image), layer)[0]
    own_layer = model.layers[layer - 1]
    weights, bias = own_layer.weight[index], own_layer.bias[index]
    total = weights @ inputs + bias
    activation = total if layer == len(model.layers) else model.activation(total)
    return Unit(weights.numpy().copy(), inputs.numpy(), bias.item(), total.item(), activation.item())


@torch.no_grad()
def attribute(model: MLP, image: np.ndarray, digits: Sequence[int]) -> Attribution:
    """Return how much each pixel of one image, float32 (28, 28), contributes to the logits of `digits`.

    With ReLU and leaky ReLU a network is linear as long as no unit turns on or off. So a pixel contributes its ink times the
    gradient, and the rest comes from the biases. With the other activations a pixel contributes its ink times the mean
    gradient on the straight line from blank paper to the image: integrated gradients (Sundararajan, Taly & Yan 2017).
    """
    inputs = _row(image)
    chosen = list(digits)
    logits = model(inputs)[0, chosen].double().numpy()
    path = _IntegrationPath(model, inputs[0], chosen)
    is_exact = model.activation_name in PIECEWISE_LINEAR
    if is_exact:
        gradients = [gradient[:, 0] for gradient in path.evaluate([1.0])[1]]
        base = torch.stack([gradient @ bias for gradient, (_, bias) in zip(gradients, path.layers, strict=True)]).sum(0)
        mean = gradients[0]
    else:
        base = model(torch.zeros_like(inputs))[0, chosen].double()
        mean = path.mean_gradient()
    pixels = mean @ path.layers[0][0] * path.pixels
    return Attribution(pixels.reshape(-1, 28, 28).numpy(), base.numpy(), logits, is_exact)


def _row(image: np.ndarray) -> Tensor:
    """Return an image, float32 (28, 28), as a network takes it: a copy, float32 (1, 784)."""
    return torch.tensor(image.reshape(1, -1))


class _IntegrationPath:
    """A network on the straight line from blank paper to an image, in float64.

    In float32, rounding would keep the contributions from adding up to the logits.
    """

    def __init__(self, model: MLP, pixels: Tensor, digits: list[int]) -> None:
        self.pixels = pixels.double()
        self.layers = [(layer.weight.double(), layer.bias.double()) for layer in model.layers]
        self._model = model
        self._digits = digits
        # The line passes through zero, so without the bias the first layer's sums are multiples of these.
        self._direction = self.layers[0][0] @ self.pixels

    def evaluate(self, places: Sequence[float]) -> tuple[Tensor, list[Tensor]]:
        """Return the digits' logits at `places`, from 0 (blank paper) to 1 (the image), and their gradients.

        Logits are float64 (digits, places). The gradients are with respect to the sums of each layer from the first to the
        output, each float64 (digits, places, units).
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
        """Return the digits' gradients with respect to the first layer's sums, averaged along the line.

        The result is float64 (digits, units). It is integrated by Gauss-Legendre quadrature in parts, which are halved while
        their gradients do not add up to the difference of the logits between their ends.
        """
        nodes, weights = np.polynomial.legendre.leggauss(NUM_NODES)
        # Only the logits of the two ends are used.
        places = np.array([0.0, *(nodes + 1) / 2, 1.0])
        importance = torch.tensor([0.0, *weights / 2, 0.0], dtype=torch.float64)
        mean = torch.zeros(len(self._digits), len(self._direction), dtype=torch.float64)
        parts = [(0.0, 1.0)]
        num_parts = 1
        while parts:
            start, width = parts.pop(0)
            logits, (gradient, *_) = self.evaluate((start + width * places).tolist())
            part_gradient = width * (importance @ gradient)
            gaps = logits[:, -1] - logits[:, 0] - part_gradient @ self._direction
            if num_parts < MAX_PARTS and (gaps.abs() > MAX_GAP).any():
                parts += [(start, width / 2), (start + width / 2, width / 2)]
                num_parts += 1
            else:
                mean += part_gradient
        return mean
