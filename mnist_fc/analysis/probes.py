"""Pinned drawings, and how a run's networks read them from step to step."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mnist_fc.analysis.curves import Curve, thin
from mnist_fc.config import NUM_CLASSES
from mnist_fc.network.mlp import MLP

MAX_PROBES = 5

NOTHING = np.zeros(NUM_CLASSES, np.float32)


@dataclass(frozen=True)
class Probe:
    """A drawing that every network of the session reads."""

    id: int
    image: np.ndarray
    """float32 (28, 28), 0 paper to 1 ink."""
    digit: int
    """What it is meant to be."""


class History:
    """What the networks of one run have made of probes; a probe whose digit is changed keeps its readings."""

    def __init__(self) -> None:
        self._readings: dict[int, dict[int, np.ndarray]] = {}

    def needs(self, step: int, probes: Sequence[Probe]) -> bool:
        """Whether the network of `step` has yet to read one of `probes`."""
        return not self._readings.get(step, {}).keys() >= {probe.id for probe in probes}

    def lacks_all(self, probe: Probe) -> bool:
        """Whether no network has read it."""
        return not self._of(probe)

    def skip(self, step: int, probes: Sequence[Probe]) -> None:
        """There is no network of `step` to be had, and it is not asked for again."""
        self._readings.setdefault(step, {}).update({probe.id: NOTHING for probe in probes})

    @torch.inference_mode()
    def add(self, step: int, model: MLP, probes: Sequence[Probe]) -> None:
        """Let the run's network after `step` steps read `probes`."""
        images = torch.from_numpy(np.stack([probe.image.reshape(-1) for probe in probes]))
        probabilities = model(images).softmax(1).nan_to_num(0.0).numpy()
        self._readings.setdefault(step, {}).update({probe.id: row for probe, row in zip(probes, probabilities, strict=True)})

    def curve(self, probe: Probe) -> Curve:
        """The probability of the probe's digit over the steps at which it was read."""
        read = self._of(probe)
        return thin(Curve(np.array(list(read), np.float64), np.array([row[probe.digit] for row in read.values()], np.float64)))

    def first_right(self, probe: Probe, until: int | None = None) -> int | None:
        """The first step at which it was read as its digit, of those at which it was read, `until` a step if one is given."""
        return next((step for step, row in self._of(probe, until).items() if _is_right(row, probe)), None)

    def correct_since(self, probe: Probe, until: int | None = None) -> int | None:
        """The first step from which on it was always read as its digit; None if it was not at the last, which is `until`."""
        read = self._of(probe, until)
        wrong = [step for step, row in read.items() if not _is_right(row, probe)]
        return next((step for step in read if not wrong or step > wrong[-1]), None)

    def read(self, probe: Probe, step: int | None = None) -> tuple[int, float] | None:
        """What it was read as at `step`, the last when None, and how probable its own digit was; None if nothing was read."""
        read = self._of(probe)
        row = read.get(max(read, default=0) if step is None else step, NOTHING)
        return (int(row.argmax()), float(row[probe.digit])) if row.any() else None

    def _of(self, probe: Probe, until: int | None = None) -> dict[int, np.ndarray]:
        """The probabilities of all digits by step, in order, each float32 (10,)."""
        return {
            step: rows[probe.id]
            for step, rows in sorted(self._readings.items())
            if rows.get(probe.id, NOTHING) is not NOTHING and (until is None or step <= until)
        }


def _is_right(row: np.ndarray, probe: Probe) -> bool:
    return bool(row.any()) and int(row.argmax()) == probe.digit
