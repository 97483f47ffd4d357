"""components/pixels.py: a click chooses a pixel that is there, and nothing else does."""

from typing import Any

import numpy as np
import pytest
import streamlit as st

from mnist_fc.views.components import pixels
from tests.support.session import State

SIZES = {3: 784, 7: 12}


@pytest.mark.parametrize("clicked", [[3, 0], [3, 783], [7, 11]])
def test_click_on_a_pixel_gives_its_tile_and_index(clicked: list[int]) -> None:
    assert pixels.clicked_pixel(clicked, SIZES) == tuple(clicked)


@pytest.mark.parametrize(
    "clicked",
    [None, [], [3], [3, 784], [3, -1], [7, 12], [4, 0], [3, 0, 0], ["3", 0], [3, 0.0], [3, "0"], "30", {"tile": 3}, 3],
)
def test_click_that_no_tile_has_is_ignored(clicked: Any) -> None:
    assert pixels.clicked_pixel(clicked, SIZES) is None


@pytest.mark.parametrize(("clicked", "expected"), [([2, 5], [(2, 5)]), ([2, 6], []), (None, [])])
def test_only_clicks_on_drawn_tiles_are_passed_on(monkeypatch: pytest.MonkeyPatch, clicked: Any, expected: list[Any]) -> None:
    drawn: dict[str, Any] = {}
    monkeypatch.setattr(pixels._pictures, "_mount", lambda **options: drawn.update(options))
    monkeypatch.setattr(st, "session_state", State(grid={"clicked": clicked}))
    found: list[tuple[int, int]] = []
    tile = pixels.Tile(np.zeros((2, 3)), id=2)
    pixels.pictures("grid", [tile], label="Weights", size=80, on_click=lambda *pixel: found.append(pixel), click="cell")
    assert (drawn["data"]["click"], drawn["key"]) == ("cell", "grid")
    drawn["on_clicked_change"]()
    assert found == expected
