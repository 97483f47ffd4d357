"""idx.py: data sets are found under the names in circulation and read by their bytes; what is ambiguous is rejected."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from mnist_fc.data.mnist import DataError, load_mnist
from tests.support.data import STEMS, Arrays, assert_is, idx_bytes, noise, write_idx

KAGGLE = {array: f"{stem}/{stem}" for array, stem in STEMS.items()}


def named(pattern: str, test: str = "test") -> dict[str, str]:
    """Return names by array; the pattern has {part} and {what}."""
    parts, kinds = {"train": "train", "test": test}, {"x": "images-idx3", "y": "labels-idx1"}
    return {a: pattern.format(part=parts[a[2:]], what=kinds[a[0]]) for a in STEMS}


NAMES = {
    "the site's": STEMS,
    "with a dot": {array: stem.replace("-idx", ".idx") for array, stem in STEMS.items()},
    "with underscores": {array: stem.replace("-", "_") for array, stem in STEMS.items()},
    "Kaggle's folders": KAGGLE,
    "Kaggle's folders with a dot inside": {a: f"{stem}/{stem.replace('-idx', '.idx')}" for a, stem in STEMS.items()},
    "EMNIST's": named("emnist-digits-{part}-{what}-ubyte"),
    "test for t10k": named("{part}-{what}-ubyte"),
    "capitals": named("MNIST-{part}-{what}-UBYTE"),
    "torchvision's folder": {array: f"MNIST/raw/{stem}" for array, stem in STEMS.items()},
}


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    return noise()


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzipped"])
@pytest.mark.parametrize("origin", NAMES)
def test_names_in_circulation_are_found(arrays: Arrays, tmp_path: Path, origin: str, zipped: bool) -> None:
    assert_is(load_mnist(write_idx(tmp_path, arrays, NAMES[origin], zipped=zipped)), arrays)


def test_qmnist_labels_are_the_first_of_eight_columns(arrays: Arrays, tmp_path: Path) -> None:
    names = named("qmnist-{part}-{what}-ubyte") | {f"y_{part}": f"qmnist-{part}-labels-idx2-int" for part in ("train", "test")}
    others = np.random.default_rng(1).integers(0, 4000, (30, 7))
    rows = {y: np.column_stack([arrays[y], others[: len(arrays[y])]]).astype(np.int32) for y in ("y_train", "y_test")}
    assert_is(load_mnist(write_idx(tmp_path, arrays | rows, names, zipped=True)), arrays)


def test_plain_bytes_named_gz_are_read(arrays: Arrays, tmp_path: Path) -> None:
    write_idx(tmp_path, arrays, {array: f"{stem}.gz" for array, stem in STEMS.items()})
    assert_is(load_mnist(tmp_path), arrays)


def test_gzipped_bytes_without_gz_in_the_name_are_read(arrays: Arrays, tmp_path: Path) -> None:
    for array, stem in STEMS.items():
        (tmp_path / stem).write_bytes(gzip.compress(idx_bytes(arrays[array])))
    assert_is(load_mnist(tmp_path), arrays)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_files_gzipped_twice_are_read(arrays: Arrays, tmp_path: Path, suffix: str) -> None:
    for array, stem in STEMS.items():
        (tmp_path / f"{stem}{suffix}").write_bytes(gzip.compress(gzip.compress(idx_bytes(arrays[array]))))
    assert_is(load_mnist(tmp_path), arrays)


def test_a_file_gzipped_three_times_says_so(arrays: Arrays, tmp_path: Path) -> None:
    write_idx(tmp_path, arrays)
    content = idx_bytes(arrays["y_test"])
    for _ in range(3):
        content = gzip.compress(content)
    (tmp_path / STEMS["y_test"]).write_bytes(content)
    with pytest.raises(DataError, match=rf"{STEMS['y_test']} is gzipped more than once; unpack it with gzip -d first"):
        load_mnist(tmp_path)


@pytest.mark.parametrize("names", [STEMS, KAGGLE], ids=["in one folder", "Kaggle's"])
def test_one_idx_file_stands_for_its_data_set(arrays: Arrays, tmp_path: Path, names: dict[str, str]) -> None:
    write_idx(tmp_path, arrays, names)
    write_idx(tmp_path, noise(40, 10), named("emnist-letters-{part}-{what}-ubyte"))
    assert_is(load_mnist(tmp_path / names["y_test"]), arrays)


def test_a_folder_of_one_idx_file_stands_for_its_data_set(arrays: Arrays, tmp_path: Path) -> None:
    write_idx(tmp_path, arrays, KAGGLE)
    assert_is(load_mnist(tmp_path / STEMS["x_train"]), arrays)


def test_companion_files_of_a_mac_are_no_data_set(arrays: Arrays, tmp_path: Path) -> None:
    write_idx(tmp_path, arrays)
    for name in STEMS.values():
        (tmp_path / f"._{name}").write_bytes(b"\0\5\x16\7" + bytes(100))
    assert_is(load_mnist(tmp_path), arrays)


def test_several_data_sets_in_one_folder_are_named(arrays: Arrays, tmp_path: Path) -> None:
    for split in ("digits", "mnist"):
        write_idx(tmp_path, arrays, named(f"emnist-{split}-{{part}}-{{what}}-ubyte"))
    with pytest.raises(DataError, match=r"holds several data sets; give the path of one of these files: .*digits.*, .*mnist"):
        load_mnist(tmp_path)
    assert_is(load_mnist(tmp_path / "emnist-mnist-train-images-idx3-ubyte"), arrays)


def test_data_sets_in_two_folders_are_never_mixed(arrays: Arrays, tmp_path: Path) -> None:
    for folder in ("MNIST", "FashionMNIST"):
        write_idx(tmp_path / folder / "raw", arrays)
    with pytest.raises(DataError, match="holds several data sets"):
        load_mnist(tmp_path)
    (tmp_path / "MNIST" / "raw" / STEMS["x_test"]).unlink()
    assert_is(load_mnist(tmp_path), arrays)


def test_missing_files_are_named_with_their_prefix(arrays: Arrays, tmp_path: Path) -> None:
    write_idx(tmp_path, {"x_train": arrays["x_train"]}, named("emnist-digits-{part}-{what}-ubyte"))
    with pytest.raises(
        DataError, match=r"has no emnist-digits-train-labels-idx1-ubyte and no .*, plain or gzipped; put all four"
    ):
        load_mnist(tmp_path)


def test_a_header_that_announces_too_much_is_rejected_at_once(arrays: Arrays, tmp_path: Path) -> None:
    write_idx(tmp_path, arrays)
    (tmp_path / STEMS["x_train"]).write_bytes(b"\0\0\x08\3" + b"\xff" * 12 + b"ink")
    with pytest.raises(DataError, match=r"announces 4294967295 x 4294967295 x 4294967295 values, more than 1,000,000 images"):
        load_mnist(tmp_path)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a/0001.png", "a/0002.png", "b/0001.png"], "it holds 3 pictures; save all of them as an .npz"),
        (["mnist.npz"], "it holds mnist.npz; give the path of that file"),
        (["archive.zip"], "it holds archive.zip; unpack it and give the folder"),
        (["MNIST/training.pt"], "it holds training.pt; save its arrays as an .npz"),
        (["mnist_train.csv"], "it holds mnist_train.csv; save its arrays as an .npz"),
        (["data.mdb", "lock.mdb"], "it holds data.mdb; save its arrays as an .npz"),
        ([], "give a folder of the four IDX files, or an .npz of x_train, y_train, x_test and y_test"),
    ],
)
def test_a_folder_without_idx_files_is_described(tmp_path: Path, names: list[str], said: str) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(DataError, match=rf"has no train-images-idx3-ubyte; {said}"):
        load_mnist(tmp_path)
