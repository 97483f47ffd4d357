"""The built-in network's own training, as a run that has ended: its curves, and its weights at some moments."""

from functools import lru_cache

from mnist_fc.files import ASSETS
from mnist_fc.network.mlp import MLP
from mnist_fc.records import WeightsRecord
from mnist_fc.runs import moments
from mnist_fc.runs.reader import read_run
from mnist_fc.server.job import JobState
from mnist_fc.server.run import RunSnapshot
from mnist_fc.views.state.shared import Singleton, shipped_reader

FOLDER = ASSETS / "training"

ID = "built-in"
"""In place of a run's id; no run has this one."""


@Singleton
def run() -> RunSnapshot:
    """Return the training. Raises RunsError and CheckpointError if its files cannot be read."""
    stored = read_run(FOLDER)
    weights = {name: tensor.numpy() for name, tensor in shipped_reader().model.state_dict().items()}
    last = stored.epochs[-1]
    return RunSnapshot(
        id=ID,
        config=stored.config,
        learning_rate=stored.config.learning_rate,
        state=JobState.DONE,
        message="",
        storage_problem="",
        is_resumable=False,
        steps=stored.steps,
        epochs=stored.epochs,
        weights=WeightsRecord(last.step, last.epoch, weights),
        kept=dict.fromkeys(moments.steps(FOLDER), FOLDER / moments.NAME),
        end=stored.end,
    )


@lru_cache(maxsize=4)
def model(step: int) -> MLP:
    """Return the network after `step` steps; its weights were rounded to 8 bits. Raises CheckpointError."""
    return moments.load(FOLDER, run().config, step)
