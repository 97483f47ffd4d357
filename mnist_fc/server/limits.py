"""Limits on a training process: its memory, and its priority below the page's server."""

import contextlib
import logging
import os
import re
import sys
from pathlib import Path

from mnist_fc.config import Range, to_number

_log = logging.getLogger(__name__)

MEMORY_VARIABLE = "MNIST_FC_MEMORY_GB"
DEFAULT_MEMORY_GB = 4.0
MEMORY_GB = Range(float, 0.1, 1024)
"""The largest network with the largest batches takes about 2 GB."""

OUT_OF_MEMORY = 86
"""The exit code of a process that has too little memory left to report it in another way."""

ALLOCATION_FAILED = re.compile(
    r"DefaultCPUAllocator: (can't allocate|not enough) memory|Unable to allocate .* for an array|std::bad_alloc"
    r"|could not (create|execute) a primitive"
)
"""The messages of PyTorch's and NumPy's allocators, also where another library has wrapped their error in a RuntimeError.

oneDNN names no cause when it can make no primitive. Of the products that it is given, it can make all if there is memory.
"""

STATUS = Path("/proc/self/status")

NICENESS = 10
"""People wait for each reading of a drawing, which takes some hundredths of a second; training gets the remaining time. With
thirty people drawing, the 95th percentile of the time to a reading was 1.3 to 1.9 s without this and 0.6 to 1.0 s with it.
"""


def memory_gb() -> float:
    """Return the limit of a process's memory in GB: the environment's MNIST_FC_MEMORY_GB, or 4.

    Memory that the process has before `limit_memory` does not count. Raises ConfigError if the value is not a number in range.
    """
    return MEMORY_GB.check(MEMORY_VARIABLE, to_number(os.environ.get(MEMORY_VARIABLE) or str(DEFAULT_MEMORY_GB)))


def lower_priority(process_id: int) -> None:
    """Let this process run before a process that it has started, and a system out of memory kill that one first."""
    with contextlib.suppress(OSError):  # it has ended already, or the system has no such file
        if hasattr(os, "setpriority"):
            os.setpriority(os.PRIO_PROCESS, process_id, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)
        Path(f"/proc/{process_id}/oom_score_adj").write_text("1000")


def limit_memory() -> None:
    """Limit this process to `memory_gb` more than it has now, where the system supports that (Linux)."""
    if sys.platform == "linux":
        import resource

        allowed = int(memory_gb() * 1e9)
        try:
            wanted = _data_bytes() + allowed
            _, hard = resource.getrlimit(resource.RLIMIT_DATA)
            resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
        except (OSError, ValueError) as error:
            _log.warning("the memory of training is not limited: %s", error)


def _data_bytes() -> int:
    """Return the bytes that RLIMIT_DATA counts for this process. Raises OSError, and ValueError if the system does not say."""
    found = re.search(r"VmData:\s+(\d+) kB", STATUS.read_text("ascii", "replace"))
    if not found:
        raise ValueError(f"{STATUS} has no VmData")
    return int(found[1]) * 1024


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether the error means that memory could not be allocated."""
    return isinstance(error, MemoryError) or bool(ALLOCATION_FAILED.search(str(error)))


def out_of_memory_message() -> str:
    """Return the message for the owner of a job that ran out of memory."""
    return (
        f"This training needs more memory than the {memory_gb():g} GB that it may take. Fewer units and smaller batches need "
        f"less; {MEMORY_VARIABLE} allows more."
    )
