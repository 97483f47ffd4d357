"""The lock that tells which process writes a run.

It is the system's lock on a file. Some network shares and mounts have no such locks; there a second file names the process that
writes. It stays behind when that process is killed, and the next process on the same machine notices that its owner is gone.
"""

import errno
import sys
from pathlib import Path

if sys.platform != "win32":
    import fcntl

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from mnist_fc.files import open_regular_file, reason
from mnist_fc.runs.layout import LOCK_NAME, RunsError

LOCK_SECONDS = 0.5
"""The time that a writer waits for the lock: a process that only checks it holds it for a moment."""

SOFT_LOCK_NAME = ".lock-owner"

WRITTEN_HERE: set[Path] = set()
"""The folders of the runs that this process is writing."""

_UNSUPPORTED = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP}


def acquire(path: Path) -> BaseFileLock:
    """Return the lock of the run in `path`, acquired. Raises RunsError if another process has it, or it cannot be written."""
    lock: BaseFileLock = FileLock(path / LOCK_NAME, thread_local=False, fallback_to_soft=False)
    try:
        try:
            lock.acquire(timeout=LOCK_SECONDS)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            lock = SoftFileLock(path / SOFT_LOCK_NAME, thread_local=False)
            lock.acquire(timeout=LOCK_SECONDS)
    except Timeout:
        message = f"the run {path.name} is running in another program"
        if isinstance(lock, SoftFileLock):
            message += f"; if that was killed on another machine, delete {path / SOFT_LOCK_NAME}"
        raise RunsError(message) from None
    except OSError as error:
        raise RunsError(f"the run folder {path} cannot be written: {reason(error)}") from None
    return lock


def is_locked(path: Path) -> bool:
    """Return whether a process, this one or another, is writing the run in `path` now."""
    if path.absolute() in WRITTEN_HERE:
        return True
    if not (path / LOCK_NAME).exists():  # a check would create the file and its folder
        return False
    try:
        return _is_held(path / LOCK_NAME)
    except OSError as error:  # a file that cannot be opened is not being written either
        return error.errno in _UNSUPPORTED and _is_soft_lock_held(path / SOFT_LOCK_NAME)


def _is_soft_lock_held(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        with SoftFileLock(path).acquire(timeout=0):  # takes over what a killed process has left
            return False
    except (OSError, Timeout):
        return True


if sys.platform == "win32":

    def _is_held(path: Path) -> bool:
        try:
            # Other processes that check the lock also hold it for a moment.
            with FileLock(path).acquire(timeout=0.05, poll_interval=0.005):
                return False
        except Timeout:
            return True

else:

    def _is_held(path: Path) -> bool:
        """Check with a shared lock, which other processes that check may hold at the same time."""
        with open_regular_file(path) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False
