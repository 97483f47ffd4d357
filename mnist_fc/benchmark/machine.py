"""The machine and the ways to compute that a benchmark's figures belong to."""

import importlib.metadata
import platform
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise

import torch

from mnist_fc import cpus
from mnist_fc.config import CPU_COUNT, TrainConfig
from mnist_fc.network.products import Kind, choose

PACKAGES = ("torch", "torchvision", "keras", "tensorflow", "tensorflow-cpu", "jax", "scikit-learn")


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


def chosen_products(config: TrainConfig) -> dict[str, str]:
    """Return the way that the engine multiplies for each product of a hidden layer: {"784-500 forward": "oneDNN"}.

    Measures them with the threads that PyTorch has now, unless this process has done so before.
    """
    chosen = {}
    for i, (num_in, num_out) in enumerate(pairwise(config.layer_sizes[:-1])):
        kinds: tuple[Kind, ...] = ("forward", "weight gradient", *(("input gradient",) if i else ()))
        for kind in kinds:
            choice = choose(kind, config.batch_size, num_in, num_out, config.precision, torch.get_num_threads())
            chosen[f"{num_in}-{num_out} {kind}"] = choice.way
    return chosen


def in_words(products: Mapping[str, str]) -> str:
    """Return the ways in one phrase, each with the number of products that it computes if there is more than one."""
    counts = Counter(products.values())
    return " and ".join(way if len(counts) == 1 else f"{way} ({count} of {len(products)})" for way, count in counts.items())


def _version(package: str) -> str | None:
    """Return the version of a package, or None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    """Return the name of the processor, with its family where Linux tells it: AMD's name alone covers many.

    `platform.processor()` returns only "x86_64" on Linux.
    """
    values = cpus.processor_info()
    if "model name" not in values:
        return platform.processor() or platform.machine()
    family = values.get("cpu family")
    return values["model name"] + (f" (family {family})" if family else "")
