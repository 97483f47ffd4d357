"""Looking at and killing processes of the system."""

import contextlib
import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path

from tests.support.waiting import TIMEOUT


def wait_for_end(pidfd: int) -> None:
    """Wait for the end of the process that `pidfd` was opened for while it lived."""
    ended, _, _ = select.select([pidfd], [], [], TIMEOUT)
    os.close(pidfd)
    assert ended


def kill(pid: int) -> None:
    """Kill a process and wait until it has ended."""
    pidfd = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    wait_for_end(pidfd)


@contextlib.contextmanager
def suspended(pid: int) -> Iterator[None]:
    """Let a process do nothing for a while."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def children() -> set[int]:
    """Return the processes that this one has started and that are not reaped yet."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            if int(stat.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.add(int(stat.parent.name))
    return found


def processor_seconds(pid: int) -> float:
    """Return the processor time of a process and of all that it and they have started; one that has ended is left out."""
    ticks, started = {}, dict[int, list[int]]()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            cells = stat.read_text().rpartition(")")[2].split()
            one = int(stat.parent.name)
            ticks[one] = int(cells[11]) + int(cells[12])
            started.setdefault(int(cells[1]), []).append(one)
    total, left = 0, [pid]
    while left:
        one = left.pop()
        total += ticks.get(one, 0)
        left += started.get(one, [])
    return total / os.sysconf("SC_CLK_TCK")


def num_descriptors() -> int:
    """Return how many files this process has open."""
    return len(os.listdir("/proc/self/fd"))
