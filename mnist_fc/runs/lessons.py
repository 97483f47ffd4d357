"""What a run folder has besides if its network was taught a person's digits: the lesson, and how digits held out were read."""

import json
from pathlib import Path

from mnist_fc.data.errors import DataError
from mnist_fc.data.lesson import Lesson
from mnist_fc.files import atomic_write, read_bounded
from mnist_fc.records import HeldOutRecord
from mnist_fc.runs.layout import RunsError

LESSON_NAME, HELD_OUT_NAME = "lesson.npz", "held_out.json"

MAX_LESSON_BYTES = 80 * 2**20
"""The largest network's weights take 57 MB."""
MAX_HELD_OUT_BYTES = 100_000


def write_lesson(path: Path, lesson: Lesson) -> None:
    """Write the lesson of the run in `path`. Raises OSError."""
    content = lesson.to_npz()
    atomic_write(path / LESSON_NAME, lambda file: file.write(content))


def read_lesson(path: Path) -> Lesson | None:
    """Return the lesson of the run in `path`, None for a run without. Raises RunsError if it cannot be read."""
    try:
        return Lesson.from_npz(read_bounded(path / LESSON_NAME, MAX_LESSON_BYTES), LESSON_NAME)
    except FileNotFoundError:
        return None
    except (OSError, DataError) as error:
        raise RunsError(f"the run {path.name} cannot be read: {error}") from None


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
