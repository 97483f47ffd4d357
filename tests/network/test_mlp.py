"""mlp.py: names, shapes, the forward pass and the initial weights."""

import math

import pytest
import torch
from torch import nn

from mnist_fc.config import Initialization
from mnist_fc.data.mnist import Mnist
from mnist_fc.network.mlp import MLP, initialize


def new_model(hidden_sizes: tuple[int, ...] = (32, 16), scheme: Initialization = "pytorch", seed: int = 0) -> MLP:
    model = MLP(hidden_sizes)
    initialize(model, scheme, torch.Generator().manual_seed(seed))
    return model


def test_state_dict_has_the_documented_names_shapes_and_types() -> None:
    state = new_model((500, 300)).state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == {
        "fc1.weight": (500, 784),
        "fc1.bias": (500,),
        "fc2.weight": (300, 500),
        "fc2.bias": (300,),
        "fc3.weight": (10, 300),
        "fc3.bias": (10,),
    }
    assert list(state) == ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias", "fc3.weight", "fc3.bias"]
    assert all(tensor.dtype == torch.float32 for tensor in state.values())


def test_the_blogs_networks_have_the_published_numbers_of_parameters() -> None:
    assert MLP((500,)).num_parameters == 784 * 500 + 500 + 500 * 10 + 10 == 397_510
    assert MLP((500, 500)).num_parameters == 648_010


@pytest.mark.parametrize(
    ("activation", "module"),
    [("relu", nn.ReLU()), ("tanh", nn.Tanh()), ("sigmoid", nn.Sigmoid()), ("leaky_relu", nn.LeakyReLU()), ("gelu", nn.GELU())],
)
def test_logits_are_those_of_a_plain_sequence_of_layers(small: Mnist, activation: str, module: nn.Module) -> None:
    model = MLP((32, 16), activation)  # type: ignore[arg-type]  # the five words, as parameters
    initialize(model, "pytorch", torch.Generator().manual_seed(0))
    plain = nn.Sequential(nn.Linear(784, 32), module, nn.Linear(32, 16), module, nn.Linear(16, 10))
    plain.load_state_dict(dict(zip(plain.state_dict(), model.state_dict().values(), strict=True)))
    images = small.test_images[:50] / 255
    torch.testing.assert_close(model(images), plain(images))


def test_copied_state_does_not_change_with_the_model() -> None:
    model = new_model()
    copy = model.state_copy()
    before = copy["fc1.weight"].clone()
    with torch.no_grad():
        model.layers[0].weight.add_(1)
    assert torch.equal(copy["fc1.weight"], before)


def test_pytorch_initialization_is_uniform_within_its_bound() -> None:
    for layer in new_model((500, 300)).layers:
        bound = 1 / math.sqrt(layer.in_features)
        assert layer.weight.abs().max() <= bound
        assert layer.bias.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
        assert layer.bias.count_nonzero() == len(layer.bias)


def test_keras_initialization_is_glorot_uniform_with_zero_biases() -> None:
    for layer in new_model((500, 300), "keras").layers:
        bound = math.sqrt(6 / (layer.in_features + layer.out_features))
        assert layer.weight.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
        assert layer.bias.count_nonzero() == 0


def test_the_seed_decides_the_initial_weights() -> None:
    first, again, other = (new_model(seed=seed).layers[0].weight for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
