"""Settings that tests share, and how they are passed on."""

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
exponentially: 2, 30, 1e3, 2e7, 3e26, overflow. Rounding moves that by a few steps. ReLUs, in contrast, may die on the way: then
the loss stays at that of guessing.
"""


def as_options(settings: dict[str, Any]) -> list[str]:
    """Settings as the command line takes them."""
    return [part for name, value in settings.items() for part in (f"--{name.replace('_', '-')}", format_value(value))]


def as_query(settings: dict[str, Any]) -> str:
    """Settings as the address of the page takes them."""
    return "?" + "&".join(f"{name}={format_value(value)}" for name, value in settings.items())
