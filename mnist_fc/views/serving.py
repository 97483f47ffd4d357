"""How the page is served: its document with a script that watches the connection, and how signals end the server."""

import hashlib
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import FrameType

import streamlit as st
import uvicorn
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from streamlit.file_util import get_static_dir
from streamlit.url_util import make_url_path

log = logging.getLogger(__name__)

END_OF_BODY = "</body>"


def routes() -> list[Route]:
    """Return the route of the page's document, which takes the place of Streamlit's; none if ours cannot be made of that."""
    document = Path(get_static_dir(), "index.html").read_text("utf-8")
    if document.count(END_OF_BODY) != 1:
        log.error("Streamlit's index.html is not as expected: a page that cannot connect to the server will not say so")
        return []
    script = Path(__file__).with_name("connection.js").read_text("utf-8")
    html = document.replace(END_OF_BODY, f"<script>\n{script}</script>\n{END_OF_BODY}")
    headers = {"Cache-Control": "no-cache", "ETag": f'"{hashlib.sha256(html.encode()).hexdigest()}"'}

    async def page(request: Request) -> Response:
        if headers["ETag"] in request.headers.get("If-None-Match", ""):
            return Response(status_code=304, headers=headers)
        return HTMLResponse(html, headers=headers)

    return [Route(make_url_path(st.get_option("server.baseUrlPath") or "", ""), page)]


@asynccontextmanager
async def lifespan(_app: st.App) -> AsyncIterator[None]:
    """Let Ctrl-C and SIGTERM end the server with exit code 0, after the trainer has closed.

    By itself uvicorn (0.54) raises the signal again once it has stopped. That ends Python at once, or with an error, and what is
    registered with atexit is not called.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        server = getattr(signal.getsignal(number), "__self__", None)
        if isinstance(server, uvicorn.Server):
            signal.signal(number, partial(_stop, server))
    yield


def _stop(server: uvicorn.Server, _number: int, _frame: FrameType | None) -> None:
    server.force_exit = server.should_exit  # a second signal does not wait until all connections are closed
    server.should_exit = True
