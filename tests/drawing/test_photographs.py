"""photographs.py, paper.py, ruling.py: what may be a digit is found in photographs; lines, frames and edges are not."""

import cv2
import numpy as np
import pytest

from mnist_fc.data.pen_digits import CONDITIONS, draw
from mnist_fc.data.photographs import Photograph, photographs
from mnist_fc.drawing.errors import DrawingError
from mnist_fc.drawing.parts import Box
from mnist_fc.drawing.photographs import MAX_MARKS, Mark, find_marks
from mnist_fc.reading.photo_evaluation import overlap
from mnist_fc.reading.reader import Reader, number
from tests.support.handwriting import handwriting
from tests.support.sheets import plain_photographs, sheet


def all_found(photo: Photograph, marks: list[Mark]) -> bool:
    """Return whether the marks are the digits of the photograph, in reading order, and nothing else."""
    if len(marks) != len(photo.digits):
        return False
    return all(overlap(digit.box, mark.box) > 0.5 for digit, mark in zip(photo.digits, marks, strict=True))


def falsely_read(photo: Photograph) -> list[int | None]:
    """Return the digits that are read where there is none."""
    found = Reader.load().read_picture(photo.rgba)
    return [
        each.reading.digit
        for each in found
        if each.reading.digit is not None and not any(overlap(each.box, digit.box) > 0.3 for digit in photo.digits)
    ]


@pytest.mark.integration
@pytest.mark.parametrize(
    "conditions",
    [
        {"ink": "blue"},
        {"ink": "red"},
        {"ink": "pencil"},
        {"ink": "yellow"},
        {"paper": "blackboard"},
        {"paper": "green board"},
        {"light": "uneven"},
        {"light": "vignette"},
        {"camera": "noisy"},
        {"camera": "blurred"},
        {"view": "perspective"},
        {"paper": "ruled", "lines": "light", "ink": "blue"},
        {"paper": "squared", "lines": "light", "ink": "blue"},
    ],
    ids=lambda conditions: " ".join(conditions.values()),
)
def test_exactly_the_digits_are_found(conditions: dict[str, str]) -> None:
    photos = plain_photographs(4, 5, content="number", **conditions)
    assert [all_found(photo, find_marks(photo.rgba)) for photo in photos] == [True] * 4


@pytest.mark.integration
@pytest.mark.parametrize("paper", ["plain", "ruled", "squared", "blackboard", "green board"])
@pytest.mark.parametrize("table", ["none", "dark wood", "grey", "light"])
def test_paper_without_digits_has_none(paper: str, table: str) -> None:
    photos = plain_photographs(3, 6, content="nothing", paper=paper, table=table)
    assert [falsely_read(photo) for photo in photos] == [[]] * 3


def test_the_only_digit_in_a_picture_must_be_a_sure_one() -> None:
    """A rest of a ruled line, which looks a little like a 1."""
    photo = next(photographs(handwriting(1), 1, seed=646, content="nothing", size="small"))
    found = Reader.load().read_picture(photo.rgba)
    assert [(each.reading.digit, each.is_doubtful) for each in found] == [(None, True)]


@pytest.mark.integration
@pytest.mark.parametrize("condition", ["huge", "thin", "mixed"])
def test_drawing_that_fills_a_picture_is_read_as_on_the_canvas(condition: str) -> None:
    digits, random, reader = handwriting(3), np.random.default_rng(0), Reader.load()
    for strokes in digits.strokes[::5]:
        drawing = draw(strokes, CONDITIONS[condition], random)
        opaque = cv2.merge([255 - drawing[..., 3]] * 3 + [np.full(drawing.shape[:2], 255, np.uint8)])
        on_canvas = reader.read_number(drawing)
        assert number([found.reading for found in reader.read_picture(opaque)]) == number(on_canvas)


def test_edges_of_a_sheet_with_more_ink_than_the_digits_do_not_hide_them() -> None:
    rgba = np.full((1300, 1000, 4), 255, np.uint8)
    written = sheet("2704", "5327", height=40)
    rgba[800 : 800 + written.shape[0], 300 : 300 + written.shape[1]] = written
    cv2.polylines(rgba, [np.array([(620, 66), (874, 63), (840, 1208)])], False, (90, 90, 90, 255), 10)
    assert "".join(map(str, falsely_read(Photograph(rgba, (), {}, 0)))) == "27045327"


def test_frame_in_a_large_picture_is_no_digit() -> None:
    rgba = np.full((900, 1200, 4), 255, np.uint8)
    cv2.rectangle(rgba, (300, 200), (800, 700), (0, 0, 0, 255), 9)
    assert not [found for found in Reader.load().read_picture(rgba) if found.reading.digit is not None]


@pytest.mark.parametrize("frame", ["cell", "frame"])
def test_frame_around_a_digit_leaves_only_the_digit(frame: str) -> None:
    photos = plain_photographs(4, 7, content="digit", frame=frame)
    assert [all_found(photo, find_marks(photo.rgba)) for photo in photos] == [True] * 4


def test_mark_cut_off_by_the_border_is_none() -> None:
    photos = plain_photographs(3, 8, content="digit", stray_mark="neighbour")
    assert [all_found(photo, find_marks(photo.rgba)) for photo in photos] == [True] * 3


def numbers(rgba: np.ndarray) -> str:
    """Return what is read in a picture, one number per mark, "?" for what is unsure."""
    return number([found.reading for found in Reader.load().read_picture(rgba)])


def test_faint_digit_across_a_deep_shadow_is_read() -> None:
    rgba = sheet("27", height=150)
    rgba[..., :3] = 255 - (255 - rgba[..., :3]) // 4
    shadow = np.tri(rgba.shape[0], rgba.shape[1]) > 0
    rgba[..., :3] = np.where(shadow[..., None], rgba[..., :3] * 0.45, rgba[..., :3] * 0.95)
    assert numbers(cv2.GaussianBlur(rgba, (0, 0), 1.5)) == "27"


def shaded(rgba: np.ndarray, level: float) -> np.ndarray:
    """Return a picture with a sharp shadow from its lower left corner: there it has this share of its brightness."""
    height, width = rgba.shape[:2]
    rows, columns = np.indices((height, width))
    in_shade = rows / height > columns / width
    rgba[..., :3] = np.where(in_shade[..., None], rgba[..., :3] * level, rgba[..., :3])
    return cv2.GaussianBlur(rgba, (0, 0), 1.5)


def test_chalk_in_a_deep_shadow_is_read() -> None:
    rgba = sheet("2704", "5327", height=80)
    rgba[..., :3] = 80 + (255 - rgba[..., :3]) * 0.6
    assert numbers(shaded(rgba, 0.3)) == "27045327"


def test_faint_pencil_is_read() -> None:
    rgba = sheet("2704", height=100)
    rgba[..., :3] = 230 - (255 - rgba[..., :3]) * 0.08
    assert numbers(rgba) == "2704"


def test_ruled_paper_in_the_shade_is_no_board() -> None:
    photos = plain_photographs(4, 7, content="number", paper="ruled", lines="dark", light="shadow", table="dark wood")
    assert [numbers(photo.rgba) for photo in photos] == ["".join(str(digit.label) for digit in photo.digits) for photo in photos]


@pytest.mark.parametrize("longest", [1399, 1401, 2801, 4203])
def test_boxes_grow_with_the_picture(longest: int) -> None:
    small = sheet("27", "53", height=60)
    scale = longest / max(small.shape[:2])
    large = cv2.resize(small, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    expected, found = (Reader.load().read_picture(rgba) for rgba in (small, large))
    assert [each.reading.digit for each in found] == [each.reading.digit for each in expected] == [2, 7, 5, 3]
    for mine, theirs in zip(found, expected, strict=True):
        box = theirs.box
        assert overlap(mine.box, Box(*(round(scale * side) for side in (box.left, box.top, box.right, box.bottom)))) > 0.9


def test_digit_on_a_sheet_on_a_wooden_table_is_read() -> None:
    photos = plain_photographs(4, 9, content="digit", table="dark wood", ink="blue")
    assert [numbers(photo.rgba) for photo in photos] == [str(photo.digits[0].label) for photo in photos]


def test_strokes_of_an_open_four_are_one_digit() -> None:
    rgba = sheet("25", height=100)
    rgba = np.hstack([rgba, np.full_like(rgba, 255)])
    for stroke in ([(290, 75), (270, 130), (318, 128)], [(330, 80), (322, 172)]):
        cv2.polylines(rgba, [np.array(stroke)], False, (20, 20, 20, 255), 10, cv2.LINE_AA)
    assert numbers(rgba) == "254"


def test_stroke_along_a_ruled_line_stays() -> None:
    rgba = sheet("757", height=150)
    top = 105 + 7  # the bars of the digits, a tenth as thick as they are high
    for y in range(top % 75, rgba.shape[0], 75):
        rgba[y : y + 3, :, :3] = np.minimum(rgba[y : y + 3, :, :3], 200)
    assert numbers(rgba) == "757"


@pytest.mark.parametrize("width", [2, 6])
def test_frame_along_the_border_does_not_turn_paper_into_ink(width: int) -> None:
    rgba = sheet("7", height=200)
    rgba[..., :3] = cv2.copyMakeBorder(
        rgba[width:-width, width:-width, :3], width, width, width, width, cv2.BORDER_CONSTANT, value=(20, 20, 20)
    )
    assert numbers(rgba) == "7"


@pytest.mark.parametrize("margin", [12, 60])
@pytest.mark.parametrize("is_inverted", [False, True])
def test_digits_in_a_cell_that_fills_the_picture_are_read(margin: int, is_inverted: bool) -> None:
    read = []
    for digit in "234":
        gray = cv2.copyMakeBorder(
            sheet(digit, height=110)[40:190, 40:160, 0], margin, margin, margin + 15, margin + 15, cv2.BORDER_CONSTANT, value=255
        )
        cv2.rectangle(gray, (0, 0), (gray.shape[1] - 1, gray.shape[0] - 1), 0, 4)
        read.append(numbers(cv2.cvtColor(255 - gray if is_inverted else gray, cv2.COLOR_GRAY2RGBA)))
    assert read == ["2", "3", "4"]


def test_two_digits_that_touch_are_read() -> None:
    rgba, other = sheet("5", height=100), sheet("3", height=100)
    joined = np.full((rgba.shape[0], rgba.shape[1] + 62, 4), 255, np.uint8)
    joined[:, : rgba.shape[1]] = rgba
    joined[:, 62:] = np.minimum(joined[:, 62:], other)
    assert numbers(joined) == "53"


@pytest.mark.parametrize("is_inverted", [False, True])
def test_tiny_picture_without_a_margin_is_one_digit(is_inverted: bool) -> None:
    gray = cv2.resize(sheet("3", height=100)[50:190, 50:170, 0], (24, 28), interpolation=cv2.INTER_AREA)
    gray = 255 - gray if is_inverted else gray
    assert numbers(cv2.cvtColor(gray, cv2.COLOR_GRAY2RGBA)) == "3"


def test_lines_are_counted_from_the_top() -> None:
    marks = find_marks(sheet("271", "04", "5"))
    assert [mark.line for mark in marks] == [0, 0, 0, 1, 1, 2]
    assert all(mark.drawing.dtype == np.uint8 and mark.drawing.shape[2] == 4 for mark in marks)


def test_point_between_digits_is_noted() -> None:
    rgba = sheet("314")
    rgba[98:104, 101:107, :3] = 20  # between the first two, at their feet
    assert [mark.after_point for mark in find_marks(rgba)] == [False, True, False]


FEET = 102
"""The row of the lowest pixels of the digits of `with_bars`."""


def with_bars(*bars: tuple[int, int, int, int]) -> np.ndarray:
    """Return the digits 8, 3 and 5, 65 pixels high, and bars from (x, y) to (x, y).

    The gaps between them are columns 78 to 146 and 190 to 255.
    """
    rgba = np.hstack([sheet(digit)[:, 10:120] for digit in "835"])
    for left, top, right, bottom in bars:
        cv2.line(rgba, (left, top), (right, bottom), (20, 20, 20, 255), 6, cv2.LINE_AA)
    return rgba


@pytest.mark.parametrize("rise", [0, 12])
@pytest.mark.parametrize("height", [7, 20, 28])
@pytest.mark.parametrize("middle", [97, 112])
def test_point_or_comma_in_a_wide_gap_is_noted(middle: int, height: int, rise: int) -> None:
    lean = height // 8
    marks = find_marks(with_bars((middle + lean, FEET - rise, middle - lean, FEET - rise + height - 6)))
    assert [mark.after_point for mark in marks] == [False, True, False]


def test_two_separators_in_one_number_are_noted() -> None:
    marks = find_marks(with_bars((95, FEET, 96, FEET), (215, FEET - 6, 211, FEET + 16)))
    assert [mark.after_point for mark in marks] == [False, True, True]


@pytest.mark.parametrize(
    "bars",
    [
        [(96, 72, 106, 72)],
        [(96, 45, 96, 55), (106, 45, 106, 55)],
        [(x, FEET, x, FEET + 20) for x in (88, 102, 116)],
        [(x, FEET, x + 1, FEET) for x in (88, 102, 116)],
    ],
    ids=["minus", "quotation", "ruler", "dotted"],
)
def test_other_small_marks_between_digits_are_no_points(bars: list[tuple[int, int, int, int]]) -> None:
    assert not any(mark.after_point for mark in find_marks(with_bars(*bars)))


@pytest.mark.parametrize("bars", [[(96, 72, 128, 72)], [(96, 62, 128, 62), (96, 80, 128, 80)]], ids=["minus", "equals sign"])
def test_number_ends_at_a_sign(bars: list[tuple[int, int, int, int]]) -> None:
    marks = find_marks(with_bars(*bars))
    assert [mark.after_sign for mark in marks] == [False, True, False]


@pytest.mark.parametrize("bar", [(96, FEET + 20, 128, FEET + 20), (270, 72, 302, 72), (100, 72, 104, 72)])
def test_line_elsewhere_is_no_sign(bar: tuple[int, int, int, int]) -> None:
    assert not any(mark.after_sign for mark in find_marks(with_bars(bar)))


@pytest.mark.parametrize(("num_dots", "num_points"), [(3, 3), (4, 0)])
def test_a_line_with_many_dots_has_no_points(num_dots: int, num_points: int) -> None:
    rgba = sheet("31313131")
    for pair in range(num_dots):
        left = 101 + pair * 132  # at the feet of a 3 and the 1 after it
        rgba[98:104, left : left + 6, :3] = 20
    marks = find_marks(rgba)
    assert len(marks) == 8
    assert sum(mark.after_point for mark in marks) == num_points


@pytest.mark.parametrize("factor", [0.5, 4])
def test_boxes_are_in_pixels_of_the_picture(factor: float) -> None:
    small, other = find_marks(sheet("27", height=60)), find_marks(sheet("27", height=round(60 * factor)))
    for one, same in zip(small, other, strict=True):
        for side in ("left", "top", "right", "bottom"):
            assert getattr(same.box, side) == pytest.approx(factor * getattr(one.box, side), abs=3 * max(factor, 1))


def test_blank_and_tiny_pictures_have_no_marks() -> None:
    for shape in ((1, 1), (1, 400), (3, 2), (120, 160)):
        for value in (0, 127, 255):
            assert find_marks(np.full((*shape, 4), value, np.uint8)) == []


@pytest.mark.parametrize("width", [4, 8, 15, 16, 33, 63, 64])
@pytest.mark.parametrize("length", [90, 300, 1200])
def test_narrow_pictures_with_lines_are_read(width: int, length: int) -> None:
    picture = np.full((length, width, 4), 255, np.uint8)
    picture[:, width // 2 : width // 2 + 1, :3] = 0
    picture[length // 3 : length // 3 + 2, :, :3] = 0
    for rgba in (picture, np.ascontiguousarray(picture.transpose(1, 0, 2))):
        assert len(find_marks(rgba)) <= 3


@pytest.mark.parametrize("shape", [(0, 0, 4), (5, 5), (5, 5, 3)])
def test_other_arrays_are_rejected(shape: tuple[int, ...]) -> None:
    with pytest.raises(DrawingError, match="a picture must be uint8"):
        find_marks(np.zeros(shape, np.uint8))


def test_noise_alone_is_no_digit() -> None:
    random = np.random.default_rng(0)
    rgba = np.full((600, 800, 4), 255, np.uint8)
    rgba[..., :3] = random.normal(160, 12, (600, 800, 3)).clip(0, 255)
    assert all(found.reading.digit is None for found in Reader.load().read_picture(rgba))


def test_doubtful_line_stays_doubtful_when_read_again() -> None:
    rgba = np.full((600, 800, 4), 255, np.uint8)
    rgba[150:450, 400:406, :3] = 0
    reader = Reader.load()
    (line,) = reader.read_picture(rgba)
    assert reader.read_image(line.image).digit == 1
    assert line.reading.digit is None
    assert [reading.digit for reading in reader.read_again([line])] == [None]


def test_picture_with_too_many_marks_is_rejected() -> None:
    with pytest.raises(DrawingError, match=f"marks; at most {MAX_MARKS} can be read"):
        find_marks(sheet(*["4" * 22] * 16, height=40))


@pytest.mark.parametrize("pair", ["88", "38", "26", "90"])
def test_digits_that_all_but_touch_are_two(pair: str) -> None:
    inked = [(255 - sheet(digit, height=120)[..., 0]) > 128 for digit in pair]
    cropped = [ink[:, ink.any(0)] for ink in inked]
    row = np.hstack([cropped[0], np.zeros((len(cropped[0]), 3), bool), cropped[1]])
    rgba = np.full((*row.shape, 4), 255, np.uint8)
    rgba[row, :3] = 20
    rgba = np.pad(rgba, ((40, 40), (60, 60), (0, 0)), constant_values=255)
    assert len(find_marks(rgba)) == 2


SEGMENTS = {"1": "bc", "8": "abcdefg", "5": "afgcd", "3": "abgcd", "6": "afgecd"}
"""The segments of a display that are dark: a at the top, then clockwise to f, and g in the middle."""
ENDS = {"a": (0, 0, 1, 0), "b": (1, 0, 1, 1), "c": (1, 1, 1, 2), "d": (0, 2, 1, 2), "e": (0, 1, 0, 2), "f": (0, 0, 0, 1)}


def meter(digits: str, margin: int) -> np.ndarray:
    """Return a photograph of a grey plate on a dark table, with a display that is darker than the plate, uint8 (H, W, 4)."""
    gray = np.full((700, 1100), 170, np.uint8)
    cv2.rectangle(gray, (230, 200), (870, 460), 115, -1)
    cv2.rectangle(gray, (230, 200), (870, 460), 45, 7)
    for place, digit in enumerate(digits):
        for segment in SEGMENTS[digit]:
            start, end = np.array(ENDS.get(segment, (0, 1, 1, 1))).reshape(2, 2) * 72
            inset = np.sign(end - start) * 11
            corner = np.array([290 + 118 * place, 258])
            cv2.line(gray, (corner + start + inset).tolist(), (corner + end - inset).tolist(), 25, 13)
    gray = np.pad(np.pad(gray, margin, mode="edge"), 80, constant_values=60)
    noise = np.random.default_rng(0).normal(0, 3, gray.shape)
    return cv2.cvtColor((cv2.GaussianBlur(gray, (0, 0), 1.5) + noise).clip(0, 255).astype(np.uint8), cv2.COLOR_GRAY2RGBA)


@pytest.mark.parametrize("margin", [100, 150, 200])
def test_digits_of_a_display_darker_than_its_surroundings_are_found(margin: int) -> None:
    assert numbers(meter("18536", margin)) == "18536"
