"""What an epoch of training costs: this engine beside what people would use instead, and beside the floor of the machine.

All train on the same images with the blog's settings: batches of 100, Adam at 0.001, float32. The floor is no training: it is
the matrix products and the optimizer's update, as PyTorch has them, without which there is none. Evaluation is in nobody's time.
"""

import functools
import importlib.metadata
import importlib.util
import itertools
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnist_fc.benchmark import peers
from mnist_fc.benchmark.peers import NETS, PEERS
from mnist_fc.config import CPU_COUNT, TrainConfig
from mnist_fc.data.mnist import EMBEDDED, Mnist
from mnist_fc.network import kernels
from mnist_fc.network.optimizer import Optimizer
from mnist_fc.records import EpochRecord, WeightsRecord
from mnist_fc.training.engine import train

PACKAGES = ("torch", "torchvision", "keras", "tensorflow", "tensorflow-cpu", "jax", "scikit-learn")


@dataclass(frozen=True)
class Row:
    """One program's median epoch of `net`, as "784-500-10", and how many times the floor's that is."""

    name: str
    net: str
    seconds_per_epoch: float
    ratio_to_floor: float


def benchmark(images: Mnist, threads: int, num_epochs: int, with_peers: bool, say: Callable[[str], None]) -> list[Row]:
    """Time `num_epochs` epochs of every program, in turn, each after an epoch to warm up; `say` is told what goes on.

    With `with_peers` also other people's programs, in processes of their own, on the embedded MNIST.
    """
    torch.set_num_threads(threads)
    rows = []
    for net, config in NETS.items():
        say(f"{net}: warming up")
        programs = {name: program(config.replace(threads=threads), images) for name, program in PROGRAMS.items()}
        for epochs in programs.values():
            next(epochs)
        seconds: dict[str, list[float]] = {name: [] for name in programs}
        for epoch in range(num_epochs):
            say(f"{net}: epoch {epoch + 1} of {num_epochs} of each")
            for name, epochs in programs.items():
                seconds[name].append(next(epochs))
        if with_peers:
            seconds |= dict(_time_peers(net, threads, num_epochs, say))
        floor = statistics.median(seconds["floor"])
        rows += [Row(name, net, statistics.median(s), statistics.median(s) / floor) for name, s in seconds.items()]
    return rows


def machine() -> str:
    """This machine and the versions that are measured, in one line."""
    packages = [f"{name} {package_version}" for name in PACKAGES if (package_version := _version(name))]
    return ", ".join(
        [
            f"{_processor()}, {CPU_COUNT} core{'s' * (CPU_COUNT > 1)}",
            platform.system(),
            f"Python {platform.python_version()}",
            *packages,
        ]
    )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    """As the system names it; Python's own `platform.processor()` says no more than "x86_64" on Linux."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


# Each program yields the seconds of one epoch after another, without end.


def _blog_loop(config: TrainConfig, images: Mnist) -> Iterator[float]:
    """The blog's PyTorch program: torchvision's dataset, picture by picture through ToTensor, a DataLoader, and Adam."""
    from torchvision import datasets, transforms

    class InMemory(datasets.MNIST):
        def __init__(self) -> None:
            super(datasets.MNIST, self).__init__("", transform=transforms.ToTensor())
            self.data, self.targets = images.train_images.view(-1, 28, 28), images.train_labels

    loader = torch.utils.data.DataLoader(InMemory(), batch_size=config.batch_size, shuffle=True)
    model = _model(config)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    while True:
        started = time.perf_counter()
        for step, (pictures, labels) in enumerate(loader, start=1):
            loss = F.cross_entropy(model(pictures.reshape(-1, 784)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 100 == 0:
                loss.item()  # the blog printed it
        yield time.perf_counter() - started


def _autograd(config: TrainConfig, images: Mnist) -> Iterator[float]:
    """A plain loop over images that are floats in memory, with autograd and PyTorch's fused Adam."""
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
        yield time.perf_counter() - started


def _engine(config: TrainConfig, images: Mnist) -> Iterator[float]:
    """This program, with its records and copies of the weights, from the end of one epoch's evaluation to the next's start."""
    num_steps = config.steps_per_epoch(len(images.train_labels))
    while True:
        timed, started = 0, time.perf_counter()
        for record in train(config.replace(num_epochs=100), images):
            if isinstance(record, EpochRecord):
                started = time.perf_counter()
            elif isinstance(record, WeightsRecord) and record.step > timed and record.step % num_steps == 0:
                timed = record.step  # a run's last weights come twice
                yield time.perf_counter() - started


@torch.no_grad()
def _floor(config: TrainConfig, images: Mnist, product: Callable[[Tensor, Tensor], Tensor] = F.linear) -> Iterator[float]:
    """The matrix products of forward and backward and one fused Adam over all parameters, and nothing else.

    `product(x, w)` is x @ w.T; the inputs are random and always the same.
    """
    layers = [layer for layer in _model(config) if isinstance(layer, nn.Linear)]
    inputs = [torch.randn(config.batch_size, size) for size in config.layer_sizes]
    for layer in layers:
        layer.bias.grad = torch.zeros_like(layer.bias)
    optimizer = Optimizer(config, [parameter for layer in layers for parameter in layer.parameters()])
    num_steps = config.steps_per_epoch(len(images.train_labels))
    while True:
        started = time.perf_counter()
        for _ in range(num_steps):
            for i, layer in enumerate(layers):
                product(inputs[i], layer.weight)
            for i, layer in reversed(list(enumerate(layers))):
                layer.weight.grad = product(inputs[i + 1].t(), inputs[i].t())
                if i:
                    product(inputs[i + 1], layer.weight.t())
            optimizer.step(config.learning_rate)
        yield time.perf_counter() - started


PROGRAMS: dict[str, Callable[[TrainConfig, Mnist], Iterator[float]]] = {
    "blog-loop": _blog_loop,
    "autograd": _autograd,
    "engine": _engine,
    "floor": _floor,
    **({"floor-onednn": functools.partial(_floor, product=kernels.linear)} if kernels.linear is kernels.onednn_linear else {}),
}
"""The floor has PyTorch's own matrix products. Where oneDNN's are faster, as the engine's are, there is one below it."""


def _model(config: TrainConfig) -> nn.Sequential:
    *hidden, output = itertools.starmap(nn.Linear, pairwise(config.layer_sizes))
    return nn.Sequential(*itertools.chain.from_iterable((layer, nn.ReLU()) for layer in hidden), output)


def _time_peers(net: str, threads: int, num_epochs: int, say: Callable[[str], None]) -> Iterator[tuple[str, list[float]]]:
    for name, packages in PEERS.items():
        if missing := [package for package in packages if not importlib.util.find_spec(package)]:
            say(f"{net}: {name} is left out: it needs {' and '.join(missing)}")
            continue
        say(f"{net}: {num_epochs} epochs of {name}")
        done = subprocess.run(
            [sys.executable, "-m", peers.__name__, name, net, str(threads), str(num_epochs), str(EMBEDDED)],
            env=peers.environment(name, threads),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            say(f"{net}: {name} is left out: {(done.stderr.strip() or 'it failed').splitlines()[-1]}")
        else:
            yield name, json.loads(done.stdout.splitlines()[-1])
