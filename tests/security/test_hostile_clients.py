"""Clients other than browsers: at most they lose their own connection, and other sessions continue."""

import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.request import HTTPCookieProcessor, Request, build_opener

import pytest
from playwright.sync_api import Browser, Page, expect
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets import ConnectionClosed, Subprotocol
from websockets.sync.client import ClientConnection, connect

from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.records import EndRecord
from mnist_fc.runs.layout import RunMetadata, write_metadata
from mnist_fc.runs.writer import RunFolder
from mnist_fc.training.engine import train
from tests.support.browser import (
    ONE,
    Server,
    click,
    draw,
    expect_status,
    open_tab,
    ready,
    running_server,
    start_run,
)

pytestmark = pytest.mark.integration

MAX_MB = 100
LONG = "?preset=fast&num_validation=100&threads=1&hidden_sizes=512,512&batch_size=8&epochs=100"
"""Takes at least half a minute on the few images of the server."""
MEGABYTE = 2**20
RUN = TrainConfig(hidden_sizes=(8,), num_epochs=1, num_validation=500, threads=1)
REASONS = (1002, 1009, 1011)
"""RFC 6455's close codes for a protocol error, a too large message, and an unexpected condition."""


@pytest.fixture(scope="module")
def server(small_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server whose log may report what was sent to it."""
    with running_server(tmp_path_factory.mktemp("server"), MNIST_FC_DATA=str(small_npz)) as running:
        yield running


def megabytes(server: Server, what: str) -> float:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.findall(rf"{what}:\s+(\d+)", status)[0]) / 1000


def rerun(widgets: Sequence[dict[str, Any]] = (), query: str = "") -> BackMsg:
    """Return the message that a browser sends when the page opens or a widget changes."""
    message = BackMsg()
    message.rerun_script.query_string = query
    for widget in widgets:
        message.rerun_script.widget_states.widgets.add(**widget)
    return message


@contextmanager
def session(server: Server) -> Iterator[ClientConnection]:
    """Open a session and wait for the first run of the script."""
    address = server.url.replace("http", "ws") + "/_stcore/stream"
    with connect(address, subprotocols=[Subprotocol("streamlit")], max_size=None, compression=None) as connection:
        draw_again(connection, rerun())
        yield connection


def draw_again(connection: ClientConnection, message: BackMsg) -> str:
    """Send a message, wait for the end of the script run, and return the session's id."""
    connection.send(message.SerializeToString())
    session_id = ""
    while True:
        answer = connection.recv(60)
        assert isinstance(answer, bytes)
        said = ForwardMsg.FromString(answer)
        if said.WhichOneof("type") == "new_session":
            session_id = said.new_session.initialize.session_id
        if said.WhichOneof("type") == "script_finished":
            return session_id


def loses_its_connection(server: Server, message: bytes | str) -> bool:
    """Send data from a new session, and return whether the server closes it. A client that is still sending may get no reason."""
    with session(server) as connection:
        try:
            connection.send(message)
            while True:
                connection.recv(60)
        except ConnectionClosed as closed:
            return closed.rcvd is None or closed.rcvd.code in REASONS


def is_answered(server: Server, *messages: BackMsg) -> None:
    """Send widget states from a new session, and rerun its page afterwards."""
    with session(server) as connection:
        for message in messages:
            if message.WhichOneof("type") == "rerun_script":
                draw_again(connection, message)
            else:
                connection.send(message.SerializeToString())
        draw_again(connection, rerun())


@contextmanager
def costs_little(server: Server) -> Iterator[None]:
    """Check that the server's peak memory grows little."""
    before = megabytes(server, "VmRSS")
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")  # resets the peak
    yield
    assert megabytes(server, "VmHWM") - before < MAX_MB


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


STATES: dict[str, list[dict[str, Any]]] = {
    "thousands of states": [{"id": f"$$ID-{i:032x}-w{i}", "string_value": "x" * 100} for i in range(20_000)],
    "states of thousands of lists": [
        {"id": f"$$ID-{i:032x}-w", "json_value": json.dumps({"drawing": {"raw": [0] * 1000}})} for i in range(500)
    ],
    "JSON too deep": [
        {"id": "canvas_component", "json_value": nested(100_000)},
        {"id": "x", "json_trigger_value": nested(100_000)},
    ],
    "no JSON": [{"id": "$$ID-0-canvas", "json_value": "{"}, {"id": "", "json_value": ""}],
}


@pytest.fixture
def other(open_page: Callable[..., Page]) -> Iterator[Page]:
    """Open another person's page, which must read and train as before."""
    page = open_page(query=LONG)
    yield page
    click(page, "clear")
    draw(page, ONE)
    expect(page.locator(".st-key-reading")).to_have_text(re.compile(r"^\d$"))


@pytest.mark.slow
def test_too_large_message_closes_only_its_own_connection(server: Server, other: Page) -> None:
    with costs_little(server):
        for size in (5, 5, 40):
            assert loses_its_connection(server, bytes(size * MEGABYTE))


@pytest.mark.parametrize("garbage", [b"\xff" * 100_000, b"\x0a\xff\xff\xff\xff\x7f", random.Random(0).randbytes(1000), "text"])
def test_invalid_message_closes_only_its_own_connection(server: Server, other: Page, garbage: bytes | str) -> None:
    assert loses_its_connection(server, garbage)


@pytest.mark.slow
@pytest.mark.parametrize("states", STATES.values(), ids=list(STATES))
def test_messages_full_of_states_cost_little(server: Server, other: Page, states: list[dict[str, Any]]) -> None:
    with costs_little(server):
        is_answered(server, *[rerun(states)] * 3)


@pytest.mark.slow
def test_address_with_thousands_of_names_costs_little(server: Server, other: Page) -> None:
    with costs_little(server):
        is_answered(server, rerun(query="&".join(f"name{i}={'x' * 50}" for i in range(20_000))))


@pytest.mark.slow
def test_no_client_clears_shared_state_or_ends_the_server(server: Server, other: Page) -> None:
    start_run(other)
    worker = server.worker()
    is_answered(server, BackMsg(clear_cache=True), BackMsg(debug_shutdown_runtime=True), BackMsg(stop_script=True))
    assert server.worker() == worker
    expect_status(other, "running")
    click(other, "stop")
    expect_status(other, "stopped")


@pytest.mark.slow
def test_too_large_file_is_rejected_with_a_reason(server: Server, other: Page, tmp_path: Path) -> None:
    open_tab(other, "Export and import")
    with (tmp_path / "large.ckpt").open("wb") as file:
        file.truncate(65 * MEGABYTE)
    with costs_little(server):
        other.locator(".st-key-upload input[type=file]").set_input_files(tmp_path / "large.ckpt")
        expect(other.locator(".st-key-upload")).to_contain_text("File must be 64")


@pytest.mark.slow
def test_endless_uploads_cost_the_server_little(server: Server, other: Page) -> None:
    body = (
        b'--of\r\nContent-Disposition: form-data; name="file"; filename="a.ckpt"\r\n\r\n'
        + bytes(16 * MEGABYTE)
        + b"\r\n--of--\r\n"
    )
    cookies = CookieJar()
    browser = build_opener(HTTPCookieProcessor(cookies))
    browser.open(f"{server.url}/_stcore/health").close()
    (token,) = (str(cookie.value) for cookie in cookies)
    headers = {"Content-Type": "multipart/form-data; boundary=of", "X-Xsrftoken": token}
    with session(server) as connection:
        own = draw_again(connection, rerun())
        with costs_little(server):
            for number in range(12):
                address = f"{server.url}/_stcore/upload_file/{own}/{number}"
                with browser.open(Request(address, body, headers, method="PUT")) as answer:
                    assert answer.status == 204


@pytest.mark.slow
def test_texts_of_a_foreign_run_are_escaped(browser: Browser, small_server: Server, small: Mnist) -> None:
    markup = "<img src=x onerror=alert(1)> **bold** [x](javascript:alert(1)) :red[r] $x$"
    folder = RunFolder(small_server.log.parent / "runs", RUN)
    *records, last = train(RUN, small)
    assert isinstance(last, EndRecord)
    for record in [*records, replace(last, outcome="failed", message=markup)]:
        folder.write(record)
    write_metadata(folder.path, RunMetadata(name=markup[:60], added=markup))
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    page.goto(f"{small_server.url}/?run={folder.path.name}")
    ready(page)
    expect(page.locator(".st-key-diagnosis")).to_contain_text(markup)
    open_tab(page, "Runs")
    row = page.locator(f".runs tr[data-run='{folder.path.name}']")
    expect(row.locator("input[type=text]")).to_have_value(markup[:60])
    expect(page.locator(".chart-heading", has_text=markup[:60])).to_be_visible()
    row.locator("button.delete").click()
    expect(page.locator(f".runs tr.deleted[data-run='{folder.path.name}'] input[type=text]")).to_have_value(markup[:60])
    assert page.locator("img[src=x], a[href^=javascript]").count() == 0
    page.context.close()
