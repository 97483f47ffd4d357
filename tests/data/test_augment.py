"""augment.py: digits are distorted within the limits and stay digits."""

import pytest
import torch
from torch import Tensor

from mnist_fc.config import Augmentation
from mnist_fc.data.augment import ELASTIC_STRENGTH, MAX_SCALE, MAX_SHIFT, _elastic_noise, _spread, augment
from mnist_fc.data.mnist import Mnist

KINDS: tuple[Augmentation, ...] = ("shift", "affine", "elastic")


def augmented(images: Tensor, kind: Augmentation, seed: int = 0) -> Tensor:
    before = images.clone()
    changed = augment(images, kind, torch.Generator().manual_seed(seed))
    assert torch.equal(images, before)
    return changed


def centers_of_mass(images: Tensor) -> Tensor:
    """(N, 2): x and y in pixels."""
    square = images.view(-1, 28, 28)
    places = torch.arange(28.0)
    return torch.stack([square.sum(1) @ places, square.sum(2) @ places], 1) / images.sum(1, keepdim=True)


@pytest.fixture(scope="module")
def images(small: Mnist) -> Tensor:
    return small.train_images[:1000] / 255


@pytest.fixture(scope="module")
def field() -> Tensor:
    """Elastic displacements of many images, (4000, 28, 28, 2)."""
    fields = _elastic_noise(4000, torch.Generator().manual_seed(0)) @ _spread()
    return fields.view(2, -1, 28, 28).permute(1, 2, 3, 0)


def test_none_changes_nothing_and_draws_nothing(images: Tensor) -> None:
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    assert augment(images, "none", generator) is images
    assert torch.equal(generator.get_state(), before)


@pytest.mark.parametrize("kind", KINDS)
def test_every_image_is_changed_in_its_own_way(images: Tensor, kind: Augmentation) -> None:
    same_digit = images[:1].repeat(100, 1)
    changed = augmented(same_digit, kind)
    assert len(changed.unique(dim=0)) == 100


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_stay_between_0_and_1(images: Tensor, kind: Augmentation) -> None:
    changed = augmented(images, kind)
    assert changed.min() >= 0
    assert changed.max() <= 1 + 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_from_outside_are_0(images: Tensor, kind: Augmentation) -> None:
    assert augmented(torch.zeros(50, 784), kind).count_nonzero() == 0
    corners = augmented(images, kind).view(-1, 28, 28)[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.mean() < 0.001


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_changes_images_in_the_same_way(images: Tensor, kind: Augmentation) -> None:
    assert torch.equal(augmented(images, kind, seed=1), augmented(images, kind, seed=1))
    assert not torch.equal(augmented(images, kind, seed=1), augmented(images, kind, seed=2))


def test_a_shift_reaches_its_limits_and_keeps_the_ink(images: Tensor) -> None:
    changed = augmented(images, "shift")
    moved = centers_of_mass(changed) - centers_of_mass(images)
    assert moved.abs().max() <= MAX_SHIFT + 0.01
    assert moved.amax() > 0.95 * MAX_SHIFT
    assert moved.amin() < -0.95 * MAX_SHIFT
    torch.testing.assert_close(changed.sum(1), images.sum(1), rtol=0.05, atol=0)


def test_an_affine_change_stays_within_its_limits(images: Tensor) -> None:
    changed = augmented(images, "affine")
    ink = changed.sum(1) / images.sum(1)
    largest = 1 / (1 - MAX_SCALE) ** 2
    assert ink.max() <= largest * 1.05
    assert ink.min() >= 0.9 / (1 + MAX_SCALE) ** 2
    assert ink.max() > 1.1
    assert ink.min() < 0.9
    assert (centers_of_mass(changed) - centers_of_mass(images)).abs().max() < MAX_SHIFT + 1.5


def test_an_affine_change_barely_resizes_a_centered_disc() -> None:
    y, x = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    disc = ((x - 13.5) ** 2 + (y - 13.5) ** 2 <= 36).float().view(1, -1).repeat(200, 1)
    changed = augmented(disc, "affine").view(-1, 28, 28)
    for axis in (1, 2):
        widths = (changed > 0.5).any(axis).sum(1)
        assert widths.min() >= 12 * (1 - 0.25)
        assert widths.max() <= 12 * (1 + 0.35)


def test_an_elastic_field_is_standardized_in_every_pixel(field: Tensor) -> None:
    assert field.shape == (4000, 28, 28, 2)
    torch.testing.assert_close(field.mean(0), torch.zeros(28, 28, 2), rtol=0, atol=0.06)
    torch.testing.assert_close(field.std(0), torch.ones(28, 28, 2), rtol=0, atol=0.06)


@pytest.mark.parametrize("axis", [1, 2])
def test_an_elastic_field_moves_only_neighbours_alike(field: Tensor, axis: int) -> None:
    def squared_difference(distance: int) -> Tensor:
        """Means over the images: 0 of pixels that move as one, 2 of those that have nothing to do with each other."""
        near, far = field.narrow(axis, 0, 28 - distance), field.narrow(axis, distance, 28 - distance)
        return (near - far).square().mean(0)

    assert squared_difference(1).max() < 0.1
    assert squared_difference(1).mean() < squared_difference(4).mean() < squared_difference(12).mean()
    assert squared_difference(20).min() > 1.8


def test_an_elastic_field_is_independent_between_images_and_axes(field: Tensor) -> None:
    none = torch.zeros(28, 28)
    torch.testing.assert_close((field[..., 0] * field[..., 1]).mean(0), none, rtol=0, atol=0.06)
    torch.testing.assert_close((field[1:] * field[:-1]).mean(0), none.unsqueeze(2).expand(28, 28, 2), rtol=0, atol=0.06)


def test_an_elastic_change_bends_every_image(images: Tensor) -> None:
    elastic, affine = augmented(images, "elastic"), augmented(images, "affine")
    assert (elastic - affine).abs().amax(1).min() > 0.2
    # Both move it to the same place: on the whole they are more like each other than like the image.
    assert (elastic - affine).abs().mean() < (affine - images).abs().mean()


@pytest.mark.parametrize("axis", [0, 1])
def test_an_elastic_change_displaces_pixels_by_its_strength(axis: int) -> None:
    ramp = torch.arange(28.0).view(28, 1).expand(28, 28) if axis == 0 else torch.arange(28.0).expand(28, 28)
    ramps = ramp.reshape(1, 784).repeat(2000, 1) / 28
    moved = (augmented(ramps, "elastic") - augmented(ramps, "affine")).view(-1, 28, 28)[:, 10:18, 10:18] * 28
    assert float(moved.mean()) == pytest.approx(0, abs=0.05)
    assert float(moved.std()) == pytest.approx(ELASTIC_STRENGTH, rel=0.05)
