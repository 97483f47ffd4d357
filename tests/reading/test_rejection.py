"""Digits are accepted, and everything else is rejected, at the rates that the README states."""

import numpy as np
import pytest

from mnist_fc.data.mnist import Mnist
from mnist_fc.data.non_digits import GENERATORS, generate, scramble_digits
from mnist_fc.reading.evaluation import SCRIBBLES, scribbles
from mnist_fc.reading.rejection import MIN_LOG_ODDS, log_odds


def share_rejected(images: np.ndarray) -> float:
    return float((log_odds(images) < MIN_LOG_ODDS).mean())


def test_at_most_one_percent_of_test_digits_is_rejected(mnist: Mnist) -> None:
    assert share_rejected((mnist.test_images / 255).numpy().reshape(-1, 28, 28)) <= 0.01


@pytest.mark.integration
@pytest.mark.parametrize("kind", SCRIBBLES)
def test_most_scribbles_of_unseen_kinds_are_rejected(kind: str) -> None:
    assert share_rejected(scribbles(SCRIBBLES[kind], 400)) >= 0.9


@pytest.mark.integration
@pytest.mark.parametrize("kind", GENERATORS)
def test_most_new_images_of_every_trained_kind_are_rejected(kind: str) -> None:
    assert share_rejected(generate(400, 31_337, (kind,))) >= 0.8


def test_most_scrambled_digits_are_rejected(mnist: Mnist) -> None:
    whole = (mnist.test_images[:500] / 255).numpy().reshape(-1, 28, 28)
    assert share_rejected(scramble_digits(whole, 1)) >= 0.8


def test_blank_and_full_images_are_rejected() -> None:
    assert share_rejected(np.stack([np.zeros((28, 28), np.float32), np.ones((28, 28), np.float32)])) == 1


def test_log_odds_do_not_depend_on_the_batch(mnist: Mnist) -> None:
    images = (mnist.test_images[:50] / 255).numpy().reshape(-1, 28, 28)
    together = log_odds(images)
    assert together.shape == (50,)
    alone = np.concatenate([log_odds(image[None]) for image in images])
    assert together == pytest.approx(alone, abs=1e-3)
