"""Digits of seven-segment displays, drawn like pictures of single marks; their corners are as square as those of B and D."""

import cv2
import numpy as np
import torch

from mnist_fc.data.fonts import SIZE, distorted
from mnist_fc.data.mnist import Mnist, to_pixels
from mnist_fc.data.typefaces import SEVEN_SEGMENT, outlines

NUM_DRAWINGS = 100
"""The number of times that each digit is drawn for training."""
NUM_DIGITS = 10 * NUM_DRAWINGS

UNIT = 6
"""Pixels to one unit of the outlines, in which a digit is 18 high and its segments are two wide."""
MAX_CHANGE = 4
"""Pixels by which segments are made thinner or thicker."""


def digits(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each digit, drawn NUM_DRAWINGS times: images, float32 (NUM_DIGITS, 28, 28), and labels, int64 (NUM_DIGITS,)."""
    random = np.random.default_rng(seed)
    labels = np.tile(np.arange(10, dtype=np.int64), NUM_DRAWINGS)
    return np.stack([_draw(int(label), random) for label in labels]), labels


def _draw(label: int, random: np.random.Generator) -> np.ndarray:
    """Draw a digit at random and normalize it, float32 (28, 28)."""
    plane = np.zeros((2 * SIZE, 3 * SIZE), np.uint8)
    corner = np.array([1.5 * SIZE - 5 * UNIT, SIZE - 9 * UNIT])
    for segment in outlines(SEVEN_SEGMENT, label):
        cv2.fillPoly(plane, [np.rint(segment * UNIT + corner).astype(np.int32)], 255)
    change = int(random.integers(-MAX_CHANGE, MAX_CHANGE + 1))
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (abs(change) + 1, abs(change) + 1))
    image = distorted(cv2.erode(plane, element) if change < 0 else cv2.dilate(plane, element), random)
    assert image is not None, "a segment is wider than what is taken from it"
    return image


def add_to(mnist: Mnist, seed: int = 0) -> Mnist:
    """Return MNIST with these digits among its training images; none is used for validation."""
    images, labels = digits(seed)
    return mnist.with_added(to_pixels(images), torch.from_numpy(labels))
