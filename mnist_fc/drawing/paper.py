"""Tell the ink in a photograph from its paper, whatever the light, the colours and what lies around the sheet."""

from dataclasses import dataclass

import cv2
import numpy as np

from mnist_fc.drawing.intensity import on_paper
from mnist_fc.drawing.patches import with_dark_digits
from mnist_fc.drawing.pictures import no_larger_than

LONGEST_SIDE = 1400
"""Pixels to which a larger picture is shrunk."""
SHORTEST_SIDE = 400
"""Pixels to which a smaller picture's longest side is enlarged."""

PAPER_SIDE = 256
"""Pixels of the longest side at which the paper is estimated."""
PAPER_WINDOW = 0.24
"""As a share of the shorter side: wider than any stroke."""

BLOCK = 16
"""Pixels of the side of the blocks in which the noise is measured: larger than a line of ruled paper is wide."""
PAPER_LEVEL = 200
"""The level of paper in a picture divided by its paper, so that what is up to a quarter brighter is not cut off."""
MAX_COARSE = 4.0
"""Grain coarser than the window of the noise counts up to this many times the noise. More would be thick strokes."""
MIN_CONTRAST = 0.035
"""The least contrast that counts as ink without any noise: nine of 256 levels on white paper."""
MIN_STEP = 1.12
"""The ratio of brightness across three small pixels from which on the paper itself changes: light alone changes more slowly."""
MIN_EDGE = 0.4
"""The least length of such an edge, as a share of the picture's longer side: thick strokes leave shorter ones."""
NOISE_FACTOR = 3.0
"""Ink stands out if it exceeds the upper quartile of the noise by this factor."""
NOISE_WINDOW = 15
"""Small pixels: the window of the median of what deviates from the paper."""
CORNER = 0.4
"""As a share of the window of the median, which rounds the paper's corners: twice as far from its edges is what that leaves."""
MAX_NEAR_EDGES = 0.3
"""The share of a part that may lie near the edges of the paper if it is to tell dark ink from light."""
LIT = 75
"""The percentile of a board's brightness that is the light to which its darker parts are brought."""
MAX_BOARD = 150
"""The brightness, 0 to 255, of the lightest board on which ink may be light."""


@dataclass(frozen=True)
class Ink:
    """The ink of a picture at working size."""

    contrast: np.ndarray
    """How much darker (or lighter, on a board) than its paper each pixel is: float32 (h, w), 0 to 1."""
    edges: np.ndarray
    """Where the paper itself changes: at the edge of a sheet or a sharp shadow. uint8 (h, w), 0 or 1."""
    luma: np.ndarray
    """The picture's brightness, of light ink inverted: uint8 (h, w)."""
    paper: np.ndarray
    """The paper's colour, of light ink inverted: uint8 (h', w', 3), smaller."""
    scale: float
    """Pixels of the picture per pixel of the first two planes."""


def find_ink(rgba: np.ndarray) -> Ink:
    """Return the ink in a picture, uint8 (H, W, 4)."""
    height, width = rgba.shape[:2]
    longest = max(height, width)
    side = min(max(longest, SHORTEST_SIDE), LONGEST_SIDE)
    size = max(1, round(width * side / longest)), max(1, round(height * side / longest))
    if side != longest:
        rgba = _shrunk(rgba, size) if side < longest else cv2.resize(rgba, size, interpolation=cv2.INTER_LINEAR)
    rgb = np.ascontiguousarray(on_paper(rgba)[..., :3])
    rgb = with_dark_digits(cv2.GaussianBlur(rgb, (0, 0), 0.8))
    small = no_larger_than(rgb, PAPER_SIDE)
    typical = _medians(small)
    edges = _edge_zone(typical)
    is_light = _is_light_ink(small, typical, edges)
    if is_light:
        rgb = with_dark_digits(255 - rgb)  # a light label with dark digits is now a dark one with light digits
        small = no_larger_than(rgb, PAPER_SIDE)
    small_paper = _paper(small)
    paper = cv2.resize(small_paper, size, interpolation=cv2.INTER_LINEAR)
    luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    if is_light:
        gain = cv2.resize(_gain(255 - small_paper), size, interpolation=cv2.INTER_LINEAR)
        rgb, paper = _lit(rgb, gain), _lit(paper, gain)
    darkest = _darkest(cv2.divide(rgb, np.maximum(paper, 1), scale=PAPER_LEVEL))
    contrast = (1 - darkest.astype(np.float32) / PAPER_LEVEL).clip(0, 1)
    edges = cv2.resize(edges, size, interpolation=cv2.INTER_NEAREST)
    return Ink(contrast, edges, luma, small_paper, longest / side)


def _shrunk(rgba: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a picture shrunk by averaging to a width and height.

    First by a whole factor, which takes OpenCV a tenth of the time. What is left over is cut off at the right and at the bottom:
    fewer pixels than the factor.
    """
    factor = min(rgba.shape[1] // size[0], rgba.shape[0] // size[1])
    if factor > 1:
        height, width = (side // factor for side in rgba.shape[:2])
        whole = rgba[: height * factor, : width * factor]
        rgba = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.resize(rgba, size, interpolation=cv2.INTER_AREA)


def _window(plane: np.ndarray) -> int:
    return max(3, round(PAPER_WINDOW * float(min(plane.shape[:2])))) | 1


def _medians(small: np.ndarray) -> np.ndarray:
    """Return the median of each channel around each pixel: the paper or table without what is written on it."""
    return cv2.medianBlur(small, _window(small))


def _is_light_ink(small: np.ndarray, typical: np.ndarray, edges: np.ndarray) -> bool:
    """Return whether what stands out from a small picture's dark places is lighter than they are."""
    deviation = small.astype(np.float32) - typical
    noise = cv2.medianBlur(np.abs(deviation).max(2).astype(np.uint8), NOISE_WINDOW).astype(np.float32)
    stands_out = np.abs(deviation).max(2) > 3 * noise + 4
    count, parts = cv2.connectedComponents(stands_out.astype(np.uint8))
    # What lies along the edge of the sheet is its corner, or the table. Ruling and writing may cross the edge of a shadow.
    corner = round(CORNER * _window(small))
    near_edges = cv2.dilate(edges, np.ones((corner, corner), np.uint8)) > 0
    areas, near = np.bincount(parts.ravel(), minlength=count), np.bincount(parts[near_edges], minlength=count)
    is_clear = (near <= MAX_NEAR_EDGES * areas)[parts] & stands_out
    outstanding = np.where(is_clear, deviation.sum(2), 0)
    weights = np.abs(outstanding) ** 3
    brightness = float((weights * typical.mean(2)).sum()) / max(float(weights.sum()), 1e-6)
    return brightness < MAX_BOARD and float((outstanding**3).sum()) > 0


def _paper(small: np.ndarray) -> np.ndarray:
    """Return the paper's colour at each pixel of a small picture with dark ink, uint8 (h, w, 3)."""
    window = _window(small)
    padded = cv2.copyMakeBorder(cv2.medianBlur(small, 3), window, window, window, window, cv2.BORDER_REPLICATE)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (window, window)))
    closed = np.ascontiguousarray(closed[window:-window, window:-window])
    # Closing takes the brightest grains for the paper; the median says how much too bright that is.
    ratio = cv2.divide(small, np.maximum(closed, 1), scale=PAPER_LEVEL)
    corrected = cv2.multiply(closed, cv2.medianBlur(ratio, window), scale=1 / PAPER_LEVEL)
    return cv2.GaussianBlur(corrected, (0, 0), 1)


def _gain(board: np.ndarray) -> np.ndarray:
    """Return by how much the darker parts of a board, uint8 (h, w, 3), must be lit to be as bright as the others, float32 (h, w).

    Chalk in the shade is brighter than its board by the same ratio as in the light, but by fewer levels. Nothing is darkened:
    between light strokes, the board is taken for brighter than it is.
    """
    brightness = board.mean(2, dtype=np.float32) + 8
    gain: np.ndarray = np.maximum(np.percentile(brightness, LIT) / brightness, 1)
    return gain


def _lit(inverted: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Return an inverted picture, uint8 (h, w, 3), of a board that is lit this many times as much."""
    return cv2.merge([255 - cv2.multiply(255 - channel, gain, dtype=cv2.CV_8U) for channel in cv2.split(inverted)])


def _darkest(ratio: np.ndarray) -> np.ndarray:
    gray = cv2.cvtColor(ratio, cv2.COLOR_RGB2GRAY)
    result = gray
    for channel in cv2.split(ratio):
        noise = int(np.median(cv2.absdiff(channel, cv2.medianBlur(channel, 5))[::3, ::3]))
        result = np.minimum(result, cv2.add(channel, np.full(1, 2 + 3 * noise, np.uint8)))
    return result


def noise_threshold(contrast: np.ndarray, is_ruled: bool) -> np.ndarray:
    """Return the least contrast that stands out from the noise around each pixel, float32 (h, w).

    If the paper `is_ruled`, its lines do not count as noise.
    """
    levels = np.rint(contrast * 255).astype(np.uint8)
    noise = _in_blocks(cv2.absdiff(levels, cv2.medianBlur(levels, 5)), 75)
    if not is_ruled:
        # Inside a thick stroke all is dark, but smooth.
        noise = np.maximum(noise, np.minimum(_in_blocks(levels, 75), MAX_COARSE * noise))
    threshold = np.maximum(cv2.medianBlur(noise, 5) / 255 * NOISE_FACTOR, MIN_CONTRAST)
    return cv2.resize(threshold, contrast.shape[::-1], interpolation=cv2.INTER_LINEAR)


def _in_blocks(levels: np.ndarray, percentile: float) -> np.ndarray:
    """Return a percentile of each block of pixels, of which every fourth is looked at, float32."""
    rows, columns = max(1, levels.shape[0] // BLOCK), max(1, levels.shape[1] // BLOCK)
    half = BLOCK // 2
    sampled = cv2.resize(levels, (columns * half, rows * half), interpolation=cv2.INTER_NEAREST)
    blocks = sampled.reshape(rows, half, columns, half).transpose(0, 2, 1, 3).reshape(rows, columns, -1)
    result: np.ndarray = np.percentile(blocks, percentile, axis=2).astype(np.float32)
    return result


def _edge_zone(typical: np.ndarray) -> np.ndarray:
    """Return where the typical colour changes abruptly along a line of some length, uint8 (h, w), 0 or 1."""
    element = np.ones((3, 3), np.uint8)
    high, low = cv2.dilate(typical, element), cv2.erode(typical, element)
    steps = (high.astype(np.float32) + 8) / (low.astype(np.float32) + 8)
    zone = cv2.dilate((steps.max(2) > MIN_STEP).astype(np.uint8), element)
    _, parts, stats, _ = cv2.connectedComponentsWithStats(zone)
    sides = stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(1)
    is_long = sides > MIN_EDGE * max(zone.shape)
    is_long[0] = False
    return cv2.dilate(is_long[parts].astype(np.uint8), np.ones((3, 3), np.uint8))
