"""Read IDX files, the format of the MNIST site, and find the four of a data set under the names in circulation."""

import gzip
import itertools
import math
import os
import re
import struct
import zlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import numpy as np

from mnist_fc.data.arrays import MAX_IMAGES, Arrays
from mnist_fc.data.errors import DataError
from mnist_fc.data.file_kinds import GZIP, HEAD_BYTES, IDX, PICTURE_SUFFIXES, UNPACK, WANTED, ZIP, kind_of
from mnist_fc.files import open_regular_file, reason

IDX_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
"""The names on the MNIST site."""

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""The type of the values by the third byte of a file."""

MAX_VALUES = MAX_IMAGES * 784

QMNIST_COLUMNS = 8
"""Columns of QMNIST's labels: the digit, then the writer and more."""

MAX_ENTRIES, MAX_FOLDERS = 10_000, 200
"""Entries of a folder, and folders below it, that are looked at in search of a data set."""

MAX_GZIPS = 2
"""Some servers gzip a .gz file a second time."""

DATA_SUFFIXES = (
    *(".npz", ".zip", ".gz", ".csv", ".mat", ".h5", ".hdf5", ".parquet", ".pkl", ".pt", ".npy"),
    *(".safetensors", ".tfrecord", ".rds", ".mdb"),
)
"""Files to name where no data set is found, the likeliest first."""

_NAME = re.compile(
    r"(?P<prefix>.*?)(?P<part>train(ing)?|t10k|test(10k|50k|60k)?)[-_. ]*(?P<what>images?|labels?)(?P<rest>.*)", re.IGNORECASE
)

DataSet = dict[str, Path]
"""The four files of a data set by the name of their array."""


def read_idx(path: Path) -> np.ndarray:
    """Read one IDX file, plain, gzipped or gzipped twice, whatever its name (format: the MNIST site, yann.lecun.com/exdb/mnist).

    Raises DataError for a file that is missing, damaged or something else.
    """
    try:
        with ExitStack() as opened:
            stream: IO[bytes] | gzip.GzipFile = opened.enter_context(open_regular_file(path))
            for _ in range(MAX_GZIPS):
                is_gzip = stream.read(2) == GZIP
                stream.seek(0)
                if not is_gzip:
                    break
                stream = opened.enter_context(gzip.GzipFile(fileobj=stream, mode="rb"))
            return _read(stream, path)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is damaged ({error}); replace it with an intact copy") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {reason(error)}") from None


def _read(stream: IO[bytes] | gzip.GzipFile, path: Path) -> np.ndarray:
    head = stream.read(HEAD_BYTES)
    num_dims = head[3] if len(head) > 3 else 0
    start = 4 + 4 * num_dims
    if not IDX.match(head) or len(head) < start:
        raise _not_idx(head, path)
    shape = struct.unpack_from(f">{num_dims}I", head, 4)
    announced = f"{path} announces {' x '.join(map(str, shape))} values"
    if math.prod(shape) > MAX_VALUES:
        raise DataError(f"{announced}, more than {MAX_IMAGES:,} images; it is damaged or too large")
    dtype = np.dtype(TYPES[head[2]])
    num_bytes = math.prod(shape) * dtype.itemsize
    content = bytearray(head[start:])
    content += stream.read(max(0, num_bytes + 1 - len(content)))
    if len(content) != num_bytes:
        more = " or more" if len(content) > num_bytes else ""
        raise DataError(f"{announced} and holds {len(content) // dtype.itemsize}{more}; replace it with an intact copy")
    values: np.ndarray = np.frombuffer(content, dtype).reshape(shape)
    return values.astype(dtype.newbyteorder("="), copy=False)


def _not_idx(head: bytes, path: Path) -> DataError:
    if head.startswith(ZIP):
        return DataError(f"{path} is a ZIP archive; {UNPACK}")
    if kind := kind_of(head, path.name):
        return DataError(f"{path} is {kind[0]}; {kind[1]}")
    return DataError(f"{path} is not an IDX file; replace it with an intact copy")


def read_idx_set(files: DataSet) -> Arrays:
    """Read the four files of a data set, as they are stored, except that of QMNIST's labels only the digits are returned."""
    arrays = {name: read_idx(path) for name, path in files.items()}
    for name in ("y_train", "y_test"):
        if arrays[name].ndim == 2 and arrays[name].shape[1] == QMNIST_COLUMNS:
            arrays[name] = arrays[name][:, 0]
    return arrays


def is_idx_name(path: Path) -> bool:
    """Return whether a file is named like one of a data set's four IDX files."""
    return _parse(path.name) is not None


def idx_set_of(path: Path) -> DataSet:
    """Return the data set that one IDX file belongs to. Raises DataError unless all four files are there."""
    parsed = _parse(path.name)
    assert parsed is not None, "the caller has asked is_idx_name"
    folder = path.parent.parent if _parse(path.parent.name) == parsed else path.parent
    return _complete(_sets_in(folder)[parsed[0]], parsed[0], folder)


def find_idx_set(folder: Path) -> DataSet:
    """Return the one data set in `folder`, else the one in folders below it.

    Raises DataError if there is none, or if there are several: then it names them, and what else it found.
    """
    places = [folder, *itertools.islice(_folders_below(folder), MAX_FOLDERS)]
    found = [(place, prefix, files) for place in places for prefix, files in _sets_in(place).items()]
    complete = [one for one in found if len(one[2]) == len(IDX_FILES)]
    here = [one for one in complete if one[0] == folder]
    if len(here or complete) == 1:
        return (here or complete)[0][2]
    if complete:
        names = ", ".join(str(files["x_train"]) for _, _, files in (here or complete)[:6])
        raise DataError(f"{folder} holds several data sets; give the path of one of these files: {names}")
    if found:
        _, _, files = max(found, key=lambda one: len(one[2]))
        return idx_set_of(next(iter(files.values())))  # `folder` may be the one that Kaggle has for a single file
    raise DataError(f"{folder} has no {IDX_FILES['x_train']}; {_what_is_in(places)}")


def _parse(name: str) -> tuple[str, str] | None:
    """Return the prefix and the array of an IDX file's name: "emnist-digits-", "x_train". None for any other name."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    rest = match["rest"].lower()
    if not (rest in ("", ".gz") or "idx" in rest or "ubyte" in rest):
        return None
    kind = "x" if match["what"].lower().startswith("image") else "y"
    part = "train" if match["part"].lower().startswith("train") else "test"
    return match["prefix"].lower(), f"{kind}_{part}"


def _sets_in(folder: Path) -> dict[str, DataSet]:
    """Return the files of each data set in a folder by prefix, complete or not; Kaggle has each file in a folder named like it.

    Of two files for the same array, one that lies in `folder` itself and is not gzipped comes first.
    """
    candidates: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for entry in _entries(folder):
        if parsed := _parse(entry.name):
            inside = [one for one in _entries(entry) if _parse(one.name) == parsed] if entry.is_dir() else [entry]
            candidates[parsed] += [one for one in inside if one.is_file()]
    sets: dict[str, DataSet] = defaultdict(dict)
    for (prefix, array), paths in candidates.items():
        if paths:
            sets[prefix][array] = min(paths, key=lambda path: (path.parent != folder, path.suffix == ".gz", path.name))
    return sets


def _complete(files: DataSet, prefix: str, folder: Path) -> DataSet:
    """Return `files` in the order of IDX_FILES. Raises DataError with the names of those that are missing."""
    missing = [f"{prefix}{name}" for array, name in IDX_FILES.items() if array not in files]
    if missing:
        raise DataError(f"{folder} has no {' and no '.join(missing)}, plain or gzipped; put all four files there")
    return {array: files[array] for array in IDX_FILES}


def _entries(folder: Path) -> list[Path]:
    """Return what is in a folder, without the companions of files that Macs write beside them on other systems' disks."""
    return sorted(path for path in itertools.islice(folder.iterdir(), MAX_ENTRIES) if not path.name.startswith("._"))


def _folders_below(folder: Path) -> Iterator[Path]:
    """Yield the folders in `folder` and those in them, such as MNIST and MNIST/raw, without those of single IDX files."""
    for child in _entries(folder):
        if _is_readable_folder(child):
            yield child
            yield from filter(_is_readable_folder, _entries(child))


def _is_readable_folder(path: Path) -> bool:
    is_own = path.is_dir() and not path.is_symlink() and not is_idx_name(path)
    return is_own and os.access(path, os.R_OK | os.X_OK)


def _what_is_in(places: list[Path]) -> str:
    """Return in words what lies in folders without IDX files, and what to do."""
    files = [path for path in itertools.chain.from_iterable(map(_entries, places)) if path.is_file()]
    for suffix in DATA_SUFFIXES:
        if matching := [path for path in files if path.suffix.lower() == suffix]:
            return f"it holds {matching[0].name}; give the path of that file" if suffix == ".npz" else _named(matching[0])
    if pictures := sum(path.suffix.lower() in PICTURE_SUFFIXES for path in files):
        return f"it holds {pictures:,} pictures; save all of them as an .npz of {WANTED}"
    return f"give a folder of the four IDX files, or an .npz of {WANTED}"


def _named(path: Path) -> str:
    is_archive = path.suffix.lower() == ".zip" or ".tar" in path.suffixes
    advice = UNPACK if is_archive else f"save its arrays as an .npz of {WANTED}"
    return f"it holds {path.name}; {advice}"
