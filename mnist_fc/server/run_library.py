"""RunLibrary: the runs that the server knows, in memory and in the store."""

from mnist_fc.runs.layout import RunsError, fingerprint
from mnist_fc.runs.store import RunStore
from mnist_fc.server.background import BackgroundThread
from mnist_fc.server.board import Board
from mnist_fc.server.run import Run
from mnist_fc.server.run_cache import RunCache


class RunLibrary:
    """Finds runs by id. The board's lock guards the cache; the store is read without it."""

    def __init__(self, store: RunStore, cache: RunCache, board: Board, background: BackgroundThread) -> None:
        self._store = store
        self._cache = cache
        self._board = board
        self._background = background

    def __contains__(self, run_id: str) -> bool:
        """Return whether a run is in memory."""
        return run_id in self._cache

    def find(self, run_id: str) -> Run | None:
        """Return the run of that id; None if it is neither in memory nor in the store, or cannot be read.

        A run that has not ended is returned without a look at the disk.
        """
        with self._board.lock:
            known = self._cache.use(run_id)
        if known and not known.has_changed_on_disk():
            return known
        try:
            read_at = fingerprint(self._store.folder(run_id))
            stored = Run.stored(self._store.run(run_id), read_at)
        except RunsError:
            return known
        with self._board.lock:
            if self._cache.peek(run_id) is known and not (known and known.is_active):  # no other thread was first
                self.add(stored)
            return self._cache.peek(run_id) or stored

    def active(self, run_id: str) -> Run | None:
        """Return the run of that id if it has not ended here."""
        with self._board.lock:
            run = self._cache.peek(run_id)
            return run if run and run.is_active else None

    def add(self, run: Run) -> None:
        """Keep a run in memory, and evict others if need be."""
        with self._board.lock:
            self._cache.add(run)
            self.trim(spared=run)

    def discard(self, run_id: str) -> None:
        """Forget a run that has ended."""
        with self._board.lock:
            if not self.active(run_id):
                self._cache.discard(run_id)

    def trim(self, spared: Run | None = None) -> None:
        """Evict runs until the rest is within the bounds of memory; weights are released in the background."""
        with self._board.lock:
            for run in self._cache.evict(lambda run: run is spared or self._board.slot_of(run) is not None):
                self._background.submit(run.release_weights)
