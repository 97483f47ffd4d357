"""Trainer: the server's side of the training process. It starts it, sends it commands, and gathers what comes back.

The process (worker.py) is a fresh interpreter that is started before it is needed and loads PyTorch and the data meanwhile.
One run, or test of this machine's speed, goes on at a time. A page reads immutable snapshots and never waits for training.
"""

import atexit
import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mnist_fc.config import TrainConfig
from mnist_fc.engine import EndRecord, EpochRecord, Record, StepRecord, WeightsRecord
from mnist_fc.runs import RunFolder, RunsError, runs_dir
from mnist_fc.speed import SpeedRecord
from mnist_fc.worker import RECORDS_FOLLOW

State = Literal["starting", "running", "paused", "done", "stopped", "failed"]
ACTIVE_STATES = ("starting", "running", "paused")

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
    steps: tuple[StepRecord, ...]
    epochs: tuple[EpochRecord, ...]
    weights: WeightsRecord | None
    """The newest copy."""
    kept: dict[int, Path]
    """By step, in order: the checkpoints of the weights that were kept on disk."""
    end: EndRecord | None

    @property
    def is_active(self) -> bool:
        """Whether it has not ended: starting, running or paused."""
        return self.state in ACTIVE_STATES


class Run:
    """One run as the server has received it so far. Written by the trainer's receiver, read through `snapshot`."""

    def __init__(self, run_id: str, config: TrainConfig) -> None:
        self.id = run_id
        self.config = config
        self.learning_rate = config.learning_rate
        self.folder: RunFolder | None = None
        self._changed = threading.Condition()
        self._state: State = "starting"
        self._message = ""
        self._storage_problem = ""
        self._steps: list[StepRecord] = []
        self._epochs: list[EpochRecord] = []
        self._weights: WeightsRecord | None = None
        self._kept: dict[int, Path] = {}
        self._end: EndRecord | None = None

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
                steps=tuple(self._steps),
                epochs=tuple(self._epochs),
                weights=self._weights,
                kept=dict(self._kept),
                end=self._end,
            )

    @property
    def is_active(self) -> bool:
        """Whether it has not ended: starting, running or paused."""
        return self._state in ACTIVE_STATES

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
                    if record.is_kept and self.folder:
                        self._kept[record.step] = self.folder.checkpoint_at(record.step)
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

    def open_folder(self, store: Path) -> None:
        """Begin to write the run to disk; a store that cannot be written is said on the page and costs the run nothing."""
        try:
            self.folder = RunFolder(store, self.config)
        except RunsError as error:
            self._storage_problem = str(error)

    def _store(self, record: Record) -> None:
        if self.folder is None:
            return
        try:
            self.folder.write(record)
        except RunsError as error:
            self.folder = None
            self._storage_problem = str(error)


class SpeedTest:
    """A measurement of this machine's speed as the server has received it so far."""

    def __init__(self, config: TrainConfig) -> None:
        self.id = os.urandom(6).hex()
        self.config = config
        self.problem = ""
        """Why it ended before its time, else empty."""
        self._changed = threading.Condition()
        self._records: list[SpeedRecord] = []
        self._is_active = True

    @property
    def is_active(self) -> bool:
        """Whether it has not ended."""
        return self._is_active

    def records(self) -> list[SpeedRecord]:
        """What has been measured so far."""
        with self._changed:
            return list(self._records)

    def wait_until_ended(self, timeout: float) -> bool:
        """Wait until it has ended, at most `timeout` seconds; whether it has."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._is_active, timeout)

    def receive(self, record: SpeedRecord) -> None:
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


class Trainer:
    """Owns the training process and the runs of this server. All methods may be called from any thread."""

    def __init__(self, store: Path | None = None) -> None:
        self._store = runs_dir(store)
        self._lock = threading.RLock()
        self._runs: dict[str, Run] = {}
        self._current: Run | SpeedTest | None = None
        self.speed_test: SpeedTest | None = None
        """The newest, of whoever asked for it: it tells of the machine."""
        self._closing = False
        self._start_process()
        atexit.register(self.close)

    @property
    def process_id(self) -> int:
        """Of the training process of now."""
        return self._process.pid

    def run(self, run_id: str | None) -> Run | None:
        """The run of that id, if this server still has it."""
        return self._runs.get(run_id) if run_id else None

    def current(self) -> Run | None:
        """The run that goes on, if any."""
        current = self._current
        return current if isinstance(current, Run) and current.is_active else None

    @property
    def is_busy(self) -> bool:
        """Whether a run or a test of speed goes on."""
        return self._current is not None and self._current.is_active

    def start(self, config: TrainConfig) -> Run:
        """Begin a run. Raises TrainerBusy while the process is at something else, and RuntimeError once the trainer is closed."""
        with self._lock:
            self._make_ready()
            run = Run(os.urandom(6).hex(), config)
            run.open_folder(self._store)
            self._runs[run.id] = self._current = run
            while len(self._runs) > MAX_RUNS_IN_MEMORY:
                self._runs.pop(next(iter(self._runs)))
            self._send("start", run.id, config)
            return run

    def measure_speed(self, config: TrainConfig) -> SpeedTest:
        """Begin to measure how fast the network of `config` trains here. Raises what `start` raises."""
        with self._lock:
            self._make_ready()
            self.speed_test = self._current = SpeedTest(config)
            self._send("measure", self.speed_test.id, config)
            return self.speed_test

    def _make_ready(self) -> None:
        """See that there is a process, with nothing to do."""
        if self._closing:
            raise RuntimeError("the trainer is closed")
        if self.is_busy:
            what = "Another run goes on" if isinstance(self._current, Run) else "The speed of this machine is being measured"
            raise TrainerBusy(f"{what}, and it trains one network at a time")
        if self._process.poll() is not None:
            self._start_process()

    def pause(self, run: Run) -> None:
        """Hold a run after the step it is in."""
        self._send("pause", run.id)

    def resume(self, run: Run) -> None:
        """Let a paused run go on."""
        self._send("resume", run.id)

    def stop(self, run: Run | SpeedTest) -> None:
        """End a run after the step it is in, a test of speed after the figure that is being measured."""
        self._send("stop", run.id)

    def set_learning_rate(self, run: Run, learning_rate: float) -> None:
        """Change the schedule's highest learning rate from the next step on. Raises ConfigError when out of range."""
        checked = run.config.replace(learning_rate=learning_rate).learning_rate
        if run.is_active:
            run.learning_rate = checked
            self._send("learning_rate", run.id, checked)

    def close(self) -> None:
        """End the training process for good and wait until it and its receiver are gone; a run that goes on fails."""
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
                    case "speed", SpeedTest() as test:
                        test.receive(value)
                    case "measured", SpeedTest() as test:
                        test.end(value)
                    case "running" | "paused" as state, Run() as run:
                        run.set_state(state)
        except (EOFError, OSError, pickle.UnpicklingError):
            pass  # The process has ended.
        finally:
            process.kill()  # Should it live on after an error here: nobody reads from it any more.
            self._bury(process, was_ready)

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
            why = "The trainer was closed." if self._closing else f"The training process {_how_it_died(code)}."
            if run := self.current():
                run.receive(_end_by_death(why, run.snapshot()))
            elif isinstance(self._current, SpeedTest) and self._current.is_active:
                self._current.end(why)
            if was_ready and not self._closing:  # One that dies before would die again; the next start tries.
                self._start_process()


def _end_by_death(why: str, last: RunSnapshot) -> EndRecord:
    """The record that the process had no time to send, so that the run ends in the store as it does on the page."""
    step, epoch, seconds = (last.steps[-1].step, last.steps[-1].epoch, last.steps[-1].seconds) if last.steps else (0, 0, 0.0)
    message = f"{why} All that it had sent, up to step {step}, is kept; Train starts anew."
    return EndRecord(step, epoch, "failed", message, seconds, None, None)


def _how_it_died(code: int) -> str:
    name = {s.value: s.name for s in signal.Signals}.get(-code, f"signal {-code}")
    how = f"was ended by {name}" if code < 0 else f"ended with exit code {code}"
    return f"{how}, which is what a system out of memory does" if name == "SIGKILL" else how
