"""Fixtures of the tests with hostile inputs: a session without a page, a busy scheduler, files that must stay untouched."""

import pickle
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import streamlit as st
import torch

from mnist_fc.config import PRESETS
from mnist_fc.data.mnist import Mnist
from mnist_fc.network import checkpoint
from mnist_fc.network.mlp import MLP
from mnist_fc.reading.reader import Reader
from mnist_fc.runs.writer import RunFolder
from mnist_fc.server.scheduler import Scheduler
from mnist_fc.training.engine import train
from mnist_fc.views import controls
from mnist_fc.views.state import shared
from tests.support.files import WritesAFile
from tests.support.hostile import BOUNDARIES, CONFIG, memory_limit, tree
from tests.support.hostile_files import NAMES, SHAPES
from tests.support.session import State, new_app


@pytest.fixture(scope="module")
def fuzzing(request: pytest.FixtureRequest) -> Iterator[None]:
    """Limit memory, and print what the inputs cost."""
    with memory_limit(4 * 2**30):
        yield
    capture: Any = request.config.pluginmanager.get_plugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(*("", *BOUNDARIES.values()), sep="\n")  # noqa: T201 (the figures are part of the result)


@pytest.fixture(scope="module")
def views(own_store: None) -> SimpleNamespace:
    """Return what can be imported only after Streamlit has run the page, because the canvas is a component."""
    assert not new_app().run().exception
    from mnist_fc.views import drawing, mistakes, runs_table
    from mnist_fc.views.components import canvas

    return SimpleNamespace(
        Canvas=canvas.Canvas, Press=canvas.Press, FIRST_DRAWING=drawing.FIRST_DRAWING, press=mistakes._choose, act=runs_table._act
    )


@pytest.fixture(scope="module")
def state(views: SimpleNamespace) -> Iterator[State]:
    """Return the state of a session that has no page."""
    with pytest.MonkeyPatch.context() as patch:
        made = State()
        patch.setattr(st, "session_state", made)
        patch.setattr(st, "query_params", {})
        yield made


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder beside the store that nothing may read or write; no message may contain its secret."""
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
def scheduler(state: State, records: list[Any]) -> Scheduler:
    """Return a scheduler with stored runs whose only slot is taken by a paused run, so that it starts no other."""
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
    """Return pickle operations that would create a file; check that it was never created."""
    path = tmp_path_factory.mktemp("ran") / "ran"
    yield pickle.dumps(WritesAFile(path), protocol=2)[2:-1]
    assert not path.exists()


@pytest.fixture(scope="module")
def valid_checkpoint() -> bytes:
    """Return the bytes of a valid checkpoint."""
    return checkpoint.to_bytes({name: torch.full(shape, 0.5) for name, shape in zip(NAMES, SHAPES, strict=True)})
