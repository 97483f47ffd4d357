"""The processor, and how many of its cores this process may use: its affinity and its control group's quota."""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

CPUINFO = Path("/proc/cpuinfo")

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
"""A line for each hierarchy: its number, its controllers and the group of this process. Version 2 has number 0."""


def usable() -> int:
    """Return the number of cores that this process may use, at least 1. Half a core of a quota counts as none.

    Threads beyond the quota would stop all threads of the process for the rest of each period.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min(cores, *quotas())))


def processor_info(path: Path = CPUINFO) -> dict[str, str]:
    """Return the fields of /proc/cpuinfo for the last core, by name; {} where there is none."""
    lines: list[str] = []
    with suppress(OSError, UnicodeDecodeError):
        lines = path.read_text("utf-8").splitlines()
    return {name.strip(): value.strip() for name, colon, value in (line.partition(":") for line in lines) if colon}


def requested() -> int | None:
    """Return the number of threads that OMP_NUM_THREADS asks for, or None if it is no whole number above 0."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()  # later ones are for nested regions
    return int(first) if first.isascii() and first.isdigit() and int(first) else None


def quotas(cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> Iterator[float]:
    """Yield the quota in cores of each control group that this process is in and that has one; version 1 and 2. Linux only."""
    yield math.inf
    lines: list[str] = []
    with suppress(OSError, UnicodeDecodeError):
        lines = membership.read_text("utf-8").splitlines()
    for line in lines:
        number, controllers, group = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not controllers:
            roots = [cgroups, cgroups / "unified"]
        elif "cpu" in controllers.split(","):
            roots = [cgroups / controllers, cgroups / "cpu"]
        else:
            continue
        relative = PurePosixPath(group.lstrip("/"))
        # In a container the group may be named as the host sees it, while only the container's own part is mounted.
        for root in roots:
            for part in (relative, *relative.parents):
                yield from _quota(root / part)


def _quota(folder: Path) -> Iterator[float]:
    """Yield the quota of one group, if it has one."""
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = (folder / "cpu.max").read_text("ascii").split()
        yield int(quota) / int(period)  # "max" is no number
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = ((folder / f"cpu.cfs_{name}_us").read_text("ascii") for name in ("quota", "period"))
        if int(quota) > 0:  # -1 is none
            yield int(quota) / int(period)
