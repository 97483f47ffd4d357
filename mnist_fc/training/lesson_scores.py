"""What a lesson gained and what it cost: the same digits read by the network before and after."""

from dataclasses import dataclass

import numpy as np
import torch

from mnist_fc.data import other_people
from mnist_fc.data.lesson import Lesson
from mnist_fc.network.mlp import MLP
from mnist_fc.percentages import in_percent
from mnist_fc.training.evaluation import evaluate
from mnist_fc.training.teaching import predictions


@dataclass(frozen=True)
class Score:
    """How many of some digits a network reads right, without the rule that answers "?"."""

    count: int
    before: int | None
    """By the network before the lesson; None if it began with random weights."""
    after: int | None
    """By the taught network, or by those that were not taught the digit in question; None if that was not measured."""

    @property
    def change(self) -> float | None:
        """The change of the share, from -1 to 1."""
        return None if self.before is None or self.after is None else (self.after - self.before) / self.count


@dataclass(frozen=True)
class LessonScores:
    """The scores of one lesson."""

    taught: Score
    """The digits taught."""
    held_out: Score
    """The same digits, each read by a network that was taught only others."""
    mnist: Score
    """MNIST's test images."""
    others: Score
    """Digits by other people."""


def lesson_scores(
    before: MLP | None, after: MLP, lesson: Lesson, held_out: tuple[int, ...] | None, images: torch.Tensor, labels: torch.Tensor
) -> LessonScores:
    """Return the scores of `lesson`, with `held_out` from its HeldOutRecord; `images` and `labels` are MNIST's test set.

    Raises DataError if the digits by other people cannot be read.
    """
    other_images, other_labels = other_people.load()

    def right(model: MLP | None, own: np.ndarray, expected: np.ndarray) -> int | None:
        return None if model is None else int((predictions(model, own) == expected).sum())

    def on_test(model: MLP | None) -> int | None:
        return None if model is None else round(evaluate(model, images, labels)[1] * len(labels))

    count = len(lesson.labels)
    own_before = right(before, lesson.images, lesson.labels)
    num_held_out = None if held_out is None else int((np.array(held_out) == lesson.labels).sum())
    return LessonScores(
        taught=Score(count, own_before, right(after, lesson.images, lesson.labels)),
        held_out=Score(count, own_before, num_held_out),
        mnist=Score(len(labels), on_test(before), on_test(after)),
        others=Score(len(other_labels), right(before, other_images, other_labels), right(after, other_images, other_labels)),
    )


def in_words(scores: LessonScores) -> str:
    """Return what was gained and what was lost, in two sentences."""
    own, mnist = scores.taught, scores.mnist
    if own.before is None or own.after is None or mnist.change is None:
        return f"It reads {_share(scores.taught)} of your digits, and {_share(mnist)} of MNIST's test digits."
    digits = "digit" if own.count == 1 else "digits"
    gained = f"It reads {own.after} of the {own.count} {digits} that it was taught; before, {own.before}."
    points = abs(100 * mnist.change)
    cost = "costs nothing" if mnist.change == 0 else f"{'gains' if mnist.change > 0 else 'costs'} {points:.2f} points"
    return f"{gained} That {cost} on MNIST."


def _share(score: Score) -> str:
    return "none" if score.after is None else in_percent(score.after / score.count)
