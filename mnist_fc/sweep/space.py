"""What a sweep searches: settings, ranges and the limits of the search; and the records of its trials."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mnist_fc.config import FIELDS, ConfigError, LayerSizes, Range, TrainConfig, to_number

VARIABLE = tuple(name for name in FIELDS if name not in ("num_validation", "threads", "seed"))
"""The fields that a sweep may vary: those that change how well a network learns, but for chance."""

LOG_SCALE = frozenset({"learning_rate", "weight_decay", "adam_epsilon", "batch_size"})
"""The fields whose intervals are searched on a log scale."""
NUM_RUNS = Range(int, 1, 10_000)
MINUTES = Range(float, 0.001, 7 * 24 * 60)
MAX_NAME = 100
State = Literal["running", "done", "pruned", "failed"]


@dataclass(frozen=True)
class Values:
    """Values to choose from, in no order; for any field."""

    options: tuple[Any, ...]


@dataclass(frozen=True)
class Interval:
    """All numbers from `low` to `high`, both included; those of LOG_SCALE are searched on a log scale."""

    low: float
    high: float


Space = Mapping[str, Values | Interval]
"""What is varied, by field."""


@dataclass(frozen=True)
class SweepConfig:
    """All that a sweep depends on besides the data. Raises ConfigError for what is out of range or cannot be varied.

    `base` holds what is not varied. Where it has no validation images it gets TrainConfig's own number of them, for a sweep
    never looks at the test set. The study and storage may be others' too: see `sweep`.
    """

    base: TrainConfig
    space: Space
    study: str
    storage: str
    """Where the study lives, as an SQLAlchemy address; without a "://" it is the path of an Optuna journal file."""
    num_runs: int = 20
    """How many trials this sweep begins, however they end; those that others add to the study do not count."""
    minutes: float | None = None
    """By the clock on the wall, but while others have their turn; the trial that is running then is stopped."""
    seed: int = 0
    """For what is tried, not for the networks: they have the base's."""

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
                raise ConfigError(f"{name} is {text!r}; it must be a line of text")
        if len(self.study) > MAX_NAME:
            raise ConfigError(f"study is {len(self.study)} characters long; it must have at most {MAX_NAME}")


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """A trial as it is now."""

    number: int
    """From 0, over all who search the study."""
    state: State
    """A trial that diverged has failed, and so has one that was stopped; `message` says which."""
    settings: dict[str, Any]
    """The varied fields alone; while a trial begins perhaps not yet all of them."""
    epoch: int
    """How many epochs are behind it."""
    num_epochs: int
    val_accuracy: float | None
    """After the newest epoch: what the network is like that such a run leaves behind."""
    seconds: float
    """Spent in training steps up to the end of the newest epoch."""
    message: str = ""


def parse_space(texts: Sequence[str]) -> Space:
    """Read `learning-rate=1e-4..1e-2`, `batch-size=64,128` or `hidden-sizes=256,500-500`; raises ConfigError."""
    space: dict[str, Values | Interval] = {}
    for text in texts:
        written, equals, values = text.partition("=")
        name = written.strip().replace("-", "_")
        name = "num_epochs" if name == "epochs" else name  # as the command line has it
        if not equals:
            raise ConfigError(f"{text!r} says no values; it must be like learning-rate=1e-4..1e-2 or batch-size=64,128")
        if name in space:
            raise ConfigError(f"{name} is given twice")
        low, dots, high = values.partition("..")
        if dots:
            space[name] = Interval(value_from_json(name, low), value_from_json(name, high))
        else:
            space[name] = Values(tuple(value_from_json(name, value) for value in values.split(",")))
    return check_space(space)


def best(records: Sequence[TrialRecord]) -> TrialRecord | None:
    """The done trial with the highest validation accuracy, the first of equals; None before one is done."""
    done = [record for record in records if record.state == "done" and record.val_accuracy is not None]
    return max(done, key=lambda record: record.val_accuracy or 0.0, default=None)


def config_of(base: TrainConfig, trial: TrialRecord) -> TrainConfig:
    """`base` with the settings of a trial. Raises ConfigError for what is out of range."""
    return base.replace(**trial.settings)


def value_from_json(name: str, text: str) -> Any:
    """The value of a field as the command line has it, unchecked: sizes of layers, a number or a word."""
    if isinstance(FIELDS.get(name), LayerSizes):
        return tuple(to_number(size.strip()) for size in text.split("-"))
    return to_number(text.strip())


def value_to_json(value: Any) -> Any:
    """A value as Optuna can store it: layers as `value_from_json` reads them."""
    return "-".join(map(str, value)) if isinstance(value, tuple) else value


def is_one_line(text: str) -> bool:
    return bool(text.strip()) and text.isprintable()


def check_space(space: Space) -> Space:
    """The space with its values as TrainConfig would have them, in the order of the fields. Raises ConfigError."""
    if unknown := [name for name in space if name not in VARIABLE]:
        raise ConfigError(f"{', '.join(map(str, unknown))} cannot be varied; what can is {', '.join(VARIABLE)}")
    if not space:
        raise ConfigError(f"the space is empty; it must name what to vary, of {', '.join(VARIABLE)}")
    return {name: _checked_field(name, space[name]) for name in VARIABLE if name in space}


def _checked_field(name: str, varied: Values | Interval) -> Values | Interval:
    limit = FIELDS[name]
    if isinstance(varied, Values):
        if not varied.options:
            raise ConfigError(f"{name} has no values to choose from; each must be {limit}")
        return Values(tuple(dict.fromkeys(limit.check(name, value) for value in varied.options)))
    if not isinstance(limit, Range):
        raise ConfigError(f"{name} has no numbers in between; name its values, separated by commas, each {limit}")
    low, high = limit.check(name, varied.low), limit.check(name, varied.high)
    if low >= high:
        raise ConfigError(f"{name} is to go from {low:g} to {high:g}; the first must be lower")
    if name in LOG_SCALE and not low:
        raise ConfigError(f"{name} is searched on a log scale, so {low:g}..{high:g} must begin above 0")
    return Interval(low, high)


def describe_space(space: Space) -> str:
    """A space as `parse_space` reads it."""
    return " ".join(
        f"{name}={varied.low:g}..{varied.high:g}"
        if isinstance(varied, Interval)
        else f"{name}={','.join(str(value_to_json(value)) for value in varied.options)}"
        for name, varied in space.items()
    )
