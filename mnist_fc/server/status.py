"""The status of a run, in one word and in one line: the same in the header, in tables and in the log."""

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from mnist_fc.analysis.diagnosis import has_diverged, outcome_word
from mnist_fc.records import EndRecord
from mnist_fc.runs.layout import RunsError
from mnist_fc.runs.lock import is_locked
from mnist_fc.runs.reader import StoredRun, read_run
from mnist_fc.server.job import JobState
from mnist_fc.server.run import Run, RunSnapshot

Word = Literal[
    "ready",
    "waiting",
    "starting",
    "running",
    "paused",
    "stopped",
    "diverged",
    "failed",
    "done",
    "interrupted",
    "running elsewhere",
]


@dataclass(frozen=True)
class Status:
    """The status of a run, or of a page without one."""

    word: Word
    line: str
    """The text shown: the word, mostly with the epoch."""


READY = Status("ready", "ready")

WORDS: dict[JobState, Word] = {
    JobState.WAITING: "waiting",
    JobState.STARTING: "starting",
    JobState.RUNNING: "running",
    JobState.PAUSING: "running",
    JobState.PAUSED: "paused",
    JobState.STOPPING: "running",
    JobState.DONE: "done",
    JobState.STOPPED: "stopped",
    JobState.FAILED: "failed",
    JobState.INTERRUPTED: "interrupted",
    JobState.EXTERNAL: "running elsewhere",
}
"""The word for each state; a run that has been asked to pause or stop still trains."""


def status_word(run: RunSnapshot) -> Word:
    """Return the word for a run as it is now."""
    return "diverged" if has_diverged(run.steps, run.end) else WORDS[run.state]


def stored_status_word(run: StoredRun, active: Run | None) -> Word:
    """Return the word for a run in the store; `active` is the same run if it has not ended on this server."""
    if active:
        return status_word(active.snapshot())
    if run.end is None:
        return "running elsewhere" if is_locked(run.path) else "interrupted"
    if run.end.outcome == "done":
        return "diverged" if _diverged_to_its_end(run.path, run.end.step) else "done"
    return outcome_word((), run.end)


@lru_cache(maxsize=1000)
def _diverged_to_its_end(path: Path, _last_step: int) -> bool:
    """Return whether a run that took all its steps diverged; reads its steps once to find out."""
    try:
        run = read_run(path)
    except RunsError:  # it is gone or damaged; the table leaves it out when it is next drawn
        return False
    return has_diverged(run.steps, run.end)


def status(run: RunSnapshot) -> Status:
    """Return the word and the line for a run."""
    word = status_word(run)
    epoch = f"epoch {max(1, run.steps[-1].epoch) if run.steps else 1} of {run.config.num_epochs}"
    match word:
        case "waiting" | "stopped" if not run.steps:
            return Status(word, "waiting" if word == "waiting" else "stopped before it began")
        case "waiting" | "running" | "paused" | "running elsewhere":
            return Status(word, f"{word}, {epoch}")
        case "stopped" | "interrupted":
            return Status(word, f"{word} in {epoch}")
        case "diverged" if run.end and run.end.outcome == "failed":
            return Status(word, f"diverged in epoch {_epoch_of_divergence(run, run.end)} of {run.config.num_epochs}")
    return Status(word, word)


def _epoch_of_divergence(run: RunSnapshot, end: EndRecord) -> int:
    """Return the epoch of the step that failed, which follows the run's last one."""
    if not run.epochs:
        return 1
    steps_per_epoch = run.epochs[0].step / run.epochs[0].epoch
    return min(run.config.num_epochs, math.ceil((end.step + 1) / steps_per_epoch))
