"""Pictures whose every pixel says its number when one points at it, and which can be clicked. The drawing is pixels.js."""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mnist_fc.views.components.component import Component, browser_value

_pictures = Component("pixels", "<div class='pixel-pictures' role='group'></div>")


@dataclass(frozen=True)
class Tile:
    """One picture: `values` float (rows, columns), the last row may be filled up with NaN, which is nothing."""

    values: np.ndarray
    caption: str = ""
    id: int = 0
    """By which a click on it is told from others; what a tile shows may have changed by then."""
    is_ink: bool = False
    """White on black, as MNIST's digits are, from 0 to 1; else orange above zero and blue below."""
    each: Literal["pixel", "unit", "digit"] = "pixel"
    """What one of its pixels stands for."""
    is_chosen: bool = False
    chosen_cell: int | None = None
    """The pixel that is framed."""
    limit: float | None = None
    """The value of full colour, where it is not that of all tiles."""


def pictures(
    key: str,
    tiles: Sequence[Tile],
    *,
    label: str,
    size: int,
    on_click: Callable[[int, int], None] | None = None,
    click: Literal["tile", "cell"] = "tile",
) -> None:
    """Draw `tiles`, each `size` pixels wide on the screen; `on_click` is called with the id of the tile and the cell clicked.

    All have one scale unless a tile says its own, so that they can be compared: full colour is the largest absolute value.
    """
    sizes = {tile.id: tile.values.size for tile in tiles}

    def clicked() -> None:
        found = place(browser_value(key, "clicked"), sizes)
        if on_click and found:
            on_click(*found)

    _pictures.show(key, as_data(tiles, label, size, click if on_click else None), on_clicked_change=clicked)


def as_data(tiles: Sequence[Tile], label: str, size: int, click: Literal["tile", "cell"] | None) -> dict[str, Any]:
    """Return what pixels.js draws; `click` is what a click chooses, None for pictures that cannot be clicked."""
    return {
        "label": label,
        "size": size,
        "click": click,
        "legend": not all(tile.is_ink for tile in tiles) and all(tile.limit is None for tile in tiles),
        "limit": full_colour(*(tile.values for tile in tiles)),
        "tiles": [_sent(tile) for tile in tiles],
    }


def full_colour(*values: np.ndarray) -> float:
    """The largest absolute value there is, which has full colour; 1 where there is none but zeros and what is no number."""
    largest = max((float(np.abs(each[np.isfinite(each)]).max(initial=0.0)) for each in values), default=0.0)
    return largest or 1.0


def grid(values: np.ndarray, columns: int) -> np.ndarray:
    """Values (N,) in rows of `columns`, the last one filled up with NaN."""
    rows = -(-len(values) // columns)
    filled = np.full(rows * columns, np.nan, np.float32)
    filled[: len(values)] = values
    return filled.reshape(rows, columns)


def ink(image: np.ndarray, caption: str, index: int, *, is_chosen: bool = False) -> Tile:
    """A picture of MNIST, uint8 (784,), by its index there."""
    return Tile(image.reshape(28, 28) / np.float32(255), caption, index, is_ink=True, is_chosen=is_chosen)


def _sent(tile: Tile) -> dict[str, Any]:
    values = tile.values.astype(np.float32)
    return {
        "id": tile.id,
        "rows": values.shape[0],
        "columns": values.shape[1],
        "values": base64.b64encode(values.tobytes()).decode(),
        "caption": tile.caption,
        "ink": tile.is_ink,
        "each": tile.each,
        "chosen": tile.is_chosen,
        "cell": tile.chosen_cell,
        "limit": 1.0 if tile.is_ink else tile.limit,
    }


def place(clicked: Any, sizes: Mapping[int, int]) -> tuple[int, int] | None:
    """What a browser sends is not trusted: a place that is not there is none."""
    match clicked:
        case [int(tile), int(cell)] if 0 <= cell < sizes.get(tile, 0):
            return tile, cell
    return None
