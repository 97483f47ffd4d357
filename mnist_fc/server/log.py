"""The server's log on standard error: a line for each start, end, failure and rejection, and nothing that a person drew."""

import logging
import os

from mnist_fc.config import Choice

LOG_VARIABLE = "MNIST_FC_LOG"
LEVELS = Choice(("debug", "info", "warning", "error", "critical"))


def open_log() -> None:
    """Let the package's loggers write to standard error, at the level of the environment's MNIST_FC_LOG, or info.

    Raises ConfigError if the variable names no level.
    """
    level = LEVELS.check(LOG_VARIABLE, (os.environ.get(LOG_VARIABLE) or "info").lower())
    logger = logging.getLogger("mnist_fc")
    logger.setLevel(level.upper())
    logger.propagate = False
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(message)s"))
    logger.handlers = [handler]


class _OneLine(logging.Formatter):
    """Formats each message as one line; names from elsewhere may contain line breaks and control characters."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return "".join(character if character.isprintable() else " " for character in text)
