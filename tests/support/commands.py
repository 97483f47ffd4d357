"""Commands of the command line, run in the tests' own process or in one of their own."""

import subprocess
import sys

import pytest

from mnist_fc.cli.main import main
from mnist_fc.files import ROOT

TRAIN_KEYS = {
    "run_dir",
    "checkpoint",
    "parameters",
    "epochs",
    "train_seconds",
    "seconds_per_epoch",
    "images_per_second",
    "train_loss",
    "test_accuracy",
    "outcome",
}
"""The keys of the JSON that `train` prints."""


def run(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> tuple[list[str], list[str]]:
    """Run a command that returns `code`; return its lines on standard output and standard error."""
    assert main(arguments) == code
    captured = capsys.readouterr()
    return captured.out.splitlines(), captured.err.splitlines()


def error_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that fails; return its one line on standard error."""
    out, (line,) = run(arguments, capsys, code=2)
    assert out == []
    return line


def close_after_first_line(arguments: list[str], beginning: str) -> None:
    """Run a command and close its output after the first line, which begins so. It must end silently, as at a closed pipe."""
    command = [sys.executable, "-m", "mnist_fc", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline().startswith(beginning)
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141
