"""settings_check.py: networks trained with other inputs or another activation are noticed, networks of this program are not."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mnist_fc.analysis.settings_check import notice_orientation, suggest_settings
from mnist_fc.config import Activation
from mnist_fc.data.mnist import Mnist
from mnist_fc.network import checkpoint
from mnist_fc.network.adaptation import SCALINGS, Inputs, fold_inputs
from mnist_fc.network.mlp import MLP, initialize


def trained(mnist: Mnist, inputs: Inputs, activation: Activation, hidden_sizes: tuple[int, ...] = (64,), steps: int = 400) -> MLP:
    """Return a network trained by Adam on pixels scaled in this way, with ReLU in place of its activation."""
    generator = torch.Generator().manual_seed(5)
    model = MLP(hidden_sizes, activation)
    initialize(model, "pytorch", generator)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    subtracted, divisor = SCALINGS[inputs]
    for _ in range(steps):
        batch = torch.randint(len(mnist.train_labels), (100,), generator=generator)
        images = (mnist.train_images[batch] / 255 - subtracted) / divisor
        optimizer.zero_grad()
        F.cross_entropy(model(images), mnist.train_labels[batch]).backward()
        optimizer.step()
    as_relu = MLP(hidden_sizes, "relu")
    as_relu.load_state_dict(model.state_dict())
    return as_relu


@pytest.mark.integration
@pytest.mark.parametrize(
    ("inputs", "activation"),
    [
        *(("mean-std", "relu"), ("-1..1", "relu"), ("0..255", "relu")),
        *(("0..1", "tanh"), ("-1..1", "sigmoid"), ("mean-std", "tanh")),
    ],
)
def test_other_inputs_and_activations_are_noticed(mnist: Mnist, inputs: Inputs, activation: Activation) -> None:
    suggestion = suggest_settings(trained(mnist, inputs, activation), "0..1", mnist.test_images, mnist.test_labels)
    assert suggestion
    assert (suggestion.better.inputs, suggestion.better.activation) == (inputs, activation)
    assert f"With {suggestion.better.difference(suggestion.chosen)} it reads 9" in suggestion.in_words()


def test_activations_are_named_as_the_reader_knows_them(mnist: Mnist) -> None:
    suggestion = suggest_settings(trained(mnist, "0..1", "tanh"), "0..1", mnist.test_images, mnist.test_labels)
    assert suggestion
    assert "with relu. With tanh it reads 9" in suggestion.in_words()
    assert "with ReLU. With tanh it reads 9" in suggestion.in_words({"relu": "ReLU"})


@pytest.mark.parametrize("options", [{"steps": 0}, {"steps": 30}, {"steps": 400}, {"hidden_sizes": (32, 32, 32)}], ids=str)
def test_networks_of_this_program_are_left_alone(mnist: Mnist, options: dict[str, Any]) -> None:
    assert suggest_settings(trained(mnist, "0..1", "relu", **options), "0..1", mnist.test_images, mnist.test_labels) is None


def test_shipped_network_is_left_alone_unless_read_wrongly(mnist: Mnist) -> None:
    shipped = checkpoint.load(checkpoint.SHIPPED)
    assert suggest_settings(shipped, "0..1", mnist.test_images, mnist.test_labels) is None
    suggestion = suggest_settings(shipped, "mean-std", mnist.test_images, mnist.test_labels)
    assert suggestion
    assert suggestion.better.inputs == "0..1"
    assert suggestion.in_words().startswith("It reads 7")


def test_choice_alone_is_compared_in_the_words(mnist: Mnist) -> None:
    suggestion = suggest_settings(trained(mnist, "0..1", "tanh"), "0..1", mnist.test_images, mnist.test_labels)
    assert suggestion
    assert suggestion.chosen.difference(suggestion.better) == "relu"
    assert [len(sentence.split()) <= 20 for sentence in suggestion.in_words().split(". ")] == [True, True]


def test_inverted_pixels_are_noticed(mnist: Mnist) -> None:
    inverted = fold_inputs(checkpoint.load(checkpoint.SHIPPED), "1..0")
    suggestion = suggest_settings(inverted, "0..1", mnist.test_images, mnist.test_labels)
    assert suggestion
    assert (suggestion.better.inputs, suggestion.better.activation) == ("1..0", "relu")
    assert "With inverted pixels (1 is paper) it reads 9" in suggestion.in_words()
    assert suggest_settings(inverted, "1..0", mnist.test_images, mnist.test_labels) is None


def reading(change: Callable[[Tensor], Tensor]) -> MLP:
    """Return a network that reads digits as the shipped one does if they are changed so: float32 (N, 28, 28) to the same."""
    model = checkpoint.load(checkpoint.SHIPPED)
    state = model.state_copy()
    state["fc1.weight"] = change(state["fc1.weight"].view(-1, 28, 28)).reshape(-1, 784)
    changed = MLP(model.hidden_sizes)
    changed.load_state_dict(state)
    return changed


@pytest.mark.parametrize(
    ("change", "how"),
    [
        (lambda x: x.transpose(1, 2), "their rows and columns are exchanged"),
        (lambda x: x.rot90(1, (1, 2)), "they are turned to the left"),
        (lambda x: x.rot90(-1, (1, 2)), "they are turned to the right"),
        (lambda x: x.flip(2), "they are mirrored"),
        (lambda x: x.flip(1, 2), "they are upside down"),
        (lambda x: x.flip(1), "they are upside down and mirrored"),
    ],
)
def test_networks_of_another_orientation_are_told_how_digits_must_lie(
    mnist: Mnist, change: Callable[[Tensor], Tensor], how: str
) -> None:
    model = reading(change)
    assert suggest_settings(model, "0..1", mnist.test_images, mnist.test_labels) is None
    words = notice_orientation(model, "0..1", mnist.test_images, mnist.test_labels)
    assert "% of 100 test digits, but " in words
    assert f"% if {how}. " in words
    assert all(len(sentence.split()) <= 20 for sentence in words.split(". "))
    inverted = notice_orientation(fold_inputs(model, "1..0"), "0..1", mnist.test_images, mnist.test_labels)
    assert f"% if {how}, with inverted pixels (1 is paper). " in inverted


@pytest.mark.parametrize("options", [{"steps": 0}, {"steps": 30}, {"steps": 400}], ids=str)
def test_upright_networks_are_not_turned(mnist: Mnist, options: dict[str, Any]) -> None:
    assert notice_orientation(trained(mnist, "0..1", "relu", **options), "0..1", mnist.test_images, mnist.test_labels) == ""


@pytest.mark.parametrize("count", [1, 2, 19])
def test_too_few_digits_suggest_nothing(mnist: Mnist, count: int) -> None:
    images, labels = mnist.test_images[:count], mnist.test_labels[:count]
    assert suggest_settings(checkpoint.load(checkpoint.SHIPPED), "0..255", images, labels) is None
    assert notice_orientation(reading(lambda x: x.transpose(1, 2)), "0..1", images, labels) == ""
