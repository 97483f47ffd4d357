"""The command `sweep`: what it prints, and which errors it reports."""

import json
import re
from pathlib import Path

import pytest

from mnist_fc.sweep.storage import default_storage
from mnist_fc.sweep.study import studies, trials
from tests.support.commands import close_after_first_line, error_line, run

SWEEP = [
    *("sweep", "--vary", "learning-rate=1e-5,1e-2", "--vary", "hidden-sizes=16,16-12"),
    *("--runs", "3", "--threads", "1", "--validation", "200"),
]


@pytest.mark.integration
def test_sweep_prints_trials_and_the_command_for_the_best(
    small_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--data", str(small_npz), "--runs-dir", str(tmp_path)]
    out, err = run([*SWEEP, *where], capsys)
    assert err == []
    assert [line.split(":")[0] for line in out[:3]] == ["trial 0", "trial 1", "trial 2"]
    assert out[3].startswith("The best is trial ")
    assert re.match(r"Its accuracy is on 200 validation images and the highest of [123], so it is optimistic: ", out[4])
    command = out[5].removeprefix("Train it: python -m mnist_fc ").split()
    run([*command, "--epochs", "1", *where], capsys)
    out, _ = run([*SWEEP, *where, "--json"], capsys)
    result = json.loads(out[-1])
    assert [trial["number"] for trial in result["trials"]] == list(range(6))  # the second sweep continued the study
    assert (tmp_path / "sweeps.db").exists()
    assert result["best"]["learning_rate"] == 0.01


@pytest.mark.integration
def test_closed_pipe_ends_a_sweep_that_can_be_continued(small_npz: Path, tmp_path: Path) -> None:
    where = ["--data", str(small_npz), "--runs-dir", str(tmp_path)]
    close_after_first_line([*SWEEP, "--runs", "1000", *where], "trial 0: ")
    (study,) = studies(default_storage(tmp_path))
    first, *others = trials(default_storage(tmp_path), study)
    assert first.state == "done"
    assert all(trial.state != "running" for trial in others)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--vary", "colour=1,2"], "colour"),
        (["--vary", "learning-rate=5..7"], "learning_rate"),
        (["--runs", "0"], "num_runs is 0"),
        (["--storage", "mysql://me:secret@nowhere/x"], "nowhere"),
    ],
)
def test_invalid_sweep_is_reported_in_one_line(
    small_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    line = error_line([*SWEEP, "--data", str(small_npz), "--runs-dir", str(tmp_path), *options], capsys)
    assert said in line
    assert "secret" not in line
