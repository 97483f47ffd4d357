"""Fixtures for all tests: the real data, a server with its page, a browser; and the markers of the tiers."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, Page, sync_playwright

from mnist_fc.data.mnist import Mnist, load_mnist
from mnist_fc.drawing.strokes import Stroke
from tests.support.browser import BROWSER, BROWSER_ARGS, Server, Tabs, running_server
from tests.support.session import new_server, opened_app

LOAD = Path(__file__).parent / "load"

if sys.platform != "linux":  # these read /proc
    collect_ignore_glob = ["load/*", "security/test_hostile_*"]

# Neither an example nor its generation has a deadline: both depend on what else the machine does.
PROFILE = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], max_examples=25)
hypothesis.settings.register_profile("standard", PROFILE)
hypothesis.settings.load_profile("standard")


INTEGRATION_FIXTURES = {
    "server",
    "small_server",
    "proxy",
    "members",
    "mixed",
    "open_scheduler",
    "own_small_store",
    "scheduler",
    "shared_scheduler",
}
"""Fixtures that start other programs or train for seconds."""


@pytest.hookimpl(tryfirst=True)  # before -m selects by these markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their fixtures as `browser` and `integration`, and everything in tests/load as `slow`."""
    for item in items:
        fixtures = item.fixturenames if isinstance(item, pytest.Function) else []
        if "browser" in fixtures:
            item.add_marker("browser")
        if INTEGRATION_FIXTURES.intersection(fixtures):
            item.add_marker("integration")
        if LOAD in item.path.parents:
            item.add_marker("slow")


@pytest.fixture(scope="module")
def own_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give AppTest the resources of a new server with a store of its own; close its scheduler afterwards."""
    with new_server(tmp_path_factory.mktemp("runs")):
        yield


@pytest.fixture(scope="module")
def own_small_store(own_store: None, small_npz: Path) -> Iterator[None]:
    """Give AppTest the same resources with the data of `small`, and open its page once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MNIST_FC_DATA", str(small_npz))
        opened_app()
        yield


@pytest.fixture(scope="session", autouse=True)
def _plain_environment() -> Iterator[None]:
    """Unset the program's own environment variables, and heed Ctrl-C, which a shell lets jobs in the background ignore."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("MNIST_FC_")]:
            patch.delenv(name)
        yield


@pytest.fixture(autouse=True)
def _plain_arithmetic() -> None:
    """Undo what training sets for the whole process: hypothesis needs denormal numbers."""
    torch.set_flush_denormal(False)
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def mnist(_plain_environment: None) -> Mnist:
    """Return the whole of MNIST."""
    return load_mnist()


@pytest.fixture(scope="session")
def small(mnist: Mnist) -> Mnist:
    """Return the first 2000 training and 500 test images."""
    return Mnist(mnist.train_images[:2000], mnist.train_labels[:2000], mnist.test_images[:500], mnist.test_labels[:500])


@pytest.fixture(scope="session")
def small_arrays(small: Mnist) -> dict[str, np.ndarray]:
    """Return `small` as the arrays of mnist.npz: uint8, images (N, 28, 28)."""
    return {
        "x_train": small.train_images.numpy().reshape(-1, 28, 28),
        "y_train": small.train_labels.numpy().astype(np.uint8),
        "x_test": small.test_images.numpy().reshape(-1, 28, 28),
        "y_test": small.test_labels.numpy().astype(np.uint8),
    }


@pytest.fixture(scope="session")
def small_npz(small_arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of `small` as an .npz file."""
    path = tmp_path_factory.mktemp("data") / "small.npz"
    np.savez(path, allow_pickle=False, **small_arrays)
    return path


@pytest.fixture(scope="session")
def seven() -> list[Stroke]:
    """Return a 7 in two strokes, in the middle of the canvas."""
    return [Stroke(((90, 80), (190, 80), (130, 220)), 20), Stroke(((115, 150), (175, 150)), 20)]


def tracebacks(server: Server) -> str:
    """Return the server's log from its first traceback on."""
    _, found, rest = server.log.read_text().partition("Traceback")
    return found + rest


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server of the page with the whole of MNIST; fail if it has logged a traceback."""
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running
        assert not tracebacks(running)


@pytest.fixture(scope="session")
def small_server(small_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server of the page with the data of `small`, on which an epoch takes a moment."""
    with running_server(tmp_path_factory.mktemp("small_server"), MNIST_FC_DATA=str(small_npz)) as running:
        yield running
        assert not tracebacks(running)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Launch a browser. Its scope is the module, since asyncio.run does not work while Playwright runs."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=BROWSER, args=BROWSER_ARGS)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def tabs(browser: Browser) -> Tabs:
    return Tabs(browser)


@pytest.fixture
def open_page(server: Server, tabs: Tabs) -> Iterator[Callable[..., Page]]:
    """Open the page in sessions of their own; stop what still trains at the end of the test."""
    opened: list[tuple[Page, dict[str, Any]]] = []

    def open_one(width: int = 1280, height: int = 800, query: str = "", **options: Any) -> Page:
        page = tabs.open(f"{server.url}/{query}", width, height, **options)
        opened.append((page, options))
        return page

    yield open_one
    for page, options in opened:
        tabs.give_back(page, **options)


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    return open_page()
