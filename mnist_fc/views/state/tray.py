"""My digits: the drawings that this session's person has labelled, as the page keeps them in the browser's tab."""

import base64
import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import streamlit as st

from mnist_fc.data.errors import DataError
from mnist_fc.data.my_digits import MAX_DIGITS, MyDigit
from mnist_fc.drawing.errors import DrawingError
from mnist_fc.drawing.strokes import Stroke, check_size

MAX_PAST = 100
"""Changes that can be undone."""

NOT_DIGITS = "the browser sent something that is not a tray of digits"


class Tray:
    """The digits of one session, in the order in which they were labelled."""

    def __init__(self) -> None:
        self.session = secrets.token_hex(8)
        """A name by which the browser tells this tray from that of an earlier session."""
        self.revision = 0
        """The number of changes."""
        self.digits: tuple[MyDigit, ...] = ()
        self._past: list[tuple[MyDigit, ...]] = []
        self._is_open = False
        """Whether those of an earlier session have been taken over."""

    @property
    def can_undo(self) -> bool:
        """Whether there is a change to undo."""
        return bool(self._past)

    @property
    def num_digits(self) -> int:
        """The number of those that are digits."""
        return sum(digit.label is not None for digit in self.digits)

    def find(self, image: np.ndarray) -> int | None:
        """Return the place of the digit with this image, uint8 (28, 28); None if there is none."""
        return next((place for place, digit in enumerate(self.digits) if np.array_equal(digit.image, image)), None)

    def label_of(self, image: np.ndarray | None) -> int | Literal["none"] | None:
        """Return the label of the digit with this image, "none" for "not a digit"; None if it has none."""
        place = None if image is None else self.find(image)
        if place is None:
            return None
        label = self.digits[place].label
        return "none" if label is None else label

    def add(self, *new: MyDigit) -> None:
        """Add digits; one with the image of another replaces that. Raises DataError if there are too many."""
        digits = list(self.digits)
        for digit in new:
            if (place := self.find(digit.image)) is not None:
                digits[place] = digit
            else:
                digits.append(digit)
        if len(digits) > MAX_DIGITS:
            raise DataError(f"My digits is full: it holds {MAX_DIGITS}; delete some first")
        self._change(digits)

    def relabel(self, place: int, label: int | None) -> None:
        """Give the digit at `place` another label; None for "not a digit"."""
        self._change([replace(digit, label=label) if i == place else digit for i, digit in enumerate(self.digits)])

    def delete(self, place: int | None) -> None:
        """Remove the digit at `place`, or all."""
        self._change([] if place is None else [digit for i, digit in enumerate(self.digits) if i != place])

    def undo(self) -> None:
        """Take the last change back."""
        if self._past:
            self.digits = self._past.pop()
            self.revision += 1

    def open(self, digits: Sequence[MyDigit]) -> None:
        """Put the digits of an earlier session before those of this one, once."""
        if not self._is_open:
            self._is_open = True
            own = [digit for digit in digits if self.find(digit.image) is None]
            self._change([*own, *self.digits][:MAX_DIGITS])

    def _change(self, digits: Sequence[MyDigit]) -> None:
        self._past = [*self._past, self.digits][-MAX_PAST:]
        self.digits = tuple(digits)
        self.revision += 1


def tray() -> Tray:
    """Return this session's tray."""
    found: Tray = st.session_state.setdefault("tray", Tray())
    return found


def to_data(digits: Sequence[MyDigit]) -> list[Any]:
    """Return digits as plain JSON: for each its label, its pixels in base 64, and its strokes as a width and coordinates."""
    return [
        [
            digit.label,
            base64.b64encode(digit.image.tobytes()).decode(),
            [[stroke.width, *(round(value, 1) for point in stroke.points for value in point)] for stroke in digit.strokes],
        ]
        for digit in digits
    ]


def from_data(data: Any) -> list[MyDigit]:
    """Return the digits in what a browser sent, which is not trusted. Raises DataError."""
    if not isinstance(data, list) or len(data) > MAX_DIGITS:
        raise DataError(NOT_DIGITS)
    try:
        return [_digit(*each) for each in data]
    except (TypeError, ValueError, OverflowError, DrawingError):  # DataError is a ValueError
        raise DataError(NOT_DIGITS) from None


def _digit(label: Any, pixels: Any, strokes: Any) -> MyDigit:
    if not (label is None or type(label) is int):
        raise DataError(NOT_DIGITS)
    image = np.frombuffer(base64.b64decode(pixels, validate=True), np.uint8).reshape(28, 28)
    drawn = tuple(_stroke(*map(float, stroke)) for stroke in strokes)
    check_size(drawn)
    return MyDigit(label, image, drawn)


def _stroke(width: float, *values: float) -> Stroke:
    if not values or len(values) % 2 or not np.isfinite([width, *values]).all():
        raise DataError(NOT_DIGITS)
    return Stroke(tuple(zip(values[::2], values[1::2], strict=True)), width)
