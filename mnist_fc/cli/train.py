"""The command `train`."""

import argparse
import signal
from collections.abc import Sequence
from types import FrameType

from mnist_fc.cli.console import Screen, to_json
from mnist_fc.cli.options import changed_settings, load_data, option_name
from mnist_fc.config import (
    CPU_COUNT,
    DEFAULT_THREADS,
    PRESETS,
    ConfigError,
    Range,
    TrainConfig,
    to_number,
)
from mnist_fc.data import non_digits, pen_digits
from mnist_fc.data.mnist import Mnist
from mnist_fc.records import EndRecord, EpochRecord, StepRecord
from mnist_fc.runs.store import RunStore, runs_dir
from mnist_fc.runs.writer import RunFolder
from mnist_fc.training.distributed import SINGLE_PROCESS, ProcessGroup, joined
from mnist_fc.training.engine import train
from mnist_fc.training.train_state import TrainState

OUTLIERS = Range(int, 1, 100_000)


def run_train(parsed: argparse.Namespace) -> int:
    with joined() as team:
        return _train_in(team, parsed)


def _train_in(team: ProcessGroup, parsed: argparse.Namespace) -> int:
    """Train; the first process of the team alone prints and keeps the run."""
    screen = Screen(to_stderr=parsed.json, is_silent=team.rank > 0)
    store = RunStore(runs_dir(parsed.runs_dir))
    folder = state = None
    if parsed.resume:
        names = [*changed_settings(parsed), *(name for name in ("pen_strokes", "outliers") if getattr(parsed, name))]
        if names:
            options = ", ".join(f"--{option_name(name)}" for name in names)
            raise ConfigError(f"--resume goes on with the run's own settings, so {options} cannot be given with it")
        config = store.run(parsed.resume).config
        images = load_data(parsed)
        if team.rank == 0:
            folder, state = store.reopen(parsed.resume)
        else:
            state = store.state(parsed.resume)
    else:
        # Processes that share a machine share its cores.
        threads = max(1, min(DEFAULT_THREADS, CPU_COUNT // team.local_size))
        config = PRESETS[parsed.preset].replace(**{"threads": threads, **changed_settings(parsed)})
        images, added = _training_data(parsed, config, screen)
        if team.rank == 0:
            for run in store.plan_eviction(config).to_remove:
                screen.line(f"making room in {store.path}: removing the oldest run that is not pinned, {run.id}")
            folder = store.create(config, added)
    interrupted = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a second Ctrl-C does not wait for the step

    def on_step(training: TrainState) -> bool:
        screen.steps_per_epoch = training.steps_per_epoch
        return not interrupted

    # torchrun passes on what it gets, and sends SIGTERM to the others when one process has ended.
    stop_signals = [signal.SIGINT] if team is SINGLE_PROCESS else [signal.SIGINT, signal.SIGTERM]
    before = {number: signal.signal(number, interrupt) for number in stop_signals}
    train_loss: float | None = None
    epoch_seconds: list[float] = []
    rates: list[float] = []
    try:
        for record in train(config, images, on_step, state, team):
            if folder:
                folder.write(record)
            match record:
                case StepRecord():
                    train_loss = record.train_loss
                    screen.step(record, config)
                case EpochRecord():
                    train_loss = record.train_loss
                    epoch_seconds.append(record.seconds)
                    rates.append(record.images_per_second)
                    screen.epoch(record, config)
                case EndRecord():
                    end = record
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if folder:
            folder.close()
    if folder:
        screen.line(_ending(end, folder))
    if folder and parsed.json:
        result = {
            "run_dir": str(folder.path),
            "checkpoint": str(folder.checkpoint),
            "parameters": config.num_parameters,
            "epochs": len(epoch_seconds),
            "train_seconds": end.train_seconds,
            "seconds_per_epoch": _mean(epoch_seconds),
            "images_per_second": _mean(rates),
            "train_loss": train_loss,
            "test_accuracy": end.test_accuracy,
            "outcome": end.outcome,
        }
        print(to_json(result), flush=True)
    return {"done": 0, "stopped": 130, "failed": 1}[end.outcome]


def _training_data(parsed: argparse.Namespace, config: TrainConfig, screen: "Screen") -> tuple[Mnist, str]:
    """MNIST and what the options add to it, and that in words."""
    images, added = load_data(parsed), []
    if parsed.pen_strokes:
        digits, _ = pen_digits.load(parsed.pen_strokes).split()
        num_writers = len(set(digits.writers.tolist()))
        added.append(f"{len(digits.labels):,} digits of {num_writers} writers, each drawn {pen_digits.NUM_DRAWINGS} times")
        screen.line(f"adding {added[-1]}")
        images = pen_digits.add_to(images, digits, config.seed)
    if parsed.outliers is not None:
        count = int(OUTLIERS.check("outliers", to_number(parsed.outliers)))
        added.append(f"{count:,} pictures of each kind that is no digit")
        screen.line(f"adding {added[-1]}")
        images = non_digits.add_to(images, count, config)
    return images, "; ".join(added)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _ending(end: EndRecord, folder: RunFolder) -> str:
    kept = f"The checkpoint of step {end.step} is {folder.checkpoint}."
    if end.outcome == "failed":
        return f"{end.message} {kept.replace('of step', 'of the last finite weights, at most step')}"
    verb = "Stopped" if end.outcome == "stopped" else "Done"
    return f"{verb} after {end.train_seconds:.1f} s of training: test accuracy {end.test_accuracy:.2%}. {kept}"
