"""A person's own digits, each with its label: the file they are kept in, and what can be wrong with it."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from mnist_fc.config import NUM_CLASSES
from mnist_fc.data.arrays import convert
from mnist_fc.data.errors import DAMAGE, DataError
from mnist_fc.data.file_kinds import HEAD_BYTES
from mnist_fc.drawing.errors import DrawingError
from mnist_fc.drawing.strokes import Stroke, check_size
from mnist_fc.file_kinds import common_kind
from mnist_fc.files import read_bounded, reason

MAX_DIGITS = 500
"""The most digits of one person."""

MAX_BYTES = 16 * 2**20
"""The size of a file of MAX_DIGITS digits with more strokes than a hand draws."""

MAX_UNZIPPED_BYTES = 2 * MAX_BYTES
"""Of all arrays. A small file may unzip to many gigabytes, and points take more memory than in the file."""

FILE_NAME = "my_digits.npz"


@dataclass(frozen=True, eq=False)
class MyDigit:
    """A drawing and what its writer says it is."""

    label: int | None
    """0 to 9; None for "not a digit"."""
    image: np.ndarray
    """As a network sees it: uint8 (28, 28), 0 paper to 255 ink."""
    strokes: tuple[Stroke, ...] = ()
    """How it was drawn; empty if it was part of a number or a picture."""

    def __post_init__(self) -> None:
        if self.image.shape != (28, 28) or self.image.dtype != np.uint8:
            raise DataError(f"the digit is {self.image.dtype} {self.image.shape}; it must be uint8 (28, 28)")
        if self.label is not None and self.label not in range(NUM_CLASSES):
            raise DataError(f"the label is {self.label}; it must be a digit from 0 to 9")
        if not self.image.any():
            raise DataError("nothing is drawn")


def images_and_labels(digits: Sequence[MyDigit]) -> tuple[np.ndarray, np.ndarray]:
    """Return the images, uint8 (n, 784), and labels, int64 (n,), of those that are digits."""
    chosen = [digit for digit in digits if digit.label is not None]
    images = np.array([digit.image.reshape(784) for digit in chosen], np.uint8).reshape(-1, 784)
    return images, np.array([digit.label for digit in chosen], np.int64)


def not_digits(digits: Sequence[MyDigit]) -> np.ndarray:
    """Return the images of those that are not digits, uint8 (m, 784)."""
    return _stack([digit for digit in digits if digit.label is None]).reshape(-1, 784)


def to_npz(digits: Sequence[MyDigit]) -> bytes:
    """Return an .npz with the digits in MNIST's layout, x_train (n, 28, 28) and y_train (n,), and their strokes.

    Digit i has the strokes digit_end[i] to digit_end[i + 1], stroke j is points[stroke_end[j] : stroke_end[j + 1]] (x to the
    right, y down, on a canvas of 280 pixels) and `width[j]` wide. What is not a digit is in x_none.
    """
    labelled = [digit for digit in digits if digit.label is not None]
    others = [digit for digit in digits if digit.label is None]
    strokes = [stroke for digit in labelled for stroke in digit.strokes]
    content = io.BytesIO()
    np.savez_compressed(
        content,
        x_train=_stack(labelled),
        y_train=np.array([digit.label for digit in labelled], np.uint8),
        x_none=_stack(others),
        points=np.array([point for stroke in strokes for point in stroke.points], np.float32).reshape(-1, 2),
        width=np.array([stroke.width for stroke in strokes], np.float32),
        stroke_end=np.cumsum([0, *(len(stroke.points) for stroke in strokes)]),
        digit_end=np.cumsum([0, *(len(digit.strokes) for digit in labelled)]),
    )
    return content.getvalue()


def load(path: str | Path) -> list[MyDigit]:
    """Read a file that `to_npz` made. Raises DataError for a file that is missing, damaged or something else."""
    try:
        content = read_bounded(Path(path), MAX_BYTES)
    except FileNotFoundError:
        raise DataError(f"the file {path} does not exist") from None
    except OSError as error:
        raise DataError(f"the file {path} cannot be read: {reason(error)}") from None
    return from_npz(content, str(path))


def from_npz(content: bytes, name: str) -> list[MyDigit]:
    """Read the content of a file that `to_npz` made; error messages call it `name`. Nothing is unpickled. Raises DataError.

    Its strokes may be missing, so the .npz of any program will do if it has x_train and y_train in a layout that `convert` knows.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            if sum(member.file_size for member in file.zip.infolist()) > MAX_UNZIPPED_BYTES:
                raise DataError(f"{name} has more than {MAX_UNZIPPED_BYTES // 2**20} MB unzipped; {MAX_DIGITS} digits have less")
            arrays = {key: np.asarray(file[key]) for key in file.files}  # other members are bytes
    except DataError:
        raise
    except (OSError, *DAMAGE):
        if kind := common_kind(content[:HEAD_BYTES]):
            raise DataError(f"{name} is {kind[0]}; {kind[1]}") from None
        raise DataError(f"{name} is damaged, or not an .npz of digits") from None
    if missing := [key for key in ("x_train", "y_train") if key not in arrays]:
        raise DataError(f"{name} has no array named {' or '.join(missing)}; it must have x_train and y_train as MNIST has")
    images, labels = arrays["x_train"], arrays["y_train"]
    others = arrays.get("x_none", np.zeros((0, 28, 28), np.uint8))
    if others.dtype != np.uint8 or others.shape[1:] != (28, 28):
        raise DataError(f"{name}: x_none is {others.dtype} {others.shape}; it must be uint8 (n, 28, 28)")
    count = len(np.atleast_1d(images)) + len(others)
    if count > MAX_DIGITS:
        raise DataError(f"{name} has {count:,} digits; at most {MAX_DIGITS} are kept")
    if images.size or labels.size:
        images, labels = convert({"x_train": images, "y_train": labels}, name, ["train"]).values()
    try:
        strokes = _strokes(arrays, len(images))
        digits = [MyDigit(int(y), image, drawn) for image, y, drawn in zip(images, labels, strokes, strict=True)]
        return [*digits, *(MyDigit(None, image) for image in others)]
    except (DataError, DrawingError) as error:
        raise DataError(f"{name}: {error}") from None
    except (LookupError, *DAMAGE):
        raise DataError(f"{name} has strokes that do not belong to its digits") from None


def _stack(digits: Sequence[MyDigit]) -> np.ndarray:
    return np.array([digit.image for digit in digits], np.uint8).reshape(-1, 28, 28)


def _strokes(arrays: dict[str, np.ndarray], count: int) -> list[tuple[Stroke, ...]]:
    """Return the strokes of `count` digits; none for a file without strokes. Raises what wrong arrays raise."""
    if "points" not in arrays:
        return [()] * count
    points, widths = arrays["points"].astype(np.float64), arrays["width"].astype(np.float64)
    stroke_end, digit_end = arrays["stroke_end"].astype(np.int64), arrays["digit_end"].astype(np.int64)
    is_whole = len(digit_end) == count + 1 and len(stroke_end) == len(widths) + 1 == digit_end[-1] + 1
    is_whole = is_whole and points.shape == (stroke_end[-1], 2) and np.isfinite(points).all() and np.isfinite(widths).all()
    if not is_whole or stroke_end[0] or digit_end[0] or (np.diff(stroke_end) < 1).any() or (np.diff(digit_end) < 0).any():
        raise IndexError
    strokes = [
        Stroke(tuple(map(tuple, points[start:end].tolist())), float(width))
        for start, end, width in zip(stroke_end[:-1], stroke_end[1:], widths, strict=True)
    ]
    result = [tuple(strokes[start:end]) for start, end in pairwise(digit_end)]
    for drawn in result:
        check_size(drawn)
    return result
