"""Fewer threads beside a busy program: the training stays the same, and the number of threads comes back."""

import math
from itertools import count

import pytest
import torch

from mnist_fc.config import FIELDS, Range, TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.training import pacing
from mnist_fc.training.pacing import Pacer
from mnist_fc.training.train_state import TrainState

CONFIGS = {
    "adam": TrainConfig((32,), num_validation=100),
    "dropout and shifts": TrainConfig((32, 16), num_validation=100, dropout=0.2, augmentation="shift", optimizer="sgd"),
}


@pytest.fixture(autouse=True)
def two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow two threads whatever the machine has, and try another number after every few steps."""
    monkeypatch.setitem(FIELDS, "threads", Range(int, 1, 2))
    monkeypatch.setattr(pacing, "WINDOW_SECONDS", 0.0)
    monkeypatch.setattr(pacing, "REDUCED_SECONDS", 0.0)
    monkeypatch.setattr(pacing, "LONGEST_PAUSE", math.inf)


def busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the system report a process that never keeps its core."""
    numbers = count(step=1_000_000)
    monkeypatch.setattr(pacing, "interruptions", lambda: next(numbers))


def paced(config: TrainConfig, data: Mnist, num_steps: int) -> tuple[TrainState, list[int]]:
    """Take steps of a training with a Pacer; return it, and the number of threads before each step."""
    training = TrainState(config.replace(threads=2), data)
    pacer = Pacer(training)
    threads = []
    for _ in range(num_steps):
        pacer.take_step(training.next_batch())
        threads.append(pacer.threads)
    return training, threads


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_changing_the_threads_does_not_change_the_network(name: str, small: Mnist, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials, and the check before the first, leave no trace in weights, order or random numbers."""
    busy(monkeypatch)
    training, _ = paced(CONFIGS[name], small, 60)
    plain = TrainState(CONFIGS[name].replace(threads=2), small)
    for _ in range(60):
        plain.take_step(plain.next_batch())
    expected, found = plain.state(), training.state()
    assert all((array == found[key]).all() for key, array in expected.items() if key != "numbers")
    assert plain.epoch_mean() == training.epoch_mean()


@torch.no_grad()
def test_faster_steps_with_fewer_threads_are_kept(small: Mnist, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gain without limit stands for a busy core: every trial counts as faster."""
    busy(monkeypatch)
    monkeypatch.setattr(pacing, "GAIN", math.inf)
    _, threads = paced(CONFIGS["adam"], small, 60)
    assert set(threads) == {1, 2}


@torch.no_grad()
def test_slower_steps_with_fewer_threads_are_not_kept(small: Mnist, monkeypatch: pytest.MonkeyPatch) -> None:
    busy(monkeypatch)
    monkeypatch.setattr(pacing, "GAIN", 0.0)
    _, threads = paced(CONFIGS["adam"], small, 100)
    longest = max(len(run) for run in "".join(map(str, threads)).split("2"))
    assert 0 < longest < pacing.TRIAL_STEPS + 1


@torch.no_grad()
def test_threads_stay_where_nothing_interrupts(small: Mnist, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "interruptions", lambda: 0)
    monkeypatch.setattr(pacing, "GAIN", math.inf)
    assert set(paced(CONFIGS["adam"], small, 60)[1]) == {2}


@torch.no_grad()
def test_threads_stay_where_the_process_is_interrupted_only_between_steps(small: Mnist, monkeypatch: pytest.MonkeyPatch) -> None:
    busy(monkeypatch)
    monkeypatch.setattr(pacing, "GAIN", math.inf)
    monkeypatch.setattr(pacing, "LONGEST_PAUSE", 0.0)
    assert set(paced(CONFIGS["adam"], small, 60)[1]) == {2}


@torch.no_grad()
def test_pytorch_has_the_threads_of_the_settings_between_steps(small: Mnist, monkeypatch: pytest.MonkeyPatch) -> None:
    busy(monkeypatch)
    monkeypatch.setattr(pacing, "GAIN", math.inf)
    paced(CONFIGS["adam"], small, 30)
    assert torch.get_num_threads() == 2
