"""Measure what teaching a network one writer's digits gains on that writer's other digits, and costs on MNIST."""

from dataclasses import dataclass

import numpy as np

from mnist_fc.config import NUM_CLASSES
from mnist_fc.data.mnist import DataError, Mnist
from mnist_fc.data.my_digits import MyDigit
from mnist_fc.data.pen_digits import CONDITIONS, PenDigits, images
from mnist_fc.network.mlp import MLP, with_weights
from mnist_fc.reading.evaluation import Interval, mean_interval
from mnist_fc.records import EndRecord, WeightsRecord
from mnist_fc.training.evaluation import evaluate
from mnist_fc.training.teaching import lesson_for, predictions, settings, train_lesson

SEED = 20_000
"""The seed of the drawings, and of the choice of those that are taught."""

EXAMPLES = (1, 3, 6)
"""The numbers of examples of each digit that are taught."""


@dataclass(frozen=True)
class TeachingScores:
    """The mean over writers of what one network reads. Shares are from 0 to 1; intervals are 95% intervals over writers."""

    name: str
    num_examples: int
    """Digits of each kind that were taught."""
    num_writers: int
    num_digits: int
    """The other digits, over all writers, on which errors are measured."""
    error_before: float
    error_after: float
    error_change_interval: Interval | None
    """Of the difference of the errors, after less before; None for a single writer."""
    mnist_change: float
    """The change of the accuracy on MNIST's test images."""
    mnist_change_interval: Interval | None
    seconds: float
    """Of training steps, mean over writers."""

    @property
    def error_fall(self) -> float:
        """The share of the error that is gone."""
        return 1 - self.error_after / self.error_before if self.error_before else 0.0


def evaluate_teaching(
    name: str,
    model: MLP,
    digits: PenDigits,
    mnist: Mnist,
    num_examples: int,
    *,
    rehearses: bool = True,
    threads: int = 1,
) -> TeachingScores:
    """Teach `model` each writer's digits on their own, and return what is read before and after.

    Of each writer, `num_examples` of each digit, drawn at random, are taught as drawn under the natural condition; the others
    are read. Raises DataError if a writer has too few.
    """
    pixels = (images(digits, CONDITIONS["natural"], SEED) * 255).round().astype(np.uint8)
    config = settings(model.hidden_sizes, model.activation_name, threads=threads)
    accuracy = evaluate(model, mnist.test_images, mnist.test_labels)[1]
    before: list[float] = []
    after: list[float] = []
    changes, seconds, num_read = [], [], 0
    for writer in np.unique(digits.writers).tolist():
        taught = _examples(digits, writer, num_examples)
        others = (digits.writers == writer) & ~taught
        own = [
            MyDigit(int(label), image.reshape(28, 28)) for image, label in zip(pixels[taught], digits.labels[taught], strict=True)
        ]
        lesson = lesson_for(model, own, rehearses=rehearses)
        for record in train_lesson(config, mnist, lesson):
            match record:
                case WeightsRecord():
                    weights = record.weights
                case EndRecord(test_accuracy=float(test_accuracy)):
                    changes.append(test_accuracy - accuracy)
                    seconds.append(record.train_seconds)
        for network_, errors in ((model, before), (with_weights(weights, config), after)):
            errors.append(float((predictions(network_, pixels[others]) != digits.labels[others]).mean()))
        num_read += int(others.sum())
    return TeachingScores(
        name=name,
        num_examples=num_examples,
        num_writers=len(before),
        num_digits=num_read,
        error_before=float(np.mean(before)),
        error_after=float(np.mean(after)),
        error_change_interval=mean_interval(np.array(after) - np.array(before)),
        mnist_change=float(np.mean(changes)),
        mnist_change_interval=mean_interval(np.array(changes)),
        seconds=float(np.mean(seconds)),
    )


def _examples(digits: PenDigits, writer: int, count: int) -> np.ndarray:
    """Return which digits of `writer` are taught, bool (N,): `count` of each, the same in every call."""
    random = np.random.default_rng((SEED, writer))
    chosen = np.zeros(len(digits.labels), bool)
    for digit in range(NUM_CLASSES):
        places = np.flatnonzero((digits.writers == writer) & (digits.labels == digit))
        if len(places) <= count:
            raise DataError(f"writer {writer} has {len(places)} drawings of a {digit}; to teach {count}, more are needed")
        chosen[random.permutation(places)[:count]] = True
    return chosen
