"""Measure how well networks read what people draw, and how well the rejection rule rejects what is not a digit."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mnist_fc.data.idx import read_idx
from mnist_fc.data.mnist import DataError, Mnist
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
"""The seed of the evaluated drawings. Training draws with other seeds, so no network has seen one of them."""

T_QUANTILES = (
    *(12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23),
    *(2.20, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11, 2.10, 2.09, 2.09),
    *(2.08, 2.07, 2.07, 2.06, 2.06, 2.06, 2.05, 2.05, 2.05, 2.04),
)
"""97.5% quantiles of Student's t-distribution with 1 to 30 degrees of freedom. The last serves for more, a little too wide."""

Interval = tuple[float, float]


@dataclass(frozen=True)
class ReaderScores:
    """The scores of one network. Shares are from 0 to 1, and a rejected image counts as read wrong.

    Intervals are 95% confidence intervals by `writer_interval`, and None if there is only one writer.
    """

    name: str
    num_drawings: int
    """Digits drawn under each condition."""
    num_writers: int
    """Writers of those digits."""
    drawings_read: dict[str, float]
    """Share of the digits drawn under each condition that are read right."""
    drawings_read_interval: dict[str, Interval | None]
    test_accuracy: float
    """Share of MNIST's test images that the network alone gets right, without the rejection rule."""
    test_read: float
    """Share of MNIST's test images that are read right."""
    mnist_calibration_error: float
    """That of the test images that are read as a digit; see `calibration_error`."""
    natural_calibration_error: float
    """That of the natural drawings that are read as a digit."""
    runner_up_right: float
    """Share of the natural drawings whose digit is the one read or the runner-up."""
    runner_up_right_interval: Interval | None


def draw_all(digits: PenDigits) -> dict[str, np.ndarray]:
    """Return the digits drawn and normalized under each condition, each float32 (N, 28, 28)."""
    return {name: images(digits, condition, SEED).reshape(-1, 28, 28) for name, condition in CONDITIONS.items()}


def evaluate_reader(
    name: str, reader: Reader, drawings: dict[str, np.ndarray], labels: np.ndarray, writers: np.ndarray, mnist: Mnist
) -> ReaderScores:
    """Let one network read MNIST's test images and the drawings of each condition, as `draw_all` returns them.

    `labels` and `writers`, both int64 (N,), say which digit each drawing is and whose it is.
    """
    readings = {condition: reader.read_images(drawn) for condition, drawn in drawings.items()}
    on_test = reader.read_images(mnist.test_images.view(-1, 28, 28).to(torch.float32).div(255).numpy())
    natural = readings["natural"]
    is_right = {
        condition: np.array([r.digit == label for r, label in zip(of_condition, labels, strict=True)])
        for condition, of_condition in readings.items()
    }
    is_either = np.array(
        [r.digit is not None and label in (r.digit, r.runner_up) for r, label in zip(natural, labels, strict=True)]
    )
    return ReaderScores(
        name=name,
        num_drawings=len(labels),
        num_writers=len(np.unique(writers)),
        drawings_read={condition: float(right.mean()) for condition, right in is_right.items()},
        drawings_read_interval={condition: writer_interval(right, writers) for condition, right in is_right.items()},
        test_accuracy=evaluate(reader.model, mnist.test_images, mnist.test_labels)[1],
        test_read=_share(r.digit == label for r, label in zip(on_test, mnist.test_labels.tolist(), strict=True)),
        mnist_calibration_error=calibration_error(on_test, mnist.test_labels.numpy()),
        natural_calibration_error=calibration_error(natural, labels),
        runner_up_right=float(is_either.mean()),
        runner_up_right_interval=writer_interval(is_either, writers),
    )


def writer_interval(is_right: np.ndarray, writers: np.ndarray) -> Interval | None:
    """Return a 95% confidence interval of a share, for people who write like these writers, clipped to 0 to 1.

    `is_right` is bool (N,), and `writers` int64 (N,). Drawings of one writer resemble each other, so the writers are the
    sample: this is Student's t-interval of the mean of their shares. In a simulation of six writers with skewed shares it
    covers the true share 91 times in 100, where a bootstrap over writers covers it 81 times. It has no width if all writers
    have the same share. Returns None for a single writer.
    """
    _, indices = np.unique(writers, return_inverse=True)
    interval = mean_interval(np.bincount(indices, is_right) / np.bincount(indices))
    return interval and (max(0.0, interval[0]), min(1.0, interval[1]))


def mean_interval(values: np.ndarray) -> Interval | None:
    """Return Student's 95% interval of the mean of `values`, float (n,); None for a single value."""
    if len(values) < 2:
        return None
    quantile = T_QUANTILES[min(len(values) - 1, len(T_QUANTILES)) - 1]
    mean, half_width = float(values.mean()), quantile * float(values.std(ddof=1)) / len(values) ** 0.5
    return mean - half_width, mean + half_width


def load_idx_images(path: str | Path) -> np.ndarray:
    """Return the images in an IDX file, uint8 (N, 28, 28). Raises DataError if the file does not hold such images."""
    pictures = read_idx(Path(path))
    if pictures.dtype != np.uint8 or pictures.ndim != 3 or pictures.shape[1:] != (28, 28):
        size = " x ".join(map(str, pictures.shape))
        raise DataError(f"{path} holds {size} values, {pictures.dtype}; it must hold pictures of 28 x 28, uint8")
    return pictures


def rejection_rates(drawings: dict[str, np.ndarray], mnist: Mnist, fashion_mnist: np.ndarray | None) -> dict[str, float]:
    """Return the share that the rule rejects as "not a digit", by kind of image. It is the same for every network.

    `drawings` are those of `draw_all`, and `fashion_mnist` the images of Fashion-MNIST, uint8 (N, 28, 28).
    """
    test_images = mnist.test_images.view(-1, 28, 28).numpy()
    kinds = {
        "digits: MNIST's test images": test_images / np.float32(255),
        "digits: MNIST's test images, drawn": normalize_all(map(on_transparent, test_images)),
        **{f"digits: {name} drawings": drawn for name, drawn in drawings.items()},
        **{f"scribbles: {kind}": scribbles(draw) for kind, draw in SCRIBBLES.items()},
        "kinds trained on, newly generated": generate(200 * len(GENERATORS), SEED),
    }
    if fashion_mnist is not None:
        kinds["Fashion-MNIST's pictures"] = fashion_mnist / np.float32(255)
        kinds["Fashion-MNIST's pictures, drawn"] = normalize_all(map(on_transparent, fashion_mnist))
    return {name: _share((log_odds(each) < MIN_LOG_ODDS).tolist()) for name, each in kinds.items()}


def calibration_error(readings: Sequence[Reading], labels: np.ndarray) -> float:
    """Return the expected calibration error of what was read as a digit (Guo et al. 2017), from 0 to 1.

    That is the gap between confidence and accuracy, averaged over NUM_BINS bins of confidence. `labels` are int64 (N,).
    """
    confidences, is_right = [], []
    for reading, label in zip(readings, labels, strict=True):
        if reading.digit is not None:
            confidences.append(reading.probabilities[reading.digit])
            is_right.append(reading.digit == label)
    confidence, accuracy = np.array(confidences), np.array(is_right, float)
    bins = np.minimum((confidence * NUM_BINS).astype(int), NUM_BINS - 1)
    gaps = [abs(float((confidence - accuracy)[bins == one].sum())) for one in range(NUM_BINS)]
    return sum(gaps) / max(len(confidence), 1)


# These scribbles are for evaluation only: they follow other rules than those in data/non_digits.py, which the rule learned from.


def scribbles(draw: Callable[[np.random.Generator], np.ndarray], count: int = NUM_SCRIBBLES) -> np.ndarray:
    """Return scribbles of one kind, drawn with brushes of all widths and normalized, float32 (count, 28, 28)."""
    random = np.random.default_rng(SEED)

    def drawing() -> np.ndarray:
        points, size = draw(random), random.uniform(0.3, 0.8) * CANVAS_SIZE
        return render(place([points], size, random.uniform(6, 26), (0.5, 0.5)))

    return normalize_all(drawing() for _ in range(count))


def _waves(random: np.random.Generator) -> np.ndarray:
    """Return a closed curve whose x and y are sums of five sine waves each, (300, 2)."""
    t = np.linspace(0, 2 * np.pi, 300)[:, None]
    waves = np.arange(1, 6)
    return np.stack([(random.normal(size=5) * np.sin(waves * t + random.uniform(0, 2 * np.pi, 5))).sum(1) for _ in "xy"], 1)


def _walk(random: np.random.Generator) -> np.ndarray:
    """Return a random walk of 80 to 400 steps within a square, (steps, 2)."""
    steps = random.normal(0, random.uniform(0.02, 0.06), (random.integers(80, 400), 2))
    return np.clip(np.cumsum(steps, axis=0), -0.5, 0.5)


def _chain(random: np.random.Generator) -> np.ndarray:
    """Return three to seven cubic Bézier curves in a row between random points, (points, 2)."""
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
