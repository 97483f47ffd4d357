"""Augmentation: random distortions of all images of a batch in one call."""

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
) -> None:
    """Change `images`, (N, 784) float32 in [0, 1], in place.

    "shift" moves each by up to MAX_SHIFT pixels; "affine" also rotates, scales and shears it; "elastic" also bends it, as a
    hand does (Simard, Steinkraus & Platt 2003). Pixels from outside are 0. `images` may be some `rows` of a batch of
    `batch_size`: random numbers are drawn for the whole batch, so each image changes as it does in the whole batch.
    """
    if kind == "none":
        return
    count = len(images) if batch_size is None else batch_size
    transforms = _transforms(count, kind, generator, rows)
    field = _elastic_field(count, generator, rows) if kind == "elastic" else None
    if not len(images):
        return
    grid = F.affine_grid(transforms, [len(images), 1, 28, 28], align_corners=False)
    if field is not None:
        grid += field * (ELASTIC_STRENGTH / 14)
    moved = F.grid_sample(images.view(-1, 1, 28, 28), grid, align_corners=False)
    images.copy_(moved.view(-1, 784))


def _transforms(count: int, kind: Augmentation, generator: torch.Generator, rows: slice) -> Tensor:
    """Return matrices, (rows of count, 2, 3), from output to input coordinates; these run from -1 to 1 across the 28 pixels."""
    numbers = torch.rand(6, count, generator=generator)[:, rows].mul_(2).sub_(1)
    rotation, scale_x, scale_y, shear, shift_x, shift_y = numbers
    offset = torch.stack([shift_x, shift_y], 1) * (MAX_SHIFT / 14)
    if kind == "shift":
        linear = torch.eye(2).expand(len(offset), 2, 2)
    else:
        angle = rotation * MAX_ROTATION
        sin, cos = angle.sin(), angle.cos()
        scale_x, scale_y = 1 + scale_x * MAX_SCALE, 1 + scale_y * MAX_SCALE
        slant = shear * MAX_SHEAR
        linear = torch.stack(
            [cos * scale_x, (cos * slant - sin) * scale_y, sin * scale_x, (sin * slant + cos) * scale_y], 1
        ).view(len(offset), 2, 2)
    return torch.cat([linear, offset.unsqueeze(2)], 2)


def _elastic_field(count: int, generator: torch.Generator, rows: slice = ALL_ROWS) -> Tensor:
    """Return random displacements, (rows of count, 28, 28, 2), smooth over each image, with mean 0 and variance 1 in every pixel.

    A random number per pixel would be wasted, because a wide Gaussian smooths most of them away. So they are drawn at control
    points one sigma apart, and the Gaussian spreads them.
    """
    noise = torch.randn(2, count, len(_SPREAD), len(_SPREAD), generator=generator)[:, rows]
    field = (noise @ _SPREAD).transpose(2, 3) @ _SPREAD
    return field.permute(1, 2, 3, 0)


def _spread() -> Tensor:
    """Return how much each control point moves each pixel of a row, (points, 28); the squares of a pixel's weights sum to 1."""
    centers = torch.arange(-0.5, 28.5, ELASTIC_SMOOTHNESS)
    weights = torch.exp(-(((torch.arange(28) - centers[:, None]) / ELASTIC_SMOOTHNESS) ** 2) / 2)
    return weights / weights.square().sum(0).sqrt()


_SPREAD = _spread()
