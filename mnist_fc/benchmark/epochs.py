"""Time an epoch of this engine, of what people would use instead, and of the lower bound on this machine.

All train on the same images with the blog's settings: batches of 100, Adam at 0.001, float32. The lower bound, called the floor,
is not a training: it is only the matrix products and the optimizer's update that every training needs, as PyTorch computes
them. No time includes evaluation.
"""

import functools
import importlib.metadata
import importlib.util
import itertools
import json
import platform
import statistics
import subprocess
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
from mnist_fc.files import module_command
from mnist_fc.network import kernels
from mnist_fc.network.optimizer import Optimizer
from mnist_fc.records import EpochRecord, WeightsRecord
from mnist_fc.training.engine import train

PACKAGES = ("torch", "torchvision", "keras", "tensorflow", "tensorflow-cpu", "jax", "scikit-learn")


@dataclass(frozen=True)
class Row:
    """A program's median epoch for `net`, such as "784-500-10", and its ratio to that of the floor."""

    name: str
    net: str
    seconds_per_epoch: float
    ratio_to_floor: float


def benchmark(images: Mnist, threads: int, num_epochs: int, with_peers: bool, report: Callable[[str], None]) -> list[Row]:
    """Time `num_epochs` epochs of every program, after one to warm up, and return a row for each; `report` is told the progress.

    The programs here take turns, an epoch each, so that a change of the machine's speed affects all. With `with_peers`, other
    people's programs follow, one after another, in processes of their own and on the MNIST that is included.
    """
    torch.set_num_threads(threads)
    rows = []
    for net, config in NETS.items():
        report(f"{net}: warming up")
        programs = {name: program(config.replace(threads=threads), images) for name, program in PROGRAMS.items()}
        for epochs in programs.values():
            next(epochs)
        seconds: dict[str, list[float]] = {name: [] for name in programs}
        for epoch in range(num_epochs):
            report(f"{net}: epoch {epoch + 1} of {num_epochs} of each")
            for name, epochs in programs.items():
                seconds[name].append(next(epochs))
        if with_peers:
            seconds |= dict(_time_peers(net, threads, num_epochs, report))
        floor = statistics.median(seconds["floor"])
        rows += [Row(name, net, statistics.median(s), statistics.median(s) / floor) for name, s in seconds.items()]
    return rows


def machine() -> str:
    """Return the processor, the number of cores, the system, and the versions of Python and the packages, in one line."""
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
    """Return the version of a package, or None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    """Return the name of the processor. `platform.processor()` returns only "x86_64" on Linux."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


# Each program yields the seconds of each epoch, endlessly.


def _blog_loop(config: TrainConfig, images: Mnist) -> Iterator[float]:
    """Time the blog's PyTorch program: torchvision's dataset, ToTensor for each image, a DataLoader, and Adam."""
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
                loss.item()  # the blog's program prints it
        yield time.perf_counter() - started


def _autograd(config: TrainConfig, images: Mnist) -> Iterator[float]:
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
        yield time.perf_counter() - started


def _engine(config: TrainConfig, images: Mnist) -> Iterator[float]:
    """Time this engine with its records and copies of weights, from the end of an evaluation to the start of the next."""
    num_steps = config.steps_per_epoch(len(images.train_labels))
    while True:
        timed, started = 0, time.perf_counter()
        for record in train(config.replace(num_epochs=100), images):
            if isinstance(record, EpochRecord):
                started = time.perf_counter()
            elif isinstance(record, WeightsRecord) and record.step > timed and record.step % num_steps == 0:
                timed = record.step  # a run yields its last weights twice
                yield time.perf_counter() - started


@torch.no_grad()
def _floor(config: TrainConfig, images: Mnist, product: Callable[[Tensor, Tensor], Tensor] = F.linear) -> Iterator[float]:
    """Time the matrix products of the forward and backward pass and one fused Adam over all parameters, and nothing else.

    `product(x, w)` returns x @ w.T. The inputs are random and the same in every step.
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
"""The floor uses PyTorch's default matrix products; floor-onednn uses those of the engine, where oneDNN's are available."""


def _model(config: TrainConfig) -> nn.Sequential:
    """Return the network of `config` in plain PyTorch, with ReLUs."""
    *hidden, output = itertools.starmap(nn.Linear, pairwise(config.layer_sizes))
    return nn.Sequential(*itertools.chain.from_iterable((layer, nn.ReLU()) for layer in hidden), output)


def _time_peers(net: str, threads: int, num_epochs: int, report: Callable[[str], None]) -> Iterator[tuple[str, list[float]]]:
    """Yield the name and the seconds of each epoch of every peer; report those that are not installed or fail."""
    for name, packages in PEERS.items():
        if missing := [package for package in packages if not importlib.util.find_spec(package)]:
            report(f"{net}: {name} is skipped: it needs {' and '.join(missing)}")
            continue
        report(f"{net}: {num_epochs} epochs of {name}")
        done = subprocess.run(
            [*module_command(peers.__name__), name, net, str(threads), str(num_epochs), str(EMBEDDED)],
            env=peers.environment(name, threads),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            report(f"{net}: {name} is skipped: {(done.stderr.strip() or 'it failed').splitlines()[-1]}")
        else:
            yield name, json.loads(done.stdout.splitlines()[-1])
