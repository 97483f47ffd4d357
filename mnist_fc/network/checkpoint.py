"""model.ckpt and the config beside it: written atomically, and read without trusting them.

A checkpoint is a plain state dict: fc1.weight, fc1.bias, fc2.weight, ... in float32, shape (out, in). It does not name the
activation: config.json beside it does, and without that file it is ReLU. Files of other programs are read too, and what was
done to read one is reported.
"""

import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, NamedTuple, get_args

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from mnist_fc.config import FIELDS, MAX_CONFIG_BYTES, NUM_CLASSES, Activation, ConfigError, TrainConfig
from mnist_fc.files import ASSETS, atomic_write, open_regular_file, reason
from mnist_fc.network.adaptation import Adapted, Inputs, adapt, fold_inputs
from mnist_fc.network.file_formats import FormatError, describe_folder
from mnist_fc.network.mlp import MLP
from mnist_fc.network.tensor_files import StateFile, read_state, shown

CHECKPOINT_NAME = "model.ckpt"
SAFETENSORS_NAME = "model.safetensors"
CONFIG_NAME = "config.json"
SHIPPED = ASSETS / CHECKPOINT_NAME

# Four layers of 2048 units take 57 MB.
MAX_BYTES = 64 * 2**20

FOREIGN_CONFIG = "config.json beside it is damaged or of another program; its activation is taken to be ReLU."

OWN_NAMES = tuple(f'"{name}"'.encode() for name in FIELDS if name != "precision")
"""What every config.json of this program contains, also before it had `precision`."""


class CheckpointError(ValueError):
    """A file is not a checkpoint of an MLP for MNIST; the message names the file and says what is wrong."""


@dataclass(frozen=True)
class Loaded:
    """A network from a file."""

    trained: MLP
    """The network as it was trained, for pixels scaled as `inputs` says."""
    inputs: Inputs
    notes: tuple[str, ...]
    """What was done to read it, in sentences; empty for a checkpoint of this program."""
    is_as_trained: bool = False
    """Whether this program trained it and the config beside it says how it is read, so that no other way can be better."""

    @cached_property
    def model(self) -> MLP:
        """The network for pixels in [0, 1]."""
        return fold_inputs(self.trained, self.inputs)


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


def to_safetensors(weights: Mapping[str, Tensor]) -> bytes:
    """Return the content of a safetensors file with a state dict."""
    return safetensors.torch.save({name: tensor.contiguous() for name, tensor in weights.items()})


def load(path: str | Path, num_classes: int = NUM_CLASSES) -> MLP:
    """Return the network in a checkpoint, as `read` does."""
    return read(path, num_classes=num_classes).model


def read(
    path: str | Path, activation: Activation | None = None, inputs: Inputs = "0..1", num_classes: int = NUM_CLASSES
) -> Loaded:
    """Read a checkpoint of a network with `num_classes` outputs; by default, config.json beside it names the activation.

    Creates nothing but tensors. Raises CheckpointError for a file that is missing, truncated, of another shape, not finite, or
    that holds anything else, and ConfigError for a config that is out of range.
    """
    if not str(path):
        raise CheckpointError("the checkpoint's name is empty; give the path of a model.ckpt")
    path = Path(path)
    adapted = _adapt(_open_state(path, MAX_BYTES), str(path), num_classes)
    beside = _read_config(path.with_name(CONFIG_NAME)) if activation is None else _Config(activation)
    notes = (*adapted.notes, *([beside.note] if beside.note else []))
    model = _model(adapted, beside.activation or "relu", num_classes)
    is_as_trained = activation is None and beside.activation is not None and not notes and inputs == "0..1"
    return Loaded(model, inputs, notes, is_as_trained)


def from_bytes(content: bytes, name: str, activation: Activation, inputs: Inputs = "0..1") -> Loaded:
    """Return the network with ten outputs whose checkpoint is `content`; error messages call it `name`.

    Creates nothing but tensors, and writes no file. Raises CheckpointError as `read` does.
    """
    adapted = _adapt(_read_state(io.BytesIO(content), name, MAX_BYTES), name, NUM_CLASSES)
    return Loaded(_model(adapted, activation, NUM_CLASSES), inputs, adapted.notes)


class _Config(NamedTuple):
    """What config.json says of a network."""

    activation: Activation | None = None
    note: str = ""
    """How it was understood if another program wrote it, in a sentence."""


def _read_config(path: Path) -> _Config:
    """Return what the config.json at `path` says, nothing without one. Raises ConfigError if it is of this program and wrong."""
    if not path.exists():
        return _Config()
    try:
        with open_regular_file(path) as file:
            content = file.read(MAX_CONFIG_BYTES + 1)
        if len(content) <= MAX_CONFIG_BYTES and all(name in content for name in OWN_NAMES):
            return _Config(TrainConfig.from_json(content).activation)
    except (ConfigError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path}: {error}") from None
    return _read_foreign_config(content)


def _read_foreign_config(content: bytes) -> _Config:
    """Return the activation that another program's config names, in its own spelling, such as "LeakyReLU"."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        values = None
    named = values.get("activation") if isinstance(values, dict) else None
    if not isinstance(named, str) or not named:
        return _Config(None, FOREIGN_CONFIG)
    for activation in get_args(Activation):
        note = f"config.json beside it is of another program; only its activation, {activation}, is used."
        if named.lower().replace("_", "") == activation.replace("_", ""):
            return _Config(activation, note)
    return _Config(None, f"{FOREIGN_CONFIG[:-1]}: {shown(named)} is not known.")


def _adapt(file: StateFile, name: str, num_classes: int) -> Adapted:
    try:
        return adapt(file, num_classes)
    except FormatError as error:
        raise _error(name, error) from None


def _error(name: str, error: FormatError) -> CheckpointError:
    """Return the error whose message is the file's name and that of `error`."""
    return CheckpointError(f"{name}{'' if str(error).startswith(':') else ' '}{error}")


def _model(adapted: Adapted, activation: Activation, num_classes: int) -> MLP:
    """Return the network of checked weights; it takes over the tensors that own their memory and copies the others."""
    model = MLP(adapted.hidden_sizes, activation, num_classes)
    own = {
        name: tensor if _owns_memory(tensor) else tensor.clone(memory_format=torch.contiguous_format)
        for name, tensor in adapted.state.items()
    }
    model.load_state_dict(own, assign=True)
    return model.eval()


def _owns_memory(tensor: Tensor) -> bool:
    return tensor.is_contiguous() and tensor.untyped_storage().nbytes() == tensor.nbytes


def load_tensors(path: Path, max_bytes: int) -> dict[str, Tensor]:
    """Return the tensors, by name, in the file `path` of at most `max_bytes`. Raises CheckpointError as `read` does."""
    return _open_state(path, max_bytes).tensors


def _open_state(path: Path, max_bytes: int) -> StateFile:
    try:
        if path.is_dir():
            raise _error(str(path), FormatError(describe_folder(os.listdir(path))))
        with open_regular_file(path) as file:
            return _read_state(file, str(path), max_bytes)
    except FileNotFoundError:
        raise CheckpointError(f"the checkpoint {path} does not exist") from None
    except OSError as error:
        raise CheckpointError(f"the checkpoint {path} cannot be read: {reason(error)}") from None


def _read_state(file: IO[bytes], name: str, max_bytes: int) -> StateFile:
    try:
        return read_state(file, max_bytes)
    except FormatError as error:
        raise _error(name, error) from None
