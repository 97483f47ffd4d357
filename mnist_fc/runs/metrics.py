"""metrics.csv: one row per record, read back without trust."""

import builtins
import csv
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from mnist_fc.files import read_bounded
from mnist_fc.records import (
    EndRecord,
    EpochRecord,
    StepRecord,
)
from mnist_fc.runs.layout import METRICS_NAME, RunsError

COLUMNS = [
    *("step", "epoch", "images_seen", "seconds", "train_loss", "train_accuracy", "learning_rate", "gradient_norms"),
    *("images_per_second", "val_loss", "val_accuracy", "test_loss", "test_accuracy", "outcome", "message", "train_seconds"),
]

MAX_METRICS_BYTES = 8 * 2**20
"""A hundred epochs come to 1 MB."""

MAX_ROWS = 20_000
"""A hundred epochs come to 6,000."""
MAX_LAYERS = 8
MAX_MESSAGE = 2000

MAX_FLOAT32, MAX_INT = 3.5e38, 2**48
"""Nothing that is measured or counted is above."""


def read_rows(path: Path, *, with_steps: bool = True) -> list[dict[str, str]]:
    """The rows of a run's metrics, without one that was not written whole. Raises RunsError.

    Without steps, only the last of the steps' rows is among them.
    """
    lines = _read_lines(path)
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


def read_learning_rates(path: Path) -> list[tuple[int, float]]:
    """The number and the learning rate of each step of a run. Raises RunsError, and ValueError for a cell that is no number."""
    rows = (line.split(b",", 7) for line in _read_lines(path)[1:] if _is_step(line))
    return [(int(cells[0]), float(cells[6])) for cells in rows if len(cells) == 8]


def _read_lines(path: Path) -> list[bytes]:
    try:
        content = read_bounded(path / METRICS_NAME, MAX_METRICS_BYTES)
        if content.count(b"\r\n") > MAX_ROWS:
            raise OSError(f"it has more than {MAX_ROWS:,} rows")
    except OSError as error:
        raise RunsError(f"the run {path.name} cannot be read: {METRICS_NAME}: {error}") from None
    return content.split(b"\r\n")[:-1]  # what follows the last is not whole, or nothing


def _is_step(line: bytes) -> bool:
    return line.split(b",", 3)[2:3] not in ([b""], [])


R = TypeVar("R", StepRecord, EpochRecord, EndRecord)


def parse_record(kind: type[R], row: dict[str, str]) -> R:
    """The record that a row was written from. Raises ValueError for a cell that it cannot have."""
    values: dict[str, Any] = {}
    for field in fields(kind):
        cell = row[field.name]
        match field.type:
            case builtins.int:
                values[field.name] = int(cell)
            case builtins.float:
                values[field.name] = float(cell)
            case _ if field.name == "gradient_norms":
                values[field.name] = tuple(map(float, cell.split(maxsplit=MAX_LAYERS)))
            case _ if field.name in ("outcome", "message"):
                values[field.name] = cell[:MAX_MESSAGE]
            case _:
                values[field.name] = float(cell) if cell else None
    for name, value in values.items():
        for number in value if isinstance(value, tuple) else (value,):
            is_wrong = isinstance(number, int) and not 0 <= number <= MAX_INT
            if is_wrong or (isinstance(number, float) and abs(number) > MAX_FLOAT32):
                raise ValueError(f"{name} is {number!r:.40}")
    if values.get("outcome", "done") not in ("done", "stopped", "failed"):
        raise ValueError(f"outcome is {values['outcome']!r}")
    return kind(**values)


def format_cell(value: object) -> str:
    if value is None:
        return ""
    return " ".join(f"{v:.6g}" for v in value) if isinstance(value, tuple) else str(value)
