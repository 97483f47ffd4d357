"""Time an epoch of this engine, of what people would use instead, and of the lower bound on this machine."""

import functools
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mnist_fc.benchmark.peer_process import PeerError, PeerProcess
from mnist_fc.benchmark.peers import PEERS
from mnist_fc.benchmark.programs import FLOORS, PROGRAMS
from mnist_fc.benchmark.timing import NETS, Epoch, Program
from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.network.products import BFLOAT16_IS_FASTER, bfloat16_share

Report = Callable[[str], None]

LOSS_TOLERANCE = 0.3
"""The first epoch's mean loss may differ from the engine's by this share: each library draws other initial weights."""


@dataclass(frozen=True)
class Row:
    """A program's median epoch for `net`, such as "784-500-10", its range over the rounds, and its ratios.

    `ratio_to_floor` is to the median epoch of the floor, and `ratio_to_best_floor` to that of the fastest floor.
    `first_loss` is the mean training loss of the first epoch, where the program knows it.
    """

    name: str
    net: str
    seconds_per_epoch: float
    ratio_to_floor: float
    seconds_low: float
    seconds_high: float
    ratio_to_best_floor: float
    first_loss: float | None


def benchmark(images: Mnist, threads: int, num_epochs: int, with_peers: bool, report: Report) -> list[Row]:
    """Time `num_epochs` epochs of every program, after one to warm up, and return a row for each; `report` is told the progress.

    All programs take turns, an epoch each, so that a change of the machine's speed affects all. With `with_peers` these are
    also other people's programs, each in a process of its own that waits for its turn; they train on the same images. One that
    is not installed or fails is reported and has no row.
    """
    torch.set_num_threads(threads)
    rows: list[Row] = []
    with ExitStack() as peer_data:
        path = Path(peer_data.enter_context(tempfile.TemporaryDirectory())) / "images.npz" if with_peers else None
        if path:
            np.savez(path, images=images.train_images.numpy(), labels=images.train_labels.numpy())
        for net, config in NETS.items():
            with ExitStack() as processes:
                programs = dict(_own_programs(config.replace(threads=threads), images))
                if path:
                    programs |= _peer_programs(net, threads, path, processes)
                epochs = _take_turns(net, programs, num_epochs, report)
            _compare_losses(net, epochs, report)
            rows += _rows(net, epochs)
    return rows


def _own_programs(config: TrainConfig, images: Mnist) -> Iterator[tuple[str, Program]]:
    """Yield the programs of this process; the engine in bfloat16 only where the processor is faster with it."""
    for name, program in PROGRAMS.items():
        yield name, functools.partial(next, program(config, images))
    if bfloat16_share() < BFLOAT16_IS_FASTER:
        yield "engine-bfloat16", functools.partial(next, PROGRAMS["engine"](config.replace(precision="bfloat16"), images))


def _peer_programs(net: str, threads: int, data: Path, processes: ExitStack) -> dict[str, Program]:
    """Return the peers; each process starts with its first epoch and ends with `processes`."""
    return {name: processes.enter_context(PeerProcess(name, net, threads, data)).epoch for name in PEERS}


def _take_turns(net: str, programs: Mapping[str, Program], num_epochs: int, report: Report) -> dict[str, list[Epoch]]:
    """Return the epochs of every program that does not fail; the first of each is to warm up.

    Each round begins with another program, so that none always follows the same one.
    """
    epochs: dict[str, list[Epoch]] = {name: [] for name in programs}
    for turn in range(num_epochs + 1):
        report(f"{net}: epoch {turn} of {num_epochs} of each" if turn else f"{net}: warming up")
        names = list(epochs)
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            try:
                epochs[name].append(programs[name]())
            except PeerError as error:
                report(f"{net}: {name} is skipped: {error}")
                del epochs[name]
    return epochs


def _compare_losses(net: str, epochs: Mapping[str, Sequence[Epoch]], report: Report) -> None:
    """Report each program whose first epoch had quite another loss than the engine's: it may not train the same."""
    expected = epochs["engine"][0].train_loss
    for name, (first, *_) in epochs.items():
        if expected is None or first.train_loss is None:
            continue
        if not abs(first.train_loss - expected) <= LOSS_TOLERANCE * expected:  # also if it is not a number
            losses = f"{first.train_loss:.3f} in the first epoch, the engine's {expected:.3f}"
            report(f"{net}: {name} may not train the same: its loss is {losses}")


def _rows(net: str, epochs: Mapping[str, Sequence[Epoch]]) -> Iterator[Row]:
    seconds = {name: [epoch.seconds for epoch in timed] for name, (_, *timed) in epochs.items()}
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    best_floor = min(medians[name] for name in FLOORS.keys() & medians.keys())
    for name, each in seconds.items():
        yield Row(
            name,
            net,
            seconds_per_epoch=medians[name],
            ratio_to_floor=medians[name] / medians["floor"],
            seconds_low=min(each),
            seconds_high=max(each),
            ratio_to_best_floor=medians[name] / best_floor,
            first_loss=epochs[name][0].train_loss,
        )
