"""Convert images and labels of any usual layout to MNIST's, where this is possible without doubt.

Images become uint8 (N, 28, 28), 0 for paper and 255 for ink; labels become int64 (N,), 0 to 9. Arrays whose meaning is a guess
raise DataError.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from mnist_fc.config import NUM_CLASSES
from mnist_fc.data.errors import DataError

MAX_IMAGES = 1_000_000
"""The most images in the training and in the test part."""

PARTS = ("train", "test")

ROWS = 4096
"""Images that are converted at a time, to bound the memory."""

Arrays = dict[str, np.ndarray]


class Scale(NamedTuple):
    """What pixels mean."""

    ends: tuple[float, float]
    """The value of paper and that of ink."""
    is_whole: bool
    """Whether all values are whole numbers."""


FRACTIONS, BYTES = Scale((0, 1), False), Scale((0, 255), True)

OTHER_SCALES = (Scale((-1, 1), False), Scale((0, 16), True), Scale((0, 65535), True))
"""Scales that are read where both parts have just these lowest and highest values. 0 to 16 is scikit-learn's."""


def convert(arrays: Arrays, source: object, parts: Sequence[str] = PARTS) -> Arrays:
    """Return the images and labels of `parts`, x_train, y_train and so on, in MNIST's layout. Errors name `source`, a file.

    Raises DataError for arrays that cannot be converted without doubt, or that do not go together.
    """
    images = {part: _as_squares(arrays[f"x_{part}"], f"{source}: x_{part}") for part in parts}
    for part in parts:
        if not 1 <= len(images[part]) <= MAX_IMAGES:
            raise DataError(f"{source}: {len(images[part]):,} {part} images; there must be 1 to {MAX_IMAGES:,}")
    scale = _find_scale(images, source)
    converted: Arrays = {}
    for part in parts:
        labels = _as_labels(arrays[f"y_{part}"], f"{source}: y_{part}")
        if len(images[part]) != len(labels):
            raise DataError(f"{source}: {len(images[part])} {part} images and {len(labels)} labels do not go together")
        converted |= {f"x_{part}": _as_bytes(images[part], scale), f"y_{part}": labels}
    return converted


def _as_squares(images: np.ndarray, name: str) -> np.ndarray:
    """Return images of any type as (N, 28, 28), from (N, 784) or with one channel."""
    if images.ndim == 4 and 1 in (images.shape[1], images.shape[3]):
        images = images[:, 0] if images.shape[1] == 1 else images[..., 0]
    if images.ndim == 2 and images.shape[1] == 784:
        images = images.reshape(-1, 28, 28)
    if images.ndim != 3 or images.shape[1:] != (28, 28):
        raise DataError(f"{name} has the shape {images.shape}; it must be (N, 28, 28) or (N, 784){_shape_advice(images.shape)}")
    if images.dtype.kind not in "uifb":
        raise DataError(f"{name} is {images.dtype}; it must be numbers, best uint8")
    return images


def _shape_advice(shape: tuple[int, ...]) -> str:
    """Return how images of another shape become (N, 28, 28), where that is known."""
    if shape[:1] == (784,) and len(shape) == 2:
        return "; give its transpose, x.T"
    if shape[:2] == (28, 28) and len(shape) == 3:
        return "; put the last axis first, with numpy.moveaxis(x, -1, 0)"
    if shape[1:3] == (28, 28) and len(shape) == 4:
        return "; give the mean of its channels"
    is_square = shape[1] == shape[2] if len(shape) == 3 else len(shape) == 2 and math.isqrt(shape[1]) ** 2 == shape[1] > 1
    return "; resize images of another size first, as the README of data shows" if is_square else ""


def _find_scale(images: Arrays, source: object) -> Scale:
    """Return the scale of the pixels, which both parts have in common. Raises DataError if there is none without doubt."""
    lows, highs, are_whole = dict.fromkeys(images, np.inf), dict.fromkeys(images, -np.inf), True
    for part in images:
        for rows in _in_blocks(images[part]):
            if rows.dtype.kind == "f" and not np.isfinite(rows).all():
                raise DataError(f"{source}: x_{part} has values that are not finite numbers")
            lows[part], highs[part] = min(lows[part], float(rows.min())), max(highs[part], float(rows.max()))
            are_whole = are_whole and (rows.dtype.kind != "f" or bool((rows == np.rint(rows)).all()))
    low, high = min(lows.values()), max(highs.values())
    for scale in OTHER_SCALES:
        if all((lows[part], highs[part]) == scale.ends for part in images) and (are_whole or not scale.is_whole):
            return scale
    if low < 0 or high > 255 or (high > 1 and not are_whole):
        if low >= 0 and min(highs.values()) <= 1 < high <= 255:
            runs = " and ".join(f"x_{part} from 0 to {highs[part]:.6g}" for part in images)
            raise DataError(f"{source}: the pixels run in {runs}; give both one scale, 0 to 1 or whole numbers to 255")
        raise DataError(f"{source}: the pixels run from {low:.6g} to {high:.6g}; they must be 0 to 1, or whole numbers to 255")
    for part in images:
        if lows[part] == highs[part]:
            raise DataError(f"{source}: every pixel of x_{part} is {highs[part]:.6g}, so its images are blank")
    return FRACTIONS if high <= 1 else BYTES


def _as_bytes(images: np.ndarray, scale: Scale) -> np.ndarray:
    """Return images (N, 28, 28) as uint8, 0 at the low and 255 at the high end of their scale."""
    if images.dtype == np.uint8 and scale is BYTES:
        return np.ascontiguousarray(images)
    low, high = scale.ends
    scaled = np.empty(images.shape, np.uint8)
    for rows, target in zip(_in_blocks(images), _in_blocks(scaled), strict=True):
        target[:] = np.rint((rows.astype(np.float64) - low) * (255 / (high - low)))
    return scaled


def _in_blocks(images: np.ndarray) -> Iterator[np.ndarray]:
    return (images[start : start + ROWS] for start in range(0, len(images), ROWS))


def _as_labels(labels: np.ndarray, name: str) -> np.ndarray:
    """Return labels as int64 (N,), from whole numbers of any type, a column of them, digits as text, or one-hot rows."""
    shape = f"{name} is {labels.dtype} {labels.shape}"
    if labels.ndim == 2 and labels.shape[1] == NUM_CLASSES and len(labels):
        return _from_one_hot(labels, shape)
    if labels.ndim == 2 and 1 in labels.shape:
        labels = labels.reshape(-1)
    if labels.ndim != 1:
        raise DataError(f"{shape}; it must be whole numbers (N,), or one-hot (N, {NUM_CLASSES})")
    if labels.dtype.kind in "US":
        labels = np.char.strip(labels)
        is_digit = np.isin(labels, np.arange(NUM_CLASSES).astype(labels.dtype.kind))
        if not is_digit.all():
            example = labels[~is_digit].tolist()[0][:20]
            raise DataError(f"{shape}, such as {example!r}; it must be the digits 0 to 9")
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "uifb" or (labels.dtype.kind == "f" and not (labels == np.rint(labels)).all()):
        raise DataError(f"{shape}; it must be whole numbers (N,), or one-hot (N, {NUM_CLASSES})")
    if len(labels) and not 0 <= labels.min() <= labels.max() < NUM_CLASSES:
        advice = "; if 10 stands for 0, give y % 10, and if each is one too high, y - 1" if labels.max() == NUM_CLASSES else ""
        raise DataError(f"{name} has labels from {labels.min()} to {labels.max()}; they must be 0 to {NUM_CLASSES - 1}{advice}")
    return labels.astype(np.int64)


def _from_one_hot(rows: np.ndarray, shape: str) -> np.ndarray:
    is_one = rows == 1
    if rows.dtype.kind not in "uifb" or not (is_one | (rows == 0)).all() or not (is_one.sum(1) == 1).all():
        raise DataError(f"{shape}; each row must be one-hot: a single 1 at the digit, else 0")
    labels: np.ndarray = is_one.argmax(1)
    return labels
