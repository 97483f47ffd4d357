"""npz.py and arrays.py: the names and layouts in circulation give the same data; what is ambiguous is rejected."""

import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mnist_fc.data.mnist import DataError, load_mnist
from mnist_fc.files import ROOT
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
    "labels as text with spaces": lambda x, y: (x, np.array([f" {label}" for label in y])),
    "-1 to 1": lambda x, y: ((x / 127.5 - 1).astype(np.float32), y),
    "16 bits": lambda x, y: (x.astype(np.uint16) * 257, y),
    "Fortran order": lambda x, y: (np.asfortranarray(x), y),
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
    "short": ("Xtr", "ytr", "Xte", "yte"),
    "sets": ("train_set_x", "train_set_y", "test_set_x", "test_set_y"),
    "in a folder": ("mnist/x_train", "mnist/y_train", "mnist/x_test", "mnist/y_test"),
    "without an underscore": ("xtrain", "ytrain", "xtest", "ytest"),
}


@pytest.mark.parametrize("origin", NAMES)
def test_names_in_circulation_are_understood(arrays: Arrays, tmp_path: Path, origin: str) -> None:
    renamed = dict(zip(NAMES[origin], arrays.values(), strict=True)) | {"val_images": arrays["x_test"]}
    assert_is(load_mnist(write_npz(tmp_path / "m.npz", renamed)), arrays)


def test_companion_files_of_a_mac_are_not_taken_for_arrays(arrays: Arrays, tmp_path: Path) -> None:
    inside = {f"mnist/{name}": values for name, values in arrays.items()}
    path = write_npz(tmp_path / "m.npz", inside)
    with zipfile.ZipFile(path, "a") as archive:
        for name in arrays:
            archive.writestr(f"__MACOSX/mnist/._{name}.npy", b"\0\5\x16\7")
    assert_is(load_mnist(path), arrays)


def test_values_from_0_to_16_become_paper_and_ink(arrays: Arrays, tmp_path: Path) -> None:
    coarse = arrays | {name: (arrays[name] // 15).clip(0, 16) for name in ("x_train", "x_test")}
    expected = coarse | {name: np.rint(coarse[name] * (255 / 16)) for name in ("x_train", "x_test")}
    assert_is(load_mnist(write_npz(tmp_path / "m.npz", coarse)), expected)


def test_code_that_resizes_images_gives_data_that_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\ndigits = .*?\n(.*?)```", (ROOT / "mnist_fc/data/README.md").read_text("utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    ring = np.array([[0 < i < 7 and 0 < j < 7 and (i in (1, 6) or j in (1, 6)) for j in range(8)] for i in range(8)])
    digits = SimpleNamespace(images=np.stack([ring * 16.0] * 1797), target=np.zeros(1797, int))
    exec(code, {"np": np, "Image": Image, "digits": digits})
    data = load_mnist("digits.npz")
    assert (len(data.train_labels), len(data.test_labels)) == (1500, 297)
    rows = data.train_images[0].view(28, 28).amax(1) > 127
    assert rows.nonzero().flatten().tolist() == list(range(6, 22)), "the ring is in the middle"


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
    with pytest.raises(DataError, match=r"m.npz: y_test is not an array; replace the file with an intact copy"):
        load_mnist(path)


@pytest.mark.parametrize(("wrong", "shown"), [(b"\xff", r"b'\\xff'"), ("\u00b2", "'\u00b2'"), ("\u0663", "'\u0663'"), ("", "''")])
def test_text_that_is_not_a_digit_is_shown(arrays: Arrays, tmp_path: Path, wrong: str | bytes, shown: str) -> None:
    labels = arrays["y_test"].astype("S4" if isinstance(wrong, bytes) else "U4")
    labels[3] = wrong
    with pytest.raises(DataError, match=f"such as {shown}; it must be the digits 0 to 9"):
        load_mnist(write_npz(tmp_path / "m.npz", arrays | {"y_test": labels}))


def test_missing_arrays_are_named_beside_those_found(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "m.npz", {"images": np.zeros(3), "labels": np.zeros(3)})
    with pytest.raises(
        DataError, match=r"no array named x_train, y_train, x_test, y_test; it has images, labels; divide the images"
    ):
        load_mnist(path)
