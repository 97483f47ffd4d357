"""The command line with a person's own data: few images, and the messages about them."""

from pathlib import Path

import pytest

from mnist_fc.cli.main import main
from mnist_fc.config import TrainConfig
from mnist_fc.network.checkpoint import SHIPPED
from tests.support.data import Arrays, write_npz


@pytest.fixture
def own(small_arrays: Arrays, tmp_path: Path) -> Path:
    """Return a file of 200 training images and 40 test images."""
    counts = {"train": 200, "test": 40}
    return write_npz(tmp_path / "own.npz", {name: array[: counts[name[2:]]] for name, array in small_arrays.items()})


@pytest.mark.parametrize("extra", [[], ["--outliers", "20"]], ids=["alone", "with non-digits"])
def test_train_holds_a_tenth_out_and_says_so(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], extra: list[str]
) -> None:
    options = ["--hidden-sizes", "8", "--epochs", "1", "--threads", "1", "--runs-dir", str(tmp_path / "runs")]
    assert main(["train", "--data", str(own), *options, *extra]) == 0
    said = capsys.readouterr().out.splitlines()
    assert "5,000 validation images do not fit: 20 of the 200 training images are held out." in said
    (folder,) = (tmp_path / "runs").iterdir()
    assert TrainConfig.from_json((folder / "config.json").read_text("utf-8")).num_validation == 20


def test_sweep_holds_a_tenth_out_and_says_so(own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--runs", "1", "--epochs", "1", "--threads", "1", "--vary", "batch-size=64", "--runs-dir", str(tmp_path / "runs")]
    assert main(["sweep", "--data", str(own), *options]) == 0
    said = capsys.readouterr().out
    assert "5,000 validation images do not fit: 20 of the 200 training images are held out." in said
    assert "Its accuracy is on 20 validation images" in said


@pytest.mark.parametrize("as_json", [False, True], ids=["words", "JSON"])
def test_evaluate_hints_at_data_on_its_side(
    small_arrays: Arrays, tmp_path: Path, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    arrays = small_arrays | {name: small_arrays[name].transpose(0, 2, 1) for name in ("x_train", "x_test")}
    path = write_npz(tmp_path / "side.npz", arrays)
    assert main(["evaluate", str(SHIPPED), "--data", str(path), *(["--json"] if as_json else [])]) == 0
    out, err = (text.splitlines() for text in capsys.readouterr())
    assert len(out) + len(err) == 2
    assert "The digits lie on their side: rows and columns are exchanged." in (err if as_json else out)[0]
