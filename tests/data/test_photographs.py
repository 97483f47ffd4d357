"""photographs.py: photographs show what their truth says, under every condition, the same for a seed."""

from collections import Counter

import cv2
import numpy as np
import pytest

from mnist_fc.data.photographs import CONDITIONS, Photograph, photographs
from mnist_fc.data.typefaces import TYPEFACES
from tests.support.handwriting import handwriting


@pytest.fixture(scope="module")
def drawn() -> list[Photograph]:
    """Fifty small photographs of six writers."""
    return list(photographs(handwriting(6), 50, seed=1, size="small"))


def test_photographs_of_one_seed_are_the_same() -> None:
    first, again, longer = (list(photographs(handwriting(2), count, seed=3, size="small")) for count in (3, 3, 4))
    for one, same, of_more in zip(first, again, longer, strict=False):
        assert np.array_equal(one.rgba, same.rgba)
        assert np.array_equal(one.rgba, of_more.rgba)
        assert one.digits == same.digits == of_more.digits
    assert not np.array_equal(next(photographs(handwriting(2), 1, seed=4, size="small")).rgba, first[0].rgba)


@pytest.mark.parametrize("writing", ["pen", "printed", "seven-segment"])
@pytest.mark.parametrize("paper", ["plain", "blackboard"])
def test_boxes_hold_the_ink(writing: str, paper: str) -> None:
    """On an evenly lit sheet without lines, all that stands out lies in a box, and reaches each side of every box."""
    fixed = {"ink": "black"} if paper == "plain" else {}
    conditions = {"table": "none", "frame": "none", "light": "even", "camera": "clean", "size": "small", "content": "number"}
    for photo in photographs(handwriting(2), 6, seed=2, writing=writing, paper=paper, stray_mark="none", **conditions, **fixed):
        gray = cv2.cvtColor(photo.rgba, cv2.COLOR_RGBA2GRAY).astype(np.float32)
        middle, extreme = np.percentile(gray, [50, 99.8 if paper == "blackboard" else 0.2])
        inked = np.abs(gray - middle) > 0.5 * abs(extreme - middle)
        for box in (digit.box for digit in photo.digits):
            left, top, right, bottom = box.left, box.top, box.right, box.bottom
            assert 0 <= left < right <= gray.shape[1]
            assert 0 <= top < bottom <= gray.shape[0]
            rows, columns = (
                np.flatnonzero(inked[top:bottom, left:right].any(1)),
                np.flatnonzero(inked[top:bottom, left:right].any(0)),
            )
            slack = 4 + 0.1 * max(bottom - top, right - left)
            assert max(rows[0], columns[0], bottom - top - 1 - rows[-1], right - left - 1 - columns[-1]) <= slack
            inked[top:bottom, left:right] = False
        assert inked.mean() < 1e-3  # specks


@pytest.mark.integration
def test_each_condition_occurs_and_is_recorded() -> None:
    seen = {name: Counter[str]() for name in CONDITIONS}
    for photo in photographs(handwriting(1), 150, seed=5, size="small"):
        for name, value in photo.conditions.items():
            seen[name][value] += 1
    del seen["size"]
    for name, values in seen.items():
        assert set(values) >= set(CONDITIONS[name]) - {"large"}, name


def test_digits_are_in_reading_order(drawn: list[Photograph]) -> None:
    for photo in drawn:
        if photo.conditions["content"] == "number":
            middles = [digit.box.left + digit.box.right for digit in photo.digits]
            assert middles == sorted(middles)


def test_photographs_without_digits_have_no_truth(drawn: list[Photograph]) -> None:
    assert {bool(photo.digits) for photo in drawn if photo.conditions["content"] == "nothing"} == {False}
    assert {bool(photo.digits) for photo in drawn if photo.conditions["content"] != "nothing"} == {True}


def test_photograph_has_one_given_writer_or_one_typeface(drawn: list[Photograph]) -> None:
    writers = [{digit.writer for digit in photo.digits} for photo in drawn if photo.digits]
    assert {len(each) for each in writers} == {1}
    assert set.union(*writers) <= {*range(6), *range(-len(TYPEFACES), 0)}
    of_two = handwriting(6).select(np.isin(handwriting(6).writers, [2, 4]))
    for photo in photographs(of_two, 10, seed=1, size="small", writing="pen"):
        assert {digit.writer for digit in photo.digits} <= {2, 4}


def test_picture_is_opaque_and_of_the_size_it_says() -> None:
    for size, low, high in (("small", 600, 1000), ("medium", 1200, 1600), ("large", 2400, 4032)):
        rgba = next(photographs(handwriting(1), 1, seed=8, size=size)).rgba
        assert rgba.dtype == np.uint8
        assert rgba.shape[2] == 4
        assert low <= max(rgba.shape) <= high
        assert (rgba[..., 3] == 255).all()


PLAIN = {"content": "nothing", "paper": "plain", "frame": "none", "table": "none", "size": "small"}


def num_lines(**conditions: str) -> list[int]:
    return [photo.num_lines for photo in photographs(handwriting(1), 8, seed=1, **(PLAIN | conditions))]


def test_lines_in_the_picture_are_counted() -> None:
    assert num_lines() == [0] * 8
    assert num_lines(frame="frame") == [4] * 8
    edges = num_lines(table="grey")
    assert set(edges) <= {1, 2, 3, 4}
    assert len(set(edges)) > 1
    ruled, squared = num_lines(paper="ruled"), num_lines(paper="squared")
    assert min(ruled) >= 2
    assert sum(squared) > 1.5 * sum(ruled)
