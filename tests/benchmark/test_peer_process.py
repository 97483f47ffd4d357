"""A peer's process: its protocol, its failures and its end."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mnist_fc.benchmark.peer_process import PeerError, PeerProcess
from mnist_fc.benchmark.peers import PEERS
from mnist_fc.benchmark.timing import Epoch
from mnist_fc.data.mnist import Mnist
from mnist_fc.files import ROOT
from tests.support import peers as stand_ins
from tests.support.browser import wait_until
from tests.support.peers import Install

pytestmark = pytest.mark.integration

NET = "784-500-10"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return a function that installs a module for this process and its children, before any of the same name."""
    return stand_ins.installer(tmp_path, monkeypatch)


@pytest.fixture
def data(small: Mnist, tmp_path: Path) -> Path:
    """The training images as a peer reads them."""
    path = tmp_path / "images.npz"
    np.savez(path, images=small.train_images.numpy(), labels=small.train_labels.numpy())
    return path


@pytest.fixture
def scikit_learn(install: Install, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PeerProcess]:
    """A peer that trains with the stand-in for scikit-learn, which writes its process id to the file `pid`."""
    install("sklearn.neural_network", stand_ins.SCIKIT_LEARN)
    monkeypatch.setenv("PEER_PID_FILE", str(tmp_path / "pid"))
    monkeypatch.setenv("PEER_DIES_IN_EPOCH", "3")
    with PeerProcess("scikit-learn", NET, 1, data) as peer:
        yield peer


def exists(pid: int) -> bool:
    """Return whether a process exists that has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("peer", "module", "text"), [("scikit-learn", "sklearn.neural_network", "SCIKIT_LEARN"), ("keras-torch", "keras", "KERAS")]
)
def test_each_command_gives_one_epoch(peer: str, module: str, text: str, install: Install, data: Path) -> None:
    install(module, getattr(stand_ins, text))
    with PeerProcess(peer, "784-500-500-10", 1, data) as process:
        epochs = [process.epoch() for _ in range(2)]
    assert [epoch.train_loss for epoch in epochs] == [5.5, 5.5]
    assert min(epoch.seconds for epoch in epochs) > 0


def test_missing_packages_are_named(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PEERS, "neither", ("torch", "no_such_package", "nor_this"))
    with PeerProcess("neither", NET, 1, data) as peer, pytest.raises(PeerError, match=r"^it needs no_such_package and nor_this$"):
        peer.epoch()


def test_failure_at_the_start_gives_its_last_error_line(install: Install, data: Path) -> None:
    install("keras", stand_ins.BROKEN_KERAS)
    with PeerProcess("keras-torch", NET, 1, data) as peer, pytest.raises(PeerError, match=r"^RuntimeError: torch has 1 thread$"):
        peer.epoch()


def test_failure_in_a_later_epoch_is_reported(scikit_learn: PeerProcess) -> None:
    assert [scikit_learn.epoch().train_loss for _ in range(2)] == [5.5, 5.5]
    for _ in range(2):  # it stays so
        with pytest.raises(PeerError, match=r"^MemoryError: no memory for epoch 3$"):
            scikit_learn.epoch()


def test_signal_that_ended_a_peer_is_named(scikit_learn: PeerProcess, tmp_path: Path) -> None:
    scikit_learn.epoch()
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    with pytest.raises(PeerError, match=r"^it was ended by SIGKILL$"):
        scikit_learn.epoch()


def test_waiting_peer_sleeps(scikit_learn: PeerProcess, tmp_path: Path) -> None:
    assert isinstance(scikit_learn.epoch(), Epoch)
    tasks = Path("/proc", (tmp_path / "pid").read_text(), "task")
    wait_until(lambda: {task.joinpath("stat").read_text().rpartition(")")[2].split()[0] for task in tasks.iterdir()} == {"S"})


def test_process_ends_with_its_context(scikit_learn: PeerProcess, tmp_path: Path) -> None:
    with scikit_learn:
        scikit_learn.epoch()
        assert exists(int((tmp_path / "pid").read_text()))
    assert not exists(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
def test_peers_end_with_the_benchmark(
    name: str, install: Install, small_npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("sklearn.neural_network", stand_ins.SCIKIT_LEARN)
    number, pid = signal.Signals[name], tmp_path / "pid"
    monkeypatch.setenv("PEER_PID_FILE", str(pid))
    command = [sys.executable, "-m", "mnist_fc", "benchmark", "--peers", "--data", str(small_npz), "--epochs", "100", "--json"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert any("epoch 1 of 100" in line for line in process.stderr)
        peer = int(pid.read_text())
        assert exists(peer)
        os.kill(process.pid, number)
        out, err = process.communicate()
    assert (process.returncode, out) == (130 if name == "SIGINT" else -number, "")
    assert "Traceback" not in err
    wait_until(lambda: not exists(peer))
