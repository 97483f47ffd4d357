"""Fixtures of the server's tests: schedulers with real training processes."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnist_fc.data.mnist import DATA_VARIABLE
from mnist_fc.runs.store import RunStore
from mnist_fc.server.scheduler import Scheduler
from tests.support.jobs import Open
from tests.support.waiting import wait_until_ended


@pytest.fixture(scope="module")
def noise_npz(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small data file of noise that processes train on: what is learned does not matter."""
    path = tmp_path_factory.mktemp("data") / "small.npz"
    generator = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for part, count in (("train", 5200), ("test", 300)):
        arrays[f"x_{part}"] = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        arrays[f"y_{part}"] = generator.integers(0, 10, count, dtype=np.uint8)
    np.savez(path, **arrays)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv(DATA_VARIABLE, str(path))
        yield path


@pytest.fixture(scope="module")
def store_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("disk") / "runs"


@pytest.fixture(scope="module")
def shared_scheduler(noise_npz: Path, store_path: Path) -> Iterator[Scheduler]:
    with contextlib.closing(Scheduler(RunStore(store_path))) as scheduler:
        yield scheduler


@pytest.fixture
def scheduler(shared_scheduler: Scheduler) -> Iterator[Scheduler]:
    """The scheduler that a module's tests share, without any job before and after each test."""
    yield shared_scheduler
    for job in reversed(shared_scheduler.jobs()):  # the queue first, or it would start
        shared_scheduler.stop(job)
        wait_until_ended(job)


@pytest.fixture
def open_scheduler(small_npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Open a scheduler with a store of its own, and with the given options."""
    monkeypatch.setenv(DATA_VARIABLE, str(small_npz))
    with contextlib.ExitStack() as stack:

        def open_one(*, is_present: Callable[[str], bool] = lambda _: True, slots: int = 1, **options: Any) -> Scheduler:
            scheduler = Scheduler(RunStore(tmp_path / "runs"), slots, is_present, **options)
            return stack.enter_context(contextlib.closing(scheduler))

        yield open_one


@pytest.fixture
def log() -> Iterator[list[str]]:
    """The lines of the package's log, each with its level."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{record.levelname} {record.getMessage()}")

    logger, handler = logging.getLogger("mnist_fc"), Keep()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel("INFO")
    yield lines
    logger.removeHandler(handler)
    logger.setLevel(level)
