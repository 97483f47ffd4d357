"""evaluation.py compared with one pass over all images."""

import pytest
import torch.nn.functional as F

from mnist_fc.data.mnist import Mnist
from mnist_fc.training.evaluation import evaluate
from mnist_fc.training.train_state import TrainState
from tests.support.training import quick


def test_evaluate_is_the_mean_over_all_images(small: Mnist) -> None:
    model = TrainState(quick(), small).model
    images, labels = small.train_images[:1234], small.train_labels[:1234]
    logits = model(images / 255)
    loss, accuracy = evaluate(model, images, labels)
    assert loss == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)
    assert accuracy == (logits.argmax(1) == labels).sum().item() / 1234
