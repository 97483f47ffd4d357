"""npz.py and arrays.py: the names and layouts in circulation give the same data; what is ambiguous is rejected."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnist_fc.data.mnist import DataError, load_mnist
from tests.support.data import Arrays, assert_is, noise, write_npz

ONE_HOT = np.eye(10)


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    return noise()


LAYOUTS: dict[str, Callable[[Any, Any], tuple[Any, Any]]] = {
    "rows of 784": lambda x, y: (x.reshape(-1, 784), y),
    "a channel at the end": lambda x, y: (x[..., None], y),
    "a channel in front": lambda x, y: (x[:, None], y),
    "0 to 1": lambda x, y: ((x / 255).astype(np.float32), y),
    "half precision": lambda x, y: ((x / 255).astype(np.float16), y),
    "0 to 255 as floats": lambda x, y: (x.astype(np.float64), y),
    "big-endian integers": lambda x, y: (x.astype(">i4"), y.astype(">i8")),
    "labels as floats": lambda x, y: (x, y.astype(np.float32)),
    "a column of labels": lambda x, y: (x, y[:, None]),
    "a row of labels": lambda x, y: (x, y[None]),
    "one-hot labels": lambda x, y: (x, ONE_HOT[y].astype(np.float32)),
    "one-hot truth values": lambda x, y: (x, ONE_HOT[y].astype(bool)),
    "labels as text": lambda x, y: (x, y.astype(str)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_usual_layouts_are_read_as_the_same_data(arrays: Arrays, tmp_path: Path, layout: str) -> None:
    changed = {}
    for part in ("train", "test"):
        changed[f"x_{part}"], changed[f"y_{part}"] = LAYOUTS[layout](arrays[f"x_{part}"], arrays[f"y_{part}"])
    assert_is(load_mnist(write_npz(tmp_path / "m.npz", changed)), arrays)


def test_black_and_white_images_become_ink_and_paper(arrays: Arrays, tmp_path: Path) -> None:
    binary = arrays | {name: (arrays[name] > 99).astype(np.uint8) for name in ("x_train", "x_test")}
    expected = binary | {name: binary[name] * 255 for name in ("x_train", "x_test")}
    assert_is(load_mnist(write_npz(tmp_path / "m.npz", binary)), expected)


def test_both_parts_have_one_scale(arrays: Arrays, tmp_path: Path) -> None:
    faint = arrays | {"x_test": (arrays["x_test"] > 99).astype(np.uint8)}
    assert_is(load_mnist(write_npz(tmp_path / "m.npz", faint)), faint)


@pytest.mark.parametrize("part", ["x_train", "x_test"])
def test_parts_of_two_scales_are_both_named(arrays: Arrays, tmp_path: Path, part: str) -> None:
    path = write_npz(tmp_path / "m.npz", arrays | {part: arrays[part] / 255})
    with pytest.raises(DataError, match=r"x_train from 0 to \d+ and x_test from 0 to \d+; give both one scale") as caught:
        load_mnist(path)
    assert f"{part} from 0 to 1" in str(caught.value)


NAMES = {
    "TensorFlow": ("train_images", "train_labels", "test_images", "test_labels"),
    "capital": ("X_train", "Y_train", "X_test", "Y_test"),
    "long": ("training_images", "training_labels", "test_images", "test_labels"),
    "reversed": ("images_train", "labels_train", "images_test", "labels_test"),
    "data and targets": ("train_data", "train_targets", "test_data", "test_targets"),
    "without an underscore": ("xtrain", "ytrain", "xtest", "ytest"),
}


@pytest.mark.parametrize("origin", NAMES)
def test_names_in_circulation_are_understood(arrays: Arrays, tmp_path: Path, origin: str) -> None:
    renamed = dict(zip(NAMES[origin], arrays.values(), strict=True)) | {"val_images": arrays["x_test"]}
    assert_is(load_mnist(write_npz(tmp_path / "m.npz", renamed)), arrays)


def test_the_exact_name_comes_before_others(arrays: Arrays, tmp_path: Path) -> None:
    assert_is(load_mnist(write_npz(tmp_path / "m.npz", arrays | {"train_images": arrays["x_test"]})), arrays)


def test_two_names_for_one_array_are_rejected(arrays: Arrays, tmp_path: Path) -> None:
    doubled = {"train_images" if name == "x_train" else name: values for name, values in arrays.items()}
    path = write_npz(tmp_path / "m.npz", doubled | {"X_train": arrays["x_train"]})
    with pytest.raises(DataError, match=r"has both train_images and X_train; rename the one to use x_train"):
        load_mnist(path)


def test_a_member_that_is_no_array_is_named(arrays: Arrays, tmp_path: Path) -> None:
    path = write_npz(tmp_path / "m.npz", {name: values for name, values in arrays.items() if name != "y_test"})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("y_test", b"not an array")
    with pytest.raises(DataError, match=r"m.npz: y_test is no array; replace the file with an intact copy"):
        load_mnist(path)


def test_missing_arrays_are_named_beside_those_found(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "m.npz", {"images": np.zeros(3), "labels": np.zeros(3)})
    with pytest.raises(DataError, match=r"no array named x_train, y_train, x_test, y_test; it has images, labels"):
        load_mnist(path)
