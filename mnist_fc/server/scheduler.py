"""Scheduler: the page's interface to the training on the server, and to the runs that the server knows.

Each training process is a slot for one job. Jobs that find no free slot queue, and the queue is fair: everyone's first job runs
before anyone's second. A job whose slice is over yields to others and resumes later; a job without viewers is cancelled. Pages
read immutable snapshots and never wait for training or for the disk. dispatcher.py does the work, and queue.py decides.
"""

import atexit
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from mnist_fc.config import CPU_COUNT, Range, TrainConfig, to_number
from mnist_fc.data.lesson import Lesson
from mnist_fc.records import learning_rate_of
from mnist_fc.runs.lessons import TAUGHT
from mnist_fc.runs.store import RunStore, runs_dir
from mnist_fc.server.dispatcher import Dispatcher
from mnist_fc.server.job import Job, JobState
from mnist_fc.server.job_log import name_of, name_of_session
from mnist_fc.server.process import StartProcess, TrainingProcess
from mnist_fc.server.protocol import Pause, Resume, SetLearningRate
from mnist_fc.server.queue import Place, admission_problem
from mnist_fc.server.run import Run
from mnist_fc.server.run_cache import RunCache
from mnist_fc.server.run_library import RunLibrary
from mnist_fc.server.task import SpeedTest, Sweep
from mnist_fc.sweep.space import SweepConfig

SLOTS_VARIABLE = "MNIST_FC_SLOTS"
SLOTS = Range(int, 1, CPU_COUNT)
"""Each needs a core of its own: two trainings that share cores slow each other down more than tenfold."""

SLICE_SECONDS = 30.0
"""The time that a job may keep its slot while others wait."""

AWAY_SECONDS = 60.0
"""The time that a job continues after its viewers have left."""

HOUSEKEEPING_SECONDS = 2.0
"""The time between two checks for slices that are over and viewers that have left. Each check slows training a little."""

log = logging.getLogger(__name__)


class JobRejected(RuntimeError):
    """A job was rejected before it was queued; the message says why."""


def num_slots(text: str | None = None) -> int:
    """Parse the number of slots from `text`, falling back to the environment's MNIST_FC_SLOTS, then to 1.

    Raises ConfigError if it is not an integer in range.
    """
    source = "--slots" if text is not None else SLOTS_VARIABLE
    value = text if text is not None else os.environ.get(SLOTS_VARIABLE) or "1"
    return int(SLOTS.check(source, to_number(value)))


class Scheduler:
    """Runs, sweeps and speed tests of this server. All methods may be called from any thread.

    `is_present` tells whether the session of an id has the page open.
    """

    def __init__(
        self,
        store: RunStore | None = None,
        slots: int = 1,
        is_present: Callable[[str], bool] = lambda _session_id: True,
        *,
        slice_seconds: float = SLICE_SECONDS,
        away_seconds: float = AWAY_SECONDS,
        cache: RunCache | None = None,
        start_process: StartProcess = TrainingProcess,
    ) -> None:
        self.store = store or RunStore(runs_dir())
        self.speed_test: SpeedTest | None = None  # the newest of all sessions: it measures the machine
        self.sweep: Sweep | None = None  # the newest of all sessions
        self._is_present = is_present
        self._away_seconds = away_seconds
        self._housekeeping_seconds = min(HOUSEKEEPING_SECONDS, max(0.02, min(slice_seconds, away_seconds) / 4))
        self._dispatcher = Dispatcher(self.store, slots, slice_seconds, start_process)
        self.max_threads = self._dispatcher.max_threads  # of one training
        self._board = self._dispatcher.board
        self._library = RunLibrary(self.store, RunCache() if cache is None else cache, self._board, self._dispatcher.background)
        self._dispatcher.on_yield = self._library.trim
        self._lock = self._board.lock
        self._wake = threading.Condition(self._lock)
        self._reopening = threading.Lock()
        """Held while a stored run is reopened, so that two sessions do not reopen the same one. Pages wait for it on a click."""
        self._housekeeper = threading.Thread(target=self._housekeeping_loop, daemon=True)
        self._housekeeper.start()
        atexit.register(self.close)

    @property
    def bfloat16_share(self) -> float | None:
        """The time of products in bfloat16 as a share of their time in float32; None until it is measured."""
        return self._board.bfloat16_share

    @property
    def process_ids(self) -> list[int]:
        """The ids of the training processes."""
        return self._board.process_ids

    @property
    def is_busy(self) -> bool:
        """Whether any job has not ended."""
        return bool(self.jobs())

    def jobs(self) -> list[Job]:
        """Return the jobs that have not ended: those with a slot, then the queue by arrival, then paused ones without a slot."""
        return self._board.jobs()

    def place(self, job: Job, num_train_images: int) -> Place | None:
        """Return where a job stands in the queue and for how long; None if it is not in the queue."""
        return self._board.place(job, num_train_images)

    def run(self, run_id: str | None) -> Run | None:
        """Return the run of that id; None if it is neither in memory nor in the store, or cannot be read."""
        return self._library.find(run_id) if run_id else None

    def active_run(self, run_id: str) -> Run | None:
        """Return the run of that id if it has not ended here."""
        return self._library.active(run_id)

    def evict(self, run_id: str) -> None:
        """Remove from memory a run that the store does not have any more."""
        self._library.discard(run_id)

    # New jobs

    def start(self, config: TrainConfig, session_id: str = "", lesson: Lesson | None = None) -> Run:
        """Queue a run, which teaches if there is a lesson. Raises JobRejected, and RuntimeError once the scheduler is closed."""
        return self.start_in_turn(config, session_id=session_id, lesson=lesson)[0]

    def start_in_turn(self, *configs: TrainConfig, session_id: str = "", lesson: Lesson | None = None) -> list[Run]:
        """Queue runs that start one after the other has ended. Raises what `start` raises."""
        bounded = [self._dispatcher.bounded(config) for config in configs]
        while True:
            run_ids: list[str] = []
            for config in bounded:
                # Before the lock, since this looks at the disk.
                run_ids.append(self.store.new_id(config, run_ids, TAUGHT if lesson else ""))
            with self._lock:
                self._admit(len(configs), session_id)
                if any(run_id in self._library for run_id in run_ids):
                    continue  # another thread was first
                runs = [Run(run_id, config, session_id, lesson) for run_id, config in zip(run_ids, bounded, strict=True)]
                for earlier, later in itertools.pairwise(runs):
                    later.depends_on = earlier
                for run in runs:
                    self._library.add(run)
                self._enqueue(*runs)
                return runs

    def resume_stored(self, run: Run, session_id: str = "") -> None:
        """Queue a run that was interrupted or stopped, to resume from its last state.

        Does nothing if another session has resumed it. Raises what `start` raises, and RunsError.
        """
        with self._reopening:
            with self._lock:
                if self.active_run(run.id):
                    return
                self._admit(1, session_id)
            folder, state = self.store.reopen(run.id)
            try:
                stored = self.store.run(run.id)
                learning_rate = learning_rate_of(state) if state else run.config.learning_rate
                with self._lock:
                    self._admit(1, session_id)
                    run.resume_from(folder, stored, learning_rate, session_id)
                    self._library.add(run)
                    self._enqueue(run)
            except BaseException:
                folder.close()
                raise

    def measure_speed(self, config: TrainConfig, session_id: str = "") -> SpeedTest:
        """Queue a speed test of the network of `config`. Raises what `start` raises."""
        with self._lock:
            self._admit(1, session_id, self.speed_test)
            self.speed_test = SpeedTest(config, session_id, self.max_threads)
            self._enqueue(self.speed_test)
            return self.speed_test

    def start_sweep(self, config: SweepConfig, session_id: str = "") -> Sweep:
        """Queue a search for better settings. Raises what `start` raises."""
        with self._lock:
            self._admit(1, session_id, self.sweep)
            self.sweep = Sweep(replace(config, base=self._dispatcher.bounded(config.base)), session_id)
            self._enqueue(self.sweep)
            return self.sweep

    def _admit(self, num_new: int, session_id: str, existing: SpeedTest | Sweep | None = None) -> None:
        """Raise JobRejected if a session may not queue more jobs, or if the one job of its kind has not ended."""
        if self._board.is_closing:
            raise RuntimeError("the scheduler is closed")
        own = [job for job in self.jobs() if session_id and job.session_id == session_id and job.state is not JobState.STOPPING]
        if existing and existing.is_active:
            problem = existing.busy_message
        else:
            problem = admission_problem(num_new, len(own), self._board.num_pending)
        if problem:
            log.warning("rejected %s: %s", name_of_session(session_id), problem)
            raise JobRejected(problem)

    def _enqueue(self, *jobs: Job) -> None:
        self._board.enqueue(*jobs)
        self._wake.notify_all()

    # Actions of sessions on a job

    def touch(self, job: Job, session_id: str) -> None:
        """Note that a session views a job, which keeps it and the other jobs of its owner alive.

        A speed test keeps only itself alive: every session sees it.
        """
        with self._lock:
            for other in self.jobs():
                has_same_owner = bool(other.session_id) and other.session_id == job.session_id
                if other is job or (has_same_owner and not isinstance(job, SpeedTest)):
                    other.viewers.add(session_id)
                    other.seen_at = time.monotonic()

    def has_viewers(self, job: Job) -> bool:
        """Return whether any session that has viewed the job is present."""
        return any(map(self._is_present, set(job.viewers)))

    def pause(self, run: Run) -> None:
        """Pause a run after its current step, or before it starts."""
        with self._lock:
            if run.is_waiting:
                run.hold()
            elif run.request_pause():
                self._board.send(run, Pause(run.id))

    def resume(self, run: Run) -> None:
        """Resume a paused run, through the queue if it has lost its slot."""
        with self._lock:
            if self._board.slot_of(run):
                if run.request_resume():
                    self._board.send(run, Resume(run.id))
            elif run.state is JobState.PAUSED:
                self._board.release(run)
                self._wake.notify_all()

    def stop(self, job: Job, reason: str = "") -> None:
        """End a job after its current step or measurement, or before it starts. Slow if it waits: its end is written."""
        self._stop([job], reason)

    def stop_in_turn(self, job: Job) -> None:
        """Stop a job and those that `start_in_turn` queued after it; none of them starts."""
        with self._lock:
            followers = [other for other in self.jobs() if other.follows(job)]
        self._stop([*followers, job], "")

    def _stop(self, jobs: list[Job], reason: str) -> None:
        with self._lock:
            without_slot = [job for job in jobs if self._board.request_stop(job, reason)]
        for job in without_slot:
            self._dispatcher.cancel(job)

    def set_learning_rate(self, run: Run, learning_rate: float) -> None:
        """Set the schedule's peak from the next step on. Raises ConfigError if it is out of range."""
        checked = run.config.replace(learning_rate=learning_rate).learning_rate
        with self._lock:
            if run.is_active:
                run.learning_rate = checked
                self._board.send(run, SetLearningRate(run.id, checked))

    # Housekeeping

    def _housekeeping_loop(self) -> None:
        while True:
            with self._lock:
                if not self._board.is_closing:
                    self._wake.wait(self._housekeeping_seconds if self.is_busy else None)
                if self._board.is_closing:
                    return
            try:
                self._keep_house()
            except Exception:
                log.exception("housekeeping failed; it is tried again")

    def _keep_house(self) -> None:
        with self._lock:
            self._board.dispatch()
            self._board.request_yields()
        self._cancel_abandoned()

    def _cancel_abandoned(self) -> None:
        """Stop the jobs whose viewers have been away for too long."""
        for job in self.jobs():
            now = time.monotonic()
            if not job.viewers or job.detached or self.has_viewers(job):
                job.seen_at = now
            elif now - job.seen_at >= self._away_seconds and job.state is not JobState.STOPPING:
                log.info("%s is stopped: no session views it any more", name_of(job))
                self.stop(job, f"Stopped: its page had been closed for {self._away_seconds:.0f} s.")

    def close(self) -> None:
        """End the training processes for good and wait until they are gone; jobs that have not ended are interrupted."""
        with self._lock:
            self._board.is_closing = True
            self._wake.notify_all()
        self._dispatcher.close()
        self._housekeeper.join()
