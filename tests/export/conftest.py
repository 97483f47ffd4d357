"""Fixtures for the tests of the exports: images, and networks of every activation and depth."""

from typing import Any

import pytest
import torch
from torch import Tensor

from mnist_fc.data.mnist import Mnist
from mnist_fc.network.mlp import ACTIVATIONS, MLP, initialize

SIZES = (24, 20, 16, 12)


@pytest.fixture(scope="module")
def images(small: Mnist) -> Tensor:
    return small.train_images[:1000] / 255


@pytest.fixture(scope="module")
def models(images: Tensor) -> dict[tuple[str, int], MLP]:
    """Untrained networks by activation and depth, scaled so that their logits differ from image to image at every depth."""
    return {(activation, depth): scaled_network(activation, depth, images) for activation in ACTIVATIONS for depth in range(1, 5)}


@torch.no_grad()
def scaled_network(activation: Any, depth: int, images: Tensor) -> MLP:
    """Return a network with random weights, scaled so that each layer's outputs have a standard deviation of 1 over `images`."""
    model = MLP(SIZES[:depth], activation)
    initialize(model, "pytorch", torch.Generator().manual_seed(depth))
    for layer in model.layers:
        layer.weight.div_(layer(images).std(0).mean())
        images = model.activation(layer(images))
    return model
