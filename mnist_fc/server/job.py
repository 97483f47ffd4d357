"""What a training process is asked to do, and who asked."""

import threading
import time
from abc import ABC, abstractmethod
from typing import Literal

State = Literal["waiting", "starting", "running", "paused", "done", "stopped", "failed", "interrupted", "elsewhere"]
ACTIVE_STATES = ("waiting", "starting", "running", "paused")


class Job(ABC):
    """What a training process is asked to do, and who asked."""

    name = "Something else"
    takes_turns = True
    """Whether it can make room for others, and go on later."""

    def __init__(self, job_id: str, session_id: str) -> None:
        self.id = job_id
        self.session_id = session_id
        """The session of whoever asked for it; empty where nobody did."""
        self.detached = False
        """Whether it goes on when nobody looks at it any more."""
        self.viewers = {session_id} if session_id else set()
        """The sessions that have looked at it."""
        self.seen_at = time.monotonic()
        """When one of them was last there."""
        self.has_begun = False
        """Whether it has had a turn."""
        self.depends_on: Job | None = None
        """What must have ended before its turn can come."""
        self.is_stopping = False
        """Whether its end was asked for."""
        self._why_stopped = ""
        self._changed = threading.Condition()

    @property
    @abstractmethod
    def is_active(self) -> bool:
        """Whether it has not ended."""

    @abstractmethod
    def mark_queued(self) -> None:
        """It waits for a training process."""

    def request_stop(self, why: str) -> None:
        """Its end was asked for, because of `why`; nothing where a person wanted it."""
        self.is_stopping = True
        self._why_stopped = why

    @abstractmethod
    def cancel(self, why: str) -> None:
        """It ends without a training process, because of `why`; nothing where a person wanted it."""

    @abstractmethod
    def fail(self, why: str) -> None:
        """The process that was at it is gone, because of `why`, a sentence."""

    @abstractmethod
    def seconds_left(self, num_train_images: int, pace: float) -> float:
        """About how long it needs a process, from now on or from its turn on."""
