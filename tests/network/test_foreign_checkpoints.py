"""Checkpoints of other programs: they are read with equal logits and a note, or named for what they are."""

import gzip
import io
import json
import pickle
import pickletools
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.compat.proto import graph_pb2, meta_graph_pb2, node_def_pb2  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.nn.utils import prune

from mnist_fc.config import ConfigError, TrainConfig
from mnist_fc.export import onnx
from mnist_fc.network import checkpoint
from mnist_fc.network.adaptation import SCALINGS, Inputs
from mnist_fc.network.checkpoint import FOREIGN_CONFIG, CheckpointError, Loaded
from mnist_fc.network.mlp import MLP, initialize
from mnist_fc.network.tensor_files import MAX_PICKLE_BYTES, read_state
from tests.support.files import WritesAFile

NAME = "net.pt"
IMAGES = torch.rand((20, 784), generator=torch.Generator().manual_seed(1))


def new_model(hidden_sizes: tuple[int, ...] = (12, 12)) -> MLP:
    model = MLP(hidden_sizes)
    initialize(model, "pytorch", torch.Generator().manual_seed(3))
    return model


MODEL = new_model()
STATE = MODEL.state_copy()


def saved(value: object, **options: Any) -> bytes:
    content = io.BytesIO()
    torch.save(value, content, **options)
    return content.getvalue()


def legacy(value: object) -> bytes:
    """Return what torch.save wrote before PyTorch 1.6."""
    return saved(value, _use_new_zipfile_serialization=False)


def load(content: bytes, inputs: Inputs = "0..1") -> Loaded:
    return checkpoint.from_bytes(content, NAME, "relu", inputs)


def renamed(*layers: str) -> dict[str, Tensor]:
    names = [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]
    return dict(zip(names, STATE.values(), strict=True))


def zipped(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in files.items():
            archive.writestr(name, part)
    return content.getvalue()


WRITERS: list[Callable[[Any], bytes]] = [saved, legacy, safetensors.torch.save]


@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("is_zip", [True, False])
def test_every_pickle_protocol_of_both_formats_is_read(protocol: int, is_zip: bool) -> None:
    value = {"model": STATE, "step": 2**40, "done": True}
    loaded = load(saved(value, pickle_protocol=protocol, _use_new_zipfile_serialization=is_zip))
    assert torch.equal(loaded.model(IMAGES), MODEL(IMAGES))
    assert loaded.notes == ("The network is under the key model.",)


@given(
    dtype=st.sampled_from([torch.float32, torch.float16, torch.int64, torch.bool]),
    shape=st.lists(st.integers(0, 4), max_size=4),
    protocol=st.integers(1, 5),
)
def test_tensors_of_the_old_format_are_read(dtype: torch.dtype, shape: list[int], protocol: int) -> None:
    tensor = torch.arange(3 + 4**4).to(dtype)[3 : 3 + torch.Size(shape).numel()].view(shape)
    value = {"a": tensor, "b": torch.ones(3), "again": tensor.T if tensor.ndim == 2 else tensor}
    content = saved(value, pickle_protocol=protocol, _use_new_zipfile_serialization=False)
    loaded = read_state(io.BytesIO(content), 2**20).tensors
    assert all(torch.equal(loaded[name], each) and loaded[name].dtype == each.dtype for name, each in value.items())


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    "layers",
    [
        *(("module.fc1", "module.fc2", "module.fc3"), ("_orig_mod.fc1", "_orig_mod.fc2", "_orig_mod.fc3")),
        *(("model.layers.0", "model.layers.2", "model.layers.10"), ("1", "3", "5"), ("l1", "l2", "l3")),
        ("hidden.first", "hidden.second", "out"),
    ],
)
def test_layers_of_any_name_are_read_in_order(write: Callable[[Any], bytes], layers: tuple[str, ...]) -> None:
    loaded = load(write(renamed(*layers)))
    assert torch.equal(loaded.model(IMAGES), MODEL(IMAGES))
    assert loaded.notes == (f"Its layers {', '.join(layers)} are read as fc1, fc2, fc3.",)


@pytest.mark.parametrize("write", WRITERS)
def test_weights_in_any_order_are_sorted_by_their_shapes(write: Callable[[Any], bytes]) -> None:
    model = new_model((16, 12))
    weights = model.state_copy()
    names = {"classifier": "fc3", "input": "fc1", "middle": "fc2"}
    state = {f"{name}.{part}": weights[f"{layer}.{part}"] for name, layer in names.items() for part in ("weight", "bias")}
    assert torch.equal(load(write(state)).model(IMAGES), model(IMAGES))


@pytest.mark.parametrize("write", WRITERS)
def test_names_without_weight_and_bias_are_paired_in_order(write: Callable[[Any], bytes]) -> None:
    state = dict(zip(["W1", "b1", "W2", "b2", "W3", "b3"], STATE.values(), strict=True))
    assert torch.equal(load(write(state)).model(IMAGES), MODEL(IMAGES))


@pytest.mark.parametrize("write", WRITERS)
def test_transposed_weights_are_read(write: Callable[[Any], bytes]) -> None:
    model = new_model((16, 12))
    state = {name: tensor.T.contiguous() if tensor.ndim == 2 else tensor for name, tensor in model.state_copy().items()}
    loaded = load(write(state))
    assert torch.equal(loaded.model(IMAGES), model(IMAGES))
    assert loaded.notes == ("Its weights are of shape (in, out) and were transposed.",)


def test_layers_without_biases_get_zeros() -> None:
    net = nn.Sequential(nn.Linear(784, 12, bias=False), nn.ReLU(), nn.Linear(12, 10, bias=False))
    loaded = load(saved(net.state_dict()))
    assert torch.equal(loaded.model(IMAGES), net(IMAGES))
    assert loaded.notes[-1] == "It has no biases; zeros stand for them."


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_other_floats_are_converted_and_reported(write: Callable[[Any], bytes], dtype: torch.dtype) -> None:
    state = {name: tensor.to(dtype) for name, tensor in STATE.items()}
    loaded = load(write(state))
    assert all(torch.equal(tensor, state[name].float()) for name, tensor in loaded.model.state_dict().items())
    assert loaded.notes == (f"Its {str(dtype).removeprefix('torch.')} values were converted to float32.",)


@pytest.mark.parametrize("write", [saved, legacy])
@pytest.mark.parametrize(
    ("around", "key"),
    [
        (lambda state: {"state_dict": state}, "state_dict"),
        (lambda state: {"epoch": 3, "model_state_dict": state, "loss": torch.tensor(0.5)}, "model_state_dict"),
        (lambda state: {"model": state, "ema": state, "args": {"lr": 0.1}}, "model"),
        (lambda state: {"epoch": 3, "mine": state}, "mine"),
        (lambda state: {"checkpoint": {"model": state}}, "checkpoint.model"),
    ],
)
def test_state_dict_inside_dictionaries_is_found(write: Callable[[Any], bytes], around: Any, key: str) -> None:
    loaded = load(write(around(STATE)))
    assert torch.equal(loaded.model(IMAGES), MODEL(IMAGES))
    assert loaded.notes == (f"The network is under the key {key}.",)


def test_training_checkpoint_with_an_optimizer_is_read() -> None:
    model = new_model()
    optimizer = torch.optim.Adam(model.parameters())
    model(IMAGES).sum().backward()
    optimizer.step()
    content = saved({"epoch": 3, "model": model.state_dict(), "optimizer": optimizer.state_dict()})
    assert torch.equal(load(content).model(IMAGES), model(IMAGES))


def test_safetensors_written_here_are_read_by_the_library(tmp_path: Path) -> None:
    content = checkpoint.to_safetensors(STATE)
    (tmp_path / "model.safetensors").write_bytes(content)
    assert all(torch.equal(tensor, STATE[name]) for name, tensor in safetensors.torch.load(content).items())
    loaded = checkpoint.read(tmp_path / "model.safetensors")
    assert loaded.notes == ()
    assert torch.equal(loaded.model(IMAGES), MODEL(IMAGES))


@pytest.mark.parametrize("inputs", SCALINGS)
def test_scaled_inputs_become_part_of_the_first_layer(inputs: Inputs) -> None:
    subtracted, divisor = SCALINGS[inputs]
    expected = MODEL.double()((IMAGES.double() - subtracted) / divisor)
    MODEL.float()
    loaded = load(saved(STATE), inputs)
    torch.testing.assert_close(loaded.model(IMAGES), expected.float(), rtol=1e-4, atol=1e-5)
    assert all(torch.equal(tensor, STATE[name]) for name, tensor in loaded.trained.state_dict().items())


def read_beside(config: bytes, folder: Path) -> Loaded:
    checkpoint.save(folder / "model.ckpt", STATE)
    (folder / "config.json").write_bytes(config)
    return checkpoint.read(folder / "model.ckpt")


@pytest.mark.parametrize(
    "config",
    [
        *(b'{"architectures": ["MLP"], "hidden_act": "gelu", "hidden_sizes": [500]}', b'{"module": "keras", "config": {}}'),
        *(b'{"batch_size": 64, "lr": 0.001, "epochs": 5, "seed": 1}', b'{"hidden_sizes": [8], "lr": 0.1}', b'{"dropout": 0.9}'),
        *(b'{"optimizer": {"name": "adam", "lr": 0.001}, "seed": 3}', b'{"activation": null}', b'{"activation": ""}', b"{}"),
        *(b"[1]", b"null", b'"x"', b'{"a":', b"<!doctype html>", b"", b"\xff\xfe", b"[" * 60_000, b'{"lr": 1}' + b" " * 2**17),
        *('\ufeff{"seed": 1}'.encode(), '{"seed": 1}'.encode("utf-16")),
    ],
    ids=lambda config: config[:30],
)
def test_config_of_another_program_leaves_relu_and_a_note(tmp_path: Path, config: bytes) -> None:
    loaded = read_beside(config, tmp_path)
    assert (loaded.model.activation_name, loaded.notes, loaded.is_as_trained) == ("relu", (FOREIGN_CONFIG,), False)


@pytest.mark.parametrize(
    ("named", "activation"), [("ReLU", "relu"), ("LeakyReLU", "leaky_relu"), ("leaky_relu", "leaky_relu"), ("TANH", "tanh")]
)
def test_activation_in_another_programs_config_is_used_in_any_spelling(tmp_path: Path, named: str, activation: str) -> None:
    loaded = read_beside(json.dumps({"activation": named, "dropout": 0.1}).encode(), tmp_path)
    assert loaded.model.activation_name == activation
    assert loaded.notes == (f"config.json beside it is of another program; only its activation, {activation}, is used.",)


@pytest.mark.parametrize("named", ["silu", "elu", "gelu_new"])
def test_unknown_activation_in_another_programs_config_is_named(tmp_path: Path, named: str) -> None:
    loaded = read_beside(json.dumps({"activation": named, "hidden_sizes": [8]}).encode(), tmp_path)
    assert loaded.model.activation_name == "relu"
    assert loaded.notes == (f"{FOREIGN_CONFIG[:-1]}: {named} is not known.",)


def test_given_activation_takes_the_place_of_the_config(tmp_path: Path) -> None:
    damaged = TrainConfig().to_json().replace('"relu"', '"step"')
    with pytest.raises(ConfigError):
        read_beside(damaged.encode(), tmp_path)
    assert checkpoint.read(tmp_path / "model.ckpt", "tanh").model.activation_name == "tanh"


def numpy_archive() -> bytes:
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **{name: tensor.numpy() for name, tensor in STATE.items()})
    return content.getvalue()


def unpacked() -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(saved(STATE))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


SKLEARN = b"\x80\x04\x95\x3a\0\0\0\0\0\0\0\x8c\x1esklearn.linear_model._logistic\x8c\x12LogisticRegression\x93."


def message(tag: int, content: bytes) -> bytes:
    """Return a message of at most 16,383 bytes in a protocol buffer."""
    size = bytes([len(content)]) if len(content) < 128 else bytes([len(content) % 128 + 128, len(content) // 128])
    return bytes([tag]) + size + content


GRAPH = graph_pb2.GraphDef(node=[node_def_pb2.NodeDef(name="images", op="Placeholder")])
META_GRAPH = meta_graph_pb2.MetaGraphDef(graph_def=GRAPH)
META_GRAPH.meta_info_def.stripped_op_list.op.add(name="MatMul")
META_GRAPH.meta_info_def.tags.append("serve")
CORE_ML = message(0x12, message(0x0A, message(0x0A, b"image") + message(0x1A, b"x" * 120)))

FOREIGN_FILES = {
    "is a web page; download": b"\n<!DOCTYPE html><html><body>Not found</body></html>",
    "is a Git LFS pointer, .* `git lfs pull`": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n",
    "is compressed with gzip; unpack it": gzip.compress(saved(STATE)),
    "was unpacked and zipped again; use the file": zipped(unpacked()),
    r"is a Keras model \(\.keras\); save the weights": zipped({"config.json": b"{}", "model.weights.h5": b"\x89HDF"}),
    "is an HDF5 file, as Keras writes": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "is an ONNX model; save the weights": onnx.to_onnx(MODEL),
    r"is an ONNX model;": b"\x08\x08\x12\x07pytorch\x1a\x052.1.0\x3a\x10",
    r"is a TensorFlow graph \(\.pb\); save the weights": GRAPH.SerializeToString(),
    r"is a TensorFlow SavedModel \(\.pb\); save the weights": b"\x08\x01" + message(0x12, META_GRAPH.SerializeToString()),
    r"is a Core ML model \(\.mlmodel\); save the weights": b"\x08\x04" + CORE_ML,
    r"is a Core ML model": b"\x08\x01" + CORE_ML,
    "is a TorchScript model; save its state dict": zipped({"m/data.pkl": b"", "m/constants.pkl": b"", "m/code/a.py": b""}),
    "is a program of torch.export": zipped({"m/archive_format": b"pt2", "m/data/weights/weight_0": b""}),
    r"is a NumPy archive \(\.npz\)": numpy_archive(),
    "is a zip archive; unpack it": zipped({"folder/net.pt": saved(STATE)}),
    "is a scikit-learn model in a pickle": SKLEARN,
    "is a pickle that torch.save did not write": pickle.dumps({"fc1.weight": 3}),
    "is a JSON text without weights": b'{"hidden_sizes": [500]}',
    "is empty; copy or download it again": b"",
    "save only model.state_dict": saved(nn.Linear(784, 10)),
    "has batch normalization": saved(nn.Sequential(nn.Linear(784, 8), nn.BatchNorm1d(8)).state_dict()),
    r"has 0.weight of shape \(4, 1, 3, 3\); only fully": saved(nn.Sequential(nn.Conv2d(1, 4, 3)).state_dict()),
    r"has 1.weight of shape \(8,\), which is of no fully": saved(nn.Sequential(nn.Linear(784, 8), nn.LayerNorm(8)).state_dict()),
    r"has 1.weight of shape \(1,\), which is of no fully": saved(nn.Sequential(nn.Linear(784, 8), nn.PReLU()).state_dict()),
    r"has LoRA layers \(fc1.lora_A.weight\); merge them": saved(STATE | {"fc1.lora_A.weight": torch.zeros(2, 784)}),
    r"has weights in parts .*original0\); remove": saved(nn.utils.parametrizations.weight_norm(nn.Linear(784, 10)).state_dict()),
    r"has weights in parts .*\(fc1.weight_g\); remove": saved({"fc1.weight_g": torch.zeros(8, 1)} | STATE),
    r"has pruned weights \(weight_orig\); make them plain": saved(
        prune.l1_unstructured(nn.Linear(784, 10), "weight", 0.5).state_dict()
    ),
    r"has weights that FSDP has joined \(_flat_param\); save": saved({"_flat_param": torch.zeros(9)}),
    "is the state of an optimizer; give the checkpoint": saved(
        torch.optim.SGD(nn.Linear(784, 10).parameters(), 0.1).state_dict()
    ),
    "is a MATLAB file; save the weights": b"MATLAB 5.0 MAT-file".ljust(200),
    "is an Office document": zipped({"[Content_Types].xml": b""}),
    "holds several dictionaries, encoder, decoder": saved({"encoder": STATE, "decoder": STATE}),
    "do not form pairs: fc2.bias": saved({name: tensor for name, tensor in STATE.items() if name != "fc2.bias"}),
}


@pytest.mark.parametrize("words", FOREIGN_FILES)
def test_other_files_are_named_for_what_they_are(words: str) -> None:
    with pytest.raises(CheckpointError, match=f"^net\\.pt {words}|^net\\.pt .*{words}"):
        load(FOREIGN_FILES[words])


@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
def test_code_in_the_old_format_never_runs(tmp_path: Path, protocol: int) -> None:
    value = STATE | {"code": WritesAFile(tmp_path / "ran")}
    with pytest.raises(CheckpointError, match="could run code"):
        load(saved(value, pickle_protocol=protocol, _use_new_zipfile_serialization=False))
    assert not (tmp_path / "ran").exists()


class Vector:
    """A tensor of one number in a storage that claims to have `num_values`."""

    def __init__(self, num_values: int) -> None:
        self.num_values = num_values

    def __reduce__(self) -> tuple[Any, ...]:
        return torch._utils._rebuild_tensor_v2, (("storage", self.num_values), 0, (1,), (1,), False, None)


class LegacyPickler(pickle.Pickler):
    """Writes storages as torch.save did, all under one name."""

    def persistent_id(self, value: Any) -> Any:
        match value:
            case ("storage", int(num_values)):
                return "storage", torch.FloatStorage, "0", "cpu", num_values, None
        return None


def test_storage_that_claims_two_sizes_allocates_neither() -> None:
    content = io.BytesIO(legacy(torch.zeros(1))[:-12])
    for _ in range(3):  # magic number, version and machine stay
        for _ in pickletools.genops(content):
            pass
    content.truncate()
    LegacyPickler(content, 2).dump({"model": {"a.weight": Vector(2**40)}, "loss": Vector(1)})
    content.write(pickle.dumps(["0"], 2) + (2**40).to_bytes(8, "little") + bytes(4))
    with pytest.raises(CheckpointError, match="is truncated or not a checkpoint"):
        load(content.getvalue())


@pytest.mark.parametrize("write", [legacy, safetensors.torch.save])
def test_truncated_files_of_both_other_formats_are_rejected(write: Callable[[Any], bytes]) -> None:
    content = write(STATE)
    for length in [*range(20, len(content), 997), len(content) - 1]:
        with pytest.raises(CheckpointError):
            load(content[:length])


def test_safetensors_with_a_long_header_is_rejected_unread() -> None:
    header = b'{"__metadata__":{"a":"' + b"x" * MAX_PICKLE_BYTES + b'"}}'
    with pytest.raises(CheckpointError, match="holds more besides tensors"):
        load(len(header).to_bytes(8, "little") + header)


def test_dictionary_repeated_thousands_of_times_is_looked_through_once() -> None:
    many = dict.fromkeys(map(str, range(5000)))
    with pytest.raises(CheckpointError, match="several dictionaries"):
        load(saved(dict.fromkeys(map(str, range(3000)), many)))


FOLDERS = {
    "is a folder; give the model.ckpt in it": ["config.json", "metrics.jsonl", "model.ckpt"],
    "is a folder; give the model.safetensors in it": ["config.json", "model.safetensors"],
    "is a folder; give a checkpoint, such as the model.ckpt of a run": ["notes.txt"],
    "is the folder of a TensorFlow SavedModel; save the weights": ["saved_model.pb", "variables"],
    "is the folder of a distributed checkpoint; make one file of it with `python -m": [".metadata", "__0_0.distcp"],
    "is the folder of an unpacked checkpoint; use the file as torch.save wrote it": ["data.pkl", "data", "version"],
}


@pytest.mark.parametrize("words", FOLDERS)
def test_folders_are_named_for_what_they_are(tmp_path: Path, words: str) -> None:
    for name in FOLDERS[words]:
        (tmp_path / name).touch()
    with pytest.raises(CheckpointError) as caught:
        checkpoint.read(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path} {words}")


def test_empty_name_is_rejected() -> None:
    with pytest.raises(CheckpointError, match=r"the checkpoint's name is empty; give the path of a model.ckpt"):
        checkpoint.read("")
