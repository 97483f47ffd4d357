"""What the tests of runs/ share: the records of one short run, and run folders that are closed when a test ends."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from mnist_fc.data.mnist import Mnist
from mnist_fc.records import Record
from mnist_fc.runs.writer import RunFolder
from mnist_fc.training.engine import train
from tests.support.runs import CONFIG, NewRun


@pytest.fixture(scope="session")
def records(small: Mnist) -> list[Record]:
    """All records of a run with CONFIG."""
    return list(train(CONFIG, small))


@pytest.fixture
def new_run() -> Iterator[NewRun]:
    with ExitStack() as opened:

        def create(*arguments: Any, **options: Any) -> RunFolder:
            return opened.enter_context(closing(RunFolder(*arguments, **options)))

        yield create
