"""lock.py: one program at a time writes a run, and everybody may ask which."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mnist_fc.files import ROOT
from mnist_fc.records import Record
from mnist_fc.runs.lock import is_locked
from tests.support.runs import CONFIG, NewRun, write_all


def test_asking_for_the_lock_creates_nothing_and_blocks_nobody(tmp_path: Path, new_run: NewRun, records: list[Record]) -> None:
    assert not is_locked(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    folder = write_all(new_run(tmp_path, CONFIG), records)
    with ThreadPoolExecutor(2) as pool:
        assert not any(pool.map(lambda _: is_locked(folder.path), range(400)))


def test_a_lock_that_is_no_file_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "folder" / ".lock").mkdir(parents=True)
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / ".lock")  # opening one would wait for a writer
    assert not is_locked(tmp_path / "folder")
    assert not is_locked(tmp_path / "pipe")


@pytest.mark.integration
def test_one_program_at_a_time_writes_a_run(tmp_path: Path, new_run: NewRun, records: list[Record]) -> None:
    folder = new_run(tmp_path, CONFIG)
    code = (
        "import sys; from pathlib import Path; path = Path(sys.argv[1])\n"
        "from mnist_fc.runs.lock import is_locked; from mnist_fc.runs.writer import RunFolder\n"
        "print(is_locked(path)); RunFolder.reopen(path)"
    )
    command = [sys.executable, "-c", code, str(folder.path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    other = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    assert other.stdout == "True\n"
    assert "is running in another program" in other.stderr
    folder.close()
    other = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    assert (other.stdout, other.returncode) == ("False\n", 0)
