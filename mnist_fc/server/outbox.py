"""Outbox: a thread that sends replies to the server, so that a slow reader never slows training."""

import collections
import os
import pickle
import threading
from typing import IO

from mnist_fc.records import HistogramsRecord, Record, StateRecord, StepRecord, WeightsRecord
from mnist_fc.server.limits import OUT_OF_MEMORY
from mnist_fc.server.protocol import Reply, RunRecord

# Every wake of the sending thread, and of the reader at the other end, takes a core from training for a moment, and all of
# training's threads wait for that core. One wake for each record cost a sixth of the speed, so records gather this long.
GATHER_SECONDS = 0.4


class Outbox:
    """Sends replies in order, from a thread of its own.

    Its memory is bounded: of the training states, and of the weights that need not be kept, only the newest waits.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._waiting: collections.deque[Reply] = collections.deque()
        self._is_urgent = False
        self._changed = threading.Condition()
        threading.Thread(target=self._send_loop, daemon=True).start()

    def put(self, reply: Reply) -> None:
        """Send a reply soon. Never waits for the reader."""
        record = reply.record if isinstance(reply, RunRecord) else None
        with self._changed:
            if isinstance(record, WeightsRecord | StateRecord):
                self._waiting = collections.deque(other for other in self._waiting if not _is_superseded(other, record))
            self._waiting.append(reply)
            can_wait = isinstance(record, StepRecord | WeightsRecord | StateRecord | HistogramsRecord)
            self._is_urgent = self._is_urgent or not can_wait
            if self._is_urgent or len(self._waiting) == 1:
                self._changed.notify()

    def _send_loop(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                self._changed.wait_for(lambda: self._is_urgent, GATHER_SECONDS)
                replies, self._waiting = self._waiting, collections.deque()
                self._is_urgent = False
            try:
                for reply in replies:
                    pickle.dump(reply, self._stream, protocol=5)
                self._stream.flush()
            except OSError:
                return  # The reader is gone; the end of the command stream ends the process.
            except MemoryError:
                os._exit(OUT_OF_MEMORY)  # nothing could be reported any more


def _is_superseded(reply: Reply, by: Record) -> bool:
    """Return whether a newer record makes a reply that waits useless."""
    if not isinstance(reply, RunRecord) or type(reply.record) is not type(by):
        return False
    return isinstance(reply.record, StateRecord) or (isinstance(reply.record, WeightsRecord) and not reply.record.is_kept)
