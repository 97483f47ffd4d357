"""How the page writes numbers, the labels of widgets, and what may be sent to a component."""

import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_fc.views.components.chart import powers_of_ten
from mnist_fc.views.components.component import check_plain
from mnist_fc.views.components.labels import distinct_digits
from mnist_fc.views.components.numbers import MINUS, TIMES, format_fixed, format_number, format_ratio, format_times

POWER = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def parse_value(text: str) -> float:
    """Return the number in a text of `format_number`."""
    factor, _, power = text.replace(MINUS, "-").replace(",", "").rpartition("10") if re.search("[⁰-⁹¹²³]", text) else ("", "", "")
    if not power:
        return float(text.replace(MINUS, "-").replace(",", ""))
    return float({"": "1", "-": "-1"}.get(factor, factor.removesuffix(f" {TIMES} "))) * 10.0 ** int(power.translate(POWER))


@given(st.floats(-1e300, 1e300, allow_subnormal=False))
def test_number_has_at_most_four_digits(value: float) -> None:
    text = format_number(value)
    assert len(text) <= 15
    assert parse_value(text) == pytest.approx(value, rel=5.01e-4)
    assert not re.fullmatch(f"[-{MINUS}]0", text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0.0, "0"), (-0.0, "0"), (0.00657786590158, "0.006578"), (12_345.6, "12,350"), (1e-5, "10⁻⁵"), (999_999.9, "10⁶")),
        *((3.7e-12, f"3.7 {TIMES} 10⁻¹²"), (-5.0, f"{MINUS}5"), (-1e-8, f"{MINUS}10⁻⁸"), (math.nan, "overflow")),
        (math.inf, "overflow"),
    ],
)
def test_number_has_the_expected_text(value: float, text: str) -> None:
    assert format_number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(-0.00001, "0.0000"), (1.5, "1.5000"), (-2.0, f"{MINUS}2.0000"), (-3e38, f"{MINUS}3 {TIMES} 10³⁸"), (math.nan, "overflow")],
)
def test_fixed_number_has_no_minus_zero_and_few_digits(value: float, text: str) -> None:
    assert format_fixed(value) == text
    assert format_fixed(np.float64(value), signed=True).removeprefix("+") == text


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        *((3.21, "3.2 times"), (2e9, "over a million times"), (0.45, "45% of"), (0.027, "1/37 of")),
        *((5e-4, "less than a thousandth of"), (3e-9, "less than a millionth of"), (3e-12, "less than a billionth of")),
        *((1e-300, "less than a trillionth of"), (0.0, "less than a trillionth of")),
    ],
)
def test_ratio_has_the_expected_words(ratio: float, text: str) -> None:
    assert format_ratio(ratio) == text


def test_many_times_are_rounded() -> None:
    assert format_times(824_639.2) == "about 820,000 times"


@given(st.lists(st.floats(0, 1.7e308)))
def test_powers_of_ten_enclose_all_values(values: list[float]) -> None:
    low, high = powers_of_ten(values)
    assert 0 < low < high < math.inf
    assert all(low <= value * 1.000001 and value <= high for value in values if 1e-300 < value < 1e300)


@given(st.lists(st.sampled_from("0123456789?"), max_size=12))
def test_labels_of_digits_are_distinct(digits: list[str]) -> None:
    labels = distinct_digits(digits)
    assert len(set(labels)) == len(digits)
    assert [label[-1] for label in labels] == digits


@pytest.mark.parametrize("value", [np.bool_(True), np.int64(3), np.float32(0.5), np.zeros(2), {1, 2}, b"bytes"])
def test_component_data_that_is_not_json_is_rejected(value: Any) -> None:
    with pytest.raises(TypeError):
        check_plain({"tiles": [{"chosen": value}]})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float64("nan")])
def test_component_data_that_is_not_finite_is_rejected(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        check_plain({"series": [{"y": [0.0, value]}]})
