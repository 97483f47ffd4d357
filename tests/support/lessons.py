"""What the tests of teaching share: a network of seconds, and digits that it misreads."""

import functools

import numpy as np
from torch import Tensor

from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.data.my_digits import MyDigit
from mnist_fc.network.mlp import MLP, with_weights
from mnist_fc.records import WeightsRecord
from mnist_fc.training.engine import train
from mnist_fc.training.teaching import predictions

BEFORE = TrainConfig(hidden_sizes=(32,), learning_rate=0.005, num_epochs=3, num_validation=0, threads=1)
"""Of the network that is taught: trained on `small`, it reads 88% of MNIST's test digits."""


@functools.cache
def weights_before(data: Mnist) -> dict[str, np.ndarray]:
    """Return the weights of a run with BEFORE on `data`."""
    *_, last = (record for record in train(BEFORE, data) if isinstance(record, WeightsRecord))
    return last.weights


def model_before(data: Mnist) -> MLP:
    """Return a network of its own with the weights of `weights_before`."""
    return with_weights({name: array.copy() for name, array in weights_before(data).items()}, BEFORE)


def as_digits(images: Tensor, labels: Tensor) -> list[MyDigit]:
    """Return images, (n, 784), as digits with these labels."""
    pixels = images.numpy().reshape(-1, 28, 28)
    return [MyDigit(label, image) for image, label in zip(pixels, labels.tolist(), strict=True)]


def misread(model: MLP, mnist: Mnist, count: int) -> list[MyDigit]:
    """Return the first test digits that `model` misreads."""
    wrong = np.flatnonzero(predictions(model, mnist.test_images.numpy()) != mnist.test_labels.numpy())[:count]
    return as_digits(mnist.test_images[wrong], mnist.test_labels[wrong])
