"""What the tests share: the real data, whole and as a slice of it; and the page in a browser."""

import os
import resource
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from browser import BROWSER, BROWSER_ARGS, Server, ready, running_server
from playwright.sync_api import Browser, Page, expect, sync_playwright
from streamlit.testing.v1 import AppTest
from torch import Tensor, nn

from mnist_fc.config import TrainConfig, text_of
from mnist_fc.data.mnist import Mnist, load_mnist
from mnist_fc.drawing.strokes import Stroke
from mnist_fc.network.mlp import ACTIVATIONS, MLP
from mnist_fc.records import WeightsRecord
from mnist_fc.training.engine import train
from mnist_fc.views import controls
from mnist_fc.views.state import shared

# How long an example takes is the machine's affair, and so is how long it takes to make one.
hypothesis.settings.register_profile("any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("any machine")


OVERFLOWING: dict[str, Any] = {
    "hidden_sizes": (256, 256, 256, 256),
    "activation": "leaky_relu",
    "initialization": "keras",
    "optimizer": "sgd",
    "learning_rate": 1.0,
    "schedule": "constant",
}
"""Settings whose loss overflows on every processor, within about fifteen steps.

Leaky ReLUs never die, Glorot's initialization keeps signals and gradients at full size, and a learning rate of 1 is unstable for
this network from the start. The gradient of a layer contains the product of all others, so the loss grows faster than
exponentially: 2, 30, 1e3, 2e7, 3e26, overflow. Rounding moves that by a few steps. ReLUs, in contrast, may die on the way: then
the loss stays at that of guessing.
"""


@contextmanager
def files_no_larger_than(num_bytes: int) -> Iterator[None]:
    """The system lets this process write no more to a file, as when a disk is full.

    For a part of a test's own body: pytest itself writes to what may be a file before fixtures end.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def as_options(settings: dict[str, Any]) -> list[str]:
    """Settings as the command line takes them."""
    return [part for name, value in settings.items() for part in (f"--{name.replace('_', '-')}", text_of(value))]


def as_query(settings: dict[str, Any]) -> str:
    """Settings as the address of the page takes them."""
    return "?" + "&".join(f"{name}={text_of(value)}" for name, value in settings.items())


def model_of(record: WeightsRecord, config: TrainConfig) -> MLP:
    """The network whose weights a record holds."""
    model = MLP(config.hidden_sizes, config.activation)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in record.weights.items()})
    return model.eval()


def trained_models(data: Mnist, sizes: tuple[int, ...], depths: Iterable[int]) -> dict[tuple[str, int], MLP]:
    """A network of each activation with the first of `sizes` as hidden layers, by activation and depth, after two epochs."""
    models = {}
    for activation in ACTIVATIONS:
        for depth in depths:
            config = TrainConfig(
                hidden_sizes=sizes[:depth],
                activation=activation,  # type: ignore[arg-type]
                learning_rate=0.005,
                num_epochs=2,
                num_validation=0,
                threads=1,
            )
            *_, last = (record for record in train(config, data) if isinstance(record, WeightsRecord))
            models[activation, depth] = model_of(last, config)
    return models


class BlogNet(nn.Module):
    """The class of the blog post."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(28 * 28, 500)
        self.fc2 = nn.Linear(500, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc2(F.relu(self.fc1(x)))
        return logits


class WritesAFile:
    """Pickled, it is code that creates `path` when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


class State(dict[str, Any]):
    """Items that are attributes too, as in a session's state."""

    __getattr__ = dict.__getitem__
    __setattr__ = dict.__setitem__


def said(app: AppTest) -> TrainConfig:
    """The config that the controls of the page say."""
    settings: controls.Settings = app.session_state["settings"]
    return settings.config


@pytest.fixture(scope="module")
def own_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """For AppTest: the server's resources as in a new server, with a store of their own; its training process ends afterwards."""
    resources = shared.trainer, shared.mnist, shared.shipped_reader, shared.shipped_accuracy
    for each in resources:
        each.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MNIST_FC_RUNS", str(tmp_path_factory.mktemp("runs")))
        yield
        shared.trainer().close()
    for each in resources:
        each.clear()


@pytest.fixture(scope="session", autouse=True)
def _plain_environment() -> Iterator[None]:
    """The program's own variables are not set."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("MNIST_FC_")]:
            patch.delenv(name)
        yield


@pytest.fixture(autouse=True)
def _plain_arithmetic() -> None:
    """What training sets for the whole process is undone: hypothesis needs denormal numbers."""
    torch.set_flush_denormal(False)
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def mnist(_plain_environment: None) -> Mnist:
    """The embedded MNIST, whole."""
    return load_mnist()


@pytest.fixture(scope="session")
def small(mnist: Mnist) -> Mnist:
    """The first 2000 training and 500 test images."""
    return Mnist(mnist.train_images[:2000], mnist.train_labels[:2000], mnist.test_images[:500], mnist.test_labels[:500])


@pytest.fixture(scope="session")
def small_arrays(small: Mnist) -> dict[str, np.ndarray]:
    """`small` as the arrays of an .npz file."""
    return {
        "x_train": small.train_images.numpy().reshape(-1, 28, 28),
        "y_train": small.train_labels.numpy().astype(np.uint8),
        "x_test": small.test_images.numpy().reshape(-1, 28, 28),
        "y_test": small.test_labels.numpy().astype(np.uint8),
    }


@pytest.fixture(scope="session")
def small_npz(small_arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`small` as a file."""
    path = tmp_path_factory.mktemp("data") / "small.npz"
    np.savez(path, allow_pickle=False, **small_arrays)
    return path


@pytest.fixture(scope="session")
def seven() -> list[Stroke]:
    """A 7 in two strokes, in the middle of the canvas."""
    return [Stroke(((90, 80), (190, 80), (130, 220)), 20), Stroke(((115, 150), (175, 150)), 20)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running
        assert "Traceback" not in running.log.read_text()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=BROWSER, args=BROWSER_ARGS)
        yield launched
        launched.close()


@pytest.fixture
def open_page(server: Server, browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open the page in a session of its own; one that is still training at the end of the test is stopped."""
    opened: list[Page] = []

    def open_one(width: int = 1280, height: int = 800, query: str = "", **options: Any) -> Page:
        page = browser.new_context(viewport={"width": width, "height": height}, **options).new_page()
        opened.append(page)
        page.goto(f"{server.url}/{query}")
        ready(page)
        return page

    yield open_one
    for page in opened:
        stop = page.locator(".st-key-stop button")
        if not page.is_closed() and stop.count():
            stop.evaluate("button => button.click()")  # does nothing if the run has just ended and it is disabled
            expect(stop).to_be_disabled()
        page.context.close()


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    return open_page()
