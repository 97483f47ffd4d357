"""model.ckpt and the config beside it: written atomically, and read without trusting them.

A checkpoint is a plain state dict: fc1.weight, fc1.bias, fc2.weight, ... in float32, shape (out, in). It does not name the
activation: config.json beside it does, and without that file it is ReLU.
"""

import io
import math
import os
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

from mnist_fc.config import MAX_CONFIG_BYTES, NUM_CLASSES, NUM_INPUTS, Activation, ConfigError, LayerSizes, TrainConfig
from mnist_fc.files import ASSETS, atomic_write, open_regular_file, read_bounded
from mnist_fc.network.mlp import MLP
from mnist_fc.network.torch_pickle import View, parse_pickle

CHECKPOINT_NAME = "model.ckpt"
CONFIG_NAME = "config.json"
SHIPPED = ASSETS / CHECKPOINT_NAME

# Four layers of 2048 units take 57 MB.
MAX_BYTES = 64 * 2**20

MAX_PICKLE_BYTES = 2**17
"""Names and shapes take about a thousand bytes. The objects that a pickle describes may take a hundred times its size."""

MAX_DIRECTORY_BYTES = 2**17
"""The directory of a checkpoint's zip archive takes about a thousand bytes."""

MAX_SHOWN = 12
"""The number of names of a wrong state dict that an error lists."""

# What zipfile, `parse_pickle` and `View.tensor` raise for wrong bytes.
MALFORMED = (
    *(zipfile.BadZipFile, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError, AssertionError),
    struct.error,
)


class CheckpointError(ValueError):
    """A file is not a checkpoint of an MLP for MNIST; the message names the file and says what is wrong."""


def save(path: Path, weights: Mapping[str, Tensor | np.ndarray]) -> None:
    """Write a state dict to `path`. Raises OSError; then what was at `path` stays."""
    # In memory first: torch.save would turn the OSError of a full disk into a RuntimeError.
    content = to_bytes(weights)
    atomic_write(path, lambda file: file.write(content))


def to_bytes(weights: Mapping[str, Tensor | np.ndarray]) -> bytes:
    """Return the content of the file that `save` writes."""
    content = io.BytesIO()
    torch.save({name: torch.as_tensor(value) for name, value in weights.items()}, content)
    return content.getvalue()


def load(path: str | Path, num_classes: int = NUM_CLASSES) -> MLP:
    """Read a checkpoint of a network with `num_classes` outputs, with the activation that config.json beside it names.

    Creates nothing but tensors. Raises CheckpointError for a file that is missing, truncated, of another shape, not finite, or
    that holds anything else, and ConfigError for a config that is out of range.
    """
    path = Path(path)
    state = load_tensors(path, MAX_BYTES)
    hidden_sizes = _hidden_sizes(state, str(path), num_classes)
    config = path.with_name(CONFIG_NAME)
    try:
        activation = TrainConfig.from_json(read_bounded(config, MAX_CONFIG_BYTES)).activation if config.exists() else "relu"
    except (ConfigError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{config}: {error}") from None
    return _model(state, hidden_sizes, activation, num_classes)


def from_bytes(content: bytes, name: str, activation: Activation) -> MLP:
    """Return the network with ten outputs whose checkpoint is `content`; error messages call it `name`.

    Creates nothing but tensors, and writes no file. Raises CheckpointError as `load` does.
    """
    state = read_tensors(io.BytesIO(content), name, MAX_BYTES)
    return _model(state, _hidden_sizes(state, name, NUM_CLASSES), activation, NUM_CLASSES)


def _is_finite(tensor: Tensor) -> bool:
    """Check a tensor that is not empty by its extremes: `isfinite` would take twice the tensor's memory."""
    low, high = tensor.aminmax()
    return math.isfinite(low) and math.isfinite(high)


def _model(state: dict[str, Tensor], hidden_sizes: tuple[int, ...], activation: Activation, num_classes: int) -> MLP:
    """Return the network of checked weights; it takes over the tensors that own their memory and copies the others."""
    model = MLP(hidden_sizes, activation, num_classes)
    own = {
        name: tensor if _owns_memory(tensor) else tensor.clone(memory_format=torch.contiguous_format)
        for name, tensor in state.items()
    }
    model.load_state_dict(own, assign=True)
    return model.eval()


def _owns_memory(tensor: Tensor) -> bool:
    return tensor.is_contiguous() and tensor.untyped_storage().nbytes() == tensor.nbytes


def load_tensors(path: Path, max_bytes: int) -> dict[str, Tensor]:
    """Return the tensors, by name, in the file `path` of at most `max_bytes`. Raises CheckpointError as `load` does."""
    try:
        with open_regular_file(path) as file:
            return read_tensors(file, str(path), max_bytes)
    except FileNotFoundError:
        raise CheckpointError(f"the checkpoint {path} does not exist") from None
    except OSError as error:
        raise CheckpointError(f"the checkpoint {path} cannot be read: {error}") from None


def read_tensors(file: IO[bytes], name: str, max_bytes: int) -> dict[str, Tensor]:
    """Return the tensors, by name, in a file of at most `max_bytes`; error messages call it `name`. Raises CheckpointError.

    It does not use torch.load, which with weights_only runs no code, but lets a few bytes allocate an array of any size or hash
    forever, and prints whole storages in its error messages.
    """
    try:
        _check_directory(file)
        with zipfile.ZipFile(file) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            if max(sum(entry.file_size for entry in entries.values()), file.seek(0, os.SEEK_END)) > max_bytes:
                raise CheckpointError(f"{name} is larger than {max_bytes / 2**20:.0f} MB, and no network of this kind is")
            (described,) = [entry for entry in entries.values() if entry.filename.endswith("/data.pkl")]
            if described.file_size > MAX_PICKLE_BYTES:
                raise CheckpointError(f"{name} holds more besides tensors than any network of this kind")
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
                raise zipfile.BadZipFile("torch.save compresses nothing")
            state = parse_pickle(archive.read(described))
            if not isinstance(state, dict) or not state or not all(isinstance(value, View) for value in state.values()):
                raise CheckpointError(f"{name} is not a state dict of tensors")
            records: dict[str, np.ndarray] = {}
            for view in state.values():
                if view.record not in records:
                    entry = entries[described.filename.removesuffix(".pkl") + f"/{view.record}"]
                    records[view.record] = _record(archive, entry)
            return {str(key): view.tensor(records[view.record]) for key, view in state.items()}
    except CheckpointError:
        raise
    except pickle.UnpicklingError:
        raise CheckpointError(f"{name} holds more than tensors; it is not loaded, because that could run code") from None
    except MALFORMED:
        raise CheckpointError(f"{name} is truncated or not a checkpoint written by torch.save") from None


def _record(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    """Return the bytes of an entry, uint8 (N,), without a second copy in memory."""
    content = np.empty(entry.file_size, np.uint8)
    filled = 0
    with archive.open(entry) as file:
        while part := file.read(2**20):
            content[filled : filled + len(part)] = np.frombuffer(part, np.uint8)
            filled += len(part)
    if filled < len(content):
        raise EOFError("it is truncated")
    return content


def _check_directory(file: IO[bytes]) -> None:
    """Raise BadZipFile unless the archive's only directory is at its end, as torch.save writes it, and is small."""
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


def _hidden_sizes(state: dict[str, Tensor], name: str, num_classes: int) -> tuple[int, ...]:
    """Return the hidden sizes by a state dict's shapes, after checking names, shapes, dtypes and values."""
    num_layers = len(state) // 2
    names = [f"fc{i}.{part}" for i in range(1, num_layers + 1) for part in ("weight", "bias")]
    if set(state) != set(names):
        found = ", ".join([key[:40] for key in list(state)[:MAX_SHOWN]] + ["..."] * (len(state) > MAX_SHOWN))
        raise CheckpointError(f"{name} has {found}; it must have fc1.weight, fc1.bias, fc2.weight, ...")
    sizes = [NUM_INPUTS]
    for i in range(1, num_layers + 1):
        weight, bias = state[f"fc{i}.weight"], state[f"fc{i}.bias"]
        if weight.ndim != 2 or weight.shape[1] != sizes[-1] or bias.shape != weight.shape[:1]:
            raise CheckpointError(
                f"{name}: fc{i} has weights {tuple(weight.shape)} and biases {tuple(bias.shape)} after {sizes[-1]} units"
            )
        for tensor in (weight, bias):
            if (tensor.dtype, tensor.layout, tensor.device.type) != (torch.float32, torch.strided, "cpu"):
                kind = f"{tensor.dtype}, {tensor.layout} on {tensor.device.type}"
                raise CheckpointError(f"{name}: fc{i} is {kind}; it must be torch.float32, torch.strided on cpu")
        sizes.append(weight.shape[0])
    if sizes[-1] != num_classes:
        what = "digits" if num_classes == NUM_CLASSES else "rejecting what is not a digit"
        raise CheckpointError(f"{name} has {sizes[-1]} outputs; a network for {what} has {num_classes}")
    try:
        hidden_sizes = LayerSizes().check("hidden_sizes", tuple(sizes[1:-1]))
    except ConfigError as error:
        raise CheckpointError(f"{name}: {error}") from None
    # Last: a file of a few bytes can describe a tensor of any size that repeats one number.
    if broken := [key for key in names if not _is_finite(state[key])]:
        raise CheckpointError(f"{name} has values that are not finite numbers in {', '.join(broken)}")
    return hidden_sizes
