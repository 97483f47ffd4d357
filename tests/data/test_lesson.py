"""lesson.py: how often an epoch has each digit, what else it has, and the file that a lesson is kept in."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mnist_fc.data.errors import DataError
from mnist_fc.data.lesson import IMAGES_PER_EPOCH, MAX_REPEATS, Lesson
from mnist_fc.data.mnist import Mnist
from tests.support.damage import errors_of_damaged
from tests.support.data import WritesAFile

NAME = "lesson.npz"

WEIGHTS = {
    "fc1.weight": np.arange(784 * 3, dtype=np.float32).reshape(3, 784),
    "fc1.bias": np.array([1.5, -2.0, 3.0], np.float32),
}


def lesson(count: int, **options: Any) -> Lesson:
    random_ = np.random.default_rng(count)
    images = random_.integers(1, 256, (count, 784), np.uint8)
    return Lesson(images, np.arange(count, dtype=np.int64) % 10, **{"start": None, **options})


def arrays_of(taught: Lesson) -> dict[str, Any]:
    with np.load(io.BytesIO(taught.to_npz())) as file:
        return dict(file)


def npz(arrays: dict[str, Any]) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


# The images of an epoch


@pytest.mark.parametrize(
    ("count", "repeats", "num_rehearsed"),
    [(1, 200, 20_280), (10, 200, 18_480), (60, 68, 16_400), (500, 8, 16_480)],
)
def test_a_fifth_of_an_epoch_is_the_digits_taught(count: int, repeats: int, num_rehearsed: int) -> None:
    taught = lesson(count)
    assert (taught.repeats, taught.num_rehearsed, taught.num_images(60_000)) == (repeats, num_rehearsed, IMAGES_PER_EPOCH)


@pytest.mark.parametrize(("count", "repeats"), [(1, 20_480), (10, 2048), (60, 341), (500, 41)])
def test_without_rehearsal_an_epoch_is_the_digits_alone(count: int, repeats: int) -> None:
    taught = lesson(count, rehearses=False)
    assert (taught.repeats, taught.num_rehearsed) == (repeats, 0)
    assert taught.num_images(60_000) == repeats * count
    assert taught.num_images(60_000) == pytest.approx(IMAGES_PER_EPOCH, abs=count / 2)


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.999])
@pytest.mark.parametrize("count", [1, 10, 60, 500])
def test_digits_have_the_share_unless_they_are_few(count: int, share: float) -> None:
    taught = lesson(count, share=share)
    assert 1 <= taught.repeats <= MAX_REPEATS
    assert taught.num_rehearsed >= 0
    if 1 < taught.repeats < MAX_REPEATS:
        assert taught.repeats * count / IMAGES_PER_EPOCH == pytest.approx(share, abs=count / IMAGES_PER_EPOCH)


# The data to train on


@pytest.mark.parametrize("rehearses", [True, False])
@pytest.mark.parametrize("count", [1, 10, 60, 500])
def test_data_is_images_of_mnist_and_the_digits(mnist: Mnist, count: int, rehearses: bool) -> None:
    taught = lesson(count, rehearses=rehearses)
    data = taught.data(mnist, seed=0)
    assert len(data.train_labels) == len(data.train_images) == taught.num_rehearsed + count
    assert (data.num_added, data.added_repeats) == (count, taught.repeats)
    assert np.array_equal(data.train_images[-count:].numpy(), taught.images)
    assert np.array_equal(data.train_labels[-count:].numpy(), taught.labels)


def test_digits_validate_and_mnist_tests(mnist: Mnist) -> None:
    taught = lesson(10)
    data = taught.data(mnist, seed=0)
    assert data.validation
    images, labels = data.validation
    assert np.array_equal(images.numpy(), taught.images)
    assert np.array_equal(labels.numpy(), taught.labels)
    assert data.test_images is mnist.test_images
    assert data.test_labels is mnist.test_labels


def test_rehearsed_images_are_mnists_with_their_labels(small: Mnist) -> None:
    known = {image.tobytes(): label for image, label in zip(small.train_images.numpy(), small.train_labels.tolist(), strict=True)}
    data = lesson(500, share=0.95).data(small, seed=3)
    rehearsed = data.train_images[:-500].numpy()
    assert len(rehearsed) == 980
    assert len({image.tobytes() for image in rehearsed}) == len(rehearsed)
    assert [known[image.tobytes()] for image in rehearsed] == data.train_labels[:-500].tolist()


def test_the_seed_decides_what_is_rehearsed(mnist: Mnist) -> None:
    first, again, other = (lesson(10).data(mnist, seed).train_images for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_little_data_is_rehearsed_whole(small: Mnist) -> None:
    data = lesson(10).data(small, seed=0)
    assert len(data.train_labels) == 2000 + 10
    assert sorted(data.train_labels[:-10].tolist()) == sorted(small.train_labels.tolist())


def test_changing_the_data_leaves_the_lesson(mnist: Mnist) -> None:
    taught = lesson(10)
    before = taught.images.copy()
    data = taught.data(mnist, seed=0)
    assert data.validation
    data.validation[0].zero_()
    data.train_images[-10:].zero_()
    assert np.array_equal(taught.images, before)


def test_only_keeps_the_chosen_digits() -> None:
    whole = lesson(10, start=WEIGHTS, share=0.3, parent="mine", rehearses=False)
    chosen = np.arange(10) % 3 == 0
    part = whole.only(chosen)
    assert part.labels.tolist() == [0, 3, 6, 9]
    assert np.array_equal(part.images, whole.images[chosen])
    assert (part.start, part.share, part.parent, part.rehearses) == (WEIGHTS, 0.3, "mine", False)


# The file


@pytest.mark.parametrize("start", [None, WEIGHTS], ids=["from scratch", "from weights"])
@pytest.mark.parametrize("rehearses", [True, False])
def test_a_lesson_is_read_as_it_was_written(start: dict[str, np.ndarray] | None, rehearses: bool) -> None:
    others = np.full((2, 784), 7, np.uint8)
    whole = lesson(12, start=start, rehearses=rehearses, share=0.15, parent="Größe 1", not_digits=others, num_known=5)
    found = Lesson.from_npz(whole.to_npz(), NAME)
    assert np.array_equal(found.images, whole.images)
    assert np.array_equal(found.labels, whole.labels)
    assert np.array_equal(found.not_digits, others)
    assert (found.rehearses, found.share, found.parent, found.num_known) == (rehearses, 0.15, "Größe 1", 5)
    assert (found.start or {}).keys() == (start or {}).keys()
    assert all(np.array_equal(array, (start or {})[name]) for name, array in (found.start or {}).items())
    assert (found.start is None) == (start is None)


@pytest.mark.parametrize("name", ["images", "labels", "rehearses", "share", "parent", "not_digits", "num_known"])
def test_a_file_without_one_of_its_arrays_is_rejected(name: str) -> None:
    arrays = arrays_of(lesson(3))
    del arrays[name]
    with pytest.raises(DataError, match=rf"lesson\.npz is not a lesson: .*{name}"):
        Lesson.from_npz(npz(arrays), NAME)


@pytest.mark.parametrize(
    ("name", "array", "reason"),
    [
        ("images", np.zeros((3, 28, 28), np.uint8), "the digits are uint8 (3, 28, 28); they must be uint8 (3, 784)"),
        ("images", np.zeros((3, 784), np.float32), "the digits are float32 (3, 784)"),
        ("images", np.zeros((2, 784), np.uint8), "the digits are uint8 (2, 784)"),
        ("images", np.array(1), "the digits are int64 ()"),
        ("labels", np.array([0, 1, 10]), "a label of the lesson is not a digit from 0 to 9"),
        ("labels", np.array([-1, 1, 2]), "a label of the lesson is not a digit from 0 to 9"),
        ("labels", np.zeros(0, np.int64), "the lesson has 0 digits"),
        ("labels", np.zeros(501, np.int64), "the lesson has 501 digits"),
        ("labels", np.array([[0], [1], [2]]), "the labels are int64 (3, 1); they must be int64 (3,)"),
        ("labels", np.array(["0", "1", "two"]), ""),
        ("labels", np.array(3), ""),
        ("share", np.array(1.0), "the share of the digits taught is 1.0; it must be between 0 and 1"),
        ("share", np.array(np.nan), "the share of the digits taught is nan"),
        ("share", np.array([0.1, 0.2]), ""),
        ("rehearses", np.array([True, False]), ""),
        ("num_known", np.array([1, 2]), ""),
        ("not_digits", np.zeros((2, 28, 28), np.uint8), "not_digits is uint8 (2, 28, 28)"),
        ("not_digits", np.zeros((501, 784), np.uint8), "not_digits is uint8 (501, 784)"),
        ("not_digits", np.zeros(784, np.uint8), "not_digits is uint8 (784,)"),
        ("start/fc1.bias", np.array([{}], object), ""),
    ],
)
def test_a_wrong_array_is_rejected_with_the_reason(name: str, array: np.ndarray, reason: str) -> None:
    with pytest.raises(DataError) as caught:
        Lesson.from_npz(npz(arrays_of(lesson(3)) | {name: array}), NAME)
    assert str(caught.value).startswith(f"{NAME} is not a lesson: {reason}")


@pytest.mark.parametrize(
    ("images", "labels", "options"),
    [
        (np.zeros((0, 784), np.uint8), np.zeros(0, np.int64), {}),
        (np.zeros((2, 28, 28), np.uint8), np.zeros(2, np.int64), {}),
        (np.zeros((2, 784), np.uint8), np.zeros((2, 1), np.int64), {}),
        (np.zeros((2, 784), np.uint8), np.zeros(2, np.float64), {}),
        (np.zeros((2, 784), np.uint8), np.full(2, 10), {}),
        (np.zeros((501, 784), np.uint8), np.zeros(501, np.int64), {}),
        (np.zeros((2, 784), np.uint8), np.zeros(2, np.int64), {"share": 0.0}),
        (np.zeros((2, 784), np.uint8), np.zeros(2, np.int64), {"not_digits": np.zeros((2, 784), np.float32)}),
    ],
)
def test_a_lesson_of_wrong_values_is_rejected(images: np.ndarray, labels: np.ndarray, options: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        Lesson(images, labels, None, **options)


@pytest.mark.parametrize("content", [b"", b"no lesson", b"PK\x03\x04", lesson(3).to_npz()[:-40]])
def test_a_file_of_another_kind_is_rejected(content: bytes) -> None:
    with pytest.raises(DataError, match=r"lesson\.npz is not a lesson"):
        Lesson.from_npz(content, NAME)


def test_pickled_objects_are_rejected_and_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    content = npz(arrays_of(lesson(3)) | {"parent": np.array(WritesAFile(mark), object)})
    with pytest.raises(DataError, match=NAME):
        Lesson.from_npz(content, NAME)
    assert not mark.exists()


def test_any_damage_is_read_or_rejected() -> None:
    whole = lesson(3, start=WEIGHTS).to_npz()
    errors = errors_of_damaged(whole, lambda content: Lesson.from_npz(content, NAME))
    assert len(errors) > 100
    assert all(error.startswith(NAME) for error in errors)
