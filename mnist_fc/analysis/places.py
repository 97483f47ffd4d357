"""Where in a picture contributions lie, in words."""

import numpy as np

EDGES = (0, 11, 17)
"""The first row and column of the top, middle and bottom, and of the left, middle and right, of a picture of 28 by 28 pixels.

A plain 1, which is about 4 pixels wide, lies in the middle.
"""

NAMES = (
    *("at the top left", "at the top", "at the top right"),
    *("on the left", "in the middle", "on the right"),
    *("at the bottom left", "at the bottom", "at the bottom right"),
)

MAX_NAMED = 2
"""More places than this are no longer a place but all over the picture."""


def by_place(contributions: np.ndarray) -> dict[str, float]:
    """Return the sum of the contributions of pixels, (28, 28), at each place of `NAMES`, in descending order."""
    sums = np.add.reduceat(np.add.reduceat(contributions, EDGES, 0), EDGES, 1).ravel().tolist()
    return dict(sorted(zip(NAMES, sums, strict=True), key=lambda place: -place[1]))


def main_places(sums: dict[str, float]) -> list[str]:
    """Return the fewest places that add more than half of all that places add; an empty list if more than MAX_NAMED do.

    `sums` are in descending order, as `by_place` returns them. Places with a negative sum add nothing.
    """
    added = {name: value for name, value in sums.items() if value > 0}
    values = np.cumsum([*added.values()])
    count = 1 + int(np.searchsorted(values, values[-1] / 2, side="right")) if added else 0
    return list(added)[:count] if count <= MAX_NAMED else []
