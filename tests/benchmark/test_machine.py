"""The description of the machine, and of the matrix products that the engine chose."""

import importlib.metadata
import platform

import pytest

from mnist_fc.benchmark import machine as machine_module
from mnist_fc.benchmark.machine import chosen_products, in_words, machine
from mnist_fc.config import CPU_COUNT, PRESETS
from mnist_fc.network import kernels

ABSENT = "no_package_has_this_name"


def test_description_names_processor_cores_and_versions() -> None:
    processor, cores, system, *versions = machine().rsplit(", ", machine().count(", "))
    assert processor
    assert cores == f"{CPU_COUNT} core{'s' * (CPU_COUNT > 1)}"
    assert system == platform.system()
    assert versions[:2] == [f"Python {platform.python_version()}", f"torch {importlib.metadata.version('torch')}"]


def test_description_omits_packages_that_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_module, "PACKAGES", (ABSENT, "torch"))
    assert machine().endswith(f"Python {platform.python_version()}, torch {importlib.metadata.version('torch')}")
    assert ABSENT not in machine()


def test_products_are_ways_that_exist() -> None:
    chosen = chosen_products(PRESETS["blog-keras"])
    assert len(chosen) == 5
    assert set(chosen.values()) <= set(kernels.MULTIPLY["float32"])


@pytest.mark.parametrize(
    ("products", "words"),
    [({"a": "PyTorch", "b": "PyTorch"}, "PyTorch"), ({"a": "PyTorch", "b": "oneDNN"}, "PyTorch (1 of 2) and oneDNN (1 of 2)")],
)
def test_ways_are_counted_in_words(products: dict[str, str], words: str) -> None:
    assert in_words(products) == words
