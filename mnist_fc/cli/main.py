"""Run one command, and report its errors in one line."""

import errno
import os
import sys
from collections.abc import Sequence
from itertools import takewhile

from mnist_fc.cli.console import lenient_output
from mnist_fc.cli.options import join_inputs
from mnist_fc.cli.parser import build_parser
from mnist_fc.config import ConfigError
from mnist_fc.data.mnist import DataError
from mnist_fc.drawing.errors import DrawingError
from mnist_fc.files import printable
from mnist_fc.network.checkpoint import CheckpointError
from mnist_fc.runs.layout import RunsError
from mnist_fc.sweep.errors import SweepError
from mnist_fc.training.distributed import ProcessGroupError
from mnist_fc.training.train_state import StateError

EXPECTED_ERRORS = (
    ConfigError,
    DataError,
    CheckpointError,
    DrawingError,
    RunsError,
    StateError,
    SweepError,
    ProcessGroupError,
)
"""Errors whose message tells a person what to do. Any other error is a defect and ends with its traceback."""

CLOSED_PIPE = 141
"""The exit code of a program that wrote to a closed pipe, as shells report it: 128 and the number of SIGPIPE."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    It is 2 after an expected error, 130 after Ctrl-C, 141 if nobody reads the output, and 1 if a training failed or
    the output could not be written.
    """
    with lenient_output() as lost_output:
        try:
            try:
                code = _run(arguments)
            finally:
                sys.stdout.flush()
        except SystemExit as end:  # argparse ends so, also after it printed the help
            if not lost_output():
                raise
            code = int(end.code or 0)
        except BrokenPipeError:
            # Python would report at its end that what is still in the buffer cannot be written.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return CLOSED_PIPE
        if error := lost_output():
            reason = "it is closed" if error.errno == errno.EBADF else error.strerror
            print(f"error: the output could not be written: {reason}", file=sys.stderr)
            return code or 1
        return code


def _run(arguments: Sequence[str] | None) -> int:
    given = join_inputs(sys.argv[1:] if arguments is None else arguments)
    try:
        parsed = build_parser().parse_args(given)
    except SystemExit:
        _explain_dashes(given)
        raise
    try:
        code: int = parsed.command(parsed)
        return code
    except EXPECTED_ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _explain_dashes(arguments: Sequence[str]) -> None:
    """Print how to write the names of files that begin with a dash, which are taken for options."""
    for argument in takewhile(lambda argument: argument != "--", arguments):
        if argument.startswith("-") and argument != "-" and os.path.lexists(argument):
            name = printable(argument)
            print(f"{name} is taken for an option; if you mean the file, write {os.path.join(os.curdir, name)}", file=sys.stderr)
