"""The images of each step, gathered for several steps at a time: few large passes over memory instead of many small ones."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

IMAGES_AHEAD = 800
"""Images gathered at a time, or one batch if that is larger. They take 3 MB."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The images of one step. They are valid until `Batches` gathers others."""

    size: int
    """Images of the whole batch, over all processes that train together."""
    images: Tensor
    """This process's share, (rows, 784) float32 in [0, 1]. Not to be changed."""
    labels: Tensor
    """Their labels, (rows,) int64."""


class Batches:
    """The batches of an epoch: `images`, (N, 784) uint8, and `labels`, (N,) int64, at `indices`, in the order that is set.

    The last batch of an epoch may be smaller. `shard` gives the rows that this process trains on of a batch of a given size.
    """

    def __init__(self, images: Tensor, labels: Tensor, indices: Tensor, batch_size: int, shard: Callable[[int], slice]) -> None:
        self._images, self._all_labels, self._indices = images, labels, indices
        self._batch_size = batch_size
        self._shard = shard
        self.steps_ahead = max(1, IMAGES_AHEAD // batch_size)
        """Steps whose images are gathered at a time."""
        num_ahead = min(self.steps_ahead * batch_size, len(indices))
        self._pixels = torch.empty(num_ahead, images.shape[1], dtype=torch.uint8)
        self._values = torch.empty(self._pixels.shape)
        self._gathered: dict[int, Batch] = {}
        self.set_order(torch.empty(0, dtype=torch.int64))

    def set_order(self, order: Tensor) -> None:
        """Begin an epoch with the images in `order`, a permutation of the positions in `indices`; empty before the first."""
        self.order = order
        batches = self._indices[order].split(self._batch_size)
        self._sizes = [len(batch) for batch in batches]
        self._shares = [batch[self._shard(len(batch))] for batch in batches]
        counts = [len(share) for share in self._shares]
        self._labels = self._all_labels[torch.cat(self._shares)].split(counts)
        self._gathered.clear()

    def __getitem__(self, step: int) -> Batch:
        """Return the batch of a step of the epoch, counted from 0."""
        if step not in self._gathered:
            self._gather(range(step, min(step + self.steps_ahead, len(self._sizes))))
        return self._gathered[step]

    def _gather(self, steps: range) -> None:
        chosen = torch.cat(self._shares[steps.start : steps.stop])
        pixels = torch.index_select(self._images, 0, chosen, out=self._pixels[: len(chosen)])
        values = self._values[: len(chosen)].copy_(pixels).mul_(1 / 255)
        images = values.split([len(self._labels[step]) for step in steps])
        self._gathered = {step: Batch(self._sizes[step], images[i], self._labels[step]) for i, step in enumerate(steps)}
