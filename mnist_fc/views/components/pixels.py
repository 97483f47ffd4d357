"""Pictures that show the value of each pixel that one points at, and that can be clicked. They are drawn by pixels.js."""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mnist_fc.views.components.component import Component, browser_value

_pictures = Component("pixels", "<div class='pixel-pictures' role='group'></div>")


@dataclass(frozen=True)
class Tile:
    """One picture: `values` is float (rows, columns); the last row may end with NaN, which is not drawn."""

    values: np.ndarray
    caption: str = ""
    id: int = 0
    """Tells a click on this tile from others, even if the tile shows something else by then."""
    is_ink: bool = False
    """Whether values from 0 to 1 are drawn white on black, as MNIST's digits; else orange is above zero and blue below."""
    each: Literal["pixel", "unit", "digit"] = "pixel"
    """The meaning of a pixel, in words."""
    is_chosen: bool = False
    chosen_cell: int | None = None
    """The pixel with a frame."""
    limit: float | None = None
    """The value with full colour, if the tile has its own scale."""


def pictures(
    key: str,
    tiles: Sequence[Tile],
    *,
    label: str,
    size: int,
    on_click: Callable[[int, int], None] | None = None,
    click: Literal["tile", "cell"] = "tile",
) -> None:
    """Draw `tiles`, each `size` pixels wide; `on_click` is called with the id of the clicked tile and the index of the pixel.

    Tiles without a scale of their own share one, so that they can be compared: full colour is the largest absolute value.
    """
    sizes = {tile.id: tile.values.size for tile in tiles}

    def clicked() -> None:
        found = clicked_pixel(browser_value(key, "clicked"), sizes)
        if on_click and found:
            on_click(*found)

    _pictures.show(key, as_data(tiles, label, size, click if on_click else None), on_clicked_change=clicked)


def as_data(tiles: Sequence[Tile], label: str, size: int, click: Literal["tile", "cell"] | None) -> dict[str, Any]:
    """Return the data for pixels.js; `click` is what a click chooses, None if the pictures cannot be clicked."""
    return {
        "label": label,
        "size": size,
        "click": click,
        "legend": not all(tile.is_ink for tile in tiles) and all(tile.limit is None for tile in tiles),
        "limit": full_colour(*(tile.values for tile in tiles)),
        "tiles": [_tile_data(tile) for tile in tiles],
    }


def full_colour(*values: np.ndarray) -> float:
    """Return the largest finite absolute value, which has full colour; 1 if there is none above zero."""
    largest = max((float(np.abs(each[np.isfinite(each)]).max(initial=0.0)) for each in values), default=0.0)
    return largest or 1.0


def grid(values: np.ndarray, columns: int) -> np.ndarray:
    """Return values (N,) as float32 (rows, `columns`), the last row filled with NaN."""
    rows = -(-len(values) // columns)
    filled = np.full(rows * columns, np.nan, np.float32)
    filled[: len(values)] = values
    return filled.reshape(rows, columns)


def ink(image: np.ndarray, caption: str, index: int, *, is_chosen: bool = False) -> Tile:
    """Return a tile with an image of MNIST, uint8 (784,), whose id is its index."""
    return Tile(image.reshape(28, 28) / np.float32(255), caption, index, is_ink=True, is_chosen=is_chosen)


def _tile_data(tile: Tile) -> dict[str, Any]:
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


def clicked_pixel(clicked: Any, sizes: Mapping[int, int]) -> tuple[int, int] | None:
    """Return the tile's id and the pixel of a click, or None if there is no such pixel: a browser is not trusted."""
    match clicked:
        case [int(tile), int(cell)] if 0 <= cell < sizes.get(tile, 0):
            return tile, cell
    return None
