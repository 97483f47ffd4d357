"""The learning rate over a run."""

import math


def schedule_factor(schedule: str, progress: float) -> float:
    """Return the factor of the highest learning rate at `progress`, 0 to 1, of the run.

    "one_cycle" is Smith & Topin 2018 with PyTorch's shape: cosine up from 1/25 over the first 30%, then cosine down to 0.
    """
    match schedule:
        case "constant":
            return 1.0
        case "cosine":
            return (1 + math.cos(math.pi * progress)) / 2
    if progress < 0.3:
        return 1 / 25 + (1 - 1 / 25) * (1 - math.cos(math.pi * progress / 0.3)) / 2
    return (1 + math.cos(math.pi * (progress - 0.3) / 0.7)) / 2
