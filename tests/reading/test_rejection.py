"""rejection.py: digits are digits, and what is none is refused, at the rates that the README states."""

import numpy as np
import pytest

from mnist_fc.data.mnist import Mnist
from mnist_fc.data.non_digits import GENERATORS, generate, scramble_digits
from mnist_fc.reading.evaluation import SCRIBBLES, scribbles
from mnist_fc.reading.rejection import MIN_LOG_ODDS, log_odds


def share_refused(images: np.ndarray) -> float:
    return float((log_odds(images) < MIN_LOG_ODDS).mean())


def test_at_most_one_in_a_hundred_of_all_test_digits_is_refused(mnist: Mnist) -> None:
    assert share_refused((mnist.test_images / 255).numpy().reshape(-1, 28, 28)) <= 0.01


@pytest.mark.parametrize("kind", SCRIBBLES)
def test_nine_in_ten_scribbles_of_kinds_never_trained_on_are_refused(kind: str) -> None:
    assert share_refused(scribbles(SCRIBBLES[kind], 400)) >= 0.9


@pytest.mark.parametrize("kind", GENERATORS)
def test_most_of_every_kind_trained_on_is_refused_when_made_anew(kind: str) -> None:
    assert share_refused(generate(150, 31_337, (kind,))) >= 0.8


def test_digits_taken_apart_are_mostly_refused(mnist: Mnist) -> None:
    whole = (mnist.test_images[:500] / 255).numpy().reshape(-1, 28, 28)
    assert share_refused(scramble_digits(whole, 1)) >= 0.8


def test_blank_and_full_images_are_no_digits() -> None:
    assert share_refused(np.stack([np.zeros((28, 28), np.float32), np.ones((28, 28), np.float32)])) == 1


def test_there_is_one_number_an_image_and_neighbours_do_not_matter(mnist: Mnist) -> None:
    images = (mnist.test_images[:50] / 255).numpy().reshape(-1, 28, 28)
    together = log_odds(images)
    assert together.shape == (50,)
    alone = np.concatenate([log_odds(image[None]) for image in images])
    assert together == pytest.approx(alone, abs=1e-3)
