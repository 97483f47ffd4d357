"""Many runs that are started and stopped leave no process, no open file, no file and no memory behind.

MNIST_FC_STARTS of them (30 by default) are started on the page, and as many, but at least 300, through the scheduler.
"""

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mnist_fc.runs.lock import is_locked
from mnist_fc.runs.store import RunStore
from tests.support.browser import Server
from tests.support.client import Session
from tests.support.faults import served
from tests.support.soak import memory_mb

NUM_RUNS_ON_PAGE = int(os.environ.get("MNIST_FC_STARTS", "30"))
NUM_RUNS = max(300, NUM_RUNS_ON_PAGE)
WARM_UP = 100
"""The number of runs after which nothing may grow any more."""

MAX_KB_PER_RUN = 50.0
"""How much a process may grow with each run after the warm-up."""

MAX_MB_ON_PAGE = 50.0
"""How much a process may grow after a quarter of the runs on the page."""

LIMIT = 15e6
"""Bytes of the store: enough for some of these runs, which would take 12 MB each if they finished."""

STARTS_AND_STOPS = """
import json
import os
import sys
from pathlib import Path

from mnist_fc.config import TrainConfig
from mnist_fc.runs.store import RunStore
from mnist_fc.server.scheduler import Scheduler

num_runs, warm_up, limit = map(int, sys.argv[2:5])


def measured(scheduler):
    figures = {}
    for name, process in (("server", "self"), ("training process", str(scheduler.process_ids[0]))):
        status = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
        figures[name] = {
            "id": int(status["Pid"]),
            "kB": int(status["VmRSS"].split()[0]),
            "threads": int(status["Threads"]),
            "files": len(os.listdir(f"/proc/{process}/fd")),
        }
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return figures | {"children": len(children)}


scheduler = Scheduler(RunStore(Path(sys.argv[1]), limit=limit))
config = TrainConfig(hidden_sizes=(8,), batch_size=8, num_epochs=100, num_validation=100, threads=1)
outcomes = []
for i in range(num_runs):
    if i == warm_up:
        print(json.dumps(measured(scheduler)), flush=True)
    run = scheduler.start(config)
    if i % 10 == 1:
        assert run.wait_until_state("running", timeout=300)
    if i % 10 == 2:
        assert run.wait_for(lambda run: bool(run._steps), 300)
    if i % 10 == 3:
        scheduler.pause(run)
        assert run.wait_until_state("paused", timeout=300)
    scheduler.stop(run)
    assert run.wait_until_state("stopped", "done", "failed", timeout=300), run.snapshot().state
    outcomes.append(run.snapshot().state)
print(json.dumps(measured(scheduler)))
print(json.dumps(outcomes))
scheduler.close()
"""


def test_starts_and_stops_of_the_scheduler_leave_nothing_behind(small_npz: Path, tmp_path: Path) -> None:
    store, temporary = tmp_path / "runs", tmp_path / "temporary"
    temporary.mkdir()
    output = subprocess.run(
        [sys.executable, "-c", STARTS_AND_STOPS, str(store), str(NUM_RUNS), str(WARM_UP), str(int(LIMIT))],
        env={**os.environ, "MNIST_FC_DATA": str(small_npz), "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=True,
    )
    before, after, outcomes = map(json.loads, output.stdout.splitlines())
    assert outcomes == ["stopped"] * NUM_RUNS
    for name in ("server", "training process"):
        assert after[name]["id"] == before[name]["id"]
        assert after[name]["files"] <= before[name]["files"]
        assert after[name]["threads"] <= before[name]["threads"]
        assert after[name]["kB"] - before[name]["kB"] < (NUM_RUNS - WARM_UP) * MAX_KB_PER_RUN
    assert before["children"] == after["children"] == 1
    assert output.stderr == ""
    assert list(temporary.iterdir()) == []
    runs = RunStore(store, limit=LIMIT).runs()
    assert sorted(path.name for path in store.iterdir()) == sorted(run.id for run in runs)
    assert sum(run.num_bytes for run in runs) <= LIMIT
    assert all(run.end and not is_locked(run.path) for run in runs)
    assert 1 < len(runs) < NUM_RUNS


@dataclass(frozen=True)
class Measured:
    """What the system reports of a process."""

    pid: int
    mb: float
    num_files: int

    @classmethod
    def now(cls, pid: int) -> Self:
        return cls(pid, memory_mb(pid), len(os.listdir(f"/proc/{pid}/fd")))


async def start_and_stop(server: Server) -> list[tuple[Measured, Measured]]:
    """Press Train and Stop repeatedly; return figures of both processes after a quarter of the runs and at the end."""
    measured = []
    session = await Session(server.url, "preset=fast&hidden_sizes=8&batch_size=8&epochs=100&num_validation=100").open()
    for number in range(1, NUM_RUNS_ON_PAGE + 1):
        for button in ("train", "stop"):
            await session.click(button)
            await session.settle()
        await session.wait_for(lambda page: page.is_enabled("train") and not page.is_enabled("stop"), "the end of the run")
        if number in (NUM_RUNS_ON_PAGE // 4, NUM_RUNS_ON_PAGE):
            measured.append((Measured.now(server.process.pid), Measured.now(server.worker())))
    await session.leave()
    assert session.problems == []
    return measured


def test_starts_and_stops_on_the_page_leave_nothing_behind(small_npz: Path, tmp_path: Path) -> None:
    with served(tmp_path, small_npz) as server:
        before, after = asyncio.run(start_and_stop(server))
        sys.stdout.write(f"{NUM_RUNS_ON_PAGE} on the page: server and training process {before}, at the end {after}\n")
        lines = server.log.read_text().splitlines()
    for process_before, process_after in zip(before, after, strict=True):
        assert process_after.pid == process_before.pid
        assert process_after.num_files <= process_before.num_files
        assert process_after.mb - process_before.mb < MAX_MB_ON_PAGE
    assert sum(line.endswith(" begins") for line in lines) == NUM_RUNS_ON_PAGE
    assert sum("ends at step" in line for line in lines) == NUM_RUNS_ON_PAGE
    assert all(not is_locked(run.path) for run in RunStore(tmp_path / "runs").runs())
