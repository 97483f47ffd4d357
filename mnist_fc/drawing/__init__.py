"""Drawings and pictures: from strokes or pixels to the normalized 28 x 28 image that a network reads.

Start with `normalize.py`, which does what MNIST's makers did to their digits. `strokes.py` renders the canvas's
strokes, and `pictures.py` reads image files.

May import: config, records, files.
"""

from mnist_fc.drawing.normalize import to_image

__all__ = ["to_image"]
