"""Read picture files of every kind as RGBA, uint8 (H, W, 4), within bounds on memory and time.

A file is what its first bytes say, whatever its name. Its picture comes out upright, opaque, at most MAX_SIDE pixels long, and
with 8 bits per channel, whatever it was before.
"""

import io
import math
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import cv2
import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from mnist_fc.drawing.errors import DrawingError
from mnist_fc.drawing.file_kinds import HEAD_BYTES, identify
from mnist_fc.drawing.intensity import on_paper, scale_of, stretched
from mnist_fc.drawing.picture_headers import read_jpeg_layout, read_webp_layout
from mnist_fc.files import open_regular_file, printable, reason

MAX_BYTES = 64_000_000
MAX_SIDE = 2000
"""Pixels of the longest side of the result."""
MAX_DECODED = 88_000_000
"""Bytes that reading may hold: the decoded picture, the decoder's own buffers, and the file if the decoder needs all of it."""
MAX_WORK = 200_000_000
"""Pixels of a JPEG file times the scans over them."""
MAX_TEXT_VALUES = 4_000_000
"""Values of a PPM file whose decoder is written in Python."""
DRAFT_SIDE = 1400
"""A JPEG is shrunk while it is decoded, to half, a quarter or an eighth, but its longest side never to less than this."""
TILE = 512
"""Pixels of the longest side of the parts in which a picture is shrunk, before that."""
AVIF_BYTES = 9.5
"""Bytes per pixel that decoding an AVIF file takes, measured."""

ORIENTATION = 0x0112
"""EXIF's and TIFF's tag for how the camera was held."""
BITS_PER_SAMPLE, ROWS_PER_STRIP, TILE_WIDTH, TILE_HEIGHT = 258, 278, 322, 323
"""Tags of TIFF files."""

# What Pillow and OpenCV raise for malformed files.
MALFORMED = (
    *(OSError, SyntaxError, ValueError, RuntimeError, LookupError, TypeError, AttributeError, ArithmeticError),
    *(MemoryError, EOFError, struct.error, cv2.error),
)

# It would print a line to standard error for each malformed file.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

Box = tuple[int, int, int, int]

TURNED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda rgba: rgba,
    2: np.fliplr,
    3: lambda rgba: np.rot90(rgba, 2),
    4: np.flipud,
    5: lambda rgba: rgba.swapaxes(0, 1),
    6: lambda rgba: np.rot90(rgba, -1),
    7: lambda rgba: np.rot90(rgba, 2).swapaxes(0, 1),
    8: np.rot90,
}
"""How a picture of each orientation is turned or mirrored to be upright, as EXIF defines them."""


def load_picture(source: str | Path | BinaryIO) -> np.ndarray:
    """Return the picture in a file as opaque RGBA, uint8 (H, W, 4). A large one comes out smaller.

    `source` is a path, or a file that is open for reading bytes and seeking. Raises DrawingError if it is not a picture that can
    be read, or too large; the message says what it is and what to do.
    """
    if not isinstance(source, str | Path):
        return _load(source, "this file")
    name = printable(source)
    try:
        with open_regular_file(source) as file:
            return _load(cast(BinaryIO, file), name)
    except FileNotFoundError:
        raise DrawingError(f"the picture {name} does not exist") from None
    except IsADirectoryError:
        raise DrawingError(f"{name} is a folder; name the pictures in it") from None
    except (OSError, ValueError) as error:
        if isinstance(error, DrawingError):
            raise
        raise DrawingError(f"the picture {name} cannot be read: {reason(error)}") from None


def _load(file: BinaryIO, name: str) -> np.ndarray:
    """Return the picture in an open file that messages call `name`."""
    file_size = file.seek(0, io.SEEK_END)
    if file_size > MAX_BYTES:
        raise DrawingError(f"{name} is larger than {MAX_BYTES // 10**6} MB; make it smaller")
    file.seek(0)
    kind = identify(file.read(HEAD_BYTES))
    if kind.format is None:
        raise DrawingError(f"{name} is {kind.name}; {kind.advice}")
    try:
        with warnings.catch_warnings(action="ignore"):
            decode = _decode_webp if kind.format == "WEBP" else _decode
            small, orientation, was_deep = decode(file, file_size, kind.format, name)
    except DrawingError:
        raise
    except Image.DecompressionBombError:
        raise DrawingError(f"{name} has too many pixels; make it smaller") from None
    except MALFORMED:
        raise DrawingError(f"{name} is {kind.name}, but damaged or of an unusual kind; {kind.advice}") from None
    return _upright(stretched(on_paper(np.asarray(small.convert("RGBA"))), was_deep), orientation)


class _Decoded(NamedTuple):
    """A picture from a file."""

    small: Image.Image
    """At most MAX_SIDE pixels a side, with 8 bits per channel."""
    orientation: int
    """One of TURNED."""
    was_deep: bool
    """Whether its file had more than 8 bits per channel."""


def _decode(file: BinaryIO, file_size: int, form: str, name: str) -> _Decoded:
    """Decode a picture with Pillow. Raises DrawingError if that would take too much memory or time."""
    held = 0
    if form == "JPEG":
        layout = read_jpeg_layout(file)
        held = layout.coefficient_bytes
    file.seek(0)
    with Image.open(file, formats=[form]) as picture:
        width, height = picture.size
        if form == "JPEG":
            if width * height * layout.num_scans > MAX_WORK:
                raise _too_large(name, picture.size, form, MAX_WORK // layout.num_scans)
            scale = min(1.0, DRAFT_SIDE / max(width, height, 1))
            picture.draft(picture.mode, (math.ceil(width * scale), math.ceil(height * scale)))
        held = max(held + _decoded_bytes(picture, file_size), _shrinking_bytes(picture))
        if held > MAX_DECODED:
            raise _too_large(name, (width, height), form, width * height * MAX_DECODED // held)
        was_deep = any(";16" in str(part.args) for part in picture.tile)
        picture.load()
        return _Decoded(_shrunk(picture.size, _eight_bit_tiles(picture)), _orientation(picture.getexif), was_deep)


def _pixel_bytes(picture: ImageFile) -> int:
    """Return how many bytes Pillow holds for each pixel of a picture."""
    return 1 if picture.mode in ("1", "L", "P") else 2 if picture.mode.startswith("I;16") else 4


def _shrinking_bytes(picture: ImageFile) -> int:
    """Return how many bytes a picture and its shrunk copy take."""
    return _pixel_bytes(picture) * picture.width * picture.height + 4 * math.prod(_shrunk_size(picture.size))


def _decoded_bytes(picture: ImageFile, file_size: int) -> int:
    """Return how many bytes decoding an open picture takes at most."""
    num_pixels = picture.width * picture.height
    num_bytes = num_pixels * _pixel_bytes(picture)
    if picture.format == "AVIF":
        return round(num_pixels * AVIF_BYTES) + file_size
    decoders = {part.codec_name for part in picture.tile}
    if not decoders.isdisjoint(("ppm", "ppm_plain")):  # they are written in Python
        return num_bytes + num_pixels * len(picture.getbands()) * MAX_DECODED // MAX_TEXT_VALUES
    if isinstance(picture, TiffImageFile):
        if "libtiff" in decoders:
            num_bytes += file_size + _strip_bytes(picture)
        if picture.tag_v2.get(ORIENTATION, 1) != 1:  # Pillow turns it at full size
            num_bytes += num_pixels * _pixel_bytes(picture)
    return num_bytes


def _strip_bytes(picture: TiffImageFile) -> int:
    """Return the bytes of one strip or tile of a compressed TIFF file, which its decoder holds."""
    tags = picture.tag_v2
    width, height = int(tags.get(TILE_WIDTH, picture.width)), int(tags.get(TILE_HEIGHT, 0))
    height = height or min(picture.height, int(tags.get(ROWS_PER_STRIP, picture.height)))
    bits = tags.get(BITS_PER_SAMPLE, (1,))
    return width * height * max(1, sum(bits) // 8)


def _too_large(name: str, size: tuple[int, int], form: str, most: int) -> DrawingError:
    limit = f"{most / 1e6:.3g} million" if most >= 10**6 else f"{most:,}"
    fits_jpeg = size[0] * size[1] <= min(MAX_WORK, 2 * (Image.MAX_IMAGE_PIXELS or MAX_WORK))  # Pillow rejects twice its limit
    advice = "make it smaller, or save it as a JPEG that is not progressive" if fits_jpeg else "make it smaller"
    return DrawingError(f"{name} has {size[0]} x {size[1]} pixels; such {form} files may have at most {limit}; {advice}")


def _orientation(exif: Callable[[], Image.Exif]) -> int:
    """Return how the camera was held, by EXIF data that may be malformed: 1 to 8, and 1 if they do not say."""
    try:
        orientation = exif().get(ORIENTATION, 1)
    except MALFORMED:
        return 1
    return orientation if isinstance(orientation, int) and orientation in TURNED else 1


def _eight_bit_tiles(picture: Image.Image) -> Callable[[Box], Image.Image]:
    """Return a function that gives parts of a picture in a mode that can be averaged."""
    if picture.mode in ("L", "RGB", "RGBA", "CMYK"):
        return picture.crop
    if picture.mode == "1":
        return lambda box: picture.crop(box).convert("L")
    if picture.mode.startswith(("I", "F")):
        rows = max(1, TILE**2 // picture.width)
        boxes = ((0, top, picture.width, min(top + rows, picture.height)) for top in range(0, picture.height, rows))
        scale = scale_of((np.asarray(picture.crop(box)) for box in boxes), picture.mode == "F")
        return lambda box: Image.fromarray(scale.to_8_bits(np.asarray(picture.crop(box))))
    return lambda box: picture.crop(box).convert("RGBA")


def _shrunk_size(size: tuple[int, int]) -> tuple[int, int]:
    scale = min(1.0, MAX_SIDE / max(*size, 1))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _shrunk(size: tuple[int, int], tile_at: Callable[[Box], Image.Image]) -> Image.Image:
    """Return a picture of at most MAX_SIDE pixels a side, averaged tile by tile, so that no second copy is needed."""
    small_size = _shrunk_size(size)
    across, down = size[0] / small_size[0], size[1] / small_size[1]
    if not size[0] * size[1]:
        raise ValueError("it has no pixels")
    small: Image.Image | None = None
    tile_size = max(1, int(TILE / across)), max(1, int(TILE / down))
    for top in range(0, small_size[1], tile_size[1]):
        for left in range(0, small_size[0], tile_size[0]):
            width, height = min(tile_size[0], small_size[0] - left), min(tile_size[1], small_size[1] - top)
            box = left * across, top * down, (left + width) * across, (top + height) * down
            x, y = math.floor(box[0]), math.floor(box[1])
            tile = tile_at((x, y, min(size[0], math.ceil(box[2])), min(size[1], math.ceil(box[3]))))
            if small_size != size:
                inner = box[0] - x, box[1] - y, min(box[2] - x, tile.width), min(box[3] - y, tile.height)
                tile = tile.resize((width, height), Image.Resampling.BOX, inner)
            small = small or Image.new(tile.mode, small_size)
            small.paste(tile, (left, top))
    assert small
    return small


def _decode_webp(file: BinaryIO, file_size: int, form: str, name: str) -> _Decoded:
    """Decode a WebP picture as `_decode` does others, but with OpenCV, which takes less than half of Pillow's memory."""
    file.seek(0)
    content = file.read()
    layout = read_webp_layout(content)
    num_pixels = layout.width * layout.height
    held = round(num_pixels * layout.bytes_per_pixel) + file_size
    if held > MAX_DECODED:
        raise _too_large(name, (layout.width, layout.height), form, num_pixels * MAX_DECODED // held)
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None:
        raise ValueError("it is damaged")
    exif = Image.Exif()

    def read_exif() -> Image.Exif:
        exif.load(layout.exif)
        return exif

    order = [2, 1, 0, 3][: decoded.shape[2]]
    height, width = decoded.shape[:2]
    small = _shrunk(
        (width, height), lambda box: Image.fromarray(np.ascontiguousarray(decoded[box[1] : box[3], box[0] : box[2], order]))
    )
    return _Decoded(small, _orientation(read_exif), was_deep=False)


def _upright(rgba: np.ndarray, orientation: int) -> np.ndarray:
    """Return a picture, (H, W, 4), the way up that it is shown."""
    return np.ascontiguousarray(TURNED[orientation](rgba))
