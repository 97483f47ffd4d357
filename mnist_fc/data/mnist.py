"""Load, verify and split MNIST. Images stay uint8 until they are in a batch.

Other data must have the same form: 28 x 28 images of ten classes.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mnist_fc.config import NUM_CLASSES
from mnist_fc.data.arrays import Arrays, convert
from mnist_fc.data.errors import DataError
from mnist_fc.data.idx import find_idx_set, idx_set_of, is_idx_name, read_idx_set
from mnist_fc.data.npz import ARRAYS, read_npz
from mnist_fc.files import ASSETS, named_path, reason

__all__ = ["DATA_VARIABLE", "EMBEDDED", "DataError", "Mnist", "load_mnist", "load_test_digits", "split_validation"]

EMBEDDED = ASSETS / "mnist.npz"
DATA_VARIABLE = "MNIST_FC_DATA"

SHA256 = {
    "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
}
"""SHA-256 of each array's bytes, from assets/README.md."""


@dataclass(frozen=True)
class Mnist:
    """Training and test images, (N, 784) uint8, 0 paper to 255 ink, with labels, (N,) int64, 0 to 9."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    num_added: int = 0
    """The number of added training images, which come last; none of them is used for validation."""
    added_repeats: int = 1
    """How often an epoch has each added image. All others occur once."""
    validation: tuple[Tensor, Tensor] | None = None
    """Images, (N, 784) uint8, and labels, (N,) int64, that validate in place of some that are split off the training images."""
    num_classes: int = NUM_CLASSES
    """11 if images that are not digits were added, as a class of their own."""

    def with_added(self, images: Tensor, labels: Tensor) -> "Mnist":
        """Return a copy with more training images, (N, 784) uint8, and labels, (N,) int64; none is used for validation."""
        return replace(
            self,
            train_images=torch.cat([self.train_images, images]),
            train_labels=torch.cat([self.train_labels, labels]),
            num_added=self.num_added + len(labels),
        )


def to_pixels(images: np.ndarray) -> Tensor:
    """Return images, float32 of N times 784 values from 0 to 1, as uint8 (N, 784)."""
    return torch.from_numpy((images.reshape(-1, 784) * 255).round().astype(np.uint8))


def load_mnist(path: str | Path | None = None) -> Mnist:
    """Read and check the data at `path`, falling back to the environment variable MNIST_FC_DATA, then to the embedded MNIST.

    `path` is an .npz with x_train, y_train, x_test, y_test, or a folder of the four IDX files, or one of these files. Other
    names and layouts in circulation are read too; see README.md. Raises DataError when it is missing, damaged or something
    else, or if the embedded data is not MNIST to the bit.
    """
    source = _source(path)
    arrays = convert(_read(source, ARRAYS), source)
    return Mnist(
        train_images=torch.from_numpy(arrays["x_train"].reshape(-1, 784)),
        train_labels=torch.from_numpy(arrays["y_train"]),
        test_images=torch.from_numpy(arrays["x_test"].reshape(-1, 784)),
        test_labels=torch.from_numpy(arrays["y_test"]),
    )


def load_test_digits() -> tuple[Tensor, Tensor]:
    """Return the test images and their labels as `load_mnist()` does; of the embedded MNIST, nothing else is read."""
    source = _source()
    if source != EMBEDDED:
        images = load_mnist()
        return images.test_images, images.test_labels
    arrays = _read(source, ("x_test", "y_test"))
    return torch.from_numpy(arrays["x_test"].reshape(-1, 784)), torch.from_numpy(arrays["y_test"].astype(np.int64))


def _source(path: str | Path | None = None) -> Path:
    """Return the file or folder that `load_mnist` reads."""
    return Path(path or named_path(os.environ.get(DATA_VARIABLE) or str(EMBEDDED)))


def _read(source: Path, names: Sequence[str]) -> Arrays:
    """Return the arrays as they are stored, of an .npz only those of these names. Raises DataError."""
    try:
        arrays = _arrays(source, names)
    except FileNotFoundError as error:
        raise DataError(f"the data file {error.filename or source} does not exist") from None
    except OSError as error:
        raise DataError(f"the data at {source} cannot be read: {reason(error)}") from None
    if source == EMBEDDED:
        _verify(arrays, source)
    return arrays


def _arrays(source: Path, names: Sequence[str]) -> Arrays:
    if source.is_dir():
        return read_idx_set(find_idx_set(source))
    if is_idx_name(source) and source.is_file():
        return read_idx_set(idx_set_of(source))
    return read_npz(source, names)


def split_validation(labels: Tensor, num_validation: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return the indices to train on and to validate on, both int64, drawn so that each digit is validated about equally often.

    Raises DataError unless at least one image is left to train on.
    """
    if not num_validation < len(labels):
        raise DataError(f"{num_validation} validation images cannot be split off {len(labels)} training images")
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(labels), generator=generator)
    counts = torch.bincount(labels, minlength=NUM_CLASSES)
    by_digit = order[torch.argsort(labels[order], stable=True)]
    rank_in_digit = torch.cat([torch.arange(count) for count in counts.tolist()])
    drawn = by_digit[torch.argsort(rank_in_digit, stable=True)]
    return drawn[num_validation:].sort().values, drawn[:num_validation].sort().values


def _verify(arrays: Arrays, path: Path) -> None:
    for name, array in arrays.items():
        if hashlib.sha256(np.ascontiguousarray(array).data).hexdigest() != SHA256[name]:
            raise DataError(f"{path} has been altered: the checksum of {name} differs; replace it with an intact copy")
