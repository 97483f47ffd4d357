"""Teach a network a person's digits, and find how well digits are read that were left out of the lesson."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch

from mnist_fc.config import DEFAULT_THREADS, Activation, TrainConfig
from mnist_fc.data.lesson import Lesson
from mnist_fc.data.mnist import Mnist
from mnist_fc.data.my_digits import MyDigit, images_and_labels, not_digits
from mnist_fc.network.mlp import MLP, with_weights
from mnist_fc.records import EndRecord, HeldOutRecord, Record, WeightsRecord
from mnist_fc.training.engine import never_stop, train
from mnist_fc.training.train_state import TrainState

LARGE = 500_000
"""Networks with more parameters than this learn in smaller steps, since they fit MNIST more closely already."""

SHARE, SHARE_OF_LARGE = 0.3, 0.1
"""The share of the images that are the digits taught, and that of large networks."""


def settings(
    hidden_sizes: tuple[int, ...], activation: Activation = "relu", *, threads: int = DEFAULT_THREADS, seed: int = 0
) -> TrainConfig:
    """Return the settings with which a network with these layers is taught; README.md says how they were chosen."""
    config = TrainConfig(
        hidden_sizes=hidden_sizes,
        activation=activation,
        dropout=0.2,
        learning_rate=5e-3,
        schedule="one_cycle",
        batch_size=256,
        num_epochs=6,
        label_smoothing=0.02,
        augmentation="elastic",
        num_validation=0,
        threads=threads,
        seed=seed,
    )
    if not _is_large(config.num_parameters):
        return config
    return config.replace(dropout=0.1, learning_rate=1e-4, schedule="cosine", num_epochs=4, label_smoothing=0.0)


def lesson_for(
    model: MLP | None, digits: Sequence[MyDigit], *, rehearses: bool = True, parent: str = "", known: Lesson | None = None
) -> Lesson:
    """Return the lesson that teaches `model` these digits, or a new network; `known` is what it was taught last.

    See Lesson for the rest. Raises DataError.
    """
    images, labels = images_and_labels(digits)
    start = {name: tensor.numpy() for name, tensor in model.state_copy().items()} if model else None
    share = SHARE_OF_LARGE if model and _is_large(model.num_parameters) else SHARE
    seen = {image.tobytes() for image in known.images} if known and model else set()
    num_known = sum(image.tobytes() in seen for image in images)
    return Lesson(images, labels, start, rehearses, share, parent, not_digits(digits), num_known)


def _is_large(num_parameters: int) -> bool:
    return num_parameters > LARGE


def teach(
    config: TrainConfig,
    mnist: Mnist,
    lesson: Lesson,
    on_step: Callable[[TrainState], bool] = never_stop,
    state: Mapping[str, np.ndarray] | None = None,
    on_held_out_step: Callable[[TrainState], bool] = never_stop,
) -> Iterator[Record]:
    """Train as `train` does, on `lesson`. A run that is done yields a HeldOutRecord before its end, if there is one.

    The validation results of its epochs are those of the digits taught, as they were drawn. `on_held_out_step` is called before
    each step of the networks that digits are held out of: it has their states, not the run's. Raises what `train` raises.
    """
    for record in train_lesson(config, mnist, lesson, on_step, state):
        if isinstance(record, EndRecord) and record.outcome == "done":
            digits = read_held_out(config, mnist, lesson, on_held_out_step)
            if digits is not None:
                yield HeldOutRecord(record.step, record.epoch, digits)
        yield record


def train_lesson(
    config: TrainConfig,
    mnist: Mnist,
    lesson: Lesson,
    on_step: Callable[[TrainState], bool] = never_stop,
    state: Mapping[str, np.ndarray] | None = None,
) -> Iterator[Record]:
    """Train on `lesson` and yield the records of `train`."""
    return train(config, lesson.data(mnist, config.seed), on_step, state, start=lesson.start)


def read_held_out(
    config: TrainConfig, mnist: Mnist, lesson: Lesson, on_step: Callable[[TrainState], bool] = never_stop
) -> tuple[int, ...] | None:
    """Return the answer for each digit of a network that was taught only the others; None if the lesson has no folds.

    The digits are divided into `lesson.num_folds` parts, each with as many of every digit as possible, and each part is held out
    of one lesson. None, too, if `on_step` ends a training.
    """
    count, num_folds = len(lesson.labels), lesson.num_folds
    if not num_folds:
        return None
    folds = np.empty(count, np.int64)
    folds[np.argsort(lesson.labels, kind="stable")] = np.arange(count) % num_folds
    digits = np.empty(count, np.int64)
    for fold in range(num_folds):
        held_out = folds == fold
        others = lesson.only(~held_out)
        for record in train_lesson(config, mnist, others, on_step):
            match record:
                case WeightsRecord():
                    weights = record.weights
                case EndRecord(outcome=outcome) if outcome != "done":
                    return None
        digits[held_out] = predictions(with_weights(weights, config), lesson.images[held_out])
    return tuple(digits.tolist())


@torch.inference_mode()
def predictions(model: MLP, images: np.ndarray) -> np.ndarray:
    """Return the most probable digit of each image, int64 (n,), for `images` uint8 (n, 784)."""
    digits: np.ndarray = model(torch.from_numpy(images).float().mul_(1 / 255)).argmax(1).numpy()
    return digits
