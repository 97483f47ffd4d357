"""familiarity.py: what the built-in network misreads is noticed, with its cause, and MNIST is left in peace."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mnist_fc.data.familiarity import hint
from mnist_fc.data.mnist import Mnist
from mnist_fc.network import checkpoint
from mnist_fc.network.mlp import MLP


@pytest.fixture(scope="module")
def network() -> MLP:
    return checkpoint.load(checkpoint.SHIPPED)


def with_images(data: Mnist, change: Callable[[Tensor], Tensor]) -> Mnist:
    """Return `data` with other images; `change` takes and returns uint8 (N, 28, 28)."""

    def changed(images: Tensor) -> Tensor:
        return change(images.view(-1, 28, 28)).reshape(-1, 784)

    return replace(data, train_images=changed(data.train_images), test_images=changed(data.test_images))


def with_labels(data: Mnist, label_of: list[int]) -> Mnist:
    """Return `data` with label `label_of[i]` in place of i."""
    labels = torch.tensor(label_of)
    return replace(data, train_labels=labels[data.train_labels], test_labels=labels[data.test_labels])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x.transpose(1, 2), "rows and columns are exchanged. With `x = x.transpose(0, 2, 1)` it reads 9"),
        (lambda x: 255 - x, "Ink is dark on light paper. With `x = 255 - x` it reads 9"),
        (lambda x: 255 - x.transpose(1, 2), "With `x = 255 - x.transpose(0, 2, 1)` it reads 9"),
        (lambda x: x.rot90(1, (1, 2)), "The digits are turned to the left."),
        (lambda x: x.rot90(-1, (1, 2)), "The digits are turned to the right."),
        (lambda x: x.flip(2), "The digits are mirrored."),
        (lambda x: x.flip(1, 2), "The digits are upside down."),
        (lambda x: x.flip(1), "The digits are upside down and mirrored."),
        (lambda x: x // 16, "The ink is faint: the brightest pixel is 15 of 255."),
        (lambda x: x.roll(14, 1), "They may not be handwritten digits, or the labels may belong to other images."),
    ],
)
def test_changed_images_are_noticed_with_the_cause(
    small: Mnist, network: MLP, change: Callable[[Tensor], Tensor], said: str
) -> None:
    words = hint(with_images(small, change), network)
    assert words.startswith("The built-in network reads ")
    assert "% of 300 of these images. " in words
    assert said in words


@pytest.mark.parametrize(
    ("label_of", "said"),
    [
        ([1, 0, *range(2, 10)], "Labels seem to be exchanged: 0 is read as 1, 1 is read as 0."),
        ([*range(1, 10), 0], "0 is read as 9, 1 is read as 0, 2 is read as 1, 3 is read as 2 and more."),
    ],
)
def test_exchanged_labels_are_named(small: Mnist, network: MLP, label_of: list[int], said: str) -> None:
    assert said in hint(with_labels(small, label_of), network)


def test_labels_of_other_images_are_noticed(small: Mnist, network: MLP) -> None:
    shifted = replace(small, train_labels=small.train_labels.roll(1), test_labels=small.test_labels.roll(1))
    assert "the labels may belong to other images" in hint(shifted, network)


@pytest.mark.parametrize("count", [2000, 200, 25, 5])
def test_digits_that_are_read_well_are_left_in_peace(small: Mnist, network: MLP, count: int) -> None:
    few = replace(small, train_images=small.train_images[:count], train_labels=small.train_labels[:count])
    assert hint(few, network) == ""


def test_very_few_images_say_nothing(small: Mnist, network: MLP) -> None:
    few = Mnist(small.train_images[:9], small.train_labels[:9], small.test_images[:9], small.test_labels[:9])
    assert hint(with_images(few, lambda x: 255 - x), network) == ""
