"""Mean loss and accuracy over many images."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mnist_fc.network.mlp import MLP


def evaluate(model: MLP, images: Tensor, labels: Tensor) -> tuple[float, float]:
    """Return mean loss and accuracy of `model` on uint8 images (N, 784) with int64 labels (N,), in batches to save memory."""
    total_loss, num_correct = total_loss_and_correct(model, images, labels)
    return total_loss / len(labels), num_correct / len(labels)


@torch.no_grad()
def total_loss_and_correct(model: MLP, images: Tensor, labels: Tensor) -> tuple[float, int]:
    """Return the sum of the losses and the number of images that `model` classifies correctly."""
    total_loss, num_correct = 0.0, 0
    for image_batch, label_batch in zip(images.split(1000), labels.split(1000), strict=True):
        logits = model(image_batch.float().mul_(1 / 255))
        total_loss += float(F.cross_entropy(logits, label_batch, reduction="sum"))
        num_correct += int((logits.argmax(1) == label_batch).sum())
    return total_loss, num_correct
