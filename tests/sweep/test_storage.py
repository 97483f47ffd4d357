"""Addresses of storages, files that no sweep made, and storages that fail."""

import sqlite3
from pathlib import Path

import pytest

from mnist_fc.data.mnist import Mnist
from mnist_fc.sweep.search import sweep
from mnist_fc.sweep.storage import SweepError, default_storage
from mnist_fc.sweep.study import studies, trials
from tests.support.sweeps import config_for, run_sweep


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("mysql://me:secret@host/db", r"the storage mysql://\*\*\*@host/db needs the package MySQLdb, which is not installed"),
        (
            "oracle+oracledb://me:se/cr@et@host/db?wallet_password=secret",
            r"oracle\+oracledb://\*\*\*@host/db needs the package",
        ),
        ("fantasy://me:secret@host/db", r"the storage fantasy://\*\*\*@host/db cannot be opened: Can't load plugin"),
        ("redis://:secret@host:6379/0", r"redis://\*\*\*@host:6379/0 cannot be opened: Optuna unpickles what it finds there"),
        ("://", "the storage :// cannot be opened: Could not parse"),
        ("mysql://me:secret@host:port/db", r"the storage mysql://\*\*\*@host:port/db cannot be opened"),
    ],
)
def test_errors_show_addresses_without_their_password(small: Mnist, address: str, reason: str) -> None:
    for use in (studies, lambda storage: trials(storage, "rates"), lambda storage: run_sweep(storage, small)):
        with pytest.raises(SweepError, match=reason) as caught:
            use(address)
        assert "secret" not in str(caught.value)
        assert "cr@et" not in str(caught.value)


@pytest.mark.parametrize("address", ["sqlite:///{}", "{}"])
def test_other_file_is_rejected_and_left_unchanged(tmp_path: Path, small: Mnist, address: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("learning rates to try\n" * 200)
    for use in (studies, lambda storage: trials(storage, "rates"), lambda storage: run_sweep(storage, small)):
        with pytest.raises(SweepError, match=r"notes\.txt cannot be opened: "):
            use(address.format(path))
    assert path.read_text() == "learning rates to try\n" * 200


def test_folder_that_cannot_be_created_is_an_error(tmp_path: Path, small: Mnist) -> None:
    (tmp_path / "file").write_text("")
    for address in (default_storage(tmp_path / "file" / "runs"), str(tmp_path / "file" / "runs" / "sweeps.journal")):
        with pytest.raises(SweepError, match=r"cannot be opened: .*Not a directory"):
            run_sweep(address, small)


def test_failing_storage_ends_the_sweep_with_the_reason(tmp_path: Path, storage: str, small: Mnist) -> None:
    records = sweep(config_for(storage), small)
    next(records)
    database = sqlite3.connect(tmp_path / "sweeps.db")
    with database:
        database.execute("DROP TABLE trial_intermediate_values")
    database.close()
    with pytest.raises(SweepError, match=r"sweeps\.db failed: no such table: trial_intermediate_values"):
        list(records)


def test_path_with_special_characters_works(tmp_path: Path, small: Mnist) -> None:
    store = tmp_path / "a b%20?c#d@e:f"
    run_sweep(default_storage(store), small, num_runs=1)
    assert (store / "sweeps.db").exists()
    assert len(trials(default_storage(store), "rates")) == 1
