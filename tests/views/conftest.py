"""Fixtures for the page's script without a browser."""

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Block, Node

from tests.support.session import Downloads


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> Downloads:
    """Give access to the files that the page offers."""
    return Downloads(monkeypatch)


MOVING = {"hand_back", "sweep_lines_plot", "sweep_shares_plot"}
"""What moves by design: the handwriting test looks different when it is complete, and so do the plots of many settings."""


@pytest.fixture(autouse=True)
def _widgets_keep_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if a widget changes its place in Streamlit's tree: until the answer is complete, the page would show it twice."""
    run = AppTest._run

    def checked(app: AppTest, *args: Any, **options: Any) -> AppTest:
        before = _places(app._tree)
        result = run(app, *args, **options)
        after = _places(app._tree)
        moved = {key: (before[key], after[key]) for key in before.keys() & after.keys() - MOVING if before[key] != after[key]}
        assert not moved
        return result

    monkeypatch.setattr(AppTest, "_run", checked)


def _places(tree: Block) -> dict[str, tuple[int, ...]]:
    """Return where each widget with a key is: the numbers of the blocks that contain it, and its own."""
    places: dict[str, tuple[int, ...]] = {}

    def walk(node: Node, place: tuple[int, ...]) -> None:
        if isinstance(node, Block):
            for number, child in node.children.items():
                walk(child, (*place, number))
        elif key := getattr(node, "key", None):
            places[key] = place

    walk(tree, ())
    return places
