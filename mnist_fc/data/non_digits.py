"""Generate images that are not digits: scribbles, letters and signs, shapes, textures, pictures, scrambled digits.

The rule that says "not a digit" is fitted to these; see rejection.py. Letters and signs that resemble some hand's digits are
left out, such as B, I, O, S, Z, g, l, the square, the bar and the hook.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import torch

from mnist_fc.config import NUM_CLASSES, TrainConfig
from mnist_fc.data.mnist import Mnist, split_validation, to_pixels
from mnist_fc.drawing.normalize import normalize_all, resize_canvas, to_image
from mnist_fc.drawing.pictures import on_transparent
from mnist_fc.drawing.strokes import CANVAS_SIZE, MAX_WIDTH, Stroke, place, render, rotation

SIGNS = """
A 0,10 4,0 8,10|2,6 6,6
cent 8,2 5,0 1,2 0,5 1,8 5,10 8,8|5,0 5,10
E 8,0 0,0 0,10 8,10|0,5 6,5
F 8,0 0,0 0,10|0,5 6,5
G 8,2 5,0 1,2 0,5 1,8 5,10 8,8 8,5 5,5 8,5 8,10
H 0,0 0,10|8,0 8,10|0,5 8,5
K 0,0 0,10|8,0 0,6|2,4 8,10
M 0,10 1,0 5,7 9,0 10,10
N 0,10 0,0 8,10 8,0
PR 0,10 0,0 6,0 8,2 6,5 0,5 8,10
R 0,10 0,0 6,0 8,2 6,5 0,5|3,5 8,10
T 0,0 9,0|4,0 5,10
W 0,0 2,10 5,3 8,10 10,0
X 0,0 8,10|8,0 0,10
a 7,3 4,2 1,4 1,8 4,10 7,7 7,2 7,10 9,10
e 1,6 7,6 7,3 4,2 1,4 1,8 4,10 8,8
f 7,1 5,0 3,2 3,10|0,4 6,4
k 0,0 0,10|5,4 0,7 6,10
m 0,10 0,3 2,3 4,5 4,10 4,5 6,3 8,5 8,10
n 0,10 0,3 1,5 4,3 6,5 6,10
r 0,10 0,3 0,5 3,3 5,4
w 0,3 2,10 4,5 6,10 8,3
plus 5,0 5,10|0,5 10,5
star 2,10 5,0 8,10 0,4 10,4 2,10
asterisk 5,0 5,10|1,2 9,8|9,2 1,8
hash 3,0 2,10|7,0 6,10|0,3 10,3|0,7 10,7
heart 5,10 0,4 1,1 4,1 5,3 6,1 9,1 10,4 5,10
house 0,10 0,4 5,0 10,4 10,10 0,10
triangle 0,9 5,0 10,9 0,9
tick 0,5 3,9 10,0
arrow 0,5 10,5|6,1 10,5 6,9
equals 0,3 10,3|0,7 10,7
percent 2,1 1,2 2,3 3,2 2,1|9,0 1,10|8,7 7,8 8,9 9,8 8,7
at 7,4 5,3 3,5 4,7 7,6 7,3 8,7 10,4 8,1 4,0 1,2 0,6 2,9 6,10 9,9
infinity 5,5 2,3 0,5 2,7 5,5 8,3 10,5 8,7 5,5
face 5,0 1,2 0,5 1,8 5,10 9,8 10,5 9,2 5,0|3,4 3,4|7,4 7,4|3,7 5,8 7,7
question 1,2 4,0 7,2 4,5 4,7|4,10 4,10
exclamation 4,0 4,6|4,9 4,9|7,0 7,6|7,9 7,9
pi 0,3 10,3|3,3 2,10|7,3 8,10
sigma 9,1 0,0 5,5 0,10 9,9
wave 0,5 2,2 4,8 6,2 8,8 10,5
lightning 6,0 1,6 6,5 2,10 9,3 4,4 8,0
cross 3,0 3,10|7,0 7,10|0,5 10,5
"""

NO_DIGIT = NUM_CLASSES
"""The class of images that are not digits, after the ten."""

Random = np.random.Generator
Plane = np.ndarray


def generate(count: int, seed: int, kinds: tuple[str, ...] = ()) -> np.ndarray:
    """Return images that are not digits, float32 (count, 28, 28), taking turns among `kinds`, by default all GENERATORS."""
    random = np.random.default_rng(seed)
    makers = [GENERATORS[name] for name in kinds or GENERATORS]
    images: list[np.ndarray] = []
    while len(images) < count:
        rgba = makers[len(images) % len(makers)](random)
        # Mostly normalized as a drawing is; sometimes only resized, as small pictures are.
        image = resize_canvas(rgba) if random.random() < 0.15 else to_image(rgba)
        if image is not None:
            images.append(image)
    return np.stack(images)


def _on_canvas(strokes: list[Plane], random: Random) -> Plane:
    """Draw strokes in any unit, each (points, 2), in a random place on the canvas with a random brush."""
    size = random.uniform(0.3, 0.85) * CANVAS_SIZE
    width = random.uniform(6, min(34, size / 5))
    return render(place(strokes, size, width, random.uniform(0.2, 0.8, 2)))


def _smooth(points: Plane, num_points: int = 80) -> Plane:
    """Return a curve through (points, 2), (num_points, 2): Catmull & Rom 1974."""
    ends = np.concatenate([points[:1], points, points[-1:]])
    t = np.linspace(0, len(points) - 1 - 1e-6, num_points)
    i, u = t.astype(int), (t % 1)[:, None]
    a, b, c, d = ends[i], ends[i + 1], ends[i + 2], ends[i + 3]
    curve: Plane = 0.5 * (2 * b + (c - a) * u + (2 * a - 5 * b + 4 * c - d) * u**2 + (3 * b - a - 3 * c + d) * u**3)
    return curve


def _turned(points: Plane, random: Random, degrees: float) -> Plane:
    """Return (points, 2), rotated, slanted and stretched at random, about as one hand differs from another."""
    turn = rotation(random.uniform(-degrees, degrees))
    slant = np.array([[random.uniform(0.6, 1.1), 0], [random.uniform(-0.3, 0.3), 1]])
    turned: Plane = points @ slant @ turn
    return turned


def _scribble(random: Random) -> Plane:
    """Draw one or two long curves through many random points."""
    spread = random.uniform(0.4, 1, 2)
    return _on_canvas(
        [_smooth(random.random((random.integers(7, 22), 2)) * spread, 200) for _ in range(random.integers(1, 3))], random
    )


def _curves(random: Random) -> Plane:
    """Draw a few short curves that cross each other."""
    return _on_canvas([_smooth(random.random((4, 2)), 40) for _ in range(random.integers(2, 7))], random)


def _wander(random: Random) -> Plane:
    """Draw the random walk of a pen, which crosses its own path."""
    num_points = random.integers(60, 300)
    turns = np.cumsum(random.normal(0, random.uniform(0.1, 0.9), num_points)) + random.uniform(-0.2, 0.2) * np.arange(num_points)
    return _on_canvas([np.cumsum(np.stack([np.cos(turns), np.sin(turns)], 1), 0)], random)


def _lines(random: Random) -> Plane:
    """Draw straight lines between random points, in one stroke or in several."""
    points = random.random((random.integers(6, 14), 2))
    strokes = [points] if random.random() < 0.5 else list(points[: len(points) // 2 * 2].reshape(-1, 2, 2))
    return _on_canvas(strokes, random)


def _hatching(random: Random) -> Plane:
    """Draw a zigzag, as if to fill an area."""
    count = random.integers(5, 16)
    along, across = np.linspace(0, 1, count), np.arange(count) % 2 * random.uniform(0.4, 2)
    points = np.stack([along, across], 1) + random.normal(0, 0.06, (count, 2))
    if random.random() < 0.5:
        points = _smooth(points, 160)
    return _on_canvas([_turned(points, random, 180)], random)


def _loops(random: Random) -> Plane:
    """Draw a spiral, a spring, a knot or a cloud."""
    t = np.linspace(0, 2 * math.pi, 160)
    kind = random.integers(4)
    if kind == 0:
        rounds = random.uniform(2.2, 5)
        points = t[:, None] * np.stack([np.cos(rounds * t), np.sin(rounds * t)], 1)
    elif kind == 1:
        windings = random.integers(3, 8)
        points = np.stack([t * random.uniform(0.5, 1) + np.cos(windings * t), np.sin(windings * t) * 1.5], 1)
    elif kind == 2:
        a, b = random.choice([(1, 3), (2, 3), (3, 2), (3, 4), (3, 1), (5, 3), (2, 5)])
        points = np.stack([np.sin(a * t + random.uniform(0, 3)), np.sin(b * t)], 1)
    else:
        petals = random.integers(3, 9)
        radius = 1 + random.uniform(0.25, 0.9) * np.sin(petals * t)
        points = radius[:, None] * np.stack([np.cos(t), np.sin(t)], 1)
    return _on_canvas([_turned(points, random, 180)], random)


def _sign(random: Random) -> Plane:
    """Draw a letter or a sign with an unsteady hand."""
    strokes = _SIGNS[random.integers(len(_SIGNS))]
    shaky = [stroke + random.normal(0, 0.45, stroke.shape) for stroke in strokes]
    if random.random() < 0.4:
        shaky = [_smooth(stroke, 60) for stroke in shaky]
    sizes = [len(stroke) for stroke in shaky]
    turned = _turned(np.concatenate(shaky), random, 12)
    return _on_canvas(np.split(turned, np.cumsum(sizes)[:-1]), random)


def _word(random: Random) -> Plane:
    """Draw two or three signs beside each other."""
    strokes, x = [], 0.0
    for index in random.integers(len(_SIGNS), size=random.integers(2, 4)):
        strokes += [np.array([x, 0]) + stroke + random.normal(0, 0.4, stroke.shape) for stroke in _SIGNS[index]]
        x += 11
    return _on_canvas(strokes, random)


def _dots(random: Random) -> Plane:
    """Draw one to nine dots."""
    num_dots = random.choice([1, 1, 2, 3, 4, 6, 9])
    width = random.uniform(8, MAX_WIDTH)
    places = random.uniform(0.1, 0.9, (num_dots, 2)) * CANVAS_SIZE
    steps = random.normal(0, random.choice([0.5, 4, 8]), (num_dots, 2, 2)).cumsum(1)
    return render([Stroke(tuple(map(tuple, place + step)), width) for place, step in zip(places, steps, strict=True)])


def _silhouette(random: Random) -> Plane:
    """Draw a filled, mostly symmetric shape, plain or with an inner structure, like clothes, cars, leaves and stones."""
    plane: Plane = np.zeros((CANVAS_SIZE, CANVAS_SIZE), np.uint8)
    half = random.integers(3, 9)
    heights = np.sort(random.uniform(0, 1, half))
    widths = np.abs(random.normal(0.3, 0.2, half)) + 0.03
    left, right = np.stack([-widths, heights], 1), np.stack([widths * random.uniform(0.8, 1.2), heights], 1)
    outline = np.concatenate([left, right[::-1]])
    if random.random() < 0.5:
        outline = random.normal(0, 0.4, (random.integers(3, 10), 2))
    outline = _turned(outline - outline.mean(0), random, random.choice([10, 180]))
    outline *= random.uniform(0.5, 0.9) * CANVAS_SIZE / max(float(np.ptp(outline, 0).max()), 1e-6)
    outline += CANVAS_SIZE / 2 - (outline.max(0) + outline.min(0)) / 2
    cv2.fillPoly(plane, [outline.round().astype(np.int32)], int(random.integers(130, 256)))
    shade = random.choice(["none", "texture", "slit", "outline"])
    if shade == "texture":
        plane = (plane * (0.3 + 0.7 * _noise(random, random.uniform(2, 30)))).astype(np.uint8)
    elif shade == "slit":
        x = int(CANVAS_SIZE * random.uniform(0.4, 0.6))
        plane[int(CANVAS_SIZE * random.uniform(0.1, 0.6)) :, x : x + random.integers(4, 40)] = 0
    elif shade == "outline":
        edge = int(random.integers(5, 21))
        plane = plane - cv2.erode(plane, np.ones((edge, edge), np.uint8))
        start, end = random.integers(40, 240, (2, 2)).tolist()
        cv2.line(plane, start, end, 255, int(random.integers(6, 20)))
    return on_transparent(plane[1:-1, 1:-1])


def _noise(random: Random, blur: float) -> Plane:
    """Return random brightness, (280, 280) in [0, 1], smooth over `blur` pixels."""
    noise = cv2.GaussianBlur(random.normal(0, 1, (CANVAS_SIZE, CANVAS_SIZE)).astype(np.float32), (0, 0), blur)
    low, high = np.percentile(noise, [1, 99])
    scaled: Plane = ((noise - low) / (high - low)).clip(0, 1)
    return scaled


def _texture(random: Random) -> Plane:
    """Draw clouds, grains, stripes or checks, on all of the canvas or a part of it."""
    y, x = np.mgrid[:CANVAS_SIZE, :CANVAS_SIZE] / CANVAS_SIZE
    kind = random.integers(3)
    if kind == 0:
        plane = _noise(random, random.uniform(3, 25))
    else:
        angle, pitch = random.uniform(0, math.pi), random.uniform(3, 12) * 2 * math.pi
        plane = 0.5 + 0.5 * np.sin(pitch * (x * math.cos(angle) + y * math.sin(angle)))
        if kind == 2:
            plane = plane * (0.5 + 0.5 * np.sin(pitch * (y * math.cos(angle) - x * math.sin(angle))))
    if random.random() < 0.5:
        plane = plane > random.uniform(0.4, 0.7)
    if random.random() < 0.6:
        radius = random.uniform(0.25, 0.5, 2)
        plane = plane * (((x - 0.5) / radius[0]) ** 2 + ((y - 0.5) / radius[1]) ** 2 < 1)
    return on_transparent((plane[1:-1, 1:-1] * 255).astype(np.uint8))


def _parse_signs() -> list[list[Plane]]:
    signs = [line.split(" ", 1)[1] for line in SIGNS.strip().splitlines()]
    return [[np.array([p.split(",") for p in stroke.split()], float) for stroke in sign.split("|")] for sign in signs]


_SIGNS = _parse_signs()

GENERATORS: dict[str, Callable[[Random], Plane]] = {
    "scribbles": _scribble,
    "curves": _curves,
    "wanderings": _wander,
    "lines": _lines,
    "hatchings": _hatching,
    "loops": _loops,
    "signs": _sign,
    "words": _word,
    "dots": _dots,
    "silhouettes": _silhouette,
    "textures": _texture,
}
"""The function that draws each kind, uint8 (280, 280, 4)."""


def add_to(mnist: Mnist, count: int, config: TrainConfig) -> Mnist:
    """Return MNIST with an eleventh class: `count` non-digits of each kind, and three times as many scrambled digits.

    Half of the digits that a run with `config` trains on are added again, normalized as drawings of them would be. None of the
    added images is used for validation, and none is derived from a validation image.
    """
    labels = mnist.train_labels[: len(mnist.train_labels) - mnist.num_added]
    trained, _ = split_validation(labels, config.num_validation, config.seed)
    again = trained[: len(trained) // 2]
    digits = normalize_all(map(on_transparent, mnist.train_images[again].view(-1, 28, 28).numpy()))
    whole = mnist.train_images[trained[: 3 * count]].view(-1, 28, 28).numpy() / np.float32(255)
    others = np.concatenate([generate(count * len(GENERATORS), config.seed), scramble_digits(whole, config.seed)])
    added = torch.cat([mnist.train_labels[again], torch.full([len(others)], NO_DIGIT)])
    return replace(mnist.with_added(to_pixels(np.concatenate([digits, others])), added), num_classes=NO_DIGIT + 1)


def scramble_digits(images: np.ndarray, seed: int) -> np.ndarray:
    """Turn digits, float32 (N, 28, 28), into as many non-digits: with quarters exchanged, or with another digit on top."""
    random = np.random.default_rng(seed)
    others = images[random.permutation(len(images))].swapaxes(1, 2)
    shifts = random.integers(-5, 6, len(images))
    overlaid = np.maximum(images, np.stack([np.roll(other, shift, 1) for other, shift in zip(others, shifts, strict=True)]))
    order = random.permuted(np.tile(np.arange(4), (len(images), 1)), axis=1)
    quarters = images[:, 4:24, 4:24].reshape(-1, 2, 10, 2, 10).swapaxes(2, 3).reshape(-1, 4, 10, 10)
    changed = np.take_along_axis(quarters, order[:, :, None, None], 1)
    shuffled = np.zeros_like(images)
    shuffled[:, 4:24, 4:24] = changed.reshape(-1, 2, 2, 10, 10).swapaxes(2, 3).reshape(-1, 20, 20)
    # A 1 upside down is a 1.
    is_another = np.abs(shuffled - images).sum((1, 2)) > 0.6 * images.sum((1, 2))
    takes_quarters = is_another & (random.random(len(images)) < 0.5)
    return np.where(takes_quarters[:, None, None], shuffled, overlaid)
