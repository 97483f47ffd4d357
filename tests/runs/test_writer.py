"""writer.py: what a run leaves on disk, how it resumes, and what it reports when it cannot be written."""

import errno
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import torch

from mnist_fc.analysis.diagnosis import has_diverged
from mnist_fc.config import PRESETS, TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.files import ROOT
from mnist_fc.network import checkpoint
from mnist_fc.records import MAX_KEPT, EndRecord, EpochRecord, Record, StateRecord, StepRecord, WeightsRecord, step_of
from mnist_fc.runs import layout, writer
from mnist_fc.runs.layout import RunsError, kept_checkpoints
from mnist_fc.runs.reader import StoredRun, read_run
from mnist_fc.runs.writer import RunFolder
from mnist_fc.training.engine import train
from mnist_fc.training.train_state import TrainState
from tests.support.files import files_no_larger_than
from tests.support.runs import CONFIG, NewRun, rows_of, write_all


def step_records(run: StoredRun) -> list[tuple[int, float, float]]:
    return [(record.step, record.train_loss, record.learning_rate) for record in run.steps]


def test_a_finished_run_has_every_file(tmp_path: Path, new_run: NewRun, records: list[Record]) -> None:
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


def test_each_kept_snapshot_is_its_own_checkpoint(tmp_path: Path, new_run: NewRun, records: list[Record]) -> None:
    folder = write_all(new_run(tmp_path, CONFIG), records)
    kept = [record for record in records if isinstance(record, WeightsRecord) and record.is_kept]
    assert list(folder.kept) == sorted({record.step for record in kept})
    for record in kept:
        model = checkpoint.load(folder.kept[record.step])
        assert isinstance(model.activation, torch.nn.Tanh)
        assert all(torch.equal(tensor, torch.from_numpy(record.weights[name])) for name, tensor in model.state_dict().items())
    assert kept_checkpoints(folder.path) == folder.kept


def test_weights_not_to_keep_leave_no_file(tmp_path: Path, new_run: NewRun, records: list[Record]) -> None:
    folder = new_run(tmp_path, CONFIG)
    write_all(folder, [replace(record, is_kept=False) if isinstance(record, WeightsRecord) else record for record in records])
    assert not list(folder.path.glob("step-*"))
    assert folder.checkpoint.exists()


def test_with_little_space_fewer_snapshots_cover_the_whole_run(tmp_path: Path, new_run: NewRun, records: list[Record]) -> None:
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


def test_the_checkpoint_exists_after_each_epoch(tmp_path: Path, new_run: NewRun, records: list[Record]) -> None:
    folder = new_run(tmp_path, CONFIG)
    first_epoch = next(i for i, record in enumerate(records) if isinstance(record, EpochRecord))
    write_all(folder, records[:first_epoch])
    assert not folder.checkpoint.exists()
    folder.write(records[first_epoch])
    newest = [record for record in records[:first_epoch] if isinstance(record, WeightsRecord)][-1]
    assert newest.step == 15
    loaded = checkpoint.load(folder.checkpoint).state_dict()
    assert torch.equal(loaded["fc1.weight"], torch.from_numpy(newest.weights["fc1.weight"]))


# Interrupted runs


def test_an_interrupted_run_resumes_to_the_same_records(tmp_path: Path, new_run: NewRun, small: Mnist) -> None:
    """Interrupt it after a step whose state was kept and some later records."""

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


def test_a_run_interrupted_before_its_first_state_starts_over(tmp_path: Path, new_run: NewRun, records: list[Record]) -> None:
    folder = write_all(new_run(tmp_path, CONFIG), records[:8])
    folder.close()
    again, state = RunFolder.reopen(folder.path)
    assert state is None
    assert read_run(folder.path).steps == ()
    assert again.kept == {}
    write_all(again, records)
    assert read_run(folder.path).end == records[-1]


def test_a_finished_or_diverged_run_cannot_resume(tmp_path: Path, new_run: NewRun, records: list[Record]) -> None:
    diverged = EndRecord(3, 1, "failed", "The loss stopped being a finite number at step 4.", 0.5, None, None)
    for end in (records[-1], diverged):
        folder = write_all(new_run(tmp_path, CONFIG), [*records[:-1], end])
        with pytest.raises(RunsError, match="cannot resume: it is done or has diverged"):
            RunFolder.reopen(folder.path)


def test_resumed_run_is_judged_by_all_its_steps(tmp_path: Path, new_run: NewRun, records: list[Record], small: Mnist) -> None:
    """The loss came down before the run was interrupted, and was high ever after."""

    def steps(first: int, last: int, loss: float) -> list[StepRecord]:
        every = [record for record in records if isinstance(record, StepRecord)]
        return [replace(record, train_loss=loss) for record in every if first <= record.step <= last]

    training = TrainState(CONFIG, small)
    for _ in range(15):
        training.take_step(training.next_batch())
    folder = write_all(new_run(tmp_path, CONFIG), [*steps(1, 15, 0.1), StateRecord(15, 1, training.state())])
    folder.close()
    again, _ = RunFolder.reopen(folder.path)
    end = EndRecord(30, 2, "done", "", 1.0, 2.2, 0.1)
    write_all(again, [*steps(16, 30, 2.2), end])
    assert again.outcome_word(end) == "diverged"
    assert "Diverged after 30 steps" in (again.path / "report.md").read_text("utf-8")
    assert not has_diverged(steps(16, 30, 2.2), end), "by those since it was resumed"


def test_a_run_on_added_data_cannot_resume(tmp_path: Path, new_run: NewRun, records: list[Record]) -> None:
    folder = write_all(new_run(tmp_path, CONFIG, added="5 pictures of each kind"), records[:8])
    folder.close()
    before = (folder.path / "metrics.csv").read_bytes()
    with pytest.raises(RunsError, match="which the store does not keep"):
        RunFolder.reopen(folder.path)
    assert (folder.path / "metrics.csv").read_bytes() == before


def test_a_run_can_be_read_while_its_files_are_replaced(tmp_path: Path, new_run: NewRun, records: list[Record]) -> None:
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


def test_a_run_that_cannot_start_leaves_no_folder(tmp_path: Path) -> None:
    with files_no_larger_than(100), pytest.raises(RunsError, match="cannot be written"):
        RunFolder(tmp_path, CONFIG)
    assert list(tmp_path.iterdir()) == []


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


@pytest.mark.slow
@pytest.mark.parametrize("num_records", [1, 3, 9, 38])
def test_a_killed_writer_leaves_a_run_that_resumes(tmp_path: Path, small: Mnist, small_npz: Path, num_records: int) -> None:
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
    for record in train(config, small, state=state):
        folder.write(record)
    whole = read_run(path)
    assert whole.end
    expected = [record.train_loss for record in train(config, small) if isinstance(record, StepRecord)]
    assert [step.train_loss for step in whole.steps] == pytest.approx(expected, rel=1e-5)
    assert [epoch.epoch for epoch in whole.epochs] == list(range(1, 101))


@pytest.mark.parametrize("preset", ["blog-keras", "custom"])
def test_a_run_is_named_after_its_time_and_preset(tmp_path: Path, new_run: NewRun, preset: str) -> None:
    before = datetime.now().astimezone().replace(microsecond=0)
    folder = new_run(tmp_path, PRESETS.get(preset, CONFIG))
    after = datetime.now().astimezone()
    match = re.fullmatch(rf"(\d{{4}}-\d\d-\d\d-\d{{6}})-{preset}-([a-z]+)", folder.path.name)
    assert match
    assert before <= datetime.strptime(match[1], "%Y-%m-%d-%H%M%S").astimezone() <= after
    assert match[2] in writer.WORDS


def test_runs_started_in_one_second_get_different_folders(tmp_path: Path, new_run: NewRun) -> None:
    folders = {new_run(tmp_path, CONFIG).path for _ in range(30)}
    assert len(folders) == len(list(tmp_path.iterdir())) == 30


def test_an_unwritable_store_is_named_with_a_remedy(tmp_path: Path, new_run: NewRun) -> None:
    (tmp_path / "file").write_text("not a folder")
    for store in (tmp_path / "file", tmp_path / "file" / "runs"):
        with pytest.raises(RunsError, match="cannot be written") as caught:
            new_run(store, CONFIG)
        assert str(store) in str(caught.value)
        assert "--runs-dir or MNIST_FC_RUNS" in str(caught.value)


def test_a_file_system_that_syncs_nothing_keeps_the_run(
    tmp_path: Path, new_run: NewRun, records: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", refuse)
    folder = new_run(tmp_path, CONFIG)
    for record in records:
        folder.write(record)
    assert read_run(folder.path).end is not None


def test_a_full_disk_is_reported_and_the_run_stays_readable(tmp_path: Path, new_run: NewRun, records: list[Record]) -> None:
    folder = new_run(tmp_path, CONFIG)
    for record in records:
        folder.write(record)
    rows, size = rows_of(folder.path), folder.checkpoint.stat().st_size
    with files_no_larger_than((folder.path / "metrics.csv").stat().st_size):
        for record in (records[1], records[-1]):
            with pytest.raises(RunsError, match=rf"run folder .*{folder.path.name} cannot be written: "):
                folder.write(record)
    assert rows_of(folder.path) == rows
    assert folder.checkpoint.stat().st_size == size
    assert checkpoint.load(folder.checkpoint).hidden_sizes == (16, 8)
