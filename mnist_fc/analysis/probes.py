"""Follow how a run's networks read pinned drawings, from step to step."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mnist_fc.analysis.curves import Curve, thin
from mnist_fc.config import NUM_CLASSES
from mnist_fc.network.mlp import MLP

MAX_PROBES = 5

NO_READING = np.zeros(NUM_CLASSES, np.float32)
"""Stands for the probabilities at a step whose network is missing."""


@dataclass(frozen=True)
class Probe:
    """A pinned drawing, which the network of every step reads."""

    id: int
    image: np.ndarray
    """float32 (28, 28), from 0 (paper) to 1 (ink)."""
    digit: int
    """The digit that it is meant to be."""


class History:
    """The readings of probes by the networks of one run, by step. A probe whose digit is changed keeps its readings."""

    def __init__(self) -> None:
        self._readings: dict[int, dict[int, np.ndarray]] = {}

    def needs(self, step: int, probes: Sequence[Probe]) -> bool:
        """Return whether the network of `step` has yet to read one of `probes`."""
        return not self._readings.get(step, {}).keys() >= {probe.id for probe in probes}

    def is_unread(self, probe: Probe) -> bool:
        """Return whether no network has read the probe."""
        return not self._readings_of(probe)

    def skip(self, step: int, probes: Sequence[Probe]) -> None:
        """Record that the network of `step` is missing, so that it is not needed any more."""
        self._readings.setdefault(step, {}).update({probe.id: NO_READING for probe in probes})

    @torch.inference_mode()
    def add(self, step: int, model: MLP, probes: Sequence[Probe]) -> None:
        """Let `model`, the run's network after `step` steps, read `probes`."""
        images = torch.from_numpy(np.stack([probe.image.reshape(-1) for probe in probes]))
        probabilities = model(images).softmax(1).nan_to_num(0.0).numpy()
        self._readings.setdefault(step, {}).update({probe.id: row for probe, row in zip(probes, probabilities, strict=True)})

    def curve(self, probe: Probe) -> Curve:
        """Return the probability of the probe's digit over the steps at which it was read."""
        read = self._readings_of(probe)
        return thin(Curve(np.array(list(read), np.float64), np.array([row[probe.digit] for row in read.values()], np.float64)))

    def first_correct(self, probe: Probe, until: int | None = None) -> int | None:
        """Return the first step, up to `until`, at which the probe was read as its digit. None if there is none."""
        return next((step for step, row in self._readings_of(probe, until).items() if _is_correct(row, probe)), None)

    def correct_since(self, probe: Probe, until: int | None = None) -> int | None:
        """Return the step since which the probe has always been read as its digit, up to `until`.

        Returns None if it was not at the last of these steps.
        """
        read = self._readings_of(probe, until)
        wrong = [step for step, row in read.items() if not _is_correct(row, probe)]
        return next((step for step in read if not wrong or step > wrong[-1]), None)

    def reading_at(self, probe: Probe, step: int | None = None) -> tuple[int, float] | None:
        """Return the digit read at `step`, or at the last step, and the probability of the probe's own digit.

        Returns None if the probe was not read there, or if the network's values overflowed.
        """
        read = self._readings_of(probe)
        row = read.get(max(read, default=0) if step is None else step, NO_READING)
        return (int(row.argmax()), float(row[probe.digit])) if row.any() else None

    def _readings_of(self, probe: Probe, until: int | None = None) -> dict[int, np.ndarray]:
        """Return the probabilities of all digits by step, in order, each float32 (10,)."""
        return {
            step: rows[probe.id]
            for step, rows in sorted(self._readings.items())
            if rows.get(probe.id, NO_READING) is not NO_READING and (until is None or step <= until)
        }


def _is_correct(row: np.ndarray, probe: Probe) -> bool:
    return bool(row.any()) and int(row.argmax()) == probe.digit
