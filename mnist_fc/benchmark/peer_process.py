"""A peer's process: started when its first epoch is due, it waits for its turns and ends with this process."""

import importlib.util
import json
import os
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from mnist_fc.benchmark import peers
from mnist_fc.benchmark.peers import COMMAND, PEERS
from mnist_fc.benchmark.timing import Epoch
from mnist_fc.files import module_command


class PeerError(Exception):
    """A peer is not installed or has failed; the message says why, in a clause."""


def environment(name: str, threads: int) -> dict[str, str]:
    """Return the environment of a peer's process: the back end of Keras, the CPU alone, and `threads` for every library."""
    counts = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
    return {
        **os.environ,
        "KERAS_BACKEND": PEERS[name][-1],  # the others ignore it
        "JAX_PLATFORMS": "cpu",
        "CUDA_VISIBLE_DEVICES": "",
        **dict.fromkeys(counts, str(threads)),
    }


class PeerProcess:
    """The peer `name` that trains `net` on the images in the file `data`. A context manager, which ends the process.

    A waiting process reads its standard input, so it needs no core, and it ends when this process does.
    """

    def __init__(self, name: str, net: str, threads: int, data: Path) -> None:
        self._name = name
        self._command = [*module_command(peers.__name__), name, net, str(threads), str(data)]
        self._environment = environment(name, threads)
        self._process: subprocess.Popen[str] | None = None
        self._errors: IO[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    def epoch(self) -> Epoch:
        """Run the next epoch; raise PeerError if the peer is not installed or has failed."""
        process = self._process or self._start()
        assert process.stdin
        assert process.stdout
        try:
            process.stdin.write(f"{COMMAND}\n")
            process.stdin.flush()
        except OSError:  # it has ended
            raise PeerError(self._last_words()) from None
        if not (line := process.stdout.readline()):
            raise PeerError(self._last_words())
        return Epoch(**json.loads(line))

    def _start(self) -> subprocess.Popen[str]:
        if missing := [package for package in PEERS[self._name] if not importlib.util.find_spec(package)]:
            raise PeerError(f"it needs {' and '.join(missing)}")
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 (closed by _end)
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        return self._process

    def _last_words(self) -> str:
        """Return the reason for the end of the process: the signal, or the last line of its errors."""
        assert self._process
        assert self._errors
        code = self._process.wait()
        if code < 0:
            return f"it was ended by {signal.Signals(-code).name}"
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        return lines[-1] if lines else f"it ended with exit code {code}"

    def _end(self) -> None:
        if self._process:
            self._process.kill()
            self._process.communicate()  # closes its pipes
        if self._errors:
            self._errors.close()
