"""Files written whole or not at all; and read without trust: plain files alone, and no more of them than they may hold."""

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]
"""The checkout: the folder that holds the package."""

ASSETS = ROOT / "assets"
"""The folder of what ships with the program: MNIST and the trained networks."""


def atomic_write(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let `write` fill a file that takes the place of `path` once it is whole and on disk."""
    file = tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False)  # noqa: SIM115 (entered below)
    try:
        with file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(file.name, 0o644)
        os.replace(file.name, path)
    except BaseException:
        os.unlink(file.name)
        raise


def open_regular_file(path: str | Path) -> IO[bytes]:
    """Open a file to read. Raises OSError, also for what is no plain file: a pipe never ends, and a device does things."""
    # Without O_NONBLOCK, to open a pipe is to wait for somebody who writes to it.
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0)))  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError("it is no plain file")
    return file


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """What a plain file holds. Raises OSError, also when that is more than `max_bytes`."""
    with open_regular_file(path) as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise OSError(f"it is larger than {max_bytes:,} bytes")
    return content
