"""mnist.py: the embedded data is MNIST, other data is read or rejected with the reason, and the split is even."""

import hashlib
import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mnist_fc.data.mnist import EMBEDDED, DataError, Mnist, load_mnist, load_test_digits, split_validation
from tests.support.data import STEMS, Arrays, WritesAFile, idx_bytes, write_idx, write_npz

# MD5 of the four original files, unpacked.
ORIGINAL_MD5 = {
    "x_train": "6bbc9ace898e44ae57da46a324031adb",
    "y_train": "a25bea736e30d166cdddb491f175f624",
    "x_test": "2646ac647ad5339dbf082846283269ea",
    "y_test": "27ae3e4e09519cfbb04c329615203637",
}


def assert_same(left: Mnist, right: Mnist) -> None:
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        assert torch.equal(getattr(left, name), getattr(right, name))


def test_embedded_data_is_mnist_to_the_bit(mnist: Mnist) -> None:
    arrays = {
        "x_train": mnist.train_images.numpy().reshape(-1, 28, 28),
        "y_train": mnist.train_labels.numpy(),
        "x_test": mnist.test_images.numpy().reshape(-1, 28, 28),
        "y_test": mnist.test_labels.numpy(),
    }
    assert {name: hashlib.md5(idx_bytes(array)).hexdigest() for name, array in arrays.items()} == ORIGINAL_MD5


def test_embedded_data_has_the_documented_shapes_and_types(mnist: Mnist) -> None:
    assert [(t.shape, t.dtype) for t in (mnist.train_images, mnist.train_labels)] == [
        ((60_000, 784), torch.uint8),
        ((60_000,), torch.int64),
    ]
    assert [(t.shape, t.dtype) for t in (mnist.test_images, mnist.test_labels)] == [
        ((10_000, 784), torch.uint8),
        ((10_000,), torch.int64),
    ]


def test_one_altered_pixel_of_the_embedded_data_is_found(mnist: Mnist, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with np.load(EMBEDDED) as file:
        arrays = dict(file)
    arrays["x_test"][5000, 14, 14] ^= 1
    path = write_npz(tmp_path / "mnist.npz", arrays)
    monkeypatch.setattr("mnist_fc.data.mnist.EMBEDDED", path)
    for load in (load_mnist, load_test_digits):
        with pytest.raises(DataError, match=r"mnist.npz has been altered: the checksum of x_test differs"):
            load()


def test_test_digits_alone_are_those_of_the_whole(
    mnist: Mnist, small: Mnist, small_npz: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for whole, path in ((mnist, ""), (small, str(small_npz))):
        monkeypatch.setenv("MNIST_FC_DATA", path)
        images, labels = load_test_digits()
        assert torch.equal(images, whole.test_images)
        assert torch.equal(labels, whole.test_labels)


def test_a_truncated_embedded_file_is_reported_as_damaged(tmp_path: Path) -> None:
    whole = EMBEDDED.read_bytes()
    for length in (0, 4, 100, len(whole) // 2, len(whole) - 1):
        path = tmp_path / "mnist.npz"
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"mnist.npz is (damaged|empty)"):
            load_mnist(path)


def test_missing_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none.npz does not exist"):
        load_mnist(tmp_path / "none.npz")


def test_another_npz_is_read_by_its_path(small: Mnist, small_npz: Path) -> None:
    assert_same(load_mnist(small_npz), small)
    assert_same(load_mnist(str(small_npz)), small)


def test_the_environment_names_other_data(small: Mnist, small_npz: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNIST_FC_DATA", str(small_npz))
    assert_same(load_mnist(), small)


def test_the_environment_may_name_data_in_the_home_folder_in_quotes(
    small: Mnist, small_npz: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME" if os.name == "posix" else "USERPROFILE", str(small_npz.parent))
    monkeypatch.setenv("MNIST_FC_DATA", f'"~/{small_npz.name}"')
    assert_same(load_mnist(), small)


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzipped"])
def test_an_idx_folder_gives_the_same_as_the_npz(small: Mnist, small_arrays: Arrays, tmp_path: Path, zipped: bool) -> None:
    assert_same(load_mnist(write_idx(tmp_path, small_arrays, zipped=zipped)), small)


def test_a_missing_idx_file_is_named(small_arrays: Arrays, tmp_path: Path) -> None:
    (write_idx(tmp_path, small_arrays) / STEMS["y_test"]).unlink()
    with pytest.raises(DataError, match=r"has no t10k-labels-idx1-ubyte, plain or gzipped; put all four files there"):
        load_mnist(tmp_path)


@pytest.mark.parametrize("change", [-1, 1], ids=["too few", "too many"])
def test_an_idx_file_must_hold_the_announced_values(small_arrays: Arrays, tmp_path: Path, change: int) -> None:
    content = idx_bytes(small_arrays["x_train"])
    (write_idx(tmp_path, small_arrays) / STEMS["x_train"]).write_bytes(content[:-1] if change < 0 else content + b"\0")
    with pytest.raises(DataError, match=rf"announces 2000 x 28 x 28 values and holds {2000 * 784 + change}"):
        load_mnist(tmp_path)


@pytest.mark.parametrize("start", [b"\0\0", b"\0\0\x0d\3", b"\1\0\x08\3", b"\0\0\x08\0", b"\0\0\x08\xff", b"\0\0\x07\3"])
def test_a_wrong_magic_number_is_rejected(small_arrays: Arrays, tmp_path: Path, start: bytes) -> None:
    (write_idx(tmp_path, small_arrays) / STEMS["x_test"]).write_bytes(start)
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte is not an IDX file"):
        load_mnist(tmp_path)


def test_a_truncated_gzip_file_is_reported_as_damaged(small_arrays: Arrays, tmp_path: Path) -> None:
    path = write_idx(tmp_path, small_arrays, zipped=True) / f"{STEMS['x_train']}.gz"
    whole = path.read_bytes()
    for length in (2, 11, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"train-images-idx3-ubyte.gz is damaged"):
            load_mnist(tmp_path)


def test_images_and_labels_must_match_in_number(small_arrays: Arrays, tmp_path: Path) -> None:
    for folder, change in {
        "idx": {"y_train": small_arrays["y_train"][:-1]},
        "npz": {"x_test": small_arrays["x_test"][1:]},
    }.items():
        (tmp_path / folder).mkdir()
        path = tmp_path / folder
        arrays = small_arrays | change
        source = write_idx(path, arrays) if folder == "idx" else write_npz(path / "m.npz", arrays)
        with pytest.raises(DataError, match=r"images and \d+ labels do not go together"):
            load_mnist(source)


@pytest.mark.parametrize(
    ("name", "array", "reason"),
    [
        ("x_train", np.zeros((2000, 28, 27), np.uint8), r"x_train has the shape \(2000, 28, 27\); it must be \(N, 28, 28\)"),
        (
            "x_train",
            np.zeros((2000, 28, 28, 3), np.uint8),
            r"x_train has the shape \(2000, 28, 28, 3\); .*; give the mean of its chan",
        ),
        (
            "x_train",
            np.zeros((2000, 32, 32), np.uint8),
            r"x_train has the shape \(2000, 32, 32\); .*; resize images of another size",
        ),
        ("x_train", np.zeros((2000, 64)), r"x_train has the shape \(2000, 64\); .*; resize images of another size"),
        ("x_train", np.zeros((784, 2000)), r"x_train has the shape \(784, 2000\); .*; give its transpose"),
        ("x_train", np.zeros((28, 28, 2000)), r"x_train has the shape \(28, 28, 2000\); .*; put the last axis first"),
        ("x_train", np.zeros((2000, 28, 28)), r"every pixel of x_train is 0, so its images are blank"),
        ("x_train", np.full((2000, 784), "ink"), r"x_train is <U3; it must be numbers"),
        ("x_test", np.full((500, 28, 28), -0.5), r"the pixels run from -0.5 to 255; they must be 0 to 1"),
        ("x_test", np.full((500, 28, 28), 3.5), r"the pixels run from 0 to 255; .* whole numbers to 255"),
        ("x_test", np.full((500, 28, 28), np.nan), r"x_test has values that are not finite"),
        ("x_test", np.full((500, 28, 28), 65535, np.uint16), r"the pixels run from 0 to 65535;"),
        ("x_test", np.zeros((0, 28, 28), np.uint8), r"0 test images; there must be 1 to 1,000,000"),
        ("y_test", np.full(500, 0.5), r"y_test is float64 .* must be whole numbers"),
        ("y_test", np.full(500, "seven"), r"y_test is <U5 .*, such as 'seven'; it must be the digits 0 to 9"),
        ("y_test", np.zeros((500, 2), np.uint8), r"y_test is uint8 \(500, 2\); it must be whole numbers \(N,\), or one-hot"),
        ("y_test", np.full((500, 10), 0.1), r"each row must be one-hot"),
        ("y_train", np.full(2000, 10, np.uint8), r"y_train has labels from 10 to 10; they must be 0 to 9; if 10 stands for 0"),
        ("y_train", np.full(2000, -1), r"y_train has labels from -1 to -1"),
        ("y_test", np.full(500, 2**63, np.uint64), r"y_test has labels from 9223372036854775808"),
    ],
)
def test_a_wrong_layout_is_reported_with_the_right_one(
    small_arrays: Arrays, tmp_path: Path, name: str, array: np.ndarray, reason: str
) -> None:
    with pytest.raises(DataError, match=reason):
        load_mnist(write_npz(tmp_path / "m.npz", small_arrays | {name: array}))


def test_a_missing_array_is_named(small_arrays: Arrays, tmp_path: Path) -> None:
    arrays = {name: array for name, array in small_arrays.items() if name != "y_train"}
    with pytest.raises(DataError, match=r"has no array named y_train"):
        load_mnist(write_npz(tmp_path / "m.npz", arrays))


def test_pickled_objects_are_rejected_without_running(small_arrays: Arrays, tmp_path: Path) -> None:
    hostile = np.array([WritesAFile(tmp_path / "ran")], dtype=object)
    path = write_npz(tmp_path / "m.npz", small_arrays | {"y_train": hostile})
    with pytest.raises(DataError, match=r"m.npz holds Python objects, which could run code"):
        load_mnist(path)
    assert not (tmp_path / "ran").exists()


def test_other_files_are_rejected(tmp_path: Path) -> None:
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "notes.npz").write_text("not an archive")
    for name in ("array.npy", "notes.npz"):
        with pytest.raises(DataError, match=rf"{name} is "):
            load_mnist(tmp_path / name)


def test_corrupted_bytes_raise_data_errors_or_leave_data(small_arrays: Arrays, tmp_path: Path) -> None:
    arrays = {name: array[:20] for name, array in small_arrays.items()}
    np.savez_compressed(tmp_path / "m.npz", allow_pickle=False, **arrays)
    whole = (tmp_path / "m.npz").read_bytes()
    chance = random.Random(0)
    num_rejected = 0
    for _ in range(400):
        content = bytearray(whole)
        for _ in range(chance.choice((1, 2, 5))):
            content[chance.randrange(len(content))] = chance.randrange(256)
        (tmp_path / "m.npz").write_bytes(content)
        try:
            assert load_mnist(tmp_path / "m.npz").train_images.shape == (20, 784)
        except DataError:
            num_rejected += 1
    assert num_rejected > 200


@given(num_validation=st.integers(0, 1999), seed=st.integers(0, 2**31 - 1))
def test_a_split_is_disjoint_complete_and_balanced(small: Mnist, num_validation: int, seed: int) -> None:
    train_indices, val_indices = split_validation(small.train_labels, num_validation, seed)
    assert len(val_indices) == num_validation
    assert torch.equal(torch.cat([train_indices, val_indices]).sort().values, torch.arange(2000))
    drawn = torch.bincount(small.train_labels[val_indices], minlength=10)
    left = torch.bincount(small.train_labels[train_indices], minlength=10)
    fewest_of_those_left = drawn[left > 0].min()
    assert drawn.max() - fewest_of_those_left <= 1


def test_the_split_of_mnist_is_balanced(mnist: Mnist) -> None:
    _, val_indices = split_validation(mnist.train_labels, 5000, seed=0)
    assert torch.bincount(mnist.train_labels[val_indices]).tolist() == [500] * 10


def test_the_seed_decides_the_split(small: Mnist) -> None:
    first, again, other = (split_validation(small.train_labels, 500, seed)[1] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_without_validation_all_images_are_trained_on(small: Mnist) -> None:
    train_indices, val_indices = split_validation(small.train_labels, 0, seed=0)
    assert torch.equal(train_indices, torch.arange(2000))
    assert val_indices.shape == (0,)


def test_a_split_without_training_images_is_rejected(small: Mnist) -> None:
    with pytest.raises(DataError, match=r"2000 validation images cannot be split off 2000 training images"):
        split_validation(small.train_labels, 2000, seed=0)
