"""Read from the headers of JPEG and WebP files what decoding them will cost, and how the picture was held."""

import re
from dataclasses import dataclass
from typing import BinaryIO

MAX_SEGMENTS = 5000
"""Of a JPEG file, and of the chunks of a WebP file. Real ones have tens."""

_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_END, _SCAN = 0xD9, 0xDA
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_BUFFER = 2**16


@dataclass
class JpegLayout:
    """What decoding a JPEG file will cost."""

    num_scans: int = 0
    """Passes over the picture, up to its end. An embedded thumbnail and what follows the picture do not count."""
    coefficient_bytes: int = 0
    """What the decoder holds at full size if it must see several scans before it can show a row."""


@dataclass
class WebpLayout:
    """What decoding a WebP file will cost, and its EXIF data."""

    width: int = 0
    height: int = 0
    bytes_per_pixel: float = 6.5
    """That decoding takes at most, measured: more if the picture is lossless, transparent or animated."""
    exif: bytes = b""


def read_jpeg_layout(file: BinaryIO) -> JpegLayout:
    """Return the layout of a JPEG file up to its end marker; a film may follow. Raises ValueError for too many segments."""
    layout = JpegLayout()
    frame_bytes, num_components, is_progressive = 0, 0, False
    file.seek(2)
    for _ in range(MAX_SEGMENTS):
        marker = _next_marker(file)
        if marker in (None, _END):
            return layout
        if marker in _WITHOUT_LENGTH:
            continue
        length = int.from_bytes(file.read(2), "big")
        start = file.tell()
        if marker in _FRAMES:
            is_progressive = marker in _PROGRESSIVE
            frame_bytes, num_components = _frame_size(file.read(max(0, length - 2)))
        elif marker == _SCAN:
            layout.num_scans += 1
            (num_in_scan,) = file.read(1) or b"\0"
            if is_progressive or num_in_scan < num_components:
                layout.coefficient_bytes = frame_bytes
        file.seek(start + max(0, length - 2))
    raise ValueError("it has too many segments")


def _next_marker(file: BinaryIO) -> int | None:
    """Move behind the next marker and return it; None at the end of the file. The picture's own data are skipped."""
    while part := file.read(_BUFFER):
        if found := _MARKER.search(part):
            file.seek(found.end() - len(part), 1)
            return part[found.end() - 1]
        if part.endswith(b"\xff") and len(part) > 1:
            file.seek(-1, 1)
    return None


def _frame_size(segment: bytes) -> tuple[int, int]:
    """Return the bytes of all coefficients, two each, and the number of components of a frame's header."""
    height, width = int.from_bytes(segment[1:3], "big"), int.from_bytes(segment[3:5], "big")
    sampling = [(byte >> 4, byte & 15) for byte in segment[7::3]]
    across = max((h for h, _ in sampling), default=1) or 1
    down = max((v for _, v in sampling), default=1) or 1
    num_units = -(-width // (8 * across)) * -(-height // (8 * down))
    return num_units * sum(h * v for h, v in sampling) * 64 * 2, len(sampling)


def read_webp_layout(content: bytes) -> WebpLayout:
    """Return the layout of a WebP file: the largest size that any of its chunks states. Raises ValueError if none does."""
    layout = WebpLayout()
    place = 12
    for _ in range(MAX_SEGMENTS):
        name, length = content[place : place + 4], int.from_bytes(content[place + 4 : place + 8], "little")
        if len(name) < 4:
            break
        head = content[place + 8 : place + 18]
        number = int.from_bytes(head[1:5], "little")
        match name:
            case b"VP8X":
                size = int.from_bytes(head[4:7], "little") + 1, int.from_bytes(head[7:10], "little") + 1
            case b"VP8L":
                size = (number & 0x3FFF) + 1, (number >> 14 & 0x3FFF) + 1
            case b"VP8 ":
                size = int.from_bytes(head[6:8], "little") & 0x3FFF, int.from_bytes(head[8:10], "little") & 0x3FFF
            case _:
                size = 0, 0
        layout.width, layout.height = max(layout.width, size[0]), max(layout.height, size[1])
        if name in (b"VP8L", b"ALPH"):
            layout.bytes_per_pixel = max(layout.bytes_per_pixel, 9.5)
        elif name == b"ANMF":  # the decoder of animations holds two canvases
            layout.bytes_per_pixel = 20
        elif name == b"EXIF":
            layout.exif = content[place + 8 : place + 8 + length].removeprefix(b"Exif\0\0")
        place += 8 + length + length % 2
    if not layout.width * layout.height:
        raise ValueError("it states no size")
    return layout
