"""Places name where contributions lie, and only those that make up most of them."""

import numpy as np
import pytest

from mnist_fc.analysis.places import NAMES, by_place, main_places


def picture(**values: float) -> np.ndarray:
    """Return contributions, (28, 28), with a value at a row and column, named like "r3c20"."""
    pixels = np.zeros((28, 28))
    for place, value in values.items():
        row, column = map(int, place[1:].split("c"))
        pixels[row, column] = value
    return pixels


def test_places_hold_every_contribution_once() -> None:
    pixels = np.random.default_rng(0).normal(size=(28, 28))
    sums = by_place(pixels)
    assert set(sums) == set(NAMES)
    assert sum(sums.values()) == pytest.approx(pixels.sum())
    assert list(sums.values()) == sorted(sums.values(), reverse=True)


@pytest.mark.parametrize(
    ("place", "name"),
    [("r2c3", "at the top left"), ("r10c14", "at the top"), ("r14c14", "in the middle"), ("r20c25", "at the bottom right")],
)
def test_a_single_contribution_is_named_where_it_lies(place: str, name: str) -> None:
    assert main_places(by_place(picture(**{place: 1.0}))) == [name]


def test_named_places_add_more_than_half_of_what_is_added() -> None:
    two = picture(r2c14=3.0, r14c14=2.5, r25c14=1.0, r14c3=-9.0)
    assert main_places(by_place(two)) == ["at the top", "in the middle"]


def test_no_place_is_named_when_many_add_alike_or_none_adds() -> None:
    assert main_places(by_place(np.ones((28, 28)) * picture(r2c2=1, r2c14=1, r2c25=1, r14c3=1, r14c14=1))) == []
    assert main_places(by_place(picture(r2c2=-1.0))) == []
