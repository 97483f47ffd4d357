"""pen_digits.py: strokes are read or rejected with the reason, drawn as a condition says, and added to MNIST."""

import os
import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from mnist_fc.data import pen_digits
from mnist_fc.data.mnist import DataError, Mnist
from mnist_fc.data.pen_digits import CONDITIONS, NUM_DRAWINGS, PenDigits
from mnist_fc.drawing.strokes import CANVAS_SIZE

Arrays = dict[str, np.ndarray]

# Written by hand, y down: the strokes of each digit, its label and its writer.
WRITTEN: list[tuple[list[list[tuple[int, int]]], int, int]] = [
    ([[(40, 10), (30, 110)]], 1, 2),
    ([[(10, 20), (80, 15), (35, 120)], [(20, 70), (70, 65)]], 7, 31),
    ([[(30, 5), (10, 70), (90, 75)], [(60, 40), (55, 130)]], 4, 2),
    ([[(50, 5), (20, 40), (25, 90), (60, 100), (80, 60), (50, 5)]], 0, 17),
    ([[(10, 20), (50, 5), (70, 30), (15, 100), (85, 95)]], 2, 9),
]


@pytest.fixture
def arrays() -> Arrays:
    """The digits in the layout of the .npz, whose y points up."""
    strokes = [stroke for digit, _, _ in WRITTEN for stroke in digit]
    return {
        "points": np.array([(x, -y) for stroke in strokes for x, y in stroke], np.int16),
        "stroke_end": np.cumsum([0, *map(len, strokes)]).astype(np.int32),
        "digit_end": np.cumsum([0, *(len(digit) for digit, _, _ in WRITTEN)]).astype(np.int32),
        "label": np.array([label for _, label, _ in WRITTEN], np.uint8),
        "writer": np.array([writer for _, _, writer in WRITTEN], np.int16),
    }


@pytest.fixture
def unipen() -> str:
    """The digits in the text that the UCI repository has, whose y points up too."""
    lines = [".VERSION 1.0", ".HIERARCHY PAGE TEXT WORD", ".COORD X Y", ""]
    for digit, label, writer in WRITTEN:
        lines += [f'.SEGMENT DIGIT 0-{2 * len(digit)} ? "{label}"', f".COMMENT {label} {writer} 224", ".DT 100"]
        for stroke in digit:
            lines += [".PEN_DOWN", *(f" {x} {-y} " for x, y in stroke), ".PEN_UP", ".DT 20"]
        lines.append("")
    return "\n".join(lines)


def write_npz(folder: Path, arrays: Arrays) -> Path:
    np.savez(folder / "pen.npz", **arrays)  # type: ignore[arg-type]  # numpy's stub takes the arrays for allow_pickle
    return folder / "pen.npz"


def write_text(folder: Path, text: str) -> Path:
    (folder / "pendigits-orig.tra").write_text(text, "latin-1")
    return folder / "pendigits-orig.tra"


def written() -> PenDigits:
    strokes = [[np.array(stroke, np.float32) for stroke in digit] for digit, _, _ in WRITTEN]
    return PenDigits(strokes, np.array([label for _, label, _ in WRITTEN]), np.array([writer for *_, writer in WRITTEN]))


def assert_same(left: PenDigits, right: PenDigits) -> None:
    assert np.array_equal(left.labels, right.labels)
    assert np.array_equal(left.writers, right.writers)
    assert [len(digit) for digit in left.strokes] == [len(digit) for digit in right.strokes]
    for one, other in zip(left.strokes, right.strokes, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("form", ["npz", "unipen"])
def test_both_formats_give_the_digits_as_written(arrays: Arrays, unipen: str, tmp_path: Path, form: str) -> None:
    digits = pen_digits.load(write_npz(tmp_path, arrays) if form == "npz" else write_text(tmp_path, unipen))
    assert_same(digits, written())
    assert digits.labels.dtype == digits.writers.dtype == np.int64
    assert all(stroke.dtype == np.float32 for digit in digits.strokes for stroke in digit)


def test_windows_line_ends_make_no_difference(unipen: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tra"
    path.write_bytes(unipen.replace("\n", "\r\n").encode())
    assert_same(pen_digits.load(path), written())


@pytest.mark.parametrize("name", ["points", "stroke_end", "digit_end", "label", "writer"])
def test_a_missing_array_is_named(arrays: Arrays, tmp_path: Path, name: str) -> None:
    del arrays[name]
    with pytest.raises(DataError, match=rf"pen.npz has no array named {name}$"):
        pen_digits.load(write_npz(tmp_path, arrays))


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("label", np.array([1, 7, 4, 0, 10], np.uint8)),
        ("label", np.array([1, 7, 4, 0, -1])),
        ("label", np.array([1, 7, 4, 0])),
        ("label", np.array([1.5, 7, 4, 0, 2])),
        ("label", np.array([[1], [7], [4], [0], [2]])),
        ("label", np.array(["1", "7", "4", "0", "two"])),
        ("label", np.array([np.nan, 7, 4, 0, 2])),
        ("writer", np.array([1, 2, 3])),
        ("writer", np.array(list("abcde"))),
        ("points", np.zeros((22, 3))),
        ("points", np.full((22, 2), np.nan)),
        ("points", np.full((22, 2), 1e300)),
        ("points", np.zeros(2)),
        ("points", np.zeros((22, 2, 2))),
        ("points", np.full((22, 2), "x")),
        ("stroke_end", np.array([0, 2])),
        ("stroke_end", np.array([0, 2.5, 5])),
        ("stroke_end", np.array([0, 2, 5, 7, 10, 12, 18, 99])),
        ("stroke_end", np.array([0, 5, 2, 7, 10, 12, 18, 23])),
        ("digit_end", np.array([0, 1, 3, 5, 6, 70])),
        ("digit_end", np.array([0, -1, 3, 5, 6, 7])),
        ("digit_end", np.array([0, 1, 1, 5, 6, 7])),
        ("digit_end", np.array(3)),
    ],
)
def test_arrays_that_are_not_pen_strokes_are_rejected(arrays: Arrays, tmp_path: Path, name: str, array: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"pen.npz "):
        pen_digits.load(write_npz(tmp_path, arrays | {name: array}))


def test_digits_without_strokes_are_rejected(arrays: Arrays, tmp_path: Path) -> None:
    none = {"digit_end": np.array([0]), "label": np.zeros(0, int), "writer": np.zeros(0, int)}
    with pytest.raises(DataError, match=r"pen.npz has "):
        pen_digits.load(write_npz(tmp_path, arrays | none))


def test_a_truncated_npz_is_reported_as_damaged(arrays: Arrays, tmp_path: Path) -> None:
    path = write_npz(tmp_path, arrays)
    whole = path.read_bytes()
    for length in (2, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"pen.npz is damaged"):
            pen_digits.load(path)


@pytest.mark.parametrize("packed", [False, True], ids=["stored", "deflated"])
def test_corrupted_bytes_raise_data_errors_or_leave_digits(arrays: Arrays, tmp_path: Path, packed: bool) -> None:
    path = write_npz(tmp_path, arrays)
    if packed:
        np.savez_compressed(path, allow_pickle=False, **arrays)
    whole = path.read_bytes()
    chance = random.Random(0)
    num_rejected = 0
    for _ in range(400):
        content = bytearray(whole)
        for _ in range(chance.choice((1, 2, 5))):
            content[chance.randrange(len(content))] = chance.randrange(256)
        path.write_bytes(content)
        try:
            assert len(pen_digits.load(path).strokes) == len(WRITTEN)
        except DataError:
            num_rejected += 1
    assert num_rejected > 200


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ('"7"', '"x"', "without a label"),
        (".COMMENT 7 31 224", ".COMMENT by the seventh writer", "without a label or without a writer"),
        (" 80 -15 ", " 80 -15 4 ", "points that are not pairs of numbers"),
        (" 80 -15 ", " 80 1.2.3 ", "points that are not pairs of numbers"),
        (" 80 -15 ", " 80 up ", "."),
        (".PEN_DOWN", ".PEN_SIDE", "without strokes"),
    ],
)
def test_malformed_text_is_reported_with_its_fault(unipen: str, tmp_path: Path, before: str, after: str, reason: str) -> None:
    assert before in unipen
    with pytest.raises(DataError, match=rf"pendigits-orig.tra has .*{reason}"):
        pen_digits.load(write_text(tmp_path, unipen.replace(before, after)))


@pytest.mark.parametrize("writer", ["99999999999999999999", "1" * 5000])
def test_a_writers_number_that_is_too_long_is_reported(unipen: str, tmp_path: Path, writer: str) -> None:
    path = tmp_path / "strokes.tra"
    path.write_text(re.sub(r"(\.COMMENT +\d +)\d+", rf"\g<1>{writer}", unipen, count=1))
    with pytest.raises(DataError, match="without a writer"):
        pen_digits.load(path)


def test_a_text_cut_off_after_the_word_segment_is_rejected(unipen: str, tmp_path: Path) -> None:
    path = tmp_path / "strokes.tra"
    path.write_text(f"{unipen}\n.SEGMENT ")
    with pytest.raises(DataError, match="without a label"):
        pen_digits.load(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes with names")
def test_a_pipe_is_rejected_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="it is not a regular file"):
        pen_digits.load(tmp_path / "pipe")


@pytest.mark.parametrize("left", ["comment", "first stroke", "second stroke"])
def test_a_text_truncated_within_a_digit_is_rejected(unipen: str, tmp_path: Path, left: str) -> None:
    seven, pen_downs = unipen.index('"7"'), [match.end() for match in re.finditer(r"\.PEN_DOWN", unipen)]
    end = {"comment": seven + 8, "first stroke": pen_downs[1] + 9, "second stroke": pen_downs[2] + 9}[left]
    with pytest.raises(DataError, match=r"pendigits-orig.tra has "):
        pen_digits.load(write_text(tmp_path, unipen[:end]))


@pytest.mark.parametrize("content", [b"seven\n", b"1,2,3\n", bytes(range(256)), b"\0" * 100])
def test_a_file_of_another_kind_is_rejected(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "notes.txt").write_bytes(content)
    with pytest.raises(DataError, match=r"notes.txt is not a file of pen strokes"):
        pen_digits.load(tmp_path / "notes.txt")


@pytest.mark.parametrize(("content", "what"), [(b"", "empty"), (b"<!DOCTYPE html>", "a web page; download the file itself")])
def test_a_file_in_place_of_pen_strokes_is_named(tmp_path: Path, content: bytes, what: str) -> None:
    (tmp_path / "digits.tra").write_bytes(content)
    with pytest.raises(DataError, match=rf"digits.tra is {what}"):
        pen_digits.load(tmp_path / "digits.tra")


def test_a_compressed_file_says_how_to_uncompress_it(tmp_path: Path) -> None:
    (tmp_path / "pendigits-orig.tra.Z").write_bytes(b"\x1f\x9d\x90" + bytes(50))
    with pytest.raises(DataError, match=r"tra.Z is compressed; uncompress it first: gzip -d pendigits-orig.tra.Z"):
        pen_digits.load(tmp_path / "pendigits-orig.tra.Z")


def test_a_folder_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"{tmp_path.name} cannot be read: .*directory"):
        pen_digits.load(tmp_path)
    with pytest.raises(DataError, match=r"none.npz do not exist"):
        pen_digits.load(tmp_path / "none.npz")


def test_every_fifth_writer_is_held_out() -> None:
    writers = np.random.default_rng(0).permutation(np.repeat(np.arange(3, 47, 2), 4))
    digits = PenDigits([written().strokes[0]] * len(writers), np.arange(len(writers)) % 10, writers)
    train, held_out = digits.split()
    assert np.unique(held_out.writers).tolist() == [11, 21, 31, 41]
    assert not set(train.writers) & set(held_out.writers)
    assert sorted([*train.writers, *held_out.writers]) == sorted(writers)
    assert len(train.strokes) == len(train.labels) == len(train.writers)
    assert np.array_equal(held_out.labels, digits.labels[np.isin(writers, [11, 21, 31, 41])])


def drawn(digit: list[np.ndarray], name: str, seed: int) -> np.ndarray:
    """Where the canvas is inked, bool (280, 280), when the digit is drawn under the condition of that name."""
    rgba = pen_digits.draw(digit, CONDITIONS[name], np.random.default_rng(seed))
    assert rgba.shape == (CANVAS_SIZE, CANVAS_SIZE, 4)
    assert rgba.dtype == np.uint8
    assert not rgba[..., :3].any()
    return rgba[..., 3] > 127


def box(inked: np.ndarray) -> tuple[int, int, int, int]:
    """Left, right, top and bottom of the ink."""
    columns, rows = np.flatnonzero(inked.any(0)), np.flatnonzero(inked.any(1))
    return columns[0], columns[-1] + 1, rows[0], rows[-1] + 1


DOT = [np.array([[5, 5], [5, 5]], np.float32)]


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_dot_is_as_wide_as_the_conditions_brush(name: str) -> None:
    widths = []
    for seed in range(20):
        left, right, top, bottom = box(drawn(DOT, name, seed))
        assert right - left == pytest.approx(bottom - top, abs=1)
        widths.append(right - left)
    low, high = CONDITIONS[name].brush
    assert low - 1 <= min(widths) <= max(widths) <= high + 1
    assert max(widths) - min(widths) >= (high - low) / 2


@pytest.mark.parametrize("digit", written().strokes, ids=[str(label) for label in written().labels])
@pytest.mark.parametrize("name", sorted(set(CONDITIONS) - {"mixed"}))
def test_the_longest_side_is_the_conditions_share_of_the_canvas(name: str, digit: list[np.ndarray]) -> None:
    condition = CONDITIONS[name]
    for seed in range(3):
        left, right, top, bottom = box(drawn(digit, name, seed))
        longest = max(right - left, bottom - top) - condition.brush[0]
        # An antialiased end of a slanted line may be a pixel shorter.
        assert condition.size[0] * CANVAS_SIZE - 3 <= longest <= condition.size[1] * CANVAS_SIZE + 3


def test_mixed_drawings_are_of_all_sizes_everywhere() -> None:
    boxes = np.array([box(drawn(written().strokes[1], "mixed", seed)) for seed in range(60)])
    sides = np.maximum(boxes[:, 1] - boxes[:, 0], boxes[:, 3] - boxes[:, 2])
    assert sides.min() < 130
    assert sides.max() > 230
    assert boxes[:, 0].min() < 20
    assert boxes[:, 1].max() > 260


def test_corner_drawings_touch_two_edges_in_every_corner() -> None:
    corners = set()
    for seed in range(30):
        left, right, top, bottom = box(drawn(written().strokes[3], "corner", seed))
        assert min(left, CANVAS_SIZE - right) <= 1
        assert min(top, CANVAS_SIZE - bottom) <= 1
        corners.add((left <= 1, top <= 1))
    assert len(corners) == 4


@pytest.mark.parametrize("name", ["natural", "thin", "thick", "rotated"])
def test_middle_drawings_have_similar_margins(name: str) -> None:
    for seed in range(10):
        left, right, top, bottom = box(drawn(written().strokes[2], name, seed))
        for before, after in ((left, CANVAS_SIZE - right), (top, CANVAS_SIZE - bottom)):
            assert before / (before + after) == pytest.approx(0.5, abs=0.23)


def test_a_line_rotates_within_the_conditions_limit() -> None:
    angles = []
    for seed in range(40):
        rows, columns = np.nonzero(drawn([np.array([[0, 0], [0, 100]], np.float32)], "rotated", seed))
        angles.append(np.degrees(np.polyfit(rows, columns, 1)[0]))
    assert -15.5 < min(angles) < -8
    assert 8 < max(angles) < 15.5


@pytest.mark.parametrize("name", CONDITIONS)
def test_images_are_normalized_and_repeat_with_the_seed(name: str) -> None:
    first, again = (pen_digits.images(written(), CONDITIONS[name], seed) for seed in (3, 3))
    assert first.shape == (len(WRITTEN), 784)
    assert first.dtype == np.float32
    assert first.min() >= 0
    assert first.max() <= 1
    assert (first.max(1) > 0.8).all()
    assert np.array_equal(first, again)


def test_another_seed_gives_other_images() -> None:
    first, other = (pen_digits.images(written(), CONDITIONS["mixed"], seed) for seed in (3, 4))
    assert (np.abs(first - other).sum(1) > 1).all()


def test_added_digits_follow_mnists_unchanged_images(small: Mnist) -> None:
    own_images, own_labels = small.train_images.clone(), small.train_labels.clone()
    more = pen_digits.add_to(small, written(), seed=5)
    assert more.num_added == NUM_DRAWINGS * len(WRITTEN)
    assert more.train_images.dtype == torch.uint8
    assert more.train_images.shape == (2000 + more.num_added, 784)
    assert torch.equal(more.train_images[:2000], own_images)
    assert torch.equal(more.train_labels[:2000], own_labels)
    assert more.train_labels[2000:].tolist() == written().labels.tolist() * NUM_DRAWINGS
    assert torch.equal(more.test_images, small.test_images)
    assert small.num_added == 0
    assert small.train_images.shape == (2000, 784)


def test_each_copy_of_an_added_digit_is_drawn_separately(small: Mnist) -> None:
    images = pen_digits.add_to(small, written()).train_images[2000:].reshape(NUM_DRAWINGS, len(WRITTEN), 784)
    for digit in range(len(WRITTEN)):
        assert len(images[:, digit].unique(dim=0)) == NUM_DRAWINGS


def test_images_added_earlier_stay_out_of_validation(small: Mnist) -> None:
    twice = pen_digits.add_to(pen_digits.add_to(small, written()), written(), seed=9)
    assert len(twice.train_labels) - twice.num_added == 2000
