"""RunCache: the runs that the server has in memory, bounded by their number and size."""

from collections.abc import Callable, Iterator

from mnist_fc.server.run import Run

MAX_RUNS = 100
MAX_BYTES = 60e6
"""Memory of the runs without a slot, including their weights."""


class RunCache:
    """Runs by id. Evicts the least recently used first, and runs that are not on disk last; others can be read again.

    It is not thread-safe: the scheduler's lock guards it.
    """

    def __init__(self, max_runs: int = MAX_RUNS, max_bytes: float = MAX_BYTES) -> None:
        self._max_runs = max_runs
        self._max_bytes = max_bytes
        self._runs: dict[str, Run] = {}

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._runs

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs.values())

    def __len__(self) -> int:
        return len(self._runs)

    def peek(self, run_id: str) -> Run | None:
        """Return a run without counting it as used."""
        return self._runs.get(run_id)

    def use(self, run_id: str) -> Run | None:
        """Return a run, and count it as used now."""
        if run := self._runs.pop(run_id, None):
            self._runs[run_id] = run
        return run

    def add(self, run: Run) -> None:
        """Add a run, or replace the run of the same id, and count it as used now."""
        self._runs.pop(run.id, None)
        self._runs[run.id] = run

    def discard(self, run_id: str) -> None:
        """Remove a run if it is there."""
        self._runs.pop(run_id, None)

    def evict(self, is_in_use: Callable[[Run], bool]) -> list[Run]:
        """Remove runs that have ended until the rest is within the bounds; runs in use stay and do not count.

        Return the runs that wait and should release their weights, which is slow.
        """
        idle = sorted((run for run in self if not is_in_use(run)), key=lambda run: bool(run.storage_problem))
        num_left, num_bytes = len(idle), float(sum(run.num_bytes for run in idle))
        to_release = []
        for run in idle:
            if num_left <= self._max_runs and num_bytes <= self._max_bytes:
                break
            if run.is_active:
                num_bytes -= run.num_releasable_bytes
                if run.num_releasable_bytes:
                    to_release.append(run)
            else:
                num_left -= 1
                num_bytes -= run.num_bytes
                self.discard(run.id)
        return to_release
