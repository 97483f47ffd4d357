"""What may be read in the drawing's place: a test digit, or a digit found in a picture."""

from dataclasses import dataclass, field
from typing import Protocol

import torch

from mnist_fc.reading.reader import FoundDigit, Reader, Reading
from mnist_fc.views.state import shared


class Cover(Protocol):
    """What covers the drawing on the canvas. It is equal to another that shows the same digit."""

    @property
    def noun(self) -> str:
        """What it is, within a sentence."""

    @property
    def label(self) -> int | None:
        """The digit that it is meant to be; None if nobody has said."""

    def read(self, reader: Reader) -> Reading:
        """Return how it is read."""

    def describe(self, digit: int | None) -> str:
        """Return where it comes from as HTML, for the space under the answer; `digit` is what it is read as."""


@dataclass(frozen=True)
class TestDigit:
    """An image of the test set, by its index."""

    index: int

    @property
    def noun(self) -> str:
        """See `Cover`."""
        return "the test digit"

    @property
    def label(self) -> int:
        """See `Cover`."""
        return int(shared.mnist().test_labels[self.index])

    def read(self, reader: Reader) -> Reading:
        """See `Cover`."""
        return reader.read_image(shared.mnist().test_images[self.index].view(28, 28).to(torch.float32).div(255).numpy())

    def describe(self, digit: int | None) -> str:
        """See `Cover`."""
        right = "✓" if self.label == digit else "✗"
        return f"Test digit {self.index:,},<br>labelled <b>{self.label}</b> {right}"


@dataclass(frozen=True)
class PictureDigit:
    """A digit found in a picture, by the picture's id and its place there, counted from 0."""

    picture: str
    place: int
    found: FoundDigit = field(compare=False)

    @property
    def noun(self) -> str:
        """See `Cover`."""
        return "the digit in the picture"

    @property
    def label(self) -> None:
        """See `Cover`."""
        return None

    def read(self, reader: Reader) -> Reading:
        """See `Cover`."""
        return reader.read_again([self.found])[0]

    def describe(self, digit: int | None) -> str:  # noqa: ARG002 -- part of the protocol
        """See `Cover`."""
        return f"Digit {self.place + 1} of the picture"
