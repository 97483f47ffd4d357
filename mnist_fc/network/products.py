"""Which of the ways to multiply is fastest on this processor: measured once in a process for each kind and size of product.

Intel's MKL, which PyTorch uses, leaves half of some AMD processors idle, where oneDNN takes half the time; elsewhere the two are
level or MKL is ahead. The default is replaced only by a way that is clearly faster, so that each start of a process chooses the
same, and the same seed keeps giving the same losses.
"""

import functools
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mnist_fc.network import kernels
from mnist_fc.network.kernels import Multiply

_log = logging.getLogger(__name__)

Kind = Literal["forward", "weight gradient", "input gradient"]

CLEARLY = 0.75
"""Another way than the default is taken if it needs less than this share of its time.

Measured times of oneDNN as shares of MKL's: about 0.5 on an AMD EPYC of family 26, 0.84 to 1.02 on one of family 25, and 0.83 to
1.5 on an Intel Xeon (Sapphire Rapids), where MKL is the default. On an EPYC without AVX-512 there is only MKL.
"""

ROUNDS, CONFIRMATIONS = 8, 3
"""A series times each way ROUNDS times, in turn, and the shortest time counts: it is the one that others disturbed least. On a
busy machine one series may mislead, so a way that seems clearly faster must stay so in CONFIRMATIONS further series."""

BFLOAT16_IS_FASTER = 0.85
"""bfloat16 counts as faster where `bfloat16_share` is less than this: a smaller gain is lost in the rest of a step."""

FEW_OPERATIONS, MOST_OPERATIONS = 4e6, 4e8
"""Products of fewer floating-point operations use the default. Of larger ones a part of the rows is measured."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The way chosen for one product, and the shortest time of each, in seconds; {} if none was measured."""

    way: str
    seconds: Mapping[str, float]


def fastest(kind: Kind, num_rows: int, num_in: int, num_out: int, precision: str = "float32") -> Multiply:
    """Return the way to compute one product of a layer of `num_in` inputs and `num_out` units for `num_rows` images.

    "forward" is inputs @ weight.T + bias, "weight gradient" is dz.T @ inputs, and "input gradient" is dz @ weight.
    """
    return kernels.MULTIPLY[precision][choose(kind, num_rows, num_in, num_out, precision, torch.get_num_threads()).way]


@functools.cache
def choose(kind: Kind, num_rows: int, num_in: int, num_out: int, precision: str, num_threads: int) -> Choice:
    """Measure a product, with the `num_threads` that PyTorch has now, and choose; the first call decides for the process."""
    ways = kernels.MULTIPLY[precision]
    default = next(iter(ways))
    operations = 2 * num_rows * num_in * num_out
    if len(ways) == 1 or operations < FEW_OPERATIONS:
        return Choice(default, {})
    operands = _operands(kind, max(1, int(num_rows * min(1, MOST_OPERATIONS / operations))), num_in, num_out)
    seconds = _measure(ways, operands)
    for _ in range(CONFIRMATIONS):
        if _clearly_fastest(seconds) == default:
            break
        again = _measure(ways, operands)
        seconds = {way: min(seconds[way], again[way]) for way in ways}
    chosen = _clearly_fastest(seconds)
    times = ", ".join(f"{way} {1e6 * shortest:.0f} us" for way, shortest in seconds.items())
    _log.info(
        "%s of %d x %d x %d, %s, %d threads: %s (%s)", kind, num_rows, num_in, num_out, precision, num_threads, chosen, times
    )
    return Choice(chosen, seconds)


def _clearly_fastest(seconds: Mapping[str, float]) -> str:
    """Return the default, which is first, or another way that is clearly faster than it and all before."""
    chosen = next(iter(seconds))
    for way in seconds:
        if seconds[way] < CLEARLY * seconds[chosen]:
            chosen = way
    return chosen


def bfloat16_share(num_rows: int = 100, num_in: int = 784, num_out: int = 500) -> float:
    """Return the time of a layer's products in bfloat16 as a share of their time in float32: below 1 is faster.

    Only processors with instructions for bfloat16 are faster (AMX, AVX512_BF16); the others convert each number.
    """
    total = dict.fromkeys(kernels.MULTIPLY, 0.0)
    kinds: tuple[Kind, ...] = ("forward", "weight gradient")
    for kind in kinds:
        ways = {precision: fastest(kind, num_rows, num_in, num_out, precision) for precision in total}
        operands = _operands(kind, num_rows, num_in, num_out)
        for precision, seconds in _measure(ways, operands, num_rounds=ROUNDS * (1 + CONFIRMATIONS)).items():
            total[precision] += seconds
    return total["bfloat16"] / total["float32"]


Operands = tuple[Tensor, Tensor, Tensor | None, Tensor]


def _operands(kind: Kind, num_rows: int, num_in: int, num_out: int) -> Operands:
    """Return a, b, bias and out of a product, with the strides that they have in training."""
    inputs, weight, dz = torch.ones(num_rows, num_in), torch.ones(num_out, num_in), torch.ones(num_rows, num_out)
    match kind:
        case "forward":
            return inputs, weight.t(), torch.ones(num_out), dz
        case "weight gradient":
            return dz.t(), inputs, None, weight
        case "input gradient":
            return dz, weight, None, inputs


def _measure(ways: Mapping[str, Multiply], operands: Operands, num_rounds: int = ROUNDS) -> dict[str, float]:
    """Return the shortest time of each way, in seconds."""
    seconds = dict.fromkeys(ways, float("inf"))
    for _ in range(num_rounds):
        for way, multiply in ways.items():
            started = time.perf_counter()
            multiply(*operands)
            seconds[way] = min(seconds[way], time.perf_counter() - started)
    return seconds
