"""Log texts about jobs: their names and how they end."""

import logging

from mnist_fc.config import preset_of
from mnist_fc.server.job import Job, JobState
from mnist_fc.server.run import Run
from mnist_fc.server.status import status_word
from mnist_fc.server.task import Sweep, Task

log = logging.getLogger(__name__)


def name_of(job: Job) -> str:
    """Return the name of a job in the log."""
    match job:
        case Run():
            layers = "-".join(map(str, job.config.layer_sizes))
            what = f"run {job.id} ({layers}, {preset_of(job.config)}, {job.config.num_epochs} epochs)"
        case Sweep():
            what = f"sweep {job.id} (study {job.config.study!r})"
        case _:
            what = f"speed test {job.id}"
    return f"{what} of {name_of_session(job.session_id)}"


def name_of_session(session_id: str) -> str:
    """Return the name of a session in the log; its full id would let a reader of the log pose as it."""
    return f"session {session_id[:8]}" if session_id else "no session"


def log_end(job: Job) -> None:
    """Log how a job ended."""
    level = logging.ERROR if job.state is JobState.FAILED else logging.INFO
    match job:
        case Run() if job.state is JobState.INTERRUPTED:
            log.info("%s is interrupted: the server ends", name_of(job))
        case Run():
            now = job.snapshot()
            word = status_word(now)
            how = now.message if now.message.lower().startswith(word) else f"{word}: {now.message}".rstrip(": ")
            log.log(level, "%s ends at step %d, %s", name_of(job), now.end.step if now.end else 0, how)
        case Task():
            problem = f": {job.problem}" if job.problem else ""
            log.log(level, "%s ends with %d records%s", name_of(job), len(job.records()), problem)
