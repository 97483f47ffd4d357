"""The share of the gradient that reaches each layer, taken from the curves that the page draws."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mnist_fc.analysis.curves import Curve
from mnist_fc.records import StepRecord

NEWEST_RECORDS = 20

VANISHING_RATIO = 0.03
"""Below this ratio of the first layer's gradient norm to the output layer's, the gradients vanish.

Measured on MNIST: four sigmoid layers of one size have 0.0003 to 0.02 in the first 100 steps of 100 images, and 0.001 to
0.005 as long as they stall. Two have 0.02 to 0.2. The lowest of another activation that learns is 0.07 (GELU,
1024-256-64-16, at the first step). Every network that has learned has at least 0.07.
"""


@dataclass(frozen=True)
class GradientFlow:
    """The gradient that reaches each layer at one step."""

    step: int
    norms: tuple[float, ...]
    """The smoothed norm of each layer's gradient, from the input to the output."""

    @property
    def ratio(self) -> float:
        """The norm of the first layer's gradient divided by that of the output layer's."""
        return self.norms[0] / self.norms[-1]

    @property
    def vanishes(self) -> bool:
        """Whether too little for learning reaches the first layer. One hidden layer is too few for that."""
        return len(self.norms) > 2 and self.ratio < VANISHING_RATIO


def gradient_flow(curves: Sequence[Curve]) -> GradientFlow | None:
    """Return the flow at the newest point of `curves`, as `gradient_curves` gives them.

    Returns None if at no point every layer has a finite norm above zero.
    """
    flows = _flows(curves)
    return flows[-1] if flows else None


def weakest_flow(curves: Sequence[Curve]) -> GradientFlow | None:
    """Return the flow at the point of `curves` with the lowest ratio, or None as in `gradient_flow`."""
    return min(_flows(curves), key=lambda flow: flow.ratio, default=None)


def last_vanishing_step(curves: Sequence[Curve]) -> int | None:
    """Return the last step of `curves` at which the gradients vanish, or None if they never do."""
    return max((flow.step for flow in _flows(curves) if flow.vanishes), default=None)


def lost_layers(steps: Sequence[StepRecord]) -> tuple[int, ...]:
    """Return the indices of the layers whose gradient is zero or not finite in the last record, from the input's on.

    Returns () unless each of the newest records has such a layer.
    """
    norms = np.array([record.gradient_norms for record in steps[-NEWEST_RECORDS:]], np.float64)
    is_lost = ~(np.isfinite(norms) & (norms > 0))
    return tuple(np.flatnonzero(is_lost[-1]).tolist()) if len(steps) and is_lost.any(axis=-1).all() else ()


def _flows(curves: Sequence[Curve]) -> list[GradientFlow]:
    """Return the flow at each point at which every layer has a finite norm above zero."""
    if not curves:
        return []
    norms = np.stack([curve.values for curve in curves], axis=1)
    usable = (np.isfinite(norms) & (norms > 0)).all(axis=1)
    steps = curves[0].steps[usable].tolist()
    return [GradientFlow(int(step), tuple(row)) for step, row in zip(steps, norms[usable].tolist(), strict=True)]
