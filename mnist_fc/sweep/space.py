"""The search space of a sweep, its notation as text, and the records of its trials."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from mnist_fc.config import FIELDS, ConfigError, LayerSizes, Range, TrainConfig, split_sizes, to_number

VARIABLE = tuple(name for name in FIELDS if name not in ("num_validation", "precision", "threads", "seed"))
"""The fields that a sweep may vary: all that change how well a network learns, except the seed."""

LOG_SCALE = frozenset({"learning_rate", "weight_decay", "adam_epsilon", "batch_size"})
"""The fields whose intervals are searched on a log scale."""

SWEEPS_VARIABLE = "MNIST_FC_SWEEPS"
"""The environment variable with the address of the storage of sweeps."""

NUM_RUNS = Range(int, 1, 10_000)
MINUTES = Range(float, 0.001, 7 * 24 * 60)

MAX_NAME = 100
"""Characters in the name of a study."""

State = Literal["running", "done", "pruned", "failed"]


@dataclass(frozen=True)
class Values:
    """A set of values to choose from, for any field."""

    options: tuple[Any, ...]


@dataclass(frozen=True)
class Interval:
    """All numbers from `low` to `high`, both included, on a log scale for the fields in LOG_SCALE."""

    low: float
    high: float


Space = Mapping[str, Values | Interval]
"""The values to vary, by field."""


@dataclass(frozen=True)
class SweepConfig:
    """All that a sweep depends on besides the data.

    `base` holds the settings that are not varied. If it has no validation images, it gets TrainConfig's default number, since
    a sweep never looks at the test set. Others may use the same study and storage: see `sweep`. Raises ConfigError if a value
    is out of range or a field cannot be varied.
    """

    base: TrainConfig
    space: Space
    study: str
    storage: str
    """The SQLAlchemy address of the study's database; without a "://", the path of an Optuna journal file."""
    num_runs: int = 20
    """The number of trials that this sweep begins, whatever their end. Trials that others add to the study do not count."""
    minutes: float | None = None
    """The longest time it may take, without the time in which other jobs had the slot. The running trial is stopped then."""
    seed: int = 0
    """The seed of the search. The networks use the base's seed."""

    def __post_init__(self) -> None:
        if not self.base.num_validation:
            object.__setattr__(self, "base", self.base.replace(num_validation=TrainConfig.num_validation))
        object.__setattr__(self, "space", check_space(self.space))
        object.__setattr__(self, "num_runs", NUM_RUNS.check("num_runs", self.num_runs))
        if self.minutes is not None:
            object.__setattr__(self, "minutes", MINUTES.check("minutes", self.minutes))
        object.__setattr__(self, "seed", FIELDS["seed"].check("seed", self.seed))
        for name, text in (("study", self.study), ("storage", self.storage)):
            if not is_one_line(text):
                raise ConfigError(f"{name} is {text!r}; it must be one line of text")
        if len(self.study) > MAX_NAME:
            raise ConfigError(f"study is {len(self.study)} characters long; it may have at most {MAX_NAME}")

    def fitted_to(self, num_images: int) -> "SweepConfig":
        """Return this sweep for `num_images` training images: its base as `TrainConfig.fitted_to` returns it."""
        return replace(self, base=self.base.fitted_to(num_images))


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """The state of a trial at one moment."""

    number: int
    """Counted from 0 over everyone who searches the study."""
    state: State
    """A trial that diverged or was stopped has failed; `message` says which."""
    settings: dict[str, Any]
    """The varied fields only. A trial that is just beginning may not have all of them yet."""
    epoch: int
    """The number of finished epochs."""
    num_epochs: int
    val_accuracy: float | None
    """That on the validation images, after the newest epoch."""
    seconds: float
    """Time in training steps up to the end of the newest epoch."""
    message: str = ""


@dataclass(frozen=True, slots=True)
class ParkedTrial:
    """A trial that gave up its process between two steps, with the training state to resume it from in any process."""

    number: int
    state: dict[str, np.ndarray]


def parse_space(texts: Sequence[str]) -> Space:
    """Parse texts like `learning-rate=1e-4..1e-2`, `batch-size=64,128` or `hidden-sizes=256,500-500`. Raises ConfigError.

    A semicolon may separate numbers and words too, as in `learning-rate=0,001;0,01`.
    """
    space: dict[str, Values | Interval] = {}
    for text in texts:
        written, equals, values = text.partition("=")
        name = written.strip().replace("-", "_")
        name = "num_epochs" if name == "epochs" else name  # the name of the command-line option
        if not equals:
            raise ConfigError(f"{text!r} has no values; write for example learning-rate=1e-4..1e-2 or batch-size=64,128")
        if name in space:
            raise ConfigError(f"{name} is given twice; name each setting once")
        low, dots, high = values.partition("..")
        if dots:
            space[name] = Interval(parse_space_value(name, low), parse_space_value(name, high))
        else:
            # A semicolon separates values where commas are decimal; in layer sizes it separates layers.
            separator = ";" if ";" in values and not isinstance(FIELDS.get(name), LayerSizes) else ","
            space[name] = Values(tuple(parse_space_value(name, value) for value in values.split(separator)))
            _check_decimal_commas(name, values)
    return check_space(space)


def _check_decimal_commas(name: str, values: str) -> None:
    """Raise ConfigError for numbers with decimal commas, such as 0,1 or 0,001,0.01: they would be the lists of 0 and 1."""
    limit = FIELDS.get(name)
    if not isinstance(limit, Range) or limit.kind is not float or ";" in values:
        return
    have_all_commas = re.fullmatch(r"(\s*0+,\d+\s*(,(?!$)|$))+", values)
    if have_all_commas or any(re.fullmatch(r"0\d+", part.strip()) for part in values.split(",")):
        raise ConfigError(
            f"{name} is {values.strip()!r}; commas separate values, so write decimals with a point, or a semicolon between values"
        )


def best_trial(records: Sequence[TrialRecord]) -> TrialRecord | None:
    """Return the done trial with the highest validation accuracy, the first if several tie; None before one is done.

    As the maximum of many noisy accuracies, its accuracy is optimistic.
    """
    done = [record for record in records if record.state == "done" and record.val_accuracy is not None]
    return max(done, key=lambda record: record.val_accuracy or 0.0, default=None)


def config_of(base: TrainConfig, trial: TrialRecord) -> TrainConfig:
    """Return `base` with the settings of a trial. Raises ConfigError if one is out of range."""
    return base.replace(**trial.settings)


def parse_space_value(name: str, text: str) -> Any:
    """Parse one value of a field, without checking it: layer sizes like "500-500", a number or a word."""
    if isinstance(FIELDS.get(name), LayerSizes):
        return tuple(to_number(size) for size in split_sizes(text))
    return to_number(text.strip())


def to_optuna_value(value: Any) -> Any:
    """Return a value that Optuna can store: layer sizes as the text that `parse_space_value` reads, all else unchanged."""
    return "-".join(map(str, value)) if isinstance(value, tuple) else value


def is_one_line(text: str) -> bool:
    """Return whether `text` has only printable characters, and not only blanks."""
    return bool(text.strip()) and text.isprintable()


def check_space(space: Space) -> Space:
    """Return the space with its values as TrainConfig stores them, in the order of the fields. Raises ConfigError."""
    if unknown := [name for name in space if name not in VARIABLE]:
        raise ConfigError(f"{', '.join(map(str, unknown))} cannot be varied; choose from {', '.join(VARIABLE)}")
    if not space:
        raise ConfigError(f"there is nothing to vary; choose from {', '.join(VARIABLE)}")
    return {name: _check_field(name, space[name]) for name in VARIABLE if name in space}


def _check_field(name: str, varied: Values | Interval) -> Values | Interval:
    """Return what `name` is varied over, with its values as TrainConfig stores them. Raises ConfigError."""
    limit = FIELDS[name]
    if isinstance(varied, Values):
        if not varied.options:
            raise ConfigError(f"{name} has no values to choose from; name at least one, {limit}")
        return Values(tuple(dict.fromkeys(limit.check(name, value) for value in varied.options)))
    if not isinstance(limit, Range):
        raise ConfigError(f"{name} cannot be an interval; list its values, separated by commas, each {limit}")
    low, high = limit.check(name, varied.low), limit.check(name, varied.high)
    if low >= high:
        raise ConfigError(f"{name} is {low:g}..{high:g}; the first number must be lower than the second")
    if name in LOG_SCALE and not low:
        raise ConfigError(f"{name} is {low:g}..{high:g}; it is searched on a log scale, so it must begin above 0")
    return Interval(low, high)


def format_space(space: Space) -> str:
    """Return a space as a line of the texts that `parse_space` reads, with numbers to six digits."""
    return " ".join(
        f"{name}={varied.low:g}..{varied.high:g}"
        if isinstance(varied, Interval)
        else f"{name}={','.join(str(to_optuna_value(value)) for value in varied.options)}"
        for name, varied in space.items()
    )
