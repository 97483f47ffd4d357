"""The rule that says "not a digit", whichever network reads.

A network knows ten answers and gives one to anything; how sure it is tells little, since it never saw what is no digit. So a
network of its own tells digits from the rest: its ten first classes are MNIST's digits and the digits of the pen strokes, its
eleventh is what outliers.py makes up. It is trained by the same engine, once, and comes with the program.
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

MIN_LOG_ODDS = -0.25
"""So 0.56 % of MNIST's validation images (seed 0) are refused; chosen on them, to stay below 0.6 %."""


@cache
def network() -> MLP:
    """The network behind the rule. Raises CheckpointError and ConfigError as `checkpoint.load`."""
    return checkpoint.load(CHECKPOINT, NUM_CLASSES + 1)


@torch.inference_mode()
def log_odds(images: np.ndarray) -> np.ndarray:
    """How much rather a digit than none each of `images`, float32 (N, 28, 28), is: log odds, float32 (N,)."""
    logits: Tensor = network()(torch.from_numpy(images.reshape(-1, 28 * 28)))
    return (logits[:, :NUM_CLASSES].logsumexp(1) - logits[:, NUM_CLASSES]).numpy()
