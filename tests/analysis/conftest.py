"""The runs that the tests of the analysis share."""

import functools

import pytest

from mnist_fc.data.mnist import Mnist
from tests.support.training_runs import Runs, run_of


@pytest.fixture(scope="session")
def runs(small: Mnist) -> Runs:
    """Each config is trained once for all tests."""
    return functools.cache(lambda config: run_of(config, small))
