"""non_digits.py: images are never blank, of the right kind, and decided by the seed; scrambled digits are not digits."""

import numpy as np
import pytest
import torch

from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import Mnist, split_validation
from mnist_fc.data.non_digits import GENERATORS, NO_DIGIT, SIGNS, add_to, generate, scramble_digits
from mnist_fc.drawing.strokes import CANVAS_SIZE
from mnist_fc.network import checkpoint


def digits_of(mnist: Mnist, count: int) -> np.ndarray:
    return mnist.train_images[:count].numpy().reshape(-1, 28, 28).astype(np.float32) / 255


@pytest.mark.parametrize("kind", GENERATORS)
def test_each_kind_has_ink_and_paper(kind: str) -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        rgba = GENERATORS[kind](random)
        assert rgba.shape == (CANVAS_SIZE, CANVAS_SIZE, 4)
        assert rgba.dtype == np.uint8
        assert not rgba[..., :3].any()
        assert 0.0005 < (rgba[..., 3] > 25).mean() < 0.99


@pytest.mark.parametrize("kind", GENERATORS)
def test_images_of_each_kind_are_never_blank(kind: str) -> None:
    images = generate(30, 0, (kind,))
    assert images.shape == (30, 28, 28)
    assert images.dtype == np.float32
    assert images.min() >= 0
    assert images.max() <= 1
    assert (images.sum((1, 2)) > 1).all()
    assert (images.max((1, 2)) > 0.2).all()


@pytest.mark.parametrize("kind", GENERATORS)
def test_the_seed_decides_the_images(kind: str) -> None:
    first, again, other = (generate(5, seed, (kind,)) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not (first == other).all((1, 2)).any()


@pytest.mark.parametrize("kind", GENERATORS)
def test_no_two_of_a_kind_are_alike(kind: str) -> None:
    images = generate(30, 1, (kind,)).reshape(30, -1)
    assert len(np.unique(images, axis=0)) >= 29  # dots may look the same
    assert images.std(0).max() > 0.15


def test_all_kinds_appear_unless_some_are_named() -> None:
    images = generate(2 * len(GENERATORS), 0)
    assert images.shape == (2 * len(GENERATORS), 28, 28)
    ink = images.sum((1, 2))
    assert ink.max() > 3 * ink.min()  # dots and textures among them


def test_letters_that_resemble_digits_are_left_out() -> None:
    names = {line.split(" ", 1)[0] for line in SIGNS.strip().splitlines()}
    assert len(names) > 40
    assert not names & {*"BDIOSZbgiloqsz"}


def test_every_digit_is_scrambled(small: Mnist) -> None:
    digits = digits_of(small, 300)
    kept = digits.copy()
    apart = scramble_digits(digits, 0)
    assert apart.shape == digits.shape
    assert apart.dtype == np.float32
    assert apart.min() >= 0
    assert apart.max() <= 1
    assert np.array_equal(digits, kept)
    assert (np.abs(apart - digits).sum((1, 2)) > 1).all()


def test_the_seed_decides_the_scrambling(small: Mnist) -> None:
    first, again, other = (scramble_digits(digits_of(small, 100), seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert (np.abs(first - other).sum((1, 2)) > 1).mean() > 0.9


def test_half_of_the_scrambled_digits_keep_their_ink(small: Mnist) -> None:
    digits = digits_of(small, 300)
    apart = scramble_digits(digits, 0)
    within = digits[:, 4:24, 4:24]
    is_shuffled = np.isclose(apart.sum((1, 2)), within.sum((1, 2)), atol=1e-3) & (np.abs(apart - digits).sum((1, 2)) > 1)
    is_overlaid = (apart >= digits - 1e-6).all((1, 2))
    assert 0.4 < is_shuffled.mean() < 0.6
    assert (is_shuffled | is_overlaid).all()


@torch.inference_mode()
def test_the_shipped_network_recognizes_fewer_scrambled_digits(small: Mnist) -> None:
    network = checkpoint.load(checkpoint.SHIPPED)
    digits, labels = digits_of(small, 300), small.train_labels[:300]
    known, still_known = (
        (network(torch.from_numpy(images.reshape(-1, 784))).argmax(1) == labels).float().mean()
        for images in (digits, scramble_digits(digits, 0))
    )
    assert known > 0.97
    assert still_known < 0.7


def test_added_non_digits_are_an_eleventh_class_without_validation(small: Mnist) -> None:
    more = add_to(small, 3, TrainConfig(num_validation=100))
    assert more.num_classes == NO_DIGIT + 1 == 11
    assert torch.equal(more.train_images[:2000], small.train_images)
    assert torch.equal(more.train_labels[:2000], small.train_labels)
    assert len(more.train_images) == len(more.train_labels) == 2000 + more.num_added
    added = more.train_labels[2000:]
    assert (added == NO_DIGIT).sum() == 3 * len(GENERATORS) + 3 * 3
    trained, _ = split_validation(small.train_labels, 100, 0)
    assert torch.equal(added[added != NO_DIGIT], small.train_labels[trained[:950]])
    assert more.train_images.dtype == torch.uint8
    assert (more.train_images.sum(1) > 255).all()
    assert torch.equal(more.test_images, small.test_images)
