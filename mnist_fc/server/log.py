"""The server's log: a line on standard error for each start, end, failure and refusal. Nothing that a person drew is in it."""

import logging
import os

from mnist_fc.config import Choice

LOG_VARIABLE = "MNIST_FC_LOG"
LEVELS = Choice(("debug", "info", "warning", "error", "critical"))


def open_log() -> None:
    """Let the package's loggers write to standard error, at the level that the environment's MNIST_FC_LOG says, or info.

    Raises ConfigError for what is no level.
    """
    level = LEVELS.check(LOG_VARIABLE, (os.environ.get(LOG_VARIABLE) or "info").lower())
    logger = logging.getLogger("mnist_fc")
    logger.setLevel(level.upper())
    logger.propagate = False
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(message)s"))
    logger.handlers = [handler]


class _OneLine(logging.Formatter):
    """A message is one line, whatever names from elsewhere are in it."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return "".join(character if character.isprintable() else " " for character in text)
