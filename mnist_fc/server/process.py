"""TrainingProcess: one training process (worker.py) as the server sees it, with the threads that write to it and read from it.

The process is a fresh interpreter. It is started before it is needed and loads PyTorch and the data meanwhile.
"""

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import threading
from collections.abc import Callable
from typing import Protocol

from mnist_fc.files import module_command
from mnist_fc.server.limits import MEMORY_VARIABLE, OUT_OF_MEMORY, lower_priority
from mnist_fc.server.protocol import RECORDS_FOLLOW, Command, Ready, Reply


class Process(Protocol):
    """The interface of a training process that the scheduler needs."""

    was_ready: bool
    """Whether it has ever been ready for commands. If not, another process would most likely fail in the same way."""

    @property
    def id(self) -> int:
        """The system's process id."""

    @property
    def has_died(self) -> bool:
        """Whether it has ended."""

    def send(self, command: Command) -> None:
        """Send a command. Never waits; a process that has just died ignores it, and `on_exit` follows."""

    def end(self) -> None:
        """Kill it."""

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended and `on_exit` has returned."""


EXIT_SECONDS = 2.0
"""How long a process may take to end after the end of its output."""

Receive = Callable[[Process, Reply], None]
OnExit = Callable[[Process, str], None]
StartProcess = Callable[[Receive, OnExit], Process]


class TrainingProcess:
    """A training process. Commands may be sent from any thread.

    One thread of its own calls `receive(process, reply)` for each reply, and last `on_exit(process, reason)` with a sentence,
    however the process ends. `receive` must not raise: its error would end the process.
    """

    def __init__(self, receive: Receive, on_exit: OnExit) -> None:
        """Start the process. Raises OSError, and RuntimeError if the system allows no further thread."""
        self._receive = receive
        self._on_exit = on_exit
        self._commands: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self.was_ready = False
        self._process = subprocess.Popen(
            module_command("mnist_fc.server.worker"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"OPENBLAS_NUM_THREADS": "1", **_spin_limit(), **os.environ},  # see __main__.py
        )
        lower_priority(self._process.pid)  # at once: it loads for seconds, in which a page is being opened
        self._writer = threading.Thread(target=self._write_loop, daemon=True)
        self._reader = threading.Thread(target=self._read_loop, daemon=True)
        try:
            self._writer.start()
            self._reader.start()
        except RuntimeError:
            self._commands.put(None)
            with self._process:  # closes its pipes
                self._process.kill()
            raise

    @property
    def id(self) -> int:
        """The system's process id."""
        return self._process.pid

    @property
    def has_died(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def send(self, command: Command) -> None:
        """Send a command. Never waits; a process that has just died ignores it, and `on_exit` follows."""
        self._commands.put(command)

    def end(self) -> None:
        """Kill it."""
        self._process.kill()

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended and `on_exit` has returned."""
        self._reader.join(timeout)

    def _write_loop(self) -> None:
        """Write commands. A thread does, since a loading process does not read and a training state is larger than a pipe."""
        assert self._process.stdin
        while command := self._commands.get():
            with contextlib.suppress(OSError):
                pickle.dump(command, self._process.stdin)
                self._process.stdin.flush()
            del command  # a training state is large
        with contextlib.suppress(OSError):  # part of a command may still be buffered
            self._process.stdin.close()

    def _read_loop(self) -> None:
        assert self._process.stdout
        try:
            for line in self._process.stdout:
                if line == RECORDS_FOLLOW:
                    break
            while True:
                reply: Reply = pickle.load(self._process.stdout)
                self.was_ready = self.was_ready or isinstance(reply, Ready)
                self._receive(self, reply)
        except (EOFError, OSError, pickle.UnpicklingError):
            # The process has ended, or is about to. Its own exit code tells more than the signal below.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(EXIT_SECONDS)
        finally:
            self._process.kill()  # after an error here, no thread would read its output
            code = self._process.wait()
            self._process.stdout.close()
            self._commands.put(None)
            self._writer.join()
            self._on_exit(self, f"The training process {how_it_died(code)}.")


def _spin_limit() -> dict[str, str]:
    """Return the environment variable that limits how long PyTorch's threads spin while they wait for each other.

    libgomp's default of 300,000 rounds is milliseconds. Where other programs share the cores, a spinning thread keeps its core
    from the very thread that it waits for: beside other programs on both cores five epochs took 73 s, with 10,000 rounds 29 s,
    with none 6 s. On cores of its own training takes 1.07 times as long with 10,000 rounds, and 1.45 times with none. While a
    core stays busy, training/pacing.py uses fewer threads.
    """
    return {} if "OMP_WAIT_POLICY" in os.environ else {"GOMP_SPINCOUNT": "10000"}


def how_it_died(code: int) -> str:
    """Describe an exit code, to follow "The training process"."""
    if code == OUT_OF_MEMORY:
        return f"had less memory than it needs; {MEMORY_VARIABLE} allows more"
    name = {s.value: s.name for s in signal.Signals}.get(-code, f"signal {-code}")
    how = f"was ended by {name}" if code < 0 else f"ended with exit code {code}"
    return f"{how}, which is what a system out of memory does" if name == "SIGKILL" else how
