"""train_state.py: where a run starts, what it is trained on, and which states it resumes from."""

import math
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from mnist_fc.data.mnist import Mnist
from mnist_fc.files import ROOT
from mnist_fc.records import (
    HistogramsRecord,
    StateRecord,
    WeightsRecord,
)
from mnist_fc.training.engine import train
from mnist_fc.training.evaluation import evaluate
from mnist_fc.training.train_state import StateError, TrainState
from tests.support.training import batches_of_an_epoch, of, quick, stop_after


def test_initial_weights_are_within_the_bounds_of_their_scheme(small: Mnist) -> None:
    pytorch = TrainState(quick(initialization="pytorch"), small).weights()
    assert 0.99 / 28 < np.abs(pytorch["fc1.weight"]).max() <= 1 / 28
    assert 0 < np.abs(pytorch["fc1.bias"]).max() <= 1 / 28
    keras = TrainState(quick(initialization="keras"), small).weights()
    bound = math.sqrt(6 / (784 + 32))
    assert 0.99 * bound < np.abs(keras["fc1.weight"]).max() <= bound
    assert not keras["fc1.bias"].any()
    assert not keras["fc2.bias"].any()


def test_no_image_is_both_trained_on_and_validated_on(small: Mnist) -> None:
    numbered = small.train_images.clone()
    numbered[:, :2] = torch.stack([torch.arange(2000) % 256, torch.arange(2000) // 256], 1)
    data = replace(small, train_images=numbered)
    training = TrainState(quick(), data)
    batches = list(batches_of_an_epoch(training))
    trained = (torch.cat([batch.images for batch in batches])[:, :2] * 255) @ torch.tensor([1.0, 256.0])
    indices = trained.round().long()
    assert torch.equal(torch.cat([batch.labels for batch in batches]), data.train_labels[indices])
    assert torch.equal(torch.cat([batch.images for batch in batches]), numbered[indices] * torch.tensor(1 / 255))
    assert len(indices.unique()) == 1500
    validated = sorted(set(range(2000)) - set(indices.tolist()))
    assert training.validate() == evaluate(training.model, numbered[validated], data.train_labels[validated])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_weight_that_is_not_finite_is_noticed(value: float, small: Mnist) -> None:
    training = TrainState(quick(), small)
    assert training.weights_are_finite()
    training.model.layers[1].weight.data[3, 5] = value
    assert not training.weights_are_finite()


def test_a_state_shares_no_memory_with_the_run(small: Mnist) -> None:
    training = TrainState(quick(), small)
    state = training.state()
    training.take_step(training.next_batch())
    fresh = TrainState(quick(), small).state()
    assert all(np.array_equal(state[name], array) for name, array in fresh.items())


SPOILED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "numbers": lambda state: state.pop("numbers"),
    "fc1.weight": lambda state: state.update({"fc1.weight": state["fc1.weight"][:5]}),
    "momentum1": lambda state: state.update({"momentum1": state["momentum1"].astype(np.float64)}),
    "order": lambda state: state.update(order=np.zeros_like(state["order"])),
    "weights are not finite": lambda state: state["fc2.bias"].fill(np.nan),
    "of step 1e+06": lambda state: state["numbers"].__setitem__(0, 1e6),
    "of step 2.5": lambda state: state["numbers"].__setitem__(0, 2.5),
}


@pytest.mark.parametrize("reason", SPOILED)
def test_state_that_does_not_fit_is_rejected_with_reason(small: Mnist, reason: str) -> None:
    (record,) = of(StateRecord, list(train(quick(), small, stop_after(3))))
    SPOILED[reason](record.state)
    with pytest.raises(StateError, match=re.escape(reason)):
        next(train(quick(), small, state=record.state))


def test_a_state_of_other_settings_is_rejected(small: Mnist) -> None:
    (record,) = of(StateRecord, list(train(quick(), small, stop_after(3))))
    for changes in ({"hidden_sizes": (16,)}, {"optimizer": "sgd"}, {"num_validation": 0}):
        with pytest.raises(StateError, match="is not that of a run with these settings"):
            next(train(quick(**changes), small, state=record.state))


def test_histograms_come_each_epoch_and_count_every_value(small: Mnist) -> None:
    config = quick(num_epochs=2)
    records = list(train(config, small))
    histograms = of(HistogramsRecord, records)
    assert [record.epoch for record in histograms] == [1, 2]
    weights = of(WeightsRecord, records)[-1].weights
    for kind in (histograms[-1].weights, histograms[-1].gradients):
        assert list(kind) == ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]
        assert all(histogram.counts.sum() == weights[name].size for name, histogram in kind.items())
    for name, histogram in histograms[-1].weights.items():
        expected, edges = np.histogram(weights[name], len(histogram.counts))
        assert (histogram.low, histogram.high) == (edges[0], edges[-1])
        assert np.abs(histogram.counts - expected).sum() <= 0.01 * weights[name].size + 2  # float32 at the edges
        assert histogram.sum == pytest.approx(weights[name].sum(dtype=np.float64), rel=1e-3, abs=1e-3)
        assert histogram.sum_of_squares == pytest.approx(np.square(weights[name], dtype=np.float64).sum(), rel=1e-3)


DENORMAL = """
import torch
from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import load_mnist
from mnist_fc.training.engine import train
config = TrainConfig(hidden_sizes=(16,), num_epochs=1, threads=2)
next(train(config, load_mnist()))
products = torch.full((2_000_000,), 1e-30).mul_(1e-10)
assert not torch.set_flush_denormal(True) or not products.any(), products
"""


@pytest.mark.integration
def test_all_threads_of_a_training_process_flush_denormal_numbers() -> None:
    done = subprocess.run([sys.executable, "-c", DENORMAL], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
