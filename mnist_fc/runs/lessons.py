"""The extra files of a run that taught a person's digits: the lesson, and the answers for digits left out of it."""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from mnist_fc.data.errors import DataError
from mnist_fc.data.lesson import Lesson
from mnist_fc.files import atomic_write, read_bounded
from mnist_fc.records import HeldOutRecord, Weights
from mnist_fc.runs.layout import RunsError

LESSON_NAME, HELD_OUT_NAME = "lesson.npz", "held_out.json"

TAUGHT = "taught"
"""Stands in the id of a run that teaches, in place of a preset."""

MAX_LESSON_BYTES = 80 * 2**20
"""The largest network's weights take 57 MB."""
MAX_HELD_OUT_BYTES = 100_000


def write_lesson(path: Path, lesson: Lesson) -> None:
    """Write the lesson of the run in `path`. Raises OSError."""
    content = lesson.to_npz()
    atomic_write(path / LESSON_NAME, lambda file: file.write(content))


def read_lesson(path: Path, layer_sizes: Sequence[int]) -> Lesson | None:
    """Return the lesson of the run in `path`, whose network has these layers; None for a run without.

    Raises RunsError if it cannot be read, or is of a network with other layers.
    """
    try:
        lesson = Lesson.from_npz(read_bounded(path / LESSON_NAME, MAX_LESSON_BYTES), LESSON_NAME)
        if lesson.start is not None:
            _check(lesson.start, layer_sizes)
        return lesson
    except FileNotFoundError:
        return None
    except (OSError, DataError) as error:
        raise RunsError(f"the run {path.name} cannot be read: {error}") from None


def _check(start: Weights, layer_sizes: Sequence[int]) -> None:
    """Raise DataError unless these are finite weights of a network with these layers."""
    expected: dict[str, tuple[int, ...]] = {}
    for number, (num_in, num_out) in enumerate(pairwise(layer_sizes), start=1):
        expected |= {f"fc{number}.weight": (num_out, num_in), f"fc{number}.bias": (num_out,)}
    if {name: array.shape for name, array in start.items()} != expected:
        raise DataError(f"{LESSON_NAME} has the weights of a network with other layers")
    if not all(array.dtype == np.float32 and np.isfinite(array).all() for array in start.values()):
        raise DataError(f"{LESSON_NAME} has weights that are not finite float32 numbers")


def write_held_out(path: Path, record: HeldOutRecord) -> None:
    """Write how the digits of the lesson were read that were held out. Raises OSError."""
    atomic_write(path / HELD_OUT_NAME, lambda file: file.write(json.dumps(record.digits).encode()))


def read_held_out(path: Path, lesson: Lesson | None) -> tuple[int, ...] | None:
    """Return what `write_held_out` wrote; None if it is not there, or does not belong to `lesson`."""
    if lesson is None:
        return None
    try:
        digits = json.loads(read_bounded(path / HELD_OUT_NAME, MAX_HELD_OUT_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    is_whole = isinstance(digits, list) and len(digits) == len(lesson.labels)
    return tuple(digits) if is_whole and all(type(digit) is int and 0 <= digit <= 9 for digit in digits) else None
