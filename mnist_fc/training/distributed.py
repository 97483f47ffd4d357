"""The processes that train one network together, as PyTorch's torchrun starts them: each takes its own rows of every batch.

They hold the same network and draw the same random numbers; all that travels between them is sums, by gloo, PyTorch's own
library for processors. They are started by torchrun, or by whatever else sets its environment variables, never by this package.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

# torch.distributed is imported where there is a team alone.


class ProcessGroupError(RuntimeError):
    """The processes cannot train together, or one of them has ended; the message says which."""


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """This process among `size` of them, from 0; the first alone writes and prints. One alone has nothing to send."""

    rank: int = 0
    size: int = 1
    local_size: int = 1
    """How many of them share this machine."""

    def rows(self, count: int) -> slice:
        """Which of a batch of `count` are this process's own: none, in some, when there are fewer than processes."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def all_reduce_sum_(self, tensor: Tensor) -> None:
        """Make `tensor` the sum of those of all processes, the same bits in each. Raises ProcessGroupError when one has ended."""
        if self.size == 1:
            return
        from torch import distributed

        try:
            distributed.all_reduce(tensor)
        except RuntimeError as error:
            raise ProcessGroupError(f"another process of the team has ended or cannot be reached: {error}") from None

    def all_equal(self, content: Iterable[bytes]) -> bool:
        """Whether all processes have the same content."""
        digest = hashlib.sha256()
        for part in content:
            digest.update(part)
        digests = torch.zeros(self.size, dtype=torch.int64)
        digests[self.rank] = int.from_bytes(digest.digest()[:7], "big")
        self.all_reduce_sum_(digests)
        return len(digests.unique()) == 1


SINGLE_PROCESS = ProcessGroup()


@contextmanager
def joined() -> Iterator[ProcessGroup]:
    """The team that torchrun started this process for, until the end of the block; ALONE where it did not.

    Raises ProcessGroupError when the others cannot be reached.
    """
    if not {"RANK", "WORLD_SIZE"} <= os.environ.keys():
        yield SINGLE_PROCESS
        return
    from torch import distributed

    try:
        team = ProcessGroup(*(int(os.environ.get(name, "1")) for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")))
        distributed.init_process_group("gloo")
    except (RuntimeError, ValueError) as error:
        raise ProcessGroupError(f"the other processes that torchrun's variables speak of cannot be joined: {error}") from None
    try:
        yield team
        # torchrun ends the others as soon as one has ended with an exit code, and the first may still be writing.
        team.all_reduce_sum_(torch.zeros(1))
    finally:
        distributed.destroy_process_group()
