"""How well networks read what people draw, from the canvas to the digit, and how well the rule refuses what is no digit."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mnist_fc.data.mnist import DataError, Mnist, read_idx
from mnist_fc.data.non_digits import GENERATORS, generate
from mnist_fc.data.pen_digits import CONDITIONS, PenDigits, images
from mnist_fc.drawing.normalize import normalize_all
from mnist_fc.drawing.pictures import on_transparent
from mnist_fc.drawing.strokes import CANVAS_SIZE, place, render
from mnist_fc.reading.reader import Reader, Reading
from mnist_fc.reading.rejection import MIN_LOG_ODDS, log_odds
from mnist_fc.training.evaluation import evaluate

NUM_SCRIBBLES = 1000
NUM_BINS = 15

SEED = 20_000
"""Of the drawings that are measured; none is a drawing that was trained on."""


@dataclass(frozen=True)
class Measured:
    """One network's figures; shares from 0 to 1."""

    name: str
    drawings_read: dict[str, float]
    """Of the digits drawn under each condition, those read right; one refused is not."""
    test_accuracy: float
    """On MNIST's test images, refused or not."""
    test_read: float
    """Of MNIST's test images, those read right; one refused is not."""
    mnist_calibration_error: float
    """Of the test images that were read as a digit."""
    natural_calibration_error: float
    runner_up_right: float
    """Of the natural drawings, those whose digit is the one read or the runner-up; one refused is neither."""


def draw_all(digits: PenDigits) -> dict[str, np.ndarray]:
    """The digits drawn and prepared under each condition, each float32 (N, 28, 28)."""
    return {name: images(digits, condition, SEED).reshape(-1, 28, 28) for name, condition in CONDITIONS.items()}


def measure(name: str, reader: Reader, drawings: dict[str, np.ndarray], labels: np.ndarray, mnist: Mnist) -> Measured:
    """Let one network read the drawings, as `draw_all` gives them, and MNIST's test images."""
    read = {condition: reader.read_images(drawn) for condition, drawn in drawings.items()}
    on_test = reader.read_images(mnist.test_images.view(-1, 28, 28).to(torch.float32).div(255).numpy())
    natural = read["natural"]
    return Measured(
        name,
        {condition: _share(r.digit == label for r, label in zip(rs, labels, strict=True)) for condition, rs in read.items()},
        evaluate(reader.model, mnist.test_images, mnist.test_labels)[1],
        _share(r.digit == label for r, label in zip(on_test, mnist.test_labels.tolist(), strict=True)),
        calibration_error(on_test, mnist.test_labels.numpy()),
        calibration_error(natural, labels),
        _share(r.digit is not None and label in (r.digit, r.runner_up) for r, label in zip(natural, labels, strict=True)),
    )


def load_pictures(path: str | Path) -> np.ndarray:
    """The pictures in an IDX file, uint8 (N, 28, 28). Raises DataError for a file that holds none."""
    pictures = read_idx(Path(path))
    if pictures.ndim != 3 or pictures.shape[1:] != (28, 28):
        raise DataError(f"{path} holds {' x '.join(map(str, pictures.shape))} values; it must hold pictures of 28 x 28")
    return pictures


def refused(drawings: dict[str, np.ndarray], mnist: Mnist, fashion_mnist: np.ndarray | None) -> dict[str, float]:
    """Which share of what is or is no digit the rule calls "not a digit", by kind; it is the same for every network.

    `fashion_mnist` are Fashion-MNIST's pictures, uint8 (N, 28, 28), as `load_pictures` gives them.
    """
    test_images = mnist.test_images.view(-1, 28, 28).numpy()
    kinds = {
        "digits: MNIST's test images": test_images / np.float32(255),
        "digits: MNIST's test images, drawn": normalize_all(map(on_transparent, test_images)),
        **{f"digits: {name} drawings": drawn for name, drawn in drawings.items()},
        **{f"scribbles: {kind}": scribbles(draw) for kind, draw in SCRIBBLES.items()},
        "kinds trained on, made anew": generate(200 * len(GENERATORS), SEED),
    }
    if fashion_mnist is not None:
        kinds["Fashion-MNIST's pictures"] = fashion_mnist / np.float32(255)
        kinds["Fashion-MNIST's pictures, drawn"] = normalize_all(map(on_transparent, fashion_mnist))
    return {name: _share((log_odds(each) < MIN_LOG_ODDS).tolist()) for name, each in kinds.items()}


def calibration_error(readings: Sequence[Reading], labels: np.ndarray) -> float:
    """Expected calibration error of what was read as a digit (Guo et al. 2017): mean gap between confidence and accuracy."""
    sure, right = [], []
    for reading, label in zip(readings, labels, strict=True):
        if reading.digit is not None:
            sure.append(reading.probabilities[reading.digit])
            right.append(reading.digit == label)
    confidence, accuracy = np.array(sure), np.array(right, float)
    bins = np.minimum((confidence * NUM_BINS).astype(int), NUM_BINS - 1)
    gaps = [abs(float((confidence - accuracy)[bins == one].sum())) for one in range(NUM_BINS)]
    return sum(gaps) / max(len(confidence), 1)


# Scribbles for measuring alone: drawn by other rules than those of outliers.py, which the network was trained on.


def scribbles(draw: Callable[[np.random.Generator], np.ndarray], count: int = NUM_SCRIBBLES) -> np.ndarray:
    """Scribbles of one kind, drawn with brushes of all widths and prepared: float32 (count, 28, 28)."""
    random = np.random.default_rng(SEED)

    def drawing() -> np.ndarray:
        points, size = draw(random), random.uniform(0.3, 0.8) * CANVAS_SIZE
        return render(place([points], size, random.uniform(6, 26), (0.5, 0.5)))

    return normalize_all(drawing() for _ in range(count))


def _waves(random: np.random.Generator) -> np.ndarray:
    """A closed curve whose x and y are sums of five waves each."""
    t = np.linspace(0, 2 * np.pi, 300)[:, None]
    waves = np.arange(1, 6)
    return np.stack([(random.normal(size=5) * np.sin(waves * t + random.uniform(0, 2 * np.pi, 5))).sum(1) for _ in "xy"], 1)


def _walk(random: np.random.Generator) -> np.ndarray:
    """A walk of 80 to 400 steps, each in any direction, within a square."""
    steps = random.normal(0, random.uniform(0.02, 0.06), (random.integers(80, 400), 2))
    return np.clip(np.cumsum(steps, axis=0), -0.5, 0.5)


def _chain(random: np.random.Generator) -> np.ndarray:
    """Three to seven cubic curves, one after the other, between random points."""
    t = np.linspace(0, 1, 40)[:, None]
    points = random.random((3 * random.integers(3, 8) + 1, 2))
    curves = [
        (1 - t) ** 3 * a + 3 * t * (1 - t) ** 2 * b + 3 * t**2 * (1 - t) * c + t**3 * d
        for a, b, c, d in zip(points[:-3:3], points[1:-2:3], points[2:-1:3], points[3::3], strict=True)
    ]
    return np.concatenate(curves)


SCRIBBLES = {"curves of waves": _waves, "random walks": _walk, "chains of curves": _chain}


def _share(flags: Iterable[bool]) -> float:
    return float(np.mean(list(flags)))
