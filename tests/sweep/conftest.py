"""Fixtures for the tests of sweeps: an empty storage, and a finished study."""

from pathlib import Path

import pytest

from mnist_fc.data.mnist import Mnist
from mnist_fc.sweep.search import sweep
from mnist_fc.sweep.space import TrialRecord
from mnist_fc.sweep.storage import default_storage
from tests.support.sweeps import MIXED, config_for


@pytest.fixture
def storage(tmp_path: Path) -> str:
    """The address of an SQLite file that does not exist yet."""
    return default_storage(tmp_path)


@pytest.fixture(scope="session")
def mixed(small: Mnist, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[TrialRecord]]:
    """The storage of a study of MIXED, and the records of the sweep that created it."""
    storage = default_storage(tmp_path_factory.mktemp("mixed"))
    return storage, list(sweep(config_for(storage, space=MIXED, study="mixed", num_runs=24), small))
