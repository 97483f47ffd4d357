"""The forward and backward pass of one batch, written out.

It computes what autograd would for an MLP with softmax cross-entropy, but builds no graph, writes its results into tensors that
are kept, and takes the fastest matrix products (products.py). The tests compare it with autograd.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnist_fc.config import TrainConfig
from mnist_fc.network import kernels, products
from mnist_fc.network.mlp import LEAKY_SLOPE, MLP

FORWARD: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": lambda z: z.clamp_min_(0.0),
    "tanh": torch.tanh_,
    "sigmoid": torch.sigmoid_,
    "leaky_relu": lambda z: F.leaky_relu_(z, LEAKY_SLOPE),
    "gelu": F.gelu,
}
"""z -> a, computed in place of z, except for gelu, whose gradient needs both."""

UNCOUNTED_IMAGES = 800
"""Correct answers are counted once this many images have been seen, or after every batch if it is larger."""


class Backprop:
    """The forward and backward pass through `model` for one batch size.

    With `rows`, it is given only those rows of a batch, and loss and gradients are their share of the whole batch's, to be
    summed over processes.
    """

    def __init__(
        self, model: MLP, config: TrainConfig, batch_size: int, generator: torch.Generator, rows: slice = slice(None)
    ) -> None:
        *hidden, output = model.layers
        num_rows = len(range(batch_size)[rows])
        self._hidden = []
        for layer in hidden:
            dropout = Dropout(config.dropout, batch_size, rows, layer.out_features, generator) if config.dropout else None
            self._hidden.append(_HiddenLayer(layer, config, num_rows, dropout, is_first=layer is hidden[0]))
        self._output = _OutputLayer(output, config, batch_size, num_rows)

    def run(self, images: Tensor, labels: Tensor) -> float:
        """Set the parameters' `grad` for `images`, (rows, 784) float32 in [0, 1], and `labels`, (rows,) int64.

        Return the mean loss, without label smoothing. The labels must not change until they are counted by `take_num_correct`.
        """
        values = images
        for layer in self._hidden:
            values = layer.forward(values)
        loss = self._output.forward(values, labels)
        gradient = self._output.backward()
        for layer in reversed(self._hidden):
            gradient = layer.backward(gradient)
        return loss

    def take_num_correct(self) -> int:
        """Return how many images were classified correctly since the last call, in batches whose loss was finite."""
        return self._output.take_num_correct()


class Dropout:
    """Draws the factors by which dropout multiplies a layer's activations.

    It draws for the whole batch, so that a row loses the same units in whichever process it is.
    """

    def __init__(self, drop: float, batch_size: int, rows: slice, units: int, generator: torch.Generator) -> None:
        self._keep = 1 - drop
        self._generator = generator
        self._bits = torch.empty(-(-batch_size * units // 4), dtype=torch.int64)
        self._numbers = self._bits.view(torch.int16)[: batch_size * units].view(batch_size, units)[rows]
        self._mask = torch.empty(self._numbers.shape)

    def draw(self) -> Tensor:
        """Return the factors, (rows, units): 0, or 1 / (1 - drop), until the next call.

        Each unit gets 16 random bits, which takes a third of the time of `Tensor.bernoulli_`.
        """
        self._bits.random_(-(2**63), None, generator=self._generator)
        threshold = min(round(2**16 * self._keep), 2**16 - 1) - 2**15
        return torch.lt(self._numbers, threshold, out=self._mask).div_(self._keep)


class _Parameters:
    """The parameters of a layer without autograd, which takes time even where it is switched off, and their gradients.

    The gradients are the parameters' `grad`, overwritten in each step: large new tensors are slow, because the system clears
    their memory. Later changes must be in place: neither `load_state_dict(assign=True)` nor `zero_grad()` may follow.
    """

    def __init__(self, layer: nn.Linear) -> None:
        self.weight, self.bias = layer.weight.detach(), layer.bias.detach()
        self.transposed_weight = self.weight.t()
        self._weight_gradient = _gradient(layer.weight)
        self._bias_gradient = _gradient(layer.bias)

    def set_gradients(self, product: kernels.Multiply, dz: Tensor, inputs: Tensor) -> None:
        """Set the gradients for the transposed gradient of the layer's sums, (out, rows), and its inputs, (rows, in)."""
        product(dz, inputs, None, self._weight_gradient)
        torch.sum(dz, 1, out=self._bias_gradient)


def _gradient(parameter: Tensor) -> Tensor:
    """Return the `grad` of a parameter; set it to zeros if there is none."""
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad


class _HiddenLayer:
    """A layer with its activation and dropout. The forward pass keeps what the backward pass needs."""

    def __init__(self, layer: nn.Linear, config: TrainConfig, num_rows: int, dropout: Dropout | None, *, is_first: bool) -> None:
        self._parameters = _Parameters(layer)
        self._activate, self._gradient = FORWARD[config.activation], kernels.ACTIVATION_GRADIENTS[config.activation]
        self._dropout = dropout
        self._mask: Tensor | None = None
        self._inputs = self._input_gradient = torch.empty(num_rows, layer.in_features)
        self._z = self._a = torch.empty(num_rows, layer.out_features)
        self._outputs = torch.empty_like(self._z) if dropout else self._z
        sizes = num_rows, layer.in_features, layer.out_features, config.precision
        self._product = products.fastest("forward", *sizes)
        self._weight_product = products.fastest("weight gradient", *sizes)
        self._input_product = None if is_first else products.fastest("input gradient", *sizes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs, (rows, out), for `inputs`, (rows, in)."""
        self._inputs = inputs
        self._product(inputs, self._parameters.transposed_weight, self._parameters.bias, self._z)
        self._a = self._activate(self._z)
        if not self._dropout:
            return self._a
        self._mask = self._dropout.draw()
        return torch.mul(self._a, self._mask, out=self._outputs)

    def backward(self, gradient: Tensor) -> Tensor:
        """Set the gradients of the parameters; return that of the inputs, (rows, in), for that of the outputs, (rows, out).

        Changes `gradient`. The first layer's inputs are images; it returns what need not be used.
        """
        if self._mask is not None:
            gradient.mul_(self._mask)
        dz = self._gradient(gradient, self._z, self._a)
        self._parameters.set_gradients(self._weight_product, dz.t(), self._inputs)
        if self._input_product:
            self._input_product(dz, self._parameters.weight, None, self._input_gradient)
        return self._input_gradient


class _OutputLayer:
    """The output layer with softmax cross-entropy. Its values are transposed, (classes, rows): PyTorch's softmax is faster so."""

    def __init__(self, layer: nn.Linear, config: TrainConfig, batch_size: int, num_rows: int) -> None:
        self._parameters = _Parameters(layer)
        self._bias_column = self._parameters.bias.unsqueeze(1)
        self._batch_size = batch_size
        self._inputs = self._input_gradient = torch.empty(num_rows, layer.in_features)
        shape = layer.out_features, num_rows
        self._log_probabilities, self._targets, self._dlogits = (torch.empty(shape) for _ in range(3))
        # Counting in every step took 5% of its time: what it calls is no longer in the processor's caches by then.
        self._uncounted_logits = torch.empty(max(1, UNCOUNTED_IMAGES // batch_size), *shape)
        self._logits = self._uncounted_logits.unbind()
        self._uncounted_labels: list[Tensor] = []
        self._num_correct = 0
        smoothing, one_hot = config.label_smoothing, torch.eye(layer.out_features)
        # One column per label, divided by -batch_size: the gradient with respect to the log probabilities; its dot product with
        # them is the mean loss.
        self._one_hot = one_hot / -batch_size
        self._smoothed = (one_hot * (1 - smoothing) + smoothing / len(one_hot)) / -batch_size if smoothing else self._one_hot

    def forward(self, inputs: Tensor, labels: Tensor) -> float:
        """Return the mean loss for `inputs`, (rows, in), and labels, (rows,).

        Only the gradient is that of smoothed labels: the loss is to be compared with that of validation images.
        """
        self._inputs = inputs
        logits = self._logits[len(self._uncounted_labels)]
        kernels.multiply_thin(self._parameters.weight, inputs.t(), None, logits).add_(self._bias_column)
        torch.log_softmax(logits, 0, out=self._log_probabilities)
        torch.index_select(self._smoothed, 1, labels, out=self._targets)
        kernels.log_softmax_gradient(self._targets, self._log_probabilities, self._dlogits)
        if self._smoothed is not self._one_hot:
            torch.index_select(self._one_hot, 1, labels, out=self._targets)
        # NumPy: with few numbers PyTorch spends more time on dispatch than on computing.
        loss = float(np.vdot(self._targets.numpy(), self._log_probabilities.numpy()))
        if math.isfinite(loss):
            self._uncounted_labels.append(labels)
            if len(self._uncounted_labels) == len(self._logits):
                self._count()
        return loss

    def take_num_correct(self) -> int:
        """Return how many images were classified correctly since the last call."""
        self._count()
        num_correct, self._num_correct = self._num_correct, 0
        return num_correct

    def _count(self) -> None:
        if self._uncounted_labels:
            labels = torch.stack(self._uncounted_labels).numpy()
            answers = self._uncounted_logits[: len(labels)].numpy().argmax(1)  # PyTorch's takes eight times as long
            self._num_correct += int(np.count_nonzero(answers == labels))
            self._uncounted_labels.clear()

    def backward(self) -> Tensor:
        """Set the gradients of the parameters; return that of the inputs, (rows, in)."""
        self._parameters.set_gradients(kernels.multiply_thin, self._dlogits, self._inputs)
        return kernels.multiply_thin(self._dlogits.t(), self._parameters.weight, None, self._input_gradient)
