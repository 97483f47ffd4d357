"""Digits by other people, to see what teaching a network one hand costs: a fixed set that comes with the program.

From E. Alpaydin, F. Alimoglu, "Pen-Based Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998, doi
10.24432/C5MG6K, CC BY 4.0; assets/README.md says how they were chosen and drawn.
"""

import functools

import numpy as np

from mnist_fc.data.errors import DAMAGE, DataError
from mnist_fc.files import ASSETS

PATH = ASSETS / "other_people.npz"


@functools.cache
def load() -> tuple[np.ndarray, np.ndarray]:
    """Return 200 images, uint8 (200, 784), and their labels, int64 (200,): twenty of each digit. Raises DataError."""
    try:
        with np.load(PATH, allow_pickle=False) as file:
            return file["images"], file["labels"].astype(np.int64)
    except (OSError, LookupError, *DAMAGE) as error:
        raise DataError(f"{PATH} cannot be read: {error!s:.200}") from None
