"""Addresses of storages, files that no sweep made, and storages that fail."""

import contextlib
import errno
import os
import sqlite3
from pathlib import Path

import pytest

from mnist_fc.data.mnist import Mnist
from mnist_fc.sweep.errors import SweepError
from mnist_fc.sweep.search import sweep
from mnist_fc.sweep.storage import default_storage
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
        (
            "fantasy://me:secret@host/db",
            r"fantasy://\*\*\*@host/db cannot be opened: that kind of database is unknown",
        ),
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


@pytest.mark.parametrize(
    ("address", "advice"),
    [
        ("new.db", "a SQLite file is named sqlite:///new.db"),
        ("made.study", "a SQLite file is named sqlite:///made.study"),
        ("sqlite:/data/x.db", "an address begins like sqlite:////data/x.db"),
        ("SQLite:x.db", "an address begins like sqlite:///x.db"),
        ("sqlite:x.db", "an address begins like sqlite:///x.db"),
        ("sqlite://data/x.db", "three slashes come before a file's path, .*: sqlite:///data/x.db"),
        ("sqlite3:///x.db", "that kind of database is unknown; a SQLite file is named sqlite:///sweeps.db"),
    ],
)
def test_an_address_that_means_a_sqlite_file_is_corrected(
    tmp_path: Path, small: Mnist, monkeypatch: pytest.MonkeyPatch, address: str, advice: str
) -> None:
    monkeypatch.chdir(tmp_path)
    sqlite3.connect("made.study").execute("CREATE TABLE notes (text)").connection.close()
    with pytest.raises(SweepError, match=advice):
        run_sweep(address, small)
    assert [path.name for path in tmp_path.iterdir()] == ["made.study"]


@pytest.mark.parametrize(
    "address",
    [
        "sqlite://",
        "sqlite:///",
        "SQLITE://",
        "sqlite:///:memory:",
        "sqlite+pysqlite:///:memory:",
        "sqlite:///file:a?mode=memory&uri=true",
    ],
)
def test_a_database_in_memory_is_rejected_before_training(
    tmp_path: Path, small: Mnist, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SweepError, match=r"it is only in memory, so its trials would be lost .* sqlite:///sweeps\.db"):
        next(sweep(config_for(address), small))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_named_by_a_uri_is_rejected(tmp_path: Path, small: Mnist, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SweepError, match=r"name the file itself, such as sqlite:///sweeps\.db"):
        next(sweep(config_for("sqlite:///file:x.db?uri=true"), small))
    assert list(tmp_path.iterdir()) == []


def test_the_scheme_of_an_address_may_be_in_any_case(tmp_path: Path, small: Mnist) -> None:
    run_sweep(f"SQLite:///{tmp_path}/u.db", small, num_runs=1)
    assert len(trials(f"sqlite:///{tmp_path}/u.db", "rates")) == len(trials(f"SQLITE:///{tmp_path}/u.db", "rates")) == 1


@pytest.mark.parametrize("scheme", ["postgres", "postgres+psycopg2", "Postgresql"])
def test_usual_names_of_postgresql_are_understood(small: Mnist, scheme: str) -> None:
    with pytest.raises(SweepError, match=r"needs the package psycopg2?, which is not installed"):
        run_sweep(f"{scheme}://me:secret@127.0.0.1:9/db", small)


def test_a_study_of_another_optuna_is_reported_in_one_line(tmp_path: Path, storage: str, small: Mnist) -> None:
    run_sweep(storage, small)
    database = sqlite3.connect(tmp_path / "sweeps.db")
    with database:
        database.execute("UPDATE version_info SET schema_version = 11")
        database.execute("UPDATE alembic_version SET version_num = 'v2.6.0.a'")
    database.close()
    with pytest.raises(SweepError, match="another version of Optuna made it; `optuna storage upgrade") as caught:
        studies(storage)
    assert "\n" not in str(caught.value)


def test_a_journal_needs_no_symbolic_links(tmp_path: Path, small: Mnist, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("Operation not permitted")

    monkeypatch.setattr("os.symlink", refuse)
    run_sweep(str(tmp_path / "study.journal"), small)
    assert studies(str(tmp_path / "study.journal"))


@pytest.mark.parametrize(("code", "is_reported"), [(errno.EINVAL, False), (errno.ENOTSUP, False), (errno.EIO, True)])
def test_a_journal_needs_a_sync_only_where_there_is_one(
    tmp_path: Path, small: Mnist, monkeypatch: pytest.MonkeyPatch, code: int, is_reported: bool
) -> None:
    def refuse(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    path = str(tmp_path / "study.journal")
    with pytest.raises(SweepError, match=os.strerror(code)) if is_reported else contextlib.nullcontext():
        run_sweep(path, small, num_runs=1)
        assert len(trials(path, "rates")) == 1


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
