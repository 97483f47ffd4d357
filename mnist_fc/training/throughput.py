"""Images per second in training on this machine, by number of threads and batch size."""

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mnist_fc.config import CPU_COUNT, FIELDS, Range, TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.training.train_state import TrainState

BATCH_SIZES = (32, 64, 128, 256, 512, 1024, 2048)

# At least this many seconds and steps give a steady figure, after half as many to warm up.
SECONDS = 0.25
STEPS = 6


@dataclass(frozen=True, slots=True)
class SpeedRecord:
    """The measurement for one number of threads and one batch size."""

    threads: int
    batch_size: int
    images_per_second: float


def thread_counts(cores: int = CPU_COUNT) -> list[int]:
    """Return 1 to `cores`; for more than eight cores, the powers of two and `cores`."""
    return list(range(1, cores + 1)) if cores <= 8 else sorted({*(2**i for i in range(cores.bit_length())), cores})


def measure(
    config: TrainConfig, data: Mnist, max_threads: int = CPU_COUNT, batch_sizes: Sequence[int] = BATCH_SIZES
) -> Iterator[SpeedRecord]:
    """Take training steps of the network of `config` with each of `thread_counts` and every batch size, and yield the speeds.

    Each figure is the median over groups of steps whose images are gathered together. The learning rate is the lowest allowed,
    because a step whose loss diverges is incomplete.
    """
    rates = FIELDS["learning_rate"]
    assert isinstance(rates, Range)
    config = config.replace(learning_rate=rates.low, num_validation=0)
    for threads in thread_counts(max_threads):
        for batch_size in batch_sizes:
            training = TrainState(config.replace(threads=threads, batch_size=batch_size), data)
            _step_seconds(training, SECONDS / 2, STEPS // 2)
            seconds = statistics.median(_step_seconds(training, SECONDS, STEPS))
            yield SpeedRecord(threads, batch_size, batch_size / seconds)


def fastest_threads(records: list[SpeedRecord], batch_size: int) -> SpeedRecord:
    """Return the fastest of `records` among those of the batch size nearest to `batch_size`, or the smaller of two."""
    nearest = min({record.batch_size for record in records}, key=lambda size: (abs(size - batch_size), size))
    return max((r for r in records if r.batch_size == nearest), key=lambda r: r.images_per_second)


def _step_seconds(training: TrainState, at_least: float, num_steps: int) -> list[float]:
    """Return the mean time of a step in each group of steps."""
    means: list[float] = []
    group = training.steps_ahead
    while sum(means) * group < at_least or len(means) * group < num_steps:
        started = time.perf_counter()
        for _ in range(group):
            training.take_step(training.next_batch())
        means.append((time.perf_counter() - started) / group)
    return means
