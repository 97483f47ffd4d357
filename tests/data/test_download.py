"""download.py: files are downloaded and checked; after any failure one line says why, and nothing is left half written."""

import functools
import gzip
import hashlib
import http.server
import os
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torchvision

from mnist_fc.data.download import download_mnist
from mnist_fc.data.mnist import DataError, load_mnist
from tests.support.data import STEMS, Arrays, assert_is, noise, write_idx

NAMES = [f"{stem}.gz" for stem in STEMS.values()]

Handler = Callable[..., http.server.BaseHTTPRequestHandler]


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder without logging."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name in the base class)
        """Log nothing."""


class Nonsense(http.server.BaseHTTPRequestHandler):
    """Answers every request with something that is not HTTP, as a wrong proxy may."""

    def handle_one_request(self) -> None:
        """Answer once and close."""
        self.raw_requestline = self.rfile.readline(65537)
        self.close_connection = True
        self.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")


class WebPage(Quiet):
    """Answers every request with a page, as the network of a hotel does."""

    def do_GET(self) -> None:
        """Answer with a page."""
        page = b"<html>Please sign in</html>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)


class CutOff(Quiet):
    """Announces more bytes than it sends."""

    def do_GET(self) -> None:
        """Send a tenth."""
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(bytes(100))


@contextmanager
def served(handler: Handler) -> Iterator[str]:
    """Yield the address of a web server."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    return noise()


@pytest.fixture(scope="module")
def originals(arrays: Arrays, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_idx(tmp_path_factory.mktemp("originals"), arrays, zipped=True)


@pytest.fixture
def use(originals: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that sets the mirror, which is to have the files of `originals`."""
    digests = {name: hashlib.md5((originals / name).read_bytes()).hexdigest() for name in NAMES}
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", list(digests.items()))
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(urllib.request, "_opener", None)  # it keeps the proxies that were set at its first use
    return lambda mirror: monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [mirror] if mirror else [])


@pytest.fixture
def mirror(originals: Path, use: Callable[[str], None]) -> Iterator[str]:
    """Serve the four files in the place of torchvision's own server."""
    with served(functools.partial(Quiet, directory=str(originals))) as address:
        use(address)
        yield address


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.usefixtures("mirror")
def test_downloaded_files_are_read(arrays: Arrays, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert_is(load_mnist(download_mnist(tmp_path)), arrays)
    assert "100%" in capfd.readouterr().err
    assert files_in(tmp_path) == sorted(NAMES)


@pytest.mark.usefixtures("mirror")
def test_existing_files_are_not_downloaded_again(arrays: Arrays, tmp_path: Path, use: Callable[[str], None]) -> None:
    download_mnist(tmp_path)
    use("")
    assert_is(load_mnist(download_mnist(tmp_path)), arrays)


@pytest.mark.usefixtures("mirror")
@pytest.mark.parametrize("left", ["a file cut short", "an unpacked file cut short", "a web page"])
def test_what_a_broken_download_left_is_replaced(arrays: Arrays, originals: Path, tmp_path: Path, left: str) -> None:
    raw = download_mnist(tmp_path)
    whole = (originals / NAMES[0]).read_bytes()
    match left:
        case "a file cut short":
            (raw / NAMES[0]).write_bytes(whole[:-1])
        case "an unpacked file cut short":
            (raw / NAMES[0]).with_suffix("").write_bytes(gzip.decompress(whole)[:-1])
        case _:
            (raw / NAMES[0]).write_bytes(b"<html>404</html>")
    assert_is(load_mnist(download_mnist(tmp_path)), arrays)
    assert files_in(tmp_path) == sorted(NAMES)


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (Nonsense, "the answer was not HTTP, or was cut off"),
        (WebPage, "what arrived has a wrong checksum, so it was dropped"),
        (CutOff, "what arrived has a wrong checksum, so it was dropped"),
        (functools.partial(Quiet, directory=os.devnull), "the server answered 404 Not Found"),
    ],
    ids=["nonsense", "a web page", "cut off", "missing"],
)
def test_a_wrong_answer_leaves_nothing_and_is_said_in_words(
    use: Callable[[str], None], tmp_path: Path, handler: Handler, reason: str
) -> None:
    with served(handler) as address:
        use(address)
        with pytest.raises(DataError, match=rf"train-images-idx3-ubyte.gz could not be downloaded: {reason}; check the connec"):
            download_mnist(tmp_path)
    assert files_in(tmp_path) == []


def test_a_failed_download_keeps_what_was_there(mirror: str, use: Callable[[str], None], tmp_path: Path) -> None:
    raw = download_mnist(tmp_path)
    (raw / NAMES[1]).write_bytes(b"cut")
    with served(WebPage) as address:
        use(address)
        with pytest.raises(DataError, match=rf"{NAMES[1]} could not be downloaded"):
            download_mnist(tmp_path)
    assert files_in(tmp_path) == sorted(NAMES)


@contextmanager
def refused() -> Iterator[str]:
    """Yield an address that refuses connections."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening
        yield f"http://127.0.0.1:{closed.getsockname()[1]}/"


def test_a_refused_connection_is_said_in_words(use: Callable[[str], None], tmp_path: Path) -> None:
    with refused() as address:
        use(address)
        with pytest.raises(DataError, match=r"could not be downloaded: Connection refused; check the connection, or give"):
            download_mnist(tmp_path)


@pytest.mark.parametrize("proxy", ["http://[::1", "http://proxy:port", "nonsense://", "http://", "http://me:secret@[::1"])
def test_a_malformed_proxy_is_said_in_words(mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(DataError, match=r"could not be downloaded: .*; check the proxy settings \(https_proxy\)") as caught:
        download_mnist(tmp_path)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy"])
@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "SOCKS5h://me:secret@127.0.0.1:9", "socks://127.0.0.1:9"])
def test_a_socks_proxy_is_said_to_be_unsupported(
    use: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, proxy: str
) -> None:
    with refused() as address:
        use(address)
        monkeypatch.setenv(variable, proxy)
        with pytest.raises(
            DataError, match=r"SOCKS proxies are not supported; check the proxy settings \(https_proxy\)"
        ) as caught:
            download_mnist(tmp_path)
    assert "secret" not in str(caught.value)


def test_an_answer_is_told_though_a_socks_proxy_is_set(
    use: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:9")  # which urllib ignores
    with served(functools.partial(Quiet, directory=os.devnull)) as address:
        use(address)
        with pytest.raises(DataError, match="the server answered 404"):
            download_mnist(tmp_path)


@pytest.mark.usefixtures("mirror")
def test_a_socks_proxy_that_is_not_used_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:9")
    assert files_in(download_mnist(tmp_path)) == sorted(NAMES)


def test_a_proxy_that_answers_nonsense_is_said_in_words(mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(Nonsense) as proxy:
        monkeypatch.setenv("http_proxy", proxy)
        with pytest.raises(DataError, match=r"the answer was not HTTP, or was cut off; check the proxy settings"):
            download_mnist(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"MNIST cannot be kept in .*: Not a directory; set XDG_CACHE_HOME to another folder"):
        download_mnist(tmp_path / "file")


def test_an_unknown_user_without_a_home_gets_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54_321)
    with pytest.raises(DataError, match="there is no home folder to keep MNIST in; set XDG_CACHE_HOME to a folder"):
        download_mnist()
