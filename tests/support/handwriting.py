"""Pen strokes of people who do not exist: ten digits written by hand for these tests, in the style of any number of writers."""

import numpy as np

from mnist_fc.data.pen_digits import PenDigits
from mnist_fc.drawing.strokes import rotation

SHAPES = """
50,2 25,12 12,38 10,65 20,90 42,99 65,92 80,68 80,38 70,12 50,2
35,22 52,2 50,50 48,99
14,25 22,8 45,1 66,10 70,30 55,55 30,78 8,97 40,96 78,97
15,10 40,1 64,10 66,28 50,44 32,48 55,52 72,68 68,88 45,99 12,92
52,2 30,35 8,66 45,66 84,65|62,38 60,70 58,99
74,3 24,4 18,44 45,38 70,52 74,74 60,94 34,99 10,92
60,2 36,22 18,52 14,78 28,97 52,98 66,82 62,62 42,54 20,68
8,5 40,4 76,3 60,40 44,70 34,99
66,14 44,2 22,12 24,30 46,46 70,64 68,88 44,99 20,88 22,66 46,46 66,30 66,14
68,30 50,44 26,40 18,22 34,5 56,4 68,18 68,45 62,75 56,99
"""
"""The strokes of each digit, as points x,y from 0 to 100; y points down."""

COPIES = 3
"""How many times each writer writes each digit."""


def handwriting(num_writers: int, seed: int = 0) -> PenDigits:
    """Return each digit as each of the writers 0, 1, 2, ... writes it, COPIES times."""
    strokes, labels, writers = [], [], []
    for writer in range(num_writers):
        random = np.random.default_rng((seed, writer))
        slant, width, turn = random.uniform(-0.25, 0.05), random.uniform(0.8, 1.2), rotation(random.uniform(-5, 5))
        style = np.array([[width, 0], [slant, 1]]) @ turn
        for label, shape in enumerate(SHAPES.strip().splitlines()):
            lines = [np.array([point.split(",") for point in line.split()], np.float32) for line in shape.split("|")]
            for _ in range(COPIES):
                strokes.append([(line + random.normal(0, 1.5, line.shape)) @ style for line in lines])
                labels.append(label)
                writers.append(writer)
    return PenDigits(strokes, np.array(labels), np.array(writers))
