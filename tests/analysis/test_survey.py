"""The survey agrees with the plain model, and with brute force over all images at once."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from mnist_fc.analysis.survey import (
    Survey,
    confusion,
    misclassified,
    most_discriminative,
    nearest_neighbours,
    survey,
    top_activating,
)
from mnist_fc.data.mnist import Mnist
from mnist_fc.network.mlp import ACTIVATIONS, MLP
from mnist_fc.training.evaluation import evaluate
from tests.support.models import trained_models

DEEP = (60, 40, 20)

Models = dict[tuple[str, int], MLP]


@pytest.fixture(scope="module")
def trained(small: Mnist) -> Models:
    """A network of each activation with one and with three hidden layers, after two epochs."""
    return trained_models(small, DEEP, (1, 3))


@torch.no_grad()
def all_activations(model: MLP, images: Tensor) -> list[np.ndarray]:
    """Return the activations of every layer for all images at once, and the logits of the output layer."""
    values = images / 255
    by_layer = []
    for layer in model.layers[:-1]:
        values = model.activation(layer(values))
        by_layer.append(values.numpy())
    return [*by_layer, model.layers[-1](values).numpy()]


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_survey_agrees_with_the_plain_model(trained: Models, mnist: Mnist, activation: str, depth: int) -> None:
    model = trained[activation, depth]
    result = survey(model, mnist.test_images)
    with torch.no_grad():
        expected = model(mnist.test_images / 255).softmax(1)
    assert result.digits.dtype == np.int64
    assert result.confidences.dtype == np.float32
    assert result.confidences == pytest.approx(expected.amax(1).numpy(), abs=1e-4)
    # Rounding may decide between two digits.
    two = expected.topk(2).values
    sure = (two[:, 0] - two[:, 1] > 1e-4).numpy()
    assert sure.mean() > 0.99
    assert (result.digits == expected.argmax(1).numpy())[sure].all()
    assert (result.digits == mnist.test_labels.numpy()).mean() == pytest.approx(
        evaluate(model, mnist.test_images, mnist.test_labels)[1], abs=5e-4
    )


@pytest.mark.parametrize("count", [1, 999, 1000, 1001, 2500])
def test_readings_do_not_depend_on_the_batch(trained: Models, mnist: Mnist, count: int) -> None:
    model = trained["relu", 3]
    whole, part = survey(model, mnist.test_images), survey(model, mnist.test_images[:count])
    assert part.confidences == pytest.approx(whole.confidences[:count], abs=1e-4)
    assert len(part.digits) == count


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_dead_units_never_change_their_output(trained: Models, mnist: Mnist, activation: str) -> None:
    images = mnist.test_images[:2500]
    model = trained[activation, 3]
    spans = [np.ptp(values, axis=0) for values in all_activations(model, images)[:-1]]
    # Rounding may decide whether a unit counts as dead.
    for num_dead, span in zip(survey(model, images).num_dead, spans, strict=True):
        assert (span < 0.99e-3).sum() <= num_dead <= (span < 1.01e-3).sum()


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "gelu"])
def test_unit_that_is_off_or_saturated_is_dead(trained: Models, mnist: Mnist, activation: str, layer: int) -> None:
    model = copy.deepcopy(trained[activation, 3])
    before = survey(model, mnist.test_images).num_dead
    spans = np.ptp(all_activations(model, mnist.test_images)[layer], axis=0)
    model.layers[layer].bias.data[int(spans.argmax())] = -1e4
    after = survey(model, mnist.test_images).num_dead
    assert after[layer] == before[layer] + 1
    assert after[:layer] == before[:layer]


@pytest.mark.parametrize(("span", "num_dead"), [(0.9e-3, 1), (1.1e-3, 0)])
def test_unit_that_hardly_changes_is_dead(trained: Models, mnist: Mnist, span: float, num_dead: int) -> None:
    model = copy.deepcopy(trained["relu", 1])
    before = survey(model, mnist.test_images).num_dead[0]
    spans = np.ptp(all_activations(model, mnist.test_images)[0], axis=0)
    widest = int(spans.argmax())
    for parameter in (model.layers[0].weight, model.layers[0].bias):
        parameter.data[widest] *= span / spans[widest]
    assert survey(model, mnist.test_images).num_dead[0] == before + num_dead


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_unit_active_for_one_image_is_not_dead(trained: Models, mnist: Mnist, activation: str) -> None:
    model = trained[activation, 1]
    images = torch.zeros(2500, 784, dtype=torch.uint8)
    assert survey(model, images).num_dead == DEEP[:1]
    images[-1] = mnist.test_images[0]
    span = np.ptp(all_activations(model, images)[0], axis=0)
    (num_dead,) = survey(model, images).num_dead
    assert (span < 0.99e-3).sum() <= num_dead <= (span < 1.01e-3).sum() < DEEP[0] / 2


def test_confusion_counts_every_image_once(trained: Models, mnist: Mnist) -> None:
    model = trained["relu", 1]
    result = survey(model, mnist.test_images)
    table = confusion(mnist.test_labels, result.digits)
    assert table.shape == (10, 10)
    assert table.dtype == np.int64
    assert table.sum(1).tolist() == torch.bincount(mnist.test_labels).tolist()
    assert table.sum(0).tolist() == np.bincount(result.digits, minlength=10).tolist()
    assert np.trace(table) / 10_000 == pytest.approx(evaluate(model, mnist.test_images, mnist.test_labels)[1], abs=5e-4)
    assert table[4, 9] == ((mnist.test_labels.numpy() == 4) & (result.digits == 9)).sum() > 0


def test_confusion_always_has_ten_rows_and_columns() -> None:
    table = confusion(torch.tensor([1, 1]), np.array([7, 1]))
    assert table.shape == (10, 10)
    assert table[1, 7] == table[1, 1] == 1
    assert table.sum() == 2


def test_misclassified_images_come_most_confident_first(trained: Models, mnist: Mnist) -> None:
    result = survey(trained["relu", 3], mnist.test_images)
    wrong = misclassified(mnist.test_labels, result)
    assert sorted(wrong) == np.flatnonzero(result.digits != mnist.test_labels.numpy()).tolist()
    assert len(wrong) > 100
    assert (np.diff(result.confidences[wrong]) <= 0).all()


def test_equally_confident_misreadings_keep_their_order() -> None:
    result = Survey(np.array([1, 2, 3]), np.array([0.5, 0.5, 0.9], np.float32), ())
    assert misclassified(torch.tensor([0, 0, 0]), result).tolist() == [2, 0, 1]
    assert misclassified(torch.tensor([1, 2, 3]), result).tolist() == []


@pytest.mark.parametrize("layer", [1, 2, 3, 4])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_top_activating_images_are_those_of_brute_force(trained: Models, mnist: Mnist, activation: str, layer: int) -> None:
    model = trained[activation, 3]
    activations = all_activations(model, mnist.test_images)[layer - 1]
    for index in (0, 7):
        indices, values = top_activating(model, mnist.test_images, layer, index, 25)
        assert len(set(indices.tolist())) == 25
        assert values == pytest.approx(activations[indices, index], abs=1e-4)
        assert values == pytest.approx(np.sort(activations[:, index])[::-1][:25], abs=1e-4)
        assert (np.diff(values) <= 0).all()


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("depth", [1, 3])
def test_nearest_neighbours_are_those_of_brute_force(trained: Models, mnist: Mnist, activation: str, depth: int) -> None:
    model = trained[activation, depth]
    features = all_activations(model, mnist.test_images)[-2]
    distances = np.linalg.norm(features[3000:] - features[2], axis=1)
    image = (mnist.test_images[2] / 255).numpy().reshape(28, 28)
    indices, values = nearest_neighbours(model, image, mnist.test_images[3000:], 25)
    assert len(set(indices.tolist())) == 25
    assert values == pytest.approx(distances[indices], abs=1e-4)
    assert values == pytest.approx(np.sort(distances)[:25], abs=1e-4)
    assert (np.diff(values) >= 0).all()


def test_image_is_its_own_nearest_neighbour(trained: Models, mnist: Mnist) -> None:
    for index in (0, 1500, 9999):
        image = (mnist.test_images[index] / 255).numpy().reshape(28, 28)
        indices, values = nearest_neighbours(trained["tanh", 3], image, mnist.test_images, 3)
        assert indices[0] == index
        assert values[0] < 1e-4


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_most_discriminative_units_follow_the_formula(trained: Models, mnist: Mnist, activation: str, depth: int) -> None:
    model = trained[activation, depth]
    images = mnist.test_images[:2500]
    deviations = all_activations(model, images)[0].astype(np.float64).std(0)
    scores = deviations * np.linalg.norm(model.state_dict()["fc2.weight"].numpy(), axis=0)
    indices = most_discriminative(model, images, 12)
    assert len(set(indices.tolist())) == 12
    assert scores[indices] == pytest.approx(np.sort(scores)[::-1][:12], rel=1e-4)
    assert sorted(most_discriminative(model, images, 1000)) == list(range(DEEP[0]))


def test_unused_or_constant_units_are_least_discriminative(trained: Models, small: Mnist) -> None:
    model = copy.deepcopy(trained["sigmoid", 3])
    loud, stuck = most_discriminative(model, small.test_images, 2)
    model.layers[1].weight.data[:, loud] = 0
    model.layers[0].bias.data[stuck] = 1e4
    assert set(most_discriminative(model, small.test_images, DEEP[0])[-2:]) == {loud, stuck}


@pytest.mark.parametrize("value", [1e30, float("inf"), float("nan")])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_diverged_network_raises_nothing(trained: Models, small: Mnist, activation: str, value: float) -> None:
    model = copy.deepcopy(trained[activation, 3])
    for layer in model.layers:
        layer.weight.data.mul_(value)
    image = (small.test_images[0] / 255).numpy().reshape(28, 28)
    result = survey(model, small.test_images)
    assert np.isfinite(result.confidences).all()
    assert ((result.digits >= 0) & (result.digits <= 9)).all()
    assert len(result.num_dead) == 3
    assert confusion(small.test_labels, result.digits).sum() == 500
    assert len(misclassified(small.test_labels, result)) <= 500
    assert len(top_activating(model, small.test_images, 2, 0, 9)[0]) == 9
    assert len(nearest_neighbours(model, image, small.test_images, 9)[0]) == 9
    assert len(most_discriminative(model, small.test_images, 9)) == 9


def test_values_that_are_not_numbers_rank_last(trained: Models, small: Mnist) -> None:
    model = copy.deepcopy(trained["relu", 3])
    assert not survey(model, small.test_images).overflows
    model.layers[2].weight.data[0] = float("nan")
    result = survey(model, small.test_images)
    assert (result.confidences == 0).all()
    assert result.overflows
    model = copy.deepcopy(trained["relu", 1])
    model.layers[0].weight.data[5] = float("nan")
    assert most_discriminative(model, small.test_images, DEEP[0])[-1] == 5


def test_model_and_images_stay_unchanged(trained: Models, small: Mnist) -> None:
    model = trained["gelu", 3]
    before, images = model.state_copy(), small.test_images.clone()
    survey(model, images)
    most_discriminative(model, images, 3)
    top_activating(model, images, 2, 0, 3)
    nearest_neighbours(model, np.ones((28, 28), np.float32), images, 3)
    assert images.equal(small.test_images)
    assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())
