"""The command `benchmark`: time an epoch of this engine and of other programs."""

import argparse
import dataclasses
import itertools

from mnist_fc.benchmark.epochs import benchmark, machine
from mnist_fc.cli.console import Screen, to_json
from mnist_fc.cli.options import Subparsers, add_command, add_data_options, load_data
from mnist_fc.config import CPU_COUNT, DEFAULT_THREADS, TrainConfig, to_number


def add_parser(commands: Subparsers) -> None:
    """Add the command `benchmark`."""
    parser = add_command(
        commands,
        "benchmark",
        run_benchmark,
        "time an epoch of this engine, of other programs, and of the lower bound",
        "\n--epochs 3 --threads 1 --peers",
    )
    parser.add_argument("--epochs", metavar="N", default="7", help="epochs of each program; 1 to 100 (default: %(default)s)")
    parser.add_argument(
        "--threads",
        metavar="N",
        default=str(DEFAULT_THREADS),
        help=f"threads of each program; 1 to {CPU_COUNT} (default: %(default)s)",
    )
    parser.add_argument("--peers", action="store_true", help="also time Keras and scikit-learn, if they are installed")
    add_data_options(parser)


def run_benchmark(parsed: argparse.Namespace) -> int:
    """Run the benchmark; print a table for each network, or JSON."""
    config = TrainConfig().replace(num_epochs=to_number(parsed.epochs), threads=to_number(parsed.threads))
    screen = Screen(to_stderr=parsed.json)
    images = load_data(parsed, screen)
    this_machine = machine()
    screen.line(f"{this_machine}; batch {config.batch_size}, Adam, float32, --threads {config.threads}")
    rows = benchmark(images, config.threads, config.num_epochs, parsed.peers, screen.line)
    for net, rows_of_net in itertools.groupby(rows, lambda row: row.net):
        screen.line(f"{net:<18} {'median epoch':>12} {'of the floor':>13}")
        for row in sorted(rows_of_net, key=lambda row: row.seconds_per_epoch):
            screen.line(f"  {row.name:<16} {row.seconds_per_epoch:>10.3f} s {row.ratio_to_floor:>13.2f}")
    if parsed.json:
        result = {"threads": config.threads, "machine": this_machine, "rows": [dataclasses.asdict(row) for row in rows]}
        print(to_json(result))
    return 0
