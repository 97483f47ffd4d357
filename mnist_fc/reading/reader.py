"""Read drawings: each becomes a digit with its probabilities and runner-up, "not a digit", or a number of several digits."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from mnist_fc.config import NUM_CLASSES, TrainConfig
from mnist_fc.drawing.intensity import TINY_SIDE
from mnist_fc.drawing.normalize import extract_ink, normalize, segment_digits
from mnist_fc.drawing.parts import Box, box_around
from mnist_fc.drawing.photographs import Mark, find_marks
from mnist_fc.drawing.pictures import check_rgba, has_even_light
from mnist_fc.network.checkpoint import SHIPPED
from mnist_fc.network.checkpoint import load as load_checkpoint
from mnist_fc.network.mlp import MLP, with_weights
from mnist_fc.percentages import in_percent
from mnist_fc.reading import touching
from mnist_fc.reading.doubt import doubtful, is_too_unsure, is_writing
from mnist_fc.reading.exceptions import Exceptions
from mnist_fc.reading.rejection import MIN_LOG_ODDS, log_odds
from mnist_fc.reading.rejection import networks as rejection_networks
from mnist_fc.reading.spacing import spaces
from mnist_fc.records import Weights

CLOSE_PROBABILITY = 0.1
"""A runner-up with at least this probability may be the right digit."""

MIN_INK_SIZE = 0.06
"""As a share of the canvas's shorter side. Smaller ink is a dot, which would look like anything once it is enlarged."""

MAX_DIGITS = 12
"""The longest number on the canvas; there is no room for the pictures and answers of more."""

MAX_DRAWING_SIDE, MIN_DRAWING_LOG_ODDS = 600, 4.0
"""The least log odds of a picture as a drawing if its parts were read as digits, too, or if its longest side has more pixels.
In a large picture a frame may look like a 0, and a line that was doubted stays doubtful."""


@dataclass(frozen=True)
class Reading:
    """The result of reading a drawing with a network.

    A drawing that is not a digit has no `digit`. An empty canvas has no image either, and its probabilities are zeros. They
    are zeros too if the network's values overflow, as those of a diverging run do.
    """

    digit: int | None
    probabilities: tuple[float, ...]
    """Those of the digits 0 to 9, given that it is one of them."""
    runner_up: int | None
    """The digit with the second highest probability."""
    image: np.ndarray | None
    """The image that the network saw: float32 (28, 28), from 0 (paper) to 1 (ink)."""
    problem: Literal["empty", "no digit", "too many digits", "overflow"] | None = None
    """Why no digit was read."""
    log_odds: float = -math.inf
    """The log odds that the image is a digit at all, by the rejection rule."""

    @property
    def pixels(self) -> np.ndarray | None:
        """The image in whole numbers: uint8 (28, 28), 0 paper to 255 ink."""
        return None if self.image is None else np.rint(self.image * 255).astype(np.uint8)

    @property
    def is_close(self) -> bool:
        """Whether the runner-up may be the right digit."""
        return self.runner_up is not None and self.probabilities[self.runner_up] >= CLOSE_PROBABILITY


EMPTY_READING = Reading(digit=None, probabilities=(0.0,) * NUM_CLASSES, runner_up=None, image=None, problem="empty")


@dataclass(frozen=True)
class FoundDigit:
    """Something in a picture that may be a digit, and its reading."""

    box: Box
    """Where it is, in pixels of the picture."""
    line: int
    """The number of the line that it stands in, counted from 0 at the top."""
    after_point: bool
    """Whether a decimal point or comma stands between it and the digit to its left."""
    after_sign: bool
    """Whether a dash or an equals sign does."""
    image: np.ndarray
    """It alone, normalized: float32 (28, 28), from 0 (paper) to 1 (ink)."""
    reading: Reading
    """How it is read. It has no `digit` if it is unlike any, or doubtful."""
    is_doubtful: bool = False
    """Whether it is likelier a letter, a line, an edge or noise than the digit as which it was read."""


class Reader:
    """Reads drawings with one network, whose weights must not change, and with the `exceptions` that it was taught."""

    def __init__(self, model: MLP, exceptions: Exceptions | None = None) -> None:
        self.model = model.eval()
        self._exceptions = exceptions
        rejection_networks()  # so that a missing file is reported now and not at the first drawing

    @classmethod
    def load(cls, checkpoint: str | Path | None = None) -> "Reader":
        """Return a reader with the network of a checkpoint, or with the shipped one.

        Raises CheckpointError and ConfigError as `checkpoint.load` does.
        """
        return cls(load_checkpoint(checkpoint or SHIPPED))

    @classmethod
    def from_weights(cls, weights: Weights, config: TrainConfig, exceptions: Exceptions | None = None) -> "Reader":
        """Return a reader with the weights of a run with `config`. It shares their memory, so they must not change."""
        return cls(with_weights(weights, config), exceptions)

    def read(self, rgba: np.ndarray) -> Reading:
        """Read a drawing, uint8 (H, W, 4), as one digit. Raises DrawingError for any other array."""
        drawn = extract_ink(rgba)
        return EMPTY_READING if drawn is None else self._read_ink([drawn])[0]

    def read_number(self, rgba: np.ndarray) -> list[Reading]:
        """Read a drawing, uint8 (H, W, 4), as a number, from left to right, or as one digit.

        It is a number if each of its parts is likelier a digit than the whole is, or if the whole is not a digit and at least
        half of its parts are. A number of more than MAX_DIGITS is one reading with the problem "too many digits". Raises
        DrawingError for any other array.
        """
        drawn = extract_ink(rgba)
        return [EMPTY_READING] if drawn is None else [reading for _, reading in self._read_parts(drawn)]

    def _read_parts(self, drawn: np.ndarray) -> list[tuple[np.ndarray, Reading]]:
        """Read ink, float32 (H, W), as a number or as one digit; return the ink of each digit with its reading."""
        parts = segment_digits(drawn)
        if len(parts) < 2:
            return [(drawn, self._read_ink([drawn])[0])]
        whole, *readings = self._read_ink([drawn, *parts])
        num_digits = sum(reading.digit is not None for reading in readings)
        is_number = min(reading.log_odds for reading in readings) > whole.log_odds
        if whole.problem == "no digit":
            is_number = num_digits * 2 >= len(readings)
        if is_number and len(parts) > MAX_DIGITS:
            return [(drawn, whole if whole.problem == "overflow" else replace(whole, digit=None, problem="too many digits"))]
        return list(zip(parts, readings, strict=True)) if is_number else [(drawn, whole)]

    def read_picture(self, rgba: np.ndarray) -> list[FoundDigit]:
        """Find and read the digits in a picture, uint8 (H, W, 4): line by line, and from left to right within a line.

        A tiny picture is one digit, without the margin of a photograph, if it can be read so. An evenly lit one is read as a
        drawing if that is surer. Raises DrawingError for any other array, and for a picture with too many marks.
        """
        check_rgba(rgba)
        if max(rgba.shape[:2]) <= TINY_SIDE and (whole := self.read(rgba)).digit is not None and whole.image is not None:
            return [FoundDigit(Box(0, 0, rgba.shape[1], rgba.shape[0]), 0, False, False, whole.image, whole)]
        read = [each for mark in find_marks(rgba) for each in self._read_mark(mark)]
        marks, readings = [mark for mark, _ in read], [reading for _, reading in read]
        kept = is_writing(marks, [reading.digit for reading in readings], [reading.log_odds for reading in readings])
        marks, readings = list(compress(marks, kept)), list(compress(readings, kept))
        longest_side = max(rgba.shape[:2])
        odds = [reading.log_odds for reading in readings]
        doubts = doubtful(marks, [reading.digit for reading in readings], odds, longest_side)
        num_kept = sum(reading.digit is not None and not doubt for reading, doubt in zip(readings, doubts, strict=True))
        doubts = [
            doubt or is_too_unsure(mark, reading.log_odds, longest_side, is_alone=num_kept == 1)
            for mark, reading, doubt in zip(marks, readings, doubts, strict=True)
        ]
        found = [
            FoundDigit(
                mark.box,
                mark.line,
                mark.after_point,
                mark.after_sign,
                reading.image,
                unsure(reading) if is_doubtful else reading,
                is_doubtful,
            )
            for mark, reading, is_doubtful in zip(marks, readings, doubts, strict=True)
            if reading.image is not None
        ]
        return self._as_drawing(rgba, found) or found

    def _as_drawing(self, rgba: np.ndarray, found: Sequence[FoundDigit]) -> list[FoundDigit]:
        """Return what an evenly lit picture surely is if it is read as a drawing, given what was found in it; else nothing.

        A drawing with a thin pen, or one that fills the picture, may fall into parts of which none or two look like digits.
        """
        num_digits = sum(each.reading.digit is not None for each in found)
        is_large = max(rgba.shape[:2]) > MAX_DRAWING_SIDE
        is_doubtful = is_large and any(each.is_doubtful for each in found)
        drawn = extract_ink(rgba) if num_digits <= 2 and not is_doubtful and has_even_light(rgba) else None
        if drawn is None:
            return []
        read = self._read_parts(drawn)
        least = MIN_DRAWING_LOG_ODDS if is_large or num_digits else -math.inf
        if (num_digits and len(read) > 1) or min(reading.log_odds for _, reading in read) < least:
            return []
        scale = rgba.shape[0] / drawn.shape[0]
        digits = [
            FoundDigit(box_around(ink > 0.5).scaled(scale), 0, False, False, reading.image, reading)
            for ink, reading in read
            if reading.image is not None
        ]
        return digits if any(each.reading.digit is not None for each in digits) else []

    def _read_mark(self, mark: Mark) -> list[tuple[Mark, Reading]]:
        """Read a mark as a digit, or as two that touch."""
        reading = self.read(mark.drawing)
        if reading.problem == "no digit" and touching.may_be_two(mark):
            for pair in touching.halves(mark):
                readings = [self.read(half.drawing) for half in pair]
                are_bars = all(half.digit == 1 for half in readings)  # as of an N or H
                if min(half.log_odds for half in readings) >= touching.MIN_LOG_ODDS and not are_bars:
                    return list(zip((pair[0], replace(pair[1], after_point=False, after_sign=False)), readings, strict=True))
        return [(mark, reading)]

    def read_again(self, found: Sequence[FoundDigit]) -> list[Reading]:
        """Read digits that were found in a picture, perhaps by another network; what was doubtful stays so."""
        if not found:
            return []
        readings = self.read_images(np.stack([each.image for each in found]))
        return [unsure(reading) if each.is_doubtful else reading for each, reading in zip(found, readings, strict=True)]

    def _read_ink(self, drawings: list[np.ndarray]) -> list[Reading]:
        """Read ink, each float32 (H, W), as one digit each."""
        normalized = [normalize(drawn) for drawn in drawings]
        readings = self.read_images(np.stack([steps.image for steps in normalized]))
        return [
            unsure(reading) if steps.size < MIN_INK_SIZE * min(drawn.shape) else reading
            for drawn, steps, reading in zip(drawings, normalized, readings, strict=True)
        ]

    def read_image(self, image: np.ndarray) -> Reading:
        """Read an image that is already normalized, float32 (28, 28), from 0 (paper) to 1 (ink)."""
        return self.read_images(image[None])[0]

    @torch.inference_mode()
    def read_images(self, images: np.ndarray) -> list[Reading]:
        """Read images that are already normalized, float32 (N, 28, 28), from 0 (paper) to 1 (ink)."""
        all_logits = self.model(torch.from_numpy(images.reshape(len(images), -1)))
        odds = log_odds(images)
        if self._exceptions:
            odds = self._exceptions.applied(images, odds)
        return [_reading(*each) for each in zip(images, all_logits, odds.tolist(), strict=True)]


def _reading(image: np.ndarray, logits: torch.Tensor, odds: float) -> Reading:
    if not logits.isfinite().all():
        return replace(EMPTY_READING, image=image, problem="overflow", log_odds=odds)
    runner_up, digit = logits.argsort()[-2:].tolist()
    reading = Reading(digit, tuple(logits.softmax(0).tolist()), runner_up, image, log_odds=odds)
    return reading if odds >= MIN_LOG_ODDS else replace(reading, digit=None, problem="no digit")


def unsure(reading: Reading) -> Reading:
    """Return a reading without its digit."""
    return replace(reading, digit=None, problem=reading.problem or "no digit")


def number(readings: Sequence[Reading]) -> str:
    """Return the number read: "?" for each part that is not a digit, and an empty text for an empty canvas."""
    return "".join("" if r.problem == "empty" else "?" if r.digit is None else str(r.digit) for r in readings)


def numbers(found: Sequence[FoundDigit], readings: Sequence[Reading]) -> list[str]:
    """Return what each line of a picture says, such as "2.40 17", given the digits found in it and their readings, in order."""
    lines: dict[int, list[tuple[FoundDigit, Reading]]] = {}
    for each, reading in zip(found, readings, strict=True):
        lines.setdefault(each.line, []).append((each, reading))
    return [_in_line(line) for line in lines.values()]


def summary(lines: Sequence[str]) -> str:
    """Return what a picture's lines say as one text, without the lines in which nothing is read as a digit."""
    return ", ".join(line for line in lines if any(map(str.isdigit, line)))


def _in_line(line: Sequence[tuple[FoundDigit, Reading]]) -> str:
    said, before = "", ""
    for (each, reading), has_space in zip(line, spaces([each.box for each, _ in line]), strict=True):
        is_full_stop = before == "?" and has_space
        if each.after_point and not is_full_stop:
            said += "."
        elif has_space or each.after_sign:
            said += " "
        before = number([reading])
        said += before
    return said.lstrip(" .")


LEAST_PROBABILITY = 1e-9
"""A network is never certain: a probability that rounding has brought closer to 0 or 1 counts as this far from it."""


def percent(probability: float) -> str:
    """Return a probability in percent with one decimal, never as 0% or 100%, although its float may be exactly 0 or 1."""
    return in_percent(min(max(probability, LEAST_PROBABILITY), 1 - LEAST_PROBABILITY))
