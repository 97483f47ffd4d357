"""checkpoint.py: other programs read its files, and it reads nothing that is not a network."""

import pickle
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mnist_fc.config import ConfigError, TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.network import checkpoint
from mnist_fc.network.checkpoint import CheckpointError
from mnist_fc.network.mlp import MLP, initialize
from mnist_fc.training.evaluation import evaluate
from tests.support.files import WritesAFile, files_no_larger_than
from tests.support.models import BlogNet


def new_model(hidden_sizes: tuple[int, ...]) -> MLP:
    model = MLP(hidden_sizes)
    initialize(model, "pytorch", torch.Generator().manual_seed(3))
    return model


def plain_state() -> dict[str, Any]:
    return dict(new_model((8,)).state_copy())


def saved(path: Path, hidden_sizes: tuple[int, ...] = (8,)) -> Path:
    checkpoint.save(path, new_model(hidden_sizes).state_copy())
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.ckpt"


def test_the_blogs_own_class_loads_it_with_equal_logits(path: Path, small: Mnist) -> None:
    model = new_model((500,))
    checkpoint.save(path, model.state_copy())
    blog = BlogNet()
    blog.load_state_dict(torch.load(path))
    images = small.test_images / 255
    torch.testing.assert_close(blog(images), model(images))


@pytest.mark.parametrize("hidden_sizes", [(8,), (500, 500), (16, 12, 10, 9)])
def test_a_saved_network_loads_unchanged(path: Path, hidden_sizes: tuple[int, ...]) -> None:
    model, loaded = new_model(hidden_sizes), checkpoint.load(saved(path, hidden_sizes))
    assert loaded.hidden_sizes == hidden_sizes
    assert not loaded.training
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in model.state_dict().items())


def test_arrays_are_saved_like_tensors(path: Path) -> None:
    checkpoint.save(path, {name: tensor.numpy() for name, tensor in new_model((8,)).state_copy().items()})
    assert torch.equal(checkpoint.load(path).layers[0].weight, new_model((8,)).layers[0].weight)


def test_the_config_beside_it_names_the_activation(path: Path) -> None:
    assert isinstance(checkpoint.load(saved(path)).activation, nn.ReLU)
    path.with_name("config.json").write_text(TrainConfig(activation="tanh").to_json())
    assert isinstance(checkpoint.load(path).activation, nn.Tanh)


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ('"tanh"', '"step"', "activation is 'step'"),
        ('"dropout": 0.0', '"dropout": "x"', "dropout is 'x'"),
        ('"seed": 0', '"seed": 0, "width": 3', "the settings name width"),
        ('"tanh"', "tanh", "the settings are not JSON"),
        ('"precision": "float32",', "", None),  # runs before 28 November 2026
    ],
)
def test_one_wrong_value_in_a_config_of_this_program_is_named(path: Path, right: str, wrong: str, said: str | None) -> None:
    text = TrainConfig(activation="tanh").to_json()
    assert right in text
    saved(path).with_name("config.json").write_text(text.replace(right, wrong))
    if said:
        with pytest.raises(ConfigError, match=rf"config\.json: {said}"):
            checkpoint.load(path)
    else:
        loaded = checkpoint.read(path)
        assert (loaded.model.activation_name, loaded.notes, loaded.is_as_trained) == ("tanh", (), True)


def test_a_config_that_cannot_be_read_is_named(path: Path) -> None:
    saved(path).with_name("config.json").mkdir()
    with pytest.raises(ConfigError, match=r"config\.json: .*directory"):
        checkpoint.load(path)


def test_the_shipped_network_exceeds_97_percent_on_the_test_set(mnist: Mnist) -> None:
    _, accuracy = evaluate(checkpoint.load(checkpoint.SHIPPED), mnist.test_images, mnist.test_labels)
    assert accuracy > 0.97


@pytest.mark.parametrize("place", ["beside the weights", "instead of the weights"])
def test_pickled_code_is_rejected_without_running(path: Path, tmp_path: Path, place: str) -> None:
    code = WritesAFile(tmp_path / "ran")
    torch.save(plain_state() | {"code": code} if place == "beside the weights" else code, path)
    with pytest.raises(CheckpointError, match="holds more than tensors; it is not loaded, because that could run code"):
        checkpoint.load(path)
    assert not (tmp_path / "ran").exists()


def test_a_bare_pickle_is_rejected_without_running(path: Path, tmp_path: Path) -> None:
    path.write_bytes(pickle.dumps(WritesAFile(tmp_path / "ran")))
    with pytest.raises(CheckpointError, match=r"is a pickle that torch\.save did not write"):
        checkpoint.load(path)
    assert not (tmp_path / "ran").exists()


def test_a_file_truncated_anywhere_is_rejected(path: Path) -> None:
    whole = saved(path).read_bytes()
    for length in [*range(0, len(whole), 97), *range(len(whole) - 150, len(whole))]:
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="is truncated or not a checkpoint" if length else "is empty"):
            checkpoint.load(path)


def test_corrupted_bytes_are_rejected_or_leave_a_network(path: Path) -> None:
    whole = saved(path).read_bytes()
    chance = random.Random(0)
    num_rejected = 0
    for _ in range(400):
        content = bytearray(whole)
        for _ in range(chance.choice((1, 2, 5))):
            # Half of them in the pickle at the start and the directory at the end, where they do most.
            content[chance.choice((chance.randrange(len(whole)), chance.randrange(-900, 700)))] = chance.randrange(256)
        path.write_bytes(content)
        try:
            model = checkpoint.load(path)
        except CheckpointError:
            num_rejected += 1
        else:
            assert all(tensor.isfinite().all() for tensor in model.state_dict().values())
    assert num_rejected > 100


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"fc1.weight": torch.zeros(8, 783)},
            r"fc1 has weights \(8, 783\) .* after 784 units; the first layer must take the 784 pix",
        ),
        ({"fc1.weight": torch.zeros(8 * 784)}, r"fc1.weight of shape .*, which is of no fully connected layer"),
        ({"fc1.bias": torch.zeros(9)}, r"biases \(9,\)"),
        ({"fc2.weight": torch.zeros(10, 9)}, r"fc2 has weights \(10, 9\) and biases \(10,\) after 8 units"),
        ({"fc2.weight": torch.zeros(11, 8), "fc2.bias": torch.zeros(11)}, r"has 11 outputs; a network for digits has 10"),
        ({"fc1.weight": torch.zeros(8, 784, dtype=torch.complex64)}, r"fc1 is torch.complex64; it must be float32"),
        ({"fc1.weight": torch.zeros(8, 784, dtype=torch.float8_e5m2)}, r"fc1 is torch.float8_e5m2; it must be float32"),
        ({"fc2.bias": torch.zeros(10, dtype=torch.int64)}, r"fc2 is torch.int64"),
        (
            {"fc1.weight": torch.zeros(8, 784, device="meta")},
            "holds tensors without values, of the device meta",
        ),
        (
            {"fc1.weight": np.zeros((8, 784), np.float32)},
            "holds NumPy arrays or numbers; save only tensors",
        ),
        ({"fc1.weight": np.zeros((80, 784))}, "holds NumPy arrays or numbers"),
        ({"accuracy": np.float64(0.9)}, "holds NumPy arrays or numbers"),
        ({"fc1.weight": torch.full((8, 784), torch.nan)}, r"not finite numbers in fc1.weight"),
        ({"fc2.bias": torch.full((10,), -torch.inf)}, r"not finite numbers in fc2.bias"),
        ({"fc1.weight": [0.0] * 8}, r"not a state dict of tensors"),
        ({"fc3.weight": torch.zeros(10, 10)}, r"do not form pairs: fc3.bias"),
        ({7: torch.zeros(1)}, r"do not form pairs: 7"),
        (dict.fromkeys(("fc1.weight", "fc2.weight"), torch.zeros(1)), r"it must have fc1.weight, fc1.bias, fc2.weight"),
    ],
)
@pytest.mark.parametrize("options", [{}, {"pickle_protocol": 5}, {"_use_new_zipfile_serialization": False}], ids=str)
def test_a_wrong_state_dict_is_rejected_with_the_reason(
    path: Path, change: dict[Any, Any], reason: str, options: dict[str, Any]
) -> None:
    torch.save(plain_state() | change, path, **options)
    with pytest.raises(CheckpointError, match=reason) as caught:
        checkpoint.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta", "ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize(
    ("convert", "reason"),
    [
        (torch.Tensor.to_sparse, r"holds sparse tensors; save dense ones, made by tensor.to_dense\(\)"),
        (torch.Tensor.to_sparse_csr, "holds sparse tensors"),
        (lambda tensor: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8), "holds quantized tensors; save floats"),
    ],
)
def test_other_kinds_of_tensors_are_named(path: Path, convert: Callable[[Tensor], Tensor], reason: str) -> None:
    torch.save(plain_state() | {"fc1.weight": convert(torch.zeros(8, 784))}, path)
    with pytest.raises(CheckpointError, match=reason):
        checkpoint.load(path)


@pytest.mark.parametrize("value", [{}, [], torch.zeros(3), "text", None, 7], ids=str)
def test_other_values_than_state_dicts_are_rejected(path: Path, value: object) -> None:
    torch.save(value, path)
    with pytest.raises(CheckpointError, match="not a state dict of tensors"):
        checkpoint.load(path)


@pytest.mark.parametrize("sizes", [(), (7,), (2049,), (8, 8, 8, 8, 8)])
def test_a_network_out_of_range_is_rejected(path: Path, sizes: tuple[int, ...]) -> None:
    torch.save(new_model(sizes).state_dict(), path)
    with pytest.raises(CheckpointError, match="must be 1 to 4 layers of 8 to 2048 units"):
        checkpoint.load(path)


def test_a_small_file_describing_a_huge_network_is_rejected(path: Path) -> None:
    num_units, zero = 10**9, torch.zeros(1)
    state = {
        "fc1.weight": zero.expand(num_units, 784),
        "fc1.bias": zero.expand(num_units),
        "fc2.weight": zero.expand(10, num_units),
        "fc2.bias": zero.expand(10),
    }
    torch.save(state, path)
    assert path.stat().st_size < 10_000
    with pytest.raises(CheckpointError, match="must be 1 to 4 layers"):
        checkpoint.load(path)


def test_a_decompression_bomb_is_rejected(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data.pkl", bytes(100 * 2**20))
    assert path.stat().st_size < 2**20
    with pytest.raises(CheckpointError, match="is larger than 64 MB"):
        checkpoint.load(path)


def test_the_largest_network_that_can_be_trained_loads(path: Path) -> None:
    loaded = checkpoint.load(saved(path, (2048,) * 4))
    assert loaded.hidden_sizes == (2048,) * 4


def test_missing_files_folders_and_texts_are_rejected(path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"model.ckpt does not exist"):
        checkpoint.load(path)
    path.mkdir()
    with pytest.raises(CheckpointError, match=r"model.ckpt is a folder; give a checkpoint"):
        checkpoint.load(path)
    path.rmdir()
    path.write_text("fc1.weight")
    with pytest.raises(CheckpointError, match=r"model.ckpt is a text file; a network is read from its checkpoint"):
        checkpoint.load(path)


def test_a_full_disk_leaves_the_old_checkpoint(path: Path) -> None:
    before = saved(path).read_bytes()
    with files_no_larger_than(4096), pytest.raises(OSError, match="File too large"):
        checkpoint.save(path, new_model((500,)).state_copy())
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_save_into_a_missing_folder_says_so(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        saved(path.parent / "none" / "model.ckpt")
