"""What the tests with hostile inputs share: a session without a page, a busy scheduler, and files that nothing may touch."""

import pickle
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import streamlit as st
import torch
from streamlit.testing.v1 import AppTest

from mnist_fc.config import PRESETS
from mnist_fc.data.mnist import Mnist
from mnist_fc.files import ROOT
from mnist_fc.network import checkpoint
from mnist_fc.network.mlp import MLP
from mnist_fc.reading.reader import Reader
from mnist_fc.runs.writer import RunFolder
from mnist_fc.server.scheduler import Scheduler
from mnist_fc.training.engine import train
from mnist_fc.views import controls
from mnist_fc.views.state import shared
from tests.support.files import WritesAFile
from tests.support.hostile import CONFIG, DOORS, no_more_memory_than, tree
from tests.support.hostile_files import NAMES, SHAPES
from tests.support.session import State

APP = str(ROOT / "app.py")


@pytest.fixture(scope="module")
def figures(request: pytest.FixtureRequest) -> Iterator[None]:
    """Say what came of it."""
    with no_more_memory_than(4 * 2**30):
        yield
    capture: Any = request.config.pluginmanager.get_plugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(*("", *DOORS.values()), sep="\n")  # noqa: T201 (the figures are what the run is for)


@pytest.fixture(scope="module")
def views(own_store: None) -> SimpleNamespace:
    """What can be imported only once Streamlit has run the page, for the canvas is a component."""
    assert not AppTest.from_file(APP, default_timeout=300).run().exception
    from mnist_fc.views import drawing, mistakes, runs
    from mnist_fc.views.components import canvas

    return SimpleNamespace(
        Canvas=canvas.Canvas, Press=canvas.Press, FIRST_DRAWING=drawing.FIRST_DRAWING, press=mistakes._press, act=runs._act
    )


@pytest.fixture(scope="module")
def state(views: SimpleNamespace) -> Iterator[State]:
    """The state of a session that has no page."""
    with pytest.MonkeyPatch.context() as patch:
        made = State()
        patch.setattr(st, "session_state", made)
        patch.setattr(st, "query_params", {})
        yield made


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder beside the store that nothing may read or write; what it holds is found in nothing that is said."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "secret.txt").write_text("SECRET")
    (folder / "config.json").write_text(CONFIG.to_json())
    (folder / "metrics.csv").write_text("SECRET")
    checkpoint.save(folder / "model.ckpt", MLP((8,)).state_copy())
    before = tree(folder)
    yield folder
    assert tree(folder) == before


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader.load()


@pytest.fixture(scope="module")
def records(small: Mnist) -> list[Any]:
    return list(train(CONFIG, small))


@pytest.fixture(scope="module")
def trainer(state: State, records: list[Any]) -> Scheduler:
    """The trainer of a server whose store has a run, and which is busy with another, so that it begins no third."""
    made = shared.scheduler()
    for _ in range(3):
        folder = RunFolder(made.store.path, CONFIG)
        for record in records:
            folder.write(record)
    controls.set_all(PRESETS["fast"])
    state["compared"] = []
    going = made.start(PRESETS["best"].replace(threads=1))
    assert going.wait_for(lambda run: 20 in run.snapshot().kept, 120)
    made.pause(going)
    assert going.wait_until_state("paused", timeout=300)
    return made


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bytes]:
    """A pickle's operations that make a file, which is then not there."""
    path = tmp_path_factory.mktemp("ran") / "ran"
    yield pickle.dumps(WritesAFile(path), protocol=2)[2:-1]
    assert not path.exists()


@pytest.fixture(scope="module")
def whole() -> bytes:
    """A checkpoint as it should be."""
    return checkpoint.to_bytes({name: torch.full(shape, 0.5) for name, shape in zip(NAMES, SHAPES, strict=True)})
