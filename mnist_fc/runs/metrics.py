"""metrics.csv: one row per record. It is read without trust, and whatever a run writes can be read."""

import csv
import math
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from mnist_fc.files import read_bounded
from mnist_fc.records import EndRecord, EpochRecord, StepRecord
from mnist_fc.runs.layout import METRICS_NAME, RunsError

MAX_METRICS_BYTES = 8 * 2**20
"""A hundred epochs take 1 MB."""

MAX_ROWS = 20_000
"""A hundred epochs take 6,000."""

MAX_LAYERS = 8
MAX_MESSAGE = 2000

MAX_COUNT = 2**48

MAX_VALUE = 5e38
"""No finite value that a run measures is larger: the largest is the norm of two float32 norms, 4.9e38."""

OUTCOMES = ("done", "stopped", "failed")


def _parse_count(cell: str) -> int:
    count = int(cell)
    if not 0 <= count <= MAX_COUNT:
        raise ValueError
    return count


def _parse_value(cell: str) -> float:
    """Parse what a clock, the settings or counting gives: it is finite whatever the network does."""
    value = _parse_measured(cell)
    if not math.isfinite(value):
        raise ValueError
    return value


def _parse_measured(cell: str) -> float:
    """Parse what comes out of the network, whose values may have overflowed to inf or nan before the run ended."""
    value = float(cell)
    if math.isfinite(value) and abs(value) > MAX_VALUE:
        raise ValueError
    return value


def _parse_optional(cell: str) -> float | None:
    return _parse_measured(cell) if cell else None


def _parse_norms(cell: str) -> tuple[float, ...]:
    return tuple(map(_parse_measured, cell.split(maxsplit=MAX_LAYERS)))


def _parse_outcome(cell: str) -> str:
    if cell not in OUTCOMES:
        raise ValueError
    return cell


def _parse_message(cell: str) -> str:
    return cell[:MAX_MESSAGE]


PARSERS: dict[str, Callable[[str], Any]] = {
    "step": _parse_count,
    "epoch": _parse_count,
    "images_seen": _parse_count,
    "seconds": _parse_value,
    "train_loss": _parse_measured,
    "train_accuracy": _parse_value,
    "learning_rate": _parse_value,
    "gradient_norms": _parse_norms,
    "images_per_second": _parse_value,
    "val_loss": _parse_optional,
    "val_accuracy": _parse_optional,
    "test_loss": _parse_optional,
    "test_accuracy": _parse_optional,
    "outcome": _parse_outcome,
    "message": _parse_message,
    "train_seconds": _parse_value,
}
"""The parser of each column, in the order of the file. It raises ValueError for a cell that no run writes."""

COLUMNS = list(PARSERS)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the complete rows of the metrics of the run in `path`. Raises RunsError."""
    return parse_rows(path, read_lines(path))


def read_lines(path: Path) -> list[bytes]:
    """Return the complete lines of the metrics of the run in `path`; a killed writer leaves the last one incomplete.

    Raises RunsError.
    """
    try:
        content = read_bounded(path / METRICS_NAME, MAX_METRICS_BYTES)
        if content.count(b"\r\n") > MAX_ROWS:
            raise OSError(f"it has more than {MAX_ROWS:,} rows")
    except OSError as error:
        raise RunsError(f"the run {path.name} cannot be read: {METRICS_NAME}: {error}") from None
    return content.split(b"\r\n")[:-1]


def parse_rows(path: Path, lines: list[bytes], *, with_steps: bool = True) -> list[dict[str, str]]:
    """Return the rows of `lines`, the metrics of the run in `path`. Raises RunsError.

    Without `with_steps`, only the last of the steps' rows is included.
    """
    if not with_steps:
        steps = [number for number, line in enumerate(lines) if number and _is_step(line)]
        lines = [line for number, line in enumerate(lines) if not number or number in steps[-1:] or not _is_step(line)]
    try:
        rows = list(csv.reader(b"\r\n".join(lines).decode("utf-8").split("\r\n"))) if lines else []
    except (UnicodeDecodeError, csv.Error) as error:
        raise RunsError(f"the run {path.name} cannot be read: {METRICS_NAME}: {error}") from None
    if rows and rows[0] != COLUMNS:
        raise RunsError(f"the run {path.name} cannot be read: the columns of {METRICS_NAME} are not {', '.join(COLUMNS)}")
    return [dict(zip(COLUMNS, row, strict=False)) for row in rows[1:] if len(row) == len(COLUMNS)]


def parse_learning_rates(lines: list[bytes]) -> list[tuple[int, float]]:
    """Return the number and the learning rate of each step. Raises ValueError for a cell that is not a number."""
    rows = (line.split(b",", 7) for line in lines[1:] if _is_step(line))
    return [(int(cells[0]), float(cells[6])) for cells in rows if len(cells) == 8]


def _is_step(line: bytes) -> bool:
    return line.split(b",", 3)[2:3] not in ([b""], [])


R = TypeVar("R", StepRecord, EpochRecord, EndRecord)


def parse_record(kind: type[R], row: dict[str, str]) -> R:
    """Return the record that `row` was written from. Raises ValueError for a cell that no run writes."""
    values: dict[str, Any] = {}
    for field in fields(kind):
        try:
            values[field.name] = PARSERS[field.name](row[field.name])
        except ValueError:
            raise ValueError(f"{field.name} is {row[field.name]!r:.40}, which no run writes") from None
    return kind(**values)


def format_row(record: StepRecord | EpochRecord | EndRecord) -> list[str]:
    """Return the cells of a record's row; columns that it does not have stay empty."""
    return [_format_cell(getattr(record, column, None)) for column in COLUMNS]


def _format_cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return " ".join(f"{number:.6g}" for number in value)
    if isinstance(value, str):
        # "\r\n" ends a row, and UTF-8 has no surrogates, which file names in a message may hold.
        return re.sub(r"\r+\n", "\n", value).encode("utf-8", "replace").decode()[:MAX_MESSAGE]
    return str(value)
