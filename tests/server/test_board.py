"""The board: slots and queue, without processes."""

from mnist_fc.config import TrainConfig
from mnist_fc.server.board import Board, Slot
from mnist_fc.server.job import JobEnd, JobState
from mnist_fc.server.run import Run

CONFIG = TrainConfig(hidden_sizes=(16,))


def test_short_jobs_of_two_sessions_starve_no_yielded_run() -> None:
    board = Board(30.0, lambda slot, job: None)
    board.slots.append(Slot(None))
    (slot,) = board.slots
    long_run = Run("long", CONFIG, "ann")
    board.enqueue(long_run)
    board.enqueue(Run("0", CONFIG, "ben"))
    slot.assign(None)
    board.requeue(long_run)
    started = []
    for number in range(1, 7):
        board.dispatch()
        job = slot.job
        assert job
        started.append(job.id)
        if job is long_run:
            break
        board.enqueue(Run(str(number), CONFIG, ["ben", "cleo"][number % 2]))
        board.finish(slot, job, JobEnd(JobState.FAILED), dispatches=False)
    assert started[-1] == "long", f"the yielded run did not start before {started}"
