"""The rule that decides whether an image is a digit; it is the same for every network.

A network knows ten answers and gives one of them to anything. Its confidence says little about that, since it has never seen
anything but digits. So a separate network tells digits from everything else: its first ten classes are MNIST's digits, those of
the pen strokes and printed ones, and its eleventh is printed letters and what data/non_digits.py generates. The same engine
trained it, once, and it ships with the program.
"""

from functools import cache

import numpy as np
import torch
from torch import Tensor

from mnist_fc.config import NUM_CLASSES
from mnist_fc.files import ASSETS
from mnist_fc.network import checkpoint
from mnist_fc.network.mlp import MLP

CHECKPOINT = ASSETS / "rejection" / checkpoint.CHECKPOINT_NAME

MIN_LOG_ODDS = -0.85
"""An image below this is not a digit. It rejects 0.56% of MNIST's validation images (seed 0), on which it was chosen."""


@cache
def network() -> MLP:
    """Return the network behind the rule. Raises CheckpointError and ConfigError as `checkpoint.load` does."""
    return checkpoint.load(CHECKPOINT, NUM_CLASSES + 1)


@torch.inference_mode()
def log_odds(images: np.ndarray) -> np.ndarray:
    """Return the log odds that each image is a digit rather than not, float32 (N,), for images float32 (N, 28, 28)."""
    logits: Tensor = network()(torch.from_numpy(images.reshape(-1, 28 * 28)))
    return (logits[:, :NUM_CLASSES].logsumexp(1) - logits[:, NUM_CLASSES]).numpy()
