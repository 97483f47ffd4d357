"""Open the database of studies, check that a sweep made it, and describe what is wrong with it."""

import os
import re
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from mnist_fc.files import is_sync_unsupported, open_regular_file
from mnist_fc.sweep.errors import DAMAGED, SweepError
from mnist_fc.sweep.space import SWEEPS_VARIABLE

# Optuna's own handler prints every trial. Only its warnings are of use, and they go to this program's handlers.
optuna.logging.set_verbosity(optuna.logging.WARNING)
optuna.logging.disable_default_handler()
optuna.logging.enable_propagation()

STORAGE_NAME = "sweeps.db"

MAX_STORAGE_BYTES = 256 * 2**20
"""Enough for ten thousand trials of a hundred epochs."""

HEARTBEAT_SECONDS = 20

GRACE_SECONDS = 180
"""A trial without a heartbeat for this long is marked as failed when a sweep of the study begins its next trial."""

LOCK_SECONDS = 60
"""The time that a process waits for others that write to the same SQLite file."""

SQLITE_SUFFIXES = {".db", ".db3", ".sqlite", ".sqlite3"}
SQLITE_MAGIC = b"SQLite format 3\0"


def default_storage(store: Path) -> str:
    """Return the address of the SQLite file in a store of runs; neither need exist yet."""
    return URL.create("sqlite", database=str(store.absolute() / STORAGE_NAME)).render_as_string(hide_password=False)


def storage_address(store: Path) -> str:
    """Return the address in the variable MNIST_FC_SWEEPS, or that of the SQLite file in a store of runs."""
    return os.environ.get(SWEEPS_VARIABLE) or default_storage(store)


@contextmanager
def open_storage(address: str, to_write: bool = False) -> Iterator[BaseStorage]:
    """Open the storage at an address, and close it afterwards. Raises SweepError if it cannot be opened or fails later."""
    name = without_password(address)
    try:
        storage = _open_storage(_with_usual_scheme(address), to_write)
    except ImportError as error:
        driver = getattr(error.__cause__, "name", None) or error
        raise SweepError(f"the storage {name} needs the package {driver}, which is not installed") from None
    except (SQLAlchemyError, StorageInternalError, sqlite3.Error, OSError, *DAMAGED) as error:
        raise SweepError(f"the storage {name} cannot be opened: {describe_error(error)}") from None
    try:
        yield storage
    except (SQLAlchemyError, StorageInternalError) as error:
        raise SweepError(f"the storage {name} failed: {describe_error(error)}") from error
    finally:
        if isinstance(storage, RDBStorage):
            storage.remove_session()
            storage.engine.dispose()


def _open_storage(address: str, to_write: bool) -> BaseStorage:
    """Open a journal file or a database, as Optuna's command line does, but not Redis."""
    file = _file_of(address)
    _check_address(address, file)
    if file and to_write:
        file.parent.mkdir(parents=True, exist_ok=True)
    if file and (file.exists() or file.is_symlink()):
        _reject_foreign_file(file, is_journal="://" not in address)
    if "://" not in address:
        # Optuna's default lock is a symbolic link, which many shares refuse. Both have one name, so they exclude each other.
        return JournalStorage(_JournalFile(address, JournalFileOpenLock(address)))
    if address.startswith("redis"):
        raise ValueError("Optuna unpickles what it finds there, which could run code")
    engine = {"connect_args": {"timeout": LOCK_SECONDS}} if file else {"pool_pre_ping": True}
    while True:
        try:
            if not to_write:
                return RDBStorage(address, engine)
            with ignore_heartbeat_warning():
                return RDBStorage(address, engine, heartbeat_interval=HEARTBEAT_SECONDS, grace_period=GRACE_SECONDS)
        except (DBAPIError, StorageInternalError) as error:
            # Another process has just created the same table or row. There are only a few, so trying again ends.
            if not isinstance(error, IntegrityError) and "already exists" not in str(error):
                raise


class _JournalFile(JournalFileBackend):
    """An Optuna journal, also where the file system cannot sync. Other errors of writing are raised as the storage's."""

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append entries to the file."""
        try:
            super().append_logs(logs)
        except OSError as error:
            if not is_sync_unsupported(error):  # the sync comes last, so everything has been written
                raise StorageInternalError(str(error)) from error


def _with_usual_scheme(address: str) -> str:
    """Return an address with its scheme as SQLAlchemy wants it: in lower case, and not "postgres", as many hosts call it."""
    scheme, separator, rest = address.partition("://")
    return re.sub(r"^postgres\b", "postgresql", scheme.lower()) + separator + rest if separator else address


def _check_address(address: str, file: Path | None) -> None:
    """Raise ValueError for an address of a database in memory, or that most likely means a SQLite file and names none."""
    scheme, _, rest = address.partition(":")
    path = rest.lstrip("/")
    if "://" not in address:
        if re.fullmatch(r"[A-Za-z]\w+(\+\w+)?", scheme) and rest:
            slash = "/" if rest.startswith("/") else ""
            raise ValueError(f"an address begins like sqlite:///{slash}{path}, and a journal file may not be called {scheme}:")
        if file and _is_sqlite(file):
            raise ValueError(f"a SQLite file is named sqlite:///{address}, and a path alone names a journal file")
    elif scheme.partition("+")[0] == "sqlite" and not rest.startswith("///") and path:
        raise ValueError(f"three slashes come before a file's path, and four before one from the root: sqlite:///{path}")
    elif scheme.partition("+")[0] == "sqlite" and path.startswith("file:") and not _is_in_memory(address):
        raise ValueError("name the file itself, such as sqlite:///sweeps.db")
    elif _is_in_memory(address):
        raise ValueError("it is only in memory, so its trials would be lost at the end; name a file, such as sqlite:///sweeps.db")


def _is_in_memory(address: str) -> bool:
    """Return whether SQLite would keep the database at an address in memory, or in a file that it removes at the end."""
    url = make_url(address)
    is_named = (url.database or "").removeprefix("file:") not in ("", ":memory:")
    return url.get_backend_name() == "sqlite" and (not is_named or "memory" in url.query.get("mode", ""))


def _is_sqlite(file: Path) -> bool:
    """Return whether a file is of SQLite, or would be to judge by its name. A link or pipe is not opened."""
    if file.is_symlink() or not file.is_file() or not file.stat().st_size:
        return not file.exists() and file.suffix.lower() in SQLITE_SUFFIXES
    with open_regular_file(file) as opened:
        return opened.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC


def _reject_foreign_file(file: Path, *, is_journal: bool) -> None:
    """Raise OSError for a file that no sweep made. A link leads elsewhere; a pipe or a computed table may have no end."""
    if file.is_symlink() or not file.is_file():
        raise OSError("it is a link or not a regular file")
    if file.stat().st_size > MAX_STORAGE_BYTES:
        raise OSError(f"it is larger than {MAX_STORAGE_BYTES // 2**20} MB")
    if is_journal or not file.stat().st_size:
        return
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=LOCK_SECONDS)) as connection:
        for kind, sql in connection.execute("SELECT type, sql FROM sqlite_master"):
            if kind not in ("table", "index") or re.search(r"\b(AS|VIRTUAL)\b", str(sql), re.IGNORECASE):
                raise OSError("it holds views, triggers, virtual tables or computed columns")


@contextmanager
def ignore_heartbeat_warning() -> Iterator[None]:
    """Silence the warnings that Optuna's heartbeat is experimental and meant for Study.optimize; a sweep sends it itself."""
    with warnings.catch_warnings():
        for message in ("Argument ``heartbeat_interval`` is an experimental", ".*fail_stale_trials is experimental"):
            warnings.filterwarnings("ignore", message, ExperimentalWarning)
        warnings.filterwarnings("ignore", "Heartbeat of storage is supposed to be used with Study.optimize", UserWarning)
        yield


def _file_of(address: str) -> Path | None:
    """Return the file that an address names, or None if it names a server."""
    if "://" not in address:
        return Path(address)
    with suppress(ArgumentError, ValueError):
        url = make_url(address)
        return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None
    return None


def is_file_missing(address: str) -> bool:
    """Return whether an address names a file that does not exist."""
    file = _file_of(_with_usual_scheme(address))
    return file is not None and not file.exists()


def without_password(address: str) -> str:
    """Return an address without its user, password and parameters."""
    scheme, separator, rest = address.partition("://")
    _, at, place = rest.rpartition("@")
    return f"{scheme}://{'***@' * bool(at)}{place.partition('?')[0]}" if separator else address


def describe_error(error: BaseException) -> str:
    """Return the first line of an error's message, of the database driver's error if there is one."""
    if isinstance(error, NoSuchModuleError):
        return "that kind of database is unknown; a SQLite file is named sqlite:///sweeps.db"
    if "no longer compatible with the table schema" in str(error):
        return "another version of Optuna made it; `optuna storage upgrade --storage ADDRESS` updates one of an older version"
    if isinstance(error, StorageInternalError) and error.__cause__:
        error = error.__cause__
    if isinstance(error, DBAPIError) and error.orig:
        error = error.orig
    return (str(error) or type(error).__name__).splitlines()[0]
