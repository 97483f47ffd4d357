"""Printed digits and letters in the typefaces of a folder of fonts, drawn like pictures of single marks.

Letters are what is taken for digits most often in a photograph of print. The fonts are not shipped with the program.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from mnist_fc.data.mnist import DataError, Mnist, to_pixels
from mnist_fc.data.non_digits import NO_DIGIT
from mnist_fc.drawing.normalize import to_image
from mnist_fc.drawing.pictures import on_transparent
from mnist_fc.files import reason

DIGITS = "0123456789"
LETTERS = "ACEFGHJKLMNPRTUVWXYacdefhjkmnprtuvwxy&?@#%+*=<()" + 2 * "BDb"
"""What is not a digit in print. Letters that differ from a digit only in a detail are in it twice. Left out are those that look
like a digit in some typeface, such as I, O, Q, S, Z, g and l."""

NUM_DRAWINGS = 12
"""The number of times that each digit of each typeface is drawn for training."""

DIGITS_PER_FONT = len(DIGITS) * NUM_DRAWINGS

LETTERS_PER_OUTLIER = 5
"""The number of letters generated for each non-digit of one kind."""

MAX_TRIALS = 10
"""The number of letters drawn at most for each that is wanted: fonts have nothing to show for some."""

SUFFIXES = (".ttf", ".otf")
SIZE = 120
"""Of a font, in pixels."""
MAX_SLANT, MAX_ROTATION = 0.15, 6.0
"""In widths per height, and in degrees."""
WIDTHS = (0.75, 1.2)
"""How wide a mark is drawn, as a share of its width in the font."""

Font = ImageFont.FreeTypeFont


def load(folder: str | Path) -> list[Font]:
    """Open the fonts, .ttf and .otf, of a folder and the folders in it.

    Raises DataError if there are none, or if one is damaged or has no digits or letters.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give a folder of fonts ({', '.join(SUFFIXES)})")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise DataError(f"the folder {folder} has no fonts ({', '.join(SUFFIXES)})")
    return [_open(path) for path in paths]


def _open(path: Path) -> Font:
    try:
        font = ImageFont.truetype(path, SIZE)
        drawn = {text: bytes(font.getmask(text)) for text in (*DIGITS, *LETTERS)}  # all: in a damaged font some cannot be
    except OSError as error:
        raise DataError(f"the font {path} cannot be read: {reason(error)}") from None
    if drawn[DIGITS[0]] == drawn[DIGITS[1]] or not any(drawn[LETTERS[0]]):  # a font shows one sign for all that it lacks
        raise DataError(f"the font {path} has no digits or letters; remove it from the folder")
    return font


def digits(fonts: Sequence[Font], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each digit of each font, drawn NUM_DRAWINGS times: images, float32 (N, 28, 28), and labels, int64 (N,)."""
    random = np.random.default_rng(seed)
    drawn = [(draw(font, text, random), int(text)) for _ in range(NUM_DRAWINGS) for font in fonts for text in DIGITS]
    images, labels = zip(*((image, label) for image, label in drawn if image is not None), strict=True)
    return np.stack(images), np.array(labels, np.int64)


def letters(fonts: Sequence[Font], count: int, seed: int) -> np.ndarray:
    """Return letters and signs of fonts and pairs of them, float32 (count, 28, 28). Raises DataError if most are blank."""
    random = np.random.default_rng(seed)
    images: list[np.ndarray] = []
    for _ in range(MAX_TRIALS * count):
        if len(images) == count:
            return np.stack(images)
        font = fonts[int(random.integers(len(fonts)))]
        text = "".join(random.choice(list(LETTERS), random.choice([1, 2], p=[0.85, 0.15])))
        if (image := draw(font, text, random)) is not None:
            images.append(image)
    raise DataError("most letters of the fonts are blank; remove fonts without letters from the folder")


def draw(font: Font, text: str, random: np.random.Generator) -> np.ndarray | None:
    """Draw text at random and normalize it, float32 (28, 28); None if the font has nothing to show for it."""
    picture = Pillow.new("L", (SIZE * 3, SIZE * 2))
    ImageDraw.Draw(picture).text((SIZE * 1.5, SIZE), text, font=font, fill=255, anchor="mm")
    return distorted(np.array(picture), random)


def distorted(plane: np.ndarray, random: np.random.Generator) -> np.ndarray | None:
    """Turn, slant and stretch ink, uint8 (2 SIZE, 3 SIZE), at random, and normalize it, float32 (28, 28); None if it is blank."""
    slant, turn = random.uniform(-MAX_SLANT, MAX_SLANT), random.uniform(-MAX_ROTATION, MAX_ROTATION)
    change = cv2.getRotationMatrix2D((SIZE * 1.5, SIZE), turn, 1.0)
    change[:, :2] = change[:, :2] @ np.array([[random.uniform(*WIDTHS), slant], [0.0, 1.0]])
    middle = np.array([SIZE * 1.5, SIZE])
    change[:, 2] = middle - change[:, :2] @ middle
    return to_image(on_transparent(cv2.warpAffine(plane, change, plane.shape[::-1])))


def add_to(mnist: Mnist, fonts: Sequence[Font], seed: int = 0) -> Mnist:
    """Return MNIST with the printed digits among its training images; none is used for validation."""
    images, labels = digits(fonts, seed)
    return mnist.with_added(to_pixels(images), torch.from_numpy(labels))


def add_letters_to(mnist: Mnist, fonts: Sequence[Font], count: int, seed: int = 0) -> Mnist:
    """Return MNIST with `count` letters among its training images, as an eleventh class; none is used for validation."""
    added = torch.full([count], NO_DIGIT)
    return replace(mnist.with_added(to_pixels(letters(fonts, count, seed)), added), num_classes=NO_DIGIT + 1)
