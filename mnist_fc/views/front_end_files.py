"""Streamlit's scripts, styles and fonts from memory: a page needs 130 of them, and reading each through threads takes 10 ms.

The browser learns of most scripts only when an element that needs them arrives. The page's document names those that the first
pages asked for, so that it fetches them at once.
"""

import mimetypes
from functools import cache
from pathlib import Path

import streamlit as st
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

FOLDER = Path(st.__file__).with_name("static") / "static"

HEADERS = {"Cache-Control": "public, immutable, max-age=31536000"}
"""As Streamlit (1.67) sends them: the files' names contain a hash of their content."""


MAX_PRELOADED = 150
"""Scripts that the document names: about those of one page, whatever else is asked for later."""


class FrontEndFiles:
    """Middleware that answers requests for Streamlit's own files; it passes everything else to `app`.

    It adds the scripts that are asked for to `scripts`, up to MAX_PRELOADED, as links from the page's document.
    """

    def __init__(self, app: ASGIApp, base: str, scripts: dict[str, None]) -> None:
        self._app = app
        self._scripts = scripts
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
        if file.suffix == ".js" and len(self._scripts) < MAX_PRELOADED:
            self._scripts[f"./static/{file.relative_to(FOLDER).as_posix()}"] = None
        content, media_type = _content(file)
        return Response(content, media_type=media_type, headers=HEADERS)


@cache
def _files() -> dict[str, Path]:
    """Return the files by their names in addresses. An address that is spelled otherwise is left to Streamlit."""
    return {file.relative_to(FOLDER).as_posix(): file for file in FOLDER.rglob("*") if file.is_file()}


@cache
def _content(file: Path) -> tuple[bytes, str | None]:
    """Return the content and type of a file: of some 130 that a page uses, 5 MB, and of few others."""
    return file.read_bytes(), mimetypes.guess_type(file.name)[0]
