"""Faults of the machine under a running page: killed processes, a full or read-only disk, deleted data, a clock set back.

After each, the page says what happened, no finished run is lost, and the next click works.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import libfaketime
import pytest
from playwright.sync_api import Browser, Page, expect

from mnist_fc.runs.layout import STATE_NAME
from mnist_fc.runs.reader import read_run
from tests.support.browser import AT_ONCE_SECONDS, SECONDS, Server, click, expect_status, open_tab, ready, start_run, wait_until
from tests.support.faults import (
    DONE,
    LONG,
    QUICK,
    expect_all_well,
    finished_runs,
    is_writing,
    opened,
    run_of,
    served,
    train_one,
    training_processes,
)

# The training process


@pytest.fixture(scope="module")
def own_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def own_server(own_folder: Path, small_npz: Path) -> Iterator[Server]:
    with served(own_folder, small_npz) as server:
        yield server


@pytest.mark.parametrize("state", ["loading", "training", "saving"])
def test_training_process_killed_in_any_state_is_reported(
    browser: Browser, own_server: Server, own_folder: Path, state: str
) -> None:
    page = opened(browser, own_server, QUICK)
    train_one(page)
    before = finished_runs(own_folder / "runs")
    page.goto(f"{own_server.url}/{LONG}")
    ready(page)
    killed = own_server.worker()
    if state == "loading":  # the successor of a killed one, before it can train
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: training_processes(own_folder) not in ([], [killed]))
        killed = own_server.worker()
        os.kill(killed, signal.SIGSTOP)  # otherwise it might train before the click is seen
    click(page, "train")
    expect_status(page, "starting" if state == "loading" else "running")
    if state == "saving":
        wait_until(lambda: is_writing(run_of(page, own_folder / "runs")))
    os.kill(killed, signal.SIGKILL)
    expect_status(page, "failed")
    diagnosis = page.locator(".st-key-diagnosis")
    expect(diagnosis).to_contain_text("was ended by SIGKILL, which is what a system out of memory does")
    has_state = (run_of(page, own_folder / "runs") / STATE_NAME).exists()
    way_on = "continues from its last state" if has_state else "begins it again"
    expect(diagnosis).to_contain_text(re.compile(rf"up to step \d+; Resume {way_on}, Train starts a new run"))
    if state == "saving":
        click(page, "pause")
        expect_status(page, "running")
        click(page, "stop")
        expect_status(page, "stopped")
    expect_all_well(page, own_server, own_folder, before)
    page.context.close()


def test_run_above_the_memory_limit_fails_with_a_reason(browser: Browser, small_npz: Path, tmp_path: Path) -> None:
    with served(tmp_path, small_npz, MNIST_FC_MEMORY_GB="0.1") as server:
        page = opened(browser, server, QUICK)
        train_one(page)
        before = finished_runs(tmp_path / "runs")
        page.goto(f"{server.url}/{QUICK.replace('=32&', '=2048,2048,2048,2048&')}")
        ready(page)
        click(page, "train")
        expect_status(page, "failed")
        expect(page.locator(".st-key-diagnosis")).to_contain_text("needs more memory")
        page.goto(f"{server.url}/{QUICK}")
        ready(page)
        expect_all_well(page, server, tmp_path, before)
        page.context.close()


# The server


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_server_and_training_process_cleanly(
    browser: Browser, small_npz: Path, tmp_path: Path, number: signal.Signals
) -> None:
    with served(tmp_path, small_npz) as server:
        page = opened(browser, server, LONG)
        start_run(page)
        expect_status(page, "running")
        server.process.send_signal(number)
        assert server.process.wait(AT_ONCE_SECONDS) == 0
        assert training_processes(tmp_path) == []
        assert "is interrupted: the server ends" in server.log.read_text()
        page.context.close()


# The disk


AS_ROOT = ["--mount"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--mount"]
"""Options of unshare and nsenter for private mounts, which end with the process."""


def mount(server: Server, *command: str | Path) -> bool:
    """Run a command in the server's mount namespace; return whether it succeeded."""
    keep = [] if os.geteuid() == 0 else ["--preserve-credentials"]
    options = [option for option in AS_ROOT if option != "--map-root-user"]
    done = subprocess.run(["nsenter", f"--target={server.process.pid}", *options, *keep, "--", *command], check=False)
    return done.returncode == 0


def expect_not_kept(page: Page, why: str) -> None:
    diagnosis = page.get_by_text(re.compile(f"This run is not kept on disk.*{why}"))
    expect(diagnosis).to_be_visible(timeout=120 * SECONDS)


def test_full_disk_loses_only_the_run_being_saved(browser: Browser, small_npz: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    with_small_disk = 'mount -t tmpfs -o size=48m none "$0" && exec "$@"'
    with served(tmp_path, small_npz, "unshare", *AS_ROOT, "--", "sh", "-c", with_small_disk, f"{tmp_path}/runs") as server:
        store = Path(f"/proc/{server.process.pid}/root{tmp_path}/runs")
        page = opened(browser, server, QUICK)
        train_one(page)
        before = finished_runs(store)
        page.goto(f"{server.url}/{LONG}")
        ready(page)
        start_run(page)
        expect(page.get_by_text(re.compile("This run is not kept on disk.*No space left on device"))).to_be_visible(
            timeout=120 * SECONDS
        )
        cut_off = run_of(page, store)
        expect_status(page, "running")
        click(page, "stop")
        expect_status(page, "stopped")
        expect(page.locator(".st-key-progress")).to_contain_text("Test accuracy")
        filler = store / "filler"
        with suppress(OSError), filler.open("wb") as file:
            while True:
                file.write(bytes(4096))
        train_one(page)
        expect(page.get_by_text(re.compile("This run is not kept on disk.*No space left on device"))).to_be_visible(
            timeout=120 * SECONDS
        )
        assert before.keys() <= finished_runs(store).keys() == before.keys()
        filler.unlink()
        open_tab(page, "Runs")
        row = page.locator(f"tr[data-run='{cut_off.name}']")
        expect(row).to_contain_text("interrupted")
        row.get_by_role("button", name="Delete").click()
        expect(row.get_by_role("button", name="Undo")).to_be_visible()
        expect_all_well(page, server, tmp_path, before, store)
        page.context.close()


def test_read_only_store_is_reported_and_training_continues(browser: Browser, small_npz: Path, tmp_path: Path) -> None:
    with served(tmp_path, small_npz, "unshare", *AS_ROOT, "--") as server:
        store = tmp_path / "runs"
        page = opened(browser, server, QUICK)
        train_one(page)
        before = finished_runs(store)
        (first,) = before
        page.goto(f"{server.url}/{LONG}")
        ready(page)
        start_run(page)
        expect_status(page, "running")
        assert mount(server, "mount", "--bind", store, store)
        wait_until(lambda: mount(server, "mount", "-o", "remount,bind,ro", store))  # not while a file is being written
        expect(page.get_by_text(re.compile("This run is not kept on disk.*Read-only file system"))).to_be_visible(
            timeout=120 * SECONDS
        )
        expect_status(page, "running")
        click(page, "stop")
        expect_status(page, "stopped")
        train_one(page)
        expect(page.get_by_text(re.compile("This run is not kept on disk.*Read-only file system"))).to_be_visible(
            timeout=120 * SECONDS
        )
        open_tab(page, "Runs")
        row = page.locator(f"tr[data-run='{first}']")
        for name in ("Pin", "Delete"):
            row.get_by_role("button", name=name).click()
            diagnosis = page.get_by_role("tabpanel").get_by_text(
                re.compile("cannot be (written|removed|deleted).*Read-only file system")
            )
            expect(diagnosis).to_be_visible()
        expect(row).to_contain_text("done")
        page.goto(f"{server.url}/?run={first}")
        ready(page)
        expect_status(page, DONE)
        assert mount(server, "umount", store)
        expect_all_well(page, server, tmp_path, before)
        page.context.close()


def test_deleted_data_file_fails_only_a_new_training_process(browser: Browser, small_npz: Path, tmp_path: Path) -> None:
    data_file = Path(shutil.copy(small_npz, tmp_path / "data.npz"))
    with served(tmp_path, data_file) as server:
        page = opened(browser, server, LONG)
        start_run(page)
        expect_status(page, "running")
        data_file.unlink()
        click(page, "stop")
        expect_status(page, "stopped")
        expect(page.locator(".st-key-progress")).to_contain_text("Test accuracy")
        train_one(page)
        page.reload()
        ready(page)
        expect_status(page, DONE)
        before = finished_runs(tmp_path / "runs")
        killed = server.worker()
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: training_processes(tmp_path) not in ([], [killed]))
        click(page, "train")
        expect_status(page, "failed")
        expect(page.locator(".st-key-diagnosis")).to_contain_text(f"{data_file} does not exist")
        shutil.copy(small_npz, data_file)
        expect_all_well(page, server, tmp_path, before)
        page.context.close()


# The clock


def test_runs_after_a_clock_step_back_count_as_newest(browser: Browser, small_npz: Path, tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0")
    library = Path(libfaketime.__file__).parent / "vendor/libfaketime/src/libfaketime.so.1"
    changeable = {"FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1"}
    # Room for about four such runs: one takes half a megabyte, and is estimated at four times that while it runs.
    with served(tmp_path, small_npz, LD_PRELOAD=str(library), MNIST_FC_RUNS_GB="0.0055", **changeable) as server:
        page = opened(browser, server, QUICK)
        train_one(page)
        begun = [run_of(page, tmp_path / "runs")]
        clock.write_text("-2d")
        for _ in range(2):
            train_one(page)
            begun.append(run_of(page, tmp_path / "runs"))
        assert begun[1].name < begun[0].name
        open_tab(page, "Runs")
        rows = page.locator(".st-key-runs tbody tr")
        expect(rows).to_have_count(3)
        assert [row.get_attribute("data-run") for row in rows.all()] == [path.name for path in reversed(begun)]
        while begun[0].exists():
            assert len(begun) < 10
            train_one(page)
            begun.append(run_of(page, tmp_path / "runs"))
        assert [path for path in begun if path.exists()] == begun[-len(finished_runs(tmp_path / "runs")) :]
        expect_all_well(page, server, tmp_path, {begun[-1].name: read_run(begun[-1])})
        page.context.close()
