"""lesson_scores.py: what is counted before and after a lesson, and the sentence about it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mnist_fc.data import other_people
from mnist_fc.data.lesson import Lesson
from mnist_fc.data.mnist import Mnist
from mnist_fc.network import checkpoint
from mnist_fc.network.mlp import MLP
from mnist_fc.training.lesson_scores import LessonScores, Score, in_words, lesson_scores
from tests.support.lessons import model_before

EVERY_THIRD = np.array([0, 3, 3, 6, 3, 3], np.int64)


def always(digit: int) -> MLP:
    """Return a network that reads everything as `digit`."""
    model = MLP((4,)).requires_grad_(False)
    for tensor in model.state_dict().values():
        tensor.zero_()
    list(model.parameters())[-1][digit] = 1
    return model.eval()


@pytest.fixture(scope="module")
def lesson(small: Mnist) -> Lesson:
    """Return six digits, of which four are called 3."""
    return Lesson(small.test_images[:6].numpy(), EVERY_THIRD, {})


# Counts


def test_counts_are_those_of_known_networks(small: Mnist, lesson: Lesson) -> None:
    scores = lesson_scores(always(0), always(3), lesson, (3, 3, 3, 6, 1, 0), small.test_images, small.test_labels)
    num_zeros, num_threes = (int((small.test_labels == digit).sum()) for digit in (0, 3))
    assert scores.taught == Score(6, 1, 4)
    assert scores.held_out == Score(6, 1, 3)
    assert scores.mnist == Score(500, num_zeros, num_threes)
    assert scores.others == Score(200, 20, 20)


def test_a_network_that_reads_them_all_gets_them_all(small: Mnist) -> None:
    model = model_before(small)
    images = small.test_images[:50]
    own = Lesson(images.numpy(), model(images / 255).argmax(1).numpy(), {})
    scores = lesson_scores(model, model, own, None, small.test_images, small.test_labels)
    assert scores.taught == Score(50, 50, 50)
    assert scores.taught.change == 0
    assert scores.mnist.before == (model(small.test_images / 255).argmax(1) == small.test_labels).sum()


def test_what_was_not_measured_is_none(small: Mnist, lesson: Lesson) -> None:
    scores = lesson_scores(None, always(3), lesson, None, small.test_images, small.test_labels)
    assert scores.taught == Score(6, None, 4)
    assert scores.held_out == Score(6, None, None)
    assert scores.mnist.before is None
    assert scores.others == Score(200, None, 20)


@pytest.mark.parametrize(
    ("before", "after", "change"), [(1, 3, 0.5), (3, 1, -0.5), (2, 2, 0.0), (None, 2, None), (2, None, None)]
)
def test_change_is_that_of_the_share(before: int | None, after: int | None, change: float | None) -> None:
    assert Score(4, before, after).change == change


def test_other_peoples_digits_are_twenty_of_each() -> None:
    images, labels = other_people.load()
    assert (str(images.dtype), images.shape) == ("uint8", (200, 784))
    assert np.array_equal(np.bincount(labels), np.full(10, 20))
    assert len(np.unique(images, axis=0)) == 200
    with torch.inference_mode():
        read = checkpoint.load(checkpoint.SHIPPED)(torch.from_numpy(images).float() / 255).argmax(1)
    assert (read.numpy() == labels).mean() > 0.9


# Words

SCORES = LessonScores(Score(10, 2, 9), Score(10, 2, 7), Score(10_000, 9_800, 9_785), Score(200, 180, 170))


def test_words_say_what_was_gained_and_lost() -> None:
    assert in_words(SCORES) == "It reads 9 of the 10 digits that it was taught; before, 2. That costs 0.15 points on MNIST."


@pytest.mark.parametrize(
    ("after", "words"), [(9_812, "That gains 0.12 points on MNIST."), (9_800, "That costs nothing on MNIST.")]
)
def test_words_name_a_gain_and_no_change(after: int, words: str) -> None:
    assert in_words(replace(SCORES, mnist=Score(10_000, 9_800, after))).endswith(words)


def test_words_about_a_new_network_compare_nothing() -> None:
    scores = LessonScores(Score(8, None, 6), Score(8, None, None), Score(10_000, None, 1_234), Score(200, None, 50))
    assert in_words(scores) == "It reads 75.0% of your digits, and 12.3% of MNIST's test digits."
