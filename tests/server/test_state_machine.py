"""The scheduler as a state machine: whatever happens in whatever order, a simple model of it holds.

The scheduler, its queue and its jobs are real; a stand-in for the training process lets the test decide what replies and when.
"""

import tempfile
import threading
from pathlib import Path
from typing import Any, ClassVar

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mnist_fc.records import EndRecord
from mnist_fc.runs.store import RunStore
from mnist_fc.server.board import Slot
from mnist_fc.server.job import ACTIVE_STATES, TRANSITIONS, Job, JobState
from mnist_fc.server.process import OnExit, Receive
from mnist_fc.server.protocol import Command, Paused, Ready, Reply, Running, RunRecord, StartRun, Stop, Yielded
from mnist_fc.server.run import Run
from mnist_fc.server.scheduler import JobRejected, Scheduler
from tests.support.jobs import NEVER, SHORT, wait_until_handed_over

SESSIONS = ["ann", "ben", "cleo"]


class StandIn:
    """A training process that does nothing until the test makes it reply."""

    def __init__(self, receive: Receive, on_exit: OnExit, number: int) -> None:
        self._receive, self._on_exit = receive, on_exit
        self.id = number
        self.was_ready = True
        self.has_died = False
        self.commands: list[Command] = []

    def send(self, command: Command) -> None:
        self.commands.append(command)

    def reply(self, reply: Reply) -> None:
        self._receive(self, reply)

    def die(self) -> None:
        self.has_died = True
        self._on_exit(self, "The training process was ended by the test.")

    def end(self) -> None:
        self.has_died = True

    def join(self, timeout: float | None = None) -> None:
        pass


class WatchedRun(Run):
    """A run that records its transitions."""

    transitions: ClassVar[list[tuple[JobState, JobState]]] = []

    def _set_state(self, state: JobState) -> None:
        before = self.state
        super()._set_state(state)
        if before is not state:
            self.transitions.append((before, state))


class SchedulerMachine(RuleBasedStateMachine):
    @initialize(slots=st.integers(1, 2))
    def open(self, slots: int) -> None:
        self.folder = tempfile.TemporaryDirectory()
        (Path(self.folder.name) / "runs").write_text("a file, so that runs are not on disk")
        self.processes: list[StandIn] = []
        self.present = set(SESSIONS)
        WatchedRun.transitions.clear()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr("mnist_fc.server.scheduler.Run", WatchedRun)
        self.scheduler = Scheduler(
            RunStore(Path(self.folder.name) / "runs"),
            slots,
            self.present.__contains__,
            slice_seconds=NEVER,
            away_seconds=NEVER,
            start_process=self.start_process,
        )
        self.runs: list[Run] = []
        self.ended: dict[Run, JobState] = {}
        self.paused_by_owner: set[Run] = set()
        self.unfair: list[str] = []
        self.num_slices = 0
        self.last_slice: dict[str, int] = {}
        self.watch_assignments()

    def watch_assignments(self) -> None:
        """Compare each assignment of a slot with the model: the next session is the one whose last slice is longest ago.

        Slices count after a session's jobs have ended, so that short jobs do not starve long ones.
        """
        board = self.scheduler._board
        on_assigned = board._on_assigned

        def compare(slot: Slot, job: Job) -> None:
            waiting = {other.session_id for other in board.jobs() if other.is_waiting and not other.is_blocked}
            for other in waiting - {job.session_id}:
                if self.last_slice.get(other, 0) < self.last_slice.get(job.session_id, 0):
                    self.unfair.append(f"{job.session_id} had a slice before {other}")
            self.num_slices += 1
            self.last_slice[job.session_id] = self.num_slices
            on_assigned(slot, job)

        board._on_assigned = compare

    def start_process(self, receive: Receive, on_exit: OnExit) -> StandIn:
        self.processes.append(StandIn(receive, on_exit, len(self.processes)))
        return self.processes[-1]

    def settle(self) -> None:
        """Wait until every job that has a slot is with its process."""
        wait_until_handed_over(self.scheduler)

    def with_process(self) -> list[tuple[StandIn, Run]]:
        """Return the runs that processes have been given, with their processes."""
        slots = self.scheduler._board.slots
        return [(slot.process, slot.job) for slot in slots if slot.job and slot.is_handed_over]  # type: ignore[misc]

    def active(self) -> list[Run]:
        return [run for run in self.runs if run.is_active]

    # What sessions do

    @rule(session=st.sampled_from(SESSIONS), count=st.integers(1, 2))
    def start(self, session: str, count: int) -> None:
        try:
            self.runs += self.scheduler.start_in_turn(*[SHORT] * count, session_id=session)
        except JobRejected:
            own = [run for run in self.active() if run.session_id == session and run.state is not JobState.STOPPING]
            assert len(own) + count > 3
        self.settle()

    @precondition(lambda self: self.active())
    @rule(data=st.data())
    def pause(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(self.active()))
        self.scheduler.pause(run)
        if run.state is not JobState.STOPPING:
            assert run.state in (JobState.PAUSING, JobState.PAUSED)
            self.paused_by_owner.add(run)

    @precondition(lambda self: self.active())
    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(self.active()))
        self.scheduler.resume(run)
        self.paused_by_owner.discard(run)
        assert run.state not in (JobState.PAUSING, JobState.PAUSED)
        self.settle()

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), in_turn=st.booleans())
    def stop(self, data: st.DataObject, in_turn: bool) -> None:
        run = data.draw(st.sampled_from(self.runs))
        had_slot = any(job is run for _, job in self.with_process())
        followers = [other for other in self.runs if other.is_active and other.follows(run)]
        was_active = run.is_active
        (self.scheduler.stop_in_turn if in_turn else self.scheduler.stop)(run)
        if was_active:
            assert run.state is (JobState.STOPPING if had_slot else JobState.STOPPED)
        if in_turn and was_active:
            assert all(follower.state is JobState.STOPPED and not follower.has_begun for follower in followers)
        self.settle()

    @rule(session=st.sampled_from(SESSIONS))
    def leave(self, session: str) -> None:
        """A session leaves for so long that its jobs are cancelled, and then comes back."""
        self.present.discard(session)
        own = [run for run in self.active() if run.session_id == session]
        for run in own:
            run.seen_at -= 2 * NEVER
        self.scheduler._cancel_abandoned()
        assert all(run.state in (JobState.STOPPING, JobState.STOPPED) for run in own)
        self.present.add(session)
        self.settle()

    # What processes do

    @precondition(lambda self: self.with_process())
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        """A process reports that it runs, and whether it has paused."""
        process, run = data.draw(st.sampled_from(self.with_process()))
        before = run.state
        process.reply(Running(run.id))
        if before is JobState.PAUSING:
            process.reply(Paused(run.id))
        expected = {JobState.STARTING: JobState.RUNNING, JobState.PAUSING: JobState.PAUSED}.get(before, before)
        assert run.state is expected

    @precondition(lambda self: self.with_process())
    @rule(data=st.data())
    def process_yields(self, data: st.DataObject) -> None:
        process, run = data.draw(st.sampled_from(self.with_process()))
        was_stopping = run.state is JobState.STOPPING
        process.reply(Yielded(run.id))
        if was_stopping:
            assert run.state is JobState.STOPPED
        elif run in self.paused_by_owner:
            assert run.state is JobState.PAUSED
        self.settle()

    @precondition(lambda self: self.with_process())
    @rule(data=st.data(), has_failed=st.booleans())
    def process_ends_job(self, data: st.DataObject, has_failed: bool) -> None:
        process, run = data.draw(st.sampled_from(self.with_process()))
        stopped = run.state is JobState.STOPPING and any(command == Stop(run.id) for command in process.commands)
        outcome: Any = "failed" if has_failed else "stopped" if stopped else "done"
        process.reply(RunRecord(run.id, EndRecord(1, 1, outcome, "why", 0.0, None, None)))
        assert run.state == outcome
        self.settle()

    @rule(data=st.data())
    def process_dies(self, data: st.DataObject) -> None:
        alive = [process for process in self.processes if not process.has_died]
        process = data.draw(st.sampled_from(alive))
        own = [run for other, run in self.with_process() if other is process]
        process.die()
        assert all(run.state is JobState.FAILED for run in own)
        self.settle()

    @precondition(lambda self: self.ended)
    @rule(data=st.data())
    def late_reply_is_ignored(self, data: st.DataObject) -> None:
        process = data.draw(st.sampled_from(self.processes))
        run = data.draw(st.sampled_from(list(self.ended)))
        for reply in (Ready(1.0), Running(run.id), Paused(run.id), Yielded(run.id)):
            process.reply(reply)

    # What always holds

    @invariant()
    def every_job_is_in_one_place(self) -> None:
        jobs = self.scheduler.jobs()
        elsewhere = set(self.active()) - set(jobs)
        assert all(run.state is JobState.STOPPING for run in elsewhere), "a job without a slot whose end is being written"
        assert set(jobs) <= set(self.active())
        assert len(jobs) == len(set(jobs))
        slots = self.scheduler._board.slots
        assert len({slot.job for slot in slots if slot.job}) == sum(slot.job is not None for slot in slots)

    @invariant()
    def no_slot_is_free_while_a_job_could_start(self) -> None:
        could_start = [run for run in self.active() if run.is_waiting and not run.is_blocked]
        assert not could_start or all(slot.job for slot in self.scheduler._board.slots)

    @invariant()
    def ended_jobs_stay_ended(self) -> None:
        for run, state in self.ended.items():
            assert run.state is state
        self.ended |= {run: run.state for run in self.runs if not run.is_active}

    @invariant()
    def slices_are_fair(self) -> None:
        assert not self.unfair

    @invariant()
    def transitions_are_in_the_table(self) -> None:
        assert all(after in TRANSITIONS[before] for before, after in WatchedRun.transitions)

    @invariant()
    def processes_have_one_job_at_a_time(self) -> None:
        for process, run in self.with_process():
            starts = [command for command in process.commands if isinstance(command, StartRun)]
            assert starts[-1].job_id == run.id

    def teardown(self) -> None:
        self.scheduler.close()
        self.patch.undo()
        assert not self.active()
        self.folder.cleanup()


SchedulerMachine.TestCase.settings = settings(stateful_step_count=30)
TestScheduler = SchedulerMachine.TestCase


def test_every_state_can_be_left_or_is_an_end() -> None:
    assert set(TRANSITIONS) == set(JobState)
    for state, following in TRANSITIONS.items():
        assert state not in following
        assert bool(following) or state is JobState.DONE
        if state not in ACTIVE_STATES:
            assert following <= {JobState.WAITING}, "only a stored run that is resumed becomes active again"


def test_wait_is_woken_by_a_change_of_state() -> None:
    run = Run("a", SHORT)
    waiter = threading.Thread(target=run.wait_until_ended, args=[300])
    waiter.start()
    run.end(run.write_end(JobState.FAILED, "why"))
    waiter.join(300)
    assert not waiter.is_alive()
