"""exceptions.py: drawings like the taught ones are accepted or rejected as their writer said, and others as before."""

import cv2
import numpy as np
import pytest

from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.drawing.strokes import Stroke, render
from mnist_fc.reading.exceptions import LOG_ODDS_OF_DIGIT, LOG_ODDS_OF_OTHER, SIMILARITY, Exceptions
from mnist_fc.reading.reader import Reader
from mnist_fc.reading.rejection import MIN_LOG_ODDS, log_odds
from mnist_fc.training.train_state import TrainState
from tests.support.drawings import image_of

NOTHING = np.zeros((0, 784), np.uint8)

CROSSED = [Stroke(((60, 60), (220, 220)), 18), Stroke(((220, 60), (60, 220)), 18), Stroke(((140, 40), (140, 240)), 18)]
"""A star, which is rejected."""


@pytest.fixture(scope="module")
def shipped() -> Reader:
    return Reader.load()


def excepting(shipped: Reader, digits: np.ndarray = NOTHING, others: np.ndarray = NOTHING) -> Reader:
    """Return the shipped reader with exceptions, for images float32 (n, 28, 28)."""
    return Reader(shipped.model, Exceptions(as_pixels(digits), as_pixels(others)))


def as_pixels(images: np.ndarray) -> np.ndarray:
    """Return images as a lesson keeps them, uint8 (n, 784)."""
    scaled = images * 255 if images.dtype == np.float32 else images
    return scaled.round().astype(np.uint8).reshape(-1, 784)


def is_like_digit(exceptions: Exceptions, image: np.ndarray) -> bool:
    """Return whether the image is alike to a taught digit."""
    return bool(exceptions.applied(image[None], np.array([-50], np.float32))[0] == LOG_ODDS_OF_DIGIT)


def drawing(strokes: list[Stroke]) -> np.ndarray:
    return image_of(strokes)[None]


def moved(strokes: list[Stroke], by: float) -> list[Stroke]:
    """Return the strokes with their last one moved, which changes the normalized image a little."""
    *first, last = strokes
    return [*first, Stroke(tuple((x + by, y + by) for x, y in last.points), last.width)]


# A digit that was rejected


def test_a_rejected_drawing_taught_as_a_digit_is_read(shipped: Reader) -> None:
    assert shipped.read(render(CROSSED)).problem == "no digit"
    reading = excepting(shipped, digits=drawing(CROSSED)).read(render(CROSSED))
    assert reading.problem is None
    assert reading.digit is not None
    assert reading.log_odds == LOG_ODDS_OF_DIGIT >= MIN_LOG_ODDS


@pytest.mark.parametrize("by", [-6, 6])
def test_a_slightly_changed_copy_is_read_too(shipped: Reader, by: float) -> None:
    copy = moved(CROSSED, by)
    assert not np.array_equal(image_of(copy), image_of(CROSSED))
    assert shipped.read(render(copy)).problem == "no digit"
    assert excepting(shipped, digits=drawing(CROSSED)).read(render(copy)).problem is None


@pytest.mark.parametrize("shift", [(0, 1), (1, 0), (-1, 0), (0, -1)])
def test_a_copy_shifted_by_a_pixel_is_read_too(shipped: Reader, shift: tuple[int, int]) -> None:
    copy = np.roll(image_of(CROSSED), shift, (0, 1))
    assert shipped.read_image(copy).problem == "no digit"
    assert excepting(shipped, digits=drawing(CROSSED)).read_image(copy).problem is None


def test_only_the_rejection_changes(shipped: Reader) -> None:
    before, after = shipped.read(render(CROSSED)), excepting(shipped, digits=drawing(CROSSED)).read(render(CROSSED))
    assert after.probabilities == before.probabilities
    assert after.runner_up == before.runner_up
    assert np.array_equal(after.image, before.image)  # type: ignore[arg-type]  # neither is None


# Drawings that are not digits


def test_a_digit_taught_as_none_is_rejected(shipped: Reader, seven: list[Stroke]) -> None:
    assert shipped.read(render(seven)).digit == 7
    reading = excepting(shipped, others=drawing(seven)).read(render(seven))
    assert (reading.digit, reading.problem) == (None, "no digit")
    assert reading.log_odds == LOG_ODDS_OF_OTHER < MIN_LOG_ODDS


def test_a_copy_of_what_is_none_is_rejected_too(shipped: Reader, seven: list[Stroke]) -> None:
    reading = excepting(shipped, others=drawing(seven)).read(render(moved(seven, 5)))
    assert reading.problem == "no digit"


def test_taught_as_both_it_is_a_digit(shipped: Reader, seven: list[Stroke]) -> None:
    reading = excepting(shipped, digits=drawing(seven), others=drawing(seven)).read(render(seven))
    assert reading.digit == 7


def test_the_more_alike_of_both_decides(shipped: Reader, seven: list[Stroke]) -> None:
    near = moved(seven, 12)
    reader = excepting(shipped, digits=drawing(near), others=drawing(seven))
    assert is_like_digit(Exceptions(as_pixels(drawing(near)), NOTHING), image_of(seven))
    assert reader.read(render(seven)).problem == "no digit"
    assert reader.read(render(near)).digit == 7


# Everything else


def test_other_digits_are_read_as_before(shipped: Reader, small: Mnist) -> None:
    images = (small.test_images[:200] / 255).numpy().reshape(-1, 28, 28)
    reader = excepting(shipped, digits=drawing(CROSSED), others=drawing(CROSSED[:2]))
    for before, after in zip(shipped.read_images(images), reader.read_images(images), strict=True):
        assert (after.digit, after.probabilities, after.log_odds) == (before.digit, before.probabilities, before.log_odds)


def test_few_digits_of_others_are_like_a_taught_one(mnist: Mnist) -> None:
    """A mean over one taught image of each digit: some are like most ones, and others like no other image."""
    images = (mnist.train_images[:2000] / 255).numpy().reshape(-1, 28, 28)
    before = log_odds(images)
    shares = []
    for digit in range(10):
        taught = mnist.test_images[mnist.test_labels == digit][:1].numpy()
        shares.append((Exceptions(NOTHING, taught).applied(images, before) != before).mean())
    assert 0 < np.mean(shares) < 0.03


def test_log_odds_beyond_the_exceptions_stay(seven: list[Stroke]) -> None:
    images = drawing(seven)
    as_digit, as_other = Exceptions(as_pixels(images), NOTHING), Exceptions(NOTHING, as_pixels(images))
    assert as_digit.applied(images, np.array([7.5], np.float32)) == 7.5
    assert as_other.applied(images, np.array([-20.5], np.float32)) == -20.5


def test_similarity_is_the_cosine_of_blurred_images(small: Mnist) -> None:
    images = (small.train_images[:300] / 255).numpy().reshape(-1, 28, 28)
    first = images[:1]
    rejected = np.full(300, -50, np.float32)
    found = Exceptions(as_pixels(first), NOTHING).applied(images, rejected) == LOG_ODDS_OF_DIGIT
    blurred = np.stack([cv2.GaussianBlur(image * 255, (0, 0), 1.5).ravel() for image in images])
    cosines = blurred @ blurred[0] / np.linalg.norm(blurred, axis=1) / np.linalg.norm(blurred[0])
    clear = np.abs(cosines - SIMILARITY) > 1e-3
    assert np.array_equal(found[clear], cosines[clear] >= SIMILARITY)
    assert found[0]


# Empty arrays


def test_without_exceptions_nothing_changes(small: Mnist) -> None:
    images = (small.test_images[:50] / 255).numpy().reshape(-1, 28, 28)
    odds = log_odds(images)
    before = odds.copy()
    after = Exceptions(NOTHING, NOTHING).applied(images, odds)
    assert np.array_equal(after, before)
    assert after is not odds


def test_no_images_give_no_log_odds(seven: list[Stroke]) -> None:
    exceptions = Exceptions(as_pixels(drawing(seven)), as_pixels(drawing(CROSSED)))
    assert exceptions.applied(np.zeros((0, 28, 28), np.float32), np.zeros(0, np.float32)).shape == (0,)


def test_a_blank_image_is_like_nothing() -> None:
    blank = np.zeros((1, 28, 28), np.float32)
    exceptions = Exceptions(as_pixels(blank), as_pixels(blank))
    assert exceptions.applied(blank, np.array([-3.0], np.float32)) == -3.0


def test_a_runs_reader_takes_exceptions(small: Mnist) -> None:
    config = TrainConfig(hidden_sizes=(16,), num_validation=0, threads=1)
    weights = TrainState(config, small).weights()
    exceptions = Exceptions(as_pixels(drawing(CROSSED)), NOTHING)
    assert Reader.from_weights(weights, config).read(render(CROSSED)).problem == "no digit"
    assert Reader.from_weights(weights, config, exceptions).read(render(CROSSED)).problem is None
