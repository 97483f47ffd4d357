"""Waiting ends as soon as the event can no longer happen. Otherwise these tests would never end."""

import math
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from mnist_fc.config import TrainConfig
from mnist_fc.records import EndRecord
from mnist_fc.server.run import Run
from tests.support import browser
from tests.support.browser import Server, expect_status, wait_until
from tests.support.waiting import wait_for_steps

PAGE = "<div class='st-key-status'><span role='status' data-run='{run}'>{words}</span></div>"
CHANGE = """([run, words]) => {
  const query = document.querySelector;
  document.querySelector = (selector) => {
    document.querySelector = query;
    const found = document.querySelector(selector);
    setTimeout(() => {
      const status = document.querySelector("[role=status]");
      status.dataset.run = run;
      status.textContent = words;
    });
    return found;
  };
}"""
"""Changes the status as soon as it has been read."""


@pytest.fixture
def blank(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    yield page
    page.close()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the bounds on waiting for a status."""
    monkeypatch.setattr(browser, "STATUS_SECONDS", math.inf)
    monkeypatch.setattr(browser, "AT_ONCE_SECONDS", math.inf)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("end", ["failed", "done", "stopped in epoch 2 of 5", "diverged"])
def test_unexpected_end_of_a_run_ends_the_wait(blank: Page, end: str) -> None:
    blank.set_content(PAGE.format(run="a", words="running, epoch 2 of 5"))
    blank.evaluate(CHANGE, ["a", end])
    with pytest.raises(AssertionError, match=end):
        expect_status(blank, "paused")


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(
    ("run", "words", "text"), [("a", "running, epoch 3 of 5", "running"), ("b", "done", "done"), ("", "ready", "ready")]
)
def test_end_of_an_earlier_run_does_not_end_the_wait(blank: Page, run: str, words: str, text: str) -> None:
    blank.set_content(PAGE.format(run="a", words="failed"))
    blank.evaluate(CHANGE, [run, words])
    expect_status(blank, text)


def test_click_without_effect_ends_the_wait(blank: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "STATUS_SECONDS", math.inf)
    monkeypatch.setattr(browser, "AT_ONCE_SECONDS", 0.01)
    blank.set_content(PAGE.format(run="", words="ready"))
    with pytest.raises(AssertionError, match="ready"):
        expect_status(blank, "running")


def test_server_exit_ends_the_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "log").write_text("why it ended")
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    monkeypatch.setattr(browser, "SERVERS", [Server(process, "http://localhost", tmp_path / "log")])
    threading.Timer(0, process.communicate).start()  # ends its input, and with it the process
    with pytest.raises(AssertionError, match="why it ended"):
        wait_until(lambda: False, math.inf)


def test_failed_run_ends_the_wait_for_steps() -> None:
    run = Run("a", TrainConfig(num_epochs=1, threads=1))
    end = EndRecord(0, 0, "failed", "The reason.", 0.0, None, None)
    threading.Timer(0, run.receive, [end]).start()
    with pytest.raises(AssertionError, match=r"The reason\."):
        wait_for_steps(run, 1)
