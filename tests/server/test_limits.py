"""What a training process may take of the machine."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mnist_fc.server import limits
from mnist_fc.server.limits import MEMORY_VARIABLE, is_out_of_memory
from tests.support.jobs import LONG, SHORT, Open
from tests.support.waiting import finished, wait_for_steps


def real_error(allocate: Callable[[], object]) -> BaseException:
    """Return the error of an allocation that no machine can satisfy."""
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        allocate()
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        real_error(lambda: torch.empty(2**60)),
        real_error(lambda: np.empty(2**57)),
        real_error(lambda: bytearray(2**62)),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
        RuntimeError("Unable to allocate 7.45 GiB for an array with shape (1000000000,) and data type float64"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("could not create a primitive"),
    ],
    ids=repr,
)
def test_errors_of_allocators_are_recognised(error: BaseException) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "text",
    [
        "memory format option is only supported by strided tensors",
        "the storage is not resizable: out of shared memory segments",
        "cannot allocate a view of a leaf variable",
        "unsupported operation: some elements of the input tensor refer to a single memory location",
    ],
)
def test_other_errors_that_mention_memory_are_not(text: str) -> None:
    assert not is_out_of_memory(RuntimeError(text))


def test_training_beyond_the_memory_limit_fails_with_the_reason(open_scheduler: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MEMORY_VARIABLE, "0.2")
    scheduler = open_scheduler()
    snapshot = finished(scheduler.start(SHORT.replace(hidden_sizes=(2048,) * 4, batch_size=1024)))
    assert snapshot.state == "failed"
    assert "needs more memory than the 0.2 GB that it may take" in snapshot.message
    process_id = scheduler.process_ids[0]
    assert finished(scheduler.start(SHORT)).state == "done"
    assert scheduler.process_ids[0] == process_id


@pytest.mark.slow
def test_largest_network_fits_in_the_default_limit(open_scheduler: Open) -> None:
    scheduler = open_scheduler()
    largest = SHORT.replace(hidden_sizes=(2048,) * 4, batch_size=4096, augmentation="elastic", num_epochs=1, num_validation=0)
    assert finished(scheduler.start(largest.replace(dropout=0.5))).state == "done"


@pytest.mark.slow
def test_system_out_of_memory_kills_training_first(open_scheduler: Open) -> None:
    scheduler = open_scheduler()
    wait_for_steps(scheduler.start(LONG), 1)
    scores = [int(Path(f"/proc/{pid}/oom_score_adj").read_text()) for pid in ("self", scheduler.process_ids[0])]
    assert scores[1] == 1000 >= scores[0]  # the highest there is, which a container may have given the server too


@pytest.mark.parametrize("text", ["Name:\tpython\n", None])
def test_a_system_without_figures_of_memory_sets_no_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, text: str | None
) -> None:
    """So it is in some subsystems and sandboxes. A training process that fails there would train nothing."""
    if text is not None:
        (tmp_path / "status").write_text(text)
    monkeypatch.setattr(limits, "STATUS", tmp_path / "status")
    monkeypatch.setattr(logging.getLogger("mnist_fc"), "propagate", True)
    limits.limit_memory()
    assert "the memory of training is not limited" in caplog.text
