"""The training process, `python -m mnist_fc.server.worker`: commands on standard input, replies on standard output.

Both are streams of pickled messages (protocol.py) between this process and its server; see process.py. The replies follow the
line RECORDS_FOLLOW. Training runs on the main thread, since PyTorch's worker threads belong to the thread that first used
them. The process ends when its standard input does, so it never outlives the server, however that ends. limits.py bounds its
memory and priority.
"""

import contextlib
import faulthandler
import os
import pickle
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from enum import Enum
from typing import IO

from mnist_fc.config import PRESETS
from mnist_fc.data.mnist import DataError, Mnist, load_mnist
from mnist_fc.network.products import bfloat16_share
from mnist_fc.records import EndRecord, StateRecord, WeightsRecord
from mnist_fc.server.limits import OUT_OF_MEMORY, is_out_of_memory, limit_memory, out_of_memory_message
from mnist_fc.server.outbox import Outbox
from mnist_fc.server.protocol import (
    RECORDS_FOLLOW,
    Command,
    Ended,
    MeasureSpeed,
    Pause,
    Paused,
    Ready,
    Result,
    Resume,
    Running,
    RunRecord,
    SetLearningRate,
    StartRun,
    StartSweep,
    Stop,
    Yield,
    Yielded,
)
from mnist_fc.sweep.errors import SweepError
from mnist_fc.training.engine import train
from mnist_fc.training.teaching import teach
from mnist_fc.training.throughput import measure
from mnist_fc.training.train_state import StateError, TrainState

# While a run trains, its newest weights are sent this often, and those of a large network less often, to keep its speed.
LIVE_SECONDS = 1.0
LIVE_BYTES_PER_SECOND = 20e6

HELD_OUT_SECONDS = 30.0
"""The time for which a job whose slice is over may still read the digits left out of its lesson. Other networks need a few."""

LAST_SECONDS, LAST_SHARE = 3.0, 0.1
"""A run that needs no more than this to finish does not yield."""


class Request(Enum):
    """The server's request about the job in progress."""

    CONTINUE = "continue"
    YIELD = "yield"
    STOP = "stop"


class Worker:
    """Does one run, sweep or speed test after another. Commands about any other job than the one in progress are ignored."""

    def __init__(self, commands: "queue.SimpleQueue[Command]", outbox: Outbox) -> None:
        self._commands = commands
        self._outbox = outbox
        self._data: Mnist | None = None
        self._request = Request.CONTINUE

    def work(self) -> None:
        """Get ready, report it, and do the jobs that arrive for as long as the process lives."""
        with contextlib.suppress(DataError):  # reported when a job needs the data; the file may be there by then
            data = self._load_data()
            next(train(PRESETS["fast"].fitted_to(len(data.train_labels)), data))
        ready = Ready(bfloat16_share())
        limit_memory()
        self._outbox.put(ready)
        while True:
            self.do(self._commands.get())

    def do(self, command: Command) -> None:
        """Do the job that a command starts; ignore a command about a job that is over."""
        self._request = Request.CONTINUE
        match command:
            case StartRun():
                self._run(command)
            case StartSweep():
                self._sweep(command)
            case MeasureSpeed():
                self._measure(command)

    def _load_data(self) -> Mnist:
        self._data = self._data or load_mnist()
        return self._data

    def _run(self, start: StartRun) -> None:
        sent_at = time.monotonic()
        others_wait_since = 0.0
        now: TrainState | None = None

        def on_step(training: TrainState) -> bool:
            nonlocal sent_at, now
            now = training
            self._handle_commands(start.job_id, training)
            if self._request is not Request.CONTINUE:
                return False
            if time.monotonic() - sent_at > max(LIVE_SECONDS, 4 * training.model.num_parameters / LIVE_BYTES_PER_SECOND):
                weights = WeightsRecord(training.step, training.epoch, training.weights())
                self._outbox.put(RunRecord(start.job_id, weights))
                sent_at = time.monotonic()
            return True

        # The lesson is taught, so it is not paused any more; those who wait for its slot wait a little longer.
        def on_held_out_step(_training: TrainState) -> bool:
            nonlocal others_wait_since
            self._handle_commands(start.job_id)
            if self._request is Request.YIELD:
                others_wait_since = others_wait_since or time.monotonic()
                return time.monotonic() - others_wait_since < HELD_OUT_SECONDS
            return self._request is Request.CONTINUE

        try:
            data = self._load_data()
            if start.lesson:
                records = teach(start.config, data, start.lesson, on_step, start.state, on_held_out_step)
            else:
                records = train(start.config, data, on_step, start.state)
            self._outbox.put(RunRecord(start.job_id, next(records)))  # the weights first: a running run can read drawings
            self._outbox.put(Running(start.job_id))
            for record in records:
                self._outbox.put(RunRecord(start.job_id, record))
                if self._request is Request.YIELD and isinstance(record, StateRecord):  # the next slice resumes from it
                    self._outbox.put(Yielded(start.job_id))
                    return
        except (DataError, StateError) as error:
            self._fail(start.job_id, f"{error}.", None)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            self._fail(start.job_id, out_of_memory_message(), now)

    def _fail(self, job_id: str, message: str, training: TrainState | None) -> None:
        step, epoch, seconds = (training.step, training.epoch, training.seconds) if training else (0, 0, 0.0)
        self._outbox.put(RunRecord(job_id, EndRecord(step, epoch, "failed", message, seconds, None, None)))

    def _measure(self, command: MeasureSpeed) -> None:
        def results() -> Iterator[Result]:
            for record in measure(command.config, self._load_data(), command.max_threads):
                yield Result(command.job_id, record)
                self._handle_commands(command.job_id)
                if self._request is Request.STOP:
                    break

        self._send_results(command.job_id, results())

    def _sweep(self, start: StartSweep) -> None:
        from mnist_fc.sweep.search import sweep  # Optuna and SQLAlchemy; few servers ever need them

        def on_step(_training: TrainState) -> bool:
            self._handle_commands(start.job_id)
            return self._request is not Request.STOP

        def should_yield() -> bool:
            return self._request is Request.YIELD

        def results() -> Iterator[Result | Yielded]:
            records = sweep(start.config, self._load_data(), on_step, parked=start.parked, should_yield=should_yield)
            while True:
                try:
                    yield Result(start.job_id, next(records))
                except StopIteration as stopped:
                    if stopped.value or self._request is Request.YIELD:
                        yield Yielded(start.job_id, stopped.value)
                    return

        self._send_results(start.job_id, results())

    def _send_results(self, job_id: str, replies: Iterator[Result | Yielded]) -> None:
        """Send the replies about a sweep or a speed test, and its end unless it has yielded."""
        problem = ""
        self._outbox.put(Running(job_id))
        try:
            for reply in replies:
                self._outbox.put(reply)
                if isinstance(reply, Yielded):
                    return
        except (DataError, SweepError, StateError) as error:
            problem = f"{error}."
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            problem = out_of_memory_message()
        self._outbox.put(Ended(job_id, problem))

    def _handle_commands(self, job_id: str, run: TrainState | None = None) -> None:
        """Carry out the commands that have arrived about the job in progress, and set `_request`.

        A `run`, unlike a sweep and a speed test, can also be paused: then wait for further commands.
        """
        is_paused = False
        while is_paused or not self._commands.empty():
            command = self._commands.get()
            if command.job_id != job_id:
                continue
            match command:
                case Stop():
                    self._request = Request.STOP
                    return
                case Yield() if run is None or is_paused or not is_almost_done(run):
                    self._request = Request.YIELD
                    is_paused = False
                case SetLearningRate(learning_rate=learning_rate) if run:
                    run.learning_rate = learning_rate
                case Pause() if run and self._request is Request.CONTINUE:
                    is_paused = True
                    # The page reads with the newest weights while none newer can come.
                    self._outbox.put(RunRecord(job_id, WeightsRecord(run.step, run.epoch, run.weights())))
                    self._outbox.put(Paused(job_id))
                case Resume() if is_paused:
                    is_paused = False
                    self._outbox.put(Running(job_id))


def is_almost_done(training: TrainState) -> bool:
    """Return whether others may as well wait for it, if its remaining steps take as long as the steps so far."""
    num_left = training.num_steps - training.step
    if num_left > LAST_SHARE * training.num_steps or not training.step:
        return False
    return training.seconds / training.step * num_left <= LAST_SECONDS


def _read_commands(stream: IO[bytes], put: Callable[[Command], object]) -> None:
    """Pass on commands until the server has closed the stream, then end the process, since its server is gone."""
    try:
        with contextlib.suppress(EOFError, OSError):
            while True:
                put(pickle.load(stream))
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except (pickle.UnpicklingError, AttributeError, ImportError, IndexError, TypeError, ValueError):  # no command of this program
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def main() -> None:
    """Serve the process that started this one, until it ends."""
    faulthandler.enable()  # if a library ends the process, the log says where
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches this process too; the server decides
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=2**20)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a library that prints must not write among the replies
    replies.write(b"\n" + RECORDS_FOLLOW)
    # Not sys.stdin: an interpreter that ends with an error would wait for its lock, which `_read_commands` holds.
    stdin = os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
    threading.Thread(target=_read_commands, args=(stdin, commands.put), daemon=True).start()
    Worker(commands, Outbox(replies)).work()


if __name__ == "__main__":
    main()
