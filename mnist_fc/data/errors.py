"""What goes wrong with data: the error that all readers raise, and what libraries raise for damaged files."""

import lzma
import tokenize
import zipfile
import zlib

DAMAGE = (
    *(ValueError, SyntaxError, TypeError, RuntimeError, EOFError, MemoryError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, tokenize.TokenError),
)
"""What numpy and zipfile raise for a file with wrong bytes in it."""


class DataError(ValueError):
    """The data cannot be used; the message names the file and says what is wrong and what to do."""
