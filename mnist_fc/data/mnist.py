"""Load, verify and split MNIST. Images stay uint8 until they are in a batch.

Other data must have the same form: 28 x 28 images of ten classes.
"""

import gzip
import hashlib
import lzma
import os
import struct
import tokenize
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mnist_fc.config import NUM_CLASSES
from mnist_fc.files import ASSETS

EMBEDDED = ASSETS / "mnist.npz"
DATA_VARIABLE = "MNIST_FC_DATA"

SHA256 = {
    "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
}
"""SHA-256 of each array's bytes, from assets/README.md."""

IDX_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}

MAX_IMAGES = 1_000_000

# What numpy and zipfile raise for a file with wrong bytes in it.
DAMAGE = (
    *(ValueError, SyntaxError, TypeError, RuntimeError, EOFError, MemoryError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, tokenize.TokenError),
)


class DataError(ValueError):
    """The data cannot be used; the message names the file and says what is wrong and what to do."""


@dataclass(frozen=True)
class Mnist:
    """Training and test images, (N, 784) uint8, 0 paper to 255 ink, with labels, (N,) int64, 0 to 9."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    num_added: int = 0
    """The number of added training images, which come last; none of them is used for validation."""
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


def load_mnist(path: str | Path | None = None) -> Mnist:
    """Read and check the data at `path`, falling back to the environment variable MNIST_FC_DATA, then to the embedded MNIST.

    `path` is an .npz with x_train, y_train, x_test, y_test, or a folder of the four IDX files, plain or gzipped.
    Raises DataError when it is missing, damaged or of another layout, or if the embedded data is not MNIST to the bit.
    """
    source = Path(path or os.environ.get(DATA_VARIABLE) or EMBEDDED)
    try:
        arrays = _read_idx_folder(source) if source.is_dir() else _read_npz(source)
    except FileNotFoundError as error:
        raise DataError(f"the data file {error.filename or source} does not exist") from None
    except OSError as error:
        raise DataError(f"the data at {source} cannot be read: {error}") from None
    if source == EMBEDDED:
        _verify(arrays, source)
    return Mnist(
        train_images=torch.from_numpy(arrays["x_train"].reshape(-1, 784)),
        train_labels=torch.from_numpy(arrays["y_train"].astype(np.int64)),
        test_images=torch.from_numpy(arrays["x_test"].reshape(-1, 784)),
        test_labels=torch.from_numpy(arrays["y_test"].astype(np.int64)),
    )


def download_mnist(folder: str | Path | None = None) -> Path:
    """Download the four original files with torchvision and its progress bar; return the folder for `load_mnist`.

    `folder` defaults to the user's cache. Existing files are not downloaded again. Raises DataError if a download fails.
    """
    from torchvision.datasets import MNIST  # imported here: it takes two seconds, and nothing else needs it

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mnist_fc"
    root = Path(folder or cache)
    try:
        MNIST(str(root), download=True)
    except (OSError, RuntimeError) as error:
        raise DataError(f"MNIST could not be downloaded to {root}: {error}") from None
    return root / "MNIST" / "raw"


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


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        # opened here, because np.load does not close a file that it cannot read
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            if missing := [name for name in SHA256 if name not in file]:
                raise DataError(f"{path} has no array named {', '.join(missing)}")
            arrays = {name: file[name] for name in SHA256}
    except DAMAGE as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is damaged or not an .npz file; replace it with an intact copy") from None
    return _check_layout(arrays, path)


def _read_idx_folder(folder: Path) -> dict[str, np.ndarray]:
    return _check_layout({name: _read_idx(folder, stem) for name, stem in IDX_FILES.items()}, folder)


def _read_idx(folder: Path, stem: str) -> np.ndarray:
    path = next((p for p in (folder / stem, folder / f"{stem}.gz") if p.exists()), None)
    if path is None:
        raise DataError(f"{folder} has neither {stem} nor {stem}.gz")
    return read_idx(path)


def read_idx(path: Path) -> np.ndarray:
    """Read one IDX file of unsigned bytes, plain or gzipped (format: the MNIST site, yann.lecun.com/exdb/mnist).

    Raises DataError for a file that is missing, damaged or something else.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is damaged ({error}); replace it with an intact copy") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    if len(content) < 4 or content[:3] != b"\0\0\x08" or not 1 <= content[3] <= 3 or len(content) < 4 + 4 * content[3]:
        raise DataError(f"{path} is not an IDX file of unsigned bytes")
    shape = struct.unpack_from(f">{content[3]}I", content, 4)
    values = content[4 + 4 * len(shape) :]
    if len(values) != int(np.prod(shape, dtype=object)):
        raise DataError(f"{path} announces {' x '.join(map(str, shape))} values and holds {len(values)}")
    return np.frombuffer(values, dtype=np.uint8).reshape(shape).copy()


def _check_layout(arrays: dict[str, np.ndarray], source: Path) -> dict[str, np.ndarray]:
    for part in ("train", "test"):
        images, labels = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if images.ndim != 3 or images.shape[1:] != (28, 28) or images.dtype != np.uint8:
            raise DataError(f"{source}: x_{part} is {images.dtype} {images.shape}; it must be uint8 (N, 28, 28)")
        if labels.ndim != 1 or labels.dtype.kind not in "ui":
            raise DataError(f"{source}: y_{part} is {labels.dtype} {labels.shape}; it must be integers (N,)")
        if not 1 <= len(images) <= MAX_IMAGES or len(images) != len(labels):
            raise DataError(f"{source}: {len(images)} {part} images and {len(labels)} labels do not go together")
        if labels.min() < 0 or labels.max() >= NUM_CLASSES:
            raise DataError(f"{source}: y_{part} has labels from {labels.min()} to {labels.max()}; they must be 0 to 9")
    return arrays


def _verify(arrays: dict[str, np.ndarray], path: Path) -> None:
    for name, expected in SHA256.items():
        if hashlib.sha256(np.ascontiguousarray(arrays[name]).data).hexdigest() != expected:
            raise DataError(f"{path} has been altered: the checksum of {name} differs; replace it with an intact copy")
