"""Notice that a network from a file was trained with inputs or an activation other than those it is read with.

It also notices training on turned or mirrored images, by trying the changes in `data/familiarity.py`.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from mnist_fc.config import Activation
from mnist_fc.data.familiarity import CHANGES, MIN_IMAGES, NUM_TRIED
from mnist_fc.network.adaptation import SCALINGS, Inputs
from mnist_fc.network.mlp import ACTIVATIONS, MLP
from mnist_fc.percentages import in_percent

MAX_DIGITS, MIN_DIGITS = 1000, 200
MAX_WORK = 3 * 10**9
"""Multiplications of all candidates together; for a large network the number of digits is lowered towards MIN_DIGITS."""

MAX_CHANCE = 0.002
"""A candidate reads better if as many more digits are right by chance with at most this probability: there are 25."""

MIN_LOSS_SCORE = 4.0
"""Or if its loss is lower by this many standard errors, and MIN_GAIN more digits are right."""

MIN_GAIN = 0.005

MAX_TIE = 0.01
"""Of candidates whose accuracies differ by at most this, the one that changes least is suggested."""

MIN_ACCURACY = 0.75
"""A network that has hardly trained may read better by another activation than by its own."""

INPUTS_IN_WORDS: dict[Inputs, str] = {
    "0..1": "pixels from 0 to 1",
    "1..0": "inverted pixels (1 is paper)",
    "-1..1": "pixels from -1 to 1",
    "mean-std": "standardized pixels",
    "0..255": "pixels from 0 to 255",
}


OWN_NAMES: Mapping[str, str] = MappingProxyType({})
"""Activations by the names that the settings have for them."""


class Candidate(NamedTuple):
    """How a network reads a sample of digits with one choice of inputs and activation."""

    inputs: Inputs
    activation: Activation
    losses: Tensor
    """float32 (N,)"""
    is_right: Tensor
    """bool (N,)"""

    @property
    def accuracy(self) -> float:
        """The share of digits that are read right."""
        return float(self.is_right.float().mean())

    def difference(self, other: "Candidate", names: Mapping[str, str] = OWN_NAMES) -> str:
        """Return what this candidate has that `other` has not, such as "pixels from 0 to 255 and tanh"."""
        inputs = [INPUTS_IN_WORDS[self.inputs]] if self.inputs != other.inputs else []
        activation = [names.get(self.activation, self.activation)] if self.activation != other.activation else []
        return " and ".join([*inputs, *activation])


class Suggestion(NamedTuple):
    """Inputs and an activation with which a network reads clearly better than with those chosen."""

    chosen: Candidate
    better: Candidate

    def in_words(self, names: Mapping[str, str] = OWN_NAMES) -> str:
        """Return what was measured, in two sentences; `names` has the names of activations that are not their own."""
        chosen, better = self
        return (
            f"It reads {in_percent(chosen.accuracy)} of {len(better.losses):,} test digits with "
            f"{chosen.difference(better, names)}. "
            f"With {better.difference(chosen, names)} it reads {in_percent(better.accuracy)}."
        )


@torch.no_grad()
def suggest_settings(trained: MLP, inputs: Inputs, images: Tensor, labels: Tensor) -> Suggestion | None:
    """Return settings with which `trained` reads a sample of uint8 images (N, 784) clearly better than with `inputs`, if any."""
    if len(labels) < MIN_IMAGES:
        return None
    candidates = list(_candidates(trained, *_sample(images, labels, _num_digits(trained))))
    chosen = _chosen(candidates, inputs, trained.activation_name)
    better = [each for each in candidates if each.accuracy >= MIN_ACCURACY and _is_better(each, chosen)]
    if not better:
        return None
    highest = max(each.accuracy for each in better)
    equals = [each for each in better if each.accuracy >= highest - MAX_TIE]
    return Suggestion(chosen, min(equals, key=lambda each: (_num_changes(each, chosen), float(each.losses.mean()))))


@torch.no_grad()
def notice_orientation(trained: MLP, inputs: Inputs, images: Tensor, labels: Tensor) -> str:
    """Return two sentences that say how uint8 images (N, 784) must be turned or mirrored for this network.

    The text is empty if that is not why it misreads. Any scaling of the pixels is tried, and only the network's own activation.
    """
    if len(labels) < MIN_IMAGES:
        return ""
    sample, digits = _sample(images, labels, NUM_TRIED)
    activations = (trained.activation_name,)
    chosen = _chosen(list(_candidates(trained, sample, digits, activations)), inputs, trained.activation_name)
    if chosen.accuracy >= MIN_ACCURACY:
        return ""
    tried = [
        (candidate, change.when_undone)
        for change in CHANGES
        if not change.inverts  # that is one of the scalings
        for candidate in _candidates(trained, change.undone(sample.view(-1, 28, 28)).reshape(-1, 784), digits, activations)
    ]
    best, how = max(tried, key=lambda each: each[0].accuracy)
    if best.accuracy < MIN_ACCURACY or not _is_better(best, chosen):
        return ""
    scaled = f", with {INPUTS_IN_WORDS[best.inputs]}" if best.inputs != inputs else ""
    return (
        f"It reads {in_percent(chosen.accuracy)} of {len(digits):,} test digits, but "
        f"{in_percent(best.accuracy)} if {how}{scaled}. "
        "Train it on images like these, or reorder the inputs of its first layer to match."
    )


def _sample(images: Tensor, labels: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return at most `count` images, float32 (n, 784) in [0, 1], and their labels."""
    chosen = torch.linspace(0, len(labels) - 1, min(count, len(labels))).long()
    return images[chosen].float().mul_(1 / 255), labels[chosen]


def _chosen(candidates: Sequence[Candidate], inputs: Inputs, activation: str) -> Candidate:
    (chosen,) = (each for each in candidates if (each.inputs, each.activation) == (inputs, activation))
    return chosen


def _num_digits(model: MLP) -> int:
    """Return how many digits are read: the first layer's products serve all candidates."""
    first, *others = (layer.weight.numel() for layer in model.layers)
    work = first + len(SCALINGS) * len(ACTIVATIONS) * sum(others)
    return max(MIN_DIGITS, min(MAX_DIGITS, MAX_WORK // work))


def _candidates(
    model: MLP, images: Tensor, labels: Tensor, activations: Sequence[Activation] = get_args(Activation)
) -> Iterator[Candidate]:
    """Yield every choice of inputs and activation, read on images, float32 (N, 784) in [0, 1]."""
    first, *others = model.layers
    products, sums = images @ first.weight.T, first.weight.sum(1)
    for inputs, (subtracted, divisor) in SCALINGS.items():
        before = (products - subtracted * sums) / divisor + first.bias
        for activation in activations:
            values, function = before, ACTIVATIONS[activation]()
            for layer in others:
                values = layer(function(values))
            yield Candidate(inputs, activation, F.cross_entropy(values, labels, reduction="none"), values.argmax(1) == labels)


def _is_better(candidate: Candidate, chosen: Candidate) -> bool:
    """Return whether a candidate is clearly better: by a sign test of the digits that one of both reads, or by its losses."""
    gained = int((candidate.is_right & ~chosen.is_right).sum())
    lost = int((chosen.is_right & ~candidate.is_right).sum())
    differing = gained + lost
    chance = sum(math.comb(differing, count) for count in range(gained, differing + 1)) / 2**differing
    gains = chosen.losses - candidate.losses
    score = float(gains.mean() / (gains.std() / len(gains) ** 0.5 + 1e-12))
    return chance <= MAX_CHANCE or (score >= MIN_LOSS_SCORE and gained - lost >= MIN_GAIN * len(gains))


def _num_changes(candidate: Candidate, chosen: Candidate) -> int:
    return (candidate.inputs != chosen.inputs) + (candidate.activation != chosen.activation)
