"""A training in pure JAX, as fast as JAX has it: one compiled call per epoch, with `lax.scan` over its steps.

The images stay uint8 in memory, the call permutes them, and the buffers of weights and moments are donated to it. JAX is
optional: only the process of this peer imports this module.
"""

import functools
import math
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mnist_fc.benchmark.timing import Epoch
from mnist_fc.config import TrainConfig

BETA1, BETA2 = 0.9, 0.999
"""Adam's decay rates: Kingma & Ba 2015, and PyTorch's defaults."""

Layers = list[tuple[jax.Array, jax.Array]]
"""Weight, (in, out), and bias, (out,), of each layer; or what belongs to each."""


class State(NamedTuple):
    """All that changes in training."""

    parameters: Layers
    momenta: Layers
    squares: Layers
    step: jax.Array
    """The number of steps taken, float32."""
    key: jax.Array


def initialize(config: TrainConfig) -> State:
    """Return the state before the first step, with weights and biases as PyTorch or Keras draws them (see network/mlp.py)."""
    sizes = config.layer_sizes
    key, *keys = jax.random.split(jax.random.key(config.seed), 1 + 2 * (len(sizes) - 1))
    parameters = []
    for (num_in, num_out), weight_key, bias_key in zip(pairwise(sizes), keys[0::2], keys[1::2], strict=True):
        is_keras = config.initialization == "keras"
        bound = math.sqrt(6 / (num_in + num_out)) if is_keras else 1 / math.sqrt(num_in)
        bias_bound = 0.0 if is_keras else bound
        weight = jax.random.uniform(weight_key, (num_in, num_out), minval=-bound, maxval=bound)
        parameters.append((weight, jax.random.uniform(bias_key, (num_out,), minval=-bias_bound, maxval=bias_bound)))
    momenta, squares = (jax.tree.map(jnp.zeros_like, parameters) for _ in range(2))
    return State(parameters, momenta, squares, jnp.zeros(()), key)


def mean_loss(parameters: Layers, pixels: jax.Array, labels: jax.Array) -> jax.Array:
    """Return the mean cross-entropy of pixels, (N, 784) float32 in [0, 1], with labels (N,)."""
    *hidden, (weight, bias) = parameters
    for hidden_weight, hidden_bias in hidden:
        pixels = jax.nn.relu(pixels @ hidden_weight + hidden_bias)
    log_probabilities = jax.nn.log_softmax(pixels @ weight + bias)
    return -jnp.take_along_axis(log_probabilities, labels[:, None], axis=1).mean()


def adam(config: TrainConfig, state: State, gradients: Layers) -> State:
    """Take a step of Adam with corrected bias, as `torch.optim.Adam` defines it."""
    step = state.step + 1
    rate = config.learning_rate / (1 - BETA1**step)
    correction = jnp.sqrt(1 - BETA2**step)
    momenta = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, state.momenta, gradients)
    squares = jax.tree.map(lambda s, g: BETA2 * s + (1 - BETA2) * g * g, state.squares, gradients)
    parameters = jax.tree.map(
        lambda p, m, s: p - rate * m / (jnp.sqrt(s) / correction + config.adam_epsilon), state.parameters, momenta, squares
    )
    return State(parameters, momenta, squares, step, state.key)


def epoch(config: TrainConfig, state: State, images: jax.Array, labels: jax.Array) -> tuple[State, jax.Array]:
    """Train on all images, (N, 784) uint8, in a new order; return the new state and the mean loss of the epoch."""

    def take_step(state: State, batch: jax.Array) -> tuple[State, jax.Array]:
        pixels = images[batch].astype(jnp.float32) / 255
        loss, gradients = jax.value_and_grad(mean_loss)(state.parameters, pixels, labels[batch])
        return adam(config, state, gradients), loss * len(batch)

    key, order_key = jax.random.split(state.key)
    order = jax.random.permutation(order_key, len(labels))
    rest = len(labels) % config.batch_size  # lax.scan needs batches of one size
    batches = order[rest:].reshape(-1, config.batch_size)
    state, losses = lax.scan(take_step, state._replace(key=key), batches)
    total = losses.sum()
    if rest:
        state, loss = take_step(state, order[:rest])
        total += loss
    return state, total / len(labels)


def epochs(config: TrainConfig, images: np.ndarray, labels: np.ndarray) -> Iterator[Epoch]:
    """Train endlessly on images, (N, 784) uint8, with labels, (N,); yield each epoch. The first includes the compilation."""
    compiled: Any = jax.jit(functools.partial(epoch, config), donate_argnums=0)
    pixels, targets = jnp.asarray(images), jnp.asarray(labels, jnp.int32)
    state = initialize(config)
    while True:
        started = time.perf_counter()
        state, loss = jax.block_until_ready(compiled(state, pixels, targets))
        yield Epoch(time.perf_counter() - started, float(loss))
