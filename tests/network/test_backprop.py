"""backprop.py compared with autograd in float64, through PyTorch's own layers and losses."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.network.backprop import Backprop, Dropout
from mnist_fc.network.mlp import MLP, initialize

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "leaky_relu": nn.LeakyReLU,
    "gelu": nn.GELU,
}
SIZES = (40, 24, 16, 33)


class Masked(nn.Module):
    """Multiplies by a mask that was drawn elsewhere."""

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.mask = mask

    def forward(self, values: Tensor) -> Tensor:
        return values * self.mask


def new_model(config: TrainConfig) -> MLP:
    model = MLP(config.hidden_sizes, config.activation)
    initialize(model, "pytorch", torch.Generator().manual_seed(1))
    return model


def assert_is_autograd(config: TrainConfig, model: MLP, small: Mnist, batch: Tensor, masks: list[Tensor] | None = None) -> None:
    """Compare one pass over `batch` with autograd through an nn.Sequential of the same weights, and dropout of `masks`."""
    backprop = Backprop(model, config, len(batch), torch.Generator().manual_seed(7))
    loss = backprop.run(small.train_images[batch] / 255, small.train_labels[batch])

    modules: list[nn.Module] = []
    for i, (num_in, num_out) in enumerate(itertools.pairwise(config.layer_sizes)):
        if i:
            modules += [ACTIVATIONS[config.activation](), Masked(masks[i - 1].double()) if masks else nn.Identity()]
        modules.append(nn.Linear(num_in, num_out))
    reference = nn.Sequential(*modules)
    reference.load_state_dict(dict(zip(reference.state_dict(), model.state_dict().values(), strict=True)))
    reference.double()
    logits = reference(small.train_images[batch].double() / 255)
    labels = small.train_labels[batch]
    F.cross_entropy(logits, labels, label_smoothing=config.label_smoothing).backward()

    assert loss == pytest.approx(F.cross_entropy(logits, labels).item(), abs=1e-5)
    assert backprop.take_num_correct() == int((logits.argmax(1) == labels).sum())
    for parameter, expected_of in zip(model.parameters(), reference.parameters(), strict=True):
        assert parameter.grad is not None
        assert expected_of.grad is not None
        torch.testing.assert_close(parameter.grad.double(), expected_of.grad, rtol=0, atol=1e-5)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_loss_and_gradients_are_autograds(small: Mnist, activation: str, depth: int, label_smoothing: float) -> None:
    config = TrainConfig(hidden_sizes=SIZES[:depth], activation=activation, label_smoothing=label_smoothing)  # type: ignore[arg-type]
    assert_is_autograd(config, new_model(config), small, torch.arange(64))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_dropout_gradients_are_autograds_with_the_same_masks(small: Mnist, activation: str) -> None:
    config = TrainConfig(hidden_sizes=SIZES[:3], activation=activation, dropout=0.3)  # type: ignore[arg-type]
    model = new_model(config)
    generator = torch.Generator().manual_seed(7)
    masks = [Dropout(0.3, 64, slice(None), size, generator).draw() for size in config.hidden_sizes]
    assert [sorted(mask.unique().tolist()) for mask in masks] == [[0, pytest.approx(1 / 0.7)]] * 3
    assert_is_autograd(config, model, small, torch.arange(64), masks)


@pytest.mark.parametrize("dropout", [1e-6, 0.1, 0.5])
def test_masks_keep_the_configured_share_and_the_mean(dropout: float) -> None:
    mask = Dropout(dropout, 500, slice(None), 2047, torch.Generator().manual_seed(0)).draw()
    assert mask.shape == (500, 2047)
    assert float((mask == 0).float().mean()) == pytest.approx(dropout, abs=0.002)
    assert float(mask.mean()) == pytest.approx(1, abs=0.003)


def test_dropout_drops_the_configured_share_of_units(small: Mnist) -> None:
    config = TrainConfig(hidden_sizes=(400,), activation="sigmoid", dropout=0.2)
    model = new_model(config)
    backprop = Backprop(model, config, 1, torch.Generator().manual_seed(0))
    left_out = 0
    for images, labels in zip((small.train_images[:100] / 255).split(1), small.train_labels[:100].split(1), strict=True):
        backprop.run(images, labels)
        # One image: a unit that is left out gives its weights to the next layer no gradient at all.
        gradient = model.layers[1].weight.grad
        assert gradient is not None
        left_out += int((gradient == 0).all(0).sum())
    assert left_out / (100 * 400) == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("batch_size", [1, 17, 100])
def test_batches_of_several_sizes_do_not_interfere(small: Mnist, batch_size: int) -> None:
    config = TrainConfig(hidden_sizes=(40, 24))
    model = new_model(config)
    assert_is_autograd(config, model, small, torch.arange(64))
    assert_is_autograd(config, model, small, torch.arange(100, 100 + batch_size))


def test_batches_may_be_in_any_order(small: Mnist) -> None:
    config = TrainConfig(hidden_sizes=(40,))
    assert_is_autograd(config, new_model(config), small, torch.randperm(2000, generator=torch.Generator().manual_seed(0))[:64])


@pytest.mark.parametrize("batch_size", [7, 100, 900])
def test_correct_answers_of_many_steps_are_all_counted(small: Mnist, batch_size: int) -> None:
    config = TrainConfig(hidden_sizes=(40,))
    model = new_model(config)
    backprop = Backprop(model, config, batch_size, torch.Generator())
    images, labels = small.train_images / 255, small.train_labels
    chosen = list(torch.arange(2000 - 2000 % batch_size).split(batch_size))
    for rows in chosen:
        backprop.run(images[rows], labels[rows])
    answers = model(images).argmax(1)
    assert backprop.take_num_correct() == int((answers == labels)[torch.cat(chosen)].sum()) > 0
    assert backprop.take_num_correct() == 0


def test_batch_without_a_finite_loss_has_no_correct_answers(small: Mnist) -> None:
    config = TrainConfig(hidden_sizes=(40,))
    backprop = Backprop(new_model(config), config, 64, torch.Generator())
    assert not math.isfinite(backprop.run(torch.full((64, 784), math.nan), torch.zeros(64, dtype=torch.int64)))
    assert backprop.take_num_correct() == 0
    backprop.run(small.train_images[:64] / 255, small.train_labels[:64])
    assert backprop.take_num_correct() > 0
