"""Data: MNIST, random distortions of it, digits written with a pen, and images that are not digits.

Start with `mnist.py`, which loads and splits MNIST; `idx.py`, `npz.py` and `arrays.py` read other people's files. `augment.py`
distorts batches of images during training, `pen_digits.py` reads recorded strokes of other writers, `photographs.py` generates
photographs of what they write, `fonts.py` draws printed digits, and `non_digits.py` generates images that a reader must reject.

May import: network, drawing, config, records, files.
"""
