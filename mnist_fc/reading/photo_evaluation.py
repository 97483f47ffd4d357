"""Measure how well digits are found and read in photographs: generated ones, by their conditions, and real ones."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from mnist_fc.data.mnist import DataError
from mnist_fc.data.photographs import CONDITIONS, Photograph, TrueDigit
from mnist_fc.drawing.errors import DrawingError
from mnist_fc.drawing.parts import Box
from mnist_fc.drawing.picture_files import load_picture
from mnist_fc.files import reason
from mnist_fc.reading.evaluation import Interval, writer_interval
from mnist_fc.reading.reader import FoundDigit, Reader

MIN_OVERLAP = 0.3
"""A digit is found if a box overlaps its own by this much, as intersection over union. Two digits in one box, or half a digit in
one, overlap by up to 0.5, so that they count as read wrong rather than as not found."""

NO_PIXELS = np.empty((0, 0, 4), np.uint8)

Outcome = Literal["right", "unsure", "wrong", "missed"]
OUTCOMES: tuple[Outcome, ...] = ("right", "unsure", "wrong", "missed")


@dataclass(frozen=True)
class PhotographOutcome:
    """How one photograph was read."""

    outcomes: tuple[Outcome, ...]
    """Of each digit in it: its reading was right, "?", or wrong, or nothing was found there."""
    false_digits: int
    """Digits read, neither "?" nor at the place of a digit."""
    is_right: bool
    """Whether exactly its digits were read, in reading order."""


@dataclass(frozen=True)
class PhotographScores:
    """The scores of the photographs with one condition. Shares are of digits, from 0 to 1, except for `pictures_right`."""

    name: str
    value: str
    num_pictures: int
    num_digits: int
    right: float | None
    """None without digits, as are the other shares."""
    right_interval: Interval | None
    """95% confidence interval by `writer_interval`; None for fewer than two writers. A typeface counts as a writer."""
    unsure: float | None
    wrong: float | None
    missed: float | None
    pictures_right: float
    """Share of pictures of which exactly the digits were read, in reading order."""
    false_digits: float
    """Digits read where there is none, per picture."""
    num_lines: int
    """Straight lines in the pictures: of ruled paper, of frames, and edges of the sheet."""


def match(truth: Sequence[TrueDigit], found: Sequence[FoundDigit]) -> PhotographOutcome:
    """Return how the digits of a photograph were read. The boxes that overlap most are matched first, each once."""
    overlaps = np.array([[overlap(digit.box, each.box) for each in found] for digit in truth]).reshape(len(truth), len(found))
    matches: dict[int, int] = {}
    while overlaps.size and overlaps.max() >= MIN_OVERLAP:
        index, place = divmod(int(overlaps.argmax()), len(found))
        matches[index] = place
        overlaps[index, :] = overlaps[:, place] = 0
    outcomes: list[Outcome] = []
    for index, digit in enumerate(truth):
        read = found[matches[index]].reading.digit if index in matches else None
        outcomes.append(
            "missed" if index not in matches else "unsure" if read is None else "right" if read == digit.label else "wrong"
        )
    is_false = [each.reading.digit is not None and place not in matches.values() for place, each in enumerate(found)]
    order = [matches[index] for index in sorted(matches)]
    is_right = set(outcomes) <= {"right"} and not any(is_false) and order == sorted(order)
    return PhotographOutcome(tuple(outcomes), sum(is_false), is_right)


def overlap(one: Box, other: Box) -> float:
    """Return the intersection of two boxes over their union, 0 to 1."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    if width <= 0 or height <= 0:
        return 0.0
    areas = sum(box.width * box.height for box in (one, other))
    return width * height / (areas - width * height)


def evaluate_photographs(reader: Reader, photographs: Iterable[Photograph]) -> list[PhotographScores]:
    """Let a network read photographs; return the scores by condition, those of each kind of writing first.

    Printed digits count only there: the other rows are of pen digits and of photographs without digits.
    """
    read = [(replace(photo, rgba=NO_PIXELS), match(photo.digits, _found(reader, photo.rgba))) for photo in photographs]
    with_pen = [each for each in read if each[0].conditions["writing"] in ("pen", "none")]
    scores = [_scores("writing", value, read) for value in CONDITIONS["writing"]]
    for name, values in CONDITIONS.items():
        if name != "writing":
            drawn = {photo.conditions[name] for photo, _ in with_pen}
            scores += [_scores(name, value, with_pen) for value in sorted(drawn, key=[*values, *sorted(drawn)].index)]
    return [each for each in scores if each.num_pictures]


def _scores(name: str, value: str, read: Iterable[tuple[Photograph, PhotographOutcome]]) -> PhotographScores:
    chosen = [(photo, outcome) for photo, outcome in read if photo.conditions[name] == value]
    outcomes = np.array([each for _, outcome in chosen for each in outcome.outcomes])
    writers = np.array([digit.writer for photo, _ in chosen for digit in photo.digits], np.int64)
    shares = {kind: float((outcomes == kind).mean()) if len(outcomes) else None for kind in OUTCOMES}
    return PhotographScores(
        name=name,
        value=value,
        num_pictures=len(chosen),
        num_digits=len(outcomes),
        right_interval=writer_interval(outcomes == "right", writers),
        pictures_right=float(np.mean([outcome.is_right for _, outcome in chosen])) if chosen else 0.0,
        false_digits=float(np.mean([outcome.false_digits for _, outcome in chosen])) if chosen else 0.0,
        num_lines=sum(photo.num_lines for photo, _ in chosen),
        **shares,
    )


@dataclass(frozen=True)
class PictureReading:
    """How a picture of one digit was read."""

    name: str
    digit: int
    """The right one."""
    read: str
    """The digits read in it, in reading order, each "?" if it was unsure."""

    @property
    def outcome(self) -> Outcome:
        """Right if one digit and only this was read; unsure or missed if none was read."""
        digits = self.read.replace("?", "")
        if digits:
            return "right" if digits == str(self.digit) else "wrong"
        return "unsure" if self.read else "missed"


def read_pictures(reader: Reader, folder: str | Path) -> list[PictureReading]:
    """Read the pictures of a folder, each of one digit, with which its name ends: `photo_7.jpg`.

    Raises DataError for a missing folder and for other names, and DrawingError for a file that is not a picture.
    """
    try:
        paths = sorted(path for path in Path(folder).iterdir() if path.is_file() and not path.name.startswith("."))
    except OSError as error:
        raise DataError(f"the pictures in {folder} cannot be read: {reason(error)}") from None
    readings = []
    for path in paths:
        if path.stem[-1:] not in set("0123456789"):
            raise DataError(f"{path} must end in the digit that it shows, like photo_7.jpg")
        digits = [found.reading.digit for found in _found(reader, load_picture(path))]
        read = "".join("?" if digit is None else str(digit) for digit in digits)
        readings.append(PictureReading(path.name, int(path.stem[-1]), read))
    if not readings:
        raise DataError(f"{folder} has no pictures")
    return readings


def _found(reader: Reader, rgba: np.ndarray) -> list[FoundDigit]:
    """Return what is found in a picture: nothing if it has too many marks."""
    try:
        return reader.read_picture(rgba)
    except DrawingError:
        return []


def share_interval(count: int, total: int) -> Interval:
    """Return the 95% confidence interval of a share of independent pictures (Wilson 1927)."""
    squared = 1.96**2
    middle = (count + squared / 2) / (total + squared)
    half_width = (squared * (count * (total - count) / total + squared / 4)) ** 0.5 / (total + squared)
    return max(0.0, middle - half_width), min(1.0, middle + half_width)
