"""Options that several commands share, and settings as options."""

import argparse
from typing import Any

from mnist_fc.config import (
    FIELDS,
    PRESETS,
    Choice,
    LayerSizes,
    parse_value,
)
from mnist_fc.data.mnist import Mnist, download_mnist, load_mnist
from mnist_fc.runs.store import RUNS_VARIABLE

# The option's name where it is not the field's own.
OPTION_NAMES = {"num_epochs": "epochs", "num_validation": "validation"}


def option_name(field: str) -> str:
    return OPTION_NAMES.get(field, field).replace("_", "-")


def add_data_options(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--data", metavar="PATH", help="an .npz or a folder of IDX files (MNIST_FC_DATA, else the embedded)")
    source.add_argument("--download", action="store_true", help="fetch the original MNIST files into a cache and use them")


def add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", choices=PRESETS, default="fast", help="settings to begin with (%(default)s)")
    for name, limit in FIELDS.items():
        parser.add_argument(
            f"--{option_name(name)}",
            dest=name,
            metavar="N,N" if isinstance(limit, LayerSizes) else "WORD" if isinstance(limit, Choice) else "N",
            help=f"{limit}",
        )


def add_store_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs-dir", metavar="DIR", help=f"the store of runs ({RUNS_VARIABLE}, else runs)")


def load_data(parsed: argparse.Namespace) -> Mnist:
    return load_mnist(download_mnist() if parsed.download else parsed.data)


def changed_settings(parsed: argparse.Namespace) -> dict[str, Any]:
    """The fields that options were given for; what is wrong with them TrainConfig says."""
    return {name: parse_value(name, text) for name in FIELDS if (text := getattr(parsed, name, None)) is not None}
