"""metrics.py: whatever a run writes can be read again, and nothing else can."""

import csv
import math
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_fc.data.mnist import Mnist
from mnist_fc.records import EndRecord, EpochRecord, Record, StepRecord
from mnist_fc.runs.layout import RunsError
from mnist_fc.runs.metrics import COLUMNS, MAX_MESSAGE, format_row, parse_record
from mnist_fc.runs.reader import read_run
from mnist_fc.runs.writer import RunFolder
from mnist_fc.training.engine import train
from mnist_fc.training.train_state import TrainState
from tests.support.runs import CONFIG, NewRun, rows_of, write_all
from tests.support.training import end_of


def test_a_runs_records_read_back_exactly(tmp_path: Path, new_run: NewRun, records: list[Record]) -> None:
    folder = write_all(new_run(tmp_path, CONFIG), records)
    written = [record for record in records if isinstance(record, (StepRecord, EpochRecord, EndRecord))]
    assert [type(record) for record in written] == [*([StepRecord] * 15 + [EpochRecord]) * 2, EndRecord]
    assert len(rows_of(folder.path)) == len(written)
    run = read_run(folder.path)
    assert (run.config, run.epochs, run.end) == (
        CONFIG,
        tuple(record for record in written if isinstance(record, EpochRecord)),
        written[-1],
    )
    for read, record in zip(run.steps, (record for record in written if isinstance(record, StepRecord)), strict=True):
        assert replace(read, gradient_norms=()) == replace(record, gradient_norms=())
        assert read.gradient_norms == pytest.approx(record.gradient_norms, rel=1e-5)
    assert read_run(folder.path, with_steps=False) == replace(run, steps=run.steps[-1:])


def test_a_message_of_several_lines_is_one_row(tmp_path: Path, new_run: NewRun) -> None:
    folder = new_run(tmp_path, CONFIG)
    end = EndRecord(3, 1, "failed", 'It said: "no",\nand stopped; näh.', 0.5, None, None)
    folder.write(end)
    assert len(rows_of(folder.path)) == 1
    assert read_run(folder.path).end == read_run(folder.path, with_steps=False).end == end


@pytest.mark.parametrize("cut", [0, 1, 10, 200])
def test_truncated_metrics_lose_only_the_incomplete_row(tmp_path: Path, new_run: NewRun, records: list[Record], cut: int) -> None:
    folder = write_all(new_run(tmp_path, CONFIG), records)
    whole = read_run(folder.path)
    path = folder.path / "metrics.csv"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - cut])
    run = read_run(folder.path)
    assert (run.end is None) == (cut > 0)
    assert run.steps == whole.steps[: len(run.steps)]
    assert len(whole.steps) - len(run.steps) <= (cut + 100) // 100


KINDS: tuple[type[StepRecord | EpochRecord | EndRecord], ...] = (StepRecord, EpochRecord, EndRecord)

counts = st.integers(0, 10**9)
seconds = st.floats(0, 1e9)
shares = st.floats(0, 1)
measured = st.floats(width=32)
"""What comes out of a network, which may have overflowed: float32, inf and nan among them."""
optional = st.none() | measured
norms = st.lists(st.floats(0, width=32) | st.floats(0, math.sqrt(2) * float(np.finfo(np.float32).max)), min_size=3, max_size=3)
messages = (st.text(max_size=80) | st.text(st.sampled_from('a,"\r\n;\x00\u2028'), max_size=40)).filter(
    lambda text: "\r\n" not in text
)

steps = st.builds(
    StepRecord,
    *(counts, counts, counts, seconds, measured, shares, st.floats(1e-5, 1), norms.map(tuple)),
)
epochs = st.builds(EpochRecord, counts, counts, seconds, seconds, measured, shares, optional, optional, optional, optional)
ends = st.builds(EndRecord, counts, counts, st.sampled_from(["done", "stopped", "failed"]), messages, seconds, optional, optional)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without metrics."""
    folder = RunFolder(tmp_path_factory.mktemp("runs"), CONFIG)
    folder.close()
    return folder.path


@given(record=steps | epochs | ends)
def test_every_record_that_a_run_may_write_can_be_read(run: Path, record: StepRecord | EpochRecord | EndRecord) -> None:
    with (run / "metrics.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, format_row(record), format_row(record)])
    stored = read_run(run)
    found = [*stored.steps, *stored.epochs, *([stored.end] if stored.end else [])]
    assert len(found) == (1 if isinstance(record, EndRecord) else 2)
    for name, written in asdict(record).items():
        is_measured = isinstance(written, (float, tuple))
        tolerance = 1e-5 if name == "gradient_norms" else 0
        assert getattr(found[-1], name) == (pytest.approx(written, rel=tolerance, nan_ok=True) if is_measured else written)
    without = read_run(run, with_steps=False)
    assert repr(without.steps) == repr(stored.steps[-1:])  # a loss that is not a number does not equal itself
    assert (len(without.epochs), without.end is None) == (len(stored.epochs), stored.end is None)


@pytest.mark.parametrize(
    ("message", "stored"),
    [("a\r\nb\r\n", "a\nb\n"), ("a\r\r\nb", "a\nb"), ("no \udc80 file", "no ? file"), ("x" * 200_000, "x" * MAX_MESSAGE)],
    ids=["line ends", "more line ends", "surrogate", "long"],
)
def test_a_message_that_would_break_the_file_is_changed(run: Path, message: str, stored: str) -> None:
    row = format_row(EndRecord(1, 1, "failed", message, 1.0, None, None))
    with (run / "metrics.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, row])
    end = read_run(run).end
    assert end
    assert end.message == stored


def test_a_diverging_run_with_infinite_gradients_can_be_read(tmp_path: Path, new_run: NewRun, small: Mnist) -> None:
    def blow_up(training: TrainState) -> bool:
        """Scale the layers so that the loss stays finite while the second layer's gradient overflows."""
        if training.step == 10:
            first, second, third = training.model.layers
            for layer, weight_scale, bias_scale in ((first, 1e4, 1e4), (second, 1e-34, 1e-30), (third, 1e38, 1.0)):
                layer.weight.mul_(weight_scale)
                layer.bias.mul_(bias_scale)
        return True

    config = CONFIG.replace(activation="relu")
    records = list(train(config, small, blow_up))
    steps = [record for record in records if isinstance(record, StepRecord)]
    assert not math.isfinite(steps[-1].gradient_norms[1])
    run = read_run(write_all(new_run(tmp_path, config), records).path)
    for found, expected in zip(run.steps, steps, strict=True):
        assert found.gradient_norms == pytest.approx(expected.gradient_norms, rel=1e-5, nan_ok=True)
    assert run.end == end_of(records)
    assert end_of(records).outcome == "failed"


def test_every_field_of_every_record_is_a_column() -> None:
    assert {field.name for kind in KINDS for field in fields(kind)} == set(COLUMNS)


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        *(("step", cell) for cell in ("-1", "1.5", "nan", "", "1e3", str(2**49))),
        *(("seconds", cell) for cell in ("inf", "nan", "x", "", "1e300")),
        *(("learning_rate", cell) for cell in ("inf", "-inf", "nan")),
        *(("train_loss", cell) for cell in ("1e39", "-1e300", "")),
        *(("gradient_norms", cell) for cell in ("1 x", "1e300", "1,2")),
    ],
)
def test_a_cell_that_no_run_writes_is_rejected(column: str, cell: str) -> None:
    row = dict(zip(COLUMNS, format_row(StepRecord(1, 1, 5, 1.0, 0.5, 0.5, 0.1, (1.0,))), strict=True))
    assert parse_record(StepRecord, row).step == 1
    with pytest.raises(ValueError, match=rf"{column} is .*, which no run writes"):
        parse_record(StepRecord, row | {column: cell})


def test_more_rows_than_a_run_writes_are_rejected(tmp_path: Path, new_run: NewRun) -> None:
    folder = new_run(tmp_path, CONFIG)
    with (folder.path / "metrics.csv").open("ab") as file:
        file.write(b"1,1\r\n" * 20_001)
    with pytest.raises(RunsError, match="more than 20,000 rows"):
        read_run(folder.path)
