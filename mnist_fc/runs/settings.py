"""The settings of a run: its settings as it began, and each learning rate to which it was changed on the way."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mnist_fc.config import FIELDS, ConfigError, TrainConfig, preset_of
from mnist_fc.network.schedule import schedule_factor
from mnist_fc.records import EpochRecord

TOLERANCE = 1e-6
"""Relative difference from which on two learning rates are not the same."""

MAX_SHOWN = 3
"""Learning rates in words; of more, the first and the last are shown."""


@dataclass(frozen=True)
class RunSettings:
    """The settings that a run was trained with. Everything that names or copies a run's settings takes them from here."""

    config: TrainConfig
    """As the run began."""
    learning_rates: tuple[float, ...]
    """The schedule's highest learning rates in the order of their use, at least the one that the run began with."""

    @classmethod
    def of(
        cls, config: TrainConfig, steps: Iterable[tuple[int, float]], epochs: Sequence[EpochRecord], pending: float | None = None
    ) -> "RunSettings":
        """Return the settings of a run from its records: the number and learning rate of `steps`, and its `epochs`.

        `pending` is the learning rate of the next step, where there is one to come.
        """
        rates = _learning_rates(config, steps, epochs)
        if pending is not None and not math.isclose(pending, rates[-1], rel_tol=TOLERANCE):
            rates.append(pending)
        return cls(config, tuple(rates))

    @property
    def latest(self) -> TrainConfig:
        """The settings with the last learning rate: what the page copies and trains again with."""
        return self.config if len(self.learning_rates) == 1 else self.config.replace(learning_rate=self.learning_rates[-1])

    @property
    def preset(self) -> str:
        """The preset that the run was trained with to its end, or "custom"."""
        return preset_of(self.config) if len(self.learning_rates) == 1 else "custom"

    @property
    def learning_rate_in_words(self) -> str:
        """The learning rate with its changes: "0.001", "0.001 → 0.003"."""
        shown = [f"{rate:.4g}" for rate in self.learning_rates]
        return " → ".join(shown if len(shown) <= MAX_SHOWN else [shown[0], "…", shown[-1]])

    @property
    def in_words(self) -> str:
        """The preset that the run began with, and what was changed: "blog-keras, learning rate 0.001 → 0.003"."""
        changed = f", learning rate {self.learning_rate_in_words}" if len(self.learning_rates) > 1 else ""
        return f"{preset_of(self.config)}{changed}"


def _learning_rates(config: TrainConfig, steps: Iterable[tuple[int, float]], epochs: Sequence[EpochRecord]) -> list[float]:
    """Return the learning rates as they follow from the steps' own, which the schedule has scaled.

    Where the schedule is not constant, its course is known from the end of the first epoch on; before that, and for a step
    whose rate no run can have, the rate counts as unchanged.
    """
    rates = [config.learning_rate]
    num_steps = config.num_epochs * epochs[0].step / epochs[0].epoch if epochs and epochs[0].epoch else None
    if config.schedule == "constant":
        num_steps = None
    elif not num_steps:
        return rates
    for step, scaled in steps:
        factor = schedule_factor(config.schedule, (step - 1) / num_steps) if num_steps else 1.0
        if abs(scaled - rates[-1] * factor) > TOLERANCE * scaled and factor and _is_possible(scaled / factor):
            rates.append(float(f"{scaled / factor:.9g}"))
    return rates


def _is_possible(rate: float) -> bool:
    try:
        FIELDS["learning_rate"].check("learning_rate", rate)
    except ConfigError:
        return False
    return True
