"""Write files atomically, and read files from elsewhere without trusting them: only regular files, up to a bound."""

import errno
import os
import secrets
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]
"""The checkout: the folder that holds the package."""

ASSETS = ROOT / "assets"
"""The folder of what ships with the program: MNIST and the trained networks."""


REPLACE_SECONDS = 2.0
"""How long `atomic_write` tries to replace a file that another program keeps open."""


def module_command(module: str) -> list[str]:
    """Return the command that runs a module of this program in a process of its own.

    Neither the working folder nor the checkout comes before the standard library there: either may hold somebody's `queue.py`
    or `random.py`, which PyTorch would import.
    """
    code = f"import sys, runpy; sys.path.append({str(ROOT)!a}); runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    return [sys.executable, "-P", "-c", code]


def atomic_write(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Call `write` on a new file that replaces `path` once it is complete and on disk.

    Its permissions are those of any new file: the umask decides. Raises what `write` raises, and OSError; then what was at `path`
    stays, and the new file is removed. If syncing the folder raises an OSError, the file has already been replaced.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with part.open("xb") as file:
            write(file)
            file.flush()
            sync(file.fileno())
        _replace(part, path)
    except BaseException:
        with suppress(FileNotFoundError):  # it could not be created
            part.unlink()
        raise
    _sync_folder(path.parent)


def _replace(part: Path, path: Path) -> None:
    """Replace `path` by `part`. Where another program has `path` open for a moment, try again for at most REPLACE_SECONDS.

    Virus scanners do that on Windows, and other machines on network shares. Nothing reports when they close it, so this waits.
    """
    give_up_at = time.monotonic() + REPLACE_SECONDS
    seconds = 0.01
    while True:
        try:
            os.replace(part, path)
            return
        except OSError as error:
            is_passing = isinstance(error, PermissionError) or error.errno in (errno.EBUSY, errno.ETXTBSY, errno.ESTALE)
            if not is_passing or time.monotonic() > give_up_at:
                raise
        time.sleep(seconds)
        seconds *= 2


def sync(descriptor: int) -> None:
    """Put what was written to an open file on disk. Raises OSError if the disk fails or is full.

    Does nothing where the file system does not support it, as some network shares and mounts of cloud storage do not.
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not is_sync_unsupported(error):
            raise


def is_sync_unsupported(error: OSError) -> bool:
    """Return whether a sync failed because the file system does not support it, not because the disk failed."""
    return error.errno in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)


def _sync_folder(folder: Path) -> None:
    """Put the names in `folder` on disk: without that a power failure may undo a replacement.

    Does nothing where the system does not support it: Windows opens no folders, and a folder may be writable but not readable.
    """
    if os.name == "nt":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def named_path(text: str) -> str:
    """Return the path that a person wrote, as a shell reads it: with ~ as the home folder, without quotes or spaces around it.

    A file or folder of exactly that name comes first. (A variable that a file from Windows sets may end in a carriage return.)
    """
    if os.path.lexists(text):
        return text
    text = text.strip()
    is_quoted = len(text) > 2 and text[0] == text[-1] and text[0] in "\"'"
    return os.path.expanduser(text[1:-1] if is_quoted else text)


def printable(name: str | Path) -> str:
    """Return a file's name for a line of text: unprintable characters, and bytes that are not UTF-8, are escaped."""

    def escaped(character: str) -> str:
        if "\udc80" <= character <= "\udcff":  # how Python holds a byte of a name that is not UTF-8
            return f"\\x{ord(character) - 0xDC00:02x}"
        return character if character.isprintable() else character.encode("unicode_escape").decode()

    return "".join(map(escaped, str(name)))


def reason(error: Exception) -> str:
    """Return what an error says; of the system's errors without their number and path, which the message around it names."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def open_regular_file(path: str | Path) -> IO[bytes]:
    """Open a file to read. Raises OSError, also if it is not a regular file: pipes never end, and devices have effects."""
    # Without O_NONBLOCK, opening a pipe waits for a writer.
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0)))  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError("it is not a regular file")
    return file


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """Return the content of a regular file. Raises OSError, also if it is larger than `max_bytes`."""
    with open_regular_file(path) as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise OSError(f"it is larger than {max_bytes:,} bytes")
    return content


def as_text(head: bytes, *, is_cut: bool) -> str | None:
    """Return the beginning of a file as text, UTF-16 if it begins with its mark, else UTF-8; None if it is not text.

    A file that `is_cut` may end within a character.
    """
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = head.decode(encoding, "ignore" if is_cut else "strict")
    except UnicodeDecodeError:
        return None
    return text if all(character.isprintable() or character in "\t\n\v\f\r" for character in text) else None
