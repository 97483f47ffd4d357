"""The training process, `python -m mnist_fc.server.worker`: commands in on standard input, records out on standard output.

Both are streams of pickled pairs (name, value) between this process and the one that started it; see process.py. The records
begin after the line RECORDS_FOLLOW: what a library prints while it is imported comes before it. Training runs on the main
thread: PyTorch's worker threads belong to the thread that first used them. The process ends when its standard input does, so
it never outlives the page's server, however that ends. What it may take of the machine is bounded; see limits.py.
"""

import collections
import contextlib
import os
import pickle
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import IO, Any

import numpy as np
import torch

from mnist_fc.config import PRESETS, TrainConfig
from mnist_fc.data.mnist import DataError, Mnist, load_mnist
from mnist_fc.records import EndRecord, HistogramsRecord, StateRecord, StepRecord, WeightsRecord
from mnist_fc.server.limits import OUT_OF_MEMORY, limit_memory, lower_priority, out_of_memory
from mnist_fc.server.protocol import RECORDS_FOLLOW
from mnist_fc.sweep.search import sweep
from mnist_fc.sweep.space import SweepConfig, TrialRecord
from mnist_fc.sweep.storage import DAMAGED, SweepError
from mnist_fc.training.engine import train
from mnist_fc.training.throughput import SpeedRecord, measure
from mnist_fc.training.train_state import StateError, TrainState

# While a run goes on its newest weights are copied out this often, and of a large network so seldom that it is not slowed.
LIVE_SECONDS = 1.0
LIVE_BYTES_PER_SECOND = 20e6

# Every wake of the sending thread, and of the reader at the other end, takes a core from the training for a moment, and all
# its threads wait for that core: a record each took a sixth of the speed. So records wait for each other this long.
GATHER_SECONDS = 0.4


LAST_SECONDS, LAST_SHARE = 3.0, 0.1
"""A run with no more than that to do does it, though others wait."""


class Outbox:
    """Sends messages from a thread of its own, so that a slow reader never slows training.

    Records wait in order, however many; of the weights only the newest wait and those to keep, and of the states the newest, so
    the memory is bounded.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._waiting: collections.deque[tuple[str, Any]] = collections.deque()
        self._is_urgent = False
        self._changed = threading.Condition()
        threading.Thread(target=self._send, daemon=True).start()

    def put(self, name: str, value: Any = None) -> None:
        """Send a message soon; never waits for the reader."""
        with self._changed:
            if _is_passing(value) or isinstance(value, WeightsRecord):
                self._waiting = collections.deque(
                    m for m in self._waiting if not (type(m[1]) is type(value) and _is_passing(m[1]))
                )
            self._waiting.append((name, value))
            self._is_urgent = self._is_urgent or not isinstance(value, (StepRecord, WeightsRecord, StateRecord, HistogramsRecord))
            if self._is_urgent or len(self._waiting) == 1:
                self._changed.notify()

    def _send(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                self._changed.wait_for(lambda: self._is_urgent, GATHER_SECONDS)
                messages, self._waiting = self._waiting, collections.deque()
                self._is_urgent = False
            try:
                for message in messages:
                    pickle.dump(message, self._stream, protocol=5)
                self._stream.flush()
            except OSError:
                return  # The reader is gone, and `_receive` ends the process.
            except MemoryError:
                os._exit(OUT_OF_MEMORY)  # Nobody would hear of this process any more.


def _is_passing(value: Any) -> bool:
    """Whether it is of no use once there is a newer one."""
    return isinstance(value, StateRecord) or (isinstance(value, WeightsRecord) and not value.is_kept)


def is_almost_done(training: TrainState) -> bool:
    """Whether others may as well wait for it, if the steps to come are as long as those before."""
    num_left = training.num_steps - training.step
    return num_left <= LAST_SHARE * training.num_steps and training.seconds / training.step * num_left <= LAST_SECONDS


class Search:
    """A sweep that the process is at, or that lets others have their turn: in the middle of a trial, which waits in memory."""

    def __init__(self, sweep_id: str, config: SweepConfig, data: Mnist, goes_on: Callable[[str], bool]) -> None:
        self.id = sweep_id
        self._threads = config.base.threads
        self._goes_on, self._is_stopped = goes_on, False
        self._rested, self._rests_since = 0.0, 0.0
        self._records = sweep(config, data, self._before_step, clock=lambda: time.monotonic() - self._rested)

    def _before_step(self, _training: TrainState) -> bool:
        self._is_stopped = self._is_stopped or not self._goes_on(self.id)
        return not self._is_stopped

    def records(self) -> Iterator[TrialRecord]:
        """Those of a turn, until `rest`."""
        if self._rests_since:
            self._rested += time.monotonic() - self._rests_since
            torch.set_num_threads(self._threads)  # whoever had a turn may have had others
        return self._records

    def rest(self) -> None:
        """Others have their turn; that costs none of its minutes."""
        self._rests_since = time.monotonic()

    def close(self) -> None:
        """Its trial is stopped, if there is one; where that cannot be written, who asks next finds it to be gone."""
        with contextlib.suppress(SweepError, OSError, *DAMAGED):
            self._records.close()


class Worker:
    """Does one run, test of speed or sweep after another, as commands say; a command that names what does not go on is void."""

    def __init__(self, commands: "queue.SimpleQueue[tuple[str, Any]]", outbox: Outbox) -> None:
        self._commands = commands
        self._outbox = outbox
        self._data: Mnist | None = None
        self._is_to_yield = False
        self._resting: Search | None = None

    def work(self) -> None:
        """Get ready for a run, say so, and do the runs that are asked for, for as long as the process lives."""
        with contextlib.suppress(DataError):  # Said when a run is asked for; by then the file may be there.
            next(train(PRESETS["fast"], self._load_data()))
        limit_memory()
        self._outbox.put("ready")
        while True:
            name, value = self._commands.get()
            self._is_to_yield = False
            match name:
                case "start":
                    self._run(*value)
                case "measure":
                    self._measure(*value)
                case "sweep":
                    self._sweep(*value)
                case "stop":
                    self._give_up(*value)

    def _load_data(self) -> Mnist:
        self._data = self._data or load_mnist()
        return self._data

    def _run(self, run_id: str, config: TrainConfig, state: dict[str, np.ndarray] | None) -> None:
        sent_at = time.monotonic()
        now: TrainState | None = None

        def on_step(training: TrainState) -> bool:
            nonlocal sent_at, now
            now = training
            if not self._commands.empty() and not self._obey(run_id, training):
                return False
            if time.monotonic() - sent_at > max(LIVE_SECONDS, 4 * training.model.num_parameters / LIVE_BYTES_PER_SECOND):
                self._outbox.put("record", WeightsRecord(training.step, training.epoch, training.weights()))
                sent_at = time.monotonic()
            return True

        try:
            records = train(config, self._load_data(), on_step, state)
            self._outbox.put("record", next(records))  # the first weights, so that a run that runs can read
            self._outbox.put("running")
            for record in records:
                self._outbox.put("record", record)
                if self._is_to_yield and isinstance(record, StateRecord):  # it can go on from there
                    self._outbox.put("yielded")
                    return
        except (DataError, StateError) as error:
            self._outbox.put("record", EndRecord(0, 0, "failed", f"{error}.", 0.0, None, None))
        except (MemoryError, RuntimeError) as error:
            step, epoch, seconds = (now.step, now.epoch, now.seconds) if now else (0, 0, 0.0)
            self._outbox.put("record", EndRecord(step, epoch, "failed", out_of_memory(error), seconds, None, None))

    def _measure(self, test_id: str, config: TrainConfig, max_threads: int) -> None:
        def results() -> Iterator[SpeedRecord]:
            for record in measure(config, self._load_data(), max_threads):
                yield record
                if not self._goes_on(test_id):
                    break

        self._send_results(results())

    def _sweep(self, sweep_id: str, config: SweepConfig) -> None:
        search, self._resting = self._resting, None
        if search and search.id != sweep_id:
            search.close()
            search = None

        def results() -> Iterator[TrialRecord]:
            going = search or Search(sweep_id, config, self._load_data(), self._goes_on)
            for record in going.records():
                yield record
                if self._is_to_yield:
                    going.rest()
                    self._resting = going
                    break

        self._send_results(results())

    def _give_up(self, task_id: str) -> None:
        """Of a sweep that waits for its turn nothing more is to come."""
        if self._resting and self._resting.id == task_id:
            self._resting.close()
            self._resting = None

    def _send_results(self, records: Iterator[Any]) -> None:
        problem = ""
        try:
            for record in records:
                self._outbox.put("result", record)
        except (DataError, SweepError) as error:
            problem = f"{error}."
        except (MemoryError, RuntimeError) as error:
            problem = out_of_memory(error)
        if self._is_to_yield and not problem:
            self._outbox.put("yielded")
        else:
            self._outbox.put("ended", problem)

    def _goes_on(self, task_id: str) -> bool:
        """Carry out the commands that wait; False to stop."""
        while not self._commands.empty():
            name, (named_task, *_) = self._commands.get()
            match name:
                case "stop" if named_task == task_id:
                    self._is_to_yield = False
                    return False
                case "stop":
                    self._give_up(named_task)
                case "yield" if named_task == task_id:
                    self._is_to_yield = True
        return True

    def _obey(self, run_id: str, training: TrainState) -> bool:
        """Carry out the commands that wait, and while paused those to come; False to stop or yield."""
        paused = False
        while paused or not self._commands.empty():
            name, (named_run, *value) = self._commands.get()
            match name:
                case "stop" if named_run != run_id:
                    self._give_up(named_run)
                case _ if named_run != run_id:
                    pass
                case "stop":
                    return False
                case "yield":
                    if paused or not is_almost_done(training):
                        self._is_to_yield = True
                        return False
                case "learning_rate":
                    training.learning_rate = value[0]
                case "pause" | "resume":
                    paused = name == "pause"
                    if paused:  # the page reads with the newest weights while nothing newer can come
                        self._outbox.put("record", WeightsRecord(training.step, training.epoch, training.weights()))
                    self._outbox.put("paused" if paused else "running")
        return True


def _receive(stream: IO[bytes], put: Callable[[tuple[str, Any]], object]) -> None:
    """Pass commands on until there can be no more; then nobody is left to train for."""
    try:
        with contextlib.suppress(EOFError, OSError):
            while True:
                put(pickle.load(stream))
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    finally:
        os._exit(0)


def main() -> None:
    """Serve the process that started this one, until it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches this process too; the server decides
    lower_priority()
    records = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=2**20)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a library that prints must not write among the records
    records.write(b"\n" + RECORDS_FOLLOW)
    # Not sys.stdin, for which an interpreter that ends with an error would wait while `_receive` reads from it.
    stdin = os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    commands: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(stdin, commands.put), daemon=True).start()
    Worker(commands, Outbox(records)).work()


if __name__ == "__main__":
    main()
