"""The page behind nginx, configured as documented: TLS and a password, and everything on the page still works."""

import base64
import http.client
import os
import re
import shutil
import socket
import ssl
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from mnist_fc.files import ROOT
from tests.support.browser import (
    SECONDS,
    SEVEN,
    Server,
    click,
    draw,
    expect_reading,
    expect_status,
    free_port,
    open_tab,
    ready,
    slide,
    start_run,
    wait_until,
)
from tests.support.faults import LONG, QUICK, begin_stroke, end_stroke, expect_all_well, finished_runs, run_of, served, train_one

pytestmark = pytest.mark.integration

SECTION = (ROOT / "mnist_fc/server/README.md").read_text("utf-8").split("\n## In a class\n")[1].split("\n## ")[0]
COMMANDS, CONFIG = re.findall(r"\n```\w*\n(.*?)```\n", SECTION, re.DOTALL)
NAME, PASSWORD = "digits.school.example", "a secret"

NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
{user}
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/mnist_fc.conf;
}}
"""


def replaced(text: str, old: str, new: str) -> str:
    """Return `text` with `new` for every `old`; there must be at least one."""
    assert old in text
    return text.replace(old, new)


def is_open(address: str, port: int) -> bool:
    with closing(socket.socket()) as client:
        return client.connect_ex((address, port)) == 0


@dataclass
class Proxy:
    server: Server
    folder: Path
    port: int
    """The port for https."""
    http_port: int
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def start(self) -> None:
        """Start nginx in the foreground and wait until it listens."""
        nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
        assert nginx, "nginx is not installed"
        process = subprocess.Popen([nginx, "-c", str(self.folder / "nginx.conf"), "-p", str(self.folder)])
        wait_until(lambda: process.poll() is not None or is_open("127.0.0.1", self.port))
        assert process.poll() is None
        self.process = process

    def stop(self) -> None:
        """Kill nginx and with it all connections."""
        assert self.process
        self.process.terminate()
        self.process.wait(30)

    def request(self, path: str, authorization: str = "", method: str = "GET", **headers: str) -> http.client.HTTPResponse:
        """Return nginx's answer to one request over https; check its certificate."""
        trusted = ssl.create_default_context(cafile=self.folder / "mnist_fc.crt")
        connection = http.client.HTTPSConnection("localhost", self.port, context=trusted, timeout=60)
        with closing(connection):
            if authorization:
                headers["Authorization"] = "Basic " + base64.b64encode(authorization.encode()).decode()
            connection.request(method, path, headers=headers)
            return connection.getresponse()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("proxy")


@pytest.fixture(scope="module")
def proxy(folder: Path, small_npz: Path) -> Iterator[Proxy]:
    commands = replaced(COMMANDS, "sudo apt install nginx\n", "").replace("sudo ", "")
    for old, new in (("/etc/nginx", str(folder)), ("passwd -6", f"passwd -6 '{PASSWORD}'"), (NAME, "localhost")):
        commands = replaced(commands, old, new)
    subprocess.run(["bash", "-euc", commands], check=True, capture_output=True)
    port, http_port = free_port(), free_port()
    with served(folder, small_npz) as server:
        config = CONFIG
        for old, new in (
            ("/etc/nginx", str(folder)),
            (NAME, "localhost"),
            ("listen 80;", f"listen 127.0.0.1:{http_port};"),
            ("listen 443 ", f"listen 127.0.0.1:{port} "),
            ("127.0.0.1:8501", f"127.0.0.1:{server.url.rpartition(':')[2]}"),
        ):
            config = replaced(config, old, new)
        (folder / "mnist_fc.conf").write_text(config)
        user = "user root;" if os.geteuid() == 0 else ""  # other users cannot read the tests' folders
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, user=user))
        running = Proxy(server, folder, port, http_port)
        running.start()
        yield running
        running.stop()


def opened_with_password(browser: Browser, proxy: Proxy, query: str) -> Page:
    page = browser.new_context(
        viewport={"width": 1280, "height": 800},
        ignore_https_errors=True,
        http_credentials={"username": "class", "password": PASSWORD},
    ).new_page()
    page.goto(f"{proxy.url}/{query}")
    ready(page)
    return page


PATHS = ["/", "/static/js/x.js", "/_stcore/health", "/_stcore/stream", "/_stcore/upload_file/x/y", "/media/x"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("authorization", ["", "class:", "class:another", f"teacher:{PASSWORD}"])
def test_nothing_is_served_without_the_password(proxy: Proxy, path: str, authorization: str) -> None:
    answer = proxy.request(path, authorization)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="mnist_fc"'


def test_http_redirects_to_https(proxy: Proxy) -> None:
    with closing(http.client.HTTPConnection("localhost", proxy.http_port, timeout=60)) as connection:
        connection.request("GET", "/?preset=best")
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Location"]) == (301, "https://localhost/?preset=best")


def test_upload_from_another_origin_is_rejected(proxy: Proxy) -> None:
    assert proxy.request("/_stcore/upload_file/x/y", f"class:{PASSWORD}", "PUT").status == 403


def test_page_listens_on_localhost_only(proxy: Proxy) -> None:
    sockets = [os.readlink(file) for file in Path(f"/proc/{proxy.server.process.pid}/fd").iterdir()]
    listening = {}
    for table in ("tcp", "tcp6"):
        for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, address, _, state, *_, inode = row.split()[:10]
            if state == "0A" and f"socket:[{inode}]" in sockets:
                listening[address.partition(":")[0]] = int(address.partition(":")[2], 16)
    port = int(proxy.server.url.rpartition(":")[2])
    assert listening
    loopback = {"0100007F": port, "00000000000000000000000001000000": port}  # 127.0.0.1 and ::1 as in /proc/net/tcp
    assert listening.items() <= loopback.items()
    assert not is_open("127.0.0.2", port)  # another loopback address


@pytest.mark.slow
def test_drawing_training_and_upload_work_behind_the_proxy(browser: Browser, proxy: Proxy, folder: Path) -> None:
    page = opened_with_password(browser, proxy, QUICK)
    click(page, "clear")
    expect_reading(page, "")
    draw(page, SEVEN)
    expect_reading(page, "7")
    train_one(page)
    checkpoint = run_of(page, folder / "runs") / "model.ckpt"
    open_tab(page, "Export and import")
    page.locator(".st-key-upload input[type=file]").set_input_files(checkpoint)
    expect(page.locator(".under-digit .by")).to_have_text("the loaded file")
    with page.expect_download() as waiting:
        click(page, "take_model_ckpt")
    assert Path(waiting.value.path()).read_bytes() == checkpoint.read_bytes()
    (cookie,) = [cookie for cookie in page.context.cookies() if cookie["name"] == "_streamlit_xsrf"]
    assert cookie["secure"]
    page.context.close()


@pytest.mark.slow
def test_too_large_upload_is_rejected_by_the_proxy(proxy: Proxy) -> None:
    page_takes = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["server"]["maxUploadSize"]
    (proxy_takes,) = re.findall(r"client_max_body_size (\d+)m;", CONFIG)
    assert page_takes < int(proxy_takes) <= page_takes + 1
    length = {"Content-Length": str((page_takes + 2) * 2**20)}
    assert proxy.request("/_stcore/upload_file/x/y", f"class:{PASSWORD}", "PUT", **length).status == 413


@pytest.mark.slow
def test_cut_connection_loses_neither_stroke_nor_run(browser: Browser, proxy: Proxy, folder: Path) -> None:
    page = opened_with_password(browser, proxy, LONG)
    train_one(page)
    before = finished_runs(folder / "runs")
    slide(page, "epochs", "End")
    start_run(page)
    expect_status(page, "running")
    click(page, "clear")
    expect_reading(page, "")
    begin_stroke(page)
    proxy.stop()
    end_stroke(page)
    lost = page.get_by_role("alert").filter(has_text="The connection to the server is lost.")
    expect(lost).to_be_visible(timeout=120 * SECONDS)
    proxy.start()
    expect(lost).to_be_hidden(timeout=120 * SECONDS)
    expect_reading(page, "7")
    expect_status(page, "running")
    click(page, "stop")
    expect_status(page, "stopped")
    expect_all_well(page, proxy.server, folder, before)
    page.context.close()
