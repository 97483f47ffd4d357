"""The training process: what is left after every way in which it can end."""

import contextlib
import csv
import os
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mnist_fc.data.mnist import DATA_VARIABLE
from mnist_fc.network import checkpoint
from mnist_fc.runs.store import RunStore
from mnist_fc.server.process import TrainingProcess, how_it_died
from mnist_fc.server.scheduler import Scheduler
from mnist_fc.sweep.space import Interval, Space, SweepConfig
from mnist_fc.sweep.storage import default_storage
from tests.support.jobs import LONG, SHORT, wait_until_handed_over
from tests.support.processes import children, kill, num_descriptors, wait_for_end
from tests.support.waiting import TIMEOUT, finished, wait_for, wait_for_steps, wait_until, wait_until_ended

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("noise_npz")]


@pytest.mark.parametrize("state", ["running", "paused"])
def test_killed_process_fails_its_run_and_is_replaced(scheduler: Scheduler, state: str) -> None:
    descriptors = num_descriptors()
    run = scheduler.start(LONG)
    wait_for_steps(run, 30)
    if state == "paused":
        scheduler.pause(run)
        wait_until(run, "paused")
    before = run.snapshot()
    assert before.state == state
    killed = scheduler.process_ids[0]
    kill(killed)
    snapshot = finished(run)
    assert snapshot.state == "failed"
    assert "SIGKILL" in snapshot.message
    assert f"up to step {snapshot.steps[-1].step};" in snapshot.message
    assert snapshot.steps[: len(before.steps)] == before.steps
    scheduler.stop(run)  # it has ended: this affects neither it nor the next
    assert finished(scheduler.start(SHORT)).state == "done"
    assert scheduler.process_ids[0] != killed
    assert killed not in children()
    assert num_descriptors() == descriptors


@pytest.mark.slow
def test_start_before_the_exit_is_noticed_gets_one_new_process(scheduler: Scheduler) -> None:
    before = children()
    with scheduler._lock:  # the reading thread needs it to report the exit
        dead = scheduler._board.slots[0].process
        assert isinstance(dead, TrainingProcess)
        kill(dead.id)
        dead._process.wait(TIMEOUT)
        run = scheduler.start(SHORT)
    dead.join(TIMEOUT)
    assert finished(run).state == "done"
    assert children() == before - {dead.id} | {scheduler.process_ids[0]}


@pytest.mark.slow
def test_process_death_outside_of_training_leaves_nothing_waiting(tmp_path: Path) -> None:
    before = children(), num_descriptors()
    with contextlib.closing(Scheduler(RunStore(tmp_path))) as scheduler:
        run = scheduler.start(LONG)
        wait_until_handed_over(scheduler)
        kill(scheduler.process_ids[0])  # it takes seconds to get ready
        snapshot = finished(run)
        assert snapshot.state == "failed"
        assert "SIGKILL" in snapshot.message
        assert "up to step 0;" in snapshot.message
        assert finished(scheduler.start(SHORT)).state == "done"

        os.kill(scheduler.process_ids[0], signal.SIGKILL)  # the start may come before its exit is noticed
        snapshot = finished(scheduler.start(SHORT))
        assert snapshot.state == "done" or "SIGKILL" in snapshot.message
    # The scheduler was closed while it started the next process.
    assert (children(), num_descriptors()) == before


def test_process_ignores_an_interrupt_from_the_terminal(scheduler: Scheduler) -> None:
    run = scheduler.start(LONG)
    wait_for_steps(run, 1)
    os.kill(scheduler.process_ids[0], signal.SIGINT)
    wait_for_steps(run, 30)
    scheduler.pause(run)
    wait_until(run, "paused")


@pytest.mark.slow
def test_error_in_the_process_fails_the_run_alone(scheduler: Scheduler) -> None:
    broken = SHORT.replace()
    object.__setattr__(broken, "activation", "none such")
    snapshot = finished(scheduler.start(broken))
    assert snapshot.state == "failed"
    assert "ended with exit code 1" in snapshot.message
    assert finished(scheduler.start(SHORT)).state == "done"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0, "ended with exit code 0."),
        (86, "had less memory than it needs; MNIST_FC_MEMORY_GB allows more."),
        (-9, "was ended by SIGKILL, which is"),
        (-35, "was ended by signal 35."),
    ],
)
def test_exit_code_is_described(code: int, text: str) -> None:
    assert text in f"{how_it_died(code)}."


def test_nothing_is_left_of_a_process_without_threads() -> None:
    before = children(), num_descriptors()
    size = threading.stack_size(2**47)  # more than the system can give a thread
    try:
        with pytest.raises(RuntimeError, match="can't start new thread"):
            TrainingProcess(lambda process, reply: None, lambda process, reason: None)
    finally:
        threading.stack_size(size)
    assert (children(), num_descriptors()) == before


def test_close_ends_the_processes_once_and_for_good(tmp_path: Path) -> None:
    before = children(), num_descriptors()
    scheduler = Scheduler(RunStore(tmp_path))
    run = scheduler.start(LONG)
    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(scheduler.close) for _ in range(4)]:
            future.result(TIMEOUT)
    scheduler.close()
    assert run.snapshot().state == "interrupted"
    assert run.snapshot().is_resumable
    assert (children(), num_descriptors()) == before
    scheduler.stop(run)
    with pytest.raises(RuntimeError, match="closed"):
        scheduler.start(SHORT)
    with pytest.raises(RuntimeError, match="closed"):
        scheduler.measure_speed(SHORT)


def test_killed_run_ends_alike_in_the_store_and_in_memory(scheduler: Scheduler) -> None:
    run = scheduler.start(LONG)
    wait_for(run, lambda: run._weights is not None)
    folder = run.path
    assert folder
    os.kill(scheduler.process_ids[0], signal.SIGKILL)
    wait_until(run, "failed")
    with (folder / "metrics.csv").open(newline="") as file:
        last = list(csv.DictReader(file))[-1]
    assert last["outcome"] == "failed"
    assert last["message"] == run.snapshot().message
    checkpoint.load(folder / "model.ckpt")


@pytest.mark.slow
def test_next_run_in_turn_starts_after_the_process_dies(scheduler: Scheduler) -> None:
    first, second = scheduler.start_in_turn(LONG, SHORT)
    wait_for_steps(first, 1)
    os.kill(scheduler.process_ids[0], signal.SIGKILL)
    wait_until(first, "failed")
    assert finished(second).state == "done"


SERVER = """
import signal
import sys
from pathlib import Path
from mnist_fc.config import TrainConfig
from mnist_fc.runs.store import RunStore
from mnist_fc.server.scheduler import Scheduler

signal.signal(signal.SIGINT, signal.default_int_handler)  # tests that run in the background inherit it ignored
scheduler = Scheduler(RunStore(Path(sys.argv[1])))
if sys.argv[2] != "ends":
    run = scheduler.start(TrainConfig(hidden_sizes=(256,), batch_size=8, num_epochs=100, threads=1))
    assert run.wait_for(lambda run: bool(run._steps), 300)
print(scheduler.process_ids[0], flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_process_ends_however_its_server_ends(tmp_path: Path) -> None:
    def start(ending: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", SERVER, str(tmp_path / ending), ending]
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    servers = {ending: start(ending) for ending in ("ends", "Ctrl-C", "kill -9")}  # they start side by side
    try:
        for ending, server in servers.items():
            assert server.stdout
            pidfd = os.pidfd_open(int(server.stdout.readline()))
            match ending:
                case "Ctrl-C":
                    os.killpg(server.pid, signal.SIGINT)
                case "kill -9":
                    server.kill()
            _, errors = server.communicate(timeout=TIMEOUT)  # closes standard input, which ends the first
            wait_for_end(pidfd)
            assert errors.count("Traceback") == (ending == "Ctrl-C"), errors  # the server's own; the process is silent
            assert "Fatal" not in errors
            assert (server.returncode == 0) == (ending == "ends")
    finally:
        for server in servers.values():
            with contextlib.suppress(ProcessLookupError):  # as it should be
                os.killpg(server.pid, signal.SIGKILL)
            server.communicate()


@pytest.mark.slow
def test_output_of_libraries_does_not_corrupt_the_replies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\n"
        "def print_on_open(event, args):\n"
        "    if event == 'open' and str(args[0]).endswith(('.npz', 'engine.py', 'engine.cpython-311.pyc')):\n"
        "        os.write(1, b'noise of ' + os.fsencode(os.path.basename(args[0])))\n"
        "os.write(1, b'noise from the start')\n"
        "sys.addaudithook(print_on_open)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with contextlib.closing(Scheduler(RunStore(tmp_path / "runs"))) as scheduler:
        assert finished(scheduler.start(SHORT)).state == "done"
    output, errors = capfd.readouterr()
    assert "noise of small.npz" in errors
    assert not output


def test_the_exit_code_is_reported_also_if_the_output_ends_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os\nos.close(1)\nsum(range(10**7))\nos._exit(3)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with contextlib.closing(Scheduler(RunStore(tmp_path / "runs"))) as scheduler:
        assert "ended with exit code 3" in finished(scheduler.start(SHORT)).message


@pytest.mark.slow
def test_modules_in_the_working_folder_do_not_hide_those_of_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("queue", "random", "select", "dis"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not the module of Python')\n")
    monkeypatch.chdir(tmp_path)
    with contextlib.closing(Scheduler(RunStore(tmp_path / "runs"))) as scheduler:
        assert finished(scheduler.start(SHORT)).state == "done"


def test_jobs_fail_without_the_data_file_and_work_with_it(
    tmp_path: Path, noise_npz: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = tmp_path / "absent.npz"
    monkeypatch.setenv(DATA_VARIABLE, str(absent))
    with contextlib.closing(Scheduler(RunStore(tmp_path / "runs"))) as scheduler:
        snapshot = finished(scheduler.start(SHORT))
        assert snapshot.state == "failed"
        assert str(absent) in snapshot.message
        assert "does not exist" in snapshot.message
        test = scheduler.measure_speed(SHORT)
        wait_until_ended(test)
        assert test.problem == snapshot.message
        assert test.records() == []
        space: Space = {"learning_rate": Interval(1e-4, 1e-2)}
        sweep = scheduler.start_sweep(SweepConfig(SHORT, space, "no data", default_storage(tmp_path), num_runs=1))
        wait_until_ended(sweep)
        assert sweep.problem == snapshot.message
        process_id = scheduler.process_ids[0]
        shutil.copyfile(noise_npz, absent)
        assert finished(scheduler.start(SHORT)).state == "done"
        test = scheduler.measure_speed(SHORT)
        wait_for(test, test.records)
        assert scheduler.process_ids[0] == process_id
