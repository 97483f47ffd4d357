"""Tell what a file is by its first bytes, whatever its name, and what a person can do if it is not a picture that is read."""

import re
from typing import NamedTuple

from mnist_fc.file_kinds import common_kind
from mnist_fc.files import as_text

HEAD_BYTES = 4096
"""How much of a file's beginning `identify` needs."""

READABLE = {
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "JPEG": rb"\xff\xd8\xff",
    "GIF": rb"GIF8[79]a",
    "WEBP": rb"RIFF.{4}WEBP",
    "BMP": rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0",
    "TIFF": rb"II[*+]\0(?!.{4}CR)|MM\0[*+]",
    "PPM": rb"P[1-6Ff][\s#]",
    "AVIF": rb".{4}ftyp(?:.{4}){0,30}?avi[fs]",
}
"""Pillow's names of the formats that are read, with what their files begin with.

Pillow reads others too, but they start programs, do not hold pictures of ink, or need much more memory.
"""


class Kind(NamedTuple):
    """What a file is."""

    format: str | None
    """Pillow's name of the format if it is a picture that is read, otherwise None."""
    name: str
    """With its article: "a PDF document"."""
    advice: str
    """What a person can do to get a picture that is read."""


SAVE = "open it and save it as PNG or JPEG"
OFFICE = "an office document"
SCREENSHOT = "take a screenshot of the digits"
STILL = "give a photograph or a still of it"
NO_PICTURE = "give a picture, such as PNG or JPEG"

TGA = (
    rb".\x00[\x02\x03\x0a\x0b]\x00{5}.{8}[\x08\x0f\x10\x18\x20][\x00-\x3f]"
    rb"|.\x01[\x01\x09].{4}[\x0f\x10\x18\x20].{8}\x08[\x00-\x3f]"
)
"""The header of a TGA file, which has no signature: without a palette, or with one."""

OTHERS = (
    (rb".{4}ftyp(?:.{4}){0,30}?(?:hei[cxms]|hev[cxms]|mif1|msf1)", "a HEIC photograph", "open it and save it as JPEG"),
    (rb".{4}ftypcrx |II\*\x00.{4}CR|FUJIFILMCCD-RAW|IIU\x00|IIR[OS]", "a camera's raw file", "export it as JPEG"),
    (rb".{4}ftypM4[AB] |ID3|OggS|fLaC|RIFF.{4}WAVE|\xff[\xf2\xf3\xfb]", "a sound file", NO_PICTURE),
    (rb".{4}(?:ftyp|moov|mdat|wide)|\x1aE\xdf\xa3|RIFF.{4}AVI |\x00\x00\x01[\xb3\xba]|FLV\x01", "a video", STILL),
    (rb"\xff\x0a|\x00\x00\x00\x0cJXL \r\n\x87\n", "a JPEG XL picture", SAVE),
    (rb"\x00\x00\x00\x0cjP {2}\r\n\x87\n|\xff\x4f\xff\x51", "a JPEG 2000 picture", SAVE),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "a PostScript document", "take a picture of the page"),
    (rb"8BPS", "a Photoshop file", SAVE),
    (rb"gimp xcf ", "a GIMP file", SAVE),
    (rb"\x00\x00[\x01\x02]\x00(?!\x00\x00)|icns", "an icon", SAVE),
    (rb"AT&TFORM", "a DjVu document", "take a picture of the page"),
    (
        rb"qoif|\x01\xda[\x00\x01][\x01\x02]|\x76\x2f\x31\x01|#\?RADIANCE|DDS |SIMPLE {2}=|\x0a[\x00-\x05]\x01",
        "a picture of a format that is not read",
        SAVE,
    ),
    (rb".{128}DICM", "a DICOM picture", SAVE),
    (
        rb"PK\x03\x04.{26}(?:\[Content_Types\]|_rels/|mimetype|docProps/|word/|ppt/|xl/)",
        OFFICE,
        SCREENSHOT,
    ),
    (rb"\xd0\xcf\x11\xe0|\{\\rtf", OFFICE, SCREENSHOT),
    # Procreate, Krita, Xournal and others keep their drawings in archives.
    (rb"PK[\x03\x05]|\x1f\x8b", "an archive", "unpack it, or export a PNG from the app that made it"),
    (rb"\x93NUMPY|\x89HDF|PAR1|SQLite format|MATLAB ", "a data file", NO_PICTURE),
    (rb"\x89PNG", "a PNG picture that was changed on its way", "copy or download it again"),
    (rb"\x7fELF|MZ|\xca\xfe\xba\xbe|\xcf\xfa\xed\xfe|#!", "a program", NO_PICTURE),
    (rb".{0,1000}?%PDF-", "a PDF document", "take a picture of the page"),
    (TGA, "a TGA picture", SAVE),
)
"""Files that are not read: what they begin with, what they are, and what to do. The first that matches counts.

Kinds that are pictures for nobody are in `common_kind`.
"""

TEXTS = (
    (r"<svg\b", "an SVG drawing", SAVE),
    (r"\s*data:image/", "a picture as text", "save it as a file of its own"),
    (r"\s*/\* XPM|#define \w+_width", "a picture of a format that is not read", SAVE),
    (r"\s*<\?xml", "an XML document", NO_PICTURE),
    ("", "a text file", NO_PICTURE),
)
"""Files of text: what is in their beginning, what they are, and what to do."""

UNKNOWN = Kind(None, "not a picture that can be read", "save it as PNG or JPEG")

_READABLE = tuple((re.compile(begin, re.DOTALL), name) for name, begin in READABLE.items())
_OTHERS = tuple((re.compile(begin, re.DOTALL), Kind(None, name, advice)) for begin, name, advice in OTHERS)
_TEXTS = tuple((re.compile(part, re.IGNORECASE), Kind(None, name, advice)) for part, name, advice in TEXTS)


def identify(head: bytes) -> Kind:
    """Return what a file is that begins with `head`, its first HEAD_BYTES or all of them."""
    for begin, name in _READABLE:
        if begin.match(head):
            return Kind(name, f"{'an' if name == 'AVIF' else 'a'} {name} picture", "save it again as PNG or JPEG")
    for begin, kind in _OTHERS:
        if begin.match(head):
            return kind
    if common := common_kind(head):
        return Kind(None, *common)
    text = as_text(head, is_cut=len(head) >= HEAD_BYTES)
    if text is None:
        return UNKNOWN
    return next(kind for part, kind in _TEXTS if part.search(text))
