"""Data-parallel training by several processes, which PyTorch's torchrun starts: each has its own shard of every batch.

They hold the same network and draw the same random numbers, and exchange only sums, by gloo, PyTorch's own backend for CPUs.
This package never starts them: torchrun does, or whatever else sets its environment variables.

Several processes add the same numbers as one, but in another order. Rounding makes the losses of the first steps differ by
about 1e-7 of their value, and training amplifies that as it does any small change: after two epochs on 2,000 images the
difference was at most 1e-5 on an AMD EPYC and 4e-4 on an Intel Xeon. The tests allow 1e-5 in the first five steps, where an
error in the sums would show, and 1% afterwards.
"""

import hashlib
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor

# torch.distributed takes long to import, so only a group of several processes imports it.


class ProcessGroupError(RuntimeError):
    """The processes cannot train together, or one of them has ended; the message says why."""


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """This process, number `rank` from 0, among `size` processes. Only the first writes files and prints."""

    rank: int = 0
    size: int = 1
    local_size: int = 1
    """The number of processes that share this machine."""

    def shard(self, count: int) -> slice:
        """Return this process's rows of a batch of `count`: none in some processes if there are fewer rows than processes."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def all_reduce_sum_(self, tensor: Tensor) -> None:
        """Replace `tensor` by the sum over all processes, to the same bits in each. Raises ProcessGroupError if one has ended."""
        if self.size == 1:
            return
        from torch import distributed

        try:
            distributed.all_reduce(tensor)
        except RuntimeError as error:
            raise ProcessGroupError(f"another process of the group has ended or cannot be reached: {error}") from None

    def all_equal(self, content: Iterable[bytes]) -> bool:
        """Return whether all processes have the same content."""
        digest = hashlib.sha256()
        for part in content:
            digest.update(part)
        digests = torch.zeros(self.size, dtype=torch.int64)
        digests[self.rank] = int.from_bytes(digest.digest()[:7], "big")
        self.all_reduce_sum_(digests)
        return len(digests.unique()) == 1


SINGLE_PROCESS = ProcessGroup()

WAIT = timedelta(minutes=5)
"""The longest that a process waits for the others, at the start and for each sum. They need milliseconds."""


@contextmanager
def joined(report: Callable[[str], object]) -> Iterator[ProcessGroup]:
    """Join the group that torchrun started this process for, until the end of the block; without torchrun, SINGLE_PROCESS.

    Empty variables count as unset. If they are not torchrun's, `report` is told what this waits for, since another program may
    have left them. Raises ProcessGroupError when the others cannot be reached within WAIT.
    """
    rank, size = os.environ.get("RANK"), os.environ.get("WORLD_SIZE")
    if not rank or not size or (size == "1" and not os.environ.get("MASTER_ADDR")):
        yield SINGLE_PROCESS
        return
    from torch import distributed

    if size != "1" and "TORCHELASTIC_RUN_ID" not in os.environ:
        report(
            f"RANK={rank} and WORLD_SIZE={size} are set: waiting up to {WAIT.seconds // 60} minutes for {size} processes; "
            "unset both to train alone"
        )
    try:
        group = ProcessGroup(*(int(os.environ.get(name) or "1") for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")))
        if not 0 <= group.rank < group.size:
            raise ValueError("RANK must be at least 0 and less than WORLD_SIZE")
        _check_address(os.environ.get("MASTER_ADDR"))
        distributed.init_process_group("gloo", timeout=WAIT)
    except (RuntimeError, ValueError) as error:
        raise ProcessGroupError(
            f"the other processes that RANK={rank} and WORLD_SIZE={size} name cannot be joined: {_reason(error)}; "
            "unset both variables to train alone"
        ) from None
    try:
        yield group
        # All wait for the first: torchrun ends the others as soon as one fails, and the first may still be writing.
        group.all_reduce_sum_(torch.zeros(1))
    finally:
        distributed.destroy_process_group()


def _check_address(address: str | None) -> None:
    """Raise ValueError for a name that no machine has. PyTorch would look it up again and again for all of WAIT."""
    try:
        socket.getaddrinfo(address or None, 0)
    except (OSError, UnicodeError):
        raise ValueError(
            f"no machine is found under the name {address!r}; set MASTER_ADDR to the name or IP address of rank 0"
        ) from None


def _reason(error: Exception) -> str:
    """Return the first line of PyTorch's message, and what helps where that is known."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    address, port = os.environ.get("MASTER_ADDR"), os.environ.get("MASTER_PORT")
    if "EADDRINUSE" in reason:
        return f"port {port} is in use; set MASTER_PORT, or --master-port of torchrun, to another"
    if "trying to connect" in reason:
        return f"port {port} of {address} does not answer; check MASTER_ADDR and MASTER_PORT"
    return reason
