"""Digits that people wrote with a pen on a tablet, redrawn on the page's canvas in any size, place and brush.

The digits: E. Alpaydin, F. Alimoglu, "Pen-Based Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998,
doi 10.24432/C5MG6K, CC BY 4.0. They are not shipped with the program.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from mnist_fc.data.errors import DAMAGE
from mnist_fc.data.file_kinds import HEAD_BYTES
from mnist_fc.data.mnist import DataError, Mnist, to_pixels
from mnist_fc.drawing.normalize import normalize_all
from mnist_fc.drawing.strokes import CANVAS_SIZE, place, render, rotation
from mnist_fc.file_kinds import common_kind
from mnist_fc.files import read_bounded, reason

HELD_OUT = 5
"""One in this many writers is held out of training, for evaluation."""

NUM_DRAWINGS = 4
"""The number of times that each digit is drawn for training, each time with another size, place, brush and slant."""

MAX_COORDINATE = 1e6

MAX_BYTES = 200 * 2**20


@dataclass(frozen=True)
class PenDigits:
    """Digits as strokes, with their writers."""

    strokes: list[list[np.ndarray]]
    """The strokes of each digit, each float32 (points, 2): x to the right, y down, in any unit."""
    labels: np.ndarray
    """int64 (N,), 0 to 9."""
    writers: np.ndarray
    """The number of each digit's writer, int64 (N,)."""

    def select(self, chosen: np.ndarray) -> "PenDigits":
        """Return the digits where `chosen`, bool (N,), is True."""
        strokes = [digit for digit, is_chosen in zip(self.strokes, chosen, strict=True) if is_chosen]
        return PenDigits(strokes, self.labels[chosen], self.writers[chosen])

    def split(self) -> tuple["PenDigits", "PenDigits"]:
        """Split into digits to train on and those of held-out writers: every fifth of the sorted writers, so always the same."""
        held_out = np.isin(self.writers, np.unique(self.writers)[HELD_OUT - 1 :: HELD_OUT])
        return self.select(~held_out), self.select(held_out)


@dataclass(frozen=True)
class Condition:
    """The way in which digits are drawn on the canvas; values are drawn uniformly from each pair's interval."""

    size: tuple[float, float] = (0.6, 0.75)
    """The digit's longest side as a share of the canvas's side."""
    brush: tuple[float, float] = (20, 20)
    """Width in pixels of the canvas, which has 280."""
    rotation: float = 0.0
    """Degrees in each direction."""
    place: str = "middle"
    """"middle", a "corner", or "anywhere"."""


CONDITIONS = {
    "natural": Condition(),
    "corner": Condition(size=(0.3, 0.3), brush=(12, 12), place="corner"),
    "huge": Condition(size=(0.9, 0.9)),
    "thin": Condition(brush=(6, 6)),
    "thick": Condition(brush=(34, 34)),
    "rotated": Condition(rotation=15),
    "mixed": Condition(size=(0.3, 0.9), brush=(6, 34), rotation=15, place="anywhere"),
}


def load(path: str | Path) -> PenDigits:
    """Read a UNIPEN file of the UCI repository (`pendigits-orig.tra`, unpacked), or the same as arrays in an .npz.

    The .npz has points (P, 2), x to the right and y up; stroke_end, offsets into points; digit_end, offsets into strokes;
    label and writer, one per digit. Raises DataError for a file that is missing, damaged or something else.
    """
    path = Path(path)
    try:
        content = read_bounded(path, MAX_BYTES)
    except FileNotFoundError:
        raise DataError(f"the pen strokes {path} do not exist") from None
    except OSError as error:
        raise DataError(f"the pen strokes {path} cannot be read: {reason(error)}") from None
    if content[:2] == b"\x1f\x9d":
        raise DataError(f"{path} is compressed; uncompress it first: gzip -d {path.name}")
    if kind := common_kind(content[:HEAD_BYTES]):
        raise DataError(f"{path} is {kind[0]}; {kind[1]}")
    digits = _read_npz(content, path) if content[:2] == b"PK" else _read_unipen(content, path)
    if not digits.strokes or not all(digit and all(len(stroke) for stroke in digit) for digit in digits.strokes):
        raise DataError(f"{path} has digits without strokes, or none at all")
    if digits.labels.min() < 0 or digits.labels.max() > 9:
        raise DataError(f"{path} has labels from {digits.labels.min()} to {digits.labels.max()}; they must be 0 to 9")
    return digits


def _read_npz(content: bytes, path: Path) -> PenDigits:
    names = ("points", "stroke_end", "digit_end", "label", "writer")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            if missing := [name for name in names if name not in file]:
                raise DataError(f"{path} has no array named {', '.join(missing)}")
            points, stroke_end, digit_end, labels, writers = (file[name] for name in names)
        whole = (stroke_end, digit_end, labels, writers)
        if points.ndim != 2 or any(array.ndim != 1 or array.dtype.kind not in "iu" for array in whole):
            raise DataError(f"{path} holds arrays that are not pen strokes")
        if not (points.dtype.kind in "iuf" and np.abs(points.astype(float)).max(initial=0) < MAX_COORDINATE):
            raise DataError(f"{path} has points that are not numbers, or not on a tablet")
        if stroke_end[-1] != len(points) or digit_end[-1] != len(stroke_end) - 1 or stroke_end[0] or digit_end[0]:
            raise DataError(f"{path} has offsets that do not reach from the first to the last point")
        points = points.astype(np.float32) * np.array([1, -1], np.float32)
        strokes = np.split(points, stroke_end[1:-1])
        digits = [strokes[start:end] for start, end in pairwise(digit_end)]
        if not len(digits) == len(labels) == len(writers):
            raise DataError(f"{path} has {len(digits)} digits, {len(labels)} labels and {len(writers)} writers")
    except (OSError, IndexError, *DAMAGE) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is damaged or does not hold pen strokes") from None
    return PenDigits(digits, labels.astype(np.int64), writers.astype(np.int64))


def _read_unipen(content: bytes, path: Path) -> PenDigits:
    """Parse UNIPEN text (Guyon et al. 1994). Raises DataError.

    `.SEGMENT DIGIT 0-1 ? "4"` starts a digit, `.COMMENT 4 12 224` names its writer, 12, and points are between `.PEN_DOWN` and
    `.PEN_UP`.
    """
    text = content.decode("latin-1")
    strokes: list[list[np.ndarray]] = []
    labels, writers = [], []
    for segment in re.split(r"^ *\.SEGMENT ", text, flags=re.MULTILINE)[1:]:
        label, comment = re.search(r'"(\d)"', segment), re.search(r"\.COMMENT\s+\d\s+(\d{1,9})\b", segment)
        name = segment.partition("\n")[0][:80]
        if label is None or comment is None:
            raise DataError(f"{path} has a digit without a label or without a writer: {name}")
        downs = re.findall(r"\.PEN_DOWN([-\d\s.]*?)\.PEN_UP", segment)
        try:
            points = [np.array(down.split(), np.float32).reshape(-1, 2) * np.array([1, -1], np.float32) for down in downs]
        except ValueError:
            raise DataError(f"{path} has points that are not pairs of numbers in {name}") from None
        if len(downs) != len(re.findall(r"\.PEN_DOWN\b", segment)):
            raise DataError(f"{path} has a stroke that does not end, or with something else in it, in {name}")
        if not all(np.abs(stroke).max(initial=0) < MAX_COORDINATE for stroke in points):
            raise DataError(f"{path} has points that are not on a tablet in {name}")
        strokes.append(points)
        labels.append(int(label[1]))
        writers.append(int(comment[1]))
    if not strokes:
        raise DataError(f"{path} is not a file of pen strokes: neither an .npz nor text with a line that starts with .SEGMENT")
    return PenDigits(strokes, np.array(labels, np.int64), np.array(writers, np.int64))


def draw(digit: Sequence[np.ndarray], condition: Condition, random: np.random.Generator) -> np.ndarray:
    """Draw a digit's strokes on the canvas at random within `condition`; return uint8 (280, 280, 4), black on transparent."""
    turn = rotation(random.uniform(-condition.rotation, condition.rotation))
    turned = [stroke @ turn for stroke in digit]
    size = random.uniform(*condition.size) * CANVAS_SIZE
    width = random.uniform(*condition.brush)
    share = {"middle": random.uniform(0.3, 0.7, 2), "corner": random.integers(0, 2, 2), "anywhere": random.uniform(0, 1, 2)}
    return render(place(turned, size, width, share[condition.place]))


def images(digits: PenDigits, condition: Condition, seed: int) -> np.ndarray:
    """Return the digits drawn and normalized, float32 (N, 784)."""
    random = np.random.default_rng(seed)
    return normalize_all(draw(digit, condition, random) for digit in digits.strokes).reshape(-1, 784)


def add_to(mnist: Mnist, digits: PenDigits, seed: int = 0) -> Mnist:
    """Return MNIST with each digit drawn NUM_DRAWINGS times among its training images; none is used for validation."""
    drawn = np.concatenate([images(digits, CONDITIONS["mixed"], seed + i) for i in range(NUM_DRAWINGS)])
    return mnist.with_added(to_pixels(drawn), torch.from_numpy(np.tile(digits.labels, NUM_DRAWINGS)))
