"""Convert images and labels of any usual layout to MNIST's, where this is possible without doubt.

Images become uint8 (N, 28, 28), 0 for paper and 255 for ink; labels become int64 (N,), 0 to 9. Arrays whose meaning is a guess
raise DataError.
"""

from collections.abc import Iterator

import numpy as np

from mnist_fc.config import NUM_CLASSES
from mnist_fc.data.errors import DataError

MAX_IMAGES = 1_000_000
"""The most images in the training and in the test part."""

PARTS = ("train", "test")

ROWS = 4096
"""Images that are converted at a time, to bound the memory."""

Arrays = dict[str, np.ndarray]


def convert(arrays: Arrays, source: object) -> Arrays:
    """Return x_train, y_train, x_test and y_test in MNIST's layout. `source` is the file or folder, for errors.

    Raises DataError for arrays that cannot be converted without doubt, or that do not go together.
    """
    images = {part: _as_squares(arrays[f"x_{part}"], f"{source}: x_{part}") for part in PARTS}
    for part in PARTS:
        if not 1 <= len(images[part]) <= MAX_IMAGES:
            raise DataError(f"{source}: {len(images[part]):,} {part} images; there must be 1 to {MAX_IMAGES:,}")
    factor = _factor(images, source)
    converted: Arrays = {}
    for part in PARTS:
        labels = _as_labels(arrays[f"y_{part}"], f"{source}: y_{part}")
        if len(images[part]) != len(labels):
            raise DataError(f"{source}: {len(images[part])} {part} images and {len(labels)} labels do not go together")
        converted |= {f"x_{part}": _as_bytes(images[part], factor), f"y_{part}": labels}
    return converted


def _as_squares(images: np.ndarray, name: str) -> np.ndarray:
    """Return images of any type as (N, 28, 28), from (N, 784) or with one channel."""
    if images.ndim == 4 and 1 in (images.shape[1], images.shape[3]):
        images = images[:, 0] if images.shape[1] == 1 else images[..., 0]
    if images.ndim == 2 and images.shape[1] == 784:
        images = images.reshape(-1, 28, 28)
    if images.ndim != 3 or images.shape[1:] != (28, 28):
        raise DataError(f"{name} has the shape {images.shape}; it must be (N, 28, 28) or (N, 784)")
    if images.dtype.kind not in "uifb":
        raise DataError(f"{name} is {images.dtype}; it must be numbers, best uint8")
    return images


def _factor(images: Arrays, source: object) -> int:
    """Return what pixels are multiplied by: 255 if they run from 0 to 1, 1 if from 0 to 255. Both parts have one scale."""
    low, are_whole, highs = 0.0, True, dict.fromkeys(PARTS, 0.0)
    for part in PARTS:
        for rows in _in_blocks(images[part]):
            if rows.dtype.kind == "f" and not np.isfinite(rows).all():
                raise DataError(f"{source}: x_{part} has values that are not finite numbers")
            low, highs[part] = min(low, float(rows.min())), max(highs[part], float(rows.max()))
            are_whole = are_whole and (rows.dtype.kind != "f" or bool((rows == np.rint(rows)).all()))
    high = max(highs.values())
    if low < 0 or high > 255 or (high > 1 and not are_whole):
        if low == 0 and min(highs.values()) <= 1 < high <= 255:
            runs = " and ".join(f"x_{part} from 0 to {highs[part]:.6g}" for part in PARTS)
            raise DataError(f"{source}: the pixels run in {runs}; give both one scale, 0 to 1 or whole numbers to 255")
        raise DataError(f"{source}: the pixels run from {low:.6g} to {high:.6g}; they must be 0 to 1, or whole numbers to 255")
    return 255 if high <= 1 else 1


def _as_bytes(images: np.ndarray, factor: int) -> np.ndarray:
    """Return images (N, 28, 28) times `factor`, rounded, as uint8."""
    if images.dtype == np.uint8 and factor == 1:
        return np.ascontiguousarray(images)
    scaled = np.empty(images.shape, np.uint8)
    for rows, target in zip(_in_blocks(images), _in_blocks(scaled), strict=True):
        target[:] = np.rint(rows.astype(np.float64) * factor)
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
        is_digit = np.char.str_len(labels) == 1
        if not (is_digit & np.char.isdigit(labels)).all():
            raise DataError(f"{shape}; it must be the digits 0 to 9")
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "uifb" or (labels.dtype.kind == "f" and not (labels == np.rint(labels)).all()):
        raise DataError(f"{shape}; it must be whole numbers (N,), or one-hot (N, {NUM_CLASSES})")
    if len(labels) and not 0 <= labels.min() <= labels.max() < NUM_CLASSES:
        raise DataError(f"{name} has labels from {labels.min()} to {labels.max()}; they must be 0 to {NUM_CLASSES - 1}")
    return labels.astype(np.int64)


def _from_one_hot(rows: np.ndarray, shape: str) -> np.ndarray:
    is_one = rows == 1
    if rows.dtype.kind not in "uifb" or not (is_one | (rows == 0)).all() or not (is_one.sum(1) == 1).all():
        raise DataError(f"{shape}; each row must be one-hot: a single 1 at the digit, else 0")
    labels: np.ndarray = is_one.argmax(1)
    return labels
