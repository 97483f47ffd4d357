"""drawing.py: the same ink is the same image; strokes and pictures are read or refused."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mnist_fc.data import Mnist
from mnist_fc.drawing import (
    CANVAS_SIZE,
    MAX_POINTS,
    MAX_STROKES,
    MAX_WIDTH,
    DrawingError,
    Stroke,
    canvas_json,
    load_picture,
    plain_resize,
    render,
    strokes_of_canvas,
    to_image,
)
from mnist_fc.reading import Reader

SHAPES = {
    "one": [Stroke(((140, 60), (140, 220)), 20)],
    "dash": [Stroke(((60, 140), (220, 140)), 20)],
    "seven": [Stroke(((90, 80), (190, 80), (130, 220)), 20), Stroke(((115, 150), (175, 150)), 20)],
    "corner": [Stroke(((20, 20), (20, 90), (90, 90)), 12)],
    "flag": [Stroke(((60, 40), (60, 240)), 8), Stroke(((80, 60), (130, 60)), 34)],
    "dot": [Stroke(((200, 70),), 24)],
}


def moved(strokes: list[Stroke], x: float = 0, y: float = 0, scale: float = 1) -> list[Stroke]:
    middle = CANVAS_SIZE / 2
    return [
        Stroke(
            tuple((middle + (px - middle) * scale + x, middle + (py - middle) * scale + y) for px, py in stroke.points),
            stroke.width * scale,
        )
        for stroke in strokes
    ]


def image_of(strokes: list[Stroke]) -> np.ndarray:
    image = to_image(render(strokes))
    assert image is not None
    return image


def distance(left: np.ndarray, right: np.ndarray) -> float:
    """The largest difference in a pixel, when a center of mass half way between two pixels may be rounded to either."""
    shifts = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    return float(min(np.abs(np.roll(left, shift, (0, 1)) - right).max() for shift in shifts))


def painted(strokes: list[Stroke], paper: int, ink: int) -> np.ndarray:
    """The strokes in gray `ink` on opaque `paper`."""
    share = render(strokes)[..., 3] / 255
    gray = (paper + (ink - paper) * share).round().astype(np.uint8)
    return np.dstack([gray, gray, gray, np.full_like(gray, 255)])


def enlarged(image: np.ndarray) -> np.ndarray:
    """An MNIST image, uint8 (28, 28), eight times as large in the middle of a transparent canvas."""
    canvas = np.zeros((CANVAS_SIZE, CANVAS_SIZE, 4), np.uint8)
    canvas[28:252, 28:252, 3] = image.repeat(8, 0).repeat(8, 1)
    return canvas


def plain(*shape: int, value: int = 0) -> np.ndarray:
    return np.full(shape, value, np.uint8)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(("paper", "ink"), [(255, 0), (0, 255), (230, 10), (20, 250)])
def test_the_same_ink_is_the_same_image_on_any_paper(name: str, paper: int, ink: int) -> None:
    picture = to_image(painted(SHAPES[name], paper, ink))
    assert picture is not None
    # Full contrast comes to the same but for rounding; less contrast makes the ink as much fainter.
    assert distance(picture, image_of(SHAPES[name])) <= 1 / 255 + (0 if abs(paper - ink) == 255 else 0.1)


def test_colored_ink_is_ink() -> None:
    picture = painted(SHAPES["seven"], 255, 0)
    picture[..., 2] = 255  # blue
    image = to_image(picture)
    assert image is not None
    assert np.abs(image / image.max() - image_of(SHAPES["seven"])).max() < 0.02


@pytest.mark.parametrize("rgba", [plain(280, 280, 4), plain(280, 280, 4, value=255), plain(1, 1, 4), plain(3, 900, 4, value=255)])
def test_an_empty_canvas_has_no_image(rgba: np.ndarray) -> None:
    assert to_image(rgba) is None
    assert plain_resize(rgba) is None


@pytest.mark.parametrize("gray", [0, 100, 127, 128, 200, 255])
def test_a_plain_opaque_canvas_has_no_image(gray: int) -> None:
    assert to_image(painted([], gray, gray)) is None


def test_faint_noise_is_no_ink() -> None:
    noise = np.random.default_rng(0).integers(235, 256, (280, 280, 1), np.uint8).repeat(4, 2)
    noise[..., 3] = 255
    assert to_image(noise) is None


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(("x", "y"), [(7, 13), (-9, 30), (-13, -3)])
def test_where_a_drawing_is_on_the_canvas_makes_no_difference(name: str, x: float, y: float) -> None:
    assert np.array_equal(image_of(moved(SHAPES[name], x, y)), image_of(SHAPES[name]))


@pytest.mark.parametrize("name", sorted(set(SHAPES) - {"dot"}))
@pytest.mark.parametrize(("x", "y"), [(0.5, 0.25), (0.25, 0.5), (-0.3, 0.7)])
def test_moving_a_drawing_by_part_of_a_pixel_makes_hardly_any_difference(name: str, x: float, y: float) -> None:
    # Measured: at most 0.22 in one pixel, at the ends of the corner's thin lines.
    assert distance(image_of(moved(SHAPES[name], x, y)), image_of(SHAPES[name])) < 0.3


@pytest.mark.parametrize("scale", [0.5, 0.7, 1.2, 1.5])
def test_how_large_a_drawing_is_makes_hardly_any_difference(seven: list[Stroke], scale: float) -> None:
    # Measured: at most 0.06 in one pixel and 0.0025 on average, of an image that is 0.128 ink on average.
    difference = np.abs(image_of(moved(seven, scale=scale)) - image_of(seven))
    assert difference.max() < 0.1
    assert difference.mean() < 0.005


@pytest.mark.parametrize("name", SHAPES)
def test_the_longest_side_is_20_pixels_and_all_ink_is_within_the_image(name: str) -> None:
    image = image_of(SHAPES[name])
    assert image.shape == (28, 28)
    assert image.dtype == np.float32
    assert image.min() == 0
    assert 0.5 < image.max() <= 1
    rows, columns = np.nonzero(image.any(1))[0], np.nonzero(image.any(0))[0]
    assert max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1 == 20


@pytest.mark.parametrize("name", SHAPES)
def test_the_center_of_mass_is_pixel_14_14_unless_the_ink_would_leave_the_image(name: str) -> None:
    image = image_of(SHAPES[name])
    for axis in (0, 1):
        ink = image.sum(1 - axis)
        inked = np.nonzero(ink)[0]
        center = ink @ np.arange(28) / ink.sum()
        assert abs(center - 14) <= 0.5 + 1e-4 or inked[0] == 0 or inked[-1] == 27


def test_a_lopsided_drawing_is_kept_inside_the_image() -> None:
    image = image_of([Stroke(((40, 140), (240, 140)), 4), Stroke(((40, 140),), 60)])
    columns = np.nonzero(image.any(0))[0]
    assert len(columns) == 20
    assert columns[-1] == 27


def test_a_real_test_digit_enlarged_on_a_canvas_comes_back_nearly_itself(small: Mnist) -> None:
    differences = []
    for pixels in small.test_images[:100].numpy().reshape(-1, 28, 28):
        image = to_image(enlarged(pixels))
        assert image is not None
        differences.append(np.abs(image - pixels / 255).sum() / (pixels / 255).sum())
    # Measured as a share of the ink: half of the digits within 0.16, nine in ten within 0.22, the worst of 300 at 0.63.
    assert np.median(differences) < 0.2
    assert max(differences) < 0.7


def test_the_shipped_network_reads_real_test_digits_enlarged_on_a_canvas(small: Mnist) -> None:
    reader = Reader.load()
    images, labels = small.test_images[:100].numpy().reshape(-1, 28, 28), small.test_labels[:100].tolist()
    num_right = sum(reader.read(enlarged(image)).digit == label for image, label in zip(images, labels, strict=True))
    assert num_right >= 95


@pytest.mark.parametrize(
    "rgba",
    [
        plain(280, 280),
        plain(280, 280, 3),
        plain(0, 280, 4),
        np.zeros((280, 280, 4), np.float32),
        [[[0, 0, 0, 0]]],
        None,
    ],
    ids=["2-D", "RGB", "no pixels", "float", "list", "None"],
)
def test_an_array_of_another_kind_is_no_drawing(rgba: Any) -> None:
    for normalise in (to_image, plain_resize):
        with pytest.raises(DrawingError, match=r"a drawing must be uint8 \(height, width, 4\); this is "):
            normalise(rgba)


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (1, 500), (500, 1), (3, 5000)])
def test_drawings_of_any_shape_have_an_image(shape: tuple[int, int]) -> None:
    rgba = plain(*shape, 4)
    rgba[shape[0] // 2, shape[1] // 2, 3] = 100
    image = to_image(rgba)
    assert image is not None
    assert image.shape == (28, 28)


def test_the_plain_resize_leaves_the_ink_where_it_is() -> None:
    image = plain_resize(render(moved(SHAPES["seven"], -40, -30)))
    assert image is not None
    for axis, middle in ((0, (80 + 220) / 2 - 30), (1, 140 - 40)):
        inked = np.nonzero((image > 0.5).any(1 - axis))[0]
        assert (inked[0] + inked[-1] + 1) / 2 == pytest.approx(middle / 10, abs=0.6)


coordinates = st.floats(-1e6, 1e6)
strokes = st.lists(
    st.builds(Stroke, st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=10).map(tuple), st.floats(0.5, 100)),
    max_size=5,
)


@given(strokes)
def test_strokes_come_back_from_what_the_canvas_is_given(drawn: list[Stroke]) -> None:
    assert strokes_of_canvas(canvas_json(drawn)) == drawn


def test_a_curve_becomes_points_along_it() -> None:
    path = [["M", 0, 0], ["Q", 100, 0, 100, 100], ["L", 100, 200]]
    (stroke,) = strokes_of_canvas({"objects": [{"path": path, "strokeWidth": 9}]})
    assert stroke.width == 9
    assert [stroke.points[0], *stroke.points[-2:]] == [(0, 0), (100, 100), (100, 200)]
    assert (75, 25) in stroke.points  # half way
    lengths = [math.dist(a, b) for a, b in zip(stroke.points[:-2], stroke.points[1:-1], strict=True)]
    assert max(lengths) < 30


numbers = st.integers() | st.floats() | st.sampled_from([math.nan, math.inf, 10**400, 1e308, "1", "nan", None, True])
commands = st.tuples(st.sampled_from(["M", "L", "Q", "Z", "", None, 3]), *[numbers] * 2).map(list) | st.lists(numbers, max_size=6)
anything = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=6,
)
objects = st.fixed_dictionaries({"path": st.lists(commands, max_size=5) | anything, "strokeWidth": numbers | anything}) | anything


@given(anything | st.fixed_dictionaries({"objects": st.lists(objects, max_size=4) | anything}))
def test_whatever_a_browser_sends_is_strokes_that_can_be_drawn_or_a_drawing_error(sent: Any) -> None:
    try:
        drawn = strokes_of_canvas(sent)
    except DrawingError:
        return
    assert all(math.isfinite(v) for stroke in drawn for v in (stroke.width, *(c for point in stroke.points for c in point)))
    assert render(drawn, 40).shape == (40, 40, 4)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 10**400, "x", None])
@pytest.mark.parametrize("place", ["width", "point"])
def test_numbers_that_are_not_finite_are_no_drawing(bad: Any, place: str) -> None:
    path, width = [["M", 1, 2], ["L", bad if place == "point" else 3, 4]], bad if place == "width" else 5
    with pytest.raises(DrawingError, match=r"not finite|no path"):
        strokes_of_canvas({"objects": [{"path": path, "strokeWidth": width}]})


def test_as_many_strokes_as_a_hand_draws_and_no_more() -> None:
    stroke = Stroke(((1.0, 1.0), (2.0, 2.0)), 5.0)
    assert len(strokes_of_canvas(canvas_json([stroke] * MAX_STROKES))) == MAX_STROKES
    with pytest.raises(DrawingError, match=f"has {MAX_STROKES + 1} strokes; {MAX_STROKES} are read at the most"):
        strokes_of_canvas(canvas_json([stroke] * (MAX_STROKES + 1)))


def test_as_many_points_as_a_hand_draws_and_no_more() -> None:
    half = Stroke(((1.0, 1.0),) * (MAX_POINTS // 2), 5.0)
    assert len(strokes_of_canvas(canvas_json([half] * 2))) == 2
    with pytest.raises(DrawingError, match="longer than 30,000 points"):
        strokes_of_canvas(canvas_json([half, half, Stroke(((1.0, 1.0),), 5.0)]))


def test_a_stroke_without_points_and_an_unknown_command_are_no_drawing() -> None:
    for path, reason in (([], "not finite"), ([["A", 1, 2]], "path command 'A'"), ([["M", 1]], "no path")):
        with pytest.raises(DrawingError, match=reason):
            strokes_of_canvas({"objects": [{"path": path, "strokeWidth": 5}]})


@pytest.mark.parametrize("width", [2, 6, 15, 20, 34])
def test_a_straight_line_has_ink_where_it_should_and_as_wide_as_asked(width: int) -> None:
    rgba = render([Stroke(((40, 140), (240, 140)), width)])
    assert rgba.shape == (CANVAS_SIZE, CANVAS_SIZE, 4)
    assert rgba.dtype == np.uint8
    assert not rgba[..., :3].any()
    inked = rgba[..., 3] > 127
    rows, columns = np.nonzero(inked.any(1))[0], np.nonzero(inked.any(0))[0]
    assert len(rows) == pytest.approx(width, abs=1)
    assert (rows[0] + rows[-1] + 1) / 2 == pytest.approx(140, abs=1)
    assert columns[0] == pytest.approx(40 - width / 2, abs=1)
    assert columns[-1] + 1 == pytest.approx(240 + width / 2, abs=1)
    assert (rgba[140, 40:240, 3] == 255).all()


@pytest.mark.parametrize("width", [6, 20, 34])
def test_a_slanted_line_is_as_wide_as_a_straight_one(width: int) -> None:
    alpha = render([Stroke(((40, 60), (240, 200)), width)])[..., 3]
    assert alpha[140].sum() / 255 * 140 / math.hypot(200, 140) == pytest.approx(width, abs=1)


def test_a_dot_is_a_disc() -> None:
    alpha = render([Stroke(((100, 80),), 30)])[..., 3] / 255
    assert alpha.sum() == pytest.approx(math.pi * 15**2, rel=0.02)
    y, x = np.nonzero(alpha > 0.5)
    assert np.hypot(x + 0.5 - 100, y + 0.5 - 80).max() < 16


@pytest.mark.parametrize("value", [1e300, -1e300, 1e9])
def test_huge_numbers_draw_only_what_is_seen(value: float) -> None:
    assert render([Stroke(((value, value), (value, -value)), 20)])[..., 3].sum() == 0
    assert render([Stroke(((-abs(value), 140), (abs(value), 140)), 20)])[140, :, 3].min() == 255
    assert (render([Stroke(((140, 140),), abs(value))]) == render([Stroke(((140, 140),), MAX_WIDTH)])).all()


def save_picture(rgba: np.ndarray, path: Path, mode: str = "RGBA") -> Path:
    Image.fromarray(rgba).convert(mode).save(path)
    return path


@pytest.mark.parametrize(
    ("name", "mode"), [("a.png", "RGBA"), ("a.png", "RGB"), ("a.png", "L"), ("a.bmp", "RGB"), ("a.png", "P")]
)
def test_a_picture_in_a_file_is_the_same_drawing(tmp_path: Path, seven: list[Stroke], name: str, mode: str) -> None:
    picture = load_picture(save_picture(painted(seven, 255, 0), tmp_path / name, mode))
    assert picture.shape == (CANVAS_SIZE, CANVAS_SIZE, 4)
    assert picture.dtype == np.uint8
    image = to_image(picture)
    assert image is not None
    assert np.abs(image - image_of(seven)).max() < 0.02


def test_a_transparent_picture_stays_transparent(tmp_path: Path, seven: list[Stroke]) -> None:
    assert np.array_equal(load_picture(save_picture(render(seven), tmp_path / "a.png")), render(seven))


def test_a_16_bit_scan_is_the_same_drawing(tmp_path: Path, seven: list[Stroke]) -> None:
    gray = painted(seven, 240, 15)[..., 0]
    Image.fromarray(gray.astype(np.uint16) * 257).save(tmp_path / "scan.png")
    assert np.array_equal(load_picture(tmp_path / "scan.png")[..., 0], gray)


def test_a_photograph_is_read_the_way_up_that_it_is_shown(tmp_path: Path, seven: list[Stroke]) -> None:
    upright = Image.fromarray(painted(seven, 255, 0)).convert("RGB")
    turned_right = 6  # the value of EXIF's Orientation for a camera held upright
    exif = Image.Exif()
    exif[0x0112] = turned_right
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "photo.png", exif=exif)
    assert np.array_equal(load_picture(tmp_path / "photo.png")[..., :3], np.asarray(upright))


def test_a_text_with_a_pictures_name_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "seven.png").write_text("7")
    with pytest.raises(DrawingError, match=r"seven.png is no picture that can be read"):
        load_picture(tmp_path / "seven.png")


@pytest.mark.parametrize("side", [8000, 10_000, 30_000])
def test_a_small_file_with_too_many_pixels_is_refused(tmp_path: Path, side: int) -> None:
    Image.new("1", (side, side)).save(tmp_path / "bomb.png")
    assert (tmp_path / "bomb.png").stat().st_size < 200_000
    with pytest.raises(DrawingError, match=r"pixels; 50,000,000 are read at the most|no picture that can be read"):
        load_picture(tmp_path / "bomb.png")


def test_a_picture_cut_short_is_refused(tmp_path: Path, seven: list[Stroke]) -> None:
    whole = save_picture(render(seven), tmp_path / "a.png").read_bytes()
    for length in (0, 1, 20, 60, len(whole) // 2):
        (tmp_path / "a.png").write_bytes(whole[:length])
        with pytest.raises(DrawingError, match=r"a.png"):
            load_picture(tmp_path / "a.png")


def test_a_missing_picture_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(DrawingError, match=r"none.png does not exist"):
        load_picture(tmp_path / "none.png")
    with pytest.raises(DrawingError, match=r"cannot be read: .*directory"):
        load_picture(tmp_path)
