"""The forward and backward pass of one batch, written out.

It computes what autograd would for an MLP with softmax cross-entropy, but builds no graph and uses faster matrix products, so a
step takes half the time. The tests compare it with autograd.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mnist_fc.config import TrainConfig
from mnist_fc.network import kernels
from mnist_fc.network.mlp import LEAKY_SLOPE, MLP

FORWARD: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": lambda z: z.clamp_min_(0.0),
    "tanh": torch.tanh_,
    "sigmoid": torch.sigmoid_,
    "leaky_relu": lambda z: F.leaky_relu_(z, LEAKY_SLOPE),
    "gelu": F.gelu,
}
"""z -> a, computed in place of z, except for gelu, whose gradient needs both."""


@dataclass(slots=True)
class _HiddenLayer:
    """The values of the forward pass that the backward pass needs, each (batch, size)."""

    z: Tensor
    a: Tensor
    mask: Tensor | None
    """The factors by which dropout multiplied the activations; None without dropout."""
    output: Tensor
    """The input of the next layer."""


class Backprop:
    """The forward and backward pass through `model` for one batch size.

    `load` a batch into `images`, (batch, 784) float32 in [0, 1], distort those if you like, then `run`. With `rows`, only those
    rows of the batch are loaded, and loss and gradients are their share of the whole batch's, to be summed over processes.
    """

    def __init__(
        self, model: MLP, config: TrainConfig, batch_size: int, generator: torch.Generator, rows: slice = slice(None)
    ) -> None:
        num_rows = len(range(batch_size)[rows])
        self.images = torch.empty(num_rows, model.layers[0].in_features)
        self._pixels = torch.empty(num_rows, model.layers[0].in_features, dtype=torch.uint8)
        self._labels = torch.empty(num_rows, dtype=torch.int64)
        self._batch_size = batch_size
        self._rows = rows
        self._layers = model.layers
        self._activate = FORWARD[config.activation]
        self._gradient = kernels.ACTIVATION_GRADIENTS[config.activation]
        self._keep = 1 - config.dropout
        self._generator = generator
        smoothing = config.label_smoothing
        # One row per label, negative and divided by the number of images, so that a dot product is the mean loss.
        num_classes = model.layers[-1].out_features
        one_hot = torch.eye(num_classes)
        self._one_hot = one_hot / -batch_size
        self._smoothed = (one_hot * (1 - smoothing) + smoothing / num_classes) / -batch_size if smoothing else self._one_hot

    def load(self, images: Tensor, labels: Tensor, batch: Tensor) -> None:
        """Load the images, (N, 784) uint8, and labels, (N,) int64, at the indices `batch`, (batch size,)."""
        batch = batch[self._rows]
        torch.index_select(images, 0, batch, out=self._pixels)
        self.images.copy_(self._pixels).mul_(1 / 255)
        torch.index_select(labels, 0, batch, out=self._labels)

    @torch.no_grad()
    def run(self) -> tuple[float, int]:
        """Set the parameters' `grad`; return the batch's mean loss, without label smoothing, and how many images it got right."""
        hidden, logits = self._forward()
        loss, dlogits = self._loss(logits)
        self._backward(hidden, dlogits)
        return loss, int(logits.argmax(1).eq_(self._labels).sum())

    def _forward(self) -> tuple[list[_HiddenLayer], Tensor]:
        """Return the values of each hidden layer, and the logits, (batch, classes)."""
        *hidden_layers, output_layer = self._layers
        hidden = []
        inputs = self.images
        for layer in hidden_layers:
            z = kernels.linear(inputs, layer.weight, layer.bias)
            a = self._activate(z)
            mask = None
            inputs = a
            if self._keep < 1:
                # Drawn for the whole batch, so that a row loses the same units in whichever process it is.
                drawn = torch.empty(self._batch_size, layer.out_features).bernoulli_(self._keep, generator=self._generator)
                mask = drawn[self._rows].div_(self._keep)
                inputs = a * mask
            hidden.append(_HiddenLayer(z, a, mask, inputs))
        return hidden, kernels.linear(inputs, output_layer.weight, output_layer.bias)

    def _loss(self, logits: Tensor) -> tuple[float, Tensor]:
        """Return the mean cross-entropy of logits, (batch, classes), and the gradient of the smoothed one, (batch, classes).

        Only the gradient is that of smoothed labels: the loss is to be compared with that of validation images.
        """
        log_probabilities = logits.log_softmax(1)
        targets = self._smoothed.index_select(0, self._labels)
        dlogits = torch.add(targets, log_probabilities.exp(), alpha=1 / self._batch_size)
        if self._smoothed is not self._one_hot:
            targets = self._one_hot.index_select(0, self._labels)
        return torch.dot(targets.view(-1), log_probabilities.view(-1)).item(), dlogits

    def _backward(self, hidden: list[_HiddenLayer], dz: Tensor) -> None:
        """Propagate the logits' gradient `dz`, (batch, classes), down to the first layer."""
        for i, layer in reversed(list(enumerate(self._layers))):
            inputs = hidden[i - 1].output if i else self.images
            layer.weight.grad = kernels.linear(dz.t(), inputs.t())
            layer.bias.grad = dz.sum(0)
            if i:
                below = hidden[i - 1]
                da = kernels.linear(dz, layer.weight.t())
                if below.mask is not None:
                    da.mul_(below.mask)
                dz = self._gradient(da, below.z, below.a)
