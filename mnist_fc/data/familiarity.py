"""Notice data that is hardly MNIST-like: the built-in network reads a few hundred images, as they are and changed.

It knows upright digits, light on dark. So if it reads an EMNIST lying on its side only when rows and columns are exchanged, that
is what is wrong with the data. This is a hint and never an error: the data may be meant as it is.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mnist_fc.config import NUM_CLASSES
from mnist_fc.data.mnist import Mnist
from mnist_fc.network.mlp import MLP
from mnist_fc.percentages import in_percent

NUM_IMAGES = 300
"""Images that are read as they are, half of them from each part."""

NUM_TRIED = 100
"""Images that are read in each changed form."""

MIN_IMAGES = 20
"""Of fewer images, the share says too little."""

FAMILIAR = 0.9
"""At least this share is read right of data that is as the network knows it: of MNIST 99%."""


FAINT = 128
"""Ink is faint if no pixel has this value."""


@dataclass(frozen=True)
class Change:
    """A way in which data may differ from MNIST: how it shows, and how to undo it."""

    seen: str
    code: str
    """The expression in NumPy that undoes it, for images (N, 28, 28)."""
    when_undone: str
    """How digits look that were upright and are changed by `undone`."""
    swaps: bool = False
    flips: tuple[int, ...] = ()
    inverts: bool = False

    def undone(self, images: Tensor) -> Tensor:
        """Return uint8 images (N, 28, 28) without the change."""
        images = images.transpose(1, 2) if self.swaps else images
        images = images.flip(self.flips) if self.flips else images
        return 255 - images if self.inverts else images


_INVERTED = "Ink is dark on light paper"

CHANGES = (
    Change(
        "The digits lie on their side: rows and columns are exchanged",
        "x.transpose(0, 2, 1)",
        "their rows and columns are exchanged",
        swaps=True,
    ),
    Change(_INVERTED, "255 - x", "they are inverted", inverts=True),
    Change(
        f"{_INVERTED}, and rows and columns are exchanged",
        "255 - x.transpose(0, 2, 1)",
        "they are inverted, and their rows and columns exchanged",
        swaps=True,
        inverts=True,
    ),
    Change(
        "The digits are turned to the left",
        "x.transpose(0, 2, 1)[:, :, ::-1]",
        "they are turned to the right",
        swaps=True,
        flips=(2,),
    ),
    Change(
        "The digits are turned to the right",
        "x.transpose(0, 2, 1)[:, ::-1]",
        "they are turned to the left",
        swaps=True,
        flips=(1,),
    ),
    Change("The digits are mirrored", "x[:, :, ::-1]", "they are mirrored", flips=(2,)),
    Change("The digits are upside down", "x[:, ::-1, ::-1]", "they are upside down", flips=(1, 2)),
    Change("The digits are upside down and mirrored", "x[:, ::-1]", "they are upside down and mirrored", flips=(1,)),
)


def hint(data: Mnist, model: MLP) -> str:
    """Return what to look at if `model`, the built-in network, misreads `data`, with the likely cause; empty if it reads it well.

    It takes about 0.02 s, and 0.05 s if a cause is looked for.
    """
    images, labels = _sample(data)
    if len(labels) < MIN_IMAGES:
        return ""
    digits = _read(model, images)
    share = _share(digits, labels)
    if share >= FAMILIAR:
        return ""
    cause = _cause(model, images, labels, digits)
    return f"The built-in network reads {in_percent(share, 0)} of {len(labels)} of these images. {cause}"


def _sample(data: Mnist) -> tuple[Tensor, Tensor]:
    """Return images, uint8 (n, 28, 28), spread over both parts, and their labels."""
    num_own = len(data.train_labels) - data.num_added
    parts = [(data.train_images[:num_own], data.train_labels[:num_own]), (data.test_images, data.test_labels)]
    chosen = [np.linspace(0, len(labels) - 1, min(len(labels), NUM_IMAGES // 2)).astype(np.int64) for _, labels in parts]
    images, labels = (torch.cat([part[i][rows] for part, rows in zip(parts, chosen, strict=True)]) for i in (0, 1))
    return images.view(-1, 28, 28), labels


@torch.inference_mode()
def _read(model: MLP, images: Tensor) -> Tensor:
    logits: Tensor = model(images.reshape(-1, 784).to(torch.float32).mul_(1 / 255))
    return logits.argmax(1)


def _share(digits: Tensor, labels: Tensor) -> float:
    return float((digits == labels).float().mean())


def _cause(model: MLP, images: Tensor, labels: Tensor, digits: Tensor) -> str:
    """Return what probably is the matter and what to do, in at most two sentences."""
    if exchanged := _exchanged_labels(labels, digits):
        return f"Labels seem to be exchanged: {exchanged}."
    rows = torch.from_numpy(np.linspace(0, len(labels) - 1, min(len(labels), NUM_TRIED)).astype(np.int64))
    readings = _read(model, torch.cat([change.undone(images[rows]) for change in CHANGES])).view(len(CHANGES), -1)
    shares = [_share(read, labels[rows]) for read in readings]
    best = int(np.argmax(shares))
    if shares[best] >= FAMILIAR:
        return f"{CHANGES[best].seen}. With `x = {CHANGES[best].code}` it reads {in_percent(shares[best], 0)}."
    if (brightest := int(images.max())) < FAINT:
        return f"The ink is faint: the brightest pixel is {brightest} of 255."
    return "They may not be handwritten digits, or the labels may belong to other images."


def _exchanged_labels(labels: Tensor, digits: Tensor) -> str:
    """Return which digits are read where which are labelled, if other labels make nearly all readings right; else nothing."""
    counts = torch.bincount(labels * NUM_CLASSES + digits, minlength=NUM_CLASSES**2).view(NUM_CLASSES, NUM_CLASSES)
    present = counts.sum(1) > 0
    read_as = counts.argmax(1)
    is_one_to_one = len(read_as[present].unique()) == int(present.sum())
    if not is_one_to_one or float(counts.amax(1).sum() / counts.sum()) < FAMILIAR:
        return ""
    pairs = [f"{label} is read as {read}" for label, read in enumerate(read_as.tolist()) if present[label] and label != read]
    return ", ".join(pairs[:4]) + (" and more" if len(pairs) > 4 else "")
