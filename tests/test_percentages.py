"""Rounding never turns a share into all or nothing, in any text of the page."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mnist_fc
from mnist_fc.percentages import in_percent


@pytest.mark.parametrize(
    ("share", "decimals", "text"),
    [
        *((0.0, 1, "0.0%"), (1.0, 1, "100.0%"), (0.995, 0, "over 99%"), (0.004, 0, "under 1%"), (0.99, 0, "99%")),
        *((0.99996, 2, "over 99.99%"), (0.00004, 2, "under 0.01%"), (0.9812, 2, "98.12%"), (0.9996, 1, "over 99.9%")),
    ],
)
def test_share_has_the_expected_text(share: float, decimals: int, text: str) -> None:
    assert in_percent(share, decimals) == text


@given(st.floats(0, 1, exclude_min=True, exclude_max=True), st.integers(0, 4))
def test_what_is_between_is_never_all_or_nothing(share: float, decimals: int) -> None:
    text = in_percent(share, decimals)
    shown = float(re.sub("[^0-9.]", "", text)) / 100
    assert 0 < shown < 1
    assert shown == pytest.approx(share, abs=10.0 ** -(decimals + 2))


def test_page_writes_every_percentage_with_one_function() -> None:
    texts = {path: path.read_text() for path in Path(mnist_fc.__file__).parent.joinpath("views").rglob("*.py")}
    assert [path.name for path, text in texts.items() if re.search(r"\{[^{}\"']*:\.\d%\}", text)] == []
