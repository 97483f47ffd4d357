"""Augmentation: random distortions of all images of a batch in one call."""

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mnist_fc.config import Augmentation

MAX_SHIFT = 1.0
"""Pixels in each direction."""
MAX_ROTATION = math.radians(12.0)
MAX_SCALE = 0.12
MAX_SHEAR = 0.15

ELASTIC_STRENGTH = 0.8
"""Standard deviation of a pixel's displacement along each axis, in pixels."""
ELASTIC_SMOOTHNESS = 4.0
"""Sigma of the Gaussian that smooths the displacements, in pixels (Simard, Steinkraus & Platt 2003)."""

ALL_ROWS = slice(None)


def augment(
    images: Tensor, kind: Augmentation, generator: torch.Generator, batch_size: int | None = None, rows: slice = ALL_ROWS
) -> Tensor:
    """Return `images`, (N, 784) float32 in [0, 1], distorted; those themselves if `kind` is "none".

    "shift" moves each by up to MAX_SHIFT pixels; "affine" also rotates, scales and shears it; "elastic" also bends it, as a
    hand does (Simard, Steinkraus & Platt 2003). Pixels from outside are 0. `images` may be some `rows` of a batch of
    `batch_size`: random numbers are drawn for the whole batch, so each image changes as it does in the whole batch.
    """
    if kind == "none":
        return images
    count = len(images) if batch_size is None else batch_size
    coordinates = _transforms(count, kind, generator, rows) @ _places()
    if kind == "elastic":
        noise, spread = _elastic_noise(count, generator, rows), _spread()
        coordinates.view(-1, 784).addmm_(noise.view(-1, len(spread)), spread, alpha=ELASTIC_STRENGTH / 14)
    if not len(images):
        return images
    grid = coordinates.view(2, -1, 28, 28).permute(1, 2, 3, 0)
    return F.grid_sample(images.view(-1, 1, 28, 28), grid, align_corners=False).view(-1, 784)


def _transforms(count: int, kind: Augmentation, generator: torch.Generator, rows: slice) -> Tensor:
    """Return matrices, (2, rows of count, 3), from output coordinates and 1 to x and to y of the input.

    Coordinates run from -1 to 1 across the 28 pixels.
    """
    numbers = torch.rand(6, count, generator=generator)[:, rows].mul_(2).sub_(1)
    rotation, scale_x, scale_y, shear, shift_x, shift_y = numbers
    shift_x, shift_y = shift_x * (MAX_SHIFT / 14), shift_y * (MAX_SHIFT / 14)
    if kind == "shift":
        one, zero = torch.ones_like(shift_x), torch.zeros_like(shift_x)
        rows_of_matrices = [one, zero, shift_x, zero, one, shift_y]
    else:
        angle = rotation * MAX_ROTATION
        sin, cos = angle.sin(), angle.cos()
        scale_x, scale_y = 1 + scale_x * MAX_SCALE, 1 + scale_y * MAX_SCALE
        slant = shear * MAX_SHEAR
        to_x = [cos * scale_x, (cos * slant - sin) * scale_y, shift_x]
        to_y = [sin * scale_x, (sin * slant + cos) * scale_y, shift_y]
        rows_of_matrices = to_x + to_y
    return torch.stack(rows_of_matrices, 1).view(-1, 2, 3).transpose(0, 1)


def _elastic_noise(count: int, generator: torch.Generator, rows: slice = ALL_ROWS) -> Tensor:
    """Return random numbers at the control points, (2, rows of count, points); `_spread` turns them into displacements."""
    return torch.randn(2, count, len(_spread()), generator=generator)[:, rows].contiguous()


@functools.cache
def _places() -> Tensor:
    """Return x, y and 1 of each pixel's center, (3, 784)."""
    centers = (torch.arange(28) + 0.5) / 14 - 1
    y, x = torch.meshgrid(centers, centers, indexing="ij")
    return torch.stack([x, y, torch.ones_like(x)]).view(3, -1)


@functools.cache
def _spread() -> Tensor:
    """Return how much each control point moves each pixel, (points, 784), smoothly and in every pixel with variance 1.

    A random number per pixel would be wasted, because a wide Gaussian smooths most of them away. So they are drawn at control
    points one sigma apart, and the Gaussian spreads them.
    """
    centers = torch.arange(-0.5, 28.5, ELASTIC_SMOOTHNESS)
    weights = torch.exp(-(((torch.arange(28) - centers[:, None]) / ELASTIC_SMOOTHNESS) ** 2) / 2)
    weights /= weights.square().sum(0).sqrt()
    return torch.kron(weights, weights)
