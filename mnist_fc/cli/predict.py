"""The command `predict`."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from mnist_fc.cli.console import to_json
from mnist_fc.drawing.pictures import DrawingError, load_picture
from mnist_fc.reading.reader import EMPTY_READING, Reader, Reading, number, percent


def run_predict(parsed: argparse.Namespace) -> int:
    reader = Reader.load(parsed.checkpoint)
    exit_code = 0
    for picture in parsed.pictures:
        try:
            readings = reader.read_number(load_picture(picture))
        except DrawingError as error:  # the other pictures are read all the same
            print(f"error: {error}", file=sys.stderr)
            exit_code = 2
            continue
        print(to_json(_reading_fields(picture, readings)) if parsed.json else _reading_line(picture, readings))
    return exit_code


def _reading_fields(picture: str, readings: Sequence[Reading]) -> dict[str, Any]:
    """As JSON; of a number the fields of its digits, and its own digit is none."""
    each = [
        {"digit": r.digit, "probabilities": r.probabilities, "runner_up": r.runner_up, "problem": r.problem} for r in readings
    ]
    if len(each) == 1:
        return {"picture": picture, **each[0], "number": number(readings)}
    whole = {"digit": None, "probabilities": EMPTY_READING.probabilities, "runner_up": None, "problem": None}
    return {"picture": picture, **whole, "number": number(readings), "digits": each}


def _reading_line(picture: str, readings: Sequence[Reading]) -> str:
    if len(readings) > 1:
        return f"{picture}: {number(readings)}"
    (reading,) = readings
    if reading.digit is None or reading.runner_up is None:
        return f"{picture}: {'not a digit' if reading.problem == 'no digit' else 'nothing to read'}"
    best, second = reading.probabilities[reading.digit], reading.probabilities[reading.runner_up]
    return f"{picture}: {reading.digit} ({percent(best)}), then {reading.runner_up} ({percent(second)})"
