"""Serving: the page's document with a script that watches the connection, and how signals end the server."""

import asyncio
import ctypes
import hashlib
import logging
import signal
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import streamlit as st
import uvicorn
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from mnist_fc.garbage import not_collected
from mnist_fc.views import front_end_files
from mnist_fc.views.state import presses, streamlit_patches

log = logging.getLogger(__name__)

# Before the first message of a page that was open when the server restarted.
streamlit_patches.answer_unknown_fragments(presses.MEANINGS)
streamlit_patches.take_presses_once()
streamlit_patches.handle_all_of_a_run()


_receive_bytes = WebSocket.receive_bytes


async def receive_bytes(self: WebSocket) -> bytes:
    """Receive a message of the browser. Raises WebSocketDisconnect also for a connection that broke while the server was sending.

    Starlette then raises a RuntimeError, which Streamlit (1.67) takes for a message of the wrong kind; it tries to close what is
    closed, and logs a traceback.
    """
    if self.application_state is WebSocketState.DISCONNECTED:
        raise WebSocketDisconnect(1006)  # closed abnormally
    return await _receive_bytes(self)


WebSocket.receive_bytes = receive_bytes  # type: ignore[method-assign, assignment]


def routes() -> list[Route]:
    """Return the route of the page's document, in place of Streamlit's; none if Streamlit's is not as expected."""
    scripts = (Path(__file__).with_name(name).read_text("utf-8") for name in ("first_paint.js", "connection.js"))
    html = streamlit_patches.document_with("\n".join(scripts), [f"./static/{name}" for name in front_end_files.scripts()])
    if html is None:
        return []
    headers = {"Cache-Control": "no-cache", "ETag": f'"{hashlib.sha256(html.encode()).hexdigest()}"'}

    async def page(request: Request) -> Response:
        if headers["ETag"] in request.headers.get("If-None-Match", ""):
            return Response(status_code=304, headers=headers)
        return HTMLResponse(html, headers=headers)

    return [Route(base_path(), page)]


def middleware() -> list[Middleware]:
    """Return what answers requests before Streamlit does."""
    return [Middleware(front_end_files.FrontEndFiles, base=base_path())]


def base_path() -> str:
    """Return the path of the page, which ends with a slash."""
    path = (st.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{path}/" if path else "/"


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
            send_without_delay(server.config)
        else:
            log.error("%s is not handled by uvicorn, so it may end the server abruptly", signal.Signals(number).name)
    warming_up = threading.Thread(target=_warm_up)
    warming_up.start()
    yield
    warming_up.join()  # Python would abort if it ended while this thread is within PyTorch


def send_without_delay(config: uvicorn.Config) -> None:
    """Let a server that has loaded `config` send small packets at once, on all connections from now on.

    Otherwise the second part of each answer waits for 40 ms, until the browser has acknowledged the first: asyncio sets
    TCP_NODELAY, but not on a socket that was bound without its protocol, as Streamlit (1.67) does (uvicorn's issue 3149).
    """
    protocol: Any = config.http_protocol_class
    if issubclass(protocol, _Undelayed):
        return
    config.http_protocol_class = type("UndelayedProtocol", (_Undelayed, protocol), {})


class _Undelayed(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        with suppress(OSError):  # the browser has gone already; macOS
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)


def _warm_up() -> None:
    """Import the page and load its data while the browser is still starting: together they take three seconds.

    Looking for garbage among the imports would take half a second now, and later hold up all sessions for 0.2 s each time.
    """
    try:
        with not_collected():
            from mnist_fc.views import page  # noqa: F401 -- its components need the server, which exists only now
            from mnist_fc.views.state import shared

            shared.warm_up()
    finally:
        # The C library would keep up to 30 MB that loading has freed. glibc has this function; elsewhere there is none.
        with suppress(AttributeError, OSError, TypeError):
            ctypes.CDLL(None).malloc_trim(0)


def _stop(server: uvicorn.Server, _number: int, _frame: FrameType | None) -> None:
    server.force_exit = server.should_exit  # a second signal does not wait until all connections are closed
    server.should_exit = True
