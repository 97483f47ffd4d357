"""Settings for tests, as options of the command line and as an address."""

from typing import Any

from mnist_fc.config import format_value

OVERFLOWING: dict[str, Any] = {
    "hidden_sizes": (256, 256, 256, 256),
    "activation": "leaky_relu",
    "initialization": "keras",
    "optimizer": "sgd",
    "learning_rate": 1.0,
    "schedule": "constant",
}
"""Settings whose loss overflows on every processor, within about fifteen steps.

Leaky ReLUs never die, Glorot's initialization keeps signals and gradients at full size, and a learning rate of 1 is unstable for
this network from the start. The gradient of a layer contains the product of all others, so the loss grows faster than
exponentially: 2, 30, 1e3, 2e7, 3e26, overflow. Rounding shifts that by a few steps. ReLUs may die before that, and then the
loss stays at that of guessing.
"""


def as_options(settings: dict[str, Any]) -> list[str]:
    """Return settings as options of the command line."""
    return [part for name, value in settings.items() for part in (f"--{name.replace('_', '-')}", format_value(value))]


def as_query(settings: dict[str, Any]) -> str:
    """Return settings as the query string of the page."""
    return "?" + "&".join(f"{name}={format_value(value)}" for name, value in settings.items())
