"""A server that must leave nothing behind, and what must hold after each fault."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Browser, Page

from mnist_fc.network import checkpoint
from mnist_fc.runs.layout import kept_checkpoints
from mnist_fc.runs.reader import StoredRun, read_run, read_state
from tests.support.browser import (
    SEVEN,
    Server,
    expect_status,
    ready,
    running_server,
    slide,
    start_run,
    wait_until,
)

QUICK = "?preset=fast&num_validation=100&hidden_sizes=32&epochs=1&threads=1"
LONG = "?preset=fast&num_validation=100&hidden_sizes=512,512&batch_size=8&epochs=100&threads=1"
"""Takes at least half a minute with few images, and a moment once it is set to one epoch."""

DONE = re.compile("^done$")


@contextmanager
def served(folder: Path, data_file: Path, *inside: str, **environment: str) -> Iterator[Server]:
    """Serve the page; check that it logs no traceback and leaves neither processes nor temporary files."""
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
    """Return the ids of the training processes of all servers, also earlier ones, with a store in `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_one = b"mnist_fc.server.worker" in (process / "cmdline").read_bytes()
            if is_one and f"MNIST_FC_RUNS={folder}/".encode() in (process / "environ").read_bytes():
                found.append(int(process.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def run_of(page: Page, store: Path) -> Path:
    """Return the folder of the run on the page."""
    (run_id,) = parse_qs(urlsplit(page.url).query)["run"]
    return store / run_id


def train_one(page: Page) -> None:
    """Train for one epoch and wait for the end."""
    slide(page, "epochs", "Home")
    start_run(page)
    expect_status(page, DONE)


def begin_stroke(page: Page) -> None:
    """Draw the first half of a 7 and keep the button down."""
    canvas = page.locator(".st-key-canvas canvas.upper-canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    page.mouse.move(box["x"] + SEVEN[0][0], box["y"] + SEVEN[0][1])
    page.mouse.down()
    page.mouse.move(box["x"] + SEVEN[1][0], box["y"] + SEVEN[1][1], steps=8)


def end_stroke(page: Page) -> None:
    """Draw the other half and release the button."""
    box = page.locator(".st-key-canvas canvas.upper-canvas").bounding_box()
    assert box
    page.mouse.move(box["x"] + SEVEN[2][0], box["y"] + SEVEN[2][1], steps=8)
    page.mouse.up()


def is_writing(run: Path) -> bool:
    """Return whether a checkpoint of the run is being written: until it is complete it has another name."""
    return any(run.glob(".*.ckpt.*"))


def finished_runs(store: Path) -> dict[str, StoredRun]:
    """Return the runs in the store that have ended, by id; check that every run and checkpoint can be read."""
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
            assert list(path.glob(".*.*")) == []  # incomplete files
            runs[run.id] = run
    return runs


def expect_all_well(page: Page, server: Server, folder: Path, before: dict[str, StoredRun], store: Path | None = None) -> None:
    """Check that no run of `before` is lost, no file corrupt, no process left over, and that Train works."""
    store = store or folder / "runs"
    assert before
    assert before.items() <= finished_runs(store).items()
    train_one(page)
    after = finished_runs(store)
    assert before.items() <= after.items()
    end = after[run_of(page, store).name].end
    assert end
    assert end.outcome == "done"
    assert training_processes(folder) == [server.worker()]
