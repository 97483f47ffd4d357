"""The log: one line for each message of the wanted level, and nothing that a person drew."""

import asyncio
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mnist_fc.config import ConfigError
from mnist_fc.server.log import LEVELS, LOG_VARIABLE, open_log
from tests.support.browser import ONE, SEVEN, running_server, wait_until
from tests.support.client import Session

LINE = re.compile(r"\d{4}-\d\d-\d\d [\d:,]+ (INFO|WARNING|ERROR) (.*)")


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("mnist_fc")
    before = logger.level, logger.propagate, logger.handlers
    yield logger
    logger.level, logger.propagate, logger.handlers = before
    logger.setLevel(logger.level)


def test_log_contains_its_level_and_above(
    logger: logging.Logger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for level in LEVELS.options:
        monkeypatch.setenv(LOG_VARIABLE, level)
        open_log()
        for each in LEVELS.options:
            logging.getLogger("mnist_fc.any").log(logging.getLevelNamesMapping()[each.upper()], "this is %s", each)
        shown = re.findall(r"this is (\w+)", capsys.readouterr().err)
        assert shown == list(LEVELS.options[LEVELS.options.index(level) :])


def test_unknown_level_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LOG_VARIABLE, "loud")
    with pytest.raises(ConfigError, match=f"{LOG_VARIABLE} is .*loud"):
        open_log()


def test_line_breaks_in_names_make_no_new_line(
    logger: logging.Logger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(LOG_VARIABLE, raising=False)
    open_log()
    logger.info("run %s begins", "a\n2026-01-01 00:00:00 ERROR all is lost\r\x1b[2J\u2028b")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.isprintable()


@pytest.mark.slow
def test_drawing_and_training_leave_two_lines_with_run_and_session(tmp_path: Path) -> None:
    async def draw_and_train(url: str) -> str:
        session = await Session(url, "preset=fast&epochs=1&hidden_sizes=32").open()
        await session.click("clear")
        await session.draw(SEVEN)
        await session.draw(ONE)
        await session.wait_for(lambda page: bool(page.text("reading")), "the reading")
        await session.click("train")
        await session.wait_for(lambda page: "done" in page.text("training_bar"), "the end of the run")
        session_id = session.id
        await session.leave()
        return session_id

    with running_server(tmp_path, MNIST_FC_LOG="debug") as server:
        session_id = asyncio.run(draw_and_train(server.url))
        wait_until(lambda: "ends at step" in server.log.read_text())
        messages = [match.groups() for match in map(LINE.fullmatch, server.log.read_text().splitlines()) if match]
    run = next((tmp_path / "runs").glob("*/")).name
    (begins, ends) = messages
    for level, text in (begins, ends):
        assert level == "INFO"
        assert text.startswith(f"run {run} (784-32-10, ")
        assert f"of session {session_id[:8]}" in text
