"""The code that commands share: it adds their parsers and their options for settings, data and store, and reads those options."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeAlias, get_args

from mnist_fc.analysis.settings_check import notice_orientation, suggest_settings
from mnist_fc.cli.console import Screen
from mnist_fc.config import (
    DEFAULT_PRESET,
    FIELDS,
    PRESETS,
    Activation,
    Choice,
    ConfigError,
    LayerSizes,
    Range,
    TrainConfig,
    parse_value,
    to_number,
)
from mnist_fc.data.download import download_mnist
from mnist_fc.data.familiarity import hint
from mnist_fc.data.mnist import DATA_VARIABLE, Mnist, load_mnist, load_test_digits
from mnist_fc.files import named_path
from mnist_fc.network import checkpoint
from mnist_fc.network.adaptation import SCALINGS
from mnist_fc.network.checkpoint import CheckpointError
from mnist_fc.network.mlp import MLP
from mnist_fc.runs.store import RUNS_VARIABLE

# What `add_subparsers` returns. argparse has no public name for it, so this serves as an annotation only.
Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

OPTION_NAMES = {"num_epochs": "epochs", "num_validation": "validation"}
"""The names of options that differ from their field's."""

FIELD_HELP = {
    "hidden_sizes": "units of each hidden layer, from the first to the last",
    "activation": "activation function of the hidden layers",
    "initialization": "library whose initial weights to draw",
    "dropout": "probability of dropping a hidden unit in a step",
    "optimizer": "algorithm that updates the weights",
    "learning_rate": "learning rate at the peak of the schedule",
    "momentum": "momentum, for sgd",
    "adam_epsilon": "epsilon, for adam and adamw",
    "weight_decay": "weight decay, as the optimizer defines it",
    "schedule": "course of the learning rate",
    "batch_size": "images in a step",
    "num_epochs": "passes over the training images",
    "label_smoothing": "share of the target spread over all digits",
    "augmentation": "random changes to each training image",
    "num_validation": "training images to hold out for validation; with 0, epochs are tested on the test images",
    "precision": "precision of the matrix products in training; bfloat16 is faster on some processors",
    "threads": "CPU threads",
    "seed": "seed of all random numbers",
}


def add_command(
    commands: Subparsers,
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
    examples: str,
) -> argparse.ArgumentParser:
    """Add a command that `run` carries out, with the option --json; return its parser. `examples` are lines of arguments."""
    lines = "\n".join(f"  python -m mnist_fc {name} {line}".rstrip() for line in examples.splitlines())
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"examples:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON, and progress to standard error")
    parser.set_defaults(command=run)
    return parser


def option_of_field(field: str) -> str:
    """Return the option for a field, without its dashes: "learning-rate"."""
    return OPTION_NAMES.get(field, field).replace("_", "-")


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add --data and --download, which exclude each other."""
    group = parser.add_argument_group("data")
    source = group.add_mutually_exclusive_group()
    source.add_argument(
        "--data",
        type=named_path,
        metavar="PATH",
        help="an .npz file or a folder of IDX files (default: $MNIST_FC_DATA, else the MNIST included)",
    )
    source.add_argument("--download", action="store_true", help="download the original MNIST files, or use those in the cache")


def add_network_options(parser: argparse.ArgumentParser) -> None:
    """Add --inputs and --activation, for networks that other programs trained."""
    group = parser.add_argument_group("a network of another program")
    group.add_argument(
        "--inputs",
        choices=SCALINGS,
        default="0..1",
        help="how its training scaled pixels; 1..0: inverted; mean-std: less 0.1307, divided by 0.3081 (default: %(default)s)",
    )
    group.add_argument(
        "--activation",
        choices=get_args(Activation),
        help="activation of its hidden layers (default: that of the config.json beside it, else relu)",
    )


def join_inputs(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with "--inputs -1..1" as one: argparse takes a value that begins with a dash for an option."""
    joined: list[str] = []
    for argument in arguments:
        if argument == "-1..1" and joined and joined[-1] == "--inputs":
            joined[-1] = "--inputs=-1..1"
        else:
            joined.append(argument)
    return joined


def load_network(path: str, parsed: argparse.Namespace, images: Mnist | None = None) -> MLP:
    """Return the network in a checkpoint. Print to standard error what was done to read it, and which options suit it better.

    Without `images`, that is looked for only if it may be, on the test digits of the data. Raises DataError, and
    CheckpointError and ConfigError as `checkpoint.read` does.
    """
    loaded = checkpoint.read(path, parsed.activation, parsed.inputs)
    notes = list(loaded.notes)
    if images or not loaded.is_as_trained:
        digits, labels = (images.test_images, images.test_labels) if images else load_test_digits()
        if suggestion := suggest_settings(loaded.trained, loaded.inputs, digits, labels):
            better = suggestion.better
            notes.append(f"{suggestion.in_words()} Try --inputs {better.inputs} --activation {better.activation}.")
        # Where the data lie otherwise, `load_data` has reported that.
        elif (turned := notice_orientation(loaded.trained, loaded.inputs, digits, labels)) and not (
            images and _data_hint(images)
        ):
            notes.append(turned)
    for note in notes:
        print(f"note: {path}: {note}", file=sys.stderr)
    return loaded.model


def add_setting_options(parser: argparse.ArgumentParser) -> None:
    """Add --preset and an option for each field of TrainConfig; shorten the usage line, which they would fill."""
    parser.usage = "%(prog)s [OPTION ...]"
    group = parser.add_argument_group("settings", "Without an option, its setting is that of the preset.")
    group.add_argument("--preset", choices=PRESETS, help=f"settings to start from (default: {DEFAULT_PRESET})")
    for name, field in FIELDS.items():
        metavar, limits = _metavar_and_limits(field)
        group.add_argument(
            f"--{option_of_field(name)}", dest=name, metavar=metavar, help=FIELD_HELP[name] + (f"; {limits}" if limits else "")
        )


def _metavar_and_limits(field: Range | Choice | LayerSizes) -> tuple[str, str]:
    """Return how the help shows the values of a field, and its limits if that does not show them."""
    match field:
        case Choice(options):
            return f"{{{','.join(options)}}}", ""
        case LayerSizes(count, size):
            return "N[,N...]", f"{count.low:g} to {count.high:g} layers of {size.low:g} to {size.high:g} units"
        case Range(kind, low, high):
            return ("N", f"{kind(low)} to {kind(high)}") if kind is int else ("X", f"{low:g} to {high:g}")


def add_store_option(parser: argparse.ArgumentParser) -> None:
    """Add --runs-dir."""
    parser.add_argument(
        "--runs-dir", type=named_path, metavar="DIR", help=f"folder of the runs (default: ${RUNS_VARIABLE}, else runs)"
    )


def load_data(parsed: argparse.Namespace, screen: Screen) -> Mnist:
    """Return the data that --data or --download names, and say so if it looks unlike MNIST. Raises DataError."""
    if parsed.download:
        return load_mnist(download_mnist())
    images = load_mnist(parsed.data)
    if (parsed.data or os.environ.get(DATA_VARIABLE)) and (words := _data_hint(images)):
        screen.line(words)
    return images


def _data_hint(images: Mnist) -> str:
    """Return how data is unlike MNIST, in words; empty if it is not, or if the built-in network is missing."""
    with suppress(CheckpointError, ConfigError):
        return hint(images, checkpoint.load(checkpoint.SHIPPED))
    return ""


def fit_validation(config: TrainConfig, images: Mnist, screen: Screen) -> TrainConfig:
    """Return `config` with a tenth of the training images for validation if it asks for more than there are, and say so."""
    num_images = len(images.train_labels)
    if said := config.misfit(num_images):
        screen.line(said)
    return config.fitted_to(num_images)


def whole_number(field: str, text: str) -> int:
    """Return the value of an option for a field that is a whole number. Raises ConfigError if it is out of range."""
    limit = FIELDS[field]
    assert isinstance(limit, Range)
    return int(limit.check(field, to_number(text)))


def given_settings(parsed: argparse.Namespace) -> dict[str, Any]:
    """Return the fields that options were given for, parsed but not checked."""
    return {name: parse_value(name, text) for name in FIELDS if (text := getattr(parsed, name, None)) is not None}
