"""The connections that matter most: their contributions, their order, and that they lead from the pixels to the digits."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from mnist_fc.analysis.attribution import forward
from mnist_fc.analysis.pathway import NUM_PER_LAYER, NUM_PER_OUTPUT, Connection, strongest_connections
from mnist_fc.data.mnist import Mnist
from mnist_fc.network.mlp import ACTIVATIONS, MLP, initialize

DIGITS = (3, 8)


@pytest.fixture(scope="module")
def image(mnist: Mnist) -> np.ndarray:
    """A test image as a network reads it."""
    return (mnist.test_images[0] / 255).numpy().reshape(28, 28)


def network(activation: str, *sizes: int) -> MLP:
    model = MLP(sizes, activation)  # type: ignore[arg-type]
    initialize(model, "pytorch", torch.Generator().manual_seed(0))
    return model


def connections(model: MLP, image: np.ndarray) -> list[list[Connection]]:
    return strongest_connections(model, image, forward(model, image), DIGITS)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", [(12,), (40, 30), (60, 40, 30, 20)])
def test_contributions_are_weights_times_inputs(image: np.ndarray, activation: str, sizes: tuple[int, ...]) -> None:
    model = network(activation, *sizes)
    inputs = [image.reshape(-1), *(layer.activations for layer in forward(model, image))]
    found = connections(model, image)
    assert len(found) == len(sizes) + 1
    for layer, values, between in zip(model.layers, inputs, found, strict=False):
        assert 0 < len(between) <= NUM_PER_LAYER
        for source, target, contribution in between:
            assert contribution == pytest.approx(layer.weight[target, source].item() * values[source], rel=1e-5)


def test_strongest_connections_into_each_digit_are_found(image: np.ndarray) -> None:
    model = network("relu", 50)
    hidden = forward(model, image)[0].activations
    (_, last) = connections(model, image)
    for digit in DIGITS:
        terms = np.abs(model.layers[1].weight[digit].detach().numpy() * hidden)
        expected = set(np.argsort(-terms)[:NUM_PER_OUTPUT].tolist())
        assert {source for source, target, _ in last if target == digit} == expected


def test_every_connection_leads_to_one_of_the_next_layer(image: np.ndarray) -> None:
    found = connections(network("tanh", 60, 40, 30), image)
    for before, after in pairwise(found):
        assert {target for _, target, _ in before} <= {source for source, _, _ in after}
    assert {target for _, target, _ in found[-1]} == set(DIGITS)


def test_blank_paper_has_no_connections_from_pixels() -> None:
    blank = np.zeros((28, 28), np.float32)
    assert connections(network("relu", 30), blank)[0] == []


def test_overflowing_values_lead_nowhere(image: np.ndarray) -> None:
    model = network("relu", 30)
    with torch.no_grad():
        model.layers[0].weight[0] = torch.inf
    assert all(np.isfinite(contribution) for between in connections(model, image) for _, _, contribution in between)
