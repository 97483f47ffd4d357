"""runs.py: what a run leaves on disk, and what is said when it cannot."""

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mnist_fc.config import PRESETS, TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.files import ROOT
from mnist_fc.network import checkpoint
from mnist_fc.records import MAX_KEPT, EndRecord, EpochRecord, Record, StateRecord, StepRecord, WeightsRecord, step_of
from mnist_fc.runs import layout, metrics, writer
from mnist_fc.runs.layout import RunMetadata, RunsError, kept_checkpoints
from mnist_fc.runs.lock import is_active
from mnist_fc.runs.reader import StoredRun, read_run
from mnist_fc.runs.writer import RunFolder
from mnist_fc.training.engine import train
from mnist_fc.training.train_state import TrainState
from tests.support.files import files_no_larger_than

CONFIG = TrainConfig(hidden_sizes=(16, 8), activation="tanh", num_epochs=2, num_validation=500, threads=1)


@pytest.fixture(scope="module")
def records(small: Mnist) -> list[Record]:
    return list(train(CONFIG, small))


OPENED: list[RunFolder] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


def new_run(*arguments: Any, **options: Any) -> RunFolder:
    """A run folder that is closed when the test ends."""
    OPENED.append(RunFolder(*arguments, **options))
    return OPENED[-1]


def rows_of(folder: RunFolder) -> list[dict[str, str]]:
    with (folder.path / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_all(folder: RunFolder, records: Sequence[Record]) -> RunFolder:
    for record in records:
        folder.write(record)
    return folder


def step_records(run: StoredRun) -> list[tuple[int, float, float]]:
    return [(record.step, record.train_loss, record.learning_rate) for record in run.steps]


def test_a_run_leaves_all_that_it_was(tmp_path: Path, records: list[Record]) -> None:
    folder = write_all(new_run(tmp_path / "deep" / "runs", CONFIG), records)
    kept = [f"step-{step:06}.ckpt" for step in (0, 5, 10, 15, 20, 30)]
    names = sorted(path.name for path in folder.path.iterdir() if not path.name.startswith(("events", ".lock")))
    assert names == ["about.json", "config.json", "metrics.csv", "model.ckpt", "report.md", *kept]
    assert len(list(folder.path.glob("events.out.tfevents.*"))) == 1
    assert TrainConfig.from_json((folder.path / "config.json").read_text("utf-8")) == CONFIG
    last = records[-2]
    assert isinstance(last, WeightsRecord)
    model = checkpoint.load(folder.checkpoint)
    assert isinstance(model.activation, torch.nn.Tanh)
    assert all(torch.equal(tensor, torch.from_numpy(last.weights[name])) for name, tensor in model.state_dict().items())


def test_metrics_have_a_row_for_each_record_and_read_back_exactly(tmp_path: Path, records: list[Record]) -> None:
    folder = write_all(new_run(tmp_path, CONFIG), records)
    written = [record for record in records if isinstance(record, (StepRecord, EpochRecord, EndRecord))]
    assert [type(record) for record in written] == [*([StepRecord] * 15 + [EpochRecord]) * 2, EndRecord]
    assert len(rows_of(folder)) == len(written)
    run = read_run(folder.path)
    assert (run.config, run.epochs, run.end) == (
        CONFIG,
        tuple(record for record in written if isinstance(record, EpochRecord)),
        written[-1],
    )
    for read, record in zip(run.steps, (record for record in written if isinstance(record, StepRecord)), strict=True):
        assert replace(read, gradient_norms=()) == replace(record, gradient_norms=())
        assert read.gradient_norms == pytest.approx(record.gradient_norms, rel=1e-5)
    assert read_run(folder.path, with_steps=False) == replace(run, steps=())


def test_each_of_the_weights_to_keep_is_a_checkpoint_of_its_own(tmp_path: Path, records: list[Record]) -> None:
    folder = write_all(new_run(tmp_path, CONFIG), records)
    kept = [record for record in records if isinstance(record, WeightsRecord) and record.is_kept]
    assert list(folder.kept) == sorted({record.step for record in kept})
    for record in kept:
        model = checkpoint.load(folder.kept[record.step])
        assert isinstance(model.activation, torch.nn.Tanh)
        assert all(torch.equal(tensor, torch.from_numpy(record.weights[name])) for name, tensor in model.state_dict().items())
    assert kept_checkpoints(folder.path) == folder.kept


def test_weights_that_are_not_to_keep_leave_no_file(tmp_path: Path, records: list[Record]) -> None:
    folder = new_run(tmp_path, CONFIG)
    write_all(folder, [replace(record, is_kept=False) if isinstance(record, WeightsRecord) else record for record in records])
    assert not list(folder.path.glob("step-*"))
    assert folder.checkpoint.exists()


def test_where_there_is_little_room_fewer_weights_are_kept_from_the_first_to_the_last(
    tmp_path: Path, records: list[Record]
) -> None:
    size = 4 * CONFIG.num_parameters
    folder = new_run(tmp_path, CONFIG, max_bytes=layout.bytes_of(CONFIG) - (MAX_KEPT - 3) * size)
    kept = [record for record in records if isinstance(record, WeightsRecord) and record.is_kept][:-1]
    for record in kept:
        folder.write(record)
        assert {0, record.step} <= set(folder.kept)
        assert len(folder.kept) <= 12
    folder = new_run(tmp_path, CONFIG, max_bytes=0)
    for record in kept:
        folder.write(record)
        assert len(folder.kept) <= 2
        assert list(folder.kept) == list(kept_checkpoints(folder.path)) == sorted({0, record.step})


def test_the_checkpoint_is_there_after_each_epoch(tmp_path: Path, records: list[Record]) -> None:
    folder = new_run(tmp_path, CONFIG)
    first_epoch = next(i for i, record in enumerate(records) if isinstance(record, EpochRecord))
    write_all(folder, records[:first_epoch])
    assert not folder.checkpoint.exists()
    folder.write(records[first_epoch])
    newest = [record for record in records[:first_epoch] if isinstance(record, WeightsRecord)][-1]
    assert newest.step == 15
    loaded = checkpoint.load(folder.checkpoint).state_dict()
    assert torch.equal(loaded["fc1.weight"], torch.from_numpy(newest.weights["fc1.weight"]))


def test_the_report_tells_the_result_each_epoch_and_every_setting(tmp_path: Path, records: list[Record]) -> None:
    folder = write_all(new_run(tmp_path, CONFIG), records[:-1])
    text = (folder.path / "report.md").read_text("utf-8")
    assert "It goes on, or was cut off." in text
    folder.write(records[-1])
    text = (folder.path / "report.md").read_text("utf-8")
    end = records[-1]
    assert isinstance(end, EndRecord)
    assert end.test_accuracy is not None
    assert text.startswith(f"# {folder.path.name}\n")
    assert "784-16-8-10, preset custom" in text
    assert f"Test accuracy {end.test_accuracy:.2%}" in text
    assert len(re.findall(r"^\| \d+ \|", text, re.MULTILINE)) == CONFIG.num_epochs
    assert all(f"| {name} | {value} |" in text for name, value in json.loads(CONFIG.to_json()).items() if name != "hidden_sizes")


def test_a_message_of_any_text_is_one_row(tmp_path: Path) -> None:
    folder = new_run(tmp_path, CONFIG)
    end = EndRecord(3, 1, "failed", 'It said: "no",\nand stopped; näh.', 0.5, None, None)
    folder.write(end)
    assert len(rows_of(folder)) == 1
    assert read_run(folder.path).end == read_run(folder.path, with_steps=False).end == end


# After a kill, and going on


@pytest.mark.parametrize("cut", [0, 1, 10, 200])
def test_metrics_that_end_anywhere_are_read_but_for_what_is_not_whole(tmp_path: Path, records: list[Record], cut: int) -> None:
    folder = write_all(new_run(tmp_path, CONFIG), records)
    whole = read_run(folder.path)
    path = folder.path / "metrics.csv"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - cut])
    run = read_run(folder.path)
    assert (run.end is None) == (cut > 0)
    assert run.steps == whole.steps[: len(run.steps)]
    assert len(whole.steps) - len(run.steps) <= (cut + 100) // 100


def test_a_run_that_was_cut_off_goes_on_as_if_nothing_had_happened(tmp_path: Path, small: Mnist) -> None:
    """Cut off at a step whose state was kept, with later records written after it."""

    def run(folder: RunFolder, until: int, state: dict[str, np.ndarray] | None = None, keep_at: int = -1) -> None:
        def on_step(training: TrainState) -> bool:
            if training.step == keep_at:
                folder.write(StateRecord(training.step, training.epoch, training.state()))
            return True

        for record in train(config, small, on_step, state):
            if isinstance(record, StepRecord) and record.step > until:
                return
            folder.write(record)

    config = CONFIG.replace(dropout=0.2, num_epochs=3)
    whole, cut = new_run(tmp_path, config), new_run(tmp_path, config)
    run(whole, 100)
    run(cut, until=25, keep_at=19)
    assert read_run(cut.path).end is None
    cut.close()
    again, state = RunFolder.reopen(cut.path)
    OPENED.append(again)
    assert state is not None
    assert step_of(state) == 19
    assert [step for step, _, _ in step_records(read_run(cut.path))] == list(range(1, 20))
    assert max(again.kept) <= 19
    run(again, 100, state)
    expected, got = read_run(whole.path), read_run(cut.path)
    assert step_records(got) == step_records(expected)
    assert [replace(e, seconds=0, images_per_second=0) for e in got.epochs] == [
        replace(e, seconds=0, images_per_second=0) for e in expected.epochs
    ]
    assert got.end
    assert expected.end
    assert got.end.test_loss == expected.end.test_loss
    assert list(kept_checkpoints(cut.path)) == list(kept_checkpoints(whole.path))


def test_a_run_that_was_cut_off_before_its_first_state_begins_anew(tmp_path: Path, records: list[Record]) -> None:
    folder = write_all(new_run(tmp_path, CONFIG), records[:8])
    folder.close()
    again, state = RunFolder.reopen(folder.path)
    OPENED.append(again)
    assert state is None
    assert read_run(folder.path).steps == ()
    assert again.kept == {}
    write_all(again, records)
    assert read_run(folder.path).end == records[-1]


def test_a_run_that_is_done_or_has_diverged_does_not_go_on(tmp_path: Path, records: list[Record]) -> None:
    diverged = EndRecord(3, 1, "failed", "The loss stopped being a finite number at step 4.", 0.5, None, None)
    for end in (records[-1], diverged):
        folder = write_all(new_run(tmp_path, CONFIG), [*records[:-1], end])
        with pytest.raises(RunsError, match="has come to its end"):
            RunFolder.reopen(folder.path)


def test_a_run_that_learned_from_more_than_mnist_does_not_go_on(tmp_path: Path, records: list[Record]) -> None:
    folder = write_all(new_run(tmp_path, CONFIG, added="5 pictures of each kind"), records[:8])
    folder.close()
    before = (folder.path / "metrics.csv").read_bytes()
    with pytest.raises(RunsError, match="which the store does not keep"):
        RunFolder.reopen(folder.path)
    assert (folder.path / "metrics.csv").read_bytes() == before


def test_to_ask_whether_a_run_goes_on_makes_nothing_and_hinders_nobody(tmp_path: Path, records: list[Record]) -> None:
    assert not is_active(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    folder = write_all(new_run(tmp_path, CONFIG), records)
    with ThreadPoolExecutor(2) as pool:
        assert not any(pool.map(lambda _: is_active(folder.path), range(400)))


def test_a_run_is_read_while_its_files_are_replaced(tmp_path: Path, records: list[Record]) -> None:
    folder = new_run(tmp_path, CONFIG)
    write_all(folder, records[:-1])
    state = next(record for record in records if isinstance(record, WeightsRecord))

    def replace_often() -> None:
        for _ in range(100):
            folder.write(StateRecord(0, 0, state.weights))

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(replace_often)
        while not writing.done():
            assert read_run(folder.path).epochs
        writing.result()


def test_a_run_that_cannot_begin_leaves_no_folder(tmp_path: Path) -> None:
    with files_no_larger_than(100), pytest.raises(RunsError, match="cannot be written"):
        RunFolder(tmp_path, CONFIG)
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_written_by_one_program_at_a_time(tmp_path: Path, records: list[Record]) -> None:
    folder = new_run(tmp_path, CONFIG)
    code = (
        "import sys; from pathlib import Path; path = Path(sys.argv[1])\n"
        "from mnist_fc.runs.lock import is_active; from mnist_fc.runs.writer import RunFolder\n"
        "print(is_active(path)); RunFolder.reopen(path)"
    )
    command = [sys.executable, "-c", code, str(folder.path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    other = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    assert other.stdout == "True\n"
    assert "goes on in another program" in other.stderr
    folder.close()
    other = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    assert (other.stdout, other.returncode) == ("False\n", 0)


WRITER = """
import sys
from pathlib import Path
from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import load_mnist
from mnist_fc.training.engine import train
from mnist_fc.records import StateRecord, StepRecord
from mnist_fc.runs.writer import RunFolder

config = TrainConfig.from_json(sys.argv[2])
folder = RunFolder(Path(sys.argv[1]), config)
num_steps = 0


def on_step(training):
    if training.step % 5 == 3:
        folder.write(StateRecord(training.step, training.epoch, training.state()))
    return True


for record in train(config, load_mnist(sys.argv[3]), on_step):
    folder.write(record)
    num_steps += isinstance(record, StepRecord)
    print(num_steps, flush=True)
"""


@pytest.mark.parametrize("num_records", [1, 3, 9, 38])
def test_a_writer_killed_at_any_moment_leaves_a_run_that_opens_and_goes_on(
    tmp_path: Path, small: Mnist, small_npz: Path, num_records: int
) -> None:
    config = CONFIG.replace(num_epochs=100)  # it is killed long before its end
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path), config.to_json(), str(small_npz)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout
        for _ in range(num_records):
            num_written = int(writer.stdout.readline())
        writer.kill()
    (path,) = tmp_path.iterdir()
    found = read_run(path)
    assert found.end is None
    assert len(found.steps) >= num_written
    assert [step.step for step in found.steps] == list(range(1, len(found.steps) + 1))
    for kept in kept_checkpoints(path).values():
        checkpoint.load(kept)
    folder, state = RunFolder.reopen(path)
    OPENED.append(folder)
    for record in train(config, small, state=state):
        folder.write(record)
    whole = read_run(path)
    assert whole.end
    expected = [record.train_loss for record in train(config, small) if isinstance(record, StepRecord)]
    assert [step.train_loss for step in whole.steps] == pytest.approx(expected, rel=1e-5)
    assert [epoch.epoch for epoch in whole.epochs] == list(range(1, 101))


# Folders from elsewhere


SPOILED = {
    "config.json: hidden_sizes is": ("config.json", '{"hidden_sizes": [1]}'),
    "config.json: the settings are not JSON": ("config.json", "{"),
    "the columns of metrics.csv are not": ("metrics.csv", "a,b\r\n1,2\r\n"),
    "metrics.csv: could not convert string to float": (
        "metrics.csv",
        ",".join(metrics.COLUMNS) + "\r\n1,1,5,x" + "," * 12 + "\r\n",
    ),
    "metrics.csv: outcome is 'won'": ("metrics.csv", ",".join(metrics.COLUMNS) + "\r\n1,1" + "," * 12 + "won,,1.5\r\n"),
    "metrics.csv: images_seen is -5": ("metrics.csv", ",".join(metrics.COLUMNS) + "\r\n1,1,-5,1,1,1,1,1" + "," * 8 + "\r\n"),
    "about.json: ": ("about.json", '{"name": 5}'),
    "about.json: About.__init__() got an unexpected": ("about.json", '{"colour": 5}'),
}


@pytest.mark.parametrize("said", SPOILED)
def test_a_folder_that_does_not_hold_what_it_should_is_refused_and_says_why(
    tmp_path: Path, records: list[Record], said: str
) -> None:
    folder = write_all(new_run(tmp_path, CONFIG), records)
    name, content = SPOILED[said]
    (folder.path / name).write_text(content, newline="")
    with pytest.raises(RunsError, match=re.escape(said)):
        read_run(folder.path)


def test_a_state_that_would_run_code_or_is_none_is_refused(tmp_path: Path, records: list[Record]) -> None:
    folder = write_all(new_run(tmp_path, CONFIG), records[:8])
    folder.close()
    for content in ({"numbers": torch.zeros(0)}, {"fc1.weight": torch.zeros(3)}, {"numbers": np.float64}, [1]):
        torch.save(content, folder.path / "state.ckpt")
        with pytest.raises(RunsError, match="state"):
            RunFolder.reopen(folder.path)


def test_a_name_is_one_short_line_of_printable_characters() -> None:
    assert RunMetadata(name=" my\n\x1b[31m run \u202e" + "x" * 100).name == "my[31m run " + "x" * 49
    assert RunMetadata(name="Zwölf ✏️ <b>").name == "Zwölf ✏️ <b>"


@pytest.mark.parametrize("preset", ["blog-keras", "custom"])
def test_a_run_is_named_by_its_time_and_preset(tmp_path: Path, preset: str) -> None:
    before = datetime.now().astimezone().replace(microsecond=0)
    folder = new_run(tmp_path, PRESETS.get(preset, CONFIG))
    after = datetime.now().astimezone()
    match = re.fullmatch(rf"(\d{{4}}-\d\d-\d\d-\d{{6}})-{preset}-([a-z]+)", folder.path.name)
    assert match
    assert before <= datetime.strptime(match[1], "%Y-%m-%d-%H%M%S").astimezone() <= after
    assert match[2] in writer.WORDS


def test_runs_begun_in_the_same_second_have_folders_of_their_own(tmp_path: Path) -> None:
    folders = {new_run(tmp_path, CONFIG).path for _ in range(30)}
    assert len(folders) == len(list(tmp_path.iterdir())) == 30


def test_a_store_that_cannot_be_written_is_named_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    for store in (tmp_path / "file", tmp_path / "file" / "runs"):
        with pytest.raises(RunsError, match="cannot be written") as caught:
            new_run(store, CONFIG)
        assert str(store) in str(caught.value)
        assert "--runs-dir or MNIST_FC_RUNS" in str(caught.value)


def test_a_full_disk_is_said_and_what_was_there_stays_readable(tmp_path: Path, records: list[Record]) -> None:
    folder = new_run(tmp_path, CONFIG)
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
