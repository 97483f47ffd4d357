"""Data sets as files: IDX folders, .npz, a small data set made of noise, and code in a pickle."""

import gzip
import struct
from pathlib import Path

import numpy as np

from mnist_fc.data.mnist import Mnist

Arrays = dict[str, np.ndarray]

STEMS = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
"""The names of the four files on the MNIST site."""


def idx_bytes(array: np.ndarray) -> bytes:
    """Return an array as an IDX file: int32 if it is that, else unsigned bytes."""
    code, dtype = (12, ">i4") if array.dtype == np.int32 else (8, ">u1")
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape) + array.astype(dtype).tobytes()


def write_idx(folder: Path, arrays: Arrays, names: dict[str, str] = STEMS, *, zipped: bool = False) -> Path:
    """Write the four IDX files under `names`, which may have folders, and return `folder`."""
    for array, values in arrays.items():
        path = folder / f"{names[array]}{'.gz' if zipped else ''}"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = idx_bytes(values)
        path.write_bytes(gzip.compress(content, 1) if zipped else content)
    return folder


def write_npz(path: Path, arrays: Arrays) -> Path:
    """Write arrays as an .npz and return its path."""
    np.savez(path, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the arrays for allow_pickle
    return path


def noise(num_train: int = 30, num_test: int = 20) -> Arrays:
    """Return a small data set of noise in MNIST's layout, with all ten labels."""
    random = np.random.default_rng(0)
    return {
        "x_train": random.integers(0, 256, (num_train, 28, 28), np.uint8),
        "y_train": np.arange(num_train, dtype=np.uint8) % 10,
        "x_test": random.integers(0, 256, (num_test, 28, 28), np.uint8),
        "y_test": np.arange(num_test, dtype=np.uint8)[::-1] % 10,
    }


def assert_is(data: Mnist, arrays: Arrays) -> None:
    """Check that `data` holds exactly these arrays, in the types that training takes."""
    parts = {
        "x_train": data.train_images.view(-1, 28, 28),
        "y_train": data.train_labels,
        "x_test": data.test_images.view(-1, 28, 28),
        "y_test": data.test_labels,
    }
    for name, tensor in parts.items():
        assert np.array_equal(tensor.numpy(), arrays[name]), name
        assert str(tensor.dtype) == ("torch.uint8" if name.startswith("x") else "torch.int64")


class WritesAFile:
    """Pickled, it is code that creates `path` when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)
