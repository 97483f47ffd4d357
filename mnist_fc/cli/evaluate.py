"""The commands `evaluate` and `measure`."""

import argparse
import dataclasses

from mnist_fc.cli.console import Screen, to_json
from mnist_fc.cli.options import load_data
from mnist_fc.config import (
    PRESETS,
    TrainConfig,
)
from mnist_fc.data import pen_digits
from mnist_fc.data.mnist import DataError, Mnist
from mnist_fc.network import checkpoint
from mnist_fc.reading import evaluation
from mnist_fc.reading.reader import Reader
from mnist_fc.records import WeightsRecord
from mnist_fc.training.engine import train
from mnist_fc.training.evaluation import evaluate


def run_measure(parsed: argparse.Namespace) -> int:
    images = load_data(parsed)
    screen = Screen(to_stderr=parsed.json)
    digits = pen_digits.load(parsed.pen_strokes)
    fashion_mnist = evaluation.load_idx_images(parsed.fashion_mnist) if parsed.fashion_mnist else None
    if not parsed.all_writers:
        _, digits = digits.split()
        if not digits.strokes:
            raise DataError(f"{parsed.pen_strokes} has too few writers to hold one out; measure on all with --all-writers")
    writers = ", ".join(map(str, sorted(set(digits.writers.tolist()))))
    screen.line(f"{len(digits.labels):,} digits, writers {writers}, drawn under each of {len(pen_digits.CONDITIONS)} conditions")
    drawings = evaluation.draw_all(digits)
    readers = {path: Reader.load(path) for path in parsed.checkpoints} or {"shipped": Reader.load()}
    if not parsed.checkpoints:
        for name, preset in PRESETS.items():
            screen.line(f"training {name} on {len(images.train_labels):,} images")
            readers[name] = _trained(preset, images)
    networks = [
        evaluation.evaluate_reader(name, reader, drawings, digits.labels, digits.writers, images)
        for name, reader in readers.items()
    ]
    screen.line(
        f"share read right, with its 95% interval over writers: n = {len(digits.labels):,} drawings per condition, "
        f"{len(images.test_labels):,} MNIST test images; a refused one is wrong; unruled is the network without the rule"
    )
    width = max(len(network.name) for network in networks)
    screen.line(" " * width + "".join(f"{name:>12}" for name in (*pen_digits.CONDITIONS, "1st/2nd", "MNIST", "unruled")))
    for network in networks:
        shares = (*network.drawings_read.values(), network.runner_up_right, network.test_read, network.test_accuracy)
        screen.line(f"{network.name:<{width}}" + "".join(f"{share:>12.2%}" for share in shares))
        intervals = (*network.drawings_read_interval.values(), network.runner_up_right_interval)
        screen.line(" " * width + "".join(f"{_in_percent(interval):>12}" for interval in intervals))
    screen.line("expected calibration error of what is not refused")
    for network in networks:
        screen.line(
            f"{network.name:<{width}} MNIST {network.mnist_calibration_error:.2%}, "
            f"natural drawings {network.natural_calibration_error:.2%}"
        )
    refused = evaluation.rejection_rates(drawings, images, fashion_mnist)
    screen.line("refused as no digit, whichever network reads")
    for kind, share in refused.items():
        screen.line(f"{share:>8.2%}  {kind}")
    if parsed.json:
        print(to_json({"networks": [dataclasses.asdict(network) for network in networks], "refused": refused}))
    return 0


def _in_percent(interval: evaluation.Interval | None) -> str:
    return f"{interval[0]:.1%}-{interval[1]:.1%}".replace("%-", "-") if interval else "one writer"


def _trained(config: TrainConfig, images: Mnist) -> Reader:
    for record in train(config, images):
        if isinstance(record, WeightsRecord):
            weights = record.weights
    return Reader.from_weights(weights, config)


def run_evaluate(parsed: argparse.Namespace) -> int:
    model = checkpoint.load(parsed.checkpoint)
    images = load_data(parsed)
    loss, accuracy = evaluate(model, images.test_images, images.test_labels)
    if parsed.json:
        print(to_json({"test_accuracy": accuracy, "test_loss": loss}))
    else:
        print(f"test accuracy {accuracy:.2%}, test loss {loss:.4f}, on {len(images.test_labels):,} images")
    return 0
