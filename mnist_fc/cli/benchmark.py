"""The command `benchmark`."""

import argparse
import dataclasses
import itertools

from mnist_fc.benchmark.epochs import benchmark, machine
from mnist_fc.cli.console import Screen, to_json
from mnist_fc.cli.options import load_data
from mnist_fc.config import (
    TrainConfig,
    to_number,
)


def run_benchmark(parsed: argparse.Namespace) -> int:
    config = TrainConfig().replace(num_epochs=to_number(parsed.epochs), threads=to_number(parsed.threads))
    images = load_data(parsed)
    screen = Screen(to_stderr=parsed.json)
    this_machine = machine()
    screen.line(f"{this_machine}; batch {config.batch_size}, Adam, float32, --threads {config.threads}")
    rows = benchmark(images, config.threads, config.num_epochs, parsed.peers, screen.line)
    for net, of_net in itertools.groupby(rows, lambda row: row.net):
        screen.line(f"{net:<18} {'median epoch':>12} {'of the floor':>13}")
        for row in sorted(of_net, key=lambda row: row.seconds_per_epoch):
            screen.line(f"  {row.name:<16} {row.seconds_per_epoch:>10.3f} s {row.ratio_to_floor:>13.2f}")
    if parsed.json:
        result = {"threads": config.threads, "machine": this_machine, "rows": [dataclasses.asdict(row) for row in rows]}
        print(to_json(result))
    return 0
