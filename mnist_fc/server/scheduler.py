"""Trainer: the server's training processes, the queue of what is asked of them, and the runs that it knows.

Each process is a slot for one job. Whoever comes while all are taken waits, in the order of coming, but nobody's second job
comes before another person's first, and begins when a slot is free. A run that has had its turn while others wait goes to the
end of the queue and later on from where it was; a job that nobody looks at any more is ended. A page reads immutable snapshots
and never waits for training.
"""

import atexit
import contextlib
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from mnist_fc.config import CPU_COUNT, Range, TrainConfig, preset_of, to_number
from mnist_fc.records import EndRecord, EpochRecord, Record, learning_rate_of
from mnist_fc.runs.layout import RunsError, fingerprint
from mnist_fc.runs.store import RunStore, runs_dir
from mnist_fc.server.estimate import expected_seconds
from mnist_fc.server.job import Job
from mnist_fc.server.process import TrainingProcess
from mnist_fc.server.run import Run
from mnist_fc.server.status import status_word
from mnist_fc.server.task import SpeedTest, Sweep, Task
from mnist_fc.sweep.space import SweepConfig

SLOTS_VARIABLE = "MNIST_FC_SLOTS"
SLOTS = Range(int, 1, CPU_COUNT)
"""Each needs a core of its own: two trainings that share cores slow each other ten times and more."""

TURN_SECONDS = 30.0
"""Who has trained for so long makes room when others wait."""

AWAY_SECONDS = 60.0
"""So long a job goes on that nobody looks at."""

LOOK_SECONDS = 2.0
"""How often is looked after turns and after who has gone, or more often where these are short. Each look wakes a thread, which
costs training a little.
"""

MAX_WAITING = 100
MAX_OF_ONE_PERSON = 3
"""Jobs that have not ended: "Train both" is two."""

MAX_RUNS_IN_MEMORY = 100
MAX_BYTES_IN_MEMORY = 60e6
"""Of runs that have ended or wait, and their weights. What is forgotten is read from the store again, and what is not there
goes last.
"""

log = logging.getLogger(__name__)


class JobRejected(RuntimeError):
    """A job that is not even queued; the message says why."""


def num_slots(text: str | None = None) -> int:
    """How many trainings may go on at once: as `text` says, else as the environment's MNIST_FC_SLOTS, else one.

    Raises ConfigError for what is no such number.
    """
    source = "--slots" if text is not None else SLOTS_VARIABLE
    said = text if text is not None else os.environ.get(SLOTS_VARIABLE) or "1"
    return int(SLOTS.check(source, to_number(said)))


@dataclass(frozen=True)
class Place:
    """Where a job stands in the queue."""

    number: int
    """1 for the next."""
    of: int
    """How many wait."""
    seconds: float
    """About how long until it begins, if nobody leaves."""


@dataclass(eq=False)
class _Slot:
    process: TrainingProcess
    job: Job | None = None
    """The last that the process was given; see `Trainer._at_work`."""
    began_at: float | None = None
    """When the turn of the job began; None while it gets ready, for otherwise a turn could end before a step is taken."""
    resting: Sweep | None = None
    """One with a trial that waits in the memory of this process."""


class Scheduler:
    """Owns the training processes and the runs of this server. All methods may be called from any thread.

    `is_present` says whether a session is still there, by its id.
    """

    def __init__(
        self,
        store: RunStore | None = None,
        slots: int = 1,
        is_present: Callable[[str], bool] = lambda _person: True,
        *,
        turn_seconds: float = TURN_SECONDS,
        away_seconds: float = AWAY_SECONDS,
    ) -> None:
        self.store = store or RunStore(runs_dir())
        self.max_threads = max(1, CPU_COUNT // slots)
        """Cores that one training may have."""
        self._is_present = is_present
        self._turn_seconds, self._away_seconds = turn_seconds, away_seconds
        self._look_seconds = min(LOOK_SECONDS, max(0.02, min(turn_seconds, away_seconds) / 4))
        self._lock = threading.RLock()
        self._has_job = threading.Condition(self._lock)
        self._runs: dict[str, Run] = {}
        self._queue: list[Job] = []
        self._num_turns = 0
        self._last_turns: dict[str, int] = {}
        """By person who has a job, the number of the turn that they had last."""
        self._paused: list[Run] = []
        """Runs that were paused when their turn was over; they wait for nobody but their person."""
        self.speed_test: SpeedTest | None = None
        """The newest, of whoever asked for it: it tells of the machine."""
        self.sweep: Sweep | None = None
        """The newest, of whoever asked for it."""
        self._pace = 1.0
        self._closing = False
        self._slots: list[_Slot] = []
        for _ in range(slots):
            self._slots.append(_Slot(self._new_process()))
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        atexit.register(self.close)

    # Runs and jobs that there are

    def run(self, run_id: str | None) -> Run | None:
        """The run of that id, which goes on here, or is in the store; None where there is none that can be read."""
        if not run_id:
            return None
        with self._lock:
            if known := self._runs.pop(run_id, None):
                self._runs[run_id] = known  # the last to be forgotten
        if known and not known.has_changed_on_disk():
            return known
        try:
            stamp = fingerprint(self.store.folder(run_id))
            stored = Run.stored(self.store.run(run_id), stamp)
        except RunsError:
            return known
        with self._lock:
            if self._runs.get(run_id) is known and not (known and known.is_active):  # or somebody else was first
                self._remember(stored)
            return self._runs.get(run_id, stored)

    def _remember(self, run: Run) -> None:
        self._runs.pop(run.id, None)
        self._runs[run.id] = run
        self._bound_memory(run)

    def _bound_memory(self, spared: Run | None = None) -> None:
        """Forget the runs that were asked for longest ago, and the weights of those that wait, as far as there is need."""
        at_work = [self._at_work(slot) for slot in self._slots]
        at_rest = [run for run in self._runs.values() if run is not spared and run not in at_work]
        at_rest.sort(key=lambda run: bool(run.storage_problem))
        num_left, num_bytes = len(at_rest), sum(run.num_bytes for run in at_rest)
        for run in at_rest:
            if num_left <= MAX_RUNS_IN_MEMORY and num_bytes <= MAX_BYTES_IN_MEMORY:
                break
            num_bytes -= run.num_bytes
            if run.is_active:
                run.forget_weights()
                num_bytes += run.num_bytes
            else:
                num_left -= 1
                del self._runs[run.id]

    def evict(self, run_id: str) -> None:
        """It is no longer in the store."""
        with self._lock:
            if not self.active_run(run_id):
                self._runs.pop(run_id, None)

    def active_run(self, run_id: str) -> Run | None:
        """The run of that id, if it goes on here or waits."""
        with self._lock:
            run = self._runs.get(run_id)
            return run if run and run.is_active else None

    def jobs(self) -> list[Job]:
        """All that have not ended: those that processes are at, those that wait in their order, those that are held."""
        with self._lock:
            at_work = [job for slot in self._slots if (job := self._at_work(slot))]
            return [*at_work, *self._queue, *self._paused]

    def _waiting(self) -> list[Job]:
        """Those in the queue, the next first: of everybody one job before anybody's next, first of those whose last turn is
        longest ago, and else as they came. Those that must not begin yet are the last.
        """
        places, ahead = {}, Counter[str]()
        for job in sorted(self._queue, key=_is_blocked):
            places[job] = (_is_blocked(job), ahead[job.session_id], self._last_turns.get(job.session_id, 0))
            ahead[job.session_id] += 1
        return sorted(self._queue, key=lambda job: places[job])

    def _at_work(self, slot: _Slot) -> Job | None:
        """The job that a process is at: not one that has ended, which may wait again since, and not one that made room."""
        job = slot.job
        return job if job and job.is_active and job not in self._queue and job not in self._paused else None

    @property
    def is_busy(self) -> bool:
        """Whether there is anything that has not ended."""
        return bool(self.jobs())

    @property
    def process_ids(self) -> list[int]:
        """Of the training processes of now."""
        return [slot.process.id for slot in self._slots]

    def place(self, job: Job, num_train_images: int) -> Place | None:
        """Where `job` stands in the queue, and about how long it will; None for one that does not wait."""
        with self._lock:
            if job not in self._queue:
                return None
            waiting = self._waiting()
            number = waiting.index(job)
            now = time.monotonic()
            seconds = 0.0
            for slot in self._slots:
                if at_work := self._at_work(slot):
                    left = at_work.seconds_left(num_train_images, self._pace)
                    if self._others_wait(slot, at_work):
                        left = min(left, max(0.0, self._turn_seconds - (now - (slot.began_at or now))))
                    seconds += left
            for other in waiting[:number]:
                seconds += min(other.seconds_left(num_train_images, self._pace), self._turn_seconds)
            return Place(number + 1, len(waiting), seconds / len(self._slots))

    # What is asked for

    def start(self, config: TrainConfig, session_id: str = "") -> Run:
        """Begin a run, at once or in its turn. Raises JobRejected where it cannot even wait, and RuntimeError once the trainer
        is closed.
        """
        (run,) = self.start_in_turn(config, session_id=session_id)
        return run

    def start_in_turn(self, *configs: TrainConfig, session_id: str = "") -> list[Run]:
        """Begin runs, one after the other. Raises what `start` raises."""
        with self._lock:
            self._admit(len(configs), session_id)
            runs = []
            for config in configs:
                bounded = self._bounded(config)
                runs.append(Run(self.store.new_id(bounded, self._runs), bounded, session_id))
                runs[-1].depends_on = runs[-2] if len(runs) > 1 else None
                self._remember(runs[-1])
            self._enqueue(*runs)
            return runs

    def resume_stored(self, run: Run, session_id: str = "") -> None:
        """Let a run that was cut off or stopped go on from its last state. Raises what `start` raises, and RunsError."""
        with self._lock:
            if self.active_run(run.id):
                return  # somebody else was first
            self._admit(1, session_id)
            folder, state = self.store.reopen(run.id)
            run.resume_stored(folder, learning_rate_of(state) if state else run.config.learning_rate, session_id)
            self._remember(run)
            self._enqueue(run)

    def measure_speed(self, config: TrainConfig, session_id: str = "") -> SpeedTest:
        """Measure how fast the network of `config` trains here, in its turn. Raises what `start` raises."""
        with self._lock:
            self._admit(1, session_id, self.speed_test)
            self.speed_test = SpeedTest(config, session_id, self.max_threads)
            self._enqueue(self.speed_test)
            return self.speed_test

    def start_sweep(self, config: SweepConfig, session_id: str = "") -> Sweep:
        """Search for better settings, in its turn. Raises what `start` raises."""
        with self._lock:
            self._admit(1, session_id, self.sweep)
            self.sweep = Sweep(replace(config, base=self._bounded(config.base)), session_id)
            self._enqueue(self.sweep)
            return self.sweep

    def _admit(self, count: int, session_id: str, one_of_a_kind: Task[Any, Any] | None = None) -> None:
        """See that so many more jobs of a person may wait; raise JobRejected with the reason else."""
        if self._closing:
            raise RuntimeError("the trainer is closed")
        own = [job for job in self.jobs() if session_id and job.session_id == session_id and not job.is_stopping]
        if one_of_a_kind and one_of_a_kind.is_active:
            problem = one_of_a_kind.name
        elif len(own) + count > MAX_OF_ONE_PERSON:
            problem = f"You have {len(own)} trainings that go on or wait"
        elif (num_waiting := len(self._queue) + len(self._paused)) + count > MAX_WAITING:
            problem = f"{num_waiting} others wait already"
        else:
            return
        log.warning("refused %s: %s", _of(session_id), problem)
        raise JobRejected(problem)

    def _bounded(self, config: TrainConfig) -> TrainConfig:
        return config if config.threads <= self.max_threads else config.replace(threads=self.max_threads)

    def _enqueue(self, *jobs: Job) -> None:
        for job in jobs:
            job.mark_queued()
            self._queue.append(job)
        self._has_job.notify_all()
        self._begin_waiting()
        for job in jobs:
            if job in self._queue:
                log.info("%s waits, place %d of %d", _named(job), self._waiting().index(job) + 1, len(self._queue))

    def _begin_waiting(self) -> None:
        """Give the free slots to those that wait."""
        for slot in self._slots:
            while not self._closing and not self._at_work(slot) and (job := self._next_for(slot)):
                self._queue.remove(job)
                self._begin(slot, job)
                if slot.process.has_died:  # and no other could be started: the next may, a while later
                    break

    def _next_for(self, slot: _Slot) -> Job | None:
        return next((job for job in self._waiting() if self._may_begin(slot, job)), None)

    def _may_begin(self, slot: _Slot, job: Job) -> bool:
        is_at_rest_elsewhere = any(other.resting is job for other in self._slots if other is not slot)
        return not is_at_rest_elsewhere and not _is_blocked(job)

    def _begin(self, slot: _Slot, job: Job) -> None:
        for other in self._slots:
            if other.job is job:  # in an earlier turn
                other.job = None
        is_new, job.has_begun, job.depends_on = not job.has_begun, True, None
        self._num_turns += 1
        people = {other.session_id for other in self.jobs()}
        self._last_turns = {session_id: turn for session_id, turn in self._last_turns.items() if session_id in people}
        self._last_turns[job.session_id] = self._num_turns
        slot.job, slot.began_at, slot.resting = job, None, None if slot.resting is job else slot.resting
        try:
            if slot.process.has_died:  # and its end is about to be told, or there was nothing to tell
                slot.process, slot.resting = self._new_process(), None
            self._hand_over(slot.process, job)
        except (OSError, RuntimeError, MemoryError) as error:  # RunsError too: no job may hold a slot that no process is at
            job.fail(f"It could not begin: {error}.")
            self._log_end(job)
        else:
            log.info("%s %s", _named(job), "begins" if is_new else "goes on")

    def _hand_over(self, process: TrainingProcess, job: Job) -> None:
        match job:
            case Run():
                state = job.begin_slice(self.store)
                if job.storage_problem:
                    log.error("%s is not kept on disk: %s", _named(job), job.storage_problem)
                process.send("start", job.id, self._bounded(job.config), state)
                if job.learning_rate != (learning_rate_of(state) if state else job.config.learning_rate):
                    process.send("learning_rate", job.id, job.learning_rate)  # it was set while the run waited
            case SpeedTest():
                job.begin_slice()
                process.send("measure", job.id, job.config, self.max_threads)
            case Sweep():
                job.begin_slice()
                process.send("sweep", job.id, job.rest())

    # What a person does with a job

    def touch(self, job: Job, session_id: str) -> None:
        """`person` sees it: it does not end before that session is gone, too, and nor do others of the same person's, unless it
        is a test of speed, which anybody sees.
        """
        with self._lock:
            for other in self.jobs():
                is_of_same = bool(other.session_id) and other.session_id == job.session_id and not isinstance(job, SpeedTest)
                if other is job or is_of_same:
                    other.viewers.add(session_id)
                    other.seen_at = time.monotonic()

    def has_viewers(self, job: Job) -> bool:
        """Whether anybody is there who has looked at it."""
        return any(map(self._is_present, set(job.viewers)))

    def pause(self, run: Run) -> None:
        """Hold a run after the step it is in, or before its turn."""
        with self._lock:
            run.pause_requested = True
            if run in self._queue:
                self._queue.remove(run)
                self._paused.append(run)
                run.set_state("paused")
            else:
                self._send(run, "pause")

    def resume(self, run: Run) -> None:
        """Let a paused run go on, in its turn if it has lost it."""
        with self._lock:
            run.pause_requested = False
            if run in self._paused:
                self._paused.remove(run)
                self._enqueue(run)
            else:
                self._send(run, "resume")

    def stop(self, job: Job, why: str = "") -> None:
        """End a run or a sweep after the step it is in, or before its turn; a test of speed after the figure it is at."""
        with self._lock:
            for waiting in (self._queue, self._paused):
                if job in waiting:
                    waiting.remove(job)  # type: ignore[arg-type]  # one of them has runs alone
                    self._leave(job, why)
                    self._begin_waiting()  # one may have waited for it
                    return
            job.request_stop(why)
            self._send(job, "stop")

    def stop_in_turn(self, job: Job) -> None:
        """Stop `job` and all that was to begin after it, as `start_in_turn` queued it: nothing begins in its place."""
        with self._lock:
            for follower in [other for other in self.jobs() if _follows(other, job)]:
                self.stop(follower)
            self.stop(job)

    def _leave(self, job: Job, why: str = "") -> None:
        """It ends before its turn."""
        job.cancel(why)
        self._log_end(job)
        for slot in self._slots:
            if slot.resting is job:
                slot.process.send("stop", job.id)
                slot.resting = None

    def set_learning_rate(self, run: Run, learning_rate: float) -> None:
        """Change the schedule's highest learning rate from the next step on. Raises ConfigError when out of range."""
        checked = run.config.replace(learning_rate=learning_rate).learning_rate
        with self._lock:
            if run.is_active:
                run.learning_rate = checked
                self._send(run, "learning_rate", checked)

    def _send(self, job: Job, name: str, *value: Any) -> None:
        for slot in self._slots:
            if self._at_work(slot) is job:
                slot.process.send(name, job.id, *value)

    # What the processes say

    def _new_process(self) -> TrainingProcess:
        return TrainingProcess(self._receive, self._bury)

    def _slot_of(self, process: TrainingProcess) -> _Slot | None:
        return next((slot for slot in self._slots if slot.process is process), None)

    def _receive(self, process: TrainingProcess, name: str, value: Any) -> None:
        slot = self._slot_of(process)
        if slot is None:
            return
        if slot.began_at is None and name != "ready":
            slot.began_at = time.monotonic()
        match name, slot.job:
            case "record", Run() as run if isinstance(value, EndRecord):
                self._receive_record(run, value)
                with self._lock:
                    self._log_end(run)
                    self._begin_waiting()
            case "record", Run() as run:
                self._receive_record(run, value)
                if isinstance(value, EpochRecord):
                    self._learn_pace(run.config, value)
            case "result", Task() as task:
                task.receive(value)
            case "ended", Task() as task:
                with self._lock:
                    task.end(value)
                    self._log_end(task)
                    self._begin_waiting()
            case "running" | "paused" as state, Run() as run:
                run.set_state(state)
            case "yielded", Job() as job:
                self._put_back(slot, job)

    def _receive_record(self, run: Run, record: Record) -> None:
        known_problem = run.storage_problem
        run.receive(record)
        if run.storage_problem != known_problem:
            log.error("%s is no longer kept on disk: %s", _named(run), run.storage_problem)

    def _learn_pace(self, config: TrainConfig, epoch: EpochRecord) -> None:
        num_images = epoch.seconds * epoch.images_per_second
        if num_images > 0:
            self._pace = epoch.seconds / expected_seconds(config, num_images)  # type: ignore[arg-type]

    def _put_back(self, slot: _Slot, job: Job) -> None:
        """Its turn was over: the next begins, and it waits for its next turn, or for its person."""
        with self._lock:
            if isinstance(job, Sweep):
                slot.resting = job
            job.mark_queued()
            if job.is_stopping or (isinstance(job, Sweep) and job.rest() is None):  # the command came after its last step
                self._leave(job)
            elif isinstance(job, Run) and job.pause_requested:  # perhaps by a command that came after its last step
                job.set_state("paused")
                self._paused.append(job)
                log.info("%s is paused, and lets others have their turn", _named(job))
            else:
                self._queue.append(job)
                log.info("%s lets others have their turn", _named(job))
            self._bound_memory()
            self._begin_waiting()

    def _bury(self, process: TrainingProcess, why: str) -> None:
        """Say why the job that a process was at has failed, and have the next process ready for the next."""
        with self._lock:
            if self._closing:
                return
            slot = self._slot_of(process)
            if slot and (job := self._at_work(slot)):
                job.fail(why)
                self._log_end(job)
            else:
                log.error("%s", why)
            if slot is None:
                return  # Nothing went on, and a job came first: the process and the job of now are others.
            slot.resting = None
            if process.was_ready:  # One that dies before would die again; the next job tries.
                with contextlib.suppress(OSError, RuntimeError):
                    slot.process = self._new_process()
            self._begin_waiting()

    # Who has had a turn, and who is gone

    def _watch(self) -> None:
        with self._lock:
            while not self._closing:
                self._has_job.wait(self._look_seconds if self.is_busy else None)
                self._begin_waiting()
                self._end_turns()
                self._end_what_nobody_looks_at()

    def _end_turns(self) -> None:
        now = time.monotonic()
        for slot in self._slots:
            job = self._at_work(slot)
            if job is None or slot.began_at is None or not self._others_wait(slot, job):
                continue
            if _is_paused(job) or now - slot.began_at >= self._turn_seconds:
                slot.process.send("yield", job.id)

    def _others_wait(self, slot: _Slot, job: Job) -> bool:
        """Whether it must make room after its turn: for another person's, or, of many slots, for what rests in its own; while
        it is paused, for any.
        """
        is_one_of_many = len(self._slots) > 1
        return job.takes_turns and any(
            self._may_begin(slot, other)
            and (other.session_id != job.session_id or _is_paused(job) or (is_one_of_many and slot.resting is other))
            for other in self._queue
        )

    def _end_what_nobody_looks_at(self) -> None:
        now = time.monotonic()
        for job in self.jobs():
            if not job.viewers or job.detached or self.has_viewers(job):
                job.seen_at = now
            elif now - job.seen_at >= self._away_seconds:
                job.seen_at = now  # once is enough
                log.info("%s is stopped: nobody looks at it any more", _named(job))
                self.stop(job, f"Stopped: its page had been closed for {self._away_seconds:.0f} s.")

    def close(self) -> None:
        """End the training processes for good and wait until they are gone; runs that have not ended are cut off."""
        with self._lock:
            self._closing = True
            self._has_job.notify_all()
            processes = [slot.process for slot in self._slots]
        for process in processes:
            process.end()
        for process in processes:
            process.join()
        self._watcher.join()
        with self._lock:
            for job in self.jobs():
                if isinstance(job, Run):
                    job.interrupt()
                    log.info("%s is cut off: the server ends", _named(job))
                else:
                    job.cancel("The trainer was closed.")
                    self._log_end(job)
            self._queue.clear()
            self._paused.clear()

    def _log_end(self, job: Job) -> None:
        match job:
            case Run():
                now = job.snapshot()
                word = status_word(now)
                said = now.message if now.message.lower().startswith(word) else f"{word}: {now.message}".rstrip(": ")
                step = now.end.step if now.end else 0
                log.log(
                    logging.ERROR if now.state == "failed" else logging.INFO, "%s ends at step %d, %s", _named(job), step, said
                )
            case Task():
                said = f": {job.problem}" if job.problem else ""
                level = logging.ERROR if job.has_failed else logging.INFO
                log.log(level, "%s ends with %d records%s", _named(job), len(job.records()), said)


def _named(job: Job) -> str:
    """What a job is called in the log."""
    match job:
        case Run():
            layers = "-".join(map(str, job.config.layer_sizes))
            what = f"run {job.id} ({layers}, {preset_of(job.config)}, {job.config.num_epochs} epochs)"
        case Sweep():
            what = f"sweep {job.id} (study {job.config.study!r})"
        case _:
            what = f"speed test {job.id}"
    return f"{what} of {_of(job.session_id)}"


def _is_paused(job: Job) -> bool:
    return isinstance(job, Run) and job.pause_requested and job.state == "paused"


def _is_blocked(job: Job) -> bool:
    return job.depends_on is not None and job.depends_on.is_active


def _follows(job: Job, first: Job) -> bool:
    """Return whether `job` must wait until `first`, or another that follows it, has ended."""
    return job.depends_on is not None and (job.depends_on is first or _follows(job.depends_on, first))


def _of(session_id: str) -> str:
    return f"session {session_id[:8]}" if session_id else "nobody"
