"""my_digits.py: digits are written and read back, and a wrong file is rejected with the reason."""

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from mnist_fc.data.errors import DataError
from mnist_fc.data.my_digits import (
    MAX_BYTES,
    MAX_DIGITS,
    MAX_UNZIPPED_BYTES,
    MyDigit,
    from_npz,
    images_and_labels,
    load,
    not_digits,
    to_npz,
)
from mnist_fc.drawing.strokes import MAX_STROKES, Stroke
from tests.support.damage import errors_of_damaged
from tests.support.data import WritesAFile

NAME = "mine.npz"

LINE = Stroke(((90.5, 80.25), (190.0, 80.0), (130.0, 220.0)), 20.0)
BAR = Stroke(((115.0, 150.0), (175.0, 150.0)), 12.5)
DOT = Stroke(((140.0, 140.0),), 20.0)


def image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (28, 28), np.uint8)


DIGITS = [
    MyDigit(7, image(0), (LINE, BAR)),
    MyDigit(0, image(1)),
    MyDigit(1, image(2), (DOT,)),
    MyDigit(9, image(3), (BAR,)),
]
OTHERS = [MyDigit(None, image(4)), MyDigit(None, image(5))]


def npz(arrays: dict[str, Any]) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def arrays_of(digits: list[MyDigit]) -> dict[str, Any]:
    with np.load(io.BytesIO(to_npz(digits))) as file:
        return dict(file)


def assert_same(found: list[MyDigit], expected: list[MyDigit]) -> None:
    assert [digit.label for digit in found] == [digit.label for digit in expected]
    assert [digit.strokes for digit in found] == [digit.strokes for digit in expected]
    assert all(np.array_equal(one.image, other.image) for one, other in zip(found, expected, strict=True))


def error_of(content: bytes) -> str:
    with pytest.raises(DataError) as caught:
        from_npz(content, NAME)
    assert NAME in str(caught.value)
    return str(caught.value)


# What is written is read back


@pytest.mark.parametrize("digits", [DIGITS, OTHERS, [*DIGITS, *OTHERS], []], ids=["digits", "none", "both", "empty"])
def test_digits_are_read_as_they_were_written(digits: list[MyDigit]) -> None:
    assert_same(from_npz(to_npz(digits), NAME), digits)


def test_what_is_no_digit_comes_last(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(to_npz([OTHERS[0], DIGITS[0], OTHERS[1], DIGITS[1]]))
    assert_same(load(path), [DIGITS[0], DIGITS[1], *OTHERS])


COORDINATES = st.floats(-1e6, 1e6, width=32)
STROKES = st.builds(Stroke, st.lists(st.tuples(COORDINATES, COORDINATES), min_size=1, max_size=5).map(tuple), COORDINATES)


@given(st.lists(st.tuples(st.integers(0, 9), st.lists(STROKES, max_size=3)), max_size=5))
def test_any_strokes_are_read_as_they_were_written(drawn: list[tuple[int, list[Stroke]]]) -> None:
    digits = [MyDigit(label, image(seed), tuple(strokes)) for seed, (label, strokes) in enumerate(drawn)]
    assert_same(from_npz(to_npz(digits), NAME), digits)


def test_as_many_digits_as_are_kept_fit_the_file() -> None:
    """Each has more points than a hand draws: two seconds of them."""
    points = np.random.default_rng(0).uniform(0, 280, (MAX_DIGITS, 500, 2)).astype(np.float32)
    digits = [MyDigit(i % 10, image(i), (Stroke(tuple(map(tuple, points[i].tolist())), 20.0),)) for i in range(MAX_DIGITS)]
    content = to_npz(digits)
    assert len(content) < MAX_BYTES
    assert_same(from_npz(content, NAME), digits)


def test_written_arrays_have_mnists_layout() -> None:
    arrays = arrays_of([*DIGITS, *OTHERS])
    assert (arrays["x_train"].dtype, arrays["x_train"].shape) == (np.uint8, (4, 28, 28))
    assert arrays["y_train"].tolist() == [7, 0, 1, 9]
    assert arrays["x_none"].shape == (2, 28, 28)
    assert (arrays["points"].shape, arrays["width"].tolist()) == ((8, 2), [20.0, 12.5, 20.0, 12.5])
    assert arrays["stroke_end"].tolist() == [0, 3, 5, 6, 8]
    assert arrays["digit_end"].tolist() == [0, 2, 2, 3, 4]


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.int16])
def test_another_programs_file_without_strokes_is_read(dtype: type) -> None:
    content = npz({"x_train": np.stack([image(0), image(1)]), "y_train": np.array([3, 8], dtype), "x_test": np.zeros(3)})
    assert_same(from_npz(content, NAME), [MyDigit(3, image(0)), MyDigit(8, image(1))])


def test_images_and_labels_are_those_of_digits_alone() -> None:
    images, labels = images_and_labels([OTHERS[0], *DIGITS])
    assert (str(images.dtype), images.shape) == ("uint8", (4, 784))
    assert (str(labels.dtype), labels.tolist()) == ("int64", [7, 0, 1, 9])
    assert np.array_equal(images[0].reshape(28, 28), DIGITS[0].image)
    others = not_digits([OTHERS[0], *DIGITS])
    assert np.array_equal(others, OTHERS[0].image.reshape(1, 784))


def test_without_digits_the_arrays_are_empty() -> None:
    images, labels = images_and_labels(OTHERS)
    assert (images.shape, labels.shape) == ((0, 784), (0,))
    assert not_digits(DIGITS).shape == (0, 784)


# A digit by itself


@pytest.mark.parametrize("label", [-1, 10, 255])
def test_a_label_other_than_a_digit_is_rejected(label: int) -> None:
    with pytest.raises(DataError, match=f"the label is {label}; it must be a digit from 0 to 9"):
        MyDigit(label, image(0))


@pytest.mark.parametrize("label", [3, None])
def test_an_empty_image_is_rejected(label: int | None) -> None:
    with pytest.raises(DataError, match="nothing is drawn"):
        MyDigit(label, np.zeros((28, 28), np.uint8))


@pytest.mark.parametrize(
    "wrong", [np.ones((28, 28), np.float32), np.ones(784, np.uint8), np.ones((1, 28, 28), np.uint8), np.ones((28, 27), np.uint8)]
)
def test_an_image_of_another_kind_is_rejected(wrong: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"it must be uint8 \(28, 28\)"):
        MyDigit(3, wrong)


# Wrong files


@pytest.mark.parametrize(
    "content",
    [b"not an npz", b"PK\x03\x04 and no more", b"\x93NUMPY", to_npz(DIGITS)[:-30], to_npz(DIGITS)[:200]],
    ids=["text", "zip", "npy", "cut", "cut early"],
)
def test_a_file_that_is_no_npz_is_rejected(content: bytes) -> None:
    assert "is damaged, or not an .npz of digits" in error_of(content)


def test_a_single_array_is_rejected() -> None:
    content = io.BytesIO()
    np.save(content, np.zeros((3, 28, 28), np.uint8))
    assert "not an .npz of digits" in error_of(content.getvalue())


@pytest.mark.parametrize("name", ["x_train", "y_train"])
def test_a_missing_array_is_named(name: str) -> None:
    arrays = arrays_of(DIGITS)
    del arrays[name]
    assert f"has no array named {name};" in error_of(npz(arrays))


IMAGES = np.stack([digit.image for digit in DIGITS])


@pytest.mark.parametrize(
    ("name", "array", "reason"),
    [
        ("x_train", IMAGES[:, 4:24, 4:24], "x_train has the shape (4, 20, 20); it must be (N, 28, 28)"),
        ("x_train", IMAGES[0], "x_train has the shape (28, 28)"),
        ("x_train", np.array(3, np.uint8), "x_train has the shape ()"),
        ("x_train", IMAGES[:3], "3 train images and 4 labels do not go together"),
        ("x_train", np.zeros_like(IMAGES), "every pixel of x_train is 0, so its images are blank"),
        ("x_train", np.zeros((0, 28, 28)), "0 train images"),
        ("x_none", np.zeros((1, 784), np.uint8), "x_none is uint8 (1, 784)"),
        ("x_none", np.zeros((1, 28, 28), np.uint8), "nothing is drawn"),
        ("y_train", np.array([7, 0, 1, 10]), "y_train has labels from 0 to 10"),
        ("y_train", np.array([7, 0, 1, -1]), "y_train has labels from -1 to 7"),
        ("y_train", np.array([7.5, 0, 1, 9]), "it must be whole numbers"),
        ("y_train", np.array([7, 0, 1]), "4 train images and 3 labels do not go together"),
        ("y_train", np.array(7), "it must be whole numbers"),
    ],
)
def test_a_wrong_array_is_rejected_with_the_reason(name: str, array: np.ndarray, reason: str) -> None:
    assert reason in error_of(npz(arrays_of(DIGITS) | {name: array}))


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("x_train", IMAGES.astype(np.float32)),
        ("x_train", IMAGES / 255),
        ("x_train", IMAGES.reshape(4, 784)),
        ("x_train", IMAGES[..., None]),
        ("y_train", np.array([digit.label for digit in DIGITS], float)),
        ("y_train", np.array([[digit.label] for digit in DIGITS])),
        ("y_train", np.array([str(digit.label) for digit in DIGITS])),
        ("y_train", np.eye(10)[np.array([digit.label for digit in DIGITS], int)]),
    ],
)
def test_layouts_of_data_are_read_as_digits_too(name: str, array: np.ndarray) -> None:
    read = from_npz(npz(arrays_of(DIGITS) | {name: array}), "other.npz")
    assert [digit.label for digit in read] == [digit.label for digit in DIGITS]
    assert all(np.array_equal(one.image, other.image) for one, other in zip(read, DIGITS, strict=True))


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html>", bytes(5000), b"[InternetShortcut]\r\n"])
def test_a_file_in_place_of_digits_is_named(content: bytes) -> None:
    assert re.search("is (empty|a web page|nothing but zeros|a shortcut)", error_of(content))


@pytest.mark.parametrize(("num_digits", "num_others"), [(MAX_DIGITS + 1, 0), (MAX_DIGITS, 1), (0, MAX_DIGITS + 1)])
def test_more_digits_than_are_kept_are_rejected(num_digits: int, num_others: int) -> None:
    images = np.ones((MAX_DIGITS + 1, 28, 28), np.uint8)
    arrays = {"x_train": images[:num_digits], "y_train": np.zeros(num_digits, np.uint8), "x_none": images[:num_others]}
    assert "has 501 digits; at most 500 are kept" in error_of(npz(arrays))


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("points", np.zeros((7, 2))),
        ("points", np.zeros((8, 3))),
        ("points", np.zeros(16)),
        ("points", np.array(1.0)),
        ("points", np.full((8, 2), np.nan)),
        ("points", np.full((8, 2), np.inf)),
        ("points", np.full((8, 2), "x")),
        ("width", np.ones(3)),
        ("width", np.array(20.0)),
        ("width", np.array([20, 20, 20, np.nan])),
        ("stroke_end", np.array([0, 3, 5, 6])),
        ("stroke_end", np.array([0, 3, 5, 6, 9])),
        ("stroke_end", np.array([1, 3, 5, 6, 8])),
        ("stroke_end", np.array([0, 5, 3, 6, 8])),
        ("stroke_end", np.array([0, 3, 3, 6, 8])),
        ("stroke_end", np.array([0, -3, 5, 6, 8])),
        ("stroke_end", np.array([], np.int64)),
        ("stroke_end", np.array(["a", "b", "c", "d", "e"])),
        ("digit_end", np.array([0, 2, 2, 4])),
        ("digit_end", np.array([0, 2, 2, 3, 5])),
        ("digit_end", np.array([1, 2, 2, 3, 4])),
        ("digit_end", np.array([0, 2, 1, 3, 4])),
        ("digit_end", np.array([[0], [2], [2], [3], [4]])),
        ("digit_end", np.array(4)),
        ("digit_end", np.array([], np.int64)),
    ],
)
def test_damaged_strokes_are_rejected(name: str, array: np.ndarray) -> None:
    assert error_of(npz(arrays_of(DIGITS) | {name: array})) == f"{NAME} has strokes that do not belong to its digits"


@pytest.mark.parametrize("name", ["width", "stroke_end", "digit_end"])
def test_strokes_without_one_of_their_arrays_are_rejected(name: str) -> None:
    arrays = arrays_of(DIGITS)
    del arrays[name]
    assert error_of(npz(arrays)) == f"{NAME} has strokes that do not belong to its digits"


def test_more_strokes_than_a_hand_draws_are_rejected() -> None:
    content = to_npz([MyDigit(3, image(0), (DOT,) * (MAX_STROKES + 1))])
    assert "the drawing has 501 strokes; at most 500 can be read" in error_of(content)


@pytest.mark.parametrize("name", ["x_train", "y_train", "x_none", "points", "more"])
def test_pickled_objects_are_rejected_and_not_run(tmp_path: Path, name: str) -> None:
    mark = tmp_path / "ran"
    content = npz(arrays_of(DIGITS) | {name: np.array([WritesAFile(mark)], object)})
    assert "is damaged, or not an .npz of digits" in error_of(content)
    assert not mark.exists()


def test_a_member_that_is_no_array_is_rejected() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("x_train", b"no array")
        file.writestr("y_train", b"no array")
    error_of(content.getvalue())


def test_a_small_file_of_much_content_is_rejected() -> None:
    content = io.BytesIO()
    np.savez_compressed(content, **arrays_of(DIGITS), more=np.zeros(MAX_UNZIPPED_BYTES, np.uint8))
    assert len(content.getvalue()) < MAX_BYTES
    assert "MB unzipped" in error_of(content.getvalue())


def test_any_damage_is_read_or_rejected() -> None:
    whole = to_npz([*DIGITS, *OTHERS])
    errors = errors_of_damaged(whole, lambda content: from_npz(content, NAME))
    assert len(errors) > 100
    assert all(error.startswith(NAME) for error in errors)


# Loading


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.npz does not exist"):
        load(tmp_path / "none.npz")


def test_a_folder_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read") as caught:
        load(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_file_that_is_too_large_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / NAME
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(DataError, match=NAME):
        load(path)


def test_a_wrong_file_is_named_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_text("no digits")
    with pytest.raises(DataError) as caught:
        load(path)
    assert str(caught.value).startswith(str(path))
