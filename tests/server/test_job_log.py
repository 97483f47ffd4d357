"""The log of jobs."""

import re
from pathlib import Path

import pytest

from mnist_fc.server.queue import MAX_PER_SESSION
from mnist_fc.server.scheduler import JobRejected
from tests.support.jobs import LONG, SHORT, Open
from tests.support.settings import OVERFLOWING
from tests.support.waiting import finished, wait_for, wait_until


def test_starts_ends_failures_and_rejections_are_logged(open_scheduler: Open, log: list[str], tmp_path: Path) -> None:
    scheduler = open_scheduler()
    done = scheduler.start(SHORT, "0123456789")
    finished(done)
    failed = scheduler.start(SHORT.replace(**OVERFLOWING), "ben")
    assert finished(failed).state == "failed"
    going = [scheduler.start(LONG, "cleo") for _ in range(MAX_PER_SESSION)]
    with pytest.raises(JobRejected):
        scheduler.start(LONG, "cleo")
    scheduler.stop(going[-1])
    scheduler.stop(going[0])
    wait_until(going[1], "running")
    scheduler.store.path.rename(tmp_path / "external")
    not_kept = re.compile(f"ERROR.*{going[1].id}.*is no longer kept on disk")
    wait_for(going[1], lambda: any(map(not_kept.match, log)))
    named = f"run {done.id} (784-16-10, custom, 2 epochs) of session 01234567"
    assert log[:2] == [f"INFO {named} begins", f"INFO {named} ends at step 58, done"]
    assert [line.startswith("ERROR run") and "diverged: The loss" in line for line in log if failed.id in line] == [False, True]
    assert re.findall(r"waits, place (\d) of (\d)", "\n".join(log)) == [("1", "1"), ("2", "2")]
    assert [line for line in log if line.startswith("WARNING")] == [
        "WARNING rejected session cleo: You have 3 trainings that are running or waiting"
    ]
    assert any(going[-1].id in line and "ends at step 0, stopped" in line for line in log)
