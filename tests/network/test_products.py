"""products.py: a way to multiply replaces the default only if it is clearly faster, and a process chooses once."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from mnist_fc.network import kernels, products

SIZES = 100, 784, 500, "float32"


def slow(a: Tensor, b: Tensor, bias: Tensor | None, out: Tensor) -> Tensor:
    for _ in range(3):
        kernels.multiply(a, b, bias, out)
    return out


@pytest.fixture
def no_choices() -> Iterator[None]:
    products.choose.cache_clear()
    yield
    products.choose.cache_clear()


KINDS: list[products.Kind] = ["forward", "weight gradient", "input gradient"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("no_choices")
def test_a_clearly_faster_way_replaces_the_default(kind: products.Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kernels.MULTIPLY, "float32", {"default": slow, "other": kernels.multiply})
    assert products.fastest(kind, *SIZES) is kernels.multiply


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("no_choices")
def test_the_default_stays_when_no_way_is_clearly_faster(kind: products.Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kernels.MULTIPLY, "float32", {"default": kernels.multiply, "equal": kernels.multiply, "slow": slow})
    assert products.choose(kind, *SIZES, torch.get_num_threads()).way == "default"


@pytest.mark.parametrize(("bfloat16", "is_faster"), [(slow, False), (kernels.multiply, True)])
@pytest.mark.usefixtures("no_choices")
def test_the_share_of_bfloat16_tells_the_faster_precision(
    bfloat16: kernels.Multiply, is_faster: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(kernels.MULTIPLY, "float32", {"only": kernels.multiply if not is_faster else slow})
    monkeypatch.setitem(kernels.MULTIPLY, "bfloat16", {"only": bfloat16})
    assert (products.bfloat16_share() < 1) is is_faster


@pytest.mark.usefixtures("no_choices")
def test_small_products_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kernels.MULTIPLY, "float32", {"default": slow, "other": kernels.multiply})
    assert products.choose("forward", 100, 784, 16, "float32", 1) == products.Choice("default", {})


@pytest.mark.usefixtures("no_choices")
def test_of_large_products_a_part_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def record(a: Tensor, b: Tensor, bias: Tensor | None, out: Tensor) -> Tensor:
        seen.append(2 * a.shape[0] * a.shape[1] * b.shape[1])
        return kernels.multiply(a, b, bias, out)

    monkeypatch.setitem(kernels.MULTIPLY, "float32", {"default": record, "other": record})
    for kind in KINDS:
        products.choose(kind, 4096, 2048, 2048, "float32", 1)
    assert 0.9 * products.MOST_OPERATIONS < min(seen) <= max(seen) <= products.MOST_OPERATIONS


@pytest.mark.usefixtures("no_choices")
def test_a_process_measures_a_product_once(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kernels.MULTIPLY, "float32", {"default": kernels.multiply, "other": slow})  # some processors have one way
    caplog.set_level("INFO")
    chosen = [products.fastest("forward", *SIZES) for _ in range(3)]
    assert len(set(chosen)) == 1
    assert sum("100 x 784 x 500" in record.message for record in caplog.records) == 1
