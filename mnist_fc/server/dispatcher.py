"""Dispatcher: starts the jobs that get a slot, and handles the replies of their processes.

Three kinds of threads meet here: pages call the scheduler, each process has a thread that delivers its replies, and one
background thread does the slow work before a slice starts. Nothing slow happens under the board's lock, which every page takes.
So a slice starts in three steps: the board assigns a slot; the background thread creates or reads the run's folder, and starts
a process if there is none; then the process is given the job.
"""

import contextlib
import logging
import time
from collections.abc import Callable
from functools import partial

from mnist_fc.config import CPU_COUNT, TrainConfig
from mnist_fc.records import EndRecord, EpochRecord, Record, learning_rate_of
from mnist_fc.runs.store import RunStore
from mnist_fc.server.background import BackgroundThread
from mnist_fc.server.board import Board, Slot
from mnist_fc.server.estimate import expected_seconds
from mnist_fc.server.job import Job, JobEnd, JobState
from mnist_fc.server.job_log import name_of
from mnist_fc.server.process import Process, StartProcess
from mnist_fc.server.protocol import (
    Ended,
    JobReply,
    MeasureSpeed,
    Pause,
    Paused,
    Ready,
    Reply,
    Result,
    Running,
    RunRecord,
    SetLearningRate,
    Start,
    StartRun,
    StartSweep,
    Stop,
    Yielded,
)
from mnist_fc.server.run import Run
from mnist_fc.server.task import SpeedTest, Sweep, Task

SERVER_ERROR = "The server failed to process what the training sent; its log says why."

log = logging.getLogger(__name__)


class Dispatcher:
    """Owns the processes of the board's slots. Its methods may be slow: call them without the board's lock."""

    def __init__(self, store: RunStore, num_slots: int, slice_seconds: float, start_process: StartProcess) -> None:
        """Start the processes."""
        self.max_threads = max(1, CPU_COUNT // num_slots)
        """The most threads that one training may have."""
        self.background = BackgroundThread()
        self.board = Board(slice_seconds, lambda slot, job: self.background.submit(partial(self._start_slice, slot, job)))
        self._store = store
        self._start_process = start_process
        self.on_yield: Callable[[], None] = lambda: None
        """Function that is called with the lock held whenever a job has yielded its slot."""
        try:
            for _ in range(num_slots):
                self.board.slots.append(Slot(start_process(self._receive, self._on_exit)))
        except (OSError, RuntimeError):
            self.close()
            raise

    def bounded(self, config: TrainConfig) -> TrainConfig:
        """Return the settings with no more threads than one training may have."""
        return config if config.threads <= self.max_threads else config.replace(threads=self.max_threads)

    def cancel(self, job: Job) -> None:
        """End a job whose end was requested while it had no slot."""
        self.board.finish(None, job, job.write_end(JobState.STOPPED, job.stop_reason))

    def close(self) -> None:
        """End the processes for good and wait for them, then end all jobs as interrupted."""
        with self.board.lock:
            self.board.is_closing = True
            processes = [slot.process for slot in self.board.slots if slot.process]
        for process in processes:
            process.end()
        for process in processes:
            process.join()
        self.background.close()
        for job in self.board.clear():
            self.board.finish(None, job, job.write_end(JobState.INTERRUPTED, "The server ended."))

    # The start of a slice, on the background thread

    def _start_slice(self, slot: Slot, job: Job) -> None:
        try:
            start = self._start_command(job)
        except (OSError, RuntimeError, MemoryError) as error:
            self._fail(slot, job, f"It could not start: {error}.")
            return
        except Exception:
            log.exception("%s could not start", name_of(job))
            self._fail(slot, job, "It could not start; the server's log says why.")
            return
        while not self._hand_over(slot, job, start):
            try:
                self._renew_process(slot)
            except (OSError, RuntimeError, MemoryError) as error:
                # The next job would fail as well, so it starts a while later.
                self._fail(slot, job, f"It could not start: {error}.", dispatches=False)
                return

    def _start_command(self, job: Job) -> Start:
        """Return the command that starts a slice. Slow."""
        match job:
            case Run():
                state = job.prepare(self._store)
                if job.storage_problem:
                    log.error("%s is not kept on disk: %s", name_of(job), job.storage_problem)
                return StartRun(job.id, self.bounded(job.config), state, job.lesson)
            case Sweep():
                config = job.remaining()
                assert config, "a sweep without work left is not queued"
                return StartSweep(job.id, config, job.parked)
            case SpeedTest():
                return MeasureSpeed(job.id, job.config, self.max_threads)
        raise TypeError(f"unknown job {job!r}")

    def _hand_over(self, slot: Slot, job: Job, start: Start) -> bool:
        """Give a job to the process of its slot; return False if there is no living process."""
        with self.board.lock:
            if self.board.is_closing:
                return True
            if slot.process is None or slot.process.has_died:
                return False
            slot.is_handed_over = True
            slot.process.send(start)
            if isinstance(job, Sweep):
                job.take_parked()
            if isinstance(job, Run) and isinstance(start, StartRun):
                current = learning_rate_of(start.state) if start.state else job.config.learning_rate
                if job.learning_rate != current:  # it was set while the run waited
                    slot.process.send(SetLearningRate(job.id, job.learning_rate))
            match job.state:
                case JobState.PAUSING:
                    slot.process.send(Pause(job.id))
                case JobState.STOPPING:
                    slot.process.send(Stop(job.id))
            log.info("%s %s", name_of(job), "begins" if job.num_slices == 1 else "resumes")
            return True

    def _renew_process(self, slot: Slot) -> None:
        """Start another process for a slot. Only the background thread does, so a slot never gets two."""
        process = self._start_process(self._receive, self._on_exit)
        with self.board.lock:
            if not self.board.is_closing:
                slot.process = process
                return
        process.end()
        process.join()

    # Replies of processes, each on the thread of its process

    def _receive(self, process: Process, reply: Reply) -> None:
        with self.board.lock:
            if isinstance(reply, Ready):
                self.board.bfloat16_share = reply.bfloat16_share
                return
            slot = self.board.slot_with(process)
            if slot is None:
                return
            if slot.abandoned_id and slot.abandoned_id == reply.job_id and _is_last(reply):
                slot.abandoned_id = ""
                self.board.dispatch()
                return
            job = slot.job
            if job is None or not slot.is_handed_over or job.id != reply.job_id:
                return  # about a job that the slot no longer has
            if slot.began_at is None:
                slot.began_at = time.monotonic()
        try:
            self._handle_reply(slot, job, reply)
        except Exception:
            log.exception("%s fails, since the server could not process a reply", name_of(job))
            self._abandon(slot, job, reply)

    def _handle_reply(self, slot: Slot, job: Job, reply: JobReply) -> None:
        match reply, job:
            case RunRecord(record=EndRecord() as record), Run() as run:
                known_problem = run.storage_problem
                end = run.write_end_record(record)
                _log_storage_problem(run, known_problem)
                self.board.finish(slot, run, end)
            case RunRecord(record=record), Run() as run:
                self._receive_record(run, record)
            case Result(record=result), Task() as task:
                task.receive(result)
            case Ended(problem=problem), Task() as task:
                self.board.finish(slot, task, task.end_as_reported(problem))
            case Running(), _:
                job.confirm_running()
            case Paused(), _:
                job.confirm_paused()
            case Yielded(), _:
                self._requeue(slot, job, reply)
            case _:
                raise TypeError(f"unexpected {type(reply).__name__}")

    def _receive_record(self, run: Run, record: Record) -> None:
        known_problem = run.storage_problem
        run.receive(record)
        _log_storage_problem(run, known_problem)
        if isinstance(record, EpochRecord) and (num_images := record.seconds * record.images_per_second) > 0:
            self.board.pace = record.seconds / expected_seconds(run.config, round(num_images))

    def _requeue(self, slot: Slot, job: Job, reply: Yielded) -> None:
        """Free the slot of a job that has yielded, and let the job wait again unless it is over."""
        outcome: JobState | None = None
        with self.board.lock:
            slot.assign(None)
            if isinstance(job, Sweep):
                job.end_slice(reply.parked)
            if job.state is JobState.STOPPING:
                outcome = JobState.STOPPED
            elif not job.has_work_left:
                outcome = JobState.DONE
            else:
                self.board.requeue(job)
            self.on_yield()
            self.board.dispatch()
        if outcome:
            self.board.finish(None, job, job.write_end(outcome, job.stop_reason))

    def _fail(self, slot: Slot, job: Job, message: str, *, dispatches: bool = True) -> None:
        """End a job that failed without its process reporting so."""
        try:
            end = job.write_end(JobState.FAILED, message)
        except Exception:
            log.exception("the end of %s cannot be written", name_of(job))
            end = JobEnd(JobState.FAILED, message)
        self.board.finish(slot, job, end, dispatches=dispatches)

    def _abandon(self, slot: Slot, job: Job, reply: JobReply) -> None:
        """Fail a job whose records can no longer be trusted, and keep its process."""
        with self.board.lock:
            if slot.process and not _is_last(reply):
                slot.process.send(Stop(job.id))
                slot.abandoned_id = job.id
        if job.is_active:
            self._fail(slot, job, SERVER_ERROR)

    def _on_exit(self, process: Process, reason: str) -> None:
        """Fail the job of a process that has ended, and start another process."""
        with self.board.lock:
            if self.board.is_closing:
                return
            slot = self.board.slot_with(process)
            job = slot.job if slot and slot.is_handed_over else None
            if slot:
                slot.process, slot.abandoned_id = None, ""
        if slot and job:
            self._fail(slot, job, reason)
        else:
            log.error("%s", reason)
        if slot and process.was_ready:  # otherwise another would most likely die as well; the next job tries
            self.background.submit(partial(self._replace_process, slot))
        with self.board.lock:
            self.board.dispatch()

    def _replace_process(self, slot: Slot) -> None:
        if slot.process is None:
            with contextlib.suppress(OSError, RuntimeError):  # the next job tries again, and reports it
                self._renew_process(slot)


def _is_last(reply: JobReply) -> bool:
    """Return whether a process sends nothing more about the job in this slice."""
    return isinstance(reply, Yielded | Ended) or (isinstance(reply, RunRecord) and isinstance(reply.record, EndRecord))


def _log_storage_problem(run: Run, known_problem: str) -> None:
    if run.storage_problem != known_problem:
        log.error("%s is no longer kept on disk: %s", name_of(run), run.storage_problem)
