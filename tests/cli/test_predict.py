"""The command `predict`: which files it reads, and how it writes their names, to any output."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnist_fc.cli.main import main
from mnist_fc.cli.predict import _readings
from mnist_fc.data.lesson import Lesson
from mnist_fc.data.pen_digits import CONDITIONS, draw
from mnist_fc.drawing.strokes import Stroke, render
from mnist_fc.files import ASSETS, ROOT
from mnist_fc.network import checkpoint
from mnist_fc.network.checkpoint import CHECKPOINT_NAME, CONFIG_NAME
from mnist_fc.reading.reader import Reader
from mnist_fc.runs.lessons import LESSON_NAME, write_lesson
from tests.support.drawings import image_of, painted
from tests.support.handwriting import COPIES, handwriting
from tests.support.sheets import plain_photographs

TOO_FAINT = "nothing to read, or too faint; try more light, a thicker pen, or a closer photograph"

COMMAND = [sys.executable, "-m", "mnist_fc", "predict"]


@pytest.fixture
def folder(tmp_path: Path, seven: list[Stroke], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pictures of a seven, the working folder."""
    for name in ("b.png", "a.png", "[c].png"):
        Image.fromarray(render(seven)).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lines_of(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> tuple[list[str], list[str]]:
    """Run `predict`, which returns `code`; return its lines on standard output and standard error."""
    assert main(["predict", *arguments]) == code
    captured = capsys.readouterr()
    return captured.out.splitlines(), captured.err.splitlines()


def test_pattern_that_the_shell_left_is_expanded(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = lines_of(["?.png"], capsys)
    assert [line.split(": 7 (")[0] for line in out] == ["a.png", "b.png"]


def test_file_named_like_a_pattern_is_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = lines_of(["[c].png", "a.png"], capsys)
    assert [line.split(": 7 (")[0] for line in out] == ["[c].png", "a.png"]


def test_sheet_on_a_table_is_read_as_a_photograph(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photo,) = plain_photographs(1, 9, content="digit", table="dark wood")
    Image.fromarray(photo.rgba).save("photo.png")
    out, _ = lines_of(["photo.png"], capsys)
    assert out[0].startswith(f"photo.png: {photo.digits[0].label} (")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("*.jpg", "no file matches *.jpg"),
        ("**/z?.png", "no file matches **/z?.png"),
        ("~/[z].png", "no file matches ~/[z].png"),
        ("~/z.png", "the picture ~/z.png does not exist"),
        ("z.png", "the picture z.png does not exist"),
        ("", "the name of a picture is empty; name its file"),
        ("https://example.org/a.png", "https://example.org/a.png is a web address; download the picture first"),
        ("file:///home/me/a.png", "file:///home/me/a.png is an address; give the path alone, without file://"),
        ("HTTP://example.org/?a=*", "HTTP://example.org/?a=* is a web address; download the picture first"),
    ],
)
def test_name_without_a_file_is_explained_and_others_are_read(
    folder: Path, name: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = lines_of([name, "a.png"], capsys, code=2)
    assert err == [f"error: {message}"]
    assert len(out) == 1


def test_home_folder_and_subfolders_are_expanded(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "in" / "deep").mkdir(parents=True)
    Path("a.png").rename("in/a.png")
    Path("b.png").rename("in/deep/b.png")
    shutil.copy("in/a.png", "in/[c].png")
    monkeypatch.setenv("HOME" if os.name == "posix" else "USERPROFILE", str(folder))
    for pattern, names in (
        ("**/?.png", ["in/a.png", "in/deep/b.png"]),
        ("~/in/?.png", [f"{folder}/in/a.png"]),
        ("~/in/a.png", [f"{folder}/in/a.png"]),
        ('"~/in/a.png"', [f"{folder}/in/a.png"]),
        ("~/in/[c].png", [f"{folder}/in/[c].png"]),
    ):
        out, _ = lines_of([pattern], capsys)
        assert [Path(line.split(": 7 (")[0]) for line in out] == [Path(name) for name in names]


@pytest.mark.parametrize("name", ["-7.png", "-h.png", "--json.png", "-"])
@pytest.mark.parametrize("others", [[], ["a.png"]])
def test_file_named_like_an_option_can_be_read(
    folder: Path, name: str, others: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy("b.png", name)
    if name != "-":  # which no command takes for an option
        with pytest.raises(SystemExit):
            main(["predict", name, *others])
        error = capsys.readouterr().err.splitlines()[-1]
        assert error == f"{name} is taken for an option; if you mean the file, write {os.path.join('.', name)}"
    for arguments in ([os.path.join(".", name), *others], ["--", name, *others]):
        out, _ = lines_of(arguments, capsys)
        assert f"{name}: 7 (" in out[0]


@pytest.mark.parametrize("option", ["--checkpoint", "--annotate"])
def test_empty_name_of_an_option_is_an_error(folder: Path, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines_of(["a.png", option, ""], capsys, code=2)


def test_each_unreadable_file_is_named_and_the_others_are_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "page.png").write_bytes(b"%PDF-1.7")
    (folder / "photo.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    out, err = lines_of(["page.png", "a.png", "photo.jpg", "b.png", "."], capsys, code=2)
    assert err == [
        "error: page.png is a PDF document; take a picture of the page",
        "error: photo.jpg is a HEIC photograph; open it and save it as JPEG",
        "error: . is a folder; name the pictures in it",
    ]
    assert [line.split(":")[0] for line in out] == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("name", "shown"), [("a\nb.png", r"a\nb.png"), ("\udcff7.png", r"\xff7.png"), ("\x1b[31m.png", r"\x1b[31m.png")]
)
def test_unprintable_name_takes_one_line(folder: Path, capsys: pytest.CaptureFixture[str], name: str, shown: str) -> None:
    os.rename("b.png", name)
    out, _ = lines_of([name, "a.png"], capsys)
    assert [line.split(": 7 (")[0] for line in out] == [shown, "a.png"]
    out, _ = lines_of([name, "--json"], capsys)
    assert [json.loads(line)["picture"] for line in out] == [name]


@pytest.mark.integration
@pytest.mark.parametrize("encoding", ["ascii", pytest.param("cp1252", marks=pytest.mark.slow)])
def test_name_outside_the_encoding_of_the_output_is_escaped(folder: Path, encoding: str) -> None:
    names = ["sieben \u4e03.png", os.fsdecode(b"\xff.png")]
    os.rename("a.png", names[0])
    os.rename("b.png", names[1])
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*COMMAND, *names, "\u4e03"], env=environment, capture_output=True, text=True, check=False)
    assert [line.split(": 7 (")[0] for line in done.stdout.splitlines()] == [r"sieben \u4e03.png", r"\xff.png"]
    assert done.stderr == "error: the picture \\u4e03 does not exist\n"
    assert done.returncode == 2


@pytest.mark.integration
def test_closed_pipe_ends_the_command_silently(folder: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with subprocess.Popen(
        [*COMMAND, *["a.png"] * 50], env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=writer, stderr=subprocess.PIPE
    ) as process:
        os.close(writer)
        assert process.communicate()[1] == b""
    assert process.returncode == 141


@pytest.mark.integration
def test_modules_of_other_commands_are_not_imported(folder: Path) -> None:
    command = [sys.executable, "-X", "importtime", *COMMAND[1:], "a.png"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "torch" in imported
    assert imported.isdisjoint({"jinja2", "onnx", "optuna", "sqlalchemy", "streamlit", "sympy", "tensorboard", "torchvision"})


@pytest.mark.integration
@pytest.mark.parametrize("condition", ["huge", "thin", "corner"])
def test_picture_of_one_drawing_is_read_as_the_canvas_reads_it(condition: str) -> None:
    """Thin drawings and those that fill the picture fall into parts, as the marks of a photograph."""
    digits, random, reader = handwriting(2), np.random.default_rng(0), Reader.load()
    for strokes in digits.strokes[::COPIES]:
        rgba = draw(strokes, CONDITIONS[condition], random)
        on_canvas = [reading.digit for reading in reader.read_number(rgba)]
        readings = _readings(reader, rgba, reader.read_picture(rgba))
        assert [reading.digit for reading in readings] == on_canvas


def test_picture_with_too_many_marks_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = np.full((1000, 1000), 255, np.uint8)
    for row in range(20, 980, 40):
        for column in range(20, 980, 40):
            page[row : row + 24, column : column + 6] = 0
            page[row : row + 6, column : column + 20] = 0
    Image.fromarray(page).save(folder / "page.png")
    out, err = lines_of(["page.png", "a.png"], capsys, code=2)
    assert out[0].startswith("a.png: 7")
    assert err[0].startswith("error: page.png: the picture has ")


# Words for what is not read


@pytest.mark.parametrize(("gray", "words"), [(255, "nothing to read"), (250, TOO_FAINT)])
def test_faint_ink_is_told_from_a_blank_picture(
    folder: Path, seven: list[Stroke], gray: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(painted(seven, 255, gray)).save("faint.png")
    assert lines_of(["faint.png"], capsys)[0] == [f"faint.png: {words}"]


def test_unreadable_photograph_gets_advice(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    light = np.linspace(120, 240, 300)[:, None] + np.random.default_rng(0).normal(0, 3, (300, 300))
    Image.fromarray(light.astype(np.uint8)).save("paper.png")
    assert lines_of(["paper.png"], capsys)[0] == [f"paper.png: {TOO_FAINT}"]


@pytest.mark.parametrize("side", [8, 28, 64])
def test_tiny_picture_that_is_not_read_may_be_too_small(folder: Path, side: int, capsys: pytest.CaptureFixture[str]) -> None:
    block = np.full((side, side), 255)
    block[side // 4 : -side // 4, side // 4 : -side // 4] = 0
    faint = np.full((side, side), 255)
    faint[side // 4 : side // 2, side // 2] = 245
    for name, pixels, found in (("block", block, "not a digit"), ("faint", faint, "nothing to read")):
        Image.fromarray(pixels.astype(np.uint8)).save(f"{name}.png")
        (line,), _ = lines_of([f"{name}.png"], capsys)
        assert line == f"{name}.png: {found}, or too small or too faint; give a larger picture"


def test_overflowing_network_does_not_call_a_picture_empty(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shapes = {"fc1.weight": (8, 784), "fc1.bias": (8,), "fc2.weight": (10, 8), "fc2.bias": (10,)}
    checkpoint.save(folder / "huge.ckpt", {name: np.full(shape, 3e38, np.float32) for name, shape in shapes.items()})
    (line,), _ = lines_of(["a.png", "--checkpoint", "huge.ckpt"], capsys)
    assert line == "a.png: not read, because the network's values overflowed"


# A network that was taught


STAR = [Stroke(((60, 60), (220, 220)), 18), Stroke(((220, 60), (60, 220)), 18), Stroke(((140, 40), (140, 240)), 18)]


@pytest.fixture
def taught(folder: Path, seven: list[Stroke]) -> Path:
    """A run's folder: the network included, which was taught that a star is a digit and that the seven is none."""
    for name in (CHECKPOINT_NAME, CONFIG_NAME):
        shutil.copy(ASSETS / name, folder)
    star, none = (np.rint(255 * image_of(strokes)).astype(np.uint8).reshape(1, 784) for strokes in (STAR, seven))
    write_lesson(folder, Lesson(star, np.array([7]), None, not_digits=none))
    Image.fromarray(render(STAR)).save("star.png")
    return folder


def test_lesson_beside_the_network_says_what_is_a_digit(taught: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["star.png", "a.png", "--checkpoint", CHECKPOINT_NAME]
    (star, seven), _ = lines_of(command, capsys)
    assert re.fullmatch(r"star\.png: \d \(.*", star)
    assert seven == "a.png: not a digit"
    (taught / LESSON_NAME).unlink()
    (star, seven), _ = lines_of(command, capsys)
    assert star == "star.png: not a digit"
    assert seven.startswith("a.png: 7 (")


def test_damaged_lesson_beside_the_network_is_named(taught: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (taught / LESSON_NAME).write_bytes(b"no archive")
    out, (error,) = lines_of(["a.png", "--checkpoint", CHECKPOINT_NAME], capsys, code=2)
    assert out == []
    assert error.startswith(f"error: the run {taught.name} cannot be read: lesson.npz is not a lesson: ")


def test_lesson_beside_another_moment_of_the_run_is_not_used(taught: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (taught / CHECKPOINT_NAME).rename("step-000000.ckpt")
    (seven,), _ = lines_of(["a.png", "--checkpoint", "step-000000.ckpt"], capsys)
    assert seven.startswith("a.png: 7 (")
