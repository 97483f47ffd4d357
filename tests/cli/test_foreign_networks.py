"""Networks of other programs on the command line: options for their inputs and activation, and notes on standard error."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mnist_fc.cli.main import main
from mnist_fc.data.mnist import Mnist
from mnist_fc.network import checkpoint
from mnist_fc.network.adaptation import fold_inputs
from mnist_fc.training.evaluation import evaluate


def lines(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[str, list[str]]:
    """Return the one line on standard output of a command, and the lines on standard error."""
    assert main(arguments) == 0
    captured = capsys.readouterr()
    (line,) = captured.out.splitlines()
    return line, captured.err.splitlines()


@pytest.mark.parametrize("spelling", [["--inputs", "-1..1"], ["--inputs=-1..1"]])
def test_other_inputs_are_noticed_and_can_be_chosen(
    spelling: list[str], small: Mnist, small_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped, path = checkpoint.load(checkpoint.SHIPPED), tmp_path / "net.safetensors"
    state = shipped.state_copy()
    # As if it had been trained on pixels from -1 to 1: a pixel from 0 to 1 is (x + 1) / 2.
    state["fc1.bias"] += state["fc1.weight"].sum(1) / 2
    state["fc1.weight"] /= 2
    path.write_bytes(checkpoint.to_safetensors(state))
    _, accuracy = evaluate(shipped, small.test_images, small.test_labels)
    arguments = ["evaluate", str(path), "--data", str(small_npz)]
    line, (note,) = lines(arguments, capsys)
    assert not line.startswith(f"test accuracy {accuracy:.2%}")
    assert note.startswith(f"note: {path}: It reads ")
    assert note.endswith(" Try --inputs -1..1 --activation relu.")
    line, notes = lines([*arguments, *spelling], capsys)
    assert line.startswith(f"test accuracy {accuracy:.2%}")
    assert notes == []


def test_predict_reports_what_was_done_to_read_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture, path = str(tmp_path / "blank.png"), tmp_path / "net.pt"
    Image.fromarray(np.full((50, 50), 255, np.uint8)).save(picture)
    state = checkpoint.load(checkpoint.SHIPPED).state_copy()
    torch.save({"state_dict": {f"module.{name}": tensor.double() for name, tensor in state.items()}}, path)
    line, notes = lines(["predict", picture, "--checkpoint", str(path), "--activation", "relu"], capsys)
    assert line == f"{picture}: nothing to read"
    assert [note.removeprefix(f"note: {path}: ") for note in notes] == [
        "The network is under the key state_dict.",
        "Its layers module.fc1, module.fc2, module.fc3 are read as fc1, fc2, fc3.",
        "Its float64 values were converted to float32.",
    ]


def test_predict_needs_test_digits_only_for_a_network_of_unknown_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, alone = str(tmp_path / "blank.png"), tmp_path / "alone.ckpt"
    Image.fromarray(np.full((50, 50), 255, np.uint8)).save(picture)
    shutil.copy(checkpoint.SHIPPED, alone)
    monkeypatch.setenv("MNIST_FC_DATA", str(tmp_path / "none.npz"))
    line, notes = lines(["predict", picture, "--checkpoint", str(checkpoint.SHIPPED)], capsys)
    assert (line, notes) == (f"{picture}: nothing to read", [])
    assert main(["predict", picture, "--checkpoint", str(alone)]) == 2
    assert capsys.readouterr().err == f"error: the data file {tmp_path / 'none.npz'} does not exist\n"


def test_other_orientation_is_noticed_and_inverted_pixels_can_be_chosen(
    small: Mnist, small_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped, path = checkpoint.load(checkpoint.SHIPPED), tmp_path / "net.ckpt"
    arguments = ["evaluate", str(path), "--data", str(small_npz)]
    state = shipped.state_copy()
    state["fc1.weight"] = state["fc1.weight"].view(-1, 28, 28).transpose(1, 2).reshape(-1, 784)
    checkpoint.save(path, state)
    _, (note,) = lines(arguments, capsys)
    assert "% if their rows and columns are exchanged. " in note
    checkpoint.save(path, fold_inputs(shipped, "1..0").state_copy())
    _, (note,) = lines(arguments, capsys)
    assert note.endswith(" Try --inputs 1..0 --activation relu.")
    line, notes = lines([*arguments, "--inputs", "1..0"], capsys)
    _, accuracy = evaluate(shipped, small.test_images, small.test_labels)
    assert (line.startswith(f"test accuracy {accuracy:.2%}"), notes) == (True, [])


def test_data_of_one_image_leaves_standard_error_empty(small: Mnist, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    image, label = small.test_images[:1].view(-1, 28, 28).numpy(), small.test_labels[:1].numpy()
    np.savez(tmp_path / "one.npz", x_train=image, y_train=label, x_test=image, y_test=label)
    shutil.copy(checkpoint.SHIPPED, tmp_path / "alone.ckpt")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, notes = lines(["evaluate", str(tmp_path / "alone.ckpt"), "--data", str(tmp_path / "one.npz")], capfd)
    assert notes == []
