"""Contributions add up to the logits and agree with autograd, and all values are those of the forward pass."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from mnist_fc.analysis.attribution import attribute, forward, layer_outputs, unit
from mnist_fc.data.mnist import Mnist
from mnist_fc.network import checkpoint
from mnist_fc.network.mlp import ACTIVATIONS, MLP, initialize
from tests.support.models import trained_models

EXACT = ("relu", "leaky_relu")
SMOOTH = ("tanh", "sigmoid", "gelu")
SIZES = (60, 40, 30, 20)
ALL_DIGITS = range(10)
NUM_IMAGES = 6

Models = dict[tuple[str, int], MLP]


@pytest.fixture(scope="module")
def trained(small: Mnist) -> Models:
    """A network of each activation and depth, after two epochs."""
    return trained_models(small, SIZES, range(1, 5))


@pytest.fixture(scope="module")
def images(mnist: Mnist) -> list[np.ndarray]:
    """Test images as a network reads them."""
    return list((mnist.test_images[:NUM_IMAGES] / 255).numpy().reshape(-1, 28, 28))


def untrained(activation: str, depth: int) -> MLP:
    model = MLP(SIZES[:depth], activation)  # type: ignore[arg-type]
    initialize(model, "pytorch", torch.Generator().manual_seed(0))
    return model


def logits_and_gradients(model: MLP, points: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits, (N, 10), at points, (N, 784), and their gradients, (10, N, 784), by autograd in float64."""
    points = points.double().requires_grad_()
    logits = copy.deepcopy(model).double()(points)
    gradients = [torch.autograd.grad(logits[:, digit].sum(), points, retain_graph=True)[0] for digit in ALL_DIGITS]
    return logits.detach(), torch.stack(gradients)


def flat(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image).reshape(1, -1)


# Exact contributions: ReLU and leaky ReLU


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("activation", EXACT)
def test_pixels_and_biases_add_up_to_the_logits(trained: Models, images: list[np.ndarray], activation: str, depth: int) -> None:
    for model in (trained[activation, depth], untrained(activation, depth)):
        for image in images:
            attribution = attribute(model, image, ALL_DIGITS)
            assert attribution.is_exact
            assert attribution.logits == pytest.approx(model(flat(image))[0].detach().numpy(), abs=1e-6)
            assert attribution.sums == pytest.approx(attribution.pixels.reshape(10, -1).sum(1) + attribution.base, abs=1e-9)
            assert np.abs(attribution.gaps).max() < 1e-4


def test_contributions_in_the_shipped_network_add_up(images: list[np.ndarray]) -> None:
    model = checkpoint.load(checkpoint.SHIPPED)
    for image in images:
        assert np.abs(attribute(model, image, ALL_DIGITS).gaps).max() < 1e-4


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("activation", EXACT)
def test_pixel_contributes_its_ink_times_the_gradient(
    trained: Models, images: list[np.ndarray], activation: str, depth: int
) -> None:
    model = trained[activation, depth]
    for image in images:
        attribution = attribute(model, image, ALL_DIGITS)
        logits, gradients = logits_and_gradients(model, flat(image))
        contributions = gradients[:, 0] * flat(image)
        assert attribution.pixels.reshape(10, -1) == pytest.approx(contributions.numpy(), abs=1e-9)
        assert attribution.base == pytest.approx((logits[0] - contributions.sum(1)).numpy(), abs=1e-9)


@pytest.mark.parametrize("activation", EXACT)
def test_contributions_agree_with_finite_differences(trained: Models, images: list[np.ndarray], activation: str) -> None:
    model = copy.deepcopy(trained[activation, 3]).double()
    row, step = flat(images[0]).double(), 1e-6
    inked = row[0].nonzero()[:, 0]
    steps = torch.eye(784, dtype=torch.float64)[inked] * step
    more, less = row + steps, row - steps

    def open_units(points: Tensor) -> Tensor:
        opened = []
        for layer in model.layers[:-1]:
            sums = layer(points)
            opened.append(sums > 0)
            points = model.activation(sums)
        return torch.cat(opened, 1)

    with torch.no_grad():
        same_piece = (open_units(more) == open_units(less)).all(1)
        slopes = (model(more) - model(less)).T / (2 * step)
    assert same_piece.float().mean() > 0.9
    pixels = torch.from_numpy(attribute(trained[activation, 3], images[0], ALL_DIGITS).pixels).reshape(10, 784)[:, inked]
    expected = slopes * row[:, inked]
    torch.testing.assert_close(pixels[:, same_piece], expected[:, same_piece], rtol=0, atol=1e-6)


@pytest.mark.parametrize("activation", EXACT)
def test_base_is_zero_without_biases(images: list[np.ndarray], activation: str) -> None:
    model = untrained(activation, 3)
    for layer in model.layers:
        layer.bias.data.zero_()
    for image in images:
        assert (attribute(model, image, ALL_DIGITS).base == 0).all()


def test_unit_whose_sum_is_zero_passes_no_gradient() -> None:
    model = untrained("relu", 1)
    model.layers[0].bias.data.zero_()
    model.layers[0].weight.data.zero_()[:, :2] = torch.tensor([1.0, -1.0])
    image = np.ones((28, 28), np.float32)
    attribution = attribute(model, image, ALL_DIGITS)
    assert (attribution.pixels == 0).all()
    assert attribution.base == pytest.approx(model.layers[1].bias.detach().numpy(), abs=1e-12)


# Integrated gradients: tanh, sigmoid and GELU


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("activation", SMOOTH)
def test_integrated_gradients_add_up_to_the_logits(
    trained: Models, images: list[np.ndarray], activation: str, depth: int
) -> None:
    for model in (trained[activation, depth], untrained(activation, depth)):
        blank = model(torch.zeros(1, 784))[0].detach().numpy()
        for image in images:
            attribution = attribute(model, image, ALL_DIGITS)
            assert not attribution.is_exact
            assert attribution.logits == pytest.approx(model(flat(image))[0].detach().numpy(), abs=1e-6)
            assert attribution.base == pytest.approx(blank, abs=1e-6)
            assert np.abs(attribution.gaps).max() <= 1e-3


@pytest.mark.parametrize("activation", SMOOTH)
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_integrated_gradients_add_up_with_large_weights(
    trained: Models, images: list[np.ndarray], activation: str, depth: int
) -> None:
    model = copy.deepcopy(trained[activation, depth])
    for parameter in model.parameters():
        parameter.data.mul_(3)
    for image in images:
        assert np.abs(attribute(model, image, ALL_DIGITS).gaps).max() <= 1e-3


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("activation", SMOOTH)
def test_integrated_gradients_are_the_mean_along_the_line(
    trained: Models, images: list[np.ndarray], activation: str, depth: int
) -> None:
    model = trained[activation, depth]
    row = flat(images[0]).double()
    _, gradients = logits_and_gradients(model, (torch.arange(1000)[:, None] + 0.5) / 1000 * row)
    expected = (gradients.mean(1) * row).numpy()
    assert attribute(model, images[0], ALL_DIGITS).pixels.reshape(10, -1) == pytest.approx(expected, abs=2e-5)


# Every activation


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_blank_paper_has_only_a_base(trained: Models, activation: str) -> None:
    attribution = attribute(trained[activation, 2], np.zeros((28, 28), np.float32), ALL_DIGITS)
    assert (attribution.pixels == 0).all()
    assert attribution.base == pytest.approx(attribution.logits, abs=1e-4)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_paper_contributes_nothing(trained: Models, images: list[np.ndarray], activation: str) -> None:
    pixels = attribute(trained[activation, 2], images[0], ALL_DIGITS).pixels
    assert (pixels[:, images[0] == 0] == 0).all()
    assert (pixels[:, images[0] > 0] != 0).any()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_difference_of_two_digits_adds_up_too(trained: Models, images: list[np.ndarray], activation: str) -> None:
    model = trained[activation, 3]
    for image in images:
        attribution = attribute(model, image, [7, 3])
        assert attribution.pixels.shape == (2, 28, 28)
        logits = model(flat(image))[0].detach().numpy()
        difference = np.diff(attribution.pixels, axis=0).sum() + np.diff(attribution.base)[0]
        assert difference == pytest.approx(logits[3] - logits[7], abs=2e-3 if activation in SMOOTH else 1e-4)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_contributions_do_not_depend_on_other_digits(trained: Models, images: list[np.ndarray], activation: str) -> None:
    together = attribute(trained[activation, 2], images[1], ALL_DIGITS)
    for digits in ([4], [9, 0]):
        asked = attribute(trained[activation, 2], images[1], digits)
        assert asked.pixels == pytest.approx(together.pixels[digits], abs=1e-6)
        assert asked.base == pytest.approx(together.base[digits], abs=1e-6)


# The forward pass


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_layer_outputs_are_those_of_the_model(trained: Models, small: Mnist, activation: str, depth: int) -> None:
    model = trained[activation, depth]
    before = model.state_copy()
    inputs = small.test_images / 255
    layers = list(layer_outputs(model, inputs))
    assert [sums.shape for sums, _ in layers] == [(500, size) for size in (*SIZES[:depth], 10)]
    for sums, activations in layers[:-1]:
        assert activations.equal(model.activation(sums))
    sums, logits = layers[-1]
    assert sums.equal(logits)
    with torch.no_grad():
        torch.testing.assert_close(layers[0][0], model.layers[0](inputs), rtol=0, atol=1e-4)
        torch.testing.assert_close(logits, model(inputs), rtol=0, atol=1e-4)
    assert inputs.equal(small.test_images / 255)
    assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activity_of_one_image_is_that_in_a_batch(trained: Models, images: list[np.ndarray], activation: str) -> None:
    model = trained[activation, 3]
    for image in images:
        activity = forward(model, image)
        for layer, (sums, activations) in zip(activity, layer_outputs(model, flat(image)), strict=True):
            assert layer.sums.dtype == layer.activations.dtype == np.float32
            assert layer.sums == pytest.approx(sums[0].numpy(), abs=1e-5)
            assert layer.activations == pytest.approx(activations[0].numpy(), abs=1e-5)


@pytest.mark.parametrize("depth", [1, 4])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_arithmetic_of_units_is_that_of_the_forward_pass(
    trained: Models, images: list[np.ndarray], activation: str, depth: int
) -> None:
    model = trained[activation, depth]
    image = images[2]
    inputs = image.ravel()
    for number, layer in enumerate(forward(model, image), start=1):
        for index in (0, 3, len(layer.sums) - 1):
            one = unit(model, image, number, index)
            assert one.inputs == pytest.approx(inputs, abs=1e-6)
            assert (one.weights == model.state_dict()[f"fc{number}.weight"][index].numpy()).all()
            assert one.terms == pytest.approx(one.weights * one.inputs)
            assert one.terms.sum() + one.bias == pytest.approx(one.sum, abs=1e-5)
            assert one.sum == pytest.approx(layer.sums[index], abs=1e-5)
            assert one.activation == pytest.approx(layer.activations[index], abs=1e-5)
        inputs = layer.activations


def test_strongest_inputs_have_the_largest_terms(trained: Models, images: list[np.ndarray]) -> None:
    one = unit(trained["relu", 2], images[0], 1, 5)
    strongest = one.strongest(10)
    assert len(strongest) == len(set(strongest)) == 10
    strengths = np.abs(one.terms)
    assert strengths[strongest].tolist() == sorted(strengths, reverse=True)[:10]
    assert sorted(one.strongest(10_000)) == list(range(784))


def test_results_share_no_memory_with_the_model(trained: Models, images: list[np.ndarray]) -> None:
    model = trained["relu", 2]
    before, image = model.state_copy(), images[0].copy()
    unit(model, image, 2, 0).weights[:] = 9
    unit(model, image, 1, 0).inputs[:] = 9
    forward(model, image)[-1].sums[:] = 9
    attribute(model, image, [0]).pixels[:] = 9
    assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())
    assert (image == images[0]).all()


@pytest.mark.parametrize("value", [1e30, float("inf"), float("nan")])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_network_that_overflows_raises_nothing(images: list[np.ndarray], activation: str, value: float) -> None:
    model = untrained(activation, 3)
    for layer in model.layers:
        layer.weight.data.mul_(value)
    forward(model, images[0])
    attribution = attribute(model, images[0], [1, 2])
    assert attribution.sums.shape == attribution.gaps.shape == (2,)
    for number in range(1, 5):
        assert len(unit(model, images[0], number, 0).strongest(5)) == 5


@pytest.mark.parametrize("activation", SMOOTH)
def test_infinite_logits_of_blank_paper_raise_nothing(images: list[np.ndarray], activation: str) -> None:
    model = untrained(activation, 1)
    model.layers[0].bias.data.fill_(1)
    model.layers[1].weight.data.fill_(3e38)
    attribution = attribute(model, images[0], [1, 2])
    assert (attribution.logits == np.inf).all()
    assert np.isnan(attribution.gaps).all()
