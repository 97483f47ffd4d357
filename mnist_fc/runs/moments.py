"""A finished run in a small folder, to ship with the program: its metrics, and its weights at several moments.

In `moments.npz` each row of a weight matrix is whole numbers from -127 to 127 with one factor: a quarter of the size, and nearly
the same network. For each moment it has `400/fc1.weight` (int8), `400/fc1.factor` (float32, one for each row) and
`400/fc1.bias` (float32), and so on for each layer.

`python -m mnist_fc.runs.moments RUN FOLDER STEP...` makes the folder of a run that has kept the weights of these steps.
"""

import shutil
import sys
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

import numpy as np
import torch

from mnist_fc.config import TrainConfig
from mnist_fc.files import atomic_write
from mnist_fc.network import checkpoint
from mnist_fc.network.checkpoint import CheckpointError
from mnist_fc.network.mlp import MLP
from mnist_fc.runs.layout import METRICS_NAME, kept_checkpoints
from mnist_fc.runs.metrics import read_lines

LARGEST = 127
"""The largest whole number of a weight."""


NAME = "moments.npz"

FIRST_STEPS, EVERY = 100, 6
"""All records of the first steps are in the folder; of the later ones, every sixth."""


def load(folder: Path, config: TrainConfig, step: int) -> MLP:
    """Return the network after `step` steps. Raises CheckpointError if the file does not have it."""
    model = MLP(config.hidden_sizes, config.activation)
    path = folder / NAME
    try:
        with np.load(path, allow_pickle=False) as file:
            for number, layer in enumerate(model.layers, start=1):
                name = f"{step}/fc{number}"
                weight = file[f"{name}.weight"].astype(np.float32) * file[f"{name}.factor"][:, None]
                layer.load_state_dict({"weight": torch.from_numpy(weight), "bias": torch.from_numpy(file[f"{name}.bias"])})
    except (OSError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        raise _error(path, error) from None
    return model.eval()


def steps(folder: Path) -> tuple[int, ...]:
    """Return the steps whose weights a folder has, in ascending order. Raises CheckpointError if it has none."""
    path = folder / NAME
    try:
        with np.load(path, allow_pickle=False) as file:
            return tuple(sorted({int(name.split("/")[0]) for name in file.files}))
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise _error(path, error) from None


def save(folder: Path, models: Mapping[int, MLP]) -> None:
    """Write the networks of several steps. Raises OSError."""
    arrays: dict[str, np.ndarray] = {}
    for step, model in models.items():
        for number, layer in enumerate(model.layers, start=1):
            weight = layer.weight.detach().numpy()
            factor = np.abs(weight).max(axis=1) / LARGEST
            factor[factor == 0] = 1.0
            arrays[f"{step}/fc{number}.weight"] = np.rint(weight / factor[:, None]).astype(np.int8)
            arrays[f"{step}/fc{number}.factor"] = factor
            arrays[f"{step}/fc{number}.bias"] = layer.bias.detach().numpy()

    def write(file: IO[bytes]) -> None:
        np.savez_compressed(file, allow_pickle=False, **arrays)

    atomic_write(folder / NAME, write)


def _error(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path} does not have the moments of a training: {error}")


def make(run: Path, folder: Path, chosen: Iterable[int]) -> None:
    """Write the folder of a run, with the weights of the `chosen` steps."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run / checkpoint.CONFIG_NAME, folder / checkpoint.CONFIG_NAME)
    header, *rows = read_lines(run)
    column = header.split(b",").index(b"images_seen")
    is_step = [bool(row.split(b",")[column]) for row in rows]
    kept = [row for i, row in enumerate(rows) if not is_step[i] or int(row.split(b",")[0]) <= FIRST_STEPS or i % EVERY == 0]
    (folder / METRICS_NAME).write_bytes(b"".join(row + b"\r\n" for row in (header, *kept)))
    checkpoints = kept_checkpoints(run)
    save(folder, {step: checkpoint.load(checkpoints[step]) for step in chosen})


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]), map(int, sys.argv[3:]))
