"""The outlines of printed and of seven-segment digits."""

from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

FACES = ("regular", "light", "bold", "italic")
"""Pillow's font and, with slashed zeros, two of OpenCV's, one of them also bold."""

SEVEN_SEGMENT = "seven-segment"
SEGMENTS = ("abcdef", "bc", "abdeg", "abcdg", "bcfg", "acdfg", "acdefg", "abc", "abcdefg", "abcdfg")
"""The segments of each digit: a at the top, then clockwise; g in the middle."""

TYPEFACES = (*FACES, SEVEN_SEGMENT)
"""A typeface counts as a writer: number -1 is the first, -2 the second."""


@lru_cache
def outlines(face: str, label: int) -> list[np.ndarray]:
    """Return the outlines of a printed digit, each (N, 2), also of its holes, in any unit."""
    if face == SEVEN_SEGMENT:
        return _seven_segment(label)
    if face == "regular":
        picture = Image.new("L", (300, 300))
        ImageDraw.Draw(picture).text((60, 20), str(label), font=ImageFont.load_default(200), fill=255)
        mask = np.array(picture)
    else:
        mask = np.zeros((300, 300), np.uint8)
        font = cv2.FONT_HERSHEY_SCRIPT_SIMPLEX if face == "italic" else cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(mask, str(label), (60, 240), font, 8, 255, 1 if face == "light" else 6, cv2.LINE_AA)
    contours, _ = cv2.findContours((mask > 127).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_TC89_L1)
    return [contour.reshape(-1, 2).astype(np.float64) for contour in contours]


def _seven_segment(label: int) -> list[np.ndarray]:
    """Return the segments of a digit as hexagons, on a display 10 wide and 18 high."""
    ends = {
        "a": ((1, 1), (9, 1)),
        "b": ((9, 1), (9, 9)),
        "c": ((9, 9), (9, 17)),
        "d": ((1, 17), (9, 17)),
        "e": ((1, 9), (1, 17)),
        "f": ((1, 1), (1, 9)),
        "g": ((1, 9), (9, 9)),
    }
    hexagons = []
    for name in SEGMENTS[label]:
        start, end = (np.array(point, float) for point in ends[name])
        along = (end - start) / 8
        across, near, far = along[::-1], start + along * 0.3, end - along * 0.3
        hexagons.append(
            np.array([near, near + along + across, far - along + across, far, far - along - across, near + along - across])
        )
    return hexagons
