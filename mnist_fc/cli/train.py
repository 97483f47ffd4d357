"""The command `train`: train a network, and keep it in a run folder."""

import argparse
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import numpy as np
import torch

from mnist_fc.cli.console import Screen, to_json
from mnist_fc.cli.options import (
    Subparsers,
    add_command,
    add_data_options,
    add_setting_options,
    add_store_option,
    fit_validation,
    given_settings,
    load_data,
    option_of_field,
)
from mnist_fc.config import (
    CPU_COUNT,
    DEFAULT_PRESET,
    DEFAULT_THREADS,
    MAX_DEFAULT_THREADS,
    PRESETS,
    ConfigError,
    Range,
    TrainConfig,
    to_number,
)
from mnist_fc.data import displays, fonts, my_digits, non_digits, pen_digits
from mnist_fc.data.lesson import Lesson
from mnist_fc.data.mnist import Mnist
from mnist_fc.files import named_path
from mnist_fc.network.products import BFLOAT16_IS_FASTER, bfloat16_share
from mnist_fc.records import EndRecord, EpochRecord, HeldOutRecord, StepRecord, step_of
from mnist_fc.runs.lessons import read_lesson
from mnist_fc.runs.store import RunStore, runs_dir
from mnist_fc.runs.writer import RunFolder
from mnist_fc.training.distributed import SINGLE_PROCESS, ProcessGroup, joined
from mnist_fc.training.engine import train
from mnist_fc.training.teaching import teach
from mnist_fc.training.train_state import TrainState

OUTLIERS = Range(int, 1, 100_000)

MY_REPEATS = 10
"""How often an epoch has each of a person's own digits: one in sixty thousand would be overlooked."""

ADDED = ("pen_strokes", "my_digits", "fonts", "outliers")
"""The options that add training data."""

EXIT_CODES = {"done": 0, "failed": 1, "stopped": 130}


def add_parser(commands: Subparsers) -> None:
    """Add the command `train`."""
    parser = add_command(
        commands,
        "train",
        run_train,
        "train a network and keep it in a run folder",
        "\n--preset best --epochs 20\n--hidden-sizes 500,500 --learning-rate 1e-3 --json\n--resume RUN",
    )
    parser.add_argument(
        "--resume",
        metavar="RUN",
        help="continue an interrupted or stopped run with its own settings; RUN is the name of its folder",
    )
    parser.add_argument(
        "--pen-strokes",
        type=named_path,
        metavar="PATH",
        help="also train on the digits of this file of pen strokes: an .npz file, or UCI's pendigits-orig.tra; "
        f"every {pen_digits.HELD_OUT}th writer is held out",
    )
    parser.add_argument(
        "--my-digits",
        type=named_path,
        metavar="FILE",
        help=f"also train on your own digits, as the page saves them, each {MY_REPEATS} times an epoch",
    )
    parser.add_argument(
        "--fonts",
        type=named_path,
        metavar="DIR",
        help="also train on printed digits, in the typefaces of this folder of fonts (.ttf, .otf), and on those of displays",
    )
    parser.add_argument(
        "--outliers",
        metavar="N",
        help=f"also train on N generated pictures of each kind that is not a digit, as an eleventh class, with --fonts also on "
        f"printed letters; {OUTLIERS.low:g} to {OUTLIERS.high:g}",
    )
    add_store_option(parser)
    add_data_options(parser)
    add_setting_options(parser)


@dataclass(frozen=True)
class Prepared:
    """The starting point of a training. Only the first process of a group has the run's folder; a new run has no state."""

    config: TrainConfig
    images: Mnist
    folder: RunFolder | None
    state: dict[str, np.ndarray] | None = None
    lesson: Lesson | None = None


@dataclass
class Figures:
    """The figures of a training for JSON, gathered from its records."""

    train_loss: float | None = None
    epoch_seconds: list[float] = field(default_factory=list)
    images_per_second: list[float] = field(default_factory=list)
    held_out: tuple[int, ...] | None = None


def run_train(parsed: argparse.Namespace) -> int:
    """Train a network. Under torchrun, only the first process prints and writes the run."""
    with joined(lambda text: print(text, file=sys.stderr, flush=True)) as group:
        screen = Screen(to_stderr=parsed.json, is_silent=group.rank > 0)
        store = RunStore(runs_dir(parsed.runs_dir))
        prepared = (_prepare_resumed if parsed.resume else _prepare_new)(parsed, group, store, screen)
        figures = Figures()
        end = train_prepared(prepared, group, screen, figures)
        if prepared.folder:
            screen.line(ending(end, prepared.folder))
            if parsed.json:
                print(to_json(result(prepared.config, prepared.folder, figures, end)), flush=True)
        return EXIT_CODES[end.outcome]


def _prepare_new(parsed: argparse.Namespace, group: ProcessGroup, store: RunStore, screen: Screen) -> Prepared:
    """Create a run, and make room for it in the store."""
    # Processes on one machine share its cores.
    threads = DEFAULT_THREADS
    if group.local_size > 1:  # torchrun sets OMP_NUM_THREADS to 1 for each of them
        threads = max(1, min(MAX_DEFAULT_THREADS, CPU_COUNT // group.local_size))
    config = PRESETS[parsed.preset or DEFAULT_PRESET].replace(**{"threads": threads, **given_settings(parsed)})
    num_outliers = None if parsed.outliers is None else int(OUTLIERS.check("outliers", to_number(parsed.outliers)))
    images = load_data(parsed, screen)
    config = fit_validation(config, images, screen)
    images, added = _with_added(images, parsed, num_outliers, config, screen)
    if group.rank > 0:
        return Prepared(config, images, None)
    if config.precision == "bfloat16" and (share := bfloat16_share()) >= BFLOAT16_IS_FASTER:
        screen.line(f"note: on this processor, products in bfloat16 take {share:.2g} times as long as in float32")
    for run in store.plan_eviction(config).to_remove:
        screen.line(f"making room in {store.path}: removing the oldest run that is not pinned, {run.id}")
    return Prepared(config, images, store.create(config, added))


def _prepare_resumed(parsed: argparse.Namespace, group: ProcessGroup, store: RunStore, screen: Screen) -> Prepared:
    """Open a run of the store to continue it. Raises ConfigError if options would change its settings or data."""
    names = [*given_settings(parsed), *(name for name in ("preset", *ADDED) if getattr(parsed, name))]
    if names:
        options = ", ".join(f"--{option_of_field(name)}" for name in names)
        raise ConfigError(f"--resume keeps the run's own settings and data; leave out {options}")
    config = store.run(parsed.resume).config
    lesson = read_lesson(store.folder(parsed.resume), config.layer_sizes)
    images = load_data(parsed, screen)
    if group.rank > 0:
        return Prepared(config, images, None, store.state(parsed.resume), lesson)
    folder, state = store.reopen(parsed.resume)
    return Prepared(config, images, folder, state, lesson)


def _with_added(
    images: Mnist, parsed: argparse.Namespace, num_outliers: int | None, config: TrainConfig, screen: Screen
) -> tuple[Mnist, str]:
    """Return `images` with the digits and non-digits to add to them, and a description of these."""
    added: list[str] = []

    def announce(what: str) -> None:
        added.append(what)
        screen.line(f"adding {what}")

    if parsed.my_digits:
        pixels, labels = my_digits.images_and_labels(my_digits.load(parsed.my_digits))
        announce(f"{len(labels):,} digits of your own, each {MY_REPEATS} times an epoch")
        images = images.with_added(torch.from_numpy(pixels).repeat(MY_REPEATS, 1), torch.from_numpy(labels).repeat(MY_REPEATS))
    if parsed.pen_strokes:
        digits, _ = pen_digits.load(parsed.pen_strokes).split()
        num_writers = len(set(digits.writers.tolist()))
        announce(f"{len(digits.labels):,} digits of {num_writers} writers, each drawn {pen_digits.NUM_DRAWINGS} times")
        images = pen_digits.add_to(images, digits, config.seed)
    typefaces = fonts.load(parsed.fonts) if parsed.fonts else []
    if typefaces:
        announce(f"{len(typefaces) * fonts.DIGITS_PER_FONT:,} printed digits and {displays.NUM_DIGITS:,} of displays")
        images = displays.add_to(fonts.add_to(images, typefaces, config.seed), config.seed)
    if num_outliers is not None:
        announce(f"{num_outliers:,} pictures of each kind that is not a digit")
        images = non_digits.add_to(images, num_outliers, config)
    if typefaces and num_outliers is not None:
        num_letters = fonts.LETTERS_PER_OUTLIER * num_outliers
        announce(f"{num_letters:,} printed letters")
        images = fonts.add_letters_to(images, typefaces, num_letters, config.seed)
    return images, "; ".join(added)


def train_prepared(prepared: Prepared, group: ProcessGroup, screen: Screen, figures: Figures) -> EndRecord:
    """Train to the end, or until Ctrl-C or a closed pipe; write every record to the run's folder, and show progress."""
    config, folder, lesson = prepared.config, prepared.folder, prepared.lesson
    is_read = True  # the output, by a person or a program
    in_data = len(prepared.images.train_labels)
    num_images = lesson.num_images(in_data) if lesson else in_data
    num_steps = config.num_epochs * config.steps_per_epoch(num_images)
    screen.start(num_steps, step_of(prepared.state) if prepared.state else 0)
    try:
        with _stop_on_signal(group) as on_step:

            def should_continue(state: TrainState) -> bool:
                return on_step(state) and is_read

            if lesson:
                records = teach(config, prepared.images, lesson, should_continue, prepared.state, should_continue)
            else:
                records = train(config, prepared.images, should_continue, prepared.state, group)
            for record in records:
                if folder:
                    folder.write(record)
                match record:
                    case StepRecord():
                        figures.train_loss = record.train_loss
                        screen.step(record, config)
                    case EpochRecord():
                        figures.train_loss = record.train_loss
                        figures.epoch_seconds.append(record.seconds)
                        figures.images_per_second.append(record.images_per_second)
                        try:
                            screen.epoch(record, config)
                        except BrokenPipeError:  # as after Ctrl-C, the run can be resumed
                            is_read = False
                    case HeldOutRecord():
                        figures.held_out = record.digits
                    case EndRecord():
                        end = record
    finally:
        screen.close()
        if folder:
            folder.close()
    return end


@contextmanager
def _stop_on_signal(group: ProcessGroup) -> Iterator[Callable[[TrainState], bool]]:
    """Yield an `on_step` for `train` that ends the training after the step in which Ctrl-C was pressed."""
    interrupted = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a second Ctrl-C does not wait for the step

    def on_step(_training: TrainState) -> bool:
        return not interrupted

    # torchrun forwards the signals it gets, and sends SIGTERM to the other processes when one has ended.
    numbers = [signal.SIGINT] if group is SINGLE_PROCESS else [signal.SIGINT, signal.SIGTERM]
    handlers = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield on_step
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def result(config: TrainConfig, folder: RunFolder, figures: Figures, end: EndRecord) -> dict[str, Any]:
    """Return the result for JSON. Other programs rely on its keys."""
    return {
        "run_dir": str(folder.path),
        "checkpoint": str(folder.checkpoint),
        "parameters": config.num_parameters,
        "epochs": len(figures.epoch_seconds),
        "train_seconds": end.train_seconds,
        "seconds_per_epoch": _mean(figures.epoch_seconds),
        "images_per_second": _mean(figures.images_per_second),
        "train_loss": figures.train_loss,
        "test_accuracy": end.test_accuracy,
        "outcome": end.outcome,
    }


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def ending(end: EndRecord, folder: RunFolder) -> str:
    """Return the last line: how the training ended, its test accuracy, and where the checkpoint is."""
    ended = f"{folder.outcome_word(end).capitalize()} after {end.train_seconds:.1f} s of training"
    if end.outcome == "failed":
        return (
            f"{ended}. {end.message} The checkpoint of the last finite weights, at most step {end.step}, is {folder.checkpoint}."
        )
    return f"{ended}: test accuracy {end.test_accuracy:.2%}. The checkpoint of step {end.step} is {folder.checkpoint}."
