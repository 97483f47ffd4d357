"""The database of studies: where it is, how it is opened, and what is wrong with it in words."""

import os
import re
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError

# Optuna has a handler of its own, which tells of every trial. Its warnings go where this program's would.
optuna.logging.set_verbosity(optuna.logging.WARNING)
optuna.logging.disable_default_handler()
optuna.logging.enable_propagation()

STORAGE_NAME = "sweeps.db"

MAX_STORAGE_BYTES = 256 * 2**20
"""Ten thousand trials of a hundred epochs come to less."""
HEARTBEAT_SECONDS = 20

GRACE_SECONDS = 180
"""A trial that gave no sign of life for so long is marked failed when a sweep of the study asks for its next."""

LOCK_SECONDS = 60
"""How long a process waits for others that write to the same SQLite file."""
# What Optuna raises for what it has not written.
DAMAGED = (ValueError, LookupError, TypeError, AttributeError, AssertionError, ArithmeticError, RuntimeError)
SWEEPS_VARIABLE = "MNIST_FC_SWEEPS"


class SweepError(ValueError):
    """A storage that cannot be opened or used, or a study that is none of ours; the message names it without its password."""


def default_storage(store: Path) -> str:
    """The address of the SQLite file in a store of runs; neither need exist yet."""
    return URL.create("sqlite", database=str(store.absolute() / STORAGE_NAME)).render_as_string(hide_password=False)


def storage_address(store: Path) -> str:
    """Where the sweeps of a store of runs are: as the environment's MNIST_FC_SWEEPS says, else a file in the store."""
    return os.environ.get(SWEEPS_VARIABLE) or default_storage(store)


@contextmanager
def open_storage(address: str, to_write: bool = False) -> Iterator[BaseStorage]:
    """The storage at an address, which is closed again. Raises SweepError when it cannot be opened, and when it fails later."""
    name = without_password(address)
    try:
        storage = _open_storage(address, to_write)
    except ImportError as error:
        driver = getattr(error.__cause__, "name", None) or error
        raise SweepError(f"the storage {name} needs a package that is not installed: {driver}") from None
    except (SQLAlchemyError, StorageInternalError, sqlite3.Error, OSError, *DAMAGED) as error:
        raise SweepError(f"the storage {name} cannot be opened: {describe_error(error)}") from None
    try:
        yield storage
    except (SQLAlchemyError, StorageInternalError) as error:
        raise SweepError(f"the storage {name} failed: {describe_error(error)}") from error
    finally:
        if isinstance(storage, RDBStorage):
            storage.scoped_session.remove()
            storage.engine.dispose()


def _open_storage(address: str, to_write: bool) -> BaseStorage:
    """As Optuna's own command line guesses it, but without Redis."""
    file = _file(address)
    if file and to_write:
        file.parent.mkdir(parents=True, exist_ok=True)
    if file and (file.exists() or file.is_symlink()):
        _refuse_other_file(file, is_journal="://" not in address)
    if "://" not in address:
        return JournalStorage(JournalFileBackend(address))
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
            # Another process made the same table or row just before, and there are not many of them.
            if not isinstance(error, IntegrityError) and "already exists" not in str(error):
                raise


def _refuse_other_file(file: Path, *, is_journal: bool) -> None:
    """Raises OSError for a file that no sweep made: a link leads elsewhere, and a pipe or a computed table may have no end."""
    if file.is_symlink() or not file.is_file():
        raise OSError("it is a link or no plain file")
    if file.stat().st_size > MAX_STORAGE_BYTES:
        raise OSError(f"it is larger than {MAX_STORAGE_BYTES // 2**20} MB")
    if is_journal or not file.stat().st_size:
        return
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=LOCK_SECONDS)) as connection:
        for kind, sql in connection.execute("SELECT type, sql FROM sqlite_master"):
            if kind not in ("table", "index") or re.search(r"\b(AS|VIRTUAL)\b", str(sql), re.IGNORECASE):
                raise OSError("it has more than tables of figures")


@contextmanager
def ignore_heartbeat_warning() -> Iterator[None]:
    """The heartbeat is experimental, and only Study.optimize sends it by itself; `_run` sends it too."""
    with warnings.catch_warnings():
        for message in ("Argument ``heartbeat_interval`` is an experimental", ".*fail_stale_trials is experimental"):
            warnings.filterwarnings("ignore", message, ExperimentalWarning)
        warnings.filterwarnings("ignore", "Heartbeat of storage is supposed to be used with Study.optimize", UserWarning)
        yield


def _file(address: str) -> Path | None:
    """The file that an address names, if it names one."""
    if "://" not in address:
        return Path(address)
    with suppress(ArgumentError, ValueError):
        url = make_url(address)
        return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None
    return None


def is_file_missing(address: str) -> bool:
    file = _file(address)
    return file is not None and not file.exists()


def without_password(address: str) -> str:
    """Without all that is before the host and after the name of the database."""
    scheme, separator, rest = address.partition("://")
    _, at, place = rest.rpartition("@")
    return f"{scheme}://{'***@' * bool(at)}{place.partition('?')[0]}" if separator else address


def describe_error(error: BaseException) -> str:
    """The first line of what went wrong, in the words of the driver rather than of the libraries above it."""
    if isinstance(error, StorageInternalError) and error.__cause__:
        error = error.__cause__
    if isinstance(error, DBAPIError) and error.orig:
        error = error.orig
    return (str(error) or type(error).__name__).splitlines()[0]
