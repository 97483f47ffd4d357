"""Forward and backward of one batch, written out, into buffers that are kept from step to step.

This is what autograd would do for an MLP with softmax cross-entropy, without building a graph and without allocating: half
the time of a step. The tests hold it to autograd. Parameters and gradients lie in one flat tensor each, so that one fused
optimizer call updates everything.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mnist_fc.config import NUM_CLASSES, TrainConfig
from mnist_fc.model import LEAKY_SLOPE, MLP

aten = torch.ops.aten

# Every weight starts on a 64-byte boundary: matrix products are faster, and repeatable, on aligned memory.
ALIGNMENT = 16


@dataclass(frozen=True)
class ActivationOps:
    """An activation and its derivative: forward(z, a) writes a; backward(da, z, a, dz) writes dz."""

    forward: Callable[[Tensor, Tensor], object]
    backward: Callable[[Tensor, Tensor, Tensor, Tensor], object]


ACTIVATION_OPS: dict[str, ActivationOps] = {
    "relu": ActivationOps(
        lambda z, a: torch.clamp_min(z, 0.0, out=a),
        lambda da, z, a, dz: aten.threshold_backward.grad_input(da, a, 0.0, grad_input=dz),
    ),
    "tanh": ActivationOps(
        lambda z, a: torch.tanh(z, out=a),
        lambda da, z, a, dz: aten.tanh_backward.grad_input(da, a, grad_input=dz),
    ),
    "sigmoid": ActivationOps(
        lambda z, a: torch.sigmoid(z, out=a),
        lambda da, z, a, dz: aten.sigmoid_backward.grad_input(da, a, grad_input=dz),
    ),
    "leaky_relu": ActivationOps(
        lambda z, a: aten.leaky_relu.out(z, LEAKY_SLOPE, out=a),
        lambda da, z, a, dz: aten.leaky_relu_backward.grad_input(da, z, LEAKY_SLOPE, False, grad_input=dz),
    ),
    "gelu": ActivationOps(
        lambda z, a: aten.gelu.out(z, out=a),
        lambda da, z, a, dz: aten.gelu_backward.grad_input(da, z, grad_input=dz),
    ),
}


class FlatParameters:
    """All parameters of `model`, moved into one flat tensor, with one flat gradient beside it.

    `flat` is a leaf with `.grad`, to give to an optimizer; `gradients` are (weight, bias) views of that gradient, one pair
    a layer. The model's own parameters become views of `flat`.
    """

    def __init__(self, model: MLP) -> None:
        offsets, total = [], 0
        for parameter in model.parameters():
            offsets.append(total)
            total += -(-parameter.numel() // ALIGNMENT) * ALIGNMENT
        self.flat = nn.Parameter(torch.zeros(total), requires_grad=True)
        self.flat.grad = torch.zeros(total)
        views = []
        for parameter, offset in zip(model.parameters(), offsets, strict=True):
            place = slice(offset, offset + parameter.numel())
            home = self.flat.data[place].view(parameter.shape)
            home.copy_(parameter.data)
            parameter.data = home
            views.append(self.flat.grad[place].view(parameter.shape))
        self.gradients = list(zip(views[0::2], views[1::2], strict=True))

    def gradient_norms(self) -> tuple[float, ...]:
        """Euclidean norm of each layer's gradient, weights and biases together."""
        return tuple(
            float(torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in pair]))) for pair in self.gradients
        )


class Backprop:
    """One batch size's forward and backward through `model`, whose parameters `parameters` holds.

    `load` a batch into `images`, (batch, 784) float32 in [0, 1], change those if you like, then `run`.
    """

    def __init__(
        self, model: MLP, parameters: FlatParameters, config: TrainConfig, batch_size: int, generator: torch.Generator
    ) -> None:
        self.images = torch.empty(batch_size, model.layers[0].in_features)
        self._pixels = torch.empty(batch_size, model.layers[0].in_features, dtype=torch.uint8)
        self._labels = torch.empty(batch_size, dtype=torch.int64)
        self._weights = [layer.weight.data for layer in model.layers]
        self._biases = [layer.bias.data for layer in model.layers]
        self._gradients = parameters.gradients
        self._ops = ACTIVATION_OPS[config.activation]
        self._z, self._a, self._dz, self._da, self._mask = (
            [torch.empty(batch_size, size) for size in model.hidden_sizes] for _ in range(5)
        )
        self._logits, self._log_probabilities, self._targets, self._dlogits = (
            torch.empty(batch_size, NUM_CLASSES) for _ in range(4)
        )
        self._predicted = torch.empty(batch_size, dtype=torch.int64)
        smoothing = config.label_smoothing
        self._target_rows = torch.eye(NUM_CLASSES) * (1 - smoothing) + smoothing / NUM_CLASSES
        self._keep = 1 - config.dropout
        # What the next layer gets: the activations or, beside them, since derivatives need those, what dropout leaves of them.
        self._outputs = self._a if self._keep == 1 else [torch.empty_like(a) for a in self._a]
        self._generator = generator

    def load(self, images: Tensor, labels: Tensor, batch: Tensor) -> None:
        """Take the images, (N, 784) uint8, and labels, (N,) int64, at the indices `batch`."""
        torch.index_select(images, 0, batch, out=self._pixels)
        torch.mul(self._pixels, 1 / 255, out=self.images)
        torch.index_select(labels, 0, batch, out=self._labels)

    def run(self) -> tuple[float, int]:
        """Compute the batch's gradients into the flat gradient; return its mean loss and how many it got right."""
        self._forward()
        loss, num_correct = self._loss()
        self._backward()
        return loss, num_correct

    def _forward(self) -> None:
        inputs = self.images
        for i, (z, a) in enumerate(zip(self._z, self._a, strict=True)):
            torch.addmm(self._biases[i], inputs, self._weights[i].t(), out=z)
            self._ops.forward(z, a)
            inputs = self._outputs[i]
            if self._keep < 1:
                self._mask[i].bernoulli_(self._keep, generator=self._generator).div_(self._keep)
                torch.mul(a, self._mask[i], out=inputs)
        torch.addmm(self._biases[-1], inputs, self._weights[-1].t(), out=self._logits)

    def _loss(self) -> tuple[float, int]:
        """Softmax cross-entropy against smoothed one-hot targets; leaves its gradient in `_dlogits`."""
        batch_size = len(self._labels)
        torch.log_softmax(self._logits, 1, out=self._log_probabilities)
        torch.index_select(self._target_rows, 0, self._labels, out=self._targets)
        torch.exp(self._log_probabilities, out=self._dlogits).sub_(self._targets).div_(batch_size)
        loss = -torch.dot(self._targets.view(-1), self._log_probabilities.view(-1)).item() / batch_size
        torch.argmax(self._logits, 1, out=self._predicted)
        return loss, int(self._predicted.eq(self._labels).sum())

    def _backward(self) -> None:
        dz = self._dlogits
        for i in range(len(self._weights) - 1, -1, -1):
            inputs = self._outputs[i - 1] if i else self.images
            weight_gradient, bias_gradient = self._gradients[i]
            torch.mm(dz.t(), inputs, out=weight_gradient)
            torch.sum(dz, 0, out=bias_gradient)
            if i:
                da = torch.mm(dz, self._weights[i], out=self._da[i - 1])
                if self._keep < 1:
                    da.mul_(self._mask[i - 1])
                dz = self._dz[i - 1]
                self._ops.backward(da, self._z[i - 1], self._a[i - 1], dz)
