"""TrainConfig: every hyperparameter with its range and default, checked in one place; and the presets.

The config is all that is sent down to a training process, and all that a run depends on besides the data.
"""

import dataclasses
import json
import math
import re
import reprlib
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from mnist_fc import cpus

Activation = Literal["relu", "tanh", "sigmoid", "leaky_relu", "gelu"]
Optimizer = Literal["adam", "adamw", "sgd"]
Schedule = Literal["constant", "one_cycle", "cosine"]
Augmentation = Literal["none", "shift", "affine", "elastic"]
Initialization = Literal["pytorch", "keras"]
Precision = Literal["float32", "bfloat16"]

CPU_COUNT = cpus.usable()

MAX_DEFAULT_THREADS = 4
"""A batch of a hundred digits is too little work for more threads."""

DEFAULT_THREADS = min(CPU_COUNT, MAX_DEFAULT_THREADS, cpus.requested() or CPU_COUNT)

NUM_INPUTS, NUM_CLASSES = 28 * 28, 10

MAX_CONFIG_BYTES = 2**16
"""A config as JSON has about a thousand bytes."""

MAX_SHOWN = 100
"""Characters of a wrong value that an error repeats."""


class ConfigError(ValueError):
    """A hyperparameter is out of range; the message names the field, the value and the range."""


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
            raise ConfigError(f"{name} is {_shown(value)}; it must be {self}{comma_hint(value)}")
        return self.kind(value)


@dataclass(frozen=True)
class Choice:
    """One of several words."""

    options: tuple[str, ...]

    def __str__(self) -> str:
        return f"one of {', '.join(self.options)}"

    def check(self, name: str, value: Any) -> str:
        """Return `value`; raise ConfigError unless it is one of the options."""
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
        """Return `value` as a tuple; raise ConfigError unless the number of sizes and each size are in range."""
        try:
            self.count.check(name, len(value))
            return tuple(int(self.size.check(name, size)) for size in value)
        except (ConfigError, TypeError):
            raise ConfigError(f"{name} is {_shown_sizes(value)}; it must be {self}") from None


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
    "precision": Choice(("float32", "bfloat16")),
    "threads": Range(int, 1, CPU_COUNT),
    "seed": Range(int, 0, 2**31 - 1),
}


@dataclass(frozen=True)
class TrainConfig:
    """All that a run depends on besides the data.

    Raises ConfigError for a value that FIELDS does not allow. Optimizers, schedules and their constants are those of PyTorch
    (`torch.optim.Adam`, `AdamW`, `SGD`). Only sgd uses `momentum`, and only adam and adamw use `adam_epsilon`.
    """

    hidden_sizes: tuple[int, ...] = (500,)
    activation: Activation = "relu"
    initialization: Initialization = "pytorch"
    dropout: float = 0.0
    """Probability that a training step drops a hidden unit."""
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
    """The number of training images held out for validation. With 0, all are trained on and each epoch ends with the test set."""
    precision: Precision = "float32"
    """That of the operands of matrix products in training. Weights, sums, gradients and the optimizer are always float32."""
    threads: int = DEFAULT_THREADS
    seed: int = 0

    def __post_init__(self) -> None:
        for name, limit in FIELDS.items():
            object.__setattr__(self, name, limit.check(name, getattr(self, name)))

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """The number of units in every layer: 784 inputs, the hidden layers, 10 outputs."""
        return (NUM_INPUTS, *self.hidden_sizes, NUM_CLASSES)

    def steps_per_epoch(self, num_images: int) -> int:
        """Return the number of batches in an epoch of the settings `fitted_to` that many images, with those held out."""
        return math.ceil((num_images - self.fitted_to(num_images).num_validation) / self.batch_size)

    @property
    def num_parameters(self) -> int:
        """The number of weights and biases."""
        return sum((num_in + 1) * num_out for num_in, num_out in pairwise(self.layer_sizes))

    def replace(self, **changes: Any) -> "TrainConfig":
        """Return a copy with `changes`; raise ConfigError as the constructor does."""
        return dataclasses.replace(self, **changes)

    def fitted_to(self, num_images: int) -> "TrainConfig":
        """Return these settings for `num_images` training images: a tenth validates if `num_validation` is not less than all."""
        if self.num_validation < num_images:
            return self
        return self.replace(num_validation=max(1, num_images // 10) if num_images > 1 else 0)

    def misfit(self, num_images: int) -> str:
        """Return a sentence that says how `fitted_to` changes these settings; empty if it does not."""
        fitted = self.fitted_to(num_images).num_validation
        if fitted == self.num_validation:
            return ""
        held_out = f"{fitted:,} of the {num_images:,} training images {'is' if fitted == 1 else 'are'} held out"
        return f"{self.num_validation:,} validation images do not fit: {held_out}."

    def to_json(self) -> str:
        """Return all fields as a JSON object."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str | bytes) -> "TrainConfig":
        """Parse a JSON object; raise ConfigError unless it has only known fields with values in range.

        `threads` is lowered to what this machine has: it changes the speed, not the network.
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
    "fast": TrainConfig(
        hidden_sizes=(256,),
        learning_rate=1e-2,
        schedule="one_cycle",
        batch_size=128,
        num_epochs=3,
        label_smoothing=0.02,
    ),
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
"""The two programs of the blog post as they are, and two of our own."""

DEFAULT_PRESET = "fast"


def _shown(value: Any) -> str:
    """Return a wrong value as one short line, however deep or long it is."""
    text = reprlib.repr(value) if isinstance(value, (list, dict)) else repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _shown_sizes(value: Any) -> str:
    """Return wrong layer sizes as a person wrote them: 500, 4. What nobody writes is shown as by `_shown`."""
    is_plain = isinstance(value, tuple) and all(isinstance(size, (int, float, str)) for size in value)
    text = ", ".join(map(str, value)) if is_plain else ""
    return text if text.strip() and text.isprintable() and len(text) <= MAX_SHOWN else _shown(value)


def parse_value(name: str, text: str) -> Any:
    """Return the value that `text`, such as "0.001", "relu" or "500,500", has as field `name`, unchecked."""
    limit = FIELDS[name]
    if isinstance(limit, LayerSizes):
        return tuple(to_number(part) for part in split_sizes(text))
    return text if isinstance(limit, Choice) else to_number(text)


def format_value(value: Any) -> str:
    """Return the text that `parse_value` parses to `value`."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else f"{value:.10g}" if isinstance(value, float) else str(value)


def split_sizes(text: str) -> list[str]:
    """Return the parts of layer sizes, however a person separates them: 64,64 or 64x64, 64-64, 64;64, 64 64 and [64, 64]."""
    return re.split(r"\s*[,;]\s*|(?<=\d)\s*[-x\u00d7*/]\s*(?=\d)|\s+", re.sub(r"^[\s\[\](),;]+|[\s\[\](),;]+$", "", text))


def to_number(text: str) -> Any:
    """Return `text` as a number, or unchanged if it is not one, so that a later check can report it.

    A comma is understood where it can only be a decimal comma: 0,001 and 2,5 but not 1,000. So are thousands that spaces or
    apostrophes separate: 1 024.
    """
    written = text.strip()
    if re.fullmatch(r"[+-]?(0*,\d+|\d+,(\d{1,2}|\d{4,}))([eE][+-]?\d+)?", written, re.ASCII):
        written = written.replace(",", ".")
    elif re.fullmatch(r"[+-]?\d{1,3}([ \u00a0\u2009\u202f'\u2019])\d{3}(\1\d{3})*", written, re.ASCII):
        written = re.sub(r"[^\d+-]", "", written)
    for kind in (int, float):
        try:
            return kind(written)
        except ValueError:
            continue
    return text


def comma_hint(value: Any) -> str:
    """Return what to add to the message about a wrong value if its comma may mean thousands or decimals; else nothing."""
    is_unclear = isinstance(value, str) and re.fullmatch(r"\s*[+-]?[\d.]*\d,[\d.,]*\d\s*", value[:MAX_SHOWN], re.ASCII)
    return "; use no comma, and a point for decimals" if is_unclear else ""


def nearest_preset(config: TrainConfig) -> tuple[str, dict[str, Any]]:
    """Return the preset that differs from `config` in the fewest fields, and the values of `config` in those fields."""
    values = dataclasses.asdict(config)
    differing = {
        name: {field: value for field, value in values.items() if value != getattr(preset, field)}
        for name, preset in PRESETS.items()
    }
    name = min(differing, key=lambda name: len(differing[name]))
    return name, differing[name]


def preset_of(config: TrainConfig) -> str:
    """Return the name of the preset that equals `config` except for seed and threads, or "custom"."""
    for name, preset in PRESETS.items():
        if config == preset.replace(seed=config.seed, threads=config.threads):
            return name
    return "custom"
