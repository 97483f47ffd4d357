"""The training process as a program: commands on standard input, replies on standard output, and its exit codes."""

import pickle
import struct
import subprocess
import sys
from collections.abc import Iterator

import pytest

from mnist_fc.files import ROOT
from mnist_fc.records import EndRecord
from mnist_fc.server.limits import MEMORY_VARIABLE, OUT_OF_MEMORY
from mnist_fc.server.protocol import RECORDS_FOLLOW, Command, Ended, MeasureSpeed, Ready, Reply, RunRecord, StartRun, Stop
from tests.support.jobs import SHORT
from tests.support.waiting import TIMEOUT

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("noise_npz")]

LARGEST = SHORT.replace(hidden_sizes=(2048,) * 4, batch_size=1024)


class Worker(subprocess.Popen[bytes]):
    """A training process and the two ends of its pipes."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "mnist_fc.server.worker"]
        pipe = subprocess.PIPE
        super().__init__(command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=ROOT)

    def do(self, *commands: Command) -> None:
        assert self.stdin
        for command in commands:
            pickle.dump(command, self.stdin)
        self.stdin.flush()

    def replies(self) -> Iterator[Reply]:
        assert self.stdout
        assert self.stderr
        while True:
            try:
                yield pickle.load(self.stdout)
            except EOFError:
                raise AssertionError(f"exit code {self.wait(TIMEOUT)}: {self.stderr.read().decode()}") from None


@pytest.fixture
def worker() -> Iterator[Worker]:
    with Worker() as process:
        yield process
        process.kill()


def test_jobs_beyond_the_memory_limit_fail_and_the_process_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MEMORY_VARIABLE, "0.2")
    with Worker() as worker:
        assert worker.stdout
        assert RECORDS_FOLLOW in iter(worker.stdout.readline, b"")
        replies = worker.replies()
        ready = next(replies)
        assert isinstance(ready, Ready)
        assert 0 < ready.bfloat16_share < float("inf")
        worker.do(Stop("over"), StartRun("run", LARGEST, None), MeasureSpeed("test", LARGEST, 1))
        reason = "needs more memory than the 0.2 GB that it may take"
        end = next(reply.record for reply in replies if isinstance(reply, RunRecord) and isinstance(reply.record, EndRecord))
        assert end.outcome == "failed"
        assert reason in end.message
        ended = next(reply for reply in replies if isinstance(reply, Ended))
        assert ended.job_id == "test"
        assert reason in ended.problem
        _, errors = worker.communicate(timeout=TIMEOUT)  # closes standard input
    assert (worker.returncode, errors) == (0, b"")


@pytest.mark.parametrize(
    ("content", "code", "error"),
    [
        (b"no pickle at all", 1, "UnpicklingError"),
        (pickle.dumps(Stop("a")).replace(b"Stop", b"Halt"), 1, "AttributeError"),
        (b"\x8e" + struct.pack("<Q", 2**62), OUT_OF_MEMORY, ""),  # bytes of that length
    ],
    ids=["no pickle", "unknown command", "too large"],
)
def test_a_command_that_cannot_be_read_ends_the_process(worker: Worker, content: bytes, code: int, error: str) -> None:
    _, errors = worker.communicate(content, timeout=TIMEOUT)
    assert worker.returncode == code
    assert errors.decode().strip().rpartition("\n")[2].startswith((error, f"_pickle.{error}") if error else "")
    assert bool(error) == (b"Traceback" in errors)
