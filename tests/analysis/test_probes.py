"""The history of probes agrees with the networks of a real run."""

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


def test_curve_is_the_probability_of_the_right_digit(history: History, models: dict[int, MLP], probes: list[Probe]) -> None:
    for probe in probes:
        curve = history.curve(probe)
        assert curve.steps.tolist() == sorted(models)
        with torch.no_grad():
            expected = [
                models[step](torch.from_numpy(probe.image.reshape(1, -1))).softmax(1)[0, probe.digit] for step in sorted(models)
            ]
        assert curve.values == pytest.approx(np.array(expected), abs=1e-6)


def test_first_correct_is_the_first_step_reading_the_digit(history: History, models: dict[int, MLP], probes: list[Probe]) -> None:
    for probe in probes:
        with torch.no_grad():
            digits = {step: int(models[step](torch.from_numpy(probe.image.reshape(1, -1))).argmax()) for step in sorted(models)}
        assert history.first_correct(probe) == next((step for step, digit in digits.items() if digit == probe.digit), None)
        assert digits[max(digits)] == probe.digit, "the run must learn this digit, or the test shows nothing"


def test_probe_with_a_changed_digit_keeps_its_readings(history: History, probes: list[Probe]) -> None:
    seven = probes[0]
    as_four = Probe(seven.id, seven.image, 4)
    assert not history.needs(60, [as_four])
    assert history.curve(as_four).values[-1] < 0.5 < history.curve(seven).values[-1]
    newest = history.reading_at(as_four)
    assert newest is not None
    assert newest[0] == 7


def test_reading_is_of_the_given_or_the_last_step(history: History, probes: list[Probe]) -> None:
    values = history.curve(probes[0]).values
    for step, value in ((None, values[-1]), (60, values[-1]), (0, values[0])):
        read = history.reading_at(probes[0], step)
        assert read is not None
        assert read[1] == value
    assert history.reading_at(probes[0], 7) is None


def test_correct_since_is_the_step_after_the_last_mistake(history: History, models: dict[int, MLP], probes: list[Probe]) -> None:
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


def test_history_needs_probes_that_were_not_read(history: History, probes: list[Probe]) -> None:
    later = Probe(99, probes[0].image, 7)
    assert history.needs(60, [*probes, later])
    assert history.needs(7, probes)
    assert history.reading_at(later) is None
    assert history.first_correct(later) is None
    assert not len(history.curve(later).steps)


def test_network_that_overflows_reads_nothing(probes: list[Probe]) -> None:
    broken = MLP((8,))
    broken.load_state_dict({name: torch.full_like(tensor, torch.nan) for name, tensor in broken.state_dict().items()})
    history = History()
    zero = Probe(0, probes[3].image, 0)
    history.add(5, broken, [zero])
    assert history.curve(zero).values.tolist() == [0.0]
    assert history.first_correct(zero) is None
    assert history.reading_at(zero) is None


def test_skipped_step_is_not_needed_and_has_no_point(history: History, models: dict[int, MLP], probes: list[Probe]) -> None:
    assert history.needs(33, probes)
    history.skip(33, probes)
    assert not history.needs(33, probes)
    assert history.curve(probes[0]).steps.tolist() == sorted(models)
    only_lost = History()
    only_lost.skip(33, probes)
    assert only_lost.is_unread(probes[0])
    assert only_lost.reading_at(probes[0]) is None
