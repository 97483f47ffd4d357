"""The commands `evaluate` and `measure`: test a network on MNIST, and on drawings and pictures without a digit."""

import argparse
import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

from mnist_fc.cli.console import Screen, to_json
from mnist_fc.cli.options import (
    Subparsers,
    add_command,
    add_data_options,
    add_network_options,
    load_data,
    load_network,
    whole_number,
)
from mnist_fc.config import PRESETS, Range, TrainConfig, to_number
from mnist_fc.data import pen_digits
from mnist_fc.data.mnist import DataError, Mnist
from mnist_fc.data.photographs import photographs
from mnist_fc.files import named_path
from mnist_fc.reading import evaluation
from mnist_fc.reading.photo_evaluation import OUTCOMES, evaluate_photographs, read_pictures, share_interval
from mnist_fc.reading.reader import Reader
from mnist_fc.records import WeightsRecord
from mnist_fc.training.engine import train
from mnist_fc.training.evaluation import evaluate

PHOTOGRAPHS = Range(int, 0, 100_000)


def add_parser(commands: Subparsers) -> None:
    """Add the command `evaluate`."""
    parser = add_command(
        commands, "evaluate", run_evaluate, "test a network on the test images", "runs/NAME/model.ckpt\nmodel.ckpt --json"
    )
    parser.add_argument(
        "checkpoint", type=named_path, metavar="CHECKPOINT", help="a model.ckpt, best with the config.json of its run beside it"
    )
    add_network_options(parser)
    add_data_options(parser)


def run_evaluate(parsed: argparse.Namespace) -> int:
    """Print the accuracy and the loss of a checkpoint on the test images."""
    images = load_data(parsed, Screen(to_stderr=parsed.json))
    model = load_network(parsed.checkpoint, parsed, images)
    loss, accuracy = evaluate(model, images.test_images, images.test_labels)
    if parsed.json:
        print(to_json({"test_accuracy": accuracy, "test_loss": loss}))
    else:
        print(f"test accuracy {accuracy:.2%}, test loss {loss:.4f}, on {len(images.test_labels):,} images")
    return 0


def add_measure_parser(commands: Subparsers) -> None:
    """Add the command `measure`."""
    parser = add_command(
        commands,
        "measure",
        run_measure,
        "measure how well networks read drawings, and reject what is not a digit",
        "--pen-strokes pendigits-orig.tra\nmodel.ckpt --pen-strokes pendigits-orig.tes --all-writers --json",
    )
    parser.add_argument(
        "checkpoints",
        type=named_path,
        nargs="*",
        metavar="CHECKPOINT",
        help="networks to measure (default: the one included, and one trained with each preset)",
    )
    add_writer_options(parser)
    parser.add_argument(
        "--fashion-mnist",
        type=named_path,
        metavar="PATH",
        help="t10k-images-idx3-ubyte.gz of Fashion-MNIST: pictures to be rejected",
    )
    parser.add_argument(
        "--photographs",
        metavar="N",
        default="300",
        help="generate and read N photographs of the digits, with the first network only; 0 to 100000 (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", metavar="N", default=str(evaluation.SEED), help="seed of the photographs (default: %(default)s)"
    )
    parser.add_argument(
        "--pictures",
        type=named_path,
        metavar="DIR",
        help="also read a folder of pictures of one digit each, named like photo_7.jpg",
    )
    add_data_options(parser)


def add_writer_options(parser: argparse.ArgumentParser) -> None:
    """Add --pen-strokes and --all-writers."""
    parser.add_argument(
        "--pen-strokes",
        type=named_path,
        metavar="PATH",
        required=True,
        help="digits as pen strokes: an .npz file, or UCI's pendigits-orig.tra or pendigits-orig.tes",
    )
    parser.add_argument(
        "--all-writers", action="store_true", help="measure on all writers, not only on those held out of training"
    )


def load_writers(parsed: argparse.Namespace) -> pen_digits.PenDigits:
    """Return the digits of --pen-strokes by the writers to measure on. Raises DataError if none is held out."""
    digits = pen_digits.load(parsed.pen_strokes)
    if parsed.all_writers:
        return digits
    _, held_out = digits.split()
    if not held_out.strokes:
        raise DataError(f"{parsed.pen_strokes} has too few writers to hold one out; measure on all with --all-writers")
    return held_out


def run_measure(parsed: argparse.Namespace) -> int:
    """Print tables of what each network reads and of what is rejected, or JSON."""
    num_photographs = int(PHOTOGRAPHS.check("photographs", to_number(parsed.photographs)))
    seed = whole_number("seed", parsed.seed)
    screen = Screen(to_stderr=parsed.json)
    images = load_data(parsed, screen)
    digits = load_writers(parsed)
    fashion_mnist = evaluation.load_idx_images(parsed.fashion_mnist) if parsed.fashion_mnist else None
    writers = ", ".join(map(str, sorted(set(digits.writers.tolist()))))
    screen.line(f"{len(digits.labels):,} digits, writers {writers}, drawn under each of {len(pen_digits.CONDITIONS)} conditions")
    readers = {path: Reader.load(path) for path in parsed.checkpoints} or {"shipped": Reader.load()}
    first = next(iter(readers.values()))
    of_pictures = _measure_pictures(first, parsed.pictures, screen) if parsed.pictures else []
    of_photographs = _measure_photographs(first, digits, num_photographs, seed, screen) if num_photographs else []
    if not parsed.checkpoints:
        for name, preset in PRESETS.items():
            screen.line(f"training {name} on {len(images.train_labels):,} images")
            readers[name] = trained(preset, images)
    drawings = evaluation.draw_all(digits)
    networks = [
        evaluation.evaluate_reader(name, reader, drawings, digits.labels, digits.writers, images)
        for name, reader in readers.items()
    ]
    _print_networks(networks, len(images.test_labels), screen)
    rejected = evaluation.rejection_rates(drawings, images, fashion_mnist)
    screen.line("share rejected as not a digit, the same for every network")
    for kind, share in rejected.items():
        screen.line(f"{share:>8.2%}  {kind}")
    if parsed.json:
        all_networks = [dataclasses.asdict(network) for network in networks]
        print(to_json({"networks": all_networks, "refused": rejected, "photographs": of_photographs, "pictures": of_pictures}))
    return 0


def _print_networks(networks: Sequence[evaluation.ReaderScores], num_test_images: int, screen: Screen) -> None:
    """Print the scores of each network."""
    screen.line(
        f"share read right, with its 95% interval over writers: n = {networks[0].num_drawings:,} drawings per condition, "
        f"{num_test_images:,} MNIST test images; a rejected image counts as wrong; unruled is without the rejection rule"
    )
    width = max(len(network.name) for network in networks)
    screen.line(" " * width + "".join(f"{name:>12}" for name in (*pen_digits.CONDITIONS, "1st/2nd", "MNIST", "unruled")))
    for network in networks:
        shares = (*network.drawings_read.values(), network.runner_up_right, network.test_read, network.test_accuracy)
        screen.line(f"{network.name:<{width}}" + "".join(f"{share:>12.2%}" for share in shares))
        intervals = (*network.drawings_read_interval.values(), network.runner_up_right_interval)
        screen.line(" " * width + "".join(f"{_in_percent(interval):>12}" for interval in intervals))
    screen.line("expected calibration error, without rejected images")
    for network in networks:
        screen.line(
            f"{network.name:<{width}} MNIST {network.mnist_calibration_error:.2%}, "
            f"natural drawings {network.natural_calibration_error:.2%}"
        )


def _measure_photographs(
    reader: Reader, digits: pen_digits.PenDigits, count: int, seed: int, screen: Screen
) -> list[dict[str, Any]]:
    """Print what is read in generated photographs, by condition; return the same for JSON."""
    screen.line(
        f"{count:,} generated photographs of seed {seed}: shares of digits, with the 95% interval over writers; photographs "
        "read right to the last digit; digits read where there is none, per photograph; straight lines in all; printed digits "
        "count under writing only"
    )
    titles = ("photos", "digits", "right", "interval", "unsure", "wrong", "missed", "photos right", "false digits", "lines")
    screen.line(" " * 26 + "".join(f"{title:>13}" for title in titles))
    scores = evaluate_photographs(reader, photographs(digits, count, seed))
    for row in scores:
        shares = [_or_dash(share) for share in (row.right, row.unsure, row.wrong, row.missed)]
        interval = _in_percent(row.right_interval) if row.right_interval else "-"
        cells = (row.num_pictures, row.num_digits, shares[0], interval, *shares[1:], f"{row.pictures_right:.1%}")
        line = "".join(f"{cell:>13}" for cell in (*cells, f"{row.false_digits:.3f}", row.num_lines))
        screen.line(f"{row.name + ': ' + row.value:<26}{line}")
    return [dataclasses.asdict(row) for row in scores]


def _measure_pictures(reader: Reader, folder: str, screen: Screen) -> list[dict[str, Any]]:
    """Print what is read in the pictures of a folder; return the same for JSON."""
    readings = read_pictures(reader, folder)
    counts = Counter(reading.outcome for reading in readings)
    right, total = counts["right"], len(readings)
    screen.line(
        f"{folder}: {right} of {total} pictures right ({right / total:.1%}, 95% interval "
        f"{_in_percent(share_interval(right, total))}), {', '.join(f'{counts[kind]} {kind}' for kind in OUTCOMES[1:])}"
    )
    for reading in readings:
        if reading.outcome != "right":
            screen.line(f"  {reading.name}: {reading.read or 'nothing'}")
    return [dataclasses.asdict(reading) | {"outcome": reading.outcome} for reading in readings]


def _or_dash(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _in_percent(interval: evaluation.Interval | None) -> str:
    return f"{interval[0]:.1%}-{interval[1]:.1%}".replace("%-", "-") if interval else "one writer"


def trained(config: TrainConfig, images: Mnist) -> Reader:
    """Train a network and return a reader with its last weights."""
    for record in train(config.fitted_to(len(images.train_labels)), images):
        if isinstance(record, WeightsRecord):
            weights = record.weights
    return Reader.from_weights(weights, config)
