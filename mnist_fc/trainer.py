"""Trainer: the server's side of the training process. It starts it, sends it commands, and gathers what comes back.

The process (worker.py) is a fresh interpreter that is started before it is needed and loads PyTorch and the data meanwhile.
One run, test of this machine's speed or sweep goes on at a time. A page reads immutable snapshots and never waits for training.
"""

import atexit
import contextlib
import math
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, Self, TypeVar

import numpy as np

from mnist_fc import checkpoint
from mnist_fc.checkpoint import CheckpointError
from mnist_fc.config import ConfigError, TrainConfig
from mnist_fc.records import EndRecord, EpochRecord, Record, StepRecord, WeightsRecord
from mnist_fc.runs import (
    RunFolder,
    RunsError,
    StoredRun,
    is_active,
    is_resumable,
    kept_checkpoints,
    learning_rate_of,
    read_run,
    stamp_of,
)
from mnist_fc.speed import SpeedRecord
from mnist_fc.store import RunStore, runs_dir
from mnist_fc.sweep import SweepConfig, TrialRecord
from mnist_fc.worker import RECORDS_FOLLOW

State = Literal["waiting", "starting", "running", "paused", "done", "stopped", "failed", "interrupted", "elsewhere"]
ACTIVE_STATES = ("waiting", "starting", "running", "paused")

MAX_RUNS_IN_MEMORY = 20


class TrainerBusy(RuntimeError):
    """The training process is at something else; the message says at what."""


@dataclass(frozen=True)
class RunSnapshot:
    """A run as it was at one moment."""

    id: str
    config: TrainConfig
    """As the run began."""
    learning_rate: float
    """The schedule's highest, as last set."""
    state: State
    message: str
    """Why a run failed, else empty."""
    storage_problem: str
    """Why the run is not in the store on disk, else empty."""
    is_resumable: bool
    """Whether it was cut off or stopped, and can go on from its last state."""
    steps: tuple[StepRecord, ...]
    epochs: tuple[EpochRecord, ...]
    weights: WeightsRecord | None
    """The newest copy."""
    kept: dict[int, Path]
    """By step, in order: the checkpoints of the weights that were kept on disk."""
    end: EndRecord | None

    @property
    def is_active(self) -> bool:
        """Whether it has not ended: waiting for its turn, starting, running or paused."""
        return self.state in ACTIVE_STATES


class Run:
    """One run as the server has received it so far. Written by the trainer's receiver, read through `snapshot`."""

    def __init__(self, config: TrainConfig, folder: RunFolder | None, storage_problem: str = "") -> None:
        self.id = folder.path.name if folder else os.urandom(6).hex()
        self.config = config
        self.learning_rate = config.learning_rate
        self.started_at = time.monotonic()
        self._changed = threading.Condition()
        self._folder = folder
        self.path = folder.path if folder else None
        """Where it is in the store; None when it could not be written there."""
        self._storage_problem = storage_problem
        self._stamp: object = None
        self._added = ""
        self._state: State = "starting"
        self._message = ""
        self._steps: list[StepRecord] = []
        self._epochs: list[EpochRecord] = []
        self._weights: WeightsRecord | None = None
        self._kept: dict[int, Path] = {}
        self._end: EndRecord | None = None

    @classmethod
    def stored(cls, run: StoredRun, stamp: object) -> Self:
        """A run as it is on disk; one without an end was cut off, or goes on elsewhere. `stamp` was taken before it was read."""
        self = cls(run.config, None)
        self.id, self.path, self._stamp = run.id, run.path, stamp
        self._added = run.about.added
        self._steps, self._epochs, self._end = list(run.steps), list(run.epochs), run.end
        self._kept = kept_checkpoints(run.path)
        if run.end:
            self._state, self._message = run.end.outcome, run.end.message
        else:
            self._state = "elsewhere" if is_active(run.path) else "interrupted"
        self._weights = _newest_weights(run)
        return self

    def has_changed_on_disk(self) -> bool:
        """Whether another program has gone on with it, or ended, since it was read or written here."""
        if self.path is None or self.is_active or self._stamp is None:
            return False
        return stamp_of(self.path) != self._stamp or (self._state == "elsewhere" and not is_active(self.path))

    def go_on(self, folder: RunFolder, learning_rate: float) -> None:
        """Be a run that starts again from what `folder` has, and is written to it."""
        stored = read_run(folder.path)
        with self._changed:
            self._folder, self._state, self._message, self._end = folder, "starting", "", None
            self._steps, self._epochs = list(stored.steps), list(stored.epochs)
            self._kept = folder.kept
            self._storage_problem = ""
            self.learning_rate = learning_rate
            self.started_at = time.monotonic()
            self._changed.notify_all()

    def snapshot(self) -> RunSnapshot:
        """The run as it is now."""
        with self._changed:
            return RunSnapshot(
                id=self.id,
                config=self.config,
                learning_rate=self.learning_rate,
                state=self._state,
                message=self._message,
                storage_problem=self._storage_problem,
                is_resumable=self._is_resumable(),
                steps=tuple(self._steps),
                epochs=tuple(self._epochs),
                weights=self._weights,
                kept=dict(self._kept),
                end=self._end,
            )

    @property
    def is_active(self) -> bool:
        """Whether it has not ended: waiting for its turn, starting, running or paused."""
        return self._state in ACTIVE_STATES

    def _is_resumable(self) -> bool:
        is_free = self.path is not None and not self.is_active and self._state != "elsewhere"
        return is_free and not self._added and is_resumable(self._end)

    @property
    def may_go_on_elsewhere(self) -> bool:
        """Whether another program trains it, or somebody else may let it go on: it was cut off."""
        return self._state in ("elsewhere", "interrupted")

    def wait_for(self, condition: Callable[["Run"], bool], timeout: float) -> bool:
        """Wait until `condition(run)` holds, at most `timeout` seconds; whether it does."""
        with self._changed:
            return self._changed.wait_for(lambda: condition(self), timeout)

    def wait_until_state(self, *states: State, timeout: float) -> bool:
        """Wait until the run is in one of `states`, at most `timeout` seconds; whether it is."""
        return self.wait_for(lambda run: run._state in states, timeout)

    def receive(self, record: Record) -> None:
        """Add a record, to the store on disk first; called from the receiver alone."""
        self._store(record)
        with self._changed:
            match record:
                case StepRecord():
                    self._steps.append(record)
                case EpochRecord():
                    self._epochs.append(record)
                case WeightsRecord():
                    self._weights = record
                    if self._folder:
                        self._kept = self._folder.kept
                case EndRecord():
                    self._end = record
                    self._message = record.message
                    self._state = record.outcome
            self._changed.notify_all()

    def set_state(self, state: State) -> None:
        """The process says that it runs or is paused."""
        with self._changed:
            self._state = state
            self._changed.notify_all()

    def interrupt(self) -> None:
        """It ends without an end, and can go on later."""
        with self._changed:
            self._state = "interrupted"
            self._close_folder()
            self._changed.notify_all()

    def _close_folder(self) -> None:
        if self._folder:
            with contextlib.suppress(OSError):  # what could not be written is lost with the rest
                self._folder.close()
            self._stamp = stamp_of(self._folder.path)
            self._folder = None

    def _store(self, record: Record) -> None:
        """A store that cannot be written is said on the page and costs the run nothing."""
        if self._folder is None:
            return
        try:
            self._folder.write(record)
        except RunsError as error:
            self._storage_problem = str(error)
            self._close_folder()
        else:
            if isinstance(record, EndRecord):
                self._close_folder()


def _newest_weights(run: StoredRun) -> WeightsRecord | None:
    """Of a run on disk: those of its last epoch, or kept later; None where there are none that can be read."""
    candidates = dict(kept_checkpoints(run.path))
    if run.epochs:
        candidates.setdefault(run.epochs[-1].step, run.path / checkpoint.CHECKPOINT_NAME)
    for step in sorted(candidates, reverse=True):
        with contextlib.suppress(CheckpointError, ConfigError):  # an older one serves as well
            model = checkpoint.load(candidates[step])
            if model.hidden_sizes != run.config.hidden_sizes:
                continue
            steps_per_epoch = run.epochs[0].step if run.epochs else 0
            epoch = math.ceil(step / steps_per_epoch) if steps_per_epoch else min(step, 1)
            return WeightsRecord(step, epoch, {name: tensor.numpy() for name, tensor in model.state_copy().items()})
    return None


C = TypeVar("C")
R = TypeVar("R")


class Task(Generic[C, R]):
    """What the process does besides runs, a measurement of its speed or a sweep, as the server has received it so far."""

    name = "Something else"

    def __init__(self, config: C) -> None:
        self.id = os.urandom(6).hex()
        self.config = config
        self.problem = ""
        """Why it ended before its time, else empty."""
        self._changed = threading.Condition()
        self._records: list[R] = []
        self._is_active = True

    @property
    def is_active(self) -> bool:
        """Whether it has not ended."""
        return self._is_active

    def records(self) -> list[R]:
        """What has come of it so far."""
        with self._changed:
            return list(self._records)

    def wait_until_ended(self, timeout: float) -> bool:
        """Wait until it has ended, at most `timeout` seconds; whether it has."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._is_active, timeout)

    def receive(self, record: R) -> None:
        """Add a record; called from the receiver alone."""
        with self._changed:
            self._records.append(record)
            self._changed.notify_all()

    def end(self, problem: str) -> None:
        """There is no more to come; called from the receiver alone."""
        with self._changed:
            self.problem = problem
            self._is_active = False
            self._changed.notify_all()


class SpeedTest(Task[TrainConfig, SpeedRecord]):
    """A measurement of this machine's speed."""

    name = "The speed of this machine is being measured"


class Sweep(Task[SweepConfig, TrialRecord]):
    """A search for better settings; a record whenever a trial begins, has done an epoch, or ends."""

    name = "A sweep goes on"


class Trainer:
    """Owns the training process and the runs of this server. All methods may be called from any thread."""

    def __init__(self, store: RunStore | None = None) -> None:
        self.store = store or RunStore(runs_dir())
        self._lock = threading.RLock()
        self._runs: dict[str, Run] = {}
        self._waiting: list[Run] = []
        self._current: Run | SpeedTest | Sweep | None = None
        self.speed_test: SpeedTest | None = None
        """The newest, of whoever asked for it: it tells of the machine."""
        self.sweep: Sweep | None = None
        """The newest, of whoever asked for it."""
        self._closing = False
        self._start_process()
        atexit.register(self.close)

    @property
    def process_id(self) -> int:
        """Of the training process of now."""
        return self._process.pid

    def run(self, run_id: str | None) -> Run | None:
        """The run of that id, which goes on here, or is in the store; None where there is none that can be read."""
        if not run_id:
            return None
        with self._lock:
            known = self._runs.get(run_id)
            if known is None or known.has_changed_on_disk():
                try:
                    stamp = stamp_of(self.store.folder(run_id))
                    self._remember(Run.stored(self.store.run(run_id), stamp))
                except RunsError:
                    return known
            return self._runs[run_id]

    def _remember(self, run: Run) -> None:
        self._runs[run.id] = run
        for old in [old for old in self._runs.values() if not old.is_active][: max(0, len(self._runs) - MAX_RUNS_IN_MEMORY)]:
            del self._runs[old.id]

    def forget(self, run_id: str) -> None:
        """It is no longer in the store."""
        with self._lock:
            self._runs.pop(run_id, None)

    def going(self, run_id: str) -> Run | None:
        """The run of that id, if it goes on here or waits."""
        run = self._runs.get(run_id)
        return run if run and run.is_active else None

    def current(self) -> Run | None:
        """The run that goes on, if any."""
        current = self._current
        return current if isinstance(current, Run) and current.is_active else None

    @property
    def is_busy(self) -> bool:
        """Whether a run, a test of speed or a sweep goes on, or a run waits for its turn."""
        return (self._current is not None and self._current.is_active) or bool(self._waiting)

    def start(self, config: TrainConfig) -> Run:
        """Begin a run. Raises TrainerBusy while the process is at something else, and RuntimeError once the trainer is closed."""
        (run,) = self.start_in_turn(config)
        return run

    def start_in_turn(self, *configs: TrainConfig) -> list[Run]:
        """Begin a run, and others after it, each when the one before it has ended. Raises what `start` raises."""
        with self._lock:
            self._make_ready()
            runs = [self._new_run(config) for config in configs]
            for run in runs[1:]:
                run.set_state("waiting")
            self._waiting = runs[1:]
            self._begin(runs[0], None)
            return runs

    def go_on(self, run: Run) -> None:
        """Let a run that was cut off or stopped go on from its last state. Raises what `start` raises, and RunsError."""
        with self._lock:
            self._make_ready()
            folder, state = self.store.reopen(run.id)
            run.go_on(folder, learning_rate_of(state) if state else run.config.learning_rate)
            self._remember(run)
            self._begin(run, state)

    def _new_run(self, config: TrainConfig) -> Run:
        try:
            run = Run(config, self.store.create(config))
        except RunsError as error:
            run = Run(config, None, str(error))
        self._remember(run)
        return run

    def _begin(self, run: Run, state: dict[str, np.ndarray] | None) -> None:
        self._current = run
        self._send("start", run.id, run.config, state)
        if state is None and run.learning_rate != run.config.learning_rate:  # it was set while the run waited
            self._send("learning_rate", run.id, run.learning_rate)

    def measure_speed(self, config: TrainConfig) -> SpeedTest:
        """Begin to measure how fast the network of `config` trains here. Raises what `start` raises."""
        with self._lock:
            self._make_ready()
            self.speed_test = self._current = SpeedTest(config)
            self._send("measure", self.speed_test.id, config)
            return self.speed_test

    def start_sweep(self, config: SweepConfig) -> Sweep:
        """Begin to search for better settings. Raises what `start` raises."""
        with self._lock:
            self._make_ready()
            self.sweep = self._current = Sweep(config)
            self._send("sweep", self.sweep.id, config)
            return self.sweep

    def _make_ready(self) -> None:
        """See that there is a process, with nothing to do."""
        if self._closing:
            raise RuntimeError("the trainer is closed")
        if self.is_busy:
            what = self._current.name if isinstance(self._current, Task) else "Another run goes on"
            raise TrainerBusy(f"{what}, and it trains one network at a time")
        if self._process.poll() is not None:
            self._start_process()

    def pause(self, run: Run) -> None:
        """Hold a run after the step it is in."""
        self._send("pause", run.id)

    def resume(self, run: Run) -> None:
        """Let a paused run go on."""
        self._send("resume", run.id)

    def stop(self, run: Run | SpeedTest | Sweep) -> None:
        """End a run or a sweep after the step it is in, or before its turn; a test of speed after the figure it is at."""
        with self._lock:
            if isinstance(run, Run) and run in self._waiting:
                self._waiting.remove(run)
                run.receive(EndRecord(0, 0, "stopped", "", 0.0, None, None))
            else:
                self._send("stop", run.id)

    def set_learning_rate(self, run: Run, learning_rate: float) -> None:
        """Change the schedule's highest learning rate from the next step on. Raises ConfigError when out of range."""
        checked = run.config.replace(learning_rate=learning_rate).learning_rate
        if run.is_active:
            run.learning_rate = checked
            self._send("learning_rate", run.id, checked)

    def close(self) -> None:
        """End the training process for good and wait until it and its receiver are gone; a run that goes on is cut off."""
        with self._lock:
            self._closing = True
            process, receiver = self._process, self._receiver
        process.kill()
        receiver.join()

    def _start_process(self) -> None:
        package_parent = str(Path(__file__).parents[1])
        path = os.pathsep.join(filter(None, [package_parent, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mnist_fc.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        self._receiver = threading.Thread(target=self._receive, args=(self._process,), daemon=True)
        self._receiver.start()

    def _send(self, name: str, *value: Any) -> None:
        """A process that has just died takes no command; `_receive` notices and says so."""
        with self._lock:
            assert self._process.stdin
            with contextlib.suppress(OSError, ValueError):
                pickle.dump((name, value), self._process.stdin)
                self._process.stdin.flush()

    def _receive(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout
        was_ready = False
        try:
            for line in process.stdout:
                if line == RECORDS_FOLLOW:
                    break
            while True:
                name, value = pickle.load(process.stdout)
                match name, self._current:
                    case "ready", _:
                        was_ready = True
                    case "record", Run() as run:
                        run.receive(value)
                        if isinstance(value, EndRecord):
                            self._begin_next()
                    case "result", Task() as task:
                        task.receive(value)
                    case "ended", Task() as task:
                        task.end(value)
                    case "running" | "paused" as state, Run() as run:
                        run.set_state(state)
        except (EOFError, OSError, pickle.UnpicklingError):
            pass  # The process has ended.
        finally:
            process.kill()  # Should it live on after an error here: nobody reads from it any more.
            self._bury(process, was_ready)

    def _begin_next(self) -> None:
        with self._lock:
            if self._waiting and not self._closing:
                run = self._waiting.pop(0)
                run.set_state("starting")
                self._begin(run, None)

    def _bury(self, process: "subprocess.Popen[bytes]", was_ready: bool) -> None:
        """Say why the run that goes on has failed, and have the next process ready for the next."""
        assert process.stdout
        assert process.stdin
        code = process.wait()
        with self._lock:
            process.stdout.close()
            with contextlib.suppress(OSError):  # A command was still on its way to it.
                process.stdin.close()
            if process is not self._process:
                return  # No run went on, and `start` came first: the process and the run of now are others.
            if self._closing:
                for each in [run for run in self._runs.values() if run.is_active]:
                    each.interrupt()
            why = "The trainer was closed." if self._closing else f"The training process {_how_it_died(code)}."
            if run := self.current():
                run.receive(_end_by_death(why, run.snapshot()))
            elif isinstance(self._current, Task) and self._current.is_active:
                self._current.end(why)
            if was_ready and not self._closing:  # One that dies before would die again; the next start tries.
                self._start_process()
                self._begin_next()


def _end_by_death(why: str, last: RunSnapshot) -> EndRecord:
    """The record that the process had no time to send, so that the run ends in the store as it does on the page."""
    step, epoch, seconds = (last.steps[-1].step, last.steps[-1].epoch, last.steps[-1].seconds) if last.steps else (0, 0, 0.0)
    way_on = "Train starts anew" if last.storage_problem else "Resume goes on with it, Train starts anew"
    message = f"{why} All that it had sent, up to step {step}, is kept; {way_on}."
    return EndRecord(step, epoch, "failed", message, seconds, None, None)


def _how_it_died(code: int) -> str:
    name = {s.value: s.name for s in signal.Signals}.get(-code, f"signal {-code}")
    how = f"was ended by {name}" if code < 0 else f"ended with exit code {code}"
    return f"{how}, which is what a system out of memory does" if name == "SIGKILL" else how
