"""Drawing: from strokes or the pixels of a picture to the normalized 28 x 28 image that a network reads.

Start with `normalize.py`, which does what MNIST's makers did to their digits. `picture_files.py` reads picture files,
`file_kinds.py` names those it cannot read, `pictures.py` finds the ink in a picture, and `strokes.py` parses and renders the
canvas's strokes. `photographs.py` finds the
digits in a photograph: `paper.py` tells ink from paper, `ruling.py` removes the lines of the paper, and `parts.py` leaves out
edges, frames and noise.

May import: config, records, files.
"""

from mnist_fc.drawing.normalize import to_image

__all__ = ["to_image"]
