"""file_kinds.py: what no reader wants has one name, in data, in checkpoints and in pictures."""

import bz2
from pathlib import Path

import pytest

from mnist_fc.data.mnist import DataError, load_mnist
from mnist_fc.drawing.errors import DrawingError
from mnist_fc.drawing.picture_files import load_picture
from mnist_fc.network import checkpoint
from mnist_fc.network.checkpoint import CheckpointError

FILES = {
    "is empty; copy or download it again": b"",
    "is nothing but zeros, as broken copies are; copy or download it again": bytes(5000),
    "is a web page; download the file itself": b"\n<!DOCTYPE html><html><body>Sign in</body></html>",
    "is a Git LFS pointer, not the file that it stands for; fetch that with `git lfs pull`": b"version https://git-lfs.github.com/",
    "is a shortcut or placeholder, not the file itself; give the file that it stands for": b"[InternetShortcut]\r\nURL=https://a",
    "is a Mac's companion to a file; use the file without ._ before its name": b"\0\5\x16\7" + bytes(100),
    "is a bzip2 archive; unpack it first": bz2.compress(b"ink"),
    "is a RAR archive; unpack it first": b"Rar!\x1a\7\1\0" + bytes(100),
}

SHORTCUTS = {
    ".url": "\ufeff[InternetShortcut]\r\nURL=https://a.b".encode(),
    ".url in utf-16": "[InternetShortcut]\r\nURL=https://a.b".encode("utf-16"),
    ".desktop": b"[Desktop Entry]\nType=Link\n",
    ".lnk": b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0" + bytes(60),
    ".icloud": b"bplist00\xd3\1\2\3" + bytes(60),
}


def refusals(path: Path) -> list[str]:
    """Return what each kind of reader says of a file."""
    said = []
    for read in (load_mnist, checkpoint.read, load_picture):
        with pytest.raises((DataError, CheckpointError, DrawingError)) as caught:
            read(path)
        said.append(str(caught.value))
    return said


@pytest.mark.parametrize("said", FILES)
def test_every_reader_says_the_same_of_what_none_wants(tmp_path: Path, said: str) -> None:
    path = tmp_path / "seven.bin"
    path.write_bytes(FILES[said])
    assert refusals(path) == [f"{path} {said}"] * 3


@pytest.mark.parametrize("kind", SHORTCUTS)
def test_shortcut_is_not_taken_for_the_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "seven.bin"
    path.write_bytes(SHORTCUTS[kind])
    assert all("is a shortcut or placeholder" in said for said in refusals(path))
