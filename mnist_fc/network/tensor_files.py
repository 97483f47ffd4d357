"""Read the tensors in a file without trusting it: torch.save's two formats and safetensors.

It does not use torch.load, which with weights_only runs no code, but lets a few bytes allocate an array of any size or hash
forever, and prints whole storages in its error messages. The safetensors library is used for files with a short header: it
allocates nothing but the header's entries and the tensors, whose ranges it checks.
"""

import io
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from types import NoneType
from typing import IO, Any, NamedTuple

import numpy as np
import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from mnist_fc.network.file_formats import HEAD_BYTES, FormatError, describe, describe_archive
from mnist_fc.network.torch_pickle import Storage, UnreadDataError, View, parse_pickle

MAX_PICKLE_BYTES = 2**17
"""Names and shapes take about a thousand bytes. The objects that a pickle describes may take a hundred times its size."""

MAX_DIRECTORY_BYTES = 2**17
"""The directory of a checkpoint's zip archive takes about a thousand bytes."""

MAX_DEPTH = 3
"""A state dict may be in a dictionary in a dictionary."""

STATE_NAMES = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "params", "weights")
"""Names under which training programs keep a state dict, from the most usual."""

MAX_SHOWN = 12
"""The number of names that an error lists."""

LEGACY_MAGIC, LEGACY_VERSION = 0x1950A86A20F9469CFC6C, 1001
"""The numbers at the start of a file of torch.save before PyTorch 1.6."""

LEGACY_STARTS = (b"\x80", f"L{LEGACY_MAGIC}".encode())
"""The first bytes of such a file: protocol 2 and later, and protocol 1."""

# What zipfile, safetensors, `parse_pickle` and `View.tensor` raise for wrong bytes.
MALFORMED = (
    *(zipfile.BadZipFile, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError, AssertionError),
    *(struct.error, SafetensorError),
)

Load = Callable[[Storage], np.ndarray]
"""Reads the bytes of a storage, uint8 (N,)."""


class StateFile(NamedTuple):
    """The state dict in a file."""

    tensors: dict[str, Tensor]
    place: str = ""
    """The keys that lead to it, joined with points, if it is inside other dictionaries."""
    has_order: bool = True
    """Whether the tensors are in the order of the program that wrote them; safetensors sorts them."""


def read_state(file: IO[bytes], max_bytes: int) -> StateFile:
    """Return the state dict in a file of at most `max_bytes`. Raises FormatError."""
    num_bytes = file.seek(0, os.SEEK_END)
    if num_bytes > max_bytes:
        raise _too_large(max_bytes)
    file.seek(0)
    head = file.read(HEAD_BYTES)
    try:
        if _is_safetensors(head, num_bytes):
            file.seek(0)
            return StateFile(safetensors.torch.load(file.read(num_bytes)), has_order=False)
        if _is_legacy(head):
            return _select(*_read_legacy(file, num_bytes))
        if not head.startswith(b"PK") and (what := describe(head)):
            raise FormatError(what)
        _check_directory(file)
        with zipfile.ZipFile(file) as archive:
            return _select(*_read_archive(archive, max_bytes))
    except FormatError:
        raise
    except UnreadDataError as error:
        raise FormatError(f"holds {error}") from None
    except pickle.UnpicklingError:
        raise FormatError(
            "holds more than tensors; it is not loaded, because that could run code: save only model.state_dict()"
        ) from None
    except MALFORMED:
        raise FormatError("is truncated or not a checkpoint written by torch.save or safetensors") from None


def _too_large(max_bytes: int) -> FormatError:
    return FormatError(f"is larger than {max_bytes / 2**20:.0f} MB: save only the weights, in float32")


def _is_safetensors(head: bytes, num_bytes: int) -> bool:
    """Return whether a file is safetensors: the length of a JSON object, then that. Raises FormatError for a long object."""
    if len(head) < 9 or head[8:9] != b"{":
        return False
    (length,) = struct.unpack("<Q", head[:8])
    if not 2 <= length <= num_bytes - 8:
        return False
    if length > MAX_PICKLE_BYTES:
        raise _too_much()
    return True


def _too_much() -> FormatError:
    return FormatError("holds more besides tensors than any network of this kind")


def _describe_large_pickle(start: bytes) -> Exception:
    """Return the error for a pickle that is too large: what it holds if its beginning tells, such as NumPy arrays."""
    try:
        parse_pickle(start)
    except UnreadDataError as error:
        return error
    except (pickle.UnpicklingError, *MALFORMED):
        pass
    return _too_much()


def _is_legacy(head: bytes) -> bool:
    try:
        return head.startswith(LEGACY_STARTS) and bool(parse_pickle(io.BytesIO(head)) == LEGACY_MAGIC)
    except (pickle.UnpicklingError, *MALFORMED):
        return False


def _read_legacy(file: IO[bytes], num_bytes: int) -> tuple[Any, Load]:
    """Return the value in a file of torch.save before PyTorch 1.6, and what reads its tensors.

    It is a sequence of pickles: a magic number, the format's version, the machine, the value and the storages' names. Then each
    storage has its number of values, int64, and their bytes.
    """
    file.seek(0)
    pickles = io.BytesIO(file.read(MAX_PICKLE_BYTES))
    _, version, machine = (parse_pickle(pickles) for _ in range(3))
    storages: dict[str, Storage] = {}
    value = parse_pickle(pickles, storages)
    records = parse_pickle(pickles)
    if version != LEGACY_VERSION or machine["little_endian"] is not True or sorted(storages) != sorted(records):
        raise ValueError("it is of another version or byte order, or lacks storages")
    places: dict[str, int] = {}
    end = pickles.tell()
    for record in records:
        places[record] = end + 8
        end += 8 + _num_bytes(storages[record])
    if end != num_bytes:
        raise EOFError("it is truncated")

    def content(storage: Storage) -> np.ndarray:
        file.seek(places[storage.record] - 8)
        if storage != storages[storage.record] or struct.unpack("<q", file.read(8)) != (storage.num_values,):
            raise ValueError("it has another number of values")
        return _read_array(file, _num_bytes(storage))

    return value, content


def _num_bytes(storage: Storage) -> int:
    if storage.num_values < 0:
        raise ValueError("it has less than no values")
    return storage.num_values * storage.dtype.itemsize


def _read_archive(archive: zipfile.ZipFile, max_bytes: int) -> tuple[Any, Load]:
    """Return the value in a zip archive of torch.save, and what reads its tensors."""
    entries = {entry.filename: entry for entry in archive.infolist()}
    if sum(entry.file_size for entry in entries.values()) > max_bytes:
        raise _too_large(max_bytes)
    if what := describe_archive(entries):
        raise FormatError(what)
    (described,) = [entry for entry in entries.values() if f"/{entry.filename}".endswith("/data.pkl")]
    if described.file_size > MAX_PICKLE_BYTES:
        with archive.open(described) as file:
            raise _describe_large_pickle(file.read(MAX_PICKLE_BYTES))
    if "data.pkl" in entries or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
        raise FormatError("was unpacked and zipped again; use the file as torch.save wrote it")
    folder = described.filename.removesuffix(".pkl")

    def content(storage: Storage) -> np.ndarray:
        entry = entries[f"{folder}/{storage.record}"]
        with archive.open(entry) as file:
            return _read_array(file, entry.file_size)

    return parse_pickle(archive.read(described)), content


def _read_array(file: IO[bytes], num_bytes: int) -> np.ndarray:
    """Return the next bytes of a file, uint8 (N,), without a second copy in memory."""
    content = np.empty(num_bytes, np.uint8)
    filled = 0
    while part := file.read(min(2**20, num_bytes - filled)):
        content[filled : filled + len(part)] = np.frombuffer(part, np.uint8)
        filled += len(part)
    if filled < num_bytes:
        raise EOFError("it is truncated")
    return content


def _select(value: Any, load: Load) -> StateFile:
    """Return the state dict in the value of a file; only its tensors are read."""
    views, place = _find_views(value)
    contents = {view.record: load(view.storage) for view in {view.record: view for view in views.values()}.values()}
    return StateFile({name: view.tensor(contents[view.record]) for name, view in views.items()}, ".".join(place))


def _find_views(value: Any, place: tuple[str, ...] = ()) -> tuple[dict[str, View], tuple[str, ...]]:
    """Return the dictionary of tensors in a value, and the keys that lead to it; it may have plain values beside them."""
    if not isinstance(value, dict):
        raise FormatError("is not a state dict of tensors")
    if "state" in value and "param_groups" in value:
        raise FormatError("is the state of an optimizer; give the checkpoint of the network itself")
    inner = {key: each for key, each in value.items() if isinstance(each, dict)}
    # A pickle may have the same dictionary thousands of times; it is looked through once.
    distinct = {id(each): each for each in inner.values()}
    with_tensors = {key for key, each in distinct.items() if any(isinstance(one, View) for one in each.values())}
    found = {str(key): each for key, each in inner.items() if id(each) in with_tensors} or {str(k): v for k, v in inner.items()}
    views = {str(key): each for key, each in value.items() if isinstance(each, View)}
    has_weights = any(len(view.size) > 1 for view in views.values())  # a loss may be a tensor, too
    chosen = next((name for name in STATE_NAMES if name in found), None)
    if chosen is None and len(found) == 1 and not has_weights:
        (chosen,) = found
    if chosen is not None and len(place) < MAX_DEPTH:
        return _find_views(found[chosen], (*place, chosen))
    if len(found) > 1 and not views:
        names = ", ".join(shown(name) for name in list(found)[:MAX_SHOWN])
        raise FormatError(f"holds several dictionaries, {names}; save one state dict")
    if not views or any(not isinstance(each, (View, int, float, str, NoneType)) for each in value.values()):
        raise FormatError("is not a state dict of tensors")
    return views, place


def shown(text: str) -> str:
    """Return a text of a file so that it can be shown: printable, at most 40 characters."""
    return "".join(character for character in text[:40] if character.isprintable())


def _check_directory(file: IO[bytes]) -> None:
    """Raise an error unless the archive's only directory is at its end, as torch.save writes it, and is small."""
    num_bytes = file.seek(0, os.SEEK_END)
    file.seek(max(0, num_bytes - 98))
    tail = file.read(98).rjust(98, b"\0")
    signature, *_, count, size, offset, comment = struct.unpack("<4s4H2LH", tail[-22:])
    end = num_bytes - 22
    if tail[-42:-38] == b"PK\6\7":  # the 64-bit directory end, which repeats the numbers
        (again_at,) = struct.unpack("<Q", tail[-34:-26])
        again = struct.unpack("<4sQ", tail[:12]) + struct.unpack("<3Q", tail[32:56])
        end = num_bytes - 98
        if (again_at, *again) != (end, b"PK\6\6", 44, count, size, offset):
            raise zipfile.BadZipFile("it has two directories")
    if signature != b"PK\5\6" or comment or offset + size != end or size > MAX_DIRECTORY_BYTES:
        raise zipfile.BadZipFile("it has no directory at its end")
