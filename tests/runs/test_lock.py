"""lock.py: one program at a time writes a run, and everybody may ask which."""

import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mnist_fc.files import ROOT
from mnist_fc.records import Record
from mnist_fc.runs.layout import RunsError
from mnist_fc.runs.lock import SOFT_LOCK_NAME, is_locked
from mnist_fc.runs.reader import read_run
from mnist_fc.runs.writer import RunFolder
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


@pytest.mark.slow
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


NO_LOCKS = """
import errno, fcntl
def refuse(*_):
    raise OSError({number}, "no locks on this share")
fcntl.flock = refuse
"""

KILLED_WRITER = """
import os, signal, sys
from pathlib import Path
from tests.support.runs import CONFIG
from mnist_fc.runs.writer import RunFolder
folder = RunFolder(Path(sys.argv[1]), CONFIG, "killed")
os.kill(os.getpid(), signal.SIGKILL)
"""


def refuse_locks(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, "no locks on this share")

    monkeypatch.setattr("fcntl.flock", refuse)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_one_writer_at_a_time_where_the_system_has_no_locks(
    tmp_path: Path, new_run: NewRun, records: list[Record], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refuse_locks(monkeypatch, number)
    folder = new_run(tmp_path, CONFIG)
    monkeypatch.setattr("mnist_fc.runs.lock.WRITTEN_HERE", set())  # what another process knows
    assert is_locked(folder.path)
    with pytest.raises(RunsError, match="is running in another program; if that was killed on another machine, delete"):
        RunFolder.reopen(folder.path)
    write_all(folder, records[:1])
    folder.close()
    assert not is_locked(folder.path)


@pytest.mark.integration
def test_a_killed_writer_can_be_resumed_where_the_system_has_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = NO_LOCKS.format(number=errno.ENOSYS) + KILLED_WRITER
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, check=False)
    refuse_locks(monkeypatch, errno.ENOSYS)
    assert (tmp_path / "killed" / SOFT_LOCK_NAME).exists()
    assert not is_locked(tmp_path / "killed")
    RunFolder.reopen(tmp_path / "killed")[0].close()


def test_a_run_is_kept_where_permissions_cannot_be_set(
    tmp_path: Path, new_run: NewRun, records: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    for name in ("chmod", "fchmod", "lchmod"):
        monkeypatch.setattr(os, name, refuse, raising=False)
    assert read_run(write_all(new_run(tmp_path, CONFIG), records).path).end is not None
