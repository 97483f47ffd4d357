"""Streamlit's scripts, styles and fonts from memory: a page needs 130 of them, and reading each through threads takes 10 ms.

The browser learns of most scripts only when an element that needs them arrives. So the page's document names them, and
the browser fetches them at once.
"""

import mimetypes
import re
from functools import cache
from pathlib import Path

import streamlit as st
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

FOLDER = Path(st.__file__).with_name("static") / "static"

HEADERS = {"Cache-Control": "public, immutable, max-age=31536000"}
"""As Streamlit (1.67) sends them: the files' names contain a hash of their content."""


ELEMENTS = (
    *("Html", "BidiComponent", "TextInput", "Selectbox", "NumberInput", "Slider"),
    *("Checkbox", "Button", "ButtonGroup", "Progress", "FileUploader"),
)
"""The scripts of the elements that the page opens with, by the names that Streamlit (1.67) begins their files with."""

IMPORT = re.compile(rb'(?:from|import)\s*"\./([\w.-]+\.js)"')
"""One script's import of another, in the same folder."""


class FrontEndFiles:
    """Middleware that answers requests for Streamlit's own files; it passes everything else to `app`."""

    def __init__(self, app: ASGIApp, base: str) -> None:
        self._app = app
        self._prefix = f"{base}static/"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        await (self._answer(scope) or self._app)(scope, receive, send)

    def _answer(self, scope: Scope) -> Response | None:
        if scope["type"] != "http" or scope["method"] != "GET" or not scope["path"].startswith(self._prefix):
            return None
        file = _files().get(scope["path"].removeprefix(self._prefix))
        if file is None:
            return None
        content, media_type = _content(file)
        return Response(content, media_type=media_type, headers=HEADERS)


def scripts() -> list[str]:
    """Return the names in addresses of the scripts that ELEMENTS need, each with those that it imports.

    With another version of Streamlit they may be fewer; the browser then asks for the others later.
    """
    files, found = _files(), dict[str, None]()
    left = [name for name in files if name.startswith(tuple(f"js/{element}." for element in ELEMENTS))]
    while left:
        name = left.pop()
        if name in files and name not in found:
            found[name] = None
            content, _ = _content(files[name])
            left += [f"js/{imported.decode()}" for imported in IMPORT.findall(content)]
    return list(found)


@cache
def _files() -> dict[str, Path]:
    """Return the files by their names in addresses. An address that is spelled otherwise is left to Streamlit."""
    return {file.relative_to(FOLDER).as_posix(): file for file in FOLDER.rglob("*") if file.is_file()}


@cache
def _content(file: Path) -> tuple[bytes, str | None]:
    """Return the content and type of a file: of some 130 that a page uses, 5 MB, and of few others."""
    return file.read_bytes(), mimetypes.guess_type(file.name)[0]
