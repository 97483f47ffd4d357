"""Progress: a bar on a terminal, plain lines elsewhere, and nothing but the result on the output of --json."""

import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest
from PIL import Image

from mnist_fc.cli.parser import build_parser
from mnist_fc.files import ROOT
from mnist_fc.runs.reader import read_run
from tests.support.sheets import sheet

if sys.platform == "win32":
    pytest.skip("Windows has no pseudo-terminals", allow_module_level=True)

import fcntl
import termios

pytestmark = pytest.mark.integration

COMMANDS = ("train", "sweep", "evaluate", "predict", "measure", "benchmark")


@pytest.fixture
def command(small_npz: Path, tmp_path: Path) -> list[str]:
    """A training of two epochs, with enough steps for several redrawings of the bar."""
    return [
        *(sys.executable, "-m", "mnist_fc", "train", "--preset", "blog-pytorch", "--hidden-sizes", "16", "--epochs", "2"),
        *("--threads", "1", "--data", str(small_npz), "--runs-dir", str(tmp_path / "runs")),
    ]


def run_on_terminal(command: list[str], *, shows: str) -> tuple[str, str]:
    """Run a command whose stream `shows` is a terminal; return what the terminal got, and what the other stream got."""
    controller, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))  # without a width there is no room for a bar
    stdout, stderr = (terminal, subprocess.PIPE) if shows == "stdout" else (subprocess.PIPE, terminal)
    with subprocess.Popen(command, cwd=ROOT, stdout=stdout, stderr=stderr, text=True) as process:
        os.close(terminal)
        with open(controller, "rb", buffering=0) as reader:
            shown = b"".join(iter(lambda: read_terminal(reader), b""))
        piped = process.communicate()[shows == "stdout"]
    assert process.returncode == 0
    return shown.decode().replace("\r\n", "\n"), piped


def read_terminal(reader: IO[bytes]) -> bytes:
    """Read from a terminal; return nothing at its end, which Linux reports as an error."""
    try:
        return reader.read(2**16)
    except OSError:
        return b""


def without_bars(shown: str) -> list[str]:
    """Return the lines that stay on a terminal: the last text of each after a carriage return."""
    last = [line.rpartition("\r")[2] for line in shown.split("\n")]
    return [text for text in last if text.strip()]


def test_terminal_shows_a_bar_and_a_line_per_epoch(command: list[str]) -> None:
    shown, errors = run_on_terminal(command, shows="stdout")
    assert errors == ""
    assert re.search(r"\repoch [12]/2: +\d+%\|.*/40 .*loss \d\.\d{4}", shown)
    first, second, last = without_bars(shown)
    assert (first[:12], second[:12], last[:11]) == ("epoch   1/2 ", "epoch   2/2 ", "Done after ")


def test_json_leaves_the_bar_to_standard_error(command: list[str]) -> None:
    shown, output = run_on_terminal([*command, "--json"], shows="stderr")
    (line,) = output.splitlines()
    assert json.loads(line)["outcome"] == "done"
    assert re.search(r"\repoch [12]/2: +\d+%\|", shown)


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_pipes_get_no_bar(command: list[str], options: list[str]) -> None:
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "\r" not in done.stdout + done.stderr
    lines = (done.stderr if options else done.stdout).splitlines()
    assert [line[:10] for line in lines] == ["epoch   1/", "epoch   2/", "Done after"]


def run_without(stream: str, problem: str, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command whose stream, 1 for standard output or 2 for standard error, is closed or full."""
    if problem == "full" and not os.path.exists("/dev/full"):
        pytest.skip("only Linux has a full device")
    redirected = f'"$@" {stream}>{"&-" if problem == "closed" else "/dev/full"}'
    return subprocess.run(["sh", "-c", redirected, "sh", *command], cwd=ROOT, capture_output=True, text=True, check=False)


LOST = {"closed": "it is closed", "full": "No space left on device"}


@pytest.mark.parametrize("problem", LOST)
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_training_without_output_is_kept(command: list[str], tmp_path: Path, problem: str, options: list[str]) -> None:
    done = run_without("1", problem, [*command, *options])
    *progress, error = done.stderr.splitlines()
    assert error == f"error: the output could not be written: {LOST[problem]}"
    assert len(progress) == (3 if options else 0)
    assert done.returncode == 1
    (folder,) = (tmp_path / "runs").iterdir()
    end = read_run(folder).end
    assert end
    assert end.outcome == "done"


@pytest.mark.parametrize("problem", LOST)
def test_lost_progress_does_not_change_the_result(command: list[str], problem: str) -> None:
    done = run_without("2", problem, [*command, "--json"])
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["outcome"] == "done"
    assert done.returncode == 0


@pytest.mark.parametrize("problem", LOST)
def test_lost_error_stays_out_of_the_result(tmp_path: Path, problem: str) -> None:
    done = run_without("2", problem, [sys.executable, "-m", "mnist_fc", "predict", str(tmp_path / "none.png")])
    assert (done.stdout, done.returncode) == ("", 2)


@pytest.mark.parametrize("problem", LOST)
@pytest.mark.parametrize("python_options", [[], ["-u"]])
def test_pictures_are_read_without_output(tmp_path: Path, problem: str, python_options: list[str]) -> None:
    picture, boxes = tmp_path / "seven.png", tmp_path / "boxes.png"
    Image.fromarray(sheet("7")).save(picture)
    command = [sys.executable, *python_options, "-m", "mnist_fc", "predict", str(picture), "--annotate", str(boxes)]
    done = run_without("1", problem, command)
    assert done.stderr == f"error: the output could not be written: {LOST[problem]}\n"
    assert done.returncode == 1
    assert boxes.exists()


@pytest.mark.parametrize("problem", LOST)
@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"]])
def test_help_without_output_is_an_error(problem: str, arguments: list[str]) -> None:
    done = run_without("1", problem, [sys.executable, "-m", "mnist_fc", *arguments])
    assert (done.stderr, done.returncode) == (f"error: the output could not be written: {LOST[problem]}\n", 1)


def test_help_of_every_command_describes_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    parser = build_parser()
    for name in COMMANDS:
        with pytest.raises(SystemExit) as caught:
            parser.parse_args([name, "--help"])
        assert caught.value.code == 0
        text = capsys.readouterr().out
        assert f"examples:\n  python -m mnist_fc {name}" in text
        # An option without a description would be followed by the next option or by an empty line.
        assert not re.search(r"^ +--?\S+( [A-Z{]\S*)?\n( +-|\n)", text, re.MULTILINE), text


def test_examples_in_the_help_are_valid(capsys: pytest.CaptureFixture[str]) -> None:
    parser = build_parser()
    for name in COMMANDS:
        with pytest.raises(SystemExit):
            parser.parse_args([name, "--help"])
        examples = capsys.readouterr().out.partition("examples:\n")[2].splitlines()
        assert examples
        for example in examples:
            parsed = parser.parse_args(example.split()[3:])
            assert parsed.command.__name__ == f"run_{name}"
