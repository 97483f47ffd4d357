"""probes.py: how a run's networks read pinned drawings, from step to step."""

import numpy as np
import pytest
import torch

from mnist_fc.config import TrainConfig
from mnist_fc.data import Mnist
from mnist_fc.engine import WeightsRecord, train
from mnist_fc.model import MLP
from mnist_fc.probes import History, Probe

CONFIG = TrainConfig(hidden_sizes=(32,), num_epochs=3, num_validation=0, threads=1)


@pytest.fixture(scope="module")
def models(small: Mnist) -> dict[int, MLP]:
    """The networks of a run by step."""
    made = {}
    for record in train(CONFIG, small):
        if isinstance(record, WeightsRecord):
            made[record.step] = MLP(CONFIG.hidden_sizes, CONFIG.activation)
            made[record.step].load_state_dict({name: torch.from_numpy(array) for name, array in record.weights.items()})
    return made


@pytest.fixture
def probes(small: Mnist) -> list[Probe]:
    """The first four test digits, which are a 7, a 2, a 1 and a 0."""
    images = small.test_images[:4].view(-1, 28, 28).float().div(255).numpy()
    return [Probe(i, image, int(label)) for i, (image, label) in enumerate(zip(images, small.test_labels[:4], strict=True))]


@pytest.fixture
def history(models: dict[int, MLP], probes: list[Probe]) -> History:
    made = History()
    for step in sorted(models, reverse=True):  # as they come when a drawing is pinned late
        made.add(step, models[step], probes)
    return made


def test_curve_is_the_probability_of_the_right_digit_at_each_step_in_order(
    history: History, models: dict[int, MLP], probes: list[Probe]
) -> None:
    for probe in probes:
        curve = history.curve(probe)
        assert curve.steps.tolist() == sorted(models)
        with torch.no_grad():
            expected = [
                models[step](torch.from_numpy(probe.image.reshape(1, -1))).softmax(1)[0, probe.digit] for step in sorted(models)
            ]
        assert curve.values == pytest.approx(np.array(expected), abs=1e-6)


def test_first_right_is_the_first_step_whose_network_says_the_digit(
    history: History, models: dict[int, MLP], probes: list[Probe]
) -> None:
    for probe in probes:
        with torch.no_grad():
            said = {step: int(models[step](torch.from_numpy(probe.image.reshape(1, -1))).argmax()) for step in sorted(models)}
        assert history.first_right(probe) == next((step for step, digit in said.items() if digit == probe.digit), None)
        assert said[max(said)] == probe.digit, "a digit that this run never learns shows nothing here"


def test_drawing_meant_as_another_digit_keeps_its_readings(history: History, probes: list[Probe]) -> None:
    seven = probes[0]
    as_four = Probe(seven.id, seven.image, 4)
    assert not history.lacks(60, [as_four])
    assert history.curve(as_four).values[-1] < 0.5 < history.curve(seven).values[-1]
    newest = history.newest(as_four)
    assert newest is not None
    assert newest[0] == 7


def test_newest_is_of_the_last_step(history: History, probes: list[Probe]) -> None:
    newest = history.newest(probes[0])
    assert newest is not None
    assert newest[1] == history.curve(probes[0]).values[-1]


def test_history_lacks_what_was_not_read(history: History, probes: list[Probe]) -> None:
    later = Probe(99, probes[0].image, 7)
    assert history.lacks(60, [*probes, later])
    assert history.lacks(7, probes)
    assert history.newest(later) is None
    assert history.first_right(later) is None
    assert not len(history.curve(later).steps)


def test_network_out_of_range_reads_nothing_right(probes: list[Probe]) -> None:
    broken = MLP((8,))
    broken.load_state_dict({name: torch.full_like(tensor, torch.nan) for name, tensor in broken.state_dict().items()})
    history = History()
    zero = Probe(0, probes[3].image, 0)
    history.add(5, broken, [zero])
    assert history.curve(zero).values.tolist() == [0.0]
    assert history.first_right(zero) is None
