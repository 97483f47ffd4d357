"""BackgroundThread: runs slow functions, one after the other, that must not run under a lock."""

import logging
import queue
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


class BackgroundThread:
    """Calls the functions that it is given in order. Their errors are logged."""

    def __init__(self) -> None:
        self._functions: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()

    def submit(self, function: Callable[[], object]) -> None:
        """Call `function` after those before it. Never waits."""
        self._functions.put(function)

    def close(self) -> None:
        """Wait until all functions have been called, and end the thread."""
        self._functions.put(None)
        self._thread.join()

    def _loop(self) -> None:
        while function := self._functions.get():
            try:
                function()
            except Exception:
                log.exception("a background task failed")
