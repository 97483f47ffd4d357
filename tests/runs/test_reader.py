"""reader.py: a folder that is not a run is rejected with the reason."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from mnist_fc.records import Record
from mnist_fc.runs.layout import RunsError
from mnist_fc.runs.metrics import COLUMNS
from mnist_fc.runs.reader import read_run, read_state
from mnist_fc.runs.writer import RunFolder
from tests.support.runs import CONFIG, NewRun, write_all

HEADER = ",".join(COLUMNS)

SPOILED = {
    "config.json: hidden_sizes is": ("config.json", '{"hidden_sizes": [1]}'),
    "config.json: the settings are not JSON": ("config.json", "{"),
    "the columns of metrics.csv are not": ("metrics.csv", "a,b\r\n1,2\r\n"),
    "metrics.csv: seconds is 'x', which no run writes": (
        "metrics.csv",
        HEADER + "\r\n1,1,5,x" + "," * 12 + "\r\n",
    ),
    "metrics.csv: outcome is 'won', which": (
        "metrics.csv",
        HEADER + "\r\n1,1" + "," * 12 + "won,,1.5\r\n",
    ),
    "metrics.csv: images_seen is '-5'": (
        "metrics.csv",
        HEADER + "\r\n1,1,-5,1,1,1,1,1" + "," * 8 + "\r\n",
    ),
    "metrics.csv: gradient_norms are 2, not one for each layer": (
        "metrics.csv",
        HEADER + "\r\n1,1,100,1.5,2.3,0.1,0.001,1 2" + "," * 8 + "\r\n",
    ),
    "about.json: ": ("about.json", '{"name": 5}'),
    "about.json: RunMetadata.__init__() got an unexpected": ("about.json", '{"colour": 5}'),
}


@pytest.mark.parametrize("said", SPOILED)
def test_a_malformed_folder_is_rejected_with_the_reason(
    tmp_path: Path, new_run: NewRun, records: list[Record], said: str
) -> None:
    folder = write_all(new_run(tmp_path, CONFIG), records)
    name, content = SPOILED[said]
    (folder.path / name).write_text(content, newline="")
    with pytest.raises(RunsError, match=re.escape(said)):
        read_run(folder.path)


def test_learning_rates_are_checked_without_reading_the_steps(tmp_path: Path, new_run: NewRun, records: list[Record]) -> None:
    folder = write_all(new_run(tmp_path, CONFIG), records)
    step = b"1,1,100,1.5,2.3,0.1,%s,1 2 3" + b"," * 8 + b"\r\n"
    (folder.path / "metrics.csv").write_bytes(HEADER.encode() + b"\r\n" + step % b"fast" + step % b"0.001")
    with pytest.raises(RunsError, match=r"metrics\.csv: could not convert string to float: b'fast'"):
        read_run(folder.path, with_steps=False)


def test_a_folder_with_more_files_than_a_run_is_rejected(tmp_path: Path, new_run: NewRun) -> None:
    folder = new_run(tmp_path, CONFIG)
    for number in range(1001):
        (folder.path / str(number)).touch()
    with pytest.raises(RunsError, match="its folder has more than 1,000 files"):
        read_run(folder.path)


def test_a_state_that_repeats_one_number_is_rejected(tmp_path: Path, new_run: NewRun, records: list[Record]) -> None:
    """A small file whose tensors would be large."""
    folder = write_all(new_run(tmp_path, CONFIG), records[:8])
    torch.save({"numbers": torch.zeros(1).expand(2**30)}, folder.path / "state.ckpt")
    with pytest.raises(RunsError, match="is not the state of a run: it repeats one number in place of many"):
        read_state(folder.path, CONFIG)


def test_a_file_that_is_not_a_state_is_rejected(tmp_path: Path, new_run: NewRun, records: list[Record]) -> None:
    folder = write_all(new_run(tmp_path, CONFIG), records[:8])
    folder.close()
    for content in ({"numbers": torch.zeros(0)}, {"fc1.weight": torch.zeros(3)}, {"numbers": np.float64}, [1]):
        torch.save(content, folder.path / "state.ckpt")
        with pytest.raises(RunsError, match="state"):
            RunFolder.reopen(folder.path)
