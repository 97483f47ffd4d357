"""Name files that no reader wants, by their first bytes: web pages and shortcuts in place of a file, broken copies, archives.

`network`, `data` and `drawing` also name kinds of their own, each with what to do about them.
"""

import re

from mnist_fc.files import as_text

UNPACK = "unpack it first"
AGAIN = "copy or download it again"

ZEROS = re.compile(rb"\0{512,}")
"""The beginning of a broken copy. The images of a data set may begin with some hundred zeros."""

_KINDS: tuple[tuple[bytes, str, str], ...] = (
    (rb"version https://git-lfs", "a Git LFS pointer, not the file that it stands for", "fetch that with `git lfs pull`"),
    (
        rb"(?i)(\xef\xbb\xbf)?\s*<(!doctype html|html|head|body|script|title|meta|!--(?!.*<svg))",
        "a web page",
        "download the file itself",
    ),
    # .url and .lnk of Windows, .desktop of Linux; a Mac's .webloc, and the .icloud of a file that is not on the computer
    (
        rb"(\xef\xbb\xbf)?\s*\[(InternetShortcut|Desktop Entry)\]|L\0{3}\x01\x14\x02\0|bplist0",
        *("a shortcut or placeholder, not the file itself", "give the file that it stands for"),
    ),
    (rb"\0\x05\x16[\0\x07]", "a Mac's companion to a file", "use the file without ._ before its name"),
    (rb"\x1f\x8b", "compressed with gzip", UNPACK),
    (rb"BZh[1-9]", "a bzip2 archive", UNPACK),
    (rb"\xfd7zXZ\0", "an xz archive", UNPACK),
    (rb"\x28\xb5\x2f\xfd", "a Zstandard archive", UNPACK),
    (rb"\x04\x22\x4d\x18", "an LZ4 archive", UNPACK),
    (rb"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", UNPACK),
    (rb"Rar!\x1a\x07", "a RAR archive", UNPACK),
    (rb"\x1f\x9d", "a compressed file (.Z)", UNPACK),
    (rb".{257}ustar", "a tar archive", UNPACK),
)
"""A pattern at the start of a file, what such a file is, and what to do."""

_COMPILED = tuple((re.compile(pattern, re.DOTALL), what, advice) for pattern, what, advice in _KINDS)


def common_kind(head: bytes) -> tuple[str, str] | None:
    """Return what a file is and what to do with it, both in words, given its first bytes; None if it is none of these kinds.

    The words follow "is": "a web page", "empty".
    """
    if not head:
        return "empty", AGAIN
    if ZEROS.fullmatch(head):
        return "nothing but zeros, as broken copies are", AGAIN
    if head[:2] in (b"\xff\xfe", b"\xfe\xff") and (text := as_text(head, is_cut=True)):
        head = text.encode()
    return next(((what, advice) for pattern, what, advice in _COMPILED if pattern.match(head)), None)
