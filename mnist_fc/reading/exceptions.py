"""Exceptions to the rejection rule: drawings much like those that a person has labelled are digits, or are none, as they said."""

import cv2
import numpy as np

from mnist_fc.data.lesson import Lesson

SIMILARITY = 0.9
"""The least cosine of the angle between two blurred images that are alike. This similar to a pen digit are 65% of its writer's
other drawings of that digit, 1.1% of all drawings of others, and 0.7% of generated scribbles (means over 300 pen digits)."""

BLUR = 1.5
"""Standard deviation of the blur, in pixels."""

LOG_ODDS_OF_DIGIT, LOG_ODDS_OF_OTHER = 0.0, -10.0
"""The log odds of being a digit that take the place of lower and of higher ones."""


class Exceptions:
    """The drawings of one person: `digits`, uint8 (n, 784), and `others` that are not digits, uint8 (m, 784)."""

    def __init__(self, digits: np.ndarray, others: np.ndarray) -> None:
        self._digits, self._others = _directions(digits), _directions(others)

    @classmethod
    def from_lesson(cls, lesson: Lesson | None) -> "Exceptions | None":
        """Return the exceptions that a lesson makes; None without a lesson."""
        return cls(lesson.images, lesson.not_digits) if lesson else None

    def applied(self, images: np.ndarray, log_odds: np.ndarray) -> np.ndarray:
        """Return the log odds, float32 (N,), of `images`, float32 (N, 28, 28), with the exceptions made."""
        directions = _directions(images.reshape(-1, 784))
        to_digits, to_others = _closest(directions, self._digits), _closest(directions, self._others)
        result = log_odds.copy()
        is_digit = (to_digits >= SIMILARITY) & (to_digits >= to_others)
        is_other = (to_others >= SIMILARITY) & ~is_digit
        result[is_digit] = np.maximum(result[is_digit], LOG_ODDS_OF_DIGIT)
        result[is_other] = np.minimum(result[is_other], LOG_ODDS_OF_OTHER)
        return result


def _directions(images: np.ndarray) -> np.ndarray:
    """Return blurred images, float32 (N, 784), of length 1; empty ones stay zeros."""
    blurred = [cv2.GaussianBlur(image.astype(np.float32), (0, 0), BLUR).reshape(784) for image in images.reshape(-1, 28, 28)]
    stacked = np.array(blurred, np.float32).reshape(-1, 784)
    directions: np.ndarray = stacked / np.maximum(np.linalg.norm(stacked, axis=1, keepdims=True), 1e-6)
    return directions


def _closest(directions: np.ndarray, to: np.ndarray) -> np.ndarray:
    """Return the cosine of each direction, (N, 784), with the closest in `to`, (n, 784), as (N,); 0 if that is empty."""
    closest: np.ndarray = (directions @ to.T).max(axis=1, initial=0.0)
    return closest
