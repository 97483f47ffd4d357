"""store.py: listing, evicting, deleting and restoring runs."""

import errno
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.records import Record
from mnist_fc.runs.layout import MAX_NUMBER, RunMetadata, RunsError, bytes_of, write_metadata
from mnist_fc.runs.store import RunStore, limit_bytes, runs_dir
from mnist_fc.runs.writer import RunFolder
from mnist_fc.training.engine import train

CONFIG = TrainConfig(hidden_sizes=(16,), num_epochs=1, num_validation=500, threads=1)
SIZE = 300_000
"""Of each run in `full`."""


@pytest.fixture(scope="module")
def records(small: Mnist) -> list[Record]:
    return list(train(CONFIG, small))


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs", limit=2e9)


def add(store: RunStore, records: list[Record], name: str) -> Path:
    """A run that is done, with a folder of that name."""
    folder = store.create(CONFIG)
    for record in records:
        folder.write(record)
    return folder.path.rename(store.path / name)


@pytest.fixture
def full(store: RunStore, records: list[Record]) -> Iterator[RunStore]:
    """Room for four more runs at most beside the three that are there, each of SIZE."""
    for name in ("2026-01-01", "2026-01-02", "2026-01-03"):
        path = add(store, records, name)
        (path / "more").write_bytes(bytes(SIZE - sum(file.stat().st_size for file in path.iterdir())))
        os.utime(path / "metrics.csv")
    yield store
    for path in store.path.iterdir():
        assert path.name.startswith((".", "2026"))


def ids(store: RunStore) -> list[str]:
    return [run.id for run in store.runs()]


def test_runs_are_listed_newest_first_and_reread_after_changes(store: RunStore, records: list[Record]) -> None:
    assert store.runs() == []
    for name in ("2026-01-01", "2026-01-02", "2026-01-03"):
        add(store, records, name)
    assert ids(store) == ["2026-01-03", "2026-01-02", "2026-01-01"]
    going = store.create(CONFIG)
    assert [run.end is None for run in store.runs()] == [True, False, False, False]
    for record in records:
        going.write(record)
    assert store.runs()[0].end == records[-1]
    store.rename(going.path.name, "Mine")
    assert store.runs()[0].metadata.name == "Mine"
    assert store.run(going.path.name).steps
    assert all(run.num_bytes == sum(file.stat().st_size for file in run.path.iterdir()) for run in store.runs())


def test_a_run_started_after_setting_back_the_clock_is_newest(store: RunStore, records: list[Record]) -> None:
    for name in ("2026-10-25-025959", "2036-01-01", "2026-10-25-020000"):
        add(store, records, name)
    assert ids(store) == ["2026-10-25-020000", "2036-01-01", "2026-10-25-025959"]
    begun = store.create(CONFIG)
    begun.close()
    assert ids(RunStore(store.path))[0] == begun.path.name
    store.limit = sum(run.num_bytes for run in store.runs()) + bytes_of(CONFIG) - 1
    assert [run.id for run in store.plan_eviction(CONFIG).to_remove] == ["2026-10-25-025959"]


def test_runs_started_in_one_second_keep_their_order(store: RunStore, records: list[Record]) -> None:
    begun = [store.create(CONFIG) for _ in range(20)]
    for folder in begun:
        folder.close()
    assert ids(store) == [folder.path.name for folder in reversed(begun)]


def test_unnumbered_runs_are_oldest_in_order_of_name(store: RunStore, records: list[Record]) -> None:
    for name in ("2026-01-02", "2026-01-01", "2027-01-01"):
        write_metadata(add(store, records, name), RunMetadata())
    add(store, records, "2025-01-01")
    assert ids(store) == ["2025-01-01", "2027-01-01", "2026-01-02", "2026-01-01"]


@pytest.mark.parametrize("number", [MAX_NUMBER, MAX_NUMBER + 1, 10**4000, -1, 1.5, True, "1"])
def test_an_invalid_number_does_not_prevent_a_new_run(store: RunStore, records: list[Record], number: object) -> None:
    path = add(store, records, "2026-01-01")
    (path / "about.json").write_text(json.dumps({"number": number}))
    begun = store.create(CONFIG)
    begun.close()
    assert begun.path.name in ids(store)
    assert ("2026-01-01" in ids(store)) == (number == MAX_NUMBER)


def test_an_unreadable_run_is_named_and_hides_no_other(full: RunStore) -> None:
    (full.path / "2026-01-02" / "config.json").write_text("{}{")
    os.utime(full.path / "2026-01-02" / "metrics.csv", ns=(1, 1))
    assert ids(full) == ["2026-01-03", "2026-01-01"]
    (problem,) = full.unreadable()
    assert problem.startswith("the run 2026-01-02 cannot be read: config.json")


@pytest.mark.parametrize(
    "run_id",
    ["", "..", ".", "../runs/2026-01-01", "2026-01-01/../2026-01-02", ".deleted", "/etc", "x" * 300, "a\0", "näh"],
)
def test_an_invalid_id_finds_nothing(full: RunStore, run_id: str) -> None:
    for act in (full.run, full.delete, lambda name: full.pin(name, True)):
        with pytest.raises(RunsError, match="no such run"):
            act(run_id)


def test_a_link_is_not_a_run(full: RunStore, tmp_path: Path) -> None:
    (full.path / "2026-01-01").rename(tmp_path / "elsewhere")
    (full.path / "2026-01-01").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunsError, match="no such run"):
        full.run("2026-01-01")
    assert ids(full) == ["2026-01-03", "2026-01-02"]
    bounded(full, 0.8).create(CONFIG).close()
    assert (tmp_path / "elsewhere" / "config.json").exists()


# Eviction


def bounded(full: RunStore, room_for_runs: float) -> RunStore:
    """The same store with a bound that leaves so much room."""
    return RunStore(full.path, limit=3 * SIZE + room_for_runs * bytes_of(CONFIG))


def test_nothing_is_evicted_while_there_is_space(full: RunStore) -> None:
    assert bounded(full, 1.01).plan_eviction(CONFIG).to_remove == ()


def test_only_as_many_oldest_runs_as_needed_are_evicted(full: RunStore) -> None:
    room = (bytes_of(CONFIG) - 1.5 * SIZE) / bytes_of(CONFIG)
    store = bounded(full, room)
    assert [run.id for run in store.plan_eviction(CONFIG).to_remove] == ["2026-01-01", "2026-01-02"]
    assert len(ids(store)) == 3  # said before it happens
    store.create(CONFIG).close()
    assert [name for name in ids(store) if name.startswith("2026-01")] == ["2026-01-03"]


def test_pinned_and_running_runs_are_not_evicted(full: RunStore) -> None:
    full.pin("2026-01-01", True)
    going = full.create(CONFIG)
    write_metadata(going.path.rename(full.path / "2026-01-00"), RunMetadata())  # the oldest
    assert [run.id for run in bounded(full, 1.95).plan_eviction(CONFIG).to_remove] == ["2026-01-02"]
    going.close()
    assert bounded(full, 0.95).plan_eviction(CONFIG).to_remove[0].id == "2026-01-00"


def test_a_store_full_of_pinned_runs_suggests_a_remedy(full: RunStore) -> None:
    for name in ids(full):
        full.pin(name, True)
    store = RunStore(full.path, limit=3 * SIZE + 1000)
    with pytest.raises(RunsError, match=r"is full: .* unpin or delete some, or allow more with MNIST_FC_RUNS_GB"):
        store.create(CONFIG)
    assert len(ids(store)) == 3


def test_the_limit_holds_for_runs_started_together(tmp_path: Path, small: Mnist) -> None:
    config = CONFIG.replace(hidden_sizes=(512,), num_epochs=3)
    store = RunStore(tmp_path, limit=bytes_of(config) * 1.5)
    folders = [store.create(config), store.create(config)]
    for record in train(config, small):
        for folder in folders:
            folder.write(record)
    assert sum(run.num_bytes for run in store.runs()) <= store.limit


def test_two_programs_may_evict_at_once(full: RunStore) -> None:
    stores = [bounded(full, 0.8), bounded(full, 0.8)]
    with ThreadPoolExecutor(2) as pool:
        for folder in pool.map(lambda store: store.create(CONFIG), stores):
            folder.close()


def test_the_next_removal_finishes_a_killed_one(full: RunStore) -> None:
    (full.path / ".removed-x").mkdir()
    (full.path / ".removed-x" / "step-000000.ckpt").write_bytes(b"x")
    (full.path / "2026-01-02" / "config.json").rename(full.path / "2026-01-02" / ".removed")
    assert ids(full) == ["2026-01-03", "2026-01-01"]
    full.delete("2026-01-01")
    assert not (full.path / ".removed-x").exists()
    assert not (full.path / "2026-01-02").exists()


def refuse_to_rename(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "rename", refuse)


def test_a_run_that_may_not_be_renamed_is_kept_whole(full: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    files = sorted((full.path / "2026-01-01").iterdir())
    refuse_to_rename(monkeypatch, errno.EACCES)
    with pytest.raises(RunsError, match="cannot be removed"):
        bounded(full, 0.9).create(CONFIG)
    assert sorted((full.path / "2026-01-01").iterdir()) == files


def test_a_mount_that_renames_no_folders_takes_new_runs(full: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    full.delete("2026-01-02")
    refuse_to_rename(monkeypatch, errno.EPERM)
    for limit in (2.0, 0.9):
        bounded(full, limit).create(CONFIG).close()
        assert full.deleted() == []
    assert "2026-01-01" not in ids(full)
    assert "2026-01-03" in ids(full)
    assert not (full.path / "2026-01-01").exists()


def test_the_limit_holds_for_one_run_that_would_exceed_it(tmp_path: Path, small: Mnist) -> None:
    config = CONFIG.replace(hidden_sizes=(512,), num_epochs=3)
    store = RunStore(tmp_path, limit=bytes_of(config) * 0.6)
    folder = store.create(config)
    for record in train(config, small):
        folder.write(record)
        assert sum(file.stat().st_size for file in folder.path.iterdir()) <= store.limit
    assert store.runs()[0].end


@pytest.mark.integration
def test_the_estimated_size_of_a_run_is_an_upper_bound(tmp_path: Path, small: Mnist) -> None:
    for config in (CONFIG, CONFIG.replace(hidden_sizes=(256, 256), num_epochs=20)):
        folder = RunFolder(tmp_path, config)
        for record in train(config, small):
            folder.write(record)
        assert sum(file.stat().st_size for file in folder.path.iterdir()) <= bytes_of(config)


# Names, pins, deletion


def test_names_and_pins_persist(full: RunStore) -> None:
    full.rename("2026-01-02", "  The <b>best</b>\n ")
    full.pin("2026-01-02", True)
    full.rename("2026-01-03", "x")
    full.rename("2026-01-03", "")
    again = {run.id: run.metadata for run in RunStore(full.path).runs()}
    assert (again["2026-01-02"].name, again["2026-01-02"].is_pinned) == ("The <b>best</b>", True)
    assert again["2026-01-03"].name == ""


def test_deleted_runs_can_be_restored_until_another_begins(full: RunStore) -> None:
    before = full.run("2026-01-02")
    full.delete("2026-01-02")
    full.delete("2026-01-01")
    assert (ids(full), [run.id for run in full.deleted()]) == (["2026-01-03"], ["2026-01-02", "2026-01-01"])
    full.restore("2026-01-02")
    assert full.run("2026-01-02") == before
    assert [run.id for run in full.deleted()] == ["2026-01-01"]
    full.create(CONFIG).close()
    assert full.deleted() == []
    with pytest.raises(RunsError, match="is gone: another run has begun"):
        full.restore("2026-01-01")


@pytest.mark.parametrize("run_id", ["", "..", "../2026-01-03", "none"])
def test_only_deleted_runs_are_restored(full: RunStore, run_id: str) -> None:
    full.delete("2026-01-02")
    with pytest.raises(RunsError, match="is gone: another run has begun"):
        full.restore(run_id)


def test_runs_are_not_deleted_into_a_folder_elsewhere(full: RunStore, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (full.path / ".deleted").symlink_to(elsewhere)
    full.delete("2026-01-02")
    assert list(elsewhere.iterdir()) == []
    assert [run.id for run in full.deleted()] == ["2026-01-02"]


def test_a_running_run_cannot_be_deleted(full: RunStore) -> None:
    going = full.create(CONFIG)
    with pytest.raises(RunsError, match="is running; stop it first"):
        full.delete(going.path.name)
    going.close()
    full.delete(going.path.name)
    assert len(ids(full)) == 3


def test_only_changed_runs_are_read_again(store: RunStore, records: list[Record]) -> None:
    """What was read is remembered until it changes: the list is asked for at every tick of the page."""
    path = add(store, records, "2026-02-000")
    for i in range(1, 100):
        copy = store.path / f"2026-02-{i:03}"
        copy.mkdir()
        for name in ("config.json", "metrics.csv"):
            (copy / name).write_bytes((path / name).read_bytes())
    known = store.runs()
    os.utime(path / "metrics.csv", ns=(time.time_ns(), time.time_ns()))
    assert [before is after for before, after in zip(known, store.runs(), strict=True)] == [False] + [True] * 99


# Path and limit


def test_the_stores_path_falls_back_to_the_environment_then_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert runs_dir() == Path("runs")
    monkeypatch.setenv("MNIST_FC_RUNS", "/elsewhere")
    assert runs_dir() == Path("/elsewhere")
    monkeypatch.setenv("MNIST_FC_RUNS", "~/runs")
    assert runs_dir() == Path.home() / "runs"
    assert runs_dir("here") == Path("here")


def test_the_limit_falls_back_to_two_gigabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limit_bytes() == 2e9
    for text in ("0.5", "0,5", " 5e-1 "):
        monkeypatch.setenv("MNIST_FC_RUNS_GB", text)
        assert limit_bytes() == 5e8
    for text in ("much", "0", "-1", "nan"):
        monkeypatch.setenv("MNIST_FC_RUNS_GB", text)
        with pytest.raises(RunsError, match=f"MNIST_FC_RUNS_GB is '{text}'; it must be a number of gigabytes above 0"):
            limit_bytes()
    monkeypatch.setenv("MNIST_FC_RUNS_GB", "1,000")
    with pytest.raises(RunsError, match="above 0; use no comma, and a point for decimals"):
        limit_bytes()


def test_checkpoints_in_the_store_hold_only_tensors(full: RunStore) -> None:
    for path in full.path.rglob("*.ckpt"):
        state = torch.load(path, weights_only=True)
        assert all(isinstance(value, torch.Tensor) for value in state.values())
