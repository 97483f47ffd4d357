"""Recognise what a file is by its first bytes, to say what to do with a file that is not data in the form wanted.

Nothing is parsed or run: a pickle, for example, is known by its first bytes or its name.
"""

import re
import zipfile
from pathlib import Path

from mnist_fc.data.errors import DAMAGE
from mnist_fc.files import as_text

HEAD_BYTES = 1024
"""The number of first bytes that `kind_of` needs."""

GZIP = b"\x1f\x8b"
ZIP = b"PK\3\4"
NO_MEMBERS = b"PK\5\6"

IDX = re.compile(rb"\0\0[\x08\x09\x0b-\x0e][\1-\4]")

WANTED = "x_train, y_train, x_test and y_test"
SAVE_ARRAYS = f"save its arrays as an .npz of {WANTED}"
UNPACK = "unpack it and give the folder"
TF_RECORD = "a TFRecord file", f"{SAVE_ARRAYS} (TensorFlow reads it)"
PICTURES = "a picture", "pictures are no data set: save all of them as an .npz of " + WANTED

_STARTS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", SAVE_ARRAYS),
    (b"MATLAB ", "a MATLAB file", f"{SAVE_ARRAYS} (scipy.io.loadmat reads it)"),
    (b"PAR1", "a Parquet file", f"{SAVE_ARRAYS} (pandas reads it)"),
    (b"ARROW1", "an Arrow file", f"{SAVE_ARRAYS} (pandas reads it)"),
    (b"\x93NUMPY", "a single array (.npy)", f"one .npz must hold {WANTED}"),
    (b"SQLite format 3\0", "an SQLite database", SAVE_ARRAYS),
    (b"X\n\0\0\0", "an R file", SAVE_ARRAYS),
    (b"RDX", "an R file", SAVE_ARRAYS),
    (GZIP, "gzipped more than once", "unpack it with gzip -d first"),
    (b"\x89PNG", *PICTURES),
    (b"\xff\xd8\xff", *PICTURES),
    (b"GIF8", *PICTURES),
    (b"BM", *PICTURES),
    (b"II*\0", *PICTURES),
    (b"MM\0*", *PICTURES),
    (b"%PDF", "a PDF document", f"wanted is an .npz of {WANTED}"),
    (b"BZh", "a bzip2 archive", UNPACK),
    (b"\xfd7zXZ\0", "an xz archive", UNPACK),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", UNPACK),
    (b"Rar!", "a RAR archive", UNPACK),
    (b"\x1f\x9d", "a compressed file (.Z)", UNPACK),
    (b"version https://git-lfs", "a Git LFS pointer, not the data", "fetch the data with git lfs pull"),
)
"""First bytes, what a file with them is, and what to do with it."""

_OTHERS = (
    (re.compile(rb".{4}\0{4}\{\s*\"", re.DOTALL), "a safetensors file", f"{SAVE_ARRAYS} (safetensors.numpy reads it)"),
    (re.compile(rb".{4}\0{4}.{4}\n", re.DOTALL), *TF_RECORD),
    (re.compile(rb".{16}(\xde\xc0\xef\xbe|\xbe\xef\xc0\xde)", re.DOTALL), "an LMDB database", f"{SAVE_ARRAYS} (lmdb reads it)"),
)
"""Patterns for files that begin with a length or zeros: what they are, and what to do."""

_PICKLE = re.compile(rb"\x80[\x02-\x05]|\(*([ldt]p\d\n|[\]}]q|c(numpy|copy_reg|__builtin__|builtins)[a-z_.]*\n)")
_WEB_PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype|html|head|body|script|title|meta|\?xml|!--)", re.IGNORECASE)
_TEXT = re.compile(rb"[^\x00-\x08\x0e-\x1f]+")
_TABLE_ROW = re.compile(rb"[^\r\n]*?[,;\t][^\r\n]*?[,;\t]")

PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp"}


def kind_of(head: bytes, name: str = "") -> tuple[str, str] | None:
    """Return what a file is and what to do with it, both in words, given its first bytes, unzipped, and its name.

    Returns None for a file that is not recognised. ZIP archives are for `kind_of_zip`.
    """
    if not head:
        return "empty", "it may be a download that was cut off; replace it with an intact copy"
    for start, what, advice in _STARTS:
        if head.startswith(start):
            return what, advice
    for pattern, what, advice in _OTHERS:
        if pattern.match(head):
            return what, advice
    if head[257:262] == b"ustar":
        return "a tar archive", UNPACK
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return PICTURES
    if _PICKLE.match(head) or re.search(r"\.(pkl|pickle|pt|pth)\b", name.lower()):
        return "a Python pickle, which could run code", f"it is not opened; {SAVE_ARRAYS}"
    encoding = ""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) and (text := as_text(head, is_cut=True)):
        head, encoding = text.encode(), " as utf-16"
    if _WEB_PAGE.match(head):
        return "a web page, not data", "download the file itself"
    if _TEXT.fullmatch(head):
        if head.lstrip()[:1] in (b"{", b"["):
            is_named_so = re.search(r"\.(json|ndjson|jsonl)\b", name.lower())
            return ("JSON text", SAVE_ARRAYS) if is_named_so else ("JSON text, as servers answer with", "download the file again")
        if _TABLE_ROW.match(head):
            return "a table of text (CSV)", f"{SAVE_ARRAYS} (numpy.loadtxt reads it{encoding})"
        return "a text file, not data", f"wanted is an .npz of {WANTED}"
    return TF_RECORD if re.search(r"\.tfrecords?\b", name.lower()) else None


def kind_of_zip(path: Path) -> tuple[str, str] | None:
    """Return what a ZIP archive is and what to do with it; None for an .npz and for a damaged one."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, *DAMAGE):
        return None
    if any(name.endswith(".npy") for name in names):
        return None
    if any(name.endswith("data.pkl") for name in names):
        return "a PyTorch file", f"it is not opened; {SAVE_ARRAYS}"
    if any(name == "[Content_Types].xml" for name in names):
        return "an Office document", SAVE_ARRAYS
    return ("a ZIP archive", UNPACK) if names else ("an empty ZIP archive", "replace it with an intact copy")
