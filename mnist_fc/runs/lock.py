"""The lock that tells which process writes a run."""

import sys
from pathlib import Path

if sys.platform != "win32":
    import fcntl

from filelock import FileLock, Timeout

from mnist_fc.files import open_regular_file
from mnist_fc.runs.layout import LOCK_NAME

LOCK_SECONDS = 0.5
"""The time that a writer waits for the lock: a process that only checks it holds it for a moment."""

WRITTEN_HERE: set[Path] = set()
"""The folders of the runs that this process is writing."""


def is_locked(path: Path) -> bool:
    """Return whether a process, this one or another, is writing the run in `path` now."""
    if path.absolute() in WRITTEN_HERE:
        return True
    if not (path / LOCK_NAME).exists():  # a check would create the file and its folder
        return False
    try:
        return _is_held(path / LOCK_NAME)
    except OSError:  # a file that cannot be opened is not being written either
        return False


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
