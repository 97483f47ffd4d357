"""Estimates of how long training takes."""

import pytest

from mnist_fc.config import TrainConfig
from mnist_fc.server.estimate import num_images_of_run


@pytest.mark.parametrize(
    ("num_train_images", "num_validation", "expected"),
    [(60_000, 0, 60_000), (60_000, 5000, 55_000), (2000, 5000, 1800), (1, 5000, 1)],
)
def test_a_run_sees_the_images_that_its_data_leaves(num_train_images: int, num_validation: int, expected: int) -> None:
    config = TrainConfig(num_validation=num_validation, num_epochs=3)
    assert num_images_of_run(config, num_train_images) == 3 * expected
