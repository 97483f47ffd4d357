"""The command `benchmark`: time an epoch of this engine and of other programs, a training to an accuracy, or the scaling."""

import argparse
import dataclasses
import datetime as dt
import itertools
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mnist_fc.benchmark import picture
from mnist_fc.benchmark.epochs import Row, benchmark
from mnist_fc.benchmark.machine import chosen_products, in_words, machine
from mnist_fc.benchmark.scaling import SCALING_BATCH_SIZES, Speed, scaling
from mnist_fc.benchmark.time_to import FAST, TimeTo, time_to
from mnist_fc.benchmark.timing import NETS
from mnist_fc.cli.console import Screen, to_json
from mnist_fc.cli.options import Subparsers, add_command, add_data_options, load_data
from mnist_fc.config import CPU_COUNT, DEFAULT_THREADS, PRESETS, ConfigError, Range, TrainConfig, to_number
from mnist_fc.data.mnist import Mnist
from mnist_fc.files import atomic_write, named_path, reason

DEFAULT_EPOCHS = 7
ACCURACY = Range(float, 0.1, 1.0)

OF_EPOCHS = ("epochs", "peers", "picture")
"""Options of the default benchmark alone."""


def add_parser(commands: Subparsers) -> None:
    """Add the command `benchmark`."""
    parser = add_command(
        commands,
        "benchmark",
        run_benchmark,
        "time an epoch of this engine, of other programs, and of the lower bound",
        "\n--epochs 3 --threads 1 --peers\n--peers --picture benchmark.svg\n--time-to 0.98\n--scaling",
    )
    parser.add_argument("--epochs", metavar="N", help=f"epochs of each program; 1 to 100 (default: {DEFAULT_EPOCHS})")
    parser.add_argument(
        "--threads",
        metavar="N",
        help=f"threads of each program, with --scaling the most; 1 to {CPU_COUNT} "
        f"(default: {DEFAULT_THREADS}, with --scaling {CPU_COUNT})",
    )
    parser.add_argument("--peers", action="store_true", help="also time JAX, Keras and scikit-learn, if they are installed")
    parser.add_argument("--picture", type=named_path, metavar="PATH", help="also draw the table as a picture, .png or .svg")
    other = parser.add_argument_group("other benchmarks", "They exclude each other, --epochs, --peers and --picture.")
    other.add_argument(
        "--time-to",
        metavar="ACCURACY",
        help="time the preset fast, with ten new seeds, and ten epochs of the blog's loop to a test accuracy such as 0.98",
    )
    other.add_argument(
        "--scaling",
        action="store_true",
        help=f"images per second by network, threads and batch size, {SCALING_BATCH_SIZES[0]} to {SCALING_BATCH_SIZES[-1]:,}",
    )
    add_data_options(parser)


def run_benchmark(parsed: argparse.Namespace) -> int:
    """Run one of the benchmarks; print its tables, or JSON. Raises ConfigError for options that do not fit together."""
    _check_combination(parsed)
    threads = (CPU_COUNT if parsed.scaling else DEFAULT_THREADS) if parsed.threads is None else to_number(parsed.threads)
    num_epochs = DEFAULT_EPOCHS if parsed.epochs is None else to_number(parsed.epochs)
    config = TrainConfig().replace(num_epochs=num_epochs, threads=threads)
    threads = config.threads
    target = None if parsed.time_to is None else ACCURACY.check("time-to", to_number(parsed.time_to))
    picture_path = None if parsed.picture is None else _picture_path(parsed.picture)
    screen = Screen(to_stderr=parsed.json)
    images = load_data(parsed, screen)
    screen.line(f"{machine()}; --threads {threads}")
    if target is not None:
        result = _run_time_to(target, images, threads, screen)
    elif parsed.scaling:
        result = _run_scaling(images, threads, screen)
    else:
        result = _run_epochs(images, config, parsed.peers, picture_path, screen)
    if parsed.json:
        print(to_json({"threads": threads, "machine": machine(), **result}))
    return 0


def _check_combination(parsed: argparse.Namespace) -> None:
    """Raise ConfigError for options of different benchmarks."""
    others = [name for name in ("time_to", "scaling") if getattr(parsed, name) not in (None, False)]
    given = others + [name for name in OF_EPOCHS if others and getattr(parsed, name) not in (None, False)]
    if len(given) > 1:
        first, second = (f"--{name.replace('_', '-')}" for name in given[:2])
        raise ConfigError(f"{first} and {second} belong to different benchmarks; give one of them")


def _picture_path(text: str) -> Path:
    """Return the path of the picture; raise ConfigError if no picture can be written there."""
    path = Path(text)
    if path.suffix.lower() not in picture.SUFFIXES:
        raise ConfigError(f"the picture is {text!r}; its name must end in {' or '.join(picture.SUFFIXES)}")
    if not path.parent.is_dir():
        raise ConfigError(f"the folder of the picture, {str(path.parent)!r}, does not exist")
    return path


def _run_epochs(images: Mnist, config: TrainConfig, with_peers: bool, path: Path | None, screen: Screen) -> dict[str, Any]:
    screen.line(f"batch {config.batch_size}, Adam, float32; median and range of {config.num_epochs} epochs")
    rows = benchmark(images, config.threads, config.num_epochs, with_peers, screen.line)
    products = {net: chosen_products(preset.replace(threads=config.threads)) for net, preset in NETS.items()}
    for net, rows_of_net in itertools.groupby(rows, lambda row: row.net):
        for line in _epochs_table(net, rows_of_net):
            screen.line(line)
        screen.line(f"  matrix products of the engine: {in_words(products[net])}")
    if path:
        content = picture.draw(rows, _caption(config, len(images.train_labels), products), path.suffix.lower())
        _write(path, content)
        screen.line(f"picture: {path}")
    return {"epochs": config.num_epochs, "products": products, "rows": [dataclasses.asdict(row) for row in rows]}


def _epochs_table(net: str, rows: Iterable[Row]) -> list[str]:
    """Return the lines of a table, the fastest program first."""
    lines = [f"{net:<22} {'median epoch':>12} {'range':>16} {'of the best floor':>18} {'of the floor':>13}"]
    for row in sorted(rows, key=lambda row: row.seconds_per_epoch):
        span = f"{row.seconds_low:.3f} to {row.seconds_high:.3f}"
        ratios = f"{row.ratio_to_best_floor:>18.2f} {row.ratio_to_floor:>13.2f}"
        lines.append(f"  {row.name:<20} {row.seconds_per_epoch:>10.3f} s {span:>16} {ratios}")
    return lines


def _caption(config: TrainConfig, num_images: int, products: Mapping[str, Mapping[str, str]]) -> str:
    """Return what the figures of the picture belong to."""
    today = dt.datetime.now().astimezone()
    ways = "; ".join(f"{net}: {in_words(chosen)}" for net, chosen in products.items())
    return (
        f"Median and range of {config.num_epochs} epochs of {num_images:,} images; batch {config.batch_size}, Adam, float32, "
        f"{config.threads} thread{'s' * (config.threads > 1)}. A floor is the matrix products and the optimizer's update alone. "
        f"{machine()}. The engine's matrix products: {ways}. {today.day} {today:%B %Y}."
    )


def _write(path: Path, content: bytes) -> None:
    """Write the picture; raise ConfigError if that fails."""
    try:
        atomic_write(path, lambda file: file.write(content))
    except OSError as error:
        raise ConfigError(f"the picture {str(path)!r} cannot be written: {reason(error)}") from None


def _run_time_to(target: float, images: Mnist, threads: int, screen: Screen) -> dict[str, Any]:
    result: TimeTo = time_to(target, images, threads, screen.line)
    reached = [run.seconds_to_target for run in result.fast if run.seconds_to_target is not None]
    median = f", the median in {statistics.median(reached):.2f} s" if reached else ""
    screen.line(result.blog_loop.in_words(target))
    screen.line(
        f"fast: mean test {result.fast_accuracy:.2%}; {len(reached)} of {len(result.fast)} runs reach {target:.4g}{median}"
    )
    screen.line(f"fast takes {result.ratio:.3f} of the time of the blog's loop")
    products = chosen_products(PRESETS[FAST].replace(threads=threads))
    screen.line(f"matrix products of fast: {in_words(products)}")
    return {"products": products, **dataclasses.asdict(result)}


def _run_scaling(images: Mnist, threads: int, screen: Screen) -> dict[str, Any]:
    speeds = []
    by_row = itertools.groupby(scaling(images, threads), lambda speed: (speed.net, speed.parameters, speed.threads))
    for (net, parameters, count), of_row in by_row:
        row: list[Speed] = list(of_row)
        speeds += row
        if count == 1:
            heads = " ".join(f"{speed.batch_size:>9,}" for speed in row)
            screen.line(f"{net}: {parameters:,} parameters")
            screen.line(f"  {'images/s at batch':<18} {heads} {'GFLOP/s':>9}")
        figures = " ".join(f"{speed.images_per_second:>9,.0f}" for speed in row)
        name = "1 thread" if count == 1 else f"{count} threads"
        screen.line(f"  {name:<18} {figures} {max(speed.gflops for speed in row):>9,.0f}")
    return {"rows": [dataclasses.asdict(speed) for speed in speeds]}
