"""The time to an accuracy: what one training's course gives. tests/cli runs it whole."""

import pytest

from mnist_fc.benchmark.scaling import operations_per_image
from mnist_fc.benchmark.time_to import _new_seed, _training
from mnist_fc.config import TrainConfig

COURSE = [(1.0, 0.90), (2.0, 0.98), (3.0, 0.97)]


@pytest.mark.parametrize(("target", "seconds"), [(0.5, 1.0), (0.95, 3.0), (0.98, 3.0), (0.99, None)])
def test_time_is_that_of_the_first_epoch_that_reaches_the_accuracy(target: float, seconds: float | None) -> None:
    training = _training("fast", 3, COURSE, target)
    assert (training.seconds_to_target, training.train_seconds, training.test_accuracy) == (seconds, 6.0, 0.97)
    assert training.in_words(target).endswith("not reached" if seconds is None else f"in {seconds:.2f} s")


def test_seeds_are_new_and_allowed() -> None:
    seeds = [_new_seed() for _ in range(20)]
    assert len(set(seeds)) == 20
    assert [TrainConfig(seed=seed).seed for seed in seeds] == seeds


def test_operations_are_those_of_the_matrix_products() -> None:
    assert operations_per_image(TrainConfig(hidden_sizes=(8,))) == 4 * 784 * 8 + 6 * 8 * 10
