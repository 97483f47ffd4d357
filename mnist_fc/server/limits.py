"""What a training process may take of the machine: memory up to a bound, and the cores that the page leaves to it."""

import contextlib
import os
import re
import sys
from pathlib import Path

from mnist_fc.config import Range, to_number

MEMORY_VARIABLE = "MNIST_FC_MEMORY_GB"
DEFAULT_MEMORY_GB = 4.0
MEMORY_GB = Range(float, 0.1, 1024)
"""The largest network with the largest batches takes about 2 GB."""

OUT_OF_MEMORY = 86
"""The exit code of a process that can no longer say it in another way."""

NICENESS = 10
"""Reading a drawing takes some hundredths of a second, and somebody waits for it; training takes what is left. With thirty people
drawing, 95 of 100 readings came within 1.3 to 1.9 s without this, and within 0.6 to 1.0 s with it.
"""


def memory_gb() -> float:
    """What a training may take besides what its process has from the start: the environment's MNIST_FC_MEMORY_GB, or 4.

    Raises ConfigError for what is no such number.
    """
    return MEMORY_GB.check(MEMORY_VARIABLE, to_number(os.environ.get(MEMORY_VARIABLE) or str(DEFAULT_MEMORY_GB)))


def lower_priority() -> None:
    """Let the page's server go first, and be the one that a system out of memory ends."""
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    with contextlib.suppress(OSError):  # a system without such a file
        Path("/proc/self/oom_score_adj").write_text("1000")


def limit_memory() -> None:
    """From now on this process gets at most `memory_gb` more, where the system can bound that (Linux)."""
    if sys.platform == "linux":
        import resource

        (kilobytes,) = re.findall(r"VmData:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"))
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = int(kilobytes) * 1024 + int(memory_gb() * 1e9)
        resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def out_of_memory(error: Exception) -> str:
    """What a person is told of an error that says that there is no memory; any other is raised again."""
    if not (isinstance(error, MemoryError) or re.search("memory|alloc", str(error), re.IGNORECASE)):
        raise error
    return (
        f"This training needs more memory than the {memory_gb():g} GB that it may take. Fewer units and smaller batches need "
        f"less; {MEMORY_VARIABLE} allows more."
    )
