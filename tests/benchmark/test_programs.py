"""The benchmark's programs in its own process: what an epoch of each is."""

from collections.abc import Iterator
from itertools import islice

import pytest
import torch

from mnist_fc.benchmark import programs as programs_module
from mnist_fc.benchmark.programs import FLOORS, PROGRAMS, blog_run, engine_run
from mnist_fc.benchmark.timing import NETS
from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.network import kernels
from mnist_fc.network.mlp import MLP
from mnist_fc.records import Record, StepRecord
from mnist_fc.training.engine import train
from mnist_fc.training.evaluation import evaluate


@pytest.fixture(scope="module")
def tiny(small: Mnist) -> Mnist:
    """One batch of training images."""
    return Mnist(small.train_images[:100], small.train_labels[:100], small.test_images[:100], small.test_labels[:100])


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[StepRecord]:
    """The step records that the engine has yielded so far; with so few images it yields one per step."""
    found: list[StepRecord] = []

    def watched(config: TrainConfig, data: Mnist) -> Iterator[Record]:
        for record in train(config, data):
            if isinstance(record, StepRecord):
                found.append(record)
            yield record

    monkeypatch.setattr(programs_module, "train", watched)
    return found


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("net", NETS)
def test_each_yields_the_seconds_of_every_epoch(name: str, net: str, tiny: Mnist) -> None:
    epochs = list(islice(PROGRAMS[name](NETS[net].replace(threads=1), tiny), 3))
    assert len(epochs) == 3
    assert min(epoch.seconds for epoch in epochs) > 0


def test_there_is_a_floor_for_every_way_to_multiply() -> None:
    assert "floor" in FLOORS
    assert set(kernels.MULTIPLY["float32"].values()) <= set(FLOORS.values())


@pytest.mark.parametrize("net", NETS)
def test_engine_trains_one_epoch_per_figure(steps: list[StepRecord], small: Mnist, net: str) -> None:
    epochs = PROGRAMS["engine"](NETS[net].replace(threads=1), small)
    for number in range(1, 4):
        epoch = next(epochs)
        assert (len(steps), steps[-1].epoch, steps[-1].images_seen) == (20 * number, number, 2000 * number)
        assert epoch.train_loss == pytest.approx(sum(step.train_loss for step in steps[-20:]) / 20)
    assert steps[-1].train_loss < 0.5 * steps[0].train_loss


def test_engine_continues_beyond_the_longest_run(steps: list[StepRecord], tiny: Mnist) -> None:
    epochs = PROGRAMS["engine"](TrainConfig(hidden_sizes=(16,), num_validation=0, threads=1), tiny)
    for count in range(1, 206):
        next(epochs)
        assert len(steps) == count


@pytest.mark.parametrize("run", [engine_run, blog_run])
def test_weights_after_each_epoch_are_better_than_before(run: programs_module.Run, small: Mnist) -> None:
    config = TrainConfig(hidden_sizes=(64,), num_validation=0, num_epochs=3, threads=1)
    model, losses = MLP(config.hidden_sizes), []
    for _, weights in islice(run(config, small), 3):
        model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
        losses.append(evaluate(model, small.train_images, small.train_labels)[0])
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.7 * losses[0]
