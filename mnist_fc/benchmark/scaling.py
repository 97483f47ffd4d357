"""How the speed of training scales: images per second by network, number of threads and batch size."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.training.throughput import BATCH_SIZES, measure

HIDDEN_SIZES = ((128,), (500,), (500, 500), (2048,), (2048, 2048), (2048, 2048, 2048, 2048))
"""The hidden layers, from the least work to the most that the settings allow."""

SCALING_BATCH_SIZES = (*BATCH_SIZES, 4096)


@dataclass(frozen=True)
class Speed:
    """Images per second of `net`, such as "784-500-10", with this number of threads and batch size.

    `gflops` counts the multiplications and additions of the matrix products, in billions per second.
    """

    net: str
    parameters: int
    threads: int
    batch_size: int
    images_per_second: float
    gflops: float


def scaling(images: Mnist, max_threads: int) -> Iterator[Speed]:
    """Take training steps of every net with 1 to `max_threads` threads and every batch size, and yield the speeds."""
    for hidden_sizes in HIDDEN_SIZES:
        config = TrainConfig(hidden_sizes=hidden_sizes)
        net = "-".join(map(str, config.layer_sizes))
        for record in measure(config, images, max_threads, SCALING_BATCH_SIZES):
            rate = record.images_per_second
            flops = rate * operations_per_image(config)
            yield Speed(net, config.num_parameters, record.threads, record.batch_size, rate, flops / 1e9)


def operations_per_image(config: TrainConfig) -> int:
    """Return the multiplications and additions of the matrix products for one image in a training step.

    Each weight takes part in the output and in its own gradient, and in all layers but the first in the gradient of the inputs.
    """
    first, *others = (num_in * num_out for num_in, num_out in pairwise(config.layer_sizes))
    return 2 * (2 * first + 3 * sum(others))
