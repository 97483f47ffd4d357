"""Render the scene of a photograph: a sheet or board on a table, what is written on it, the light and the camera.

Everything is uint8 and of the picture's own size; the light and the table change slowly and are computed small.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np

from mnist_fc.drawing.parts import Box
from mnist_fc.drawing.strokes import FRACTION_BITS, fixed_points

Color = tuple[float, float, float]
"""RGB, each from 0 to 255."""

TILE = 1024
"""Side of the tiles of noise, in pixels. Larger pictures repeat them, which nobody sees under the light."""

SHRINK = 8
"""The light is computed at this fraction of the picture's size."""

WHITE: Color = (255, 255, 255)

TABLES: dict[str, tuple[Color, Color]] = {
    "dark wood": ((60, 36, 20), (125, 82, 50)),
    "grey": ((80, 80, 84), (150, 150, 150)),
    "light": ((185, 172, 150), (235, 230, 220)),
}
"""The darkest and the lightest colour of each table."""


@dataclass(frozen=True)
class View:
    """A camera that looks at a plane: points of the plane, in pixels of an untilted picture, become points of the picture."""

    width: int
    height: int
    turn: float = 0.0
    """Degrees in the plane of the picture."""
    tilt: tuple[float, float] = (0.0, 0.0)
    """Degrees about the horizontal and about the vertical axis."""

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return points (N, 2) of the plane as points of the picture, float64 (N, 2)."""
        (about_x, about_y), turn = np.radians(self.tilt), math.radians(self.turn)
        middle = np.array([self.width / 2, self.height / 2])
        rotate = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        x, y = ((points - middle) @ rotate.T).T
        focal_length = 1.1 * max(self.width, self.height)
        distance = 1 + (x * math.sin(about_y) + y * math.sin(about_x)) / focal_length
        seen: np.ndarray = np.stack([x * math.cos(about_y), y * math.cos(about_x)], axis=1) / distance[:, None] + middle
        return seen

    def shows_line(self, start: np.ndarray, end: np.ndarray) -> bool:
        """Return whether a part of the straight line between two points of the picture, (2,) each, is inside it."""
        (x1, y1), (x2, y2) = start.round().astype(int), end.round().astype(int)
        is_inside, _, _ = cv2.clipLine((0, 0, self.width, self.height), (x1, y1), (x2, y2))
        return is_inside


@dataclass(frozen=True)
class Mark:
    """Something written or printed: lines of a round pen, or the outlines of filled shapes, as points of the sheet."""

    lines: Sequence[np.ndarray]
    """Each (N, 2)."""
    width: float = 0.0
    """That of the pen, in pixels; 0 for filled shapes."""

    def seen(self, view: View) -> "Mark":
        """Return this mark as it appears in the picture."""
        return Mark([view.project(line) for line in self.lines], self.width)

    @property
    def box(self) -> Box:
        """Where its ink is."""
        points = np.concatenate(self.lines)
        # A pen of width 0 has edges too: antialiasing colours the pixels that the outline touches.
        low, high = np.floor(points.min(0) - self.width / 2), np.ceil(points.max(0) + self.width / 2) + 1
        return Box(int(low[0]), int(low[1]), int(high[0]), int(high[1]))


@dataclass(frozen=True)
class Ink:
    """What a pen leaves on the paper, or chalk on a board."""

    color: Color
    grain: float = 0.1
    """How much the paper's texture breaks it up, 0 to 1."""
    unevenness: float = 0.15
    """How much its darkness changes from place to place, 0 to 1."""
    is_light: bool = False
    """Chalk covers the board; ink darkens the paper."""


@dataclass
class Scene:
    """A sheet or board, what is printed on it, and the table under it. Outlines and lines are points of the sheet."""

    view: View
    paper: Color
    texture: float
    """How much the paper's brightness varies, in shares of it."""
    sheet: Box
    """The sheet's edges; those outside the picture are not seen."""
    table: str = "none"
    """"none", or one of TABLES."""
    dust: float = 0.0
    """How much wiped chalk a board has, 0 to 1."""
    printed: list[tuple[np.ndarray, Color, float]] = field(default_factory=list)
    """Printed lines: points (N, 2), colour of the ink on white paper, width in pixels."""

    @property
    def num_lines(self) -> int:
        """How many printed lines and edges of the sheet are in the picture."""
        corners = _sheet_outline(self)
        edges = zip(corners, np.roll(corners, -1, 0), strict=True) if self.table != "none" else ()
        printed = (self.view.project(points)[[0, -1]] for points, _, _ in self.printed)
        return sum(self.view.shows_line(*ends) for ends in (*edges, *printed))


@dataclass(frozen=True)
class Light:
    """The light on a scene, as shares of the picture's brightness."""

    exposure: float
    warmth: float
    """Positive is warmer: more red and less blue."""
    gradient: float = 0.0
    shadow: float = 0.0
    """How much darker it is in the shadow."""
    softness: float = 0.02
    """Width of the shadow's edge as a share of the picture's longest side."""
    vignette: float = 0.0


@dataclass(frozen=True)
class Camera:
    """What a camera adds: blur and noise in pixels and levels, and JPEG's quality."""

    blur: float
    noise: float
    quality: int


def draw_view(width: int, height: int, kind: str, random: np.random.Generator) -> View:
    """Draw how a camera is held: straight, rotated by a few degrees, or tilted by up to 15."""
    if kind == "straight":
        return View(width, height, random.uniform(-1, 1))
    if kind == "rotated":
        return View(width, height, random.uniform(2, 7) * random.choice([-1, 1]))
    tilt = random.uniform(5, 15) * random.choice([-1, 1]), random.uniform(-12, 12)
    return View(width, height, random.uniform(-4, 4), tilt if random.random() < 0.5 else tilt[::-1])


def draw_ink(kind: str, random: np.random.Generator) -> Ink:
    """Draw one of the inks of a kind: its colour and how it takes to the paper."""

    def between(*ranges: tuple[float, float]) -> Color:
        red, green, blue = (random.uniform(*each) for each in ranges)
        return red, green, blue

    grey = random.uniform(190, 222) if kind == "faint pencil" else random.uniform(130, 190)
    felt = ((10, 150, 60), (20, 20, 20), (110, 40, 150), (240, 110, 20), (30, 60, 200))
    if kind == "chalk":
        return Ink(between((190, 245), (190, 240), (160, 235)), random.uniform(0.4, 0.9), 0.35, is_light=True)
    if "pencil" in kind:
        return Ink((grey, grey, grey + 3), random.uniform(0.3, 0.7), 0.2)
    if kind == "felt-tip":
        red, green, blue = felt[random.integers(len(felt))]
        return Ink((float(red), float(green), float(blue)), 0.05, 0.2)
    colors = {
        "blue": between((15, 70), (35, 90), (130, 200)),
        "red": between((185, 230), (20, 70), (30, 70)),
        "yellow": between((245, 255), (205, 235), (0, 60)),
    }
    color = colors.get(kind) or between((12, 55), (12, 55), (12, 60))
    return Ink(color, random.uniform(0.05, 0.3), random.uniform(0.05, 0.25))


def draw_light(kind: str, is_faint: bool, random: np.random.Generator) -> Light:
    """Draw a light of a kind: bright enough for faint ink."""
    exposure, warmth = random.uniform(0.85 if is_faint else 0.65, 1), random.uniform(-0.06, 0.12)
    gradient = random.uniform(0.2, 0.4 if is_faint else 0.6) if kind == "uneven" else random.uniform(0, 0.1)
    shadow = random.uniform(0.2, 0.4 if is_faint else 0.65) if kind == "shadow" else 0.0
    vignette = random.uniform(0.3, 0.8) if kind == "vignette" else random.uniform(0, 0.1)
    softness = math.exp(random.uniform(math.log(0.003), math.log(0.06)))
    return Light(exposure, warmth, gradient, shadow, softness, vignette)


def draw_camera(kind: str, is_faint: bool, pen_width: float, random: np.random.Generator) -> Camera:
    """Draw what a camera of a kind does, without hiding lines of this width."""
    blur = random.uniform(0.15, 0.3) * pen_width if kind == "blurred" else random.uniform(0.45, 0.8)
    noise = random.uniform(4, 6 if is_faint else 11) if kind == "noisy" else random.uniform(0.8, 2.5)
    quality = random.integers(45 if is_faint else 22, 60) if kind == "compressed" else random.integers(80, 96)
    return Camera(max(blur, 0.45), noise, int(quality))


def render(
    scene: Scene, marks: Iterable[tuple[Mark, Ink]], light: Light, camera: Camera, random: np.random.Generator
) -> np.ndarray:
    """Return the photograph, uint8 (H, W, 3). The marks are given as they appear in the picture, see `Mark.seen`."""
    view = scene.view
    tooth = _tiled(_noise("tooth"), view, random)
    photo = _toned(tooth, scene.paper, scene.texture)
    if scene.dust:
        smear = _smooth_field(view, random, 6, 1 - 0.2 * scene.dust, 1)
        photo = 255 - cv2.multiply(255 - photo, cv2.merge([smear] * 3), scale=1 / 255)
    if scene.printed:
        photo = cv2.multiply(photo, _print_layer(scene, random), scale=1 / 255)
    for mark, ink in marks:
        _write(photo, mark, ink, tooth, random)
    if scene.table != "none":
        photo = _on_table(photo, scene.table, _sheet_outline(scene), view, random)
    photo = cv2.multiply(photo, _light_map(light, view, random), scale=1 / 255)
    return _through_camera(photo, camera, view, random)


@lru_cache
def _noise(kind: str) -> np.ndarray:
    """Return a tile of correlated noise, uint8 (TILE, TILE) or (TILE, TILE, 3), of mean 128 and deviation 40, that wraps."""
    random = np.random.default_rng(5)

    def blurred(sigma_x: float, sigma_y: float, channels: int = 1) -> np.ndarray:
        white = random.standard_normal((TILE, TILE, channels)).astype(np.float32)
        margin = 64
        wide = cv2.copyMakeBorder(white, margin, margin, margin, margin, cv2.BORDER_WRAP)
        smooth = cv2.GaussianBlur(wide, (0, 0), sigma_x, sigmaY=sigma_y)[margin:-margin, margin:-margin]
        unit: np.ndarray = smooth / smooth.std()
        return unit

    if kind == "sensor":
        mixed = 0.6 * blurred(0.6, 0.6, 3) + 0.8 * blurred(0.6, 0.6)[..., None]
    elif kind == "tooth":
        mixed = 0.7 * blurred(0.9, 0.9) + 0.5 * blurred(3, 2) + 0.5 * blurred(12, 12)
    else:
        mixed = 0.6 * blurred(16, 1.2) + 0.6 * blurred(40, 5) + 0.3 * blurred(1, 0.7)
    tile: np.ndarray = (128 + 40 * mixed / mixed.std()).clip(0, 255).astype(np.uint8)
    return tile


def _tiled(tile: np.ndarray, view: View, random: np.random.Generator) -> np.ndarray:
    """Return a tile repeated over the picture from a random place, contiguous."""
    shifted = np.roll(tile, random.integers(0, TILE, 2), (0, 1))
    if max(view.height, view.width) > TILE:
        down, right = max(0, view.height - TILE), max(0, view.width - TILE)
        shifted = cv2.copyMakeBorder(shifted, 0, down, 0, right, cv2.BORDER_WRAP)
    return np.ascontiguousarray(shifted[: view.height, : view.width])


def _toned(texture: np.ndarray, color: Color, amount: float) -> np.ndarray:
    """Return a texture, uint8 (H, W) around 128, as brightness of a colour, uint8 (H, W, 3)."""
    levels = np.arange(256)[:, None] / 128 - 1
    table = (np.array(color) * (1 + amount * levels)).clip(0, 255).astype(np.uint8)
    return cv2.LUT(cv2.merge([texture] * 3), table[None])


def _smooth_field(view: View, random: np.random.Generator, cells: int, low: float, high: float) -> np.ndarray:
    """Return a factor that changes slowly from place to place, uint8 (H, W), from `low` to `high` of 255."""
    values = (random.uniform(low, high, (cells, cells)) * 255).astype(np.float32)
    small = cv2.resize(values, (cells * 8, cells * 8), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    return cv2.resize(small, (view.width, view.height), interpolation=cv2.INTER_CUBIC)


def _print_layer(scene: Scene, random: np.random.Generator) -> np.ndarray:
    """Return printed lines on white, uint8 (H, W, 3), of slightly varying darkness."""
    view = scene.view
    layer = np.full((view.height, view.width, 3), 255, np.uint8)
    for points, color, width in scene.printed:
        # A line thinner than a pixel is a paler line of one pixel.
        pale = tuple(255 - (255 - channel) * min(width, 1) for channel in color)
        fixed = [fixed_points(view.project(points))]
        cv2.polylines(layer, fixed, False, pale, max(1, round(width)), cv2.LINE_AA, FRACTION_BITS)
    field = cv2.merge([_smooth_field(view, random, 9, 0.7, 1)] * 3)
    return 255 - cv2.multiply(255 - layer, field, scale=1 / 255)


def _draw(mask: np.ndarray, mark: Mark, origin: np.ndarray) -> None:
    lines = [fixed_points(line - origin) for line in mark.lines]
    if mark.width:
        cv2.polylines(mask, lines, False, 255, max(1, round(mark.width)), cv2.LINE_AA, FRACTION_BITS)
    else:
        cv2.fillPoly(mask, lines, 255, cv2.LINE_AA, FRACTION_BITS)


def _write(photo: np.ndarray, mark: Mark, ink: Ink, tooth: np.ndarray, random: np.random.Generator) -> None:
    """Put a mark on the paper, in place."""
    box = mark.box
    left, right = max(box.left - 2, 0), min(box.right + 2, photo.shape[1])
    top, bottom = max(box.top - 2, 0), min(box.bottom + 2, photo.shape[0])
    if left >= right or top >= bottom:
        return
    mask = np.zeros((bottom - top, right - left), np.uint8)
    _draw(mask, mark, np.array([left, top]))
    here = View(right - left, bottom - top)
    mask = cv2.multiply(mask, _smooth_field(here, random, 4, 1 - ink.unevenness, 1), scale=1 / 255)
    # Grain leaves out the paper's valleys: the texture's dark half.
    levels = (255 * (1 - ink.grain * (1.6 * (0.62 - np.arange(256) / 255)).clip(0, 1))).astype(np.uint8)
    mask = cv2.multiply(mask, cv2.LUT(np.ascontiguousarray(tooth[top:bottom, left:right]), levels), scale=1 / 255)
    share = np.arange(256)[:, None] / 255
    area = photo[top:bottom, left:right]
    if ink.is_light:
        table = (255 - share * np.array(ink.color)).astype(np.uint8)
        area[:] = 255 - cv2.multiply(255 - area, cv2.LUT(cv2.merge([mask] * 3), table[None]), scale=1 / 255)
    else:
        table = (255 - share * (255 - np.array(ink.color))).astype(np.uint8)
        area[:] = cv2.multiply(area, cv2.LUT(cv2.merge([mask] * 3), table[None]), scale=1 / 255)


def _sheet_outline(scene: Scene) -> np.ndarray:
    box = scene.sheet
    corners = [(box.left, box.top), (box.right, box.top), (box.right, box.bottom), (box.left, box.bottom)]
    return scene.view.project(np.array(corners))


def _on_table(photo: np.ndarray, kind: str, outline: np.ndarray, view: View, random: np.random.Generator) -> np.ndarray:
    """Return the sheet on a table, with its shadow."""
    dark, light = TABLES[kind]
    share = random.random()
    red, green, blue = (low + share * (high - low) for low, high in zip(dark, light, strict=True))
    grain = _noise("wood" if "wood" in kind or random.random() < 0.4 else "tooth")
    if random.random() < 0.5:
        grain = grain.T
    table = _toned(
        _tiled(grain, view, random),
        (red, green, blue),
        random.uniform(0.1, 0.3) if "wood" in kind else random.uniform(0.02, 0.08),
    )
    shadow = np.full((-(-view.height // SHRINK), -(-view.width // SHRINK)), 255, np.uint8)
    fallen = fixed_points(outline / SHRINK + random.uniform(-0.012, 0.012, 2) * max(shadow.shape))
    cv2.fillConvexPoly(shadow, fallen, random.uniform(140, 230), cv2.LINE_AA, FRACTION_BITS)
    blurred = cv2.resize(cv2.GaussianBlur(shadow, (0, 0), 1.2), (view.width, view.height), interpolation=cv2.INTER_CUBIC)
    table = cv2.multiply(table, cv2.merge([blurred] * 3), scale=1 / 255)
    mask = np.zeros((view.height, view.width), np.uint8)
    cv2.fillConvexPoly(mask, fixed_points(outline), 255, cv2.LINE_8, FRACTION_BITS)
    return cv2.copyTo(photo, mask, table)


def _light_map(light: Light, view: View, random: np.random.Generator) -> np.ndarray:
    """Return the brightness of the light at each pixel, uint8 (H, W, 3)."""
    height, width = -(-view.height // SHRINK), -(-view.width // SHRINK)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    longest = max(height, width)
    x, y = (x - width / 2) / longest, (y - height / 2) / longest
    angle = random.uniform(0, 2 * math.pi)
    brightness = 1 - light.gradient * (x * math.cos(angle) + y * math.sin(angle) + 0.5).clip(0, 1)
    brightness *= 1 - light.vignette * (x**2 + y**2) * 2
    if light.shadow:
        angle, bend = random.uniform(0, 2 * math.pi), random.uniform(-0.8, 0.8)
        along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
        depth = across + bend * along**2 + random.uniform(-0.2, 0.2)
        brightness *= 1 - light.shadow / (1 + np.exp(-(depth / max(light.softness, 1 / longest)).clip(-30, 30)))
    tint = np.array([1 + light.warmth, 1.0, 1 - light.warmth]) / (1 + abs(light.warmth))
    small: np.ndarray = (255 * light.exposure * brightness[..., None] * tint).clip(0, 255).astype(np.uint8)
    return cv2.resize(small, (view.width, view.height), interpolation=cv2.INTER_CUBIC)


def _through_camera(photo: np.ndarray, camera: Camera, view: View, random: np.random.Generator) -> np.ndarray:
    photo = cv2.GaussianBlur(photo, (0, 0), camera.blur)
    share = camera.noise / 40
    photo = cv2.addWeighted(photo, 1, _tiled(_noise("sensor"), view, random), share, -128 * share)
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(photo, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, camera.quality])
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB)
    assert decoded is not None
    return decoded
