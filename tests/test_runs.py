"""runs.py: what a run leaves on disk, and what is said when it cannot."""

import csv
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
import torch
from conftest import files_no_larger_than

from mnist_fc import checkpoint, runs
from mnist_fc.config import PRESETS, TrainConfig
from mnist_fc.data import Mnist
from mnist_fc.engine import EndRecord, EpochRecord, Record, StepRecord, WeightsRecord, train
from mnist_fc.runs import RunFolder, RunsError

CONFIG = TrainConfig(hidden_sizes=(16, 8), activation="tanh", num_epochs=2, num_validation=500, threads=1)


@pytest.fixture(scope="module")
def records(small: Mnist) -> list[Record]:
    return list(train(CONFIG, small))


def rows_of(folder: RunFolder) -> list[dict[str, str]]:
    with (folder.path / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_its_config_its_metrics_and_its_checkpoint(tmp_path: Path, records: list[Record]) -> None:
    folder = RunFolder(tmp_path / "deep" / "runs", CONFIG)
    for record in records:
        folder.write(record)
    kept = [f"step-{step:06}.ckpt" for step in (0, 5, 10, 15, 20, 30)]
    assert sorted(path.name for path in folder.path.iterdir()) == ["config.json", "metrics.csv", "model.ckpt", *kept]
    assert TrainConfig.from_json((folder.path / "config.json").read_text("utf-8")) == CONFIG
    last = records[-2]
    assert isinstance(last, WeightsRecord)
    model = checkpoint.load(folder.checkpoint)
    assert isinstance(model.activation, torch.nn.Tanh)
    assert all(torch.equal(tensor, torch.from_numpy(last.weights[name])) for name, tensor in model.state_dict().items())


def test_metrics_have_a_row_for_each_record_and_read_back_exactly(tmp_path: Path, records: list[Record]) -> None:
    folder = RunFolder(tmp_path, CONFIG)
    for record in records:
        folder.write(record)
    written = [record for record in records if isinstance(record, (StepRecord, EpochRecord, EndRecord))]
    assert [type(record) for record in written] == [*([StepRecord] * 15 + [EpochRecord]) * 2, EndRecord]
    for row, record in zip(rows_of(folder), written, strict=True):
        for name, text in row.items():
            value = getattr(record, name, None)
            if isinstance(value, tuple):
                assert [float(part) for part in text.split()] == pytest.approx(value, rel=1e-5)
            elif isinstance(value, (int, float)):
                assert float(text) == value
            else:
                assert text == (value or "")


def test_each_of_the_weights_to_keep_is_a_checkpoint_of_its_own(tmp_path: Path, records: list[Record]) -> None:
    folder = RunFolder(tmp_path, CONFIG)
    for record in records:
        folder.write(record)
    for record in records:
        if isinstance(record, WeightsRecord):
            model = checkpoint.load(folder.checkpoint_at(record.step))
            assert isinstance(model.activation, torch.nn.Tanh)
            assert all(torch.equal(tensor, torch.from_numpy(record.weights[name])) for name, tensor in model.state_dict().items())


def test_weights_that_are_not_to_keep_leave_no_file(tmp_path: Path, records: list[Record]) -> None:
    folder = RunFolder(tmp_path, CONFIG)
    for record in records:
        folder.write(replace(record, is_kept=False) if isinstance(record, WeightsRecord) else record)
    assert not list(folder.path.glob("step-*"))
    assert folder.checkpoint.exists()


def test_the_checkpoint_is_there_after_each_epoch(tmp_path: Path, records: list[Record]) -> None:
    folder = RunFolder(tmp_path, CONFIG)
    first_epoch = next(i for i, record in enumerate(records) if isinstance(record, EpochRecord))
    for record in records[:first_epoch]:
        folder.write(record)
    assert not folder.checkpoint.exists()
    folder.write(records[first_epoch])
    newest = [record for record in records[:first_epoch] if isinstance(record, WeightsRecord)][-1]
    assert newest.step == 15
    loaded = checkpoint.load(folder.checkpoint).state_dict()
    assert torch.equal(loaded["fc1.weight"], torch.from_numpy(newest.weights["fc1.weight"]))


def test_a_message_of_any_text_is_one_row(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, CONFIG)
    message = 'It said: "no",\nand stopped; näh.'
    folder.write(EndRecord(3, 1, "failed", message, 0.5, None, None))
    (row,) = rows_of(folder)
    assert (row["message"], row["outcome"], row["test_accuracy"]) == (message, "failed", "")


@pytest.mark.parametrize("preset", ["blog-keras", "custom"])
def test_a_run_is_named_by_its_time_and_preset(tmp_path: Path, preset: str) -> None:
    before = datetime.now().astimezone().replace(microsecond=0)
    folder = RunFolder(tmp_path, PRESETS.get(preset, CONFIG))
    after = datetime.now().astimezone()
    match = re.fullmatch(rf"(\d{{4}}-\d\d-\d\d-\d{{6}})-{preset}-([a-z]+)", folder.path.name)
    assert match
    assert before <= datetime.strptime(match[1], "%Y-%m-%d-%H%M%S").astimezone() <= after
    assert match[2] in runs.WORDS


def test_runs_begun_in_the_same_second_have_folders_of_their_own(tmp_path: Path) -> None:
    folders = {RunFolder(tmp_path, CONFIG).path for _ in range(30)}
    assert len(folders) == len(list(tmp_path.iterdir())) == 30


def test_a_store_that_cannot_be_written_is_named_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    for store in (tmp_path / "file", tmp_path / "file" / "runs"):
        with pytest.raises(RunsError, match="cannot be written") as caught:
            RunFolder(store, CONFIG)
        assert str(store) in str(caught.value)
        assert "--runs-dir or MNIST_FC_RUNS" in str(caught.value)


def test_a_full_disk_is_said_and_what_was_there_stays_readable(tmp_path: Path, records: list[Record]) -> None:
    folder = RunFolder(tmp_path, CONFIG)
    for record in records:
        folder.write(record)
    rows, size = rows_of(folder), folder.checkpoint.stat().st_size
    with files_no_larger_than((folder.path / "metrics.csv").stat().st_size):
        for record in (records[1], records[-1]):
            with pytest.raises(RunsError, match=rf"run folder .*{folder.path.name} cannot be written: "):
                folder.write(record)
    assert rows_of(folder) == rows
    assert folder.checkpoint.stat().st_size == size
    assert checkpoint.load(folder.checkpoint).hidden_sizes == (16, 8)


def test_the_store_is_the_one_named_else_the_environments_else_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert runs.runs_dir() == Path("runs")
    monkeypatch.setenv("MNIST_FC_RUNS", "/elsewhere")
    assert runs.runs_dir() == Path("/elsewhere")
    assert runs.runs_dir("here") == Path("here")
