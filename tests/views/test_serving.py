"""What the server sends over HTTP: the page's document with our script in it, and everything else as Streamlit sends it."""

import asyncio
import http.client
import logging
import re
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import streamlit as st
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect
from streamlit.file_util import get_static_dir

from mnist_fc.views import serving
from tests.support.browser import Server, running_server

pytestmark = pytest.mark.integration

SCRIPT = b"\n".join(Path(serving.__file__).with_name(name).read_bytes() for name in ("first_paint.js", "connection.js"))
STATIC = Path(get_static_dir())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("serving"), STREAMLIT_SERVER_BASE_URL_PATH="digits") as running:
        yield running
        assert "Traceback" not in running.log.read_text()


def fetch(server: Server, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    """Return the response to a GET of `path` under the base path, and its body."""
    with closing(http.client.HTTPConnection("localhost", urlsplit(server.url).port or 0, timeout=60)) as connection:
        connection.request("GET", f"/digits/{path}", headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer, answer.read()


def without_spaces(text: bytes) -> bytes:
    return b"".join(text.split())


def test_document_is_streamlits_plus_one_script_and_links(server: Server) -> None:
    answer, body = fetch(server, "")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert body.count(SCRIPT) == 1
    plain, link = (STATIC / "index.html").read_bytes(), rb'<link rel="modulepreload" crossorigin href="\./static/js/[\w.-]+">\n'
    assert set(re.findall(link, plain)) < set(re.findall(link, body))
    body = body.replace(b"<script>\n" + SCRIPT + b"</script>\n", b"")
    assert without_spaces(re.sub(link, b"", body)) == without_spaces(re.sub(link, b"", plain))


def test_document_is_revalidated_and_sent_if_changed(server: Server) -> None:
    answer, _ = fetch(server, "")
    assert answer.headers["Cache-Control"] == "no-cache"
    for tag in (answer.headers["ETag"], "W/" + answer.headers["ETag"]):
        again, body = fetch(server, "", If_None_Match=tag)
        assert (again.status, body) == (304, b"")
    stale, _ = fetch(server, "", If_None_Match='"another"')
    assert stale.status == 200


def test_other_paths_are_served_by_streamlit(server: Server) -> None:
    assert fetch(server, "_stcore/health")[1] == b"ok"
    file = next(iter((STATIC / "static" / "js").glob("index.*.js")))
    answer, body = fetch(server, f"static/js/{file.name}")
    assert "immutable" in answer.headers["Cache-Control"]
    assert body == file.read_bytes()


def test_unexpected_document_is_left_to_streamlit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "index.html").write_text("<html></html>")
    monkeypatch.setattr(st, "__file__", str(tmp_path / "__init__.py"))
    monkeypatch.setattr(logging.getLogger("mnist_fc"), "propagate", True)  # the log may have been opened by another test
    assert serving.routes() == []
    assert "not as expected" in caplog.text


@pytest.mark.parametrize("num_signals", [1, 2])
def test_no_connection_waits_before_it_sends_small_packets(num_signals: int) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        (protocol,) = undelayed.server_state.connections
        at_once = protocol.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        await PlainTextResponse("at once" if at_once else "delayed")(scope, receive, send)

    async def fetch_one() -> bytes:
        with socket.socket() as listener:  # as Streamlit makes it, without the number of its protocol
            listener.bind(("localhost", 0))
            listener.listen()
            running = asyncio.create_task(undelayed.serve([listener]))
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            answer = await reader.read()
            writer.close()
            undelayed.should_exit = True
            await running
            return answer

    undelayed = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="error"))
    undelayed.config.load()
    for _ in range(num_signals):
        serving.send_without_delay(undelayed.config)
    assert asyncio.run(fetch_one()).endswith(b"at once")


def test_connection_that_broke_while_the_server_was_sending_counts_as_closed() -> None:
    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        if message["type"] == "websocket.send":
            raise OSError("connection lost")

    async def converse() -> None:
        socket = WebSocket({"type": "websocket", "headers": []}, receive, send)
        await socket.accept()
        with pytest.raises(WebSocketDisconnect):
            await socket.send_bytes(b"a message")
        with pytest.raises(WebSocketDisconnect):
            await socket.receive_bytes()

    asyncio.run(converse())
