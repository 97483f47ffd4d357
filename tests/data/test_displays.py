"""displays.py: the digits of displays look like what they are, differ from each other, and the seed decides them."""

import numpy as np
import pytest

from mnist_fc.data import displays
from mnist_fc.data.mnist import Mnist
from mnist_fc.reading.reader import Reader


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray]:
    return displays.digits(0)


def test_each_digit_is_drawn_equally_often(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = drawn
    assert images.shape == (displays.NUM_DIGITS, 28, 28)
    assert images.dtype == np.float32
    assert np.bincount(labels).tolist() == [displays.NUM_DRAWINGS] * 10


def test_no_two_digits_are_the_same(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    images = drawn[0].reshape(displays.NUM_DIGITS, -1)
    assert len(np.unique(images, axis=0)) == displays.NUM_DIGITS


def test_digits_of_displays_are_read(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = drawn
    read = [reading.digit for reading in Reader.load().read_images(images)]
    assert np.mean(np.array(read) == labels) > 0.97


def test_seed_decides_the_digits(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    assert np.array_equal(displays.digits(0)[0], drawn[0])
    assert not np.array_equal(displays.digits(1)[0], drawn[0])


def test_digits_are_added_for_training_alone(mnist: Mnist) -> None:
    more = displays.add_to(mnist)
    assert more.num_added == mnist.num_added + displays.NUM_DIGITS
    assert more.train_images[: -displays.NUM_DIGITS].equal(mnist.train_images)
    assert more.train_labels[-displays.NUM_DIGITS :].bincount().tolist() == [displays.NUM_DRAWINGS] * 10
