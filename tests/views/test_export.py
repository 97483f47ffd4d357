"""Loaded networks: a checkpoint in memory is read like a file, and errors tell nothing about the server."""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from mnist_fc.data.mnist import Mnist
from mnist_fc.network import checkpoint
from mnist_fc.network.checkpoint import CheckpointError, Loaded
from mnist_fc.network.mlp import ACTIVATIONS, MLP, initialize
from mnist_fc.network.tensor_files import MAX_PICKLE_BYTES
from mnist_fc.reading.reader import Reader
from mnist_fc.views.state import networks
from tests.support.models import trained_models

NAME = "my net.pt"


def new_model(hidden_sizes: tuple[int, ...] = (8,), num_classes: int = 10) -> MLP:
    model = MLP(hidden_sizes, num_classes=num_classes)
    initialize(model, "pytorch", torch.Generator().manual_seed(3))
    return model


def saved(value: object) -> bytes:
    content = io.BytesIO()
    torch.save(value, content)
    return content.getvalue()


def repacked(content: bytes, name: str, replacement: bytes) -> bytes:
    """Return a checkpoint whose entry with this name has other content."""
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(packed := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as new:
        entries = old.infolist()
        assert any(entry.filename.endswith(name) for entry in entries)
        for entry in entries:
            new.writestr(entry.filename, replacement if entry.filename.endswith(name) else old.read(entry))
    return packed.getvalue()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_network_round_trips_through_bytes(small: Mnist, activation: Any) -> None:
    model = trained_models(small, (16, 12), [2])[activation, 2]
    again = checkpoint.from_bytes(checkpoint.to_bytes(model.state_dict()), NAME, activation).model
    images = small.test_images / 255
    assert torch.equal(again(images), model(images))
    assert not again.training


def test_file_and_bytes_are_rejected_with_the_same_message(tmp_path: Path) -> None:
    path = tmp_path / "some.pt"
    wrong = [
        b"",
        b"no network",
        pickle.dumps({"fc1.weight": 3}),
        saved([torch.zeros(3)]),
        saved({"code": Path}),
        saved({"w": torch.zeros(3)}),
        saved(new_model().state_dict())[:-100],
        saved(new_model((7,)).state_dict()),
        saved(new_model(num_classes=11).state_dict()),
        saved(new_model().state_dict() | {"fc2.bias": torch.full((10,), torch.nan)}),
    ]
    for content in wrong:
        path.write_bytes(content)
        with pytest.raises(CheckpointError) as of_file:
            checkpoint.load(path)
        with pytest.raises(CheckpointError) as of_bytes:
            checkpoint.from_bytes(content, NAME, "relu")
        assert str(of_bytes.value) == str(of_file.value).replace(str(path), NAME)
        assert NAME in str(of_bytes.value)


def test_file_that_unpacks_to_too_much_is_rejected() -> None:
    content = repacked(saved(new_model().state_dict()), "data/0", bytes(65 * 2**20))
    assert len(content) < 2**20
    with pytest.raises(CheckpointError, match=r"my net\.pt is larger than 64 MB"):
        checkpoint.from_bytes(content, NAME, "relu")


def test_pickle_with_millions_of_objects_is_not_unpickled() -> None:
    bomb = b"\x80\x02" + b"]" * MAX_PICKLE_BYTES + b"."
    content = repacked(saved(new_model().state_dict()), "data.pkl", bomb)
    with pytest.raises(CheckpointError, match="holds more besides tensors than any network"):
        checkpoint.from_bytes(content, NAME, "relu")


def test_message_lists_only_the_first_unknown_names() -> None:
    content = saved({f"layer {i} " + "x" * 500: torch.zeros(1) for i in range(150)})
    with pytest.raises(CheckpointError, match=r"has layer 0 x+, layer 1 .*, \.\.\.; it must have fc1\.weight") as caught:
        checkpoint.from_bytes(content, NAME, "relu")
    assert len(str(caught.value)) < 700


def test_file_is_identified_by_content_and_activation(mnist: Mnist) -> None:
    model = new_model()
    other = MLP((8,), "tanh")
    other.load_state_dict(model.state_dict())
    file = networks.LoadedFile("_my_ *net*.pt", "0af3", Loaded(model, "0..1", ()))
    several = [
        networks.Network(file.reader, file=file),
        networks.Network(file.reader, file=networks.LoadedFile("b.pt", "0af3", file.loaded)),
        networks.Network(Reader(other), file=networks.LoadedFile("b.pt", "0af3", Loaded(other, "0..1", ()))),
        networks.Network(file.reader, file=networks.LoadedFile("b.pt", "77b1", file.loaded)),
        networks.Network(file.reader),
    ]
    assert several[0].key == several[1].key
    assert len({network.key for network in several}) == 4
    assert several[0].name == "the loaded file"
    assert several[0].title == r"784-8-10, loaded from \_my\_ \*net\*\.pt"
    right = (model(mnist.test_images / 255).argmax(1) == mnist.test_labels).float().mean().item()
    assert several[0].accuracy == f"MNIST {right:.2%}"
