"""The commands `teach` and `evaluate-teaching`, and `train --my-digits`: what they print, write and reject."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnist_fc.cli.train import MY_REPEATS
from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.data.my_digits import MyDigit, to_npz
from mnist_fc.data.pen_digits import PenDigits
from mnist_fc.files import ROOT
from mnist_fc.network import checkpoint
from mnist_fc.reading.teaching_evaluation import EXAMPLES
from mnist_fc.runs.lessons import read_held_out, read_lesson
from mnist_fc.runs.reader import read_run
from mnist_fc.training.evaluation import evaluate
from mnist_fc.training.teaching import predictions, settings
from tests.support.commands import TRAIN_KEYS, error_line, run
from tests.support.handwriting import handwriting
from tests.support.lessons import BEFORE, misread, model_before, weights_before

SCORES = ("taught", "held_out", "mnist", "others")
EPOCHS = settings(BEFORE.hidden_sizes).num_epochs


@pytest.fixture(scope="module")
def quick(small: Mnist, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a small network, with its config beside it."""
    folder = tmp_path_factory.mktemp("quick")
    checkpoint.save(folder / "quick.ckpt", weights_before(small))
    (folder / "config.json").write_text(BEFORE.to_json())
    return folder / "quick.ckpt"


@pytest.fixture(scope="module")
def digits(small: Mnist) -> list[MyDigit]:
    """Five digits that it misreads, and a scribble."""
    return [*misread(model_before(small), small, 5), MyDigit(None, np.full((28, 28), 9, np.uint8))]


@pytest.fixture
def own(tmp_path: Path, digits: list[MyDigit]) -> Path:
    (tmp_path / "mine.npz").write_bytes(to_npz(digits))
    return tmp_path / "mine.npz"


@pytest.fixture
def options(small_npz: Path, tmp_path: Path) -> list[str]:
    return ["--data", str(small_npz), "--runs-dir", str(tmp_path / "runs"), "--threads", "1"]


# teach


def test_teach_prints_what_was_gained_and_lost(
    quick: Path, own: Path, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = run(["teach", str(quick), "--my-digits", str(own), *options], capsys)
    assert err == []
    assert [line.split()[:2] for line in out[:EPOCHS]] == [["epoch", f"{epoch}/{EPOCHS}"] for epoch in range(1, EPOCHS + 1)]
    assert out[EPOCHS].split() == ["read", "right", "of", "before", "after"]
    assert re.fullmatch(r"your digits +5 +0 +5", out[EPOCHS + 1])
    assert re.fullmatch(r"your digits, each read by a network that was not taught it +5 +0 +\d", out[EPOCHS + 2])
    assert re.fullmatch(r"MNIST's test digits +500 +\d+ +\d+", out[EPOCHS + 3])
    assert re.fullmatch(r"digits by other people +200 +\d+ +\d+", out[EPOCHS + 4])
    assert len({len(line) for line in out[EPOCHS : EPOCHS + 5]}) == 1
    assert re.fullmatch(
        r"It reads \d of the 5 digits that it was taught; before, 0\. "
        r"That (costs nothing|(costs|gains) \d+\.\d\d points) on MNIST\.",
        out[EPOCHS + 5],
    )
    assert out[EPOCHS + 6].startswith("Done after ")
    assert len(out) == EPOCHS + 7
    (folder,) = (tmp_path / "runs").iterdir()
    assert str(folder) in out[EPOCHS + 6]


@pytest.mark.integration
def test_teach_ends_with_json(
    quick: Path, own: Path, options: list[str], small: Mnist, digits: list[MyDigit], capsys: pytest.CaptureFixture[str]
) -> None:
    (line,), said = run(["teach", str(quick), "--my-digits", str(own), *options, "--json"], capsys)
    result = json.loads(line)
    assert set(result) == {*TRAIN_KEYS, *SCORES}
    assert all(set(result[name]) == {"count", "before", "after"} for name in SCORES)
    assert [result[name]["count"] for name in SCORES] == [5, 5, 500, 200]
    assert (result["outcome"], result["epochs"]) == ("done", EPOCHS)
    assert said[-1].startswith("Done after ")
    before, after = model_before(small), checkpoint.load(result["checkpoint"])
    for when, model in (("before", before), ("after", after)):
        assert result["mnist"][when] == round(500 * evaluate(model, small.test_images, small.test_labels)[1])
        images = np.stack([digit.image.reshape(784) for digit in digits[:5]])
        assert result["taught"][when] == (predictions(model, images) == [digit.label for digit in digits[:5]]).sum()
    assert result["test_accuracy"] == result["mnist"]["after"] / 500


def test_lesson_that_overflows_ends_with_json_too(
    small: Mnist, own: Path, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large = {name: array * np.float32(1e25) for name, array in weights_before(small).items()}
    checkpoint.save(tmp_path / "large.ckpt", large)
    (tmp_path / "config.json").write_text(BEFORE.to_json())
    arguments = ["teach", str(tmp_path / "large.ckpt"), "--my-digits", str(own), *options, "--json"]
    (line,), said = run(arguments, capsys, code=1)
    result = json.loads(line)
    assert (set(result), result["outcome"], result["epochs"]) == (TRAIN_KEYS, "failed", 0)
    assert said[-1].startswith("Diverged after ")


@pytest.mark.integration
def test_teach_writes_a_run_with_its_lesson(
    quick: Path, own: Path, options: list[str], small: Mnist, digits: list[MyDigit], capsys: pytest.CaptureFixture[str]
) -> None:
    (line,), _ = run(["teach", str(quick), "--my-digits", str(own), *options, "--seed", "4", "--json"], capsys)
    path = Path(json.loads(line)["run_dir"])
    stored = read_run(path)
    lesson = read_lesson(path, stored.config.layer_sizes)
    assert (stored.config.seed, stored.config.hidden_sizes, stored.config.threads) == (4, BEFORE.hidden_sizes, 1)
    assert lesson
    assert lesson.labels.tolist() == [digit.label for digit in digits[:5]]
    assert len(lesson.not_digits) == 1
    assert (lesson.parent, lesson.rehearses) == ("quick.ckpt", True)
    assert lesson.start
    assert all(np.array_equal(array, lesson.start[name]) for name, array in weights_before(small).items())
    held_out = read_held_out(path, lesson)
    assert held_out
    assert json.loads(line)["held_out"]["after"] == (np.array(held_out) == lesson.labels).sum()


@pytest.mark.integration
def test_without_rehearsal_more_of_mnist_is_forgotten(
    quick: Path, own: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["teach", str(quick), "--my-digits", str(own), *options, "--json"]
    results = [json.loads(run([*arguments, *extra], capsys)[0][0]) for extra in ([], ["--without-rehearsal"])]
    assert all(result["taught"]["after"] == 5 for result in results)
    assert results[1]["mnist"]["after"] < results[0]["mnist"]["after"]
    lesson = read_lesson(Path(results[1]["run_dir"]), read_run(Path(results[1]["run_dir"])).config.layer_sizes)
    assert lesson
    assert not lesson.rehearses


@pytest.mark.integration
def test_a_single_digit_has_no_score_of_held_out_ones(
    quick: Path, options: list[str], tmp_path: Path, digits: list[MyDigit], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one.npz").write_bytes(to_npz(digits[:1]))
    out, _ = run(["teach", str(quick), "--my-digits", str(tmp_path / "one.npz"), *options], capsys)
    assert re.fullmatch(r"your digits, each read by a network that was not taught it +1 +0 +-", out[EPOCHS + 2])
    assert out[EPOCHS + 5].startswith("It reads 1 of the 1 digit that it was taught; before, 0.")


@pytest.mark.integration
def test_ctrl_c_while_digits_are_held_out_ends_done(quick: Path, own: Path, options: list[str]) -> None:
    command = [sys.executable, "-m", "mnist_fc", "teach", str(quick), "--my-digits", str(own), "--without-rehearsal", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert any(line.startswith(f"epoch   {EPOCHS}/{EPOCHS}") for line in process.stdout)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    lines = out.splitlines()
    assert re.fullmatch(r"your digits, each read by a network that was not taught it +5 +0 +-", lines[2])
    assert lines[-1].startswith("Done after ")


@pytest.mark.parametrize(
    ("digits", "reason"),
    [
        (None, "does not exist"),
        (b"no digits", "is damaged, or not an .npz of digits"),
        (to_npz([]), "the lesson has 0 digits; it must have 1 to 500"),
        (to_npz([MyDigit(None, np.ones((28, 28), np.uint8))]), "the lesson has 0 digits; it must have 1 to 500"),
    ],
    ids=["missing", "damaged", "empty", "none"],
)
def test_teach_rejects_a_wrong_file_of_digits(
    quick: Path, options: list[str], tmp_path: Path, digits: bytes | None, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "wrong.npz"
    if digits is not None:
        path.write_bytes(digits)
    line = error_line(["teach", str(quick), "--my-digits", str(path), *options], capsys)
    assert line.startswith("error: ")
    assert reason in line
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("extra", "reason"),
    [(["--seed", "x"], "seed is 'x'"), (["--threads", "0"], "threads is 0"), (["--seed", "-1"], "seed is -1")],
)
def test_teach_rejects_wrong_numbers(
    quick: Path, own: Path, options: list[str], extra: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reason in error_line(["teach", str(quick), "--my-digits", str(own), *options, *extra], capsys)


def test_teach_rejects_a_file_that_is_no_network(own: Path, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert "mine.npz" in error_line(["teach", str(own), "--my-digits", str(own), *options], capsys)


# train --my-digits


def test_train_adds_own_digits(own: Path, options: list[str], digits: list[MyDigit], capsys: pytest.CaptureFixture[str]) -> None:
    network = ["--hidden-sizes", "8", "--epochs", "1", "--validation", "0"]
    (*_, result), said = run(["train", *options, *network, "--my-digits", str(own), "--json"], capsys)
    assert f"adding 5 digits of your own, each {MY_REPEATS} times an epoch" in said
    outcome = json.loads(result)
    assert round(outcome["images_per_second"] * outcome["seconds_per_epoch"]) == 2000 + 5 * MY_REPEATS
    stored = read_run(Path(outcome["run_dir"]))
    assert stored.metadata.added == f"5 digits of your own, each {MY_REPEATS} times an epoch"


def test_train_keeps_own_digits_out_of_validation(own: Path, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    network = ["--hidden-sizes", "8", "--epochs", "1", "--validation", "500"]
    (*_, result), _ = run(["train", *options, *network, "--my-digits", str(own), "--json"], capsys)
    outcome = json.loads(result)
    assert round(outcome["images_per_second"] * outcome["seconds_per_epoch"]) == 1500 + 5 * MY_REPEATS


def test_train_rejects_a_wrong_file_of_digits(options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "wrong.npz").write_text("no digits")
    arguments = ["train", *options, "--validation", "0", "--my-digits", str(tmp_path / "wrong.npz")]
    line = error_line(arguments, capsys)
    assert "wrong.npz is damaged, or not an .npz of digits" in line
    assert not (tmp_path / "runs").exists()


def test_resume_takes_no_own_digits(own: Path, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    line = error_line(["train", *options[:4], "--resume", "a-run", "--my-digits", str(own)], capsys)
    assert "--resume keeps the run's own settings and data; leave out --my-digits" in line


# evaluate-teaching


def pen_file(path: Path, num_writers: int, num_copies: int) -> str:
    """Write each digit as often by each writer as UCI's file has them; `num_copies` is a multiple of three."""
    parts = [handwriting(num_writers, seed) for seed in range(num_copies // 3)]
    write(path, [part.strokes for part in parts], parts)
    return str(path)


def write(path: Path, strokes: Sequence[list[list[np.ndarray]]], parts: Sequence[PenDigits]) -> None:
    digits = [digit for part in strokes for digit in part]
    lines = [stroke for digit in digits for stroke in digit]
    arrays: dict[str, Any] = {
        "points": np.concatenate(lines) * np.array([1, -1]),  # y points up in the file
        "stroke_end": np.cumsum([0, *map(len, lines)]),
        "digit_end": np.cumsum([0, *map(len, digits)]),
        "label": np.concatenate([part.labels for part in parts]),
        "writer": np.concatenate([part.writers for part in parts]),
    }
    np.savez(path, **arrays)


@pytest.mark.integration
def test_evaluate_teaching_has_a_row_for_each_number_of_examples(
    quick: Path, small_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pen_strokes = pen_file(tmp_path / "pen.npz", 2, 9)
    arguments = ["evaluate-teaching", str(quick), "--pen-strokes", pen_strokes, "--data", str(small_npz), "--threads", "1"]
    (line,), said = run([*arguments, "--all-writers", "--json"], capsys)
    result = json.loads(line)
    assert result["writers"] == [0, 1]
    rows = result["teaching"]
    assert [row["num_examples"] for row in rows] == list(EXAMPLES) == [1, 3, 6]
    assert [row["num_digits"] for row in rows] == [2 * 10 * (9 - count) for count in EXAMPLES]
    assert all((row["name"], row["num_writers"]) == (str(quick), 2) for row in rows)
    for row in rows:
        assert row["error_after"] < row["error_before"]
        assert row["error_fall"] == pytest.approx(1 - row["error_after"] / row["error_before"])
        low, high = row["error_change_interval"]
        assert low <= row["error_after"] - row["error_before"] <= high
        low, high = row["mnist_change_interval"]
        assert low <= row["mnist_change"] <= high
        assert row["seconds"] > 0
    assert rows[2]["error_after"] <= rows[0]["error_after"]
    assert "mean over 2 writers" in said[0]
    assert said[1].split() == ["examples", "digits", "before", "after", "fall", "change", "MNIST", "interval", "seconds"]
    assert [row.split()[:3] for row in said[2:]] == [[str(quick), *map(str, (c, 20 * (9 - c)))] for c in EXAMPLES]


@pytest.mark.integration
def test_evaluate_teaching_reads_a_held_out_writer_by_default(
    quick: Path, small_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pen_strokes = pen_file(tmp_path / "pen.npz", 5, 9)
    arguments = ["evaluate-teaching", str(quick), "--pen-strokes", pen_strokes, "--data", str(small_npz), "--threads", "1"]
    (line,), said = run([*arguments, "--without-rehearsal", "--json"], capsys)
    result = json.loads(line)
    assert result["writers"] == [4]
    assert all(row["error_change_interval"] is row["mnist_change_interval"] is None for row in result["teaching"])
    assert all("one writer" in row for row in said[2:])
    assert all(row["mnist_change"] < 0 for row in result["teaching"])


@pytest.mark.integration
def test_a_writer_with_too_few_digits_is_named(
    quick: Path, small_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pen_strokes = pen_file(tmp_path / "pen.npz", 1, 3)
    arguments = ["evaluate-teaching", str(quick), "--pen-strokes", pen_strokes, "--data", str(small_npz), "--all-writers"]
    _, err = run([*arguments, "--json"], capsys, code=2)
    assert err[-1] == "error: writer 0 has 3 drawings of a 0; to teach 3, more are needed"


def test_evaluate_teaching_needs_a_writer_to_hold_out(
    quick: Path, small_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pen_strokes = pen_file(tmp_path / "pen.npz", 4, 3)
    line = error_line(["evaluate-teaching", str(quick), "--pen-strokes", pen_strokes, "--data", str(small_npz)], capsys)
    assert "too few writers to hold one out; measure on all with --all-writers" in line


@pytest.mark.integration
def test_teaching_is_repeatable(quick: Path, own: Path, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["teach", str(quick), "--my-digits", str(own), *options, "--json"]
    first, again = (json.loads(run(arguments, capsys)[0][0]) for _ in range(2))
    assert first["run_dir"] != again["run_dir"]
    assert [first[name] for name in ("train_loss", *SCORES)] == [again[name] for name in ("train_loss", *SCORES)]
    assert TrainConfig.from_json((Path(first["run_dir"]) / "config.json").read_text("utf-8")).num_epochs == EPOCHS
