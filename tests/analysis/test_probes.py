"""probes.py: how a run's networks read pinned drawings, from step to step."""

import numpy as np
import pytest
import torch

from mnist_fc.analysis.probes import History, Probe
from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.network.mlp import MLP
from mnist_fc.records import WeightsRecord
from mnist_fc.training.engine import train
from tests.support.models import model_of

CONFIG = TrainConfig(hidden_sizes=(32,), num_epochs=3, num_validation=0, threads=1)


@pytest.fixture(scope="module")
def models(small: Mnist) -> dict[int, MLP]:
    """The networks of a run by step."""
    return {record.step: model_of(record, CONFIG) for record in train(CONFIG, small) if isinstance(record, WeightsRecord)}


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
    assert not history.needs(60, [as_four])
    assert history.curve(as_four).values[-1] < 0.5 < history.curve(seven).values[-1]
    newest = history.read(as_four)
    assert newest is not None
    assert newest[0] == 7


def test_reading_is_of_the_step_asked_for_and_else_of_the_last(history: History, probes: list[Probe]) -> None:
    values = history.curve(probes[0]).values
    for step, value in ((None, values[-1]), (60, values[-1]), (0, values[0])):
        read = history.read(probes[0], step)
        assert read is not None
        assert read[1] == value
    assert history.read(probes[0], 7) is None


def test_right_since_is_the_step_after_the_last_mistake(history: History, models: dict[int, MLP], probes: list[Probe]) -> None:
    for probe in probes:
        with torch.no_grad():
            right = {
                s: int(models[s](torch.from_numpy(probe.image.reshape(1, -1))).argmax()) == probe.digit for s in sorted(models)
            }
        since = history.correct_since(probe)
        assert since is not None
        assert all(right[step] for step in right if step >= since)
        before = [step for step in right if step < since]
        assert not before or not right[before[-1]]
    assert history.correct_since(Probe(0, probes[0].image, 4)) is None


def test_history_lacks_what_was_not_read(history: History, probes: list[Probe]) -> None:
    later = Probe(99, probes[0].image, 7)
    assert history.needs(60, [*probes, later])
    assert history.needs(7, probes)
    assert history.read(later) is None
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
    assert history.read(zero) is None


def test_network_that_is_not_to_be_had_is_not_asked_for_again_and_leaves_no_point(
    history: History, models: dict[int, MLP], probes: list[Probe]
) -> None:
    assert history.needs(33, probes)
    history.skip(33, probes)
    assert not history.needs(33, probes)
    assert history.curve(probes[0]).steps.tolist() == sorted(models)
    only_lost = History()
    only_lost.skip(33, probes)
    assert only_lost.lacks_all(probes[0])
    assert only_lost.read(probes[0]) is None
