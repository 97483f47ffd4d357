"""Serving: the page's document with a script that watches the connection, and how signals end the server."""

import ctypes
import gc
import hashlib
import logging
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType

import streamlit as st
import uvicorn
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from mnist_fc.views.state import presses, streamlit_patches

log = logging.getLogger(__name__)

# Before the first message of a page that was open when the server restarted.
streamlit_patches.answer_unknown_fragments(presses.MEANINGS)
streamlit_patches.take_presses_once()


def routes() -> list[Route]:
    """Return the route of the page's document, in place of Streamlit's; none if Streamlit's is not as expected."""
    html = streamlit_patches.document_with(Path(__file__).with_name("connection.js").read_text("utf-8"))
    if html is None:
        return []
    headers = {"Cache-Control": "no-cache", "ETag": f'"{hashlib.sha256(html.encode()).hexdigest()}"'}

    async def page(request: Request) -> Response:
        if headers["ETag"] in request.headers.get("If-None-Match", ""):
            return Response(status_code=304, headers=headers)
        return HTMLResponse(html, headers=headers)

    base_path = (st.get_option("server.baseUrlPath") or "").strip("/")
    return [Route(f"/{base_path}/" if base_path else "/", page)]


@asynccontextmanager
async def lifespan(_app: st.App) -> AsyncIterator[None]:
    """Get ready for the first page, and let Ctrl-C and SIGTERM end the server with exit code 0, after the scheduler has closed.

    By itself uvicorn (0.54) raises the signal again once it has stopped. That ends Python at once or with an error, before the
    functions registered with atexit are called.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        server = getattr(signal.getsignal(number), "__self__", None)
        if isinstance(server, uvicorn.Server):
            signal.signal(number, partial(_stop, server))
        else:
            log.error("%s is not handled by uvicorn, so it may end the server abruptly", signal.Signals(number).name)
    warming_up = threading.Thread(target=_warm_up)
    warming_up.start()
    yield
    warming_up.join()  # Python would abort if it ended while this thread is within PyTorch


def _warm_up() -> None:
    """Import the page and load its data while the browser is still starting: together they take three seconds.

    What is imported stays, so garbage is not looked for among it: neither now, which would take half a second longer, nor
    later, when each time would hold up all sessions for 0.2 s.
    """
    gc.disable()
    try:
        from mnist_fc.views import page  # noqa: F401 -- its components need the server, which exists only now
        from mnist_fc.views.state import shared

        shared.warm_up()
    finally:
        gc.freeze()
        gc.enable()
        # The C library would keep up to 30 MB that loading has freed. glibc has this function; elsewhere there is none.
        with suppress(AttributeError, OSError, TypeError):
            ctypes.CDLL(None).malloc_trim(0)


def _stop(server: uvicorn.Server, _number: int, _frame: FrameType | None) -> None:
    server.force_exit = server.should_exit  # a second signal does not wait until all connections are closed
    server.should_exit = True
