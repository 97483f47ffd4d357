"""The settings that the side panel shows, and how the page writes a setting in words."""

from dataclasses import dataclass, replace
from typing import Any

from mnist_fc.config import FIELDS, PRESETS, ConfigError, LayerSizes, TrainConfig, preset_of

WORDS = {
    "relu": "ReLU",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "leaky_relu": "leaky ReLU",
    "gelu": "GELU",
    "adam": "Adam",
    "adamw": "AdamW",
    "sgd": "SGD with momentum",
    "constant": "constant",
    "one_cycle": "one-cycle",
    "cosine": "cosine",
    "none": "none",
    "shift": "shift",
    "affine": "affine",
    "elastic": "elastic",
    "pytorch": "PyTorch's",
    "keras": "Keras's",
    "float32": "float32",
    "bfloat16": "bfloat16",
}
"""Choices as the page writes them."""

assert isinstance(FIELDS["hidden_sizes"], LayerSizes)
MAX_LAYERS = int(FIELDS["hidden_sizes"].count.high)
MIN_SIZE, MAX_SIZE = int(FIELDS["hidden_sizes"].size.low), int(FIELDS["hidden_sizes"].size.high)

CONTROLLED = (
    *("activation", "initialization", "optimizer", "learning_rate", "schedule", "batch_size", "dropout", "weight_decay"),
    *("label_smoothing", "augmentation", "num_validation", "precision", "threads", "seed"),
)
"""Fields whose control has the field's own name as its key."""

SIZE_KEYS = tuple(f"size_{i}" for i in range(MAX_LAYERS))
KEYS = ("preset", "num_layers", *SIZE_KEYS, "epochs", *CONTROLLED, "detached")
"""All widgets of the panel."""


@dataclass(frozen=True)
class Settings:
    """The settings that the side panel shows."""

    config: TrainConfig
    """A field without a control (momentum, Adam's epsilon) is as in the preset or the run last chosen."""
    preset: str
    sizes: tuple[int, ...]
    """Sizes of MAX_LAYERS layers: a layer that is removed comes back with its size."""

    @classmethod
    def of(cls, config: TrainConfig) -> "Settings":
        """Return the settings that show `config`; layers added later are as wide as its last."""
        sizes = config.hidden_sizes
        return cls(config, preset_of(config), (*sizes, *sizes[-1:] * (MAX_LAYERS - len(sizes))))

    def value(self, key: str) -> Any:
        """Return the value that the control with that key shows."""
        match key:
            case "preset":
                return self.preset
            case "num_layers":
                return len(self.config.hidden_sizes)
            case "epochs":
                return self.config.num_epochs
            case _ if key in SIZE_KEYS:
                return self.sizes[SIZE_KEYS.index(key)]
        return getattr(self.config, key)

    def chosen(self, key: str, value: Any) -> "Settings":
        """Return the settings after `value` was chosen at a control. Raises ConfigError for a value out of range."""
        config, sizes = self.config, self.sizes
        match key:
            case "preset" if value in PRESETS:
                return Settings.of(PRESETS[value].replace(threads=config.threads, seed=config.seed))
            case "preset":
                return replace(self, preset=value)
            case "num_layers" if value in range(1, MAX_LAYERS + 1):
                config = config.replace(hidden_sizes=sizes[:value])
            case "num_layers":
                raise ConfigError(f"hidden layers must be 1 to {MAX_LAYERS}, not {value!r}")
            case "epochs":
                config = config.replace(num_epochs=value)
            case _ if key in SIZE_KEYS:
                place = SIZE_KEYS.index(key)
                sizes = (*sizes[:place], value, *sizes[place + 1 :])
                config = config.replace(hidden_sizes=sizes[: len(config.hidden_sizes)])
            case _:
                config = config.replace(**{key: value})
        return Settings(config, preset_of(config), sizes)


def in_words(field: str, value: Any) -> str:
    """Return a field and its value in words: "learning rate 0.001", "activation ReLU"."""
    return f"{field_in_words(field)} {value_in_words(value)}"


def field_in_words(field: str) -> str:
    """Return a field in words: "learning rate"."""
    return {"num_epochs": "epochs", "num_validation": "validation images", "initialization": "initial weights"}.get(
        field, field.replace("_", " ")
    )


def value_in_words(value: Any) -> str:
    """Return a field's value in words: "0.001", "ReLU", "500-500"."""
    if isinstance(value, tuple):
        return "-".join(map(str, value))
    return WORDS[value] if isinstance(value, str) else number_in_words(value)


def number_in_words(value: float) -> str:
    """Return a number with at most four digits: "0.001"."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
