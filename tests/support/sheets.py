"""Pictures of a sheet of paper with lines of digits, and photographs of one kind."""

import cv2
import numpy as np

from mnist_fc.data.photographs import Photograph, photographs
from tests.support.handwriting import SHAPES, handwriting

PLAIN = {
    "writing": "pen",
    "paper": "plain",
    "ink": "black",
    "light": "even",
    "camera": "clean",
    "view": "straight",
    "table": "none",
    "frame": "none",
    "stray_mark": "none",
    "size": "small",
}
"""The conditions of a photograph in which nothing is difficult."""


def sheet(*lines: str, height: int = 60) -> np.ndarray:
    """Return black digits of a height in pixels on white paper, uint8 (h, w, 4), each of `lines` below the one before."""
    pitch, leading = round(1.1 * height), round(1.6 * height)
    size = (len(lines) * leading + height, max(map(len, lines)) * pitch + height)
    paper = np.full(size, 255, np.uint8)
    shapes = SHAPES.strip().splitlines()
    for row, line in enumerate(lines):
        for column, digit in enumerate(line):
            corner = np.array([height * 0.7 + column * pitch, height * 0.7 + row * leading])
            for stroke in shapes[int(digit)].split("|"):
                points = np.array([point.split(",") for point in stroke.split()], float) * height / 100 + corner
                cv2.polylines(paper, [np.rint(points).astype(np.int32)], False, 20, max(2, height // 10), cv2.LINE_AA)
    return cv2.cvtColor(paper, cv2.COLOR_GRAY2RGBA)


def plain_photographs(count: int, seed: int = 0, **conditions: str) -> list[Photograph]:
    """Return photographs of PLAIN conditions except for those given."""
    return list(photographs(handwriting(3), count, seed, **PLAIN | conditions))
