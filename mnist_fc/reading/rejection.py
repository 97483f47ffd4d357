"""The rule that decides whether an image is a digit; it is the same for every network.

A network knows ten answers and gives one of them to anything. Its confidence says little about that, since it has never seen
anything but digits. So two separate networks tell digits from everything else: their first ten classes are MNIST's digits, those
of the pen strokes, of print and of displays, and the eleventh is letters and what data/non_digits.py generates. The second also
knows letters of handwriting, but alone it would let more scribbles pass; the mean of both lets fewer pass than either. The same
engine trained them, once, and they ship with the program.
"""

from functools import cache

import numpy as np
import torch
from torch import Tensor

from mnist_fc.config import NUM_CLASSES
from mnist_fc.files import ASSETS
from mnist_fc.network import checkpoint
from mnist_fc.network.mlp import MLP

CHECKPOINTS = tuple(ASSETS / folder / checkpoint.CHECKPOINT_NAME for folder in ("rejection", "rejection/letters"))

MIN_LOG_ODDS = -1.07
"""An image below this is not a digit. It rejects 0.44% of MNIST's validation images (seed 0), on which it was chosen."""


@cache
def networks() -> tuple[MLP, ...]:
    """Return the networks behind the rule. Raises CheckpointError and ConfigError as `checkpoint.load` does."""
    return tuple(checkpoint.load(path, NUM_CLASSES + 1) for path in CHECKPOINTS)


@torch.inference_mode()
def log_odds(images: np.ndarray) -> np.ndarray:
    """Return the log odds that each image is a digit rather than not, float32 (N,), for images float32 (N, 28, 28).

    They are the mean over the networks.
    """
    inputs = torch.from_numpy(images.reshape(-1, 28 * 28))
    logits: Tensor = torch.stack([network(inputs) for network in networks()])
    return (logits[..., :NUM_CLASSES].logsumexp(-1) - logits[..., NUM_CLASSES]).mean(0).numpy()
