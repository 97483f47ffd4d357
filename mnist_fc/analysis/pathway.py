"""How one image passes through a network: the connections that contribute most to the digits it may be."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from mnist_fc.analysis.attribution import LayerActivity, allow_overflow
from mnist_fc.network.mlp import MLP

NUM_PER_OUTPUT = 6
"""Connections into each of the digits."""
NUM_PER_UNIT = 3
"""Connections into each unit of a hidden layer that leads to them."""
NUM_PER_LAYER = 24
"""The most connections between two layers, so that each can be seen."""


class Connection(NamedTuple):
    """A weight between two units, times what the first sends: the part that the first has in the second's sum."""

    source: int
    """The index of the unit in the layer before, or of the pixel, row by row."""
    target: int
    contribution: float


@torch.no_grad()
@allow_overflow
def strongest_connections(
    model: MLP, image: np.ndarray, activity: Sequence[LayerActivity], digits: Sequence[int]
) -> list[list[Connection]]:
    """Return, from the pixels to the output layer, the connections that add to or subtract most from the logits of `digits`.

    `activity` are the values of the units for `image`, float32 (28, 28), as `attribution.forward` returns them. They are found
    from the end: the strongest into each digit, then the strongest into each unit that those come from. Within a layer the
    strongest come first. Contributions that overflow count as zero.
    """
    inputs = [image.reshape(-1), *(layer.activations for layer in activity[:-1])]
    found: list[list[Connection]] = []
    targets, per_target = list(digits), NUM_PER_OUTPUT
    for layer, values in zip(reversed(model.layers), reversed(inputs), strict=True):
        terms = np.nan_to_num(layer.weight[targets].numpy() * values, posinf=0.0, neginf=0.0)
        sources = np.argsort(-np.abs(terms), axis=1, kind="stable")[:, :per_target]
        connections = [
            Connection(int(source), target, float(row[source]))
            for target, row, strongest in zip(targets, terms, sources, strict=True)
            for source in strongest
            if row[source]
        ]
        connections.sort(key=lambda connection: -abs(connection.contribution))
        found.append(connections[:NUM_PER_LAYER])
        targets, per_target = list(dict.fromkeys(connection.source for connection in found[-1])), NUM_PER_UNIT
    return found[::-1]
