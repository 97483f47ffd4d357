"""The command line: what it prints, what it writes, which errors it reports, and how it is interrupted."""

import json
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mnist_fc.cli import evaluate as evaluate_command
from mnist_fc.cli.main import main
from mnist_fc.config import FIELDS, TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.data.pen_digits import CONDITIONS
from mnist_fc.drawing.strokes import Stroke, render
from mnist_fc.files import ROOT
from mnist_fc.network import checkpoint
from mnist_fc.runs.layout import bytes_of
from mnist_fc.runs.reader import read_run
from mnist_fc.training.evaluation import evaluate
from tests.support.commands import TRAIN_KEYS, close_after_first_line, error_line, run
from tests.support.settings import OVERFLOWING, as_options
from tests.support.typefaces import save_typeface


@pytest.fixture
def quick(small_npz: Path, tmp_path: Path) -> list[str]:
    """The arguments of a small training of two epochs, in a store of its own."""
    return [
        *("train", "--preset", "blog-pytorch", "--hidden-sizes", "16,12", "--epochs", "2", "--threads", "1"),
        *("--data", str(small_npz), "--runs-dir", str(tmp_path / "runs")),
    ]


@pytest.fixture
def picture(tmp_path: Path, seven: list[Stroke]) -> str:
    Image.fromarray(render(seven)).save(tmp_path / "seven.png")
    return str(tmp_path / "seven.png")


@pytest.mark.slow
@pytest.mark.integration
def test_modules_in_the_working_folder_do_not_hide_those_of_python(tmp_path: Path) -> None:
    for name in ("queue", "random", "select", "dis"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not the module of Python')\n")
    command = [sys.executable, "-m", "mnist_fc", "train", "--help"]
    subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True)


def test_train_writes_a_run_and_ends_with_json(
    quick: list[str], tmp_path: Path, small: Mnist, capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = run([*quick, "--json"], capsys)
    result = json.loads(out[-1])
    assert set(result) == TRAIN_KEYS
    assert (result["outcome"], result["epochs"]) == ("done", 2)
    assert result["parameters"] == 784 * 16 + 16 + 16 * 12 + 12 + 12 * 10 + 10
    assert Path(result["checkpoint"]) == Path(result["run_dir"]) / "model.ckpt"
    assert list((tmp_path / "runs").iterdir()) == [Path(result["run_dir"])]
    assert result["train_seconds"] == pytest.approx(2 * result["seconds_per_epoch"])
    assert result["images_per_second"] > 0
    assert result["train_loss"] > 0
    model = checkpoint.load(result["checkpoint"])
    assert result["test_accuracy"] == evaluate(model, small.test_images, small.test_labels)[1]
    assert [line.split()[:2] for line in err[:2]] == [["epoch", "1/2"], ["epoch", "2/2"]]


def test_train_prints_each_epoch_and_the_checkpoint(quick: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    out, err = run(quick, capsys)
    assert err == []
    assert len(out) == 3
    assert out[0].startswith("epoch   1/2  loss ")
    assert "  test " in out[0]
    assert out[2].startswith("Done after ")
    assert out[2].endswith("model.ckpt.")


def test_validation_accuracy_is_not_called_test(quick: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = run([*quick, "--validation", "500"], capsys)
    assert "  validation " in out[0]
    assert "test" not in out[0]


def test_options_reach_the_config_of_the_run(quick: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options: dict[str, Any] = {
        "--hidden-sizes": "8",
        "--activation": "tanh",
        "--initialization": "keras",
        "--dropout": "0.25",
        "--optimizer": "sgd",
        "--learning-rate": "1e-2",
        "--momentum": "0.5",
        "--adam-epsilon": "1e-6",
        "--weight-decay": "0.001",
        "--schedule": "cosine",
        "--batch-size": "64",
        "--epochs": "1",
        "--label-smoothing": "0.1",
        "--augmentation": "shift",
        "--validation": "100",
        "--precision": "bfloat16",
        "--threads": "1",
        "--seed": "9",
    }
    assert len(options) == len(FIELDS)
    run([*quick, *(part for option in options.items() for part in option)], capsys)
    (folder,) = (tmp_path / "runs").iterdir()
    assert TrainConfig.from_json((folder / "config.json").read_text("utf-8")) == TrainConfig(
        hidden_sizes=(8,),
        activation="tanh",
        initialization="keras",
        dropout=0.25,
        optimizer="sgd",
        learning_rate=1e-2,
        momentum=0.5,
        adam_epsilon=1e-6,
        weight_decay=0.001,
        schedule="cosine",
        batch_size=64,
        num_epochs=1,
        label_smoothing=0.1,
        augmentation="shift",
        num_validation=100,
        precision="bfloat16",
        threads=1,
        seed=9,
    )


@pytest.mark.parametrize(("share", "told"), [(1.7, "1.7"), (0.9, "0.9"), (0.6, "")])
def test_slow_bfloat16_is_told(
    share: float, told: str, quick: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mnist_fc.cli.train.bfloat16_share", lambda: share)
    out, _ = run([*quick, "--precision", "bfloat16"], capsys)
    notes = [line for line in out if "products in bfloat16" in line]
    assert [f"take {told} times as long" in note for note in notes] == [True] * bool(told)


def test_diverging_training_reports_why_and_keeps_finite_weights(quick: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    out, err = run([*quick, *as_options(OVERFLOWING), "--json"], capsys, code=1)
    result = json.loads(out[-1])
    assert (result["outcome"], result["test_accuracy"]) == ("failed", None)
    assert err[-1].startswith("Diverged after ")
    assert "a lower learning rate: it was 1, try 0.1" in err[-1]
    assert checkpoint.load(result["checkpoint"]).hidden_sizes == OVERFLOWING["hidden_sizes"]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--learning-rate", "2", "learning_rate is 2; it must be a number from 1e-05 to 1"),
        ("--learning-rate", "nan", "learning_rate is nan; it must be a number from 1e-05 to 1"),
        ("--epochs", "0", "num_epochs is 0; it must be a whole number from 1 to 100"),
        ("--epochs", "2.5", "num_epochs is 2.5; it must be a whole number from 1 to 100"),
        ("--epochs", "1" + "0" * 400, f"num_epochs is 1{'0' * 99}...; it must be a whole number from 1 to 100"),
        ("--batch-size", "many", "batch_size is 'many'; it must be a whole number from 8 to 4096"),
        ("--hidden-sizes", "500,4", "hidden_sizes is 500, 4; it must be 1 to 4 layers of 8 to 2048 units"),
        ("--hidden-sizes", "", "hidden_sizes is ('',); it must be 1 to 4 layers of 8 to 2048 units"),
        ("--activation", "step", "activation is 'step'; it must be one of relu, tanh, sigmoid, leaky_relu, gelu"),
        ("--seed", "-1", "seed is -1; it must be a whole number from 0 to 2.14748e+09"),
    ],
)
def test_out_of_range_value_is_reported_with_its_range(
    quick: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, message: str
) -> None:
    assert error_line([*quick, option, value], capsys) == f"error: {message}"
    assert not (tmp_path / "runs").exists()


def test_unwritable_store_is_reported_in_one_line(quick: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("not a folder")
    line = error_line([*quick, "--runs-dir", str(tmp_path / "file")], capsys)
    assert line.startswith(f"error: the runs folder {tmp_path / 'file'} cannot be written: ")


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_missing_data_is_reported_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    arguments = {"train": ["train", "--runs-dir", str(tmp_path / "runs")], "evaluate": ["evaluate", str(checkpoint.SHIPPED)]}
    line = error_line([*arguments[command], "--data", str(tmp_path / "none.npz")], capsys)
    assert line == f"error: the data file {tmp_path / 'none.npz'} does not exist"
    assert not (tmp_path / "runs").exists()


def test_evaluate_prints_accuracy_and_loss_on_the_test_images(
    small: Mnist, small_npz: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loss, accuracy = evaluate(checkpoint.load(checkpoint.SHIPPED), small.test_images, small.test_labels)
    arguments = ["evaluate", str(checkpoint.SHIPPED), "--data", str(small_npz)]
    (line,), _ = run([*arguments, "--json"], capsys)
    assert json.loads(line) == {"test_accuracy": accuracy, "test_loss": loss}
    (line,), _ = run(arguments, capsys)
    assert line == f"test accuracy {accuracy:.2%}, test loss {loss:.4f}, on 500 images"


def test_json_of_an_overflowing_network_has_null_for_its_loss(
    small_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shapes = {"fc1.weight": (8, 784), "fc1.bias": (8,), "fc2.weight": (10, 8), "fc2.bias": (10,)}
    checkpoint.save(tmp_path / "model.ckpt", {name: np.full(shape, 3e38, np.float32) for name, shape in shapes.items()})
    (line,), _ = run(["evaluate", str(tmp_path / "model.ckpt"), "--data", str(small_npz), "--json"], capsys)
    assert json.loads(line, parse_constant=pytest.fail)["test_loss"] is None


@pytest.mark.parametrize("command", [["evaluate"], ["predict", "picture.png", "--checkpoint"]])
def test_bad_checkpoint_is_reported_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    path = tmp_path / "model.ckpt"
    assert error_line([*command, str(path)], capsys) == f"error: the checkpoint {path} does not exist"
    path.write_text("no network")
    assert error_line([*command, str(path)], capsys) == f"error: {path} is a text file; a network is read from its checkpoint"


def test_predict_reads_each_picture(picture: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blank = str(tmp_path / "blank.png")
    Image.fromarray(np.full((50, 50, 4), 255, np.uint8)).save(blank)
    out, _ = run(["predict", picture, blank, "--json"], capsys)
    seven, nothing = map(json.loads, out)
    assert set(seven) == set(nothing) == {"picture", "digit", "probabilities", "runner_up", "problem", "number", "lines", "boxes"}
    assert (seven["picture"], seven["digit"], seven["problem"], seven["number"]) == (picture, 7, None, "7")
    assert sum(seven["probabilities"]) == pytest.approx(1)
    assert seven["runner_up"] in range(10)
    read_nothing = {"digit": None, "probabilities": [0.0] * 10, "runner_up": None, "problem": "empty", "number": ""}
    assert nothing == {"picture": blank, **read_nothing, "lines": [], "boxes": []}
    (line, empty), _ = run(["predict", picture, blank], capsys)
    assert line.startswith(f"{picture}: 7 (")
    assert empty == f"{blank}: nothing to read"


def test_predict_reads_a_photograph_in_uneven_light(
    tmp_path: Path, seven: list[Stroke], capsys: pytest.CaptureFixture[str]
) -> None:
    light = np.linspace(1, 0.45, 280)[:, None] * np.linspace(1, 0.7, 280) * 240
    grain = np.random.default_rng(0).normal(0, 4, (280, 280))
    gray = light * (1 - 0.7 * (render(seven)[..., 3] / 255)) + grain
    Image.fromarray(gray.clip(0, 255).astype(np.uint8)).save(tmp_path / "photo.jpg", quality=80)
    (line,), _ = run(["predict", str(tmp_path / "photo.jpg")], capsys)
    assert line.startswith(f"{tmp_path / 'photo.jpg'}: 7 (")


def test_predict_reads_numbers_and_rejects_scribbles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ones = [Stroke(((x, 90), (x, 190)), 10) for x in (60, 140, 220)]
    scribble = [Stroke(((60, 60), (220, 200), (60, 200), (200, 50), (140, 240), (40, 120), (240, 130), (100, 40)), 20)]
    pictures = []
    for name, strokes in (("number", ones), ("scribble", scribble)):
        pictures.append(str(tmp_path / f"{name}.png"))
        Image.fromarray(render(strokes)).save(pictures[-1])
    assert run(["predict", *pictures], capsys)[0] == [f"{pictures[0]}: 111", f"{pictures[1]}: not a digit"]
    number, nothing = map(json.loads, run(["predict", *pictures, "--json"], capsys)[0])
    assert (number["number"], number["digit"]) == ("111", None)
    assert [digit["digit"] for digit in number["digits"]] == [1, 1, 1]
    assert (nothing["digit"], nothing["problem"]) == (None, "no digit")


@pytest.fixture
def pen_strokes(tmp_path: Path) -> str:
    """Ones and sevens by five writers, as an .npz."""
    one, seven = [(0, 100), (0, 0)], [(0, 100), (60, 100), (20, 0)]
    digits = [one, seven] * 5
    path = tmp_path / "pen.npz"
    np.savez(
        path,
        points=np.concatenate(digits).astype(np.int16),
        stroke_end=np.cumsum([0, *map(len, digits)]),
        digit_end=np.arange(11),
        label=np.array([1, 7] * 5, np.uint8),
        writer=np.repeat(np.arange(5), 2),
    )
    return str(path)


def test_train_adds_pen_strokes_except_of_held_out_writers(
    small_npz: Path, tmp_path: Path, pen_strokes: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--data", str(small_npz), "--epochs", "1", "--hidden-sizes", "8", "--runs-dir", str(tmp_path / "runs")]
    (*_, result), said = run(["train", *options, "--pen-strokes", pen_strokes, "--validation", "0", "--json"], capsys)
    assert "adding 8 digits of 4 writers, each drawn 4 times" in said
    outcome = json.loads(result)
    assert outcome["outcome"] == "done"
    assert round(outcome["images_per_second"] * outcome["seconds_per_epoch"]) == 2000 + 8 * 4


@pytest.mark.integration
def test_train_adds_printed_digits_and_letters(small_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--data", str(small_npz), "--epochs", "1", "--hidden-sizes", "8", "--runs-dir", str(tmp_path / "runs")]
    options += ["--validation", "0", "--fonts", str(save_typeface(tmp_path)), "--json"]
    (*_, result), said = run(["train", *options], capsys)
    assert "adding 120 printed digits and 1,000 of displays" in said
    outcome = json.loads(result)
    assert round(outcome["images_per_second"] * outcome["seconds_per_epoch"]) == 2000 + 10 * 12 + 1000
    (*_, result), said = run(["train", *options, "--outliers", "5"], capsys)
    assert "adding 25 printed letters" in said
    assert checkpoint.load(json.loads(result)["checkpoint"], 11).layers[-1].out_features == 11


@pytest.mark.integration
def test_outliers_are_an_eleventh_class(small_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--data", str(small_npz), "--epochs", "1", "--hidden-sizes", "8", "--runs-dir", str(tmp_path / "runs")]
    (*_, result), _ = run(["train", *options, "--validation", "0", "--outliers", "5", "--json"], capsys)
    path = json.loads(result)["checkpoint"]
    assert checkpoint.load(path, 11).layers[-1].out_features == 11
    assert error_line(["evaluate", path], capsys) == f"error: {path} has 11 outputs; a network for digits has 10"
    assert "outliers is 'many'; it must be a whole number" in error_line(["train", *options, "--outliers", "many"], capsys)


@pytest.mark.slow
def test_measure_prints_every_condition_and_rate(
    small_npz: Path, tmp_path: Path, pen_strokes: str, picture: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = str(checkpoint.SHIPPED)
    pictures = tmp_path / "t10k-images-idx3-ubyte"
    pictures.write_bytes(struct.pack(">4I", 0x803, 2, 28, 28) + bytes(28 * 28) + bytes([0, 255] * 14 * 28))
    arguments = ["--data", str(small_npz), "--pen-strokes", pen_strokes, "--fashion-mnist", str(pictures)]
    (tmp_path / "own").mkdir()
    Path(picture).rename(tmp_path / "own" / "photo_7.png")
    arguments += ["--photographs", "5", "--seed", "3", "--pictures", str(tmp_path / "own")]
    (result,), said = run(["measure", shipped, *arguments, "--json"], capsys)
    assert said[0] == "2 digits, writers 4, drawn under each of 7 conditions"
    assert "n = 2 drawings per condition, 500 MNIST test images" in "\n".join(said)
    table = "\n".join(said)
    for word in (*CONDITIONS, "1st/2nd", "one writer", "calibration", "scribbles", "Fashion"):
        assert word in table
    measured = json.loads(result)
    (network,) = measured["networks"]
    assert set(network["drawings_read"]) == {"natural", "corner", "huge", "thin", "thick", "rotated", "mixed"}
    assert network["drawings_read"]["natural"] == 1
    assert measured["refused"]["digits: natural drawings"] == 0
    assert measured["refused"]["scribbles: random walks"] > 0.8
    assert "5 generated photographs of seed 3" in table
    assert f"{tmp_path / 'own'}: 1 of 1 pictures right (100.0%, 95% interval 20.7-100.0%), 0 unsure, 0 wrong, 0 missed" in table
    assert sum(row["num_pictures"] for row in measured["photographs"] if row["name"] == "size") <= 5
    assert {row["name"] for row in measured["photographs"]} >= {"paper", "ink", "light", "camera"}
    assert measured["pictures"] == [{"name": "photo_7.png", "digit": 7, "read": "7", "outcome": "right"}]
    assert error_line(["measure", "--pen-strokes", str(tmp_path / "none.npz")], capsys).endswith("none.npz do not exist")


@pytest.mark.slow
def test_measure_without_checkpoints_trains_each_preset(
    small_npz: Path, pen_strokes: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    short = TrainConfig(hidden_sizes=(16,), learning_rate=0.01, num_epochs=1, num_validation=0, threads=1)
    monkeypatch.setattr(evaluate_command, "PRESETS", {"one": short, "two": short.replace(num_epochs=3)})
    arguments = ["measure", "--data", str(small_npz), "--pen-strokes", pen_strokes, "--all-writers", "--photographs", "0"]
    (result,), said = run([*arguments, "--json"], capsys)
    assert said[0] == "10 digits, writers 0, 1, 2, 3, 4, drawn under each of 7 conditions"
    assert said[1:3] == ["training one on 2,000 images", "training two on 2,000 images"]
    accuracies = {network["name"]: network["test_accuracy"] for network in json.loads(result)["networks"]}
    assert list(accuracies) == ["shipped", "one", "two"]
    assert 0.5 < accuracies["one"] < accuracies["two"] < accuracies["shipped"]


def test_measure_needs_all_writers_for_a_file_of_few(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "one.tra"
    path.write_text('.SEGMENT DIGIT 0 ? "1"\n.COMMENT 1 3 1\n.PEN_DOWN\n0 100\n0 0\n.PEN_UP\n')
    assert "too few writers to hold one out; measure on all with --all-writers" in error_line(
        ["measure", "--pen-strokes", str(path)], capsys
    )


@pytest.mark.parametrize(("option", "value"), [("--photographs", "-1"), ("--photographs", "many"), ("--seed", "0.5")])
def test_measure_rejects_numbers_out_of_range(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = error_line(["measure", "--pen-strokes", "pen.npz", option, value], capsys)
    assert line.startswith(f"error: {option[2:]} is ")
    assert "must be a whole number from 0 to" in line


def test_bad_picture_is_reported_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "seven.png"
    assert error_line(["predict", str(path)], capsys) == f"error: the picture {path} does not exist"
    path.write_text("7")
    assert error_line(["predict", str(path)], capsys) == f"error: {path} is a text file; give a picture, such as PNG or JPEG"
    Image.new("1", (10_000, 10_000)).save(path)
    assert "10000 x 10000 pixels" in error_line(["predict", str(path)], capsys)


@pytest.mark.parametrize("arguments", [[], ["dance"], ["train", "--preset", "slow"], ["evaluate"]])
def test_invalid_command_ends_with_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: python -m mnist_fc" in capsys.readouterr().err


@pytest.mark.integration
def test_ctrl_c_stops_after_the_step_and_keeps_the_checkpoint(quick: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mnist_fc", *quick, "--epochs", "100", "--hidden-sizes", "1024,1024", "--json"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert process.stderr.readline().startswith("epoch   1/100 ")
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130
    result = json.loads(out.splitlines()[-1])
    assert result["outcome"] == "stopped"
    assert 1 <= result["epochs"] < 100
    ending = err.splitlines()[-1]
    assert ending.startswith("Stopped after ")
    assert ending.endswith(f"is {result['checkpoint']}.")
    assert Path(result["run_dir"]).parent == tmp_path / "runs"
    assert checkpoint.load(result["checkpoint"]).hidden_sizes == (1024, 1024)


@pytest.mark.integration
def test_closed_pipe_stops_a_training_that_can_be_resumed(quick: list[str], tmp_path: Path) -> None:
    close_after_first_line([*quick, "--epochs", "100"], "epoch   1/100 ")
    (folder,) = (tmp_path / "runs").iterdir()
    end = read_run(folder).end
    assert end
    assert end.outcome == "stopped"


@pytest.mark.integration
def test_process_ends_with_the_exit_code_of_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mnist_fc", "predict", str(tmp_path / "none.png")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"error: the picture {tmp_path / 'none.png'} does not exist\n"


# The store: resuming and eviction


@pytest.mark.slow
def test_killed_training_resumes_to_the_same_losses(quick: list[str], tmp_path: Path) -> None:
    # Training takes several seconds. The state is saved after one, so even a fast machine is killed in the middle.
    options = [*quick, "--epochs", "50", "--batch-size", "8", "--dropout", "0.2", "--validation", "100"]
    command = [sys.executable, "-m", "mnist_fc"]
    process = subprocess.Popen([*command, *options], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    (tmp_path / "runs").mkdir(exist_ok=True)
    for _ in process.stdout:
        if list((tmp_path / "runs").glob("*/state.ckpt")):
            break
    process.kill()
    process.communicate(timeout=300)
    (cut,) = (tmp_path / "runs").iterdir()
    before = read_run(cut)
    assert before.end is None
    assert before.steps
    resumed = subprocess.run(
        [*command, "train", "--resume", cut.name, *quick[-4:], "--json"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert json.loads(resumed.stdout)["run_dir"] == str(cut)
    subprocess.run([*command, *options], cwd=ROOT, capture_output=True, check=True)
    (other,) = set((tmp_path / "runs").iterdir()) - {cut}
    after, whole = read_run(cut), read_run(other)
    assert [step.step for step in after.steps] == [step.step for step in whole.steps]
    assert [step.train_loss for step in after.steps] == pytest.approx([step.train_loss for step in whole.steps], rel=1e-5)
    assert after.end
    assert whole.end
    assert after.end.test_loss == pytest.approx(whole.end.test_loss, rel=1e-5)


def test_run_that_cannot_resume_is_reported_in_one_line(
    quick: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(quick, capsys)
    (done,) = (tmp_path / "runs").iterdir()
    resume = ["train", *quick[-4:], "--resume"]
    assert error_line([*resume, done.name], capsys) == f"error: the run {done.name} cannot resume: it is done or has diverged"
    assert error_line([*resume, "../runs"], capsys) == "error: there is no such run in the store"
    assert "leave out --epochs, --outliers" in error_line([*resume, done.name, "--epochs", "3", "--outliers", "2"], capsys)
    assert "leave out --preset" in error_line([*resume, done.name, "--preset", "best"], capsys)


@pytest.mark.integration
def test_added_data_is_recorded_with_the_run(quick: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run([*quick, "--outliers", "20"], capsys)
    (done,) = (tmp_path / "runs").iterdir()
    assert read_run(done).metadata.added == "20 pictures of each kind that is not a digit"


def test_evicted_run_is_named(
    quick: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(quick, capsys)
    (first,) = (tmp_path / "runs").iterdir()
    size = read_run(first).num_bytes
    monkeypatch.setenv("MNIST_FC_RUNS_GB", str((bytes_of(read_run(first).config) + size / 2) / 1e9))
    out, _ = run(quick, capsys)
    assert out[0] == f"making room in {tmp_path / 'runs'}: removing the oldest run that is not pinned, {first.name}"
    assert not first.exists()
    assert len(list((tmp_path / "runs").iterdir())) == 1
