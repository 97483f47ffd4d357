"""The programs that the benchmark times in its own process: this engine, what people write with PyTorch, and the lower bounds.

All train on the same images with the blog's settings: batches of 100, Adam at 0.001, float32. The lower bound, called the floor,
is not a training: it is only the matrix products and the optimizer's update that every training needs, as PyTorch computes
them, by each way that there is to multiply. No time includes evaluation.
"""

import functools
import itertools
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnist_fc.benchmark.timing import Epoch
from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.network import kernels
from mnist_fc.network.kernels import Multiply
from mnist_fc.network.mlp import MLP
from mnist_fc.network.optimizer import Optimizer
from mnist_fc.records import EpochRecord, Weights, WeightsRecord
from mnist_fc.training.engine import train

Run = Callable[[TrainConfig, Mnist], Iterator[tuple[Epoch, Weights]]]
"""Trains as the config says and yields each epoch, with the weights after it."""


def engine_run(config: TrainConfig, images: Mnist) -> Iterator[tuple[Epoch, Weights]]:
    """Train once with this engine; yield each epoch, and the weights after it.

    The seconds are those from the end of an evaluation to the start of the next, with records and copies of weights, and for
    the first epoch with what precedes it.
    """
    num_steps = config.steps_per_epoch(len(images.train_labels))
    seconds, weights = 0.0, Weights()
    started = time.perf_counter()
    for record in train(config, images):
        if isinstance(record, WeightsRecord) and record.step == record.epoch * num_steps > 0:
            seconds, weights = time.perf_counter() - started, record.weights
        elif isinstance(record, EpochRecord):
            yield Epoch(seconds, record.train_loss), weights
            started = time.perf_counter()


def blog_run(config: TrainConfig, images: Mnist) -> Iterator[tuple[Epoch, Weights]]:
    """Train endlessly as the blog's PyTorch program does; yield each epoch, and the weights after it.

    The program has torchvision's dataset, ToTensor for each image, a DataLoader, and Adam.
    """
    from torchvision import datasets, transforms

    class InMemory(datasets.MNIST):
        def __init__(self) -> None:
            super(datasets.MNIST, self).__init__("", transform=transforms.ToTensor())
            self.data, self.targets = images.train_images.view(-1, 28, 28), images.train_labels

    loader = torch.utils.data.DataLoader(InMemory(), batch_size=config.batch_size, shuffle=True)
    model = _model(config)
    names = MLP(config.hidden_sizes).state_dict()
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    while True:
        started = time.perf_counter()
        for step, (pictures, labels) in enumerate(loader, start=1):
            loss = F.cross_entropy(model(pictures.reshape(-1, 784)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 100 == 0:
                loss.item()  # the blog's program prints it
        seconds = time.perf_counter() - started
        yield (
            Epoch(seconds),
            {name: tensor.numpy().copy() for name, tensor in zip(names, model.state_dict().values(), strict=True)},
        )


# Each program yields its epochs, endlessly.


def _engine(config: TrainConfig, images: Mnist) -> Iterator[Epoch]:
    """Time this engine, run after run."""
    while True:
        for epoch, _ in engine_run(config.replace(num_epochs=100), images):
            yield epoch


def _blog_loop(config: TrainConfig, images: Mnist) -> Iterator[Epoch]:
    """Time the blog's PyTorch program."""
    return (epoch for epoch, _ in blog_run(config, images))


def _autograd(config: TrainConfig, images: Mnist) -> Iterator[Epoch]:
    """Time a plain loop over float images in memory, with autograd and PyTorch's fused Adam."""
    pixels, labels = images.train_images.float() / 255, images.train_labels
    model = _model(config)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate, fused=True)
    while True:
        started = time.perf_counter()
        for batch in torch.randperm(len(pixels)).split(config.batch_size):
            loss = F.cross_entropy(model(pixels[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        yield Epoch(time.perf_counter() - started)


@torch.no_grad()
def _floor(config: TrainConfig, images: Mnist, multiply: Multiply) -> Iterator[Epoch]:
    """Time the matrix products of the forward and backward pass and one fused Adam over all parameters, and nothing else.

    The inputs are random and the same in every step, and the results are written into tensors that are kept.
    """
    layers = [layer for layer in _model(config) if isinstance(layer, nn.Linear)]
    weights = [layer.weight.detach() for layer in layers]
    inputs = [torch.randn(config.batch_size, size) for size in config.layer_sizes]
    outputs = [torch.empty_like(each) for each in inputs]
    for parameter in (parameter for layer in layers for parameter in layer.parameters()):
        parameter.grad = torch.zeros_like(parameter)
    optimizer = Optimizer(config, [parameter for layer in layers for parameter in layer.parameters()])
    num_steps = config.steps_per_epoch(len(images.train_labels))
    while True:
        started = time.perf_counter()
        for _ in range(num_steps):
            for i, weight in enumerate(weights):
                multiply(inputs[i], weight.t(), None, outputs[i + 1])
            for i, layer in reversed(list(enumerate(layers))):
                assert layer.weight.grad is not None
                multiply(inputs[i + 1].t(), inputs[i], None, layer.weight.grad)
                if i:
                    multiply(inputs[i + 1], weights[i], None, outputs[i])
            optimizer.step(config.learning_rate)
        yield Epoch(time.perf_counter() - started)


def _multiply_by_onednn_linear(a: Tensor, b: Tensor, bias: Tensor | None, out: Tensor) -> Tensor:  # noqa: ARG001
    """Multiply with `kernels.onednn_linear`. The result is a new tensor.

    Not one of the engine's ways: where there is no memory for its copies of large operands, it ends the process with a
    segmentation fault. No processor measured so far would have chosen it.
    """
    return kernels.onednn_linear(a, b.t(), bias)


_WAYS = kernels.MULTIPLY["float32"]

FLOORS = {"floor": _WAYS["PyTorch"]}
"""The lower bounds: with PyTorch's own matrix products, and with each other way that this PyTorch has on this processor."""
if "oneDNN" in _WAYS:
    FLOORS["floor-onednn"] = _WAYS["oneDNN"]
if kernels.linear is kernels.onednn_linear:
    FLOORS["floor-onednn-linear"] = _multiply_by_onednn_linear

PROGRAMS: dict[str, Callable[[TrainConfig, Mnist], Iterator[Epoch]]] = {
    "blog-loop": _blog_loop,
    "autograd": _autograd,
    "engine": _engine,
    **{name: functools.partial(_floor, multiply=multiply) for name, multiply in FLOORS.items()},
}


def _model(config: TrainConfig) -> nn.Sequential:
    """Return the network of `config` in plain PyTorch, with ReLUs."""
    *hidden, output = itertools.starmap(nn.Linear, pairwise(config.layer_sizes))
    return nn.Sequential(*itertools.chain.from_iterable((layer, nn.ReLU()) for layer in hidden), output)
