"""Read the four arrays of a data set from an .npz, under the names in circulation."""

import gzip
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mnist_fc.data.arrays import MAX_IMAGES, Arrays
from mnist_fc.data.errors import DAMAGE, DataError
from mnist_fc.data.file_kinds import GZIP, HEAD_BYTES, IDX, NO_MEMBERS, ZIP, kind_of, kind_of_zip
from mnist_fc.files import open_regular_file

ARRAYS = ("x_train", "y_train", "x_test", "y_test")

MAX_BYTES = MAX_IMAGES * 784 * 8
"""Bytes of one array, unzipped."""

_PARTS = {"train": r"tr(ain(ing)?)?(set)?", "test": r"te(st(ing)?)?(set)?"}
_WHAT = {"x": r"(x|images?|data|digits)", "y": r"(y|labels?|targets?)"}


def read_npz(path: Path, arrays: Sequence[str] = ARRAYS) -> Arrays:
    """Return those `arrays` of an .npz as they are stored, named as in ARRAYS; it must have all. Nothing is unpickled.

    Raises DataError for a file that is damaged or something else, which it names, and OSError.
    """
    with open_regular_file(path) as stream:
        head = stream.read(HEAD_BYTES)
        if not head.startswith((ZIP, NO_MEMBERS)):
            raise _not_npz(head, path)
        if kind := kind_of_zip(path):
            raise DataError(f"{path} is {kind[0]}; {kind[1]}")
        stream.seek(0)
        try:
            with np.load(stream, allow_pickle=False) as file:
                names = _names(file.files, path)
                return {array: _read(file, names[array], path) for array in arrays}
        except DAMAGE as error:
            if isinstance(error, DataError):
                raise
            if "allow_pickle" in str(error):
                raise DataError(f"{path} holds Python objects, which could run code; save arrays of numbers") from None
            raise DataError(f"{path} is damaged; replace it with an intact copy") from None


def _not_npz(head: bytes, path: Path) -> DataError:
    if head.startswith(GZIP):
        head = _unzipped(path)
    if head.startswith(ZIP):
        return DataError(f"{path} is a gzipped archive; unpack it with gzip -d first")
    if IDX.match(head):
        return DataError(f"{path} is an IDX file; give the folder of all four, named as on the MNIST site")
    if kind := kind_of(head, path.name):
        return DataError(f"{path} is {kind[0]}; {kind[1]}")
    return DataError(f"{path} is damaged or not an .npz file; replace it with an intact copy")


def _unzipped(path: Path) -> bytes:
    """Return the first bytes of what a gzip file holds. Raises DataError for a damaged one."""
    with gzip.open(path) as file:
        try:
            return file.read(HEAD_BYTES)
        except (EOFError, *DAMAGE, gzip.BadGzipFile):
            raise DataError(f"{path} is damaged; replace it with an intact copy") from None


def _names(found: list[str], path: Path) -> dict[str, str]:
    """Return the name in the file of each of ARRAYS: its own, else the one other name for it."""
    names = {}
    for array in ARRAYS:
        what, part = array.split("_")
        pattern = re.compile(rf"{_WHAT[what]}{_PARTS[part]}|{_PARTS[part]}{_WHAT[what]}", re.IGNORECASE)
        others = [name for name in found if pattern.fullmatch(re.sub(r"[-_. ]", "", _without_folder(name)))]
        if array in found:
            names[array] = array
        elif len(others) == 1:
            names[array] = others[0]
        elif others:
            raise DataError(f"{path} has both {' and '.join(others)}; rename the one to use {array}")
    if missing := [array for array in ARRAYS if array not in names]:
        has = f"; it has {', '.join(found[:8])}" if found else ""
        advice = "; divide the images and labels into a training and a test part" if "x_test" in missing else ""
        raise DataError(f"{path} has no array named {', '.join(missing)}{has}{advice}")
    return names


def _without_folder(name: str) -> str:
    """Return an array's name without the folder that an archive zipped again may have it in; empty for a Mac's companion file."""
    name = name.rsplit("/", 1)[-1]
    return "" if name.startswith("._") else name


def _read(file: "np.lib.npyio.NpzFile", name: str, path: Path) -> np.ndarray:
    member = file.zip.NameToInfo.get(f"{name}.npy") if file.zip else None
    if member is None:
        raise DataError(f"{path}: {name} is not an array; replace the file with an intact copy")
    if member.file_size > MAX_BYTES:
        raise DataError(f"{path}: {name} is larger than {MAX_IMAGES:,} images; leave some out")
    array: np.ndarray = file[name]
    return array
