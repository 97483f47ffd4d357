"""patches.py: digits on labels, drums, keys and plates are read; everything else stays as it is."""

import cv2
import numpy as np
import pytest

from mnist_fc.drawing.patches import with_dark_digits
from mnist_fc.reading.reader import Reader, number
from tests.support.sheets import plain_photographs, sheet

WALL = (176, 168, 158)
BLACK, BLUE, RED = (18, 18, 20), (24, 38, 96), (122, 24, 30)
WHITE, YELLOW = (238, 236, 230), (246, 226, 80)


def wall(height: int = 600, width: int = 900) -> np.ndarray:
    """Return an evenly lit wall, uint8 (height, width, 3), with some noise of a camera."""
    noise = np.random.default_rng(0).normal(0, 3, (height, width, 3))
    return (np.array(WALL) + noise).clip(0, 255).astype(np.uint8)


def digits_on(paper: np.ndarray, digits: str, left: int, top: int, height: int, color: tuple[int, int, int]) -> None:
    """Write digits of a height in pixels into a picture."""
    alpha = 1 - sheet(digits, height=height)[..., :1] / 255.0
    rows, columns = np.flatnonzero(alpha.any((1, 2))), np.flatnonzero(alpha.any((0, 2)))
    alpha = alpha[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    part = paper[top : top + alpha.shape[0], left : left + alpha.shape[1]]
    part[:] = part * (1 - alpha) + np.array(color) * alpha


def drums(digits: str, dark: tuple[int, int, int] = BLACK, light: tuple[int, int, int] = WHITE) -> np.ndarray:
    """Return a picture of a counter: each digit light on a dark drum of its own."""
    rgb = wall()
    for place, digit in enumerate(digits):
        left = 80 + 120 * place
        cv2.rectangle(rgb, (left, 220), (left + 100, 360), dark, cv2.FILLED)
        digits_on(rgb, digit, left + (40 if digit == "1" else 26), 252, 74, light)
    return rgb


def plate(digits: str, height: int, frame: int = 0) -> np.ndarray:
    """Return a picture of a plate with digits of a height, and a light frame drawn on it that many pixels wide."""
    rgb = wall()
    cv2.rectangle(rgb, (100, 100), (800, 500), BLUE, cv2.FILLED)
    if frame:
        cv2.rectangle(rgb, (125, 125), (775, 475), WHITE, frame)
    digits_on(rgb, digits, 180, (600 - height) // 2, height, WHITE)
    return rgb


def badges(digits: str) -> np.ndarray:
    """Return a picture of round badges with a digit each."""
    rgb = wall()
    for place, digit in enumerate(digits):
        cv2.circle(rgb, (130 + 150 * place, 300), 62, RED, cv2.FILLED, cv2.LINE_AA)
        digits_on(rgb, digit, 130 + 150 * place - (2 if digit == "1" else 22), 268, 64, WHITE)
    return rgb


def read(rgb: np.ndarray) -> str:
    found = Reader.load().read_picture(cv2.cvtColor(cv2.GaussianBlur(rgb, (0, 0), 1), cv2.COLOR_RGB2RGBA))
    return number([each.reading for each in found])


PATCHES = {
    "drums": (drums("047283"), "047283"),
    "yellow on blue": (drums("2351", dark=BLUE, light=YELLOW), "2351"),
    "a 1 beside others": (drums("471", dark=RED), "471"),
    "plate": (plate("247", height=150), "247"),
    "plate with a frame": (plate("247", height=150, frame=6), "247"),
    "one digit": (plate("8", height=240, frame=10), "8"),
    "badges": (badges("2735"), "2735"),
    "digits with loops": (badges("906"), "906"),
}


@pytest.mark.parametrize(("rgb", "digits"), PATCHES.values(), ids=PATCHES)
def test_light_digits_on_dark_patches_are_read(rgb: np.ndarray, digits: str) -> None:
    assert read(rgb) == digits


@pytest.mark.parametrize("is_light", [False, True])
@pytest.mark.parametrize(("rgb", "digits"), PATCHES.values(), ids=PATCHES)
def test_digits_on_patches_in_a_large_picture_are_read(rgb: np.ndarray, digits: str, is_light: bool) -> None:
    picture = wall(900, 1350)
    small = cv2.resize(rgb, None, fx=0.45, fy=0.45, interpolation=cv2.INTER_AREA)
    picture[300 : 300 + small.shape[0], 400 : 400 + small.shape[1]] = small
    assert read(255 - picture if is_light else picture) == digits


def test_patches_and_dark_digits_in_one_picture_are_both_read() -> None:
    rgb = drums("4728")
    digits_on(rgb, "35", 150, 440, 74, BLACK)
    assert read(rgb) == "472835"


@pytest.mark.parametrize("darkest", [1.0, 0.65, 0.4])
def test_light_digits_on_a_shaded_board_are_all_read(darkest: float) -> None:
    rgb = wall()
    cv2.rectangle(rgb, (60, 60), (840, 540), (30, 60, 45), cv2.FILLED)
    digits_on(rgb, "24783", 120, 240, 120, WHITE)
    assert read((rgb * np.linspace(1, darkest, rgb.shape[1])[None, :, None]).astype(np.uint8)) == "24783"


def test_box_drawn_on_a_board_is_no_patch() -> None:
    rgb = np.full_like(wall(), (32, 52, 42))
    cv2.rectangle(rgb, (200, 150), (700, 450), WHITE, 5)
    digits_on(rgb, "275", 280, 230, 120, WHITE)
    assert with_dark_digits(rgb) is rgb


def solid(shape: str) -> np.ndarray:
    """Return a picture with a dark shape that has light places, none of which is a digit."""
    rgb = wall()
    if shape == "bold 0":
        cv2.ellipse(rgb, (400, 300), (90, 140), 0, 0, 360, BLACK, cv2.FILLED, cv2.LINE_AA)
        cv2.ellipse(rgb, (400, 300), (24, 90), 0, 0, 360, WALL, cv2.FILLED, cv2.LINE_AA)
    elif shape == "square 8":
        cv2.rectangle(rgb, (320, 180), (480, 440), BLACK, cv2.FILLED)
        for top in (215, 330):
            cv2.rectangle(rgb, (375, top), (425, top + 75), WALL, cv2.FILLED)
    elif shape == "ring":
        cv2.circle(rgb, (400, 300), 150, BLACK, 12, cv2.LINE_AA)
        digits_on(rgb, "5", 370, 260, 80, BLACK)
    elif shape == "housing with a display":
        cv2.rectangle(rgb, (150, 60), (750, 560), BLACK, cv2.FILLED)
        cv2.rectangle(rgb, (200, 100), (700, 300), (190, 205, 180), cv2.FILLED)
        digits_on(rgb, "2735", 270, 150, 100, BLACK)
    else:  # a domino
        cv2.rectangle(rgb, (300, 200), (560, 330), BLACK, cv2.FILLED)
        for center in ((340, 240), (390, 290), (480, 265)):
            cv2.circle(rgb, center, 16, WHITE, cv2.FILLED, cv2.LINE_AA)
    return rgb


@pytest.mark.parametrize("shape", ["bold 0", "square 8", "ring", "housing with a display", "domino"])
def test_dark_shape_without_light_digits_stays_as_it_is(shape: str) -> None:
    rgb = solid(shape)
    assert with_dark_digits(rgb) is rgb


def test_photographs_of_paper_stay_as_they_are() -> None:
    for photo in plain_photographs(4):
        rgb = np.ascontiguousarray(photo.rgba[..., :3])
        assert with_dark_digits(rgb) is rgb


def test_pictures_of_any_size_are_accepted() -> None:
    for shape in ((1, 1), (1, 50), (40, 3), (20, 20)):
        for value in (0, 128, 255):
            rgb = np.full((*shape, 3), value, np.uint8)
            assert with_dark_digits(rgb) is rgb
    odd = np.ascontiguousarray(plate("247", height=150)[1:, 1:])
    assert with_dark_digits(odd).shape == odd.shape
