"""TrainingProcess: one training process (worker.py) from the server's side, with the thread that receives what it sends.

The process is a fresh interpreter that is started before it is needed and loads PyTorch and the data meanwhile.
"""

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

from mnist_fc.files import ROOT
from mnist_fc.server.limits import MEMORY_VARIABLE, OUT_OF_MEMORY
from mnist_fc.server.protocol import RECORDS_FOLLOW


class TrainingProcess:
    """Takes commands from any thread. What it sends goes to `receive(process, name, value)`, and when it has ended, in whatever
    way, `bury(process, why)` is called last, both from one thread of its own.
    """

    def __init__(
        self, receive: Callable[["TrainingProcess", str, Any], None], bury: Callable[["TrainingProcess", str], None]
    ) -> None:
        self._receive = receive
        self._bury = bury
        self._commands: queue.SimpleQueue[tuple[str, Any] | None] = queue.SimpleQueue()
        self.was_ready = False
        """Whether it came so far that it could take a command; one that did not would not the next time."""
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mnist_fc.server.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**_patience(), **os.environ, "PYTHONPATH": path},
        )
        self._sender = threading.Thread(target=self._pass_on, daemon=True)
        self._receiver = threading.Thread(target=self._listen, daemon=True)
        try:
            self._sender.start()
            self._receiver.start()
        except RuntimeError:  # the system has no room for another thread
            self._commands.put(None)
            self._process.kill()
            self._process.wait()
            raise

    @property
    def id(self) -> int:
        """The system's number of it."""
        return self._process.pid

    @property
    def has_died(self) -> bool:
        """Whether it is gone, by itself or not."""
        return self._process.poll() is not None

    def send(self, name: str, *value: Any) -> None:
        """Never waits. A process that has just died takes no command; `bury` says so soon."""
        self._commands.put((name, value))

    def end(self) -> None:
        """Kill it."""
        self._process.kill()

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended and been buried."""
        self._receiver.join(timeout)

    def _pass_on(self) -> None:
        """A process that still loads reads nothing yet, and a state is more than a pipe holds: so in a thread of its own."""
        assert self._process.stdin
        while command := self._commands.get():
            with contextlib.suppress(OSError):
                pickle.dump(command, self._process.stdin)
                self._process.stdin.flush()
            del command  # the state of a run is large
        with contextlib.suppress(OSError):  # A command was still on its way to it.
            self._process.stdin.close()

    def _listen(self) -> None:
        assert self._process.stdout
        try:
            for line in self._process.stdout:
                if line == RECORDS_FOLLOW:
                    break
            while True:
                name, value = pickle.load(self._process.stdout)
                self.was_ready = self.was_ready or name == "ready"
                self._receive(self, name, value)
        except (EOFError, OSError, pickle.UnpicklingError):
            pass  # The process has ended.
        finally:
            self._process.kill()  # Should it live on after an error here: nobody reads from it any more.
            code = self._process.wait()
            self._process.stdout.close()
            self._commands.put(None)
            self._sender.join()
            self._bury(self, f"The training process {how_it_died(code)}.")


def _patience() -> dict[str, str]:
    """How long PyTorch's threads spin while they wait for each other.

    libgomp's own 300,000 rounds are milliseconds, in which a thread keeps from its core the very one that it waits for, where
    others work too: beside other programs on both cores five epochs took 73 s, with 10,000 rounds 29 s, with none 6 s. On
    cores of its own training takes 1.07 times as long with 10,000 rounds, and 1.45 times with none.
    """
    return {} if "OMP_WAIT_POLICY" in os.environ else {"GOMP_SPINCOUNT": "10000"}


def how_it_died(code: int) -> str:
    """An exit code in words."""
    if code == OUT_OF_MEMORY:
        return f"had less memory than it needs; {MEMORY_VARIABLE} allows more"
    name = {s.value: s.name for s in signal.Signals}.get(-code, f"signal {-code}")
    how = f"was ended by {name}" if code < 0 else f"ended with exit code {code}"
    return f"{how}, which is what a system out of memory does" if name == "SIGKILL" else how
