"""What is found in a picture, for the command `predict`: fields for JSON, and a copy of the picture with boxes."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mnist_fc.config import ConfigError
from mnist_fc.files import atomic_write, printable, reason
from mnist_fc.reading.reader import FoundDigit, Reading, number, numbers

BLUE, ORANGE, WHITE = (29, 78, 216), (180, 84, 15), (255, 255, 255)
LINES_PER_SIDE = 400
"""The longest side of an annotated picture is this many times as long as the lines of its boxes are wide."""

ANNOTATED = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""The formats in which annotated pictures are written, by the file's suffix."""
QUALITY = 90
"""Of those that lose detail: boxes and thin strokes stay clear."""


def reading_fields(reading: Reading) -> dict[str, Any]:
    """Return the fields of a reading for JSON."""
    return {name: getattr(reading, name) for name in ("digit", "probabilities", "runner_up", "problem")}


def box_fields(rgba: np.ndarray, found: Sequence[FoundDigit]) -> dict[str, Any]:
    """Return the lines and boxes of a picture, uint8 (H, W, 4), for JSON.

    Places are [left, top, right, bottom] as shares of the picture's sides.
    """
    height, width = rgba.shape[:2]
    return {
        "lines": numbers(found, [each.reading for each in found]),
        "boxes": [
            {
                "box": [round(side / length, 4) for side, length in zip(each.box, (width, height) * 2, strict=True)],
                "line": each.line,
                "after_point": each.after_point,
                **reading_fields(each.reading),
            }
            for each in found
        ],
    }


def check_annotated(path: str | Path, picture: str | Path) -> None:
    """Raise ConfigError unless an annotated copy of `picture` can be written to `path` without harm to other files."""
    name = printable(path)
    if Path(path).suffix.lower() not in ANNOTATED:
        raise ConfigError(f"{name} is not the name of a picture; end it with {', '.join(ANNOTATED)}")
    if not os.path.exists(path):
        if not Path(path).absolute().parent.is_dir():
            raise ConfigError(f"{name} cannot be written: there is no folder {printable(Path(path).parent)}")
        return
    if not os.path.isfile(path):
        raise ConfigError(f"{name} exists and is not a file; give --annotate another name")
    if os.path.exists(picture) and os.path.samefile(path, picture):
        raise ConfigError(f"{name} is the picture to read; give --annotate another name")


def save_annotated(path: str | Path, rgba: np.ndarray, found: Sequence[FoundDigit]) -> None:
    """Write an opaque picture, uint8 (H, W, 4), with a box and its reading at each digit, in the format of the path's suffix.

    The path has passed `check_annotated`. Raises ConfigError if the file cannot be written.
    """
    picture = Image.fromarray(rgba).convert("RGB")
    draw = ImageDraw.Draw(picture)
    line = max(1, max(picture.size) // LINES_PER_SIDE)
    for each in found:
        box, color = each.box, ORANGE if each.reading.digit is None else BLUE
        draw.rectangle((box.left - line, box.top - line, box.right + line, box.bottom + line), outline=color, width=line)
        font = ImageFont.load_default(max(10, min(8 * line, box.height // 2)))
        text = number([each.reading])
        corner = (box.left, max(box.top - font.getbbox(text)[3] - 2 * line, 0))
        draw.rectangle(draw.textbbox(corner, text, font), fill=color)
        draw.text(corner, text, WHITE, font)
    form = ANNOTATED[Path(path).suffix.lower()]
    try:
        atomic_write(Path(os.path.realpath(path)), lambda file: picture.save(file, form, quality=QUALITY))  # a link stays a link
    except OSError as error:
        raise ConfigError(f"{printable(path)} cannot be written: {reason(error)}") from None
