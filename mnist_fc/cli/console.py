"""The output of commands: lines and progress on a terminal, and results as JSON for programs."""

import errno
import io
import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from tqdm import tqdm  # type: ignore[import-untyped]

from mnist_fc.config import TrainConfig
from mnist_fc.records import EpochRecord, StepRecord

# tqdm's monitor thread would redraw a bar that stands still. This program starts no threads.
tqdm.monitor_interval = 0


def to_json(result: dict[str, Any]) -> str:
    """Return `result` as one line of JSON. Numbers that are not finite become null, since JSON has none."""
    return json.dumps(_finite(result), allow_nan=False)


def _finite(value: Any) -> Any:
    """Return `value` with None in place of every number in it that is not finite."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class _Output(io.RawIOBase):
    """The file behind standard output or standard error. What it cannot take is lost, so that the command still does its work.

    A closed pipe still raises BrokenPipeError: its reader has ended.
    """

    def __init__(self, file: io.RawIOBase) -> None:
        self._file = file
        self.error: OSError | None = None
        """Why something was lost, if it was."""

    def write(self, data: Any) -> int | None:
        try:
            return self._file.write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            if os.name == "nt" and error.errno == errno.EINVAL:  # so Windows reports a closed pipe
                raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from None
            self.error = error
            return len(data)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._file.isatty()

    def fileno(self) -> int:
        return self._file.fileno()


@contextmanager
def lenient_output() -> Iterator[Callable[[], OSError | None]]:
    """Let commands continue if standard output or standard error is closed or full, and print any file name.

    Yields a function that returns why output was lost, None if all was written.
    """
    streams = sys.stdout, sys.stderr
    stdout, output = _lenient(sys.stdout)
    sys.stdout, sys.stderr = stdout, _lenient(sys.stderr)[0]
    try:
        yield lambda: output.error if output else None
    finally:
        sys.stdout, sys.stderr = streams


def _lenient(stream: TextIO | None) -> tuple[TextIO, _Output | None]:
    """Return a stream that writes like `stream`, which is None if it is closed, and the file behind it if there is one."""
    if stream is None:
        # Writing to this fails as to a closed file. It also takes the number that the next file opened would get, to which
        # libraries print.
        output = _Output(io.FileIO(os.open(os.devnull, os.O_RDONLY), "w", closefd=False))
        return io.TextIOWrapper(io.BufferedWriter(output), errors="backslashreplace"), output
    if not isinstance(stream, io.TextIOWrapper):
        return stream, None
    stream.reconfigure(errors="backslashreplace")  # a file's name may hold characters that the terminal lacks
    file = getattr(stream.buffer, "raw", stream.buffer)
    if not isinstance(file, io.RawIOBase):
        return stream, None
    output = _Output(file)
    buffer: Any = output if file is stream.buffer else io.BufferedWriter(output)  # Python's option -u leaves out the buffer
    wrapper = io.TextIOWrapper(
        buffer, stream.encoding, stream.errors, line_buffering=stream.line_buffering, write_through=stream.write_through
    )
    return wrapper, output


class Screen:
    """Shows lines, and the progress of a training: as a bar on a terminal, and as a line for each epoch everywhere.

    It writes to standard output, or to standard error if a program reads the output. A silent one writes nothing.
    """

    def __init__(self, to_stderr: bool, is_silent: bool = False) -> None:
        self._stream = sys.stderr if to_stderr else sys.stdout
        self._is_silent = is_silent
        self._bar: Any = None

    def start(self, num_steps: int, steps_done: int = 0) -> None:
        """Begin the progress of a training of `num_steps` steps."""
        self._bar = tqdm(
            total=num_steps,
            initial=steps_done,
            unit="step",
            file=self._stream,
            disable=self._is_silent or not self._stream.isatty(),
            dynamic_ncols=True,
            leave=False,
        )

    def step(self, record: StepRecord, config: TrainConfig) -> None:
        """Move the bar to a step, if there is one."""
        if self._bar is not None:
            self._bar.set_description(f"epoch {record.epoch}/{config.num_epochs}", refresh=False)
            self._bar.set_postfix_str(f"loss {record.train_loss:.4f}", refresh=False)
            self._bar.update(record.step - self._bar.n)

    def epoch(self, record: EpochRecord, config: TrainConfig) -> None:
        """Print the result of an epoch."""
        accuracy = (
            f"validation {record.val_accuracy:.2%}" if record.val_accuracy is not None else f"test {record.test_accuracy:.2%}"
        )
        self.line(
            f"epoch {record.epoch:>3}/{config.num_epochs}  loss {record.train_loss:.4f}  {accuracy}  "
            f"{record.seconds:.2f} s  {record.images_per_second:,.0f} images/s"
        )

    def line(self, text: str) -> None:
        """Print a line, above the bar if there is one."""
        if not self._is_silent:
            tqdm.write(text, file=self._stream)
            self._stream.flush()

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
