"""The command `predict`: read the digits in pictures."""

import argparse
import glob
import os
import re
import sys
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from mnist_fc.cli.console import to_json
from mnist_fc.cli.found import box_fields, check_annotated, reading_fields, save_annotated
from mnist_fc.cli.options import Subparsers, add_command, add_network_options, load_network
from mnist_fc.config import NUM_CLASSES, NUM_INPUTS, ConfigError
from mnist_fc.drawing.errors import DrawingError
from mnist_fc.drawing.intensity import TINY_SIDE
from mnist_fc.drawing.picture_files import load_picture
from mnist_fc.drawing.pictures import has_even_light
from mnist_fc.files import named_path, printable
from mnist_fc.network.checkpoint import CHECKPOINT_NAME
from mnist_fc.reading.exceptions import Exceptions
from mnist_fc.reading.reader import EMPTY_READING, FoundDigit, Reader, Reading, number, percent, summary, unsure
from mnist_fc.runs.lessons import read_lesson


def add_parser(commands: Subparsers) -> None:
    """Add the command `predict`."""
    parser = add_command(
        commands, "predict", run_predict, "read the digit or number in each picture", "seven.png\nphoto.jpg scan.png --json"
    )
    parser.add_argument(
        "pictures",
        nargs="+",
        metavar="PICTURE",
        help="a picture file of digits: one, a number, or a page of them; ? is what is not surely a digit",
    )
    parser.add_argument("--checkpoint", type=named_path, metavar="PATH", help="network to read with (default: the one included)")
    parser.add_argument(
        "--annotate",
        type=named_path,
        metavar="COPY",
        help="draw a box around each digit found in the one picture, and save this copy, as PNG, JPEG or WebP by its name",
    )
    add_network_options(parser)


def run_predict(parsed: argparse.Namespace) -> int:
    """Print what each picture shows. A picture that cannot be read makes the exit code 2; the others are still read."""
    pictures = list(chain.from_iterable(map(_expanded, parsed.pictures)))
    if parsed.annotate is not None:
        if len(pictures) > 1:
            raise ConfigError(f"--annotate draws on one picture; there are {len(pictures)}")
        check_annotated(parsed.annotate, pictures[0])
    reader = _reader(parsed)
    exit_code = 0
    for picture in pictures:
        try:
            rgba = _loaded(picture)
            found = _found(reader, rgba, picture)
            readings = _readings(reader, rgba, found)
        except DrawingError as error:
            print(f"error: {error}", file=sys.stderr)
            exit_code = 2
            continue
        if parsed.annotate is not None:
            save_annotated(parsed.annotate, rgba, found)
        fields = _reading_fields(picture, readings) | box_fields(rgba, found)
        words = to_json(fields) if parsed.json else f"{printable(picture)}: {_in_words(rgba, readings, fields['lines'])}"
        print(words, flush=True)
    return exit_code


def _reader(parsed: argparse.Namespace) -> Reader:
    """Return a reader with the chosen network, and with the exceptions of the lesson beside it, if a run taught it one."""
    if parsed.checkpoint is None:
        return Reader.load()
    model, path = load_network(parsed.checkpoint, parsed), Path(parsed.checkpoint).absolute()
    if path.name != CHECKPOINT_NAME:  # another moment of the run, or another network
        return Reader(model)
    lesson = read_lesson(path.parent, (NUM_INPUTS, *model.hidden_sizes, NUM_CLASSES))
    return Reader(model, Exceptions.from_lesson(lesson))


def _found(reader: Reader, rgba: np.ndarray, picture: str) -> list[FoundDigit]:
    """Return the digits found in a picture. Raises DrawingError, with its name, if it has too many marks."""
    try:
        return reader.read_picture(rgba)
    except DrawingError as error:
        raise DrawingError(f"{printable(picture)}: {error}") from None


def _readings(reader: Reader, rgba: np.ndarray, found: Sequence[FoundDigit]) -> list[Reading]:
    """Return the readings of a picture, one at least."""
    readings = [each.reading for each in found]
    if all(reading.digit is None for reading in readings) and has_even_light(rgba):
        readings = [unsure(reader.read(rgba))]  # why there is no digit: is it empty, or something else?
    return readings or [EMPTY_READING]


def _expanded(argument: str) -> Sequence[str]:
    """Return the files that an argument names. Where the shell did not expand ~, or a pattern such as *.png, this does."""
    path = named_path(argument)
    return [path] if os.path.lexists(path) else sorted(glob.glob(path, recursive=True)) or [argument]


def _loaded(picture: str) -> np.ndarray:
    """Return the picture in a file, uint8 (H, W, 4). Raises DrawingError as `load_picture` does, and for what names no file."""
    if not os.path.lexists(picture):
        name = printable(picture)
        if not picture:
            raise DrawingError("the name of a picture is empty; name its file")
        if re.match(r"file://", picture, re.IGNORECASE):
            raise DrawingError(f"{name} is an address; give the path alone, without file://")
        if re.match(r"(https?|ftp)://", picture, re.IGNORECASE):
            raise DrawingError(f"{name} is a web address; download the picture first")
        if glob.has_magic(picture):
            raise DrawingError(f"no file matches {name}")
    return load_picture(picture)


def _reading_fields(picture: str, readings: Sequence[Reading]) -> dict[str, Any]:
    """Return a picture's readings for JSON. A number of several digits has its readings in `digits`, and no digit of its own.

    It has a problem of its own if no digit was read at all.
    """
    each = [reading_fields(reading) for reading in readings]
    if len(each) == 1:
        return {"picture": picture, **each[0], "number": number(readings)}
    whole = reading_fields(EMPTY_READING) | {"problem": _problem(readings)}
    return {"picture": picture, **whole, "number": number(readings), "digits": each}


def _problem(readings: Sequence[Reading]) -> str | None:
    """Return why no digit was read in a picture, None if one was."""
    if any(reading.digit is not None for reading in readings):
        return None
    problems = [reading.problem for reading in readings]
    return "overflow" if "overflow" in problems else problems[0]


def _in_words(rgba: np.ndarray, readings: Sequence[Reading], lines: Sequence[str]) -> str:
    """Return what a picture shows: its lines if it is several digits, or the digit and the runner-up with their probabilities."""
    if all(reading.digit is None for reading in readings):
        return _without_digits(rgba, readings)
    if len(readings) > 1:
        return summary(lines)
    (reading,) = readings
    assert reading.digit is not None
    assert reading.runner_up is not None
    best, second = reading.probabilities[reading.digit], reading.probabilities[reading.runner_up]
    return f"{reading.digit} ({percent(best)}), then {reading.runner_up} ({percent(second)})"


def _without_digits(rgba: np.ndarray, readings: Sequence[Reading]) -> str:
    """Return why no digit was read in a picture, uint8 (H, W, 4), and what to do about it, as far as that is known."""
    if _problem(readings) == "overflow":
        return "not read, because the network's values overflowed"
    is_empty = all(reading.problem == "empty" for reading in readings)
    found = "nothing to read" if is_empty else "not a digit" if len(readings) == 1 else "no digits found"
    if (rgba == rgba[0, 0]).all():
        return found
    if max(rgba.shape[:2]) <= TINY_SIDE:
        return f"{found}, or too small or too faint; give a larger picture"
    advice = "try more light, a thicker pen, or a closer photograph"
    if is_empty:
        return f"{found}, or too faint; {advice}"
    return found if len(readings) == 1 else f"{found}; {advice}"
