"""Recognise what a file is by its first bytes, to say what to do with a file that is not data in the form wanted.

Nothing is parsed or run: a pickle, for example, is known by its first bytes or its name.
"""

import re
import zipfile
from pathlib import Path

from mnist_fc.data.errors import DAMAGE
from mnist_fc.drawing.file_kinds import identify
from mnist_fc.file_kinds import common_kind
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
PICTURES = "a picture", "pictures are not a data set: save all of them as an .npz of " + WANTED

_STARTS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", f"{SAVE_ARRAYS} (h5py reads it)"),
    (b"MATLAB 7.3", "a MATLAB file of version 7.3", f"{SAVE_ARRAYS} (h5py reads it)"),
    (b"MATLAB ", "a MATLAB file", f"{SAVE_ARRAYS} (scipy.io.loadmat reads it)"),
    (b"PAR1", "a Parquet file", f"{SAVE_ARRAYS} (pandas reads it)"),
    (b"ARROW1", "an Arrow file", f"{SAVE_ARRAYS} (pandas reads it)"),
    (b"\x93NUMPY", "a single array (.npy)", f"one .npz must hold {WANTED}"),
    (b"SQLite format 3\0", "an SQLite database", SAVE_ARRAYS),
    (b"X\n\0\0\0", "an R file", SAVE_ARRAYS),
    (b"RDX", "an R file", SAVE_ARRAYS),
    (GZIP, "gzipped more than once", "unpack it with gzip -d first"),
    (b"%PDF", "a PDF document", f"wanted is an .npz of {WANTED}"),
    (b"FEA1", "a Feather file", f"{SAVE_ARRAYS} (pandas reads it)"),
    (b"Obj\1", "an Avro file", SAVE_ARRAYS),
    (b"\xd0\xcf\x11\xe0", "an Office document", SAVE_ARRAYS),
)
"""First bytes, what a file with them is, and what to do with it, besides the kinds of `common_kind`."""

_OTHERS = (
    (
        # Version 4 has no signature: five numbers, the last the length of a name, and that name.
        re.compile(rb"[\0-\x34]\0{3}.{8}[\0\1]\0{3}([\2-\x40])\0{3}[A-Za-z]\w*\0|# Created by Octave", re.DOTALL),
        *("a MATLAB file", f"{SAVE_ARRAYS} (scipy.io.loadmat reads what `save -v7` writes)"),
    ),
    (re.compile(rb"\xff{4}.{3}\0\x10\0{3}", re.DOTALL), "an Arrow file", f"{SAVE_ARRAYS} (the package datasets reads it)"),
    (
        re.compile(rb"[^\n]*\n?(%[^\n]*\n|\s)*@relation\b", re.IGNORECASE),
        "an ARFF file",
        f"{SAVE_ARRAYS} (scipy.io.arff reads it)",
    ),
    (
        re.compile(rb"[-+\d.]+( +\d+:[-+\d.e]+)+\s", re.IGNORECASE),
        *("a LIBSVM file", f"{SAVE_ARRAYS} (sklearn.datasets.load_svmlight_file reads it)"),
    ),
    (re.compile(rb".{4}\0{4}\{\s*\"", re.DOTALL), "a safetensors file", f"{SAVE_ARRAYS} (safetensors.numpy reads it)"),
    (re.compile(rb".{4}\0{4}.{4}\n", re.DOTALL), *TF_RECORD),
    (re.compile(rb".{16}(\xde\xc0\xef\xbe|\xbe\xef\xc0\xde)", re.DOTALL), "an LMDB database", f"{SAVE_ARRAYS} (lmdb reads it)"),
)
"""Patterns for files that begin with a length or zeros: what they are, and what to do."""

_PICKLE = re.compile(rb"\x80[\x02-\x05]|\(*([ldt]p\d\n|[\]}]q|c(numpy|copy_reg|__builtin__|builtins)[a-z_.]*\n)")
_ZLIB = re.compile(rb"\x78[\x01\x5e\x9c\xda]")
_XML = re.compile(rb"(\xef\xbb\xbf)?\s*<\?xml")
_TEXT = re.compile(rb"[^\x00-\x08\x0e-\x1f]+")
_TABLE_ROW = re.compile(rb"[^\r\n]*?[,;\t][^\r\n]*?[,;\t]|\s*[-+\d.e]+( +[-+\d.e]+){2,}[ \r\n]")

PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp"}


def kind_of(head: bytes, name: str = "") -> tuple[str, str] | None:
    """Return what a file is and what to do with it, both in words, given its first bytes, unzipped, and its name.

    Returns None for a file that is not recognised. ZIP archives are for `kind_of_zip`.
    """
    for start, what, advice in _STARTS:
        if head.startswith(start):
            return what, advice
    if identify(head).format:
        return PICTURES
    if kind := common_kind(head):
        return kind
    for pattern, what, advice in _OTHERS:
        if pattern.match(head):
            return what, advice
    is_zlib = _ZLIB.match(head) and not _TEXT.fullmatch(head)
    if _PICKLE.match(head) or is_zlib or re.search(r"\.(pkl|pickle|pt|pth)\b", name.lower()):
        return "a Python pickle, which could run code", f"it is not opened; {SAVE_ARRAYS}"
    encoding = ""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) and (text := as_text(head, is_cut=True)):
        head, encoding = text.encode(), " as utf-16"
    if _XML.match(head):
        return "an XML document", "download the file itself"
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
    if any(name in ("[Content_Types].xml", "mimetype") for name in names):
        return "an Office document", SAVE_ARRAYS
    return ("a ZIP archive", UNPACK) if names else ("an empty ZIP archive", "replace it with an intact copy")
