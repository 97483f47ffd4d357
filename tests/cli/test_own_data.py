"""The command line with a person's own data: few images, and what is said about them."""

from pathlib import Path

import pytest

from mnist_fc.cli.main import main
from mnist_fc.config import TrainConfig
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
