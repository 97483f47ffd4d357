"""A lesson: the digits that a network is taught, the weights that it starts from, and what is rehearsed meanwhile."""

import io
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from mnist_fc.data.errors import DAMAGE, DataError
from mnist_fc.data.mnist import Mnist
from mnist_fc.data.my_digits import MAX_DIGITS
from mnist_fc.records import Weights

IMAGES_PER_EPOCH = 20_480
"""The images of an epoch of a lesson: 80 batches of 256."""

MAX_REPEATS = 200
"""How often an epoch has each digit taught at most. A single digit repeated in every batch would crowd out the others."""

NUM_FOLDS = 3
"""Parts of the digits taught. Each part is read by a network that was taught the others."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a network is taught besides MNIST."""

    images: np.ndarray
    """The digits taught: uint8 (n, 784), 0 paper to 255 ink, n from 1 to MAX_DIGITS."""
    labels: np.ndarray
    """int64 (n,), 0 to 9."""
    start: Weights | None
    """The weights of the network that is taught; None to begin with random ones."""
    rehearses: bool = True
    """Whether each batch has images of MNIST, too."""
    share: float = 0.2
    """The share of an epoch's images that are the digits taught, if MAX_REPEATS allows it. The rest is MNIST's."""
    parent: str = ""
    """The name of the network that is taught; empty for random weights."""
    not_digits: np.ndarray = field(default_factory=lambda: np.zeros((0, 784), np.uint8))
    """Drawings that are not digits: uint8 (m, 784). A reader with the taught network rejects their like."""

    num_known: int = 0
    """The number of the digits that the network was taught in the lesson before."""

    def __post_init__(self) -> None:
        count = len(self.labels)
        if not 1 <= count <= MAX_DIGITS:
            raise DataError(f"the lesson has {count:,} digits; it must have 1 to {MAX_DIGITS}")
        if self.labels.shape != (count,) or self.labels.dtype != np.int64:
            raise DataError(f"the labels are {self.labels.dtype} {self.labels.shape}; they must be int64 ({count},)")
        if self.images.shape != (count, 784) or self.images.dtype != np.uint8:
            raise DataError(f"the digits are {self.images.dtype} {self.images.shape}; they must be uint8 ({count}, 784)")
        if self.not_digits.shape[1:] != (784,) or self.not_digits.dtype != np.uint8 or len(self.not_digits) > MAX_DIGITS:
            raise DataError(f"not_digits is {self.not_digits.dtype} {self.not_digits.shape}; it must be uint8 (m, 784)")
        if not 0 < self.share < 1:
            raise DataError(f"the share of the digits taught is {self.share}; it must be between 0 and 1")
        if not 0 <= self.labels.min() <= self.labels.max() <= 9:
            raise DataError("a label of the lesson is not a digit from 0 to 9")

    @property
    def repeats(self) -> int:
        """How often an epoch has each digit taught."""
        if not self.rehearses:
            return max(1, round(IMAGES_PER_EPOCH / len(self.labels)))
        return max(1, min(MAX_REPEATS, round(self.share * IMAGES_PER_EPOCH / len(self.labels))))

    @property
    def num_rehearsed(self) -> int:
        """The number of MNIST's images in an epoch."""
        return max(0, IMAGES_PER_EPOCH - self.repeats * len(self.labels)) if self.rehearses else 0

    def num_images(self, in_data: int) -> int:
        """Return the number of images in an epoch, where the data has `in_data` images to rehearse."""
        return min(self.num_rehearsed, in_data) + self.repeats * len(self.labels)

    @property
    def num_folds(self) -> int:
        """How often the lesson is repeated without some digits: never for a single digit, nor from random weights."""
        count = len(self.labels)
        return min(NUM_FOLDS, count) if count > 1 and self.start is not None else 0

    def only(self, chosen: np.ndarray) -> "Lesson":
        """Return the lesson with those digits where `chosen`, bool (n,), is True."""
        return replace(self, images=self.images[chosen], labels=self.labels[chosen])

    def data(self, mnist: Mnist, seed: int) -> Mnist:
        """Return the data to train on: some images of MNIST, drawn with `seed`, and the digits taught, which also validate.

        The test images are MNIST's. If the data has fewer images, all are used.
        """
        order = torch.randperm(len(mnist.train_labels), generator=torch.Generator().manual_seed(seed))
        rehearsed = order[: self.num_rehearsed]
        taught = torch.from_numpy(self.images.copy()), torch.from_numpy(self.labels.copy())
        some = replace(mnist, train_images=mnist.train_images[rehearsed], train_labels=mnist.train_labels[rehearsed])
        return replace(some.with_added(*taught), added_repeats=self.repeats, validation=taught)

    def to_npz(self) -> bytes:
        """Return the lesson as an .npz, which `from_npz` reads."""
        content = io.BytesIO()
        start = {f"start/{name}": array for name, array in (self.start or {}).items()}
        np.savez(
            content,
            images=self.images,
            labels=self.labels,
            rehearses=np.array(self.rehearses),
            share=np.array(self.share),
            parent=np.array(self.parent),
            not_digits=self.not_digits,
            num_known=np.array(self.num_known),
            allow_pickle=False,
            **start,
        )
        return content.getvalue()

    @classmethod
    def from_npz(cls, content: bytes, name: str) -> "Lesson":
        """Read what `to_npz` returned; errors call it `name`. Nothing is unpickled. Raises DataError."""
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                weights = {key.removeprefix("start/"): file[key] for key in file.files if key.startswith("start/")}
                return cls(
                    images=file["images"],
                    labels=file["labels"].astype(np.int64),
                    start=weights or None,
                    rehearses=bool(file["rehearses"]),
                    share=float(file["share"]),
                    parent=str(file["parent"]),
                    not_digits=file["not_digits"],
                    num_known=int(file["num_known"]),
                )
        except (OSError, LookupError, AttributeError, *DAMAGE) as error:
            reason, _, _ = str(error)[:200].partition(" If you trust the file")  # NumPy's advice would be unsafe
            raise DataError(f"{name} is not a lesson: {reason.removesuffix('.')}") from None
