"""Run one command, and say what went wrong in one line."""

import sys
from collections.abc import Sequence

from mnist_fc.cli.parser import build_parser
from mnist_fc.config import (
    ConfigError,
)
from mnist_fc.data.mnist import DataError
from mnist_fc.drawing.pictures import DrawingError
from mnist_fc.network import checkpoint
from mnist_fc.runs.layout import RunsError
from mnist_fc.sweep.storage import SweepError
from mnist_fc.training.distributed import ProcessGroupError
from mnist_fc.training.train_state import StateError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; what went wrong is said in one line on standard error."""
    parsed = build_parser().parse_args(arguments)
    try:
        code: int = parsed.command(parsed)
        return code
    except (
        ConfigError,
        DataError,
        checkpoint.CheckpointError,
        DrawingError,
        RunsError,
        StateError,
        SweepError,
        ProcessGroupError,
    ) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
