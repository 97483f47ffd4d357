"""The fully connected network, and the initialization of its weights."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from mnist_fc.config import NUM_CLASSES, NUM_INPUTS, Activation, Initialization, TrainConfig
from mnist_fc.records import Weights

LEAKY_SLOPE = 0.01
"""Slope of the leaky ReLU below zero: PyTorch's default."""

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "leaky_relu": nn.LeakyReLU,
    "gelu": nn.GELU,
}


class UninitializedLinear(nn.Linear):
    """A fully connected layer whose weights are not drawn.

    `nn.utils.skip_init` makes one too, but imports SymPy: 0.4 s and 33 MB in every process.
    """

    def reset_parameters(self) -> None:
        """Leave the weights as they are."""


class MLP(nn.Module):
    """A network of 784 inputs, one to four hidden layers and one logit per class. Layers are named fc1, fc2, ...

    The weights are uninitialized until `initialize` or `load_state_dict`.
    """

    def __init__(self, hidden_sizes: tuple[int, ...], activation: Activation = "relu", num_classes: int = NUM_CLASSES) -> None:
        super().__init__()
        self.hidden_sizes = hidden_sizes
        self.activation_name: Activation = activation
        self.activation = ACTIVATIONS[activation]()
        sizes = (NUM_INPUTS, *hidden_sizes, num_classes)
        for number, (num_in, num_out) in enumerate(pairwise(sizes), start=1):
            self.add_module(f"fc{number}", UninitializedLinear(num_in, num_out))

    @property
    def layers(self) -> list[nn.Linear]:
        """The fully connected layers, from input to output."""
        return [module for module in self.children() if isinstance(module, nn.Linear)]

    @property
    def num_parameters(self) -> int:
        """The number of weights and biases."""
        return sum(parameter.numel() for parameter in self.parameters())

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, (N, classes) float32, of images, (N, 784) float32 in [0, 1]."""
        *hidden, output = self.layers
        for layer in hidden:
            images = self.activation(layer(images))
        logits: Tensor = output(images)
        return logits

    def state_copy(self) -> dict[str, Tensor]:
        """Return a state dict that shares no memory with the model."""
        return {name: tensor.clone() for name, tensor in self.state_dict().items()}


def with_weights(weights: Weights, config: TrainConfig) -> MLP:
    """Return the network of a run with `config` and these weights. It shares their memory, so they must not change."""
    model = MLP(config.hidden_sizes, config.activation)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()}, assign=True)
    return model.eval()


@torch.no_grad()
def initialize(model: MLP, scheme: Initialization, generator: torch.Generator) -> None:
    """Draw the initial weights in place.

    "pytorch": weights and biases uniform within 1/sqrt(inputs), as `torch.nn.Linear` does.
    "keras": Glorot-uniform weights (Glorot & Bengio 2010) and zero biases, as `keras.layers.Dense` does.
    """
    for layer in model.layers:
        if scheme == "keras":
            bound = math.sqrt(6.0 / (layer.in_features + layer.out_features))
            layer.bias.zero_()
        else:
            bound = 1.0 / math.sqrt(layer.in_features)
            layer.bias.uniform_(-bound, bound, generator=generator)
        layer.weight.uniform_(-bound, bound, generator=generator)
