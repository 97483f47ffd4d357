"""Take steps with fewer threads while another program keeps a core busy.

PyTorch's threads spin while they wait for each other. Where one of them has to share its core, the others burn theirs, and
training takes several times as long as with one thread less. So the pacer watches how often the system interrupts the process,
and how long its steps take.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from mnist_fc.training.batches import Batch
from mnist_fc.training.train_state import TrainState

if sys.platform != "win32":
    import resource

WINDOW_SECONDS, WINDOW_STEPS = 0.2, 8
"""The least time and number of steps between two trials of another number of threads."""

TRIAL_STEPS = 4
"""The steps of a trial. The first is not timed: the operations prepare for the new number of threads."""

REDUCED_SECONDS = 1.0
"""The time between two trials of one thread more: where a core is still busy, they are slow."""

LONGEST_PAUSE = 0.2
"""Seconds between two steps after which a new window begins: the process did something else, and was interrupted in that."""

INTERRUPTIONS_PER_SECOND = 120
"""Two training threads on idle cores were interrupted 50 to 70 times a second, and beside an endless loop 190 to 370 times."""

GAIN = 0.9
"""Another number of threads is kept if its steps take less than this share of the time."""


class Pacer:
    """Takes the steps of `training` with at most the threads of its settings, two or more, and with fewer while that is faster.

    PyTorch must have the threads of the settings, and has them again after each step.

    It only chooses among numbers of threads that give the same bits, so a busy machine changes the time and not the network.
    """

    def __init__(self, training: TrainState) -> None:
        self._training = training
        self._count = self._most = training.config.threads
        self._is_exact = {self._most: True}
        self._trial = 0
        """The number of threads being tried; 0 between trials."""
        self._seconds: list[float] = []
        self._window_mean = 0.0
        self._pause = WINDOW_SECONDS
        self._ended = time.perf_counter()
        self._begin_window()

    @property
    def threads(self) -> int:
        """The number of threads of the next step."""
        return self._trial or self._count

    def take_step(self, batch: Batch) -> bool:
        """Take a step as `TrainState.take_step` does. Afterwards PyTorch has the threads of the settings again."""
        if not self._trial:
            if time.perf_counter() - self._ended > LONGEST_PAUSE:
                self._begin_window()
            self._try_another(batch)
        started = time.perf_counter()
        with self._threads_set(self.threads):
            is_finite = self._training.take_step(batch)
        self._ended = time.perf_counter()
        self._seconds.append(self._ended - started)
        if self._trial and len(self._seconds) == TRIAL_STEPS:
            self._end_trial()
        return is_finite

    def _begin_window(self) -> None:
        self._seconds = []
        self._began, self._interruptions = time.perf_counter(), interruptions()

    def _try_another(self, batch: Batch) -> None:
        """Begin a trial if it is time for one."""
        elapsed = time.perf_counter() - self._began
        if elapsed < self._pause or len(self._seconds) < WINDOW_STEPS:
            return
        is_busy = interruptions() - self._interruptions > INTERRUPTIONS_PER_SECOND * elapsed
        candidate = self._count - 1 if is_busy and self._count > 1 else min(self._count + 1, self._most)
        # The first steps of a run are slow, and a mean forgives no pause of the system in a short window.
        self._window_mean = float(np.mean(self._seconds[1:]))
        self._begin_window()
        if candidate != self._count and self._gives_same_bits(candidate, batch):
            self._trial = candidate

    def _end_trial(self) -> None:
        """Keep the number of threads that was tried if it is faster."""
        timed = self._seconds[1:]
        if float(np.mean(timed)) < GAIN * self._window_mean:
            self._count = self._trial
        self._trial = 0
        # With few threads a trial of more may be slow; it takes at most a twentieth of the time.
        self._pause = WINDOW_SECONDS if self._count == self._most else max(REDUCED_SECONDS, 20 * sum(self._seconds))
        self._begin_window()

    def _gives_same_bits(self, threads: int, batch: Batch) -> bool:
        """Return whether a step on `batch` gives the same bits with this number of threads; leaves the training as it was."""
        if not self._training.weights_are_finite():
            return False
        if threads not in self._is_exact:
            before = self._training.state()
            after = []
            for count in (self._most, threads):
                with self._threads_set(count):
                    self._training.take_step(batch)
                    after.append(self._training.state())
                    self._training.restore(before)
            self._is_exact[threads] = all(
                np.array_equal(array, after[1][name], equal_nan=array.dtype.kind == "f")
                for name, array in after[0].items()
                if name != "numbers"  # they hold seconds
            )
        return self._is_exact[threads]

    @contextmanager
    def _threads_set(self, count: int) -> Iterator[None]:
        if count == self._most:  # as between all steps
            yield
            return
        torch.set_num_threads(count)
        try:
            yield
        finally:
            torch.set_num_threads(self._most)


def interruptions() -> int:
    """Return how often the system has taken a core from a thread of this process that could have gone on; 0 on Windows."""
    if sys.platform == "win32":
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
