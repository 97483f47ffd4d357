"""A page never waits for the disk: while the store blocks, everything that a page asks each moment is answered at once."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mnist_fc.data.mnist import DATA_VARIABLE
from mnist_fc.records import EndRecord
from mnist_fc.runs.store import RunStore
from mnist_fc.runs.writer import RunFolder
from mnist_fc.server.run import Run
from mnist_fc.server.run_cache import RunCache
from mnist_fc.server.scheduler import Scheduler
from tests.support.jobs import LONG, NEVER, SHORT, end_slice
from tests.support.waiting import TIMEOUT, finished, wait_for, wait_for_steps, wait_until

pytestmark = pytest.mark.integration

AT_ONCE = 30.0
"""Seconds. Far more than a busy machine needs, and far less than the disk, which blocks until the test releases it."""


class Disk:
    """Operations of a store, of which some block while the disk is `stuck`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._blocked: tuple[str, ...] = ()
        self._is_free = threading.Event()
        self._is_free.set()
        self.is_blocking = threading.Event()
        """Set once an operation has blocked."""
        operations = {RunStore: ("create", "reopen", "run"), RunFolder: ("write", "state", "release_weights")}
        for owner, names in operations.items():
            for name in names:
                monkeypatch.setattr(owner, name, self._blocking(name, getattr(owner, name)))

    def _blocking(self, name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        def block(*args: Any, **options: Any) -> Any:
            is_end = name == "write" and isinstance(args[1], EndRecord)
            if ("write_end" if is_end else name) in self._blocked:
                self.is_blocking.set()
                assert self._is_free.wait(TIMEOUT)
            return operation(*args, **options)

        return block

    @contextlib.contextmanager
    def stuck(self, *names: str) -> Iterator[None]:
        """Block the operations of these names."""
        self.is_blocking.clear()
        self._is_free.clear()
        self._blocked = names
        try:
            yield
        finally:
            self._blocked = ()
            self._is_free.set()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.fixture
def scheduler(small_npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: Disk) -> Iterator[Scheduler]:
    monkeypatch.setenv(DATA_VARIABLE, str(small_npz))
    with contextlib.closing(Scheduler(RunStore(tmp_path / "runs"), slice_seconds=NEVER)) as opened:
        yield opened


def expect_answers(scheduler: Scheduler) -> None:
    """Ask what a page asks each moment, from another thread."""

    def ask() -> None:
        for job in scheduler.jobs():
            assert scheduler.run(job.id) is job
            assert scheduler.active_run(job.id) is job
            scheduler.place(job, 2000)
            scheduler.touch(job, "another")
            scheduler.has_viewers(job)
            scheduler.run(job.id).snapshot()  # type: ignore[union-attr]
        answered.set()

    answered = threading.Event()
    threading.Thread(target=ask, daemon=True).start()
    assert answered.wait(AT_ONCE)


def expect_no_wait_for(scheduler: Scheduler, disk: Disk, operation: str, act: Callable[[], object]) -> None:
    """Do something that needs the disk, and meanwhile ask what a page asks."""
    with disk.stuck(operation):
        thread = threading.Thread(target=act, daemon=True)
        thread.start()
        assert disk.is_blocking.wait(TIMEOUT)
        expect_answers(scheduler)
    thread.join(TIMEOUT)


def yielded_and_running(scheduler: Scheduler) -> tuple[Run, Run]:
    """Return a run that waits after a slice, and the run that has its slot."""
    first = scheduler.start(LONG, "ann")
    wait_for_steps(first, 1)
    second = scheduler.start(LONG, "ben")
    end_slice(scheduler)
    wait_for_steps(second, 1)
    assert first.is_waiting
    return first, second


def test_page_does_not_wait_for_a_new_folder(scheduler: Scheduler, disk: Disk) -> None:
    runs: list[Run] = []
    expect_no_wait_for(scheduler, disk, "create", lambda: runs.append(scheduler.start(SHORT)))
    assert finished(runs[0]).state == "done"


def test_page_does_not_wait_for_a_record(scheduler: Scheduler, disk: Disk) -> None:
    expect_no_wait_for(scheduler, disk, "write", lambda: scheduler.start(LONG))


def test_page_does_not_wait_for_a_state_to_be_read(scheduler: Scheduler, disk: Disk) -> None:
    first, second = yielded_and_running(scheduler)
    expect_no_wait_for(scheduler, disk, "state", lambda: scheduler.stop(second))
    wait_until(first, "running")


@pytest.mark.slow
def test_page_does_not_wait_while_a_queued_run_ends(scheduler: Scheduler, disk: Disk) -> None:
    first, second = yielded_and_running(scheduler)
    expect_no_wait_for(scheduler, disk, "write_end", lambda: scheduler.stop(first))
    assert (first.state, second.state) == ("stopped", "running")


def test_page_does_not_wait_for_a_run_to_be_reopened(scheduler: Scheduler, disk: Disk) -> None:
    first, _ = yielded_and_running(scheduler)
    scheduler.stop(first)
    expect_no_wait_for(scheduler, disk, "reopen", lambda: scheduler.resume_stored(first))
    assert first.state == "waiting"


def test_page_does_not_wait_for_weights_to_be_released(
    small_npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: Disk
) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(small_npz))
    with contextlib.closing(
        Scheduler(RunStore(tmp_path / "runs"), slice_seconds=NEVER, cache=RunCache(max_bytes=0))
    ) as scheduler:
        first = scheduler.start(LONG, "ann")
        wait_for_steps(first, 1)
        second = scheduler.start(SHORT, "ben")
        expect_no_wait_for(scheduler, disk, "release_weights", lambda: end_slice(scheduler))
        assert finished(second).state == "done"


@pytest.mark.slow
def test_page_does_not_wait_while_a_killed_run_ends(scheduler: Scheduler, disk: Disk) -> None:
    run = scheduler.start(LONG, "ann")
    waiting = scheduler.start(SHORT, "ben")
    wait_for(run, lambda: run._weights)
    process = scheduler._board.slots[0].process
    assert process
    expect_no_wait_for(scheduler, disk, "write_end", process.end)
    assert finished(run).state == "failed"
    assert finished(waiting).state == "done"
