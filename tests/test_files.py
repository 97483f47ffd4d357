"""files.py: plain files are read up to a bound, and nothing else is."""

import os
from pathlib import Path

import pytest

from mnist_fc.files import open_regular_file, read_bounded


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bounded(tmp_path / "a", 5) == b"12345"
    with pytest.raises(OSError, match="larger than 4 bytes"):
        read_bounded(tmp_path / "a", 4)


def test_a_pipe_that_nobody_writes_to_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no plain file"):
        open_regular_file(tmp_path / "pipe")


def test_a_device_a_folder_and_what_is_not_there_are_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/zero")
    for path in (Path("/dev/zero"), tmp_path / "link", tmp_path, tmp_path / "none"):
        with pytest.raises(OSError, match=r"no plain file|directory|No such file"):
            read_bounded(path, 10)
