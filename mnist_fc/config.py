"""TrainConfig: each hyperparameter with its range and default, checked in one place; and the presets.

The config is the only thing that travels down to the training process, and it says all that a run depends on besides the data.
"""

import dataclasses
import json
import math
import os
import reprlib
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

Activation = Literal["relu", "tanh", "sigmoid", "leaky_relu", "gelu"]
Optimizer = Literal["adam", "adamw", "sgd"]
Schedule = Literal["constant", "one_cycle", "cosine"]
Augmentation = Literal["none", "shift", "affine", "elastic"]
Initialization = Literal["pytorch", "keras"]

CPU_COUNT = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

# A batch of a hundred digits is too little work to share among more.
DEFAULT_THREADS = min(CPU_COUNT, 4)

NUM_INPUTS, NUM_CLASSES = 28 * 28, 10

MAX_CONFIG_BYTES = 2**16
"""Of a config as JSON, which has a thousand."""

MAX_SHOWN = 100
"""Characters of a wrong value that are said again."""


class ConfigError(ValueError):
    """A hyperparameter out of its range; the message names the field, the value and the range."""


@dataclass(frozen=True)
class Range:
    """A closed interval of numbers; `kind` is int or float."""

    kind: type[int] | type[float]
    low: float
    high: float

    def __str__(self) -> str:
        return f"{'a whole number' if self.kind is int else 'a number'} from {self.low:g} to {self.high:g}"

    def check(self, name: str, value: Any) -> int | float:
        """Return `value` as `kind`; raise ConfigError unless it is a finite number in the interval."""
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not self.low <= value <= self.high or self.kind(value) != value:
            raise ConfigError(f"{name} is {_shown(value)}; it must be {self}")
        return self.kind(value)


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    options: tuple[str, ...]

    def __str__(self) -> str:
        return f"one of {', '.join(self.options)}"

    def check(self, name: str, value: Any) -> str:
        """Return `value`; raise ConfigError unless it is one of the words."""
        if not isinstance(value, str) or value not in self.options:
            raise ConfigError(f"{name} is {_shown(value)}; it must be {self}")
        return value


@dataclass(frozen=True)
class LayerSizes:
    """Sizes of one or more hidden layers."""

    count: Range = Range(int, 1, 4)
    size: Range = Range(int, 8, 2048)

    def __str__(self) -> str:
        return f"{self.count.low:g} to {self.count.high:g} layers of {self.size.low:g} to {self.size.high:g} units"

    def check(self, name: str, value: Any) -> tuple[int, ...]:
        """Return `value` as a tuple; raise ConfigError unless it has as many sizes as layers may be, each in its range."""
        try:
            self.count.check(name, len(value))
            return tuple(int(self.size.check(name, size)) for size in value)
        except (ConfigError, TypeError):
            raise ConfigError(f"{name} is {_shown(value)}; it must be {self}") from None


FIELDS: dict[str, Range | Choice | LayerSizes] = {
    "hidden_sizes": LayerSizes(),
    "activation": Choice(("relu", "tanh", "sigmoid", "leaky_relu", "gelu")),
    "initialization": Choice(("pytorch", "keras")),
    "dropout": Range(float, 0.0, 0.5),
    "optimizer": Choice(("adam", "adamw", "sgd")),
    "learning_rate": Range(float, 1e-5, 1.0),
    "momentum": Range(float, 0.0, 0.999),
    "adam_epsilon": Range(float, 1e-12, 1e-2),
    "weight_decay": Range(float, 0.0, 1.0),
    "schedule": Choice(("constant", "one_cycle", "cosine")),
    "batch_size": Range(int, 8, 4096),
    "num_epochs": Range(int, 1, 100),
    "label_smoothing": Range(float, 0.0, 0.5),
    "augmentation": Choice(("none", "shift", "affine", "elastic")),
    "num_validation": Range(int, 0, 10_000),
    "threads": Range(int, 1, CPU_COUNT),
    "seed": Range(int, 0, 2**31 - 1),
}


@dataclass(frozen=True)
class TrainConfig:
    """All that a run depends on besides the data.

    Raises ConfigError for a value outside LIMITS. Optimizers, schedules and their constants are PyTorch's own
    (`torch.optim.Adam`, `AdamW`, `SGD`); `momentum` serves sgd alone and `adam_epsilon` adam and adamw.
    """

    hidden_sizes: tuple[int, ...] = (500,)
    activation: Activation = "relu"
    initialization: Initialization = "pytorch"
    dropout: float = 0.0
    """Probability that a hidden unit is left out of a training step."""
    optimizer: Optimizer = "adam"
    learning_rate: float = 1e-3
    """The schedule's highest learning rate."""
    momentum: float = 0.9
    adam_epsilon: float = 1e-8
    weight_decay: float = 0.0
    schedule: Schedule = "constant"
    batch_size: int = 100
    num_epochs: int = 10
    label_smoothing: float = 0.0
    augmentation: Augmentation = "none"
    num_validation: int = 5000
    """Images split off the training images to validate on; 0 trains on all and shows the test set after each epoch."""
    threads: int = DEFAULT_THREADS
    seed: int = 0

    def __post_init__(self) -> None:
        for name, limit in FIELDS.items():
            object.__setattr__(self, name, limit.check(name, getattr(self, name)))

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Units of every layer: 784 inputs, the hidden layers, 10 outputs."""
        return (NUM_INPUTS, *self.hidden_sizes, NUM_CLASSES)

    def steps_per_epoch(self, num_images: int) -> int:
        """How many batches an epoch has when the data has `num_images` training images, validation images included."""
        return max(1, math.ceil((num_images - self.num_validation) / self.batch_size))

    @property
    def num_parameters(self) -> int:
        """Weights and biases of the network."""
        return sum((num_in + 1) * num_out for num_in, num_out in pairwise(self.layer_sizes))

    def replace(self, **changes: Any) -> "TrainConfig":
        """A copy with `changes`; raises ConfigError as the constructor does."""
        return dataclasses.replace(self, **changes)

    def to_json(self) -> str:
        """All fields as a JSON object."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str | bytes) -> "TrainConfig":
        """Raise ConfigError for text that is not a JSON object of known fields in their ranges.

        More threads than this machine has are brought down to what it has: they change the speed, not the network.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"the settings are not JSON: {error}") from None
        if not isinstance(values, dict):
            raise ConfigError(f"the settings are {_shown(values)}; they must be a JSON object")
        if unknown := sorted(values.keys() - FIELDS.keys()):
            raise ConfigError(f"the settings name {', '.join(unknown)[:MAX_SHOWN]}; known are {', '.join(FIELDS)}")
        if isinstance(values.get("threads"), int):
            values["threads"] = min(values["threads"], CPU_COUNT)
        return cls(**values)


PRESETS: dict[str, TrainConfig] = {
    "blog-pytorch": TrainConfig(num_validation=0),
    "blog-keras": TrainConfig(hidden_sizes=(500, 500), initialization="keras", adam_epsilon=1e-7, num_validation=0),
    "fast": TrainConfig(batch_size=200, num_epochs=5, learning_rate=5e-3, schedule="one_cycle"),
    "best": TrainConfig(
        hidden_sizes=(1024, 128),
        dropout=0.1,
        learning_rate=2e-3,
        schedule="one_cycle",
        batch_size=256,
        num_epochs=60,
        augmentation="elastic",
    ),
}
"""The two programs of the blog post as they were, and two of our own."""


def _shown(value: Any) -> str:
    """A wrong value, said again in one short line, however deep it is or long."""
    text = reprlib.repr(value) if isinstance(value, (list, dict)) else repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def parse_value(name: str, text: str) -> Any:
    """What `text` says for the field `name`, as "0.001", "relu" or "500,500"; not checked: text that is no number stays text."""
    limit = FIELDS[name]
    if isinstance(limit, LayerSizes):
        return tuple(to_number(part) for part in text.split(","))
    return text if isinstance(limit, Choice) else to_number(text)


def format_value(value: Any) -> str:
    """The text that `value_of` gives `value` for."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else f"{value:.10g}" if isinstance(value, float) else str(value)


def to_number(text: str) -> Any:
    """The number that `text` is; other text as it is, for a check to say what is wrong with it."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def nearest_preset(config: TrainConfig) -> tuple[str, dict[str, Any]]:
    """The preset that differs from `config` in the fewest fields, and those fields as `config` has them."""
    values = dataclasses.asdict(config)
    differing = {
        name: {field: value for field, value in values.items() if value != getattr(preset, field)}
        for name, preset in PRESETS.items()
    }
    name = min(differing, key=lambda name: len(differing[name]))
    return name, differing[name]


def preset_of(config: TrainConfig) -> str:
    """The name of the preset that `config` equals but for seed and threads, or "custom"."""
    for name, preset in PRESETS.items():
        if config == preset.replace(seed=config.seed, threads=config.threads):
            return name
    return "custom"
