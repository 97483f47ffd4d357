"""Whole-batch augmentation: every image of a batch moved at random in one call."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mnist_fc.config import Augmentation

MAX_SHIFT = 2.0
"""Pixels, each way."""
MAX_ROTATION = math.radians(12.0)
MAX_SCALE = 0.12
MAX_SHEAR = 0.15


def augment(images: Tensor, kind: Augmentation, generator: torch.Generator) -> None:
    """Change `images`, (N, 784) float32 in [0, 1], in place.

    "shift" moves each by up to MAX_SHIFT pixels; "affine" also rotates, scales and shears it. What moves in is paper.
    """
    if kind == "none":
        return
    grid = F.affine_grid(_transforms(len(images), kind, generator), [len(images), 1, 28, 28], align_corners=False)
    moved = F.grid_sample(images.view(-1, 1, 28, 28), grid, align_corners=False)
    images.copy_(moved.view(-1, 784))


def _transforms(count: int, kind: Augmentation, generator: torch.Generator) -> Tensor:
    """(count, 2, 3) matrices from output to input coordinates, which run from -1 to 1 across the 28 pixels."""
    rotation, scale_x, scale_y, shear, shift_x, shift_y = torch.rand(6, count, generator=generator).mul_(2).sub_(1)
    offset = torch.stack([shift_x, shift_y], 1) * (MAX_SHIFT / 14)
    if kind == "shift":
        linear = torch.eye(2).expand(count, 2, 2)
    else:
        angle = rotation * MAX_ROTATION
        sin, cos = angle.sin(), angle.cos()
        scale_x, scale_y = 1 + scale_x * MAX_SCALE, 1 + scale_y * MAX_SCALE
        slant = shear * MAX_SHEAR
        linear = torch.stack(
            [cos * scale_x, (cos * slant - sin) * scale_y, sin * scale_x, (sin * slant + cos) * scale_y], 1
        ).view(count, 2, 2)
    return torch.cat([linear, offset.unsqueeze(2)], 2)
