"""The messages between the server and a training process: frozen, pickled, each with the id of the job that it is about.

A job's id makes late messages harmless: a process ignores a command for a job that it no longer has, and the server ignores
a reply about a job that the process's slot no longer has.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mnist_fc.config import TrainConfig
from mnist_fc.data.lesson import Lesson
from mnist_fc.records import Record
from mnist_fc.sweep.space import ParkedTrial, SweepConfig, TrialRecord
from mnist_fc.training.throughput import SpeedRecord

RECORDS_FOLLOW = b"mnist_fc: records follow\n"
"""The line after which a process's output is pickled replies; libraries may print while they are imported."""


@dataclass(frozen=True, slots=True)
class StartRun:
    """Train, from `state` if there is one; with a `lesson`, teach."""

    job_id: str
    config: TrainConfig
    state: Mapping[str, np.ndarray] | None
    lesson: Lesson | None = None


@dataclass(frozen=True, slots=True)
class StartSweep:
    """Run the trials of a sweep, first the one that was parked if there is one."""

    job_id: str
    config: SweepConfig
    parked: ParkedTrial | None


@dataclass(frozen=True, slots=True)
class MeasureSpeed:
    """Measure how fast the network of `config` trains with up to `max_threads` threads."""

    job_id: str
    config: TrainConfig
    max_threads: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait before the next step of a run."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Resume:
    """Continue a paused run."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Yield:
    """Save the training state, report it and give up the slot. A run that is almost done ignores it."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Stop:
    """End the job after the current step, or after the current measurement."""

    job_id: str


@dataclass(frozen=True, slots=True)
class SetLearningRate:
    """Use another peak learning rate from the next step on."""

    job_id: str
    learning_rate: float


Start = StartRun | StartSweep | MeasureSpeed
Command = Start | Pause | Resume | Yield | Stop | SetLearningRate


@dataclass(frozen=True, slots=True)
class Ready:
    """The process has loaded the data and takes commands."""

    bfloat16_share: float
    """The time of products in bfloat16 as a share of their time in float32."""


@dataclass(frozen=True, slots=True)
class Running:
    """The job has begun, or a paused run has resumed."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Paused:
    """The run waits before its next step."""

    job_id: str


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A record of a run; an EndRecord is the last reply about it."""

    job_id: str
    record: Record


@dataclass(frozen=True, slots=True)
class Result:
    """A record of a sweep or a speed test."""

    job_id: str
    record: TrialRecord | SpeedRecord


@dataclass(frozen=True, slots=True)
class Yielded:
    """The job has given up its slot. A run has sent its state before; a sweep sends the trial in progress here."""

    job_id: str
    parked: ParkedTrial | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """A sweep or a speed test has ended; `problem` says why it ended early, else it is empty."""

    job_id: str
    problem: str


JobReply = Running | Paused | RunRecord | Result | Yielded | Ended
Reply = Ready | JobReply
