"""A font file for tests: the one that Pillow holds."""

import io
from pathlib import Path

from PIL import ImageFont


def save_typeface(folder: Path) -> Path:
    """Write Pillow's own font into `folder`, as aileron.ttf; return `folder`."""
    font = ImageFont.load_default(20)
    assert isinstance(font, ImageFont.FreeTypeFont)
    assert isinstance(font.path, io.BytesIO)
    (folder / "aileron.ttf").write_bytes(font.path.getvalue())
    return folder
