"""Which process writes a run."""

import sys
from pathlib import Path

if sys.platform != "win32":
    import fcntl

from filelock import FileLock, Timeout

from mnist_fc.files import open_regular_file
from mnist_fc.runs.layout import LOCK_NAME

LOCK_SECONDS = 0.5
"""So long somebody who asks whether a run is active may hold its lock, and much less."""

WRITTEN_HERE: set[Path] = set()
"""The folders of the runs that this program writes."""


def is_active(path: Path) -> bool:
    """Return whether some program, this one or another, is writing the run now."""
    if path.absolute() in WRITTEN_HERE:
        return True
    if not (path / LOCK_NAME).exists():  # to ask would make the file, and its folder
        return False
    try:
        return _is_locked(path / LOCK_NAME)
    except OSError:  # it cannot be written here, then not by a run either
        return False


if sys.platform == "win32":

    def _is_locked(path: Path) -> bool:
        try:
            # Another that asks holds it for a moment, too.
            with FileLock(path).acquire(timeout=0.05, poll_interval=0.005):
                return False
        except Timeout:
            return True

else:

    def _is_locked(path: Path) -> bool:
        """Ask with a shared lock, which others who ask can hold at the same time."""
        with open_regular_file(path) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False
