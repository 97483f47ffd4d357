"""A run in a small folder: its weights are nearly those that were kept, and its metrics can be read like any run's."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mnist_fc.config import PRESETS
from mnist_fc.data.mnist import Mnist
from mnist_fc.files import ASSETS
from mnist_fc.network import checkpoint
from mnist_fc.network.checkpoint import CheckpointError
from mnist_fc.network.mlp import MLP, initialize
from mnist_fc.runs import moments
from mnist_fc.runs.layout import METRICS_NAME
from mnist_fc.runs.reader import read_run
from mnist_fc.training.evaluation import evaluate

CONFIG = PRESETS["fast"].replace(hidden_sizes=(20, 12), activation="tanh")
HEADER = "step,epoch,images_seen,seconds,train_loss,train_accuracy,learning_rate,gradient_norms,images_per_second,"
HEADER += "val_loss,val_accuracy,test_loss,test_accuracy,outcome,message,train_seconds"
TRAINING = ASSETS / "training"


def network(seed: int) -> MLP:
    model = MLP(CONFIG.hidden_sizes, CONFIG.activation)
    initialize(model, "pytorch", torch.Generator().manual_seed(seed))
    return model


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with 300 records of steps, one of an epoch, one of the end, and the weights of three steps."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / checkpoint.CONFIG_NAME).write_text(CONFIG.to_json())
    steps = [f"{step},1,{step * 128},0.1,2.3,0.1,0.01,0.1 0.2 0.3,,,,,,,," for step in range(1, 301)]
    ends = ["300,1,,1.0,2.0,0.5,,,1000,1.9,0.5,,,,,", "300,1,,,,,,,,,,1.8,0.6,done,,1.0"]
    (folder / METRICS_NAME).write_bytes("".join(f"{row}\r\n" for row in [HEADER, *steps, *ends]).encode())
    for step in (0, 100, 300):
        checkpoint.save(folder / f"step-{step:06d}.ckpt", network(step).state_dict())
    return folder


def test_weights_are_those_of_the_steps_to_half_a_unit(run: Path, tmp_path: Path) -> None:
    moments.make(run, tmp_path / "small", [0, 300])
    assert moments.steps(tmp_path / "small") == (0, 300)
    for step in (0, 300):
        found = moments.load(tmp_path / "small", CONFIG, step)
        for layer, expected in zip(found.layers, network(step).layers, strict=True):
            unit = expected.weight.abs().amax(1, keepdim=True) / moments.LARGEST
            assert ((layer.weight - expected.weight).abs() <= unit / 2 * 1.001).all()
            assert torch.equal(layer.bias, expected.bias)


def test_metrics_have_the_first_records_every_sixth_of_the_rest_and_the_end(run: Path, tmp_path: Path) -> None:
    moments.make(run, tmp_path / "small", [0])
    small = read_run(tmp_path / "small")
    assert [record.step for record in small.steps[:100]] == list(range(1, 101))
    assert set(np.diff([record.step for record in small.steps[100:]])) == {6}
    assert (small.epochs, small.end) == (read_run(run).epochs, read_run(run).end)


def test_step_that_is_not_there_and_broken_files_are_reported(run: Path, tmp_path: Path) -> None:
    moments.make(run, tmp_path / "small", [0])
    with pytest.raises(CheckpointError, match="does not have the moments of a training"):
        moments.load(tmp_path / "small", CONFIG, 100)
    (tmp_path / "small" / moments.NAME).write_bytes(b"no archive")
    for read in (moments.steps, lambda folder: moments.load(folder, CONFIG, 0)):
        with pytest.raises(CheckpointError, match="does not have the moments of a training"):
            read(tmp_path / "small")


def test_shipped_training_climbs_from_guessing_to_the_built_in_network(mnist: Mnist) -> None:
    training = read_run(TRAINING)
    assert training.end
    steps = moments.steps(TRAINING)
    assert steps[0] == 0
    assert 10 <= len(steps) <= 20
    models = [moments.load(TRAINING, training.config, step) for step in steps]
    accuracies = [evaluate(model, mnist.test_images, mnist.test_labels)[1] for model in models]
    assert accuracies[0] < 0.2
    assert accuracies == sorted(accuracies)
    _, final = evaluate(checkpoint.load(checkpoint.SHIPPED), mnist.test_images, mnist.test_labels)
    assert final == pytest.approx(training.end.test_accuracy, abs=0.0005)
    assert accuracies[-1] < final


def test_shipped_training_takes_at_most_12_megabytes() -> None:
    assert sum(file.stat().st_size for file in TRAINING.iterdir()) <= 12e6
