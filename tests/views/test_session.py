"""views/state/session.py and pace.py: which run a session shows, its place in the queue, and how often its page is redrawn."""

from types import SimpleNamespace
from typing import Any

import pytest
import streamlit as st

from mnist_fc.config import CPU_COUNT, TrainConfig
from mnist_fc.server.board import Board, Slot
from mnist_fc.server.job import Job, JobEnd, JobState
from mnist_fc.server.run import Run
from mnist_fc.server.task import Sweep
from mnist_fc.sweep.space import Interval, SweepConfig
from mnist_fc.views.state import pace, session
from mnist_fc.views.state.formatting import duration
from tests.support.session import State

CONFIG = TrainConfig(hidden_sizes=(2048,) * 4, num_epochs=100, threads=1)
"""Training for hours."""


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> State:
    """The state of a session of "ann" that has no page."""
    made = State(page_address={})
    monkeypatch.setattr(st, "session_state", made)
    monkeypatch.setattr(session, "session_id", lambda: "ann")
    return made


@pytest.fixture
def board() -> Board:
    """A board with one slot."""
    board = Board(30.0, lambda slot, job: None)
    board.slots.append(Slot(None))
    return board


@pytest.fixture
def runs() -> dict[str, Run]:
    """The runs of the server, none of which has begun."""
    return {name: Run(name, CONFIG, "ann") for name in ("first", "second", "third")}


@pytest.fixture
def server(board: Board, runs: dict[str, Run], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The part of the scheduler that a session asks."""
    touched: list[tuple[Job, str]] = []
    server = SimpleNamespace(place=board.place, run=runs.get, sweep=None, touched=touched, viewed=set[Job]())
    server.touch = lambda job, session_id: touched.append((job, session_id))
    server.has_viewers = server.viewed.__contains__
    monkeypatch.setattr(session, "scheduler", lambda: server)
    monkeypatch.setattr(session, "num_train_images", lambda: 60_000)
    return server


def finish(run: Run, outcome: JobState = JobState.DONE) -> None:
    run.begin_slice()
    run.confirm_running()
    if outcome is JobState.STOPPED:
        run.request_stop("")
    run.end(JobEnd(outcome))


# The queue


def test_place_in_the_queue_is_told_in_words(server: Any, board: Board) -> None:
    active, *waiting = [Run(name, CONFIG, name) for name in ("ben", "cleo", "ann")]
    board.enqueue(active, *waiting)
    assert session.queue_position(active) == ""
    assert [session.queue_position(run) for run in waiting] == [
        "you're next, about 30 s until it starts. Starts automatically",
        "place 2 of 2 in the queue, about 60 s until it starts. Starts automatically",
    ]
    board.slots[0].assign(None)
    board.requeue(active)
    board.dispatch()
    assert session.queue_position(active).startswith("place 2 of 2 in the queue, about 60 s until it resumes. Resumes auto")


def test_ones_second_job_is_next_only_until_others_join(server: Any, board: Board) -> None:
    first, second, other = Run("first", CONFIG, "ben"), Run("second", CONFIG, "ben"), Run("other", CONFIG, "cleo")
    board.enqueue(first, second)
    assert session.queue_position(second).startswith("next unless others join, about ")
    board.enqueue(other)
    assert session.queue_position(other).startswith("you're next, about 30 s")
    assert session.queue_position(second).startswith("place 2 of 2 in the queue, about 60 s")


@pytest.mark.parametrize(("seconds", "words"), [(0.0, "1 s"), (1.4, "1 s"), (99.4, "99 s"), (100.0, "2 min"), (3600.0, "60 min")])
def test_durations_are_rounded_as_people_say_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words


# Runs in turn


def test_next_run_is_shown_once_the_one_before_has_ended(server: Any, runs: dict[str, Run], state: State) -> None:
    session.watch(runs["first"])
    state["followed"] = list(runs)
    session.follow_next()
    assert session.watched_run() is runs["first"]
    finish(runs["first"])
    session.follow_next()
    assert session.watched_run() is runs["second"]
    assert (state["followed"], session.num_followed_active()) == (["second", "third"], 2)


def test_cancelled_runs_are_not_shown_in_turn(server: Any, runs: dict[str, Run], state: State) -> None:
    session.watch(runs["first"])
    state["followed"] = list(runs)
    finish(runs["first"], JobState.STOPPED)
    for name in ("second", "third"):
        runs[name].request_stop("")
        runs[name].end(JobEnd(JobState.STOPPED))
    session.follow_next()
    assert session.watched_run() is runs["first"]
    assert session.num_stopped_with("first") == 2


def test_opening_another_run_ends_the_turn(server: Any, runs: dict[str, Run], state: State) -> None:
    state["followed"] = ["first", "second"]
    finish(runs["first"])
    session.watch(runs["third"])
    session.follow_next()
    assert session.watched_run() is runs["third"]
    assert state["followed"] == []


# The sweep


@pytest.mark.parametrize("address", [{}, {"sweep": "another"}, None])
def test_sweep_of_others_is_theirs_while_they_look(server: Any, state: State, address: dict[str, str] | None) -> None:
    sweep = Sweep(SweepConfig(CONFIG, {"dropout": Interval(0.0, 0.5)}, "study", "sqlite://"), "ben")
    server.sweep = sweep
    server.viewed.add(sweep)
    is_own = address is None
    state["page_address"] = {"sweep": sweep.id} if address is None else address
    session.heartbeat()
    assert (session.own_sweep() is sweep, session.can_stop(sweep)) == (is_own, is_own)
    assert server.touched == ([(sweep, "ann")] if is_own else [])
    server.viewed.clear()
    assert session.can_stop(sweep)


# The pace of the page


@pytest.fixture
def watched(runs: dict[str, Run], monkeypatch: pytest.MonkeyPatch) -> Run:
    """The run that a page shows which is the only one open."""
    monkeypatch.setattr(pace, "watched_run", lambda: runs["first"])
    monkeypatch.setattr(pace, "num_present", lambda: 1)
    return runs["first"]


def test_page_is_redrawn_often_while_its_run_is_new(watched: Run) -> None:
    assert pace.tick_seconds() == 2.2
    watched.begin_slice()
    assert pace.tick_seconds() == pace.tick_seconds(much_to_draw=True) == 0.8


def test_page_is_redrawn_less_often_where_all_cores_train(watched: Run) -> None:
    watched.begin_slice()
    watched.started_at -= 5
    watched.config = watched.config.replace(threads=CPU_COUNT)
    assert (pace.tick_seconds(), pace.tick_seconds(much_to_draw=True)) == (2.2, 3.6)


@pytest.mark.parametrize(("outcome", "seconds"), [(JobState.DONE, None), (JobState.STOPPED, None), (JobState.INTERRUPTED, 3.6)])
def test_page_of_an_ended_run_waits_only_for_other_programs(watched: Run, outcome: JobState, seconds: float | None) -> None:
    finish(watched, outcome)
    assert pace.tick_seconds() == seconds


def test_page_without_a_run_is_not_redrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "watched_run", lambda: None)
    assert pace.tick_seconds() is None


@pytest.mark.parametrize(("sessions", "factor"), [(0, 1), (8, 1), (9, 2), (16, 2), (17, 4), (30, 4), (100, 16)])
def test_many_pages_cost_no_more_than_eight(monkeypatch: pytest.MonkeyPatch, sessions: int, factor: int) -> None:
    monkeypatch.setattr(pace, "num_present", lambda: sessions)
    assert pace.scale_by_sessions(1.5) == 1.5 * factor
    assert sessions / factor <= 8
