"""What goes wrong with the machine, done to the running page: processes killed, disks full or read-only, files gone, browsers
that vanish, clocks set back. After each a line says what happened, nothing that was finished is lost, and the next click works.
"""

import os
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from browser import (
    SECONDS,
    Server,
    click,
    expect_status,
    ready,
    running_server,
    slide,
    start_run,
    wait_until,
)
from playwright.sync_api import Browser, Page, expect

from mnist_fc import checkpoint
from mnist_fc.runs import StoredRun, kept_checkpoints, read_run, read_state

QUICK = "?preset=fast&num_validation=100&hidden_sizes=32&epochs=1&threads=1"
LONG = "?preset=fast&num_validation=100&hidden_sizes=512,512&batch_size=8&epochs=100&threads=1"
"""Half a minute and more, with the few images of `data_file`; a moment once it is set to one epoch."""

DONE = re.compile("^done$")


@pytest.fixture
def data_file(small_npz: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(small_npz, tmp_path / "data.npz"))


@contextmanager
def served(folder: Path, data_file: Path, *inside: str, **environment: str) -> Iterator[Server]:
    """A server whose log tells of no error, and that leaves no process and nothing in the folder for temporary files."""
    temporary = folder / "temporary"
    temporary.mkdir(exist_ok=True)
    with running_server(folder, *inside, MNIST_FC_DATA=str(data_file), TMPDIR=str(temporary), **environment) as server:
        yield server
    assert "Traceback" not in server.log.read_text()
    assert list(temporary.iterdir()) == []
    wait_until(lambda: training_processes(folder) == [])


def opened(browser: Browser, server: Server, query: str) -> Page:
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.goto(f"{server.url}/{query}")
    ready(page)
    return page


def training_processes(folder: Path) -> list[int]:
    """Those of any server, this or an earlier one, with a store in `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_one = b"mnist_fc.worker" in (process / "cmdline").read_bytes()
            if is_one and f"MNIST_FC_RUNS={folder}/".encode() in (process / "environ").read_bytes():
                found.append(int(process.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def run_of(page: Page, store: Path) -> Path:
    """The folder of the run that the page shows."""
    (run_id,) = re.findall(r"[?&]run=([^&]+)", page.url)
    return store / run_id


def train_one(page: Page) -> None:
    """A run of one epoch, from the first click to its end."""
    slide(page, "epochs", "Home")
    start_run(page)
    expect_status(page, DONE)


def whole_runs(store: Path) -> dict[str, StoredRun]:
    """The runs in the store that have ended, by name. All that is there opens, and all their files."""
    runs = {}
    for path in store.iterdir():
        if path.name == ".deleted" or not path.is_dir():
            continue
        run = read_run(path)
        read_state(path, run.config)
        checkpoints = [*kept_checkpoints(path).values(), path / checkpoint.CHECKPOINT_NAME]
        for file in checkpoints if run.epochs else checkpoints[:-1]:
            assert checkpoint.load(file).hidden_sizes == run.config.hidden_sizes
        if run.end:
            assert list(path.glob(".*.*")) == []  # files that were not written whole
            runs[run.id] = run
    return runs


def expect_all_well(page: Page, server: Server, folder: Path, before: dict[str, StoredRun], store: Path | None = None) -> None:
    """Nothing of what had ended `before` is lost, no file is corrupt, no process astray, and the next click trains."""
    store = store or folder / "runs"
    assert before
    assert before.items() <= whole_runs(store).items()
    train_one(page)
    after = whole_runs(store)
    assert before.items() <= after.items()
    end = after[run_of(page, store).name].end
    assert end
    assert end.outcome == "done"
    assert training_processes(folder) == [server.worker()]


# The training process


@pytest.fixture(scope="module")
def own_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def own_server(own_folder: Path, small_npz: Path) -> Iterator[Server]:
    with served(own_folder, small_npz) as server:
        yield server


def is_writing(run: Path) -> bool:
    """Whether a checkpoint of that run is being written: it has another name until it is whole."""
    return any(run.glob(".*.ckpt.*"))


@pytest.mark.parametrize("state", ["loading", "starting", "training", "paused", "saving"])
def test_training_process_killed_in_any_state_is_reported(
    browser: Browser, own_server: Server, own_folder: Path, state: str
) -> None:
    page = opened(browser, own_server, QUICK)
    train_one(page)
    before = whole_runs(own_folder / "runs")
    page.goto(f"{own_server.url}/{LONG}")
    ready(page)
    killed = own_server.worker()
    if state == "loading":  # the one that comes after one that is killed, before it can train
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: training_processes(own_folder) not in ([], [killed]))
        killed = own_server.worker()
    if state in ("loading", "starting"):
        os.kill(killed, signal.SIGSTOP)  # or it might be training before the click is seen
    click(page, "train")
    expect_status(page, "starting" if state in ("loading", "starting") else "epoch")
    if state == "paused":
        click(page, "pause")
        expect_status(page, "paused")
    if state == "saving":
        wait_until(lambda: is_writing(run_of(page, own_folder / "runs")))
    os.kill(killed, signal.SIGKILL)
    expect_status(page, "failed")
    said = page.locator(".st-key-diagnosis")
    expect(said).to_contain_text("was ended by SIGKILL, which is what a system out of memory does")
    expect(said).to_contain_text(re.compile(r"up to step \d+, is kept; Resume goes on with it, Train starts anew"))
    if state in ("paused", "saving"):
        click(page, "pause")
        expect_status(page, "epoch")
        click(page, "stop")
        expect_status(page, "done, stopped")
    expect_all_well(page, own_server, own_folder, before)
    page.context.close()
