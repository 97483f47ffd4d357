"""files.py: writes are atomic and durable, and only regular files are read, up to a bound."""

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from mnist_fc import files
from mnist_fc.files import atomic_write, named_path, open_regular_file, read_bounded
from tests.support.files import files_no_larger_than


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def not_root(folder: Path) -> Iterator[None]:
    """Give up root's rights, which ignore permissions, and own `folder` without them."""
    if os.geteuid() != 0:
        yield
        return
    nobody = 65534
    os.chown(folder, nobody, -1)
    os.seteuid(nobody)
    try:
        yield
    finally:
        os.seteuid(0)


def fail_to_sync(monkeypatch: pytest.MonkeyPatch, code: int, fails: Callable[[int], bool]) -> None:
    """Let every sync of a file whose mode `fails` raise an OSError with this code."""
    sync = os.fsync

    def fail(descriptor: int) -> None:
        if fails(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)


# Names


@pytest.mark.parametrize("text", ["~/a b.npz", '"~/a b.npz"', "'~/a b.npz'", "~/a b.npz\r", ' "~/a b.npz" \r\n'])
def test_quotes_and_the_home_folder_in_a_name_are_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("HOME" if os.name == "posix" else "USERPROFILE", str(tmp_path))
    assert Path(named_path(text)) == tmp_path / "a b.npz"


@pytest.mark.parametrize("name", ['"a"', "~", "", "a'b", '"'])
def test_a_file_of_exactly_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    if name:
        Path(name).touch()
    assert named_path(name) == name


# Writing


def test_a_write_replaces_the_file_and_leaves_no_other(tmp_path: Path) -> None:
    for content in (b"first", b"second"):
        atomic_write(tmp_path / "a", lambda file, content=content: file.write(content))  # type: ignore[misc]
        assert (tmp_path / "a").read_bytes() == content
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077, 0o002])
def test_the_umask_decides_who_may_read_the_file(tmp_path: Path, mask: int) -> None:
    (tmp_path / "a").touch(0o777)
    with umask(mask):
        atomic_write(tmp_path / "a", lambda file: file.write(b"x"))
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~mask


def test_file_is_synced_before_replacing_and_folder_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[os.stat_result, bytes]] = []
    sync = os.fsync

    def note(descriptor: int) -> None:
        sync(descriptor)
        synced.append((os.fstat(descriptor), (tmp_path / "a").read_bytes()))

    (tmp_path / "a").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", note)
    atomic_write(tmp_path / "a", lambda file: file.write(b"new"))
    assert [content for _, content in synced] == [b"old", b"new"]
    assert [found.st_ino for found, _ in synced] == [path.stat().st_ino for path in (tmp_path / "a", tmp_path)]


def test_a_folder_that_cannot_be_read_can_still_be_written() -> None:
    with tempfile.TemporaryDirectory() as name, not_root(Path(name)):
        Path(name).chmod(0o300)
        with pytest.raises(PermissionError):
            os.listdir(name)
        atomic_write(Path(name) / "a", lambda file: file.write(b"x"))
        assert (Path(name) / "a").read_bytes() == b"x"
        Path(name).chmod(0o700)


@pytest.mark.parametrize(("code", "is_reported"), [(errno.EINVAL, False), (errno.ENOTSUP, False), (errno.EIO, True)])
def test_a_folder_that_fails_to_sync_has_the_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, is_reported: bool
) -> None:
    """Some network file systems do not sync folders, which is no error; a failing disk is one."""
    (tmp_path / "a").write_bytes(b"old")
    fail_to_sync(monkeypatch, code, stat.S_ISDIR)
    with pytest.raises(OSError, match=os.strerror(code)) if is_reported else contextlib.nullcontext():
        atomic_write(tmp_path / "a", lambda file: file.write(b"new"))
    assert (tmp_path / "a").read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_that_syncs_nothing_has_the_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    (tmp_path / "a").write_bytes(b"old")
    fail_to_sync(monkeypatch, code, lambda mode: True)
    atomic_write(tmp_path / "a", lambda file: file.write(b"new"))
    assert (tmp_path / "a").read_bytes() == b"new"


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_file_that_fails_to_sync_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    (tmp_path / "a").write_bytes(b"old")
    fail_to_sync(monkeypatch, code, stat.S_ISREG)
    with pytest.raises(OSError, match=os.strerror(code)):
        atomic_write(tmp_path / "a", lambda file: file.write(b"new"))
    assert (tmp_path / "a").read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    def interrupted(file: IO[bytes]) -> Any:
        file.write(b"half of it")
        raise KeyboardInterrupt

    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        atomic_write(tmp_path / "a", interrupted)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with files_no_larger_than(4096), pytest.raises(OSError, match="File too large"):
        atomic_write(tmp_path / "a", lambda file: file.write(bytes(100_000)))
    assert (tmp_path / "a").read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_a_write_into_a_missing_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        atomic_write(tmp_path / "none" / "a", lambda file: file.write(b"x"))


# Reading


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bounded(tmp_path / "a", 5) == b"12345"
    with pytest.raises(OSError, match="larger than 4 bytes"):
        read_bounded(tmp_path / "a", 4)


def test_opening_a_pipe_without_a_writer_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        open_regular_file(tmp_path / "pipe")


def test_devices_folders_and_missing_files_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/zero")
    for path in (Path("/dev/zero"), tmp_path / "link", tmp_path, tmp_path / "none"):
        with pytest.raises(OSError, match=r"not a regular file|directory|No such file"):
            read_bounded(path, 10)


@pytest.mark.parametrize("error", [PermissionError(errno.EACCES, "in use"), OSError(errno.EBUSY, "busy")])
def test_a_write_waits_for_a_program_that_has_the_file_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    refusals, replace = [error, error], os.replace

    def refuse_twice(part: Path, path: Path) -> None:
        if refusals:
            raise refusals.pop()
        replace(part, path)

    monkeypatch.setattr(os, "replace", refuse_twice)
    atomic_write(tmp_path / "file", lambda file: file.write(b"new"))
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_write_gives_up_on_a_file_that_stays_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "in use")

    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr(files, "REPLACE_SECONDS", 0.0)
    with pytest.raises(PermissionError, match="in use"):
        atomic_write(tmp_path / "file", lambda file: file.write(b"new"))
    assert not list(tmp_path.iterdir())
