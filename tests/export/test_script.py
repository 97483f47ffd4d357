"""export.py: the program trains as the engine does and needs nothing of ours; the ONNX file gives the network's logits."""

import ast
import importlib.util
import os
import pickle
import random
import re
import runpy
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime  # type: ignore[import-untyped]
import pytest
import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, register_optimizer_step_pre_hook

from mnist_fc.config import FIELDS, PRESETS, Choice, TrainConfig
from mnist_fc.data.augment import MAX_SHIFT, augment
from mnist_fc.data.mnist import EMBEDDED, IDX_FILES, Mnist, split_validation
from mnist_fc.export.onnx import onnx_bytes
from mnist_fc.export.script import script
from mnist_fc.network import checkpoint
from mnist_fc.network.mlp import ACTIVATIONS, MLP, initialize
from mnist_fc.reading import rejection
from mnist_fc.records import EndRecord, EpochRecord, StepRecord, WeightsRecord
from mnist_fc.training.engine import train
from mnist_fc.training.evaluation import evaluate
from tests.support.models import trained_models

SIZES = (24, 20, 16, 12)

PLAIN = TrainConfig(hidden_sizes=(32,), num_epochs=1, num_validation=0, threads=1)
"""Settings that need the least code."""

CASES = {
    "keras": PLAIN.replace(initialization="keras", adam_epsilon=1e-7),
    "tanh": PLAIN.replace(
        hidden_sizes=(32, 16),
        activation="tanh",
        optimizer="adamw",
        weight_decay=0.05,
        schedule="one_cycle",
        learning_rate=0.01,
        augmentation="shift",
        dropout=0.1,
        num_validation=500,
        batch_size=10,
    ),
    "sigmoid": PLAIN.replace(
        hidden_sizes=(32, 24, 16),
        activation="sigmoid",
        optimizer="sgd",
        learning_rate=0.5,
        weight_decay=1e-4,
        schedule="cosine",
        augmentation="affine",
        label_smoothing=0.1,
        num_validation=500,
    ),
    "leaky": PLAIN.replace(
        hidden_sizes=SIZES, activation="leaky_relu", optimizer="sgd", momentum=0.0, learning_rate=0.1, augmentation="elastic"
    ),
    "gelu": PLAIN.replace(
        activation="gelu",
        schedule="one_cycle",
        augmentation="elastic",
        dropout=0.5,
        label_smoothing=0.2,
        weight_decay=1e-4,
        num_validation=100,
        batch_size=15,
    ),
}
"""Settings that together take every choice there is."""


class Trained(NamedTuple):
    """What a program left behind that ran by itself."""

    config: TrainConfig
    folder: Path
    output: str
    network: MLP


@pytest.fixture(scope="module", params=CASES)
def trained(request: pytest.FixtureRequest, small_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Each case's program, run for an epoch in a folder with nothing else in it; a warning would end it."""
    config, folder = CASES[request.param], tmp_path_factory.mktemp("taken_away")
    (folder / "train.py").write_text(script(config), "utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "train.py", "--data", str(small_npz)]
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    (folder / "config.json").write_text(config.to_json(), "utf-8")  # only now: it tells `checkpoint.load` the activation
    return Trained(config, folder, ran.stdout, checkpoint.load(folder / "model.ckpt"))


@pytest.fixture(scope="module")
def images(small: Mnist) -> Tensor:
    return small.train_images[:1000] / 255


@pytest.fixture(scope="module")
def models(images: Tensor) -> dict[tuple[str, int], MLP]:
    """A network of ours of each activation and depth. Not trained, but whatever its depth, images differ in their logits."""
    return {(activation, depth): vivid(activation, depth, images) for activation in ACTIVATIONS for depth in range(1, 5)}


@torch.no_grad()
def vivid(activation: Any, depth: int, images: Tensor) -> MLP:
    """A network with random weights, of a size that lets each layer's sums vary by 1 from image to image."""
    model = MLP(SIZES[:depth], activation)
    initialize(model, "pytorch", torch.Generator().manual_seed(depth))
    for layer in model.layers:
        layer.weight.div_(layer(images).std(0).mean())
        images = model.activation(layer(images))
    return model


@pytest.fixture
def module_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[TrainConfig], Any]:
    """A function that imports the program of a config; what the program reads and writes by name is in `tmp_path`."""
    monkeypatch.chdir(tmp_path)

    def import_it(config: TrainConfig) -> ModuleType:
        path = tmp_path / "train.py"
        path.write_text(script(config), "utf-8")
        spec = importlib.util.spec_from_file_location("exported_program", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        torch.manual_seed(0)
        return module

    return import_it


@pytest.fixture
def run_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """A function that runs the program of a config in this process and returns what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(config: TrainConfig, *arguments: str | Path) -> str:
        (tmp_path / "train.py").write_text(script(config), "utf-8")
        monkeypatch.setattr(sys, "argv", ["train.py", *map(str, arguments)])
        runpy.run_path("train.py", run_name="__main__")
        return capsys.readouterr().out

    return run


def any_config(chance: random.Random) -> TrainConfig:
    """Each choice as likely as the others, each number often the one that needs no code, and often a long one."""
    values: dict[str, Any] = {name: chance.choice(limit.options) for name, limit in FIELDS.items() if isinstance(limit, Choice)}
    numbers: dict[str, tuple[float, ...]] = {
        "dropout": (0.0, 0.1234567),
        "learning_rate": (1e-5, 0.0123456789),
        "momentum": (0.0, 0.9),
        "adam_epsilon": (1e-8, 1.2345e-12),
        "weight_decay": (0.0, 0.01, 0.000123456),
        "label_smoothing": (0.0, 0.1),
        "num_validation": (0, 5000),
        "seed": (0, 2**31 - 1),
        "batch_size": (8, 4096),
    }
    values |= {name: chance.choice(options) for name, options in numbers.items()}
    return TrainConfig(hidden_sizes=tuple(chance.choices((8, 100, 2048), k=chance.randint(1, 4))), **values)


@pytest.fixture(scope="module")
def many_scripts() -> list[str]:
    chance = random.Random(0)
    return [script(config) for config in [*PRESETS.values(), *CASES.values(), *(any_config(chance) for _ in range(200))]]


def shape_of(image: Tensor) -> tuple[Tensor, Tensor]:
    """Of images (N, 784): centers of mass, (N, 2) in pixels, and ink, (N,)."""
    square, places = image.view(-1, 28, 28), torch.arange(28.0)
    return torch.stack([square.sum(1) @ places, square.sum(2) @ places], 1) / image.sum(1, keepdim=True), image.sum(1)


# The program as a text.


def test_the_cases_take_every_choice_there_is() -> None:
    for name, limit in FIELDS.items():
        if isinstance(limit, Choice):
            assert {getattr(config, name) for config in CASES.values()} == set(limit.options)
    assert {len(config.hidden_sizes) for config in CASES.values()} == {1, 2, 3, 4}
    for name in ("dropout", "label_smoothing", "num_validation", "momentum", "weight_decay"):
        assert {getattr(config, name) > 0 for config in CASES.values()} == {True, False}


def test_programs_are_as_a_formatter_and_a_linter_with_their_own_settings_want_them(
    many_scripts: list[str], tmp_path: Path
) -> None:
    for number, text in enumerate(many_scripts):
        (tmp_path / f"train{number}.py").write_text(text, "utf-8")
    ruff = [sys.executable, "-m", "ruff"]
    rules = "E,F,W,I,B,UP,SIM,C4,RET,PIE,PERF"
    for command in (["format", "--check", "--diff"], ["check", f"--select={rules}"]):
        ran = subprocess.run([*ruff, *command, "--isolated", "--no-cache", tmp_path], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_programs_import_python_torch_and_numpy_and_torchvision_only_where_it_is_needed(many_scripts: list[str]) -> None:
    for text in many_scripts:
        tree = ast.parse(text)
        at_the_top = {ast.unparse(node) for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))}
        anywhere = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))}
        roots = {statement.split()[1].split(".")[0] for statement in at_the_top}
        assert roots <= {"argparse", "math", "pathlib", "numpy", "torch"}
        assert anywhere - at_the_top == {"from torchvision.datasets import MNIST"}
        assert "mnist_fc" not in text


def test_whatever_a_program_defines_it_uses(many_scripts: list[str]) -> None:
    for text in many_scripts:
        tree = ast.parse(text)
        defined = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
        defined |= {ast.unparse(node.targets[0]) for node in tree.body if isinstance(node, ast.Assign)}
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        assert defined
        assert defined <= used


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"activation": "tanh"}, ["torch.tanh"]),
        ({"initialization": "keras"}, ["xavier", "zeros_"]),
        ({"dropout": 0.1}, ["DROPOUT", "nn.Dropout", "model.train()", "model.eval()"]),
        ({"optimizer": "adamw"}, ["AdamW(", "WEIGHT_DECAY = 0.0"]),
        ({"optimizer": "sgd"}, ["SGD(", "MOMENTUM = 0.9"]),
        ({"adam_epsilon": 1e-7}, ["ADAM_EPSILON"]),
        ({"weight_decay": 0.1}, ["WEIGHT_DECAY"]),
        ({"schedule": "cosine"}, ["schedule", "import math"]),
        ({"schedule": "one_cycle"}, ["schedule", "import math", "One cycle"]),
        ({"label_smoothing": 0.1}, ["LABEL_SMOOTHING"]),
        ({"augmentation": "shift"}, ["augment", "MAX_SHIFT", "grid_sample"]),
        ({"augmentation": "affine"}, ["augment", "MAX_SHIFT", "MAX_ROTATION", "MAX_SCALE", "MAX_SHEAR"]),
        ({"augmentation": "elastic"}, ["augment", "MAX_ROTATION", "ELASTIC_STRENGTH", "def displacements"]),
        ({"num_validation": 500}, ["NUM_VALIDATION", "def split", "validation accuracy"]),
    ],
)
def test_a_program_has_what_its_settings_need_and_others_have_not(change: dict[str, Any], words: list[str]) -> None:
    plain, changed = script(PLAIN), script(PLAIN.replace(**change))
    for word in words:
        assert word in changed
        assert word not in plain


def test_settings_that_change_nothing_leave_no_trace() -> None:
    assert script(PLAIN.replace(optimizer="sgd", adam_epsilon=1e-7)) == script(PLAIN.replace(optimizer="sgd"))
    assert script(PLAIN.replace(momentum=0.5)) == script(PLAIN)
    assert script(PLAIN.replace(augmentation="shift")).count("MAX_") == 2


# The program as it runs by itself.


def test_it_leaves_a_checkpoint_that_we_read(trained: Trained) -> None:
    assert trained.network.hidden_sizes == trained.config.hidden_sizes
    assert trained.network.activation_name == trained.config.activation
    assert {path.name for path in trained.folder.iterdir()} == {"train.py", "model.ckpt", "config.json"}


def test_it_prints_the_accuracy_that_its_network_has(trained: Trained, small: Mnist) -> None:
    lines = trained.output.splitlines()
    _, test_accuracy = evaluate(trained.network, small.test_images, small.test_labels)
    assert lines[-1] == f"test accuracy {test_accuracy:.2%}"
    if trained.config.num_validation:
        _, val_indices = split_validation(small.train_labels, trained.config.num_validation, trained.config.seed)
        _, val_accuracy = evaluate(trained.network, small.train_images[val_indices], small.train_labels[val_indices])
        assert lines[-2] == f"epoch 1: validation accuracy {val_accuracy:.2%}"
    else:
        assert lines[-2] == f"epoch 1: {lines[-1]}"


def test_it_prints_the_loss_every_hundred_steps(trained: Trained) -> None:
    num_steps = trained.config.steps_per_epoch(2000)
    steps = re.findall(r"^epoch 1, step (\d+): loss \d\.\d{4}$", trained.output, re.MULTILINE)
    assert steps == [str(step) for step in range(100, num_steps + 1, 100)]
    assert len(trained.output.splitlines()) == len(steps) + 2


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_it_gives_the_logits_of_our_network(
    models: dict[tuple[str, int], MLP],
    module_of: Callable[[TrainConfig], Any],
    small: Mnist,
    activation: Any,
    depth: int,
) -> None:
    ours = models[activation, depth]
    theirs = module_of(PLAIN.replace(activation=activation, hidden_sizes=SIZES[:depth])).MLP()
    assert list(theirs.state_dict()) == list(ours.state_dict())
    theirs.load_state_dict(ours.state_dict())
    with torch.no_grad():
        expected = ours(small.test_images / 255)
        assert expected.std(0).min() > 0.1
        torch.testing.assert_close(theirs(small.test_images / 255), expected)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_given_a_checkpoint_of_ours_it_prints_our_test_accuracy_and_trains_nothing(
    run_here: Callable[..., str], small: Mnist, small_npz: Path, tmp_path: Path, dropout: float
) -> None:
    ours = trained_models(small, SIZES, [2])["tanh", 2]
    checkpoint.save(tmp_path / "ours.ckpt", ours.state_copy())
    config = TrainConfig(hidden_sizes=ours.hidden_sizes, activation="tanh", dropout=dropout)
    output = run_here(config, "--data", small_npz, "--checkpoint", "ours.ckpt")
    _, accuracy = evaluate(ours, small.test_images, small.test_labels)
    assert output == f"test accuracy {accuracy:.2%}\n"
    assert accuracy > 0.5
    assert not (tmp_path / "model.ckpt").exists()


def test_a_checkpoint_that_is_code_is_refused_and_not_run(run_here: Callable[..., str], small_npz: Path, tmp_path: Path) -> None:
    class WritesAFile:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"code": WritesAFile()}, tmp_path / "code.ckpt")
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        run_here(PLAIN, "--data", small_npz, "--checkpoint", "code.ckpt")
    assert not (tmp_path / "ran").exists()


def test_without_a_file_it_takes_the_data_from_torchvision(
    module_of: Callable[[TrainConfig], Any], small_arrays: dict[str, np.ndarray], small_npz: Path, tmp_path: Path
) -> None:
    module = module_of(PLAIN)
    raw = tmp_path / "MNIST" / "raw"  # where torchvision finds what it has downloaded once
    raw.mkdir(parents=True)
    for name, stem in IDX_FILES.items():
        array = small_arrays[name]
        header = struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape)
        (raw / stem).write_bytes(header + array.tobytes())
    of_torchvision, of_file = module.load_data(tmp_path / "mnist.npz"), module.load_data(small_npz)
    for left, right in zip(of_torchvision, of_file, strict=True):
        assert torch.equal(left[0], right[0])
        assert torch.equal(left[1], right[1])
    for (images, labels), num_images in zip(of_file, (2000, 500), strict=True):
        assert (images.shape, images.dtype, labels.dtype) == ((num_images, 784), torch.float32, torch.int64)
        assert (images.min(), images.max()) == (0, 1)


# The program held to the engine.


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"adam_epsilon": 1e-3, "weight_decay": 0.01, "schedule": "one_cycle"},
        {"optimizer": "adamw", "schedule": "cosine", "label_smoothing": 0.3},
        {"optimizer": "adamw", "weight_decay": 0.5, "schedule": "one_cycle"},
        {"optimizer": "sgd", "weight_decay": 0.01, "learning_rate": 0.1, "schedule": "one_cycle"},
        {"optimizer": "sgd", "momentum": 0.0, "learning_rate": 0.1, "schedule": "cosine", "label_smoothing": 0.1},
    ],
    ids=str,
)
def test_with_all_images_in_one_batch_it_takes_the_engines_steps(
    module_of: Callable[[TrainConfig], Any], small: Mnist, capsys: pytest.CaptureFixture[str], changes: dict[str, Any]
) -> None:
    # Chance has no part then: order does not matter.
    defaults = {"activation": "tanh", "batch_size": 4096, "num_epochs": 12, "num_validation": 500}
    config = PLAIN.replace(**(defaults | changes))
    records = list(train(config, small))
    weights = [record.weights for record in records if isinstance(record, WeightsRecord)]

    module = module_of(config)
    network = module.MLP()
    network.load_state_dict({name: torch.from_numpy(array) for name, array in weights[0].items()})
    sets = module.split(small.train_images / 255, small.train_labels)
    rates: list[float] = []

    def remember_rate(optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        rates.append(optimizer.param_groups[0]["lr"])

    handle = register_optimizer_step_pre_hook(remember_rate)
    try:
        module.train(network, *sets)
    finally:
        handle.remove()

    assert rates == pytest.approx([r.learning_rate for r in records if isinstance(r, StepRecord)], rel=1e-12)
    for name, parameter in network.state_dict().items():
        assert not np.allclose(weights[0][name], weights[-1][name], rtol=1e-2)
        torch.testing.assert_close(parameter, torch.from_numpy(weights[-1][name]), rtol=1e-3, atol=2e-5)
    printed = [float(share) for share in re.findall(r"validation accuracy ([\d.]+)%", capsys.readouterr().out)]
    epochs = [record.val_accuracy for record in records if isinstance(record, EpochRecord)]
    assert printed == pytest.approx([100 * accuracy for accuracy in epochs if accuracy is not None], abs=0.21)


def test_it_validates_on_the_same_images(module_of: Callable[[TrainConfig], Any], small: Mnist) -> None:
    module = module_of(PLAIN.replace(num_validation=300, seed=5))
    parts = module.split(small.train_images, small.train_labels)
    for part, indices in zip(parts, split_validation(small.train_labels, 300, 5), strict=True):
        assert torch.equal(part[0], small.train_images[indices])
        assert torch.equal(part[1], small.train_labels[indices])


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle"])
def test_its_schedule_is_the_engines_over_many_epochs(
    module_of: Callable[[TrainConfig], Any], small: Mnist, schedule: Any
) -> None:
    config = PLAIN.replace(hidden_sizes=(8,), schedule=schedule, learning_rate=0.3, num_epochs=30, batch_size=500)
    factor = module_of(config).schedule
    steps = [record for record in train(config, small) if isinstance(record, StepRecord)]
    assert len(steps) > 30
    for record in steps:
        assert 0.3 * factor((record.step - 1) / 120) == pytest.approx(record.learning_rate, rel=1e-12)


@pytest.mark.parametrize("kind", ["affine", "elastic"])
def test_the_same_random_numbers_change_images_in_the_same_way(
    module_of: Callable[[TrainConfig], Any], images: Tensor, kind: Any
) -> None:
    ours = images.clone()
    augment(ours, kind, torch.Generator().manual_seed(7))
    module = module_of(PLAIN.replace(augmentation=kind))
    torch.manual_seed(7)
    torch.testing.assert_close(module.augment(images), ours, rtol=0, atol=1e-4)
    assert (ours - images).abs().mean() > 0.01


@pytest.mark.parametrize("kind", ["shift", "affine", "elastic"])
def test_changed_images_are_moved_as_far_as_ours_and_keep_shape_and_range(
    module_of: Callable[[TrainConfig], Any], images: Tensor, kind: Any
) -> None:
    before = images.clone()
    theirs, ours = module_of(PLAIN.replace(augmentation=kind)).augment(images), images.clone()
    augment(ours, kind, torch.Generator().manual_seed(0))
    assert torch.equal(images, before)
    assert (theirs.shape, theirs.dtype) == (ours.shape, ours.dtype)
    assert theirs.min() >= 0
    assert theirs.max() <= 1 + 1e-6
    (center, ink), (our_center, our_ink), (first_center, first_ink) = map(shape_of, (theirs, ours, images))
    torch.testing.assert_close((center - first_center).std(0), (our_center - first_center).std(0), rtol=0.1, atol=0)
    torch.testing.assert_close((ink / first_ink).std(), (our_ink / first_ink).std(), rtol=0.15, atol=1e-3)
    if kind == "shift":
        moved = center - first_center
        assert moved.abs().max() <= MAX_SHIFT + 0.01
        assert moved.amax() > 0.95 * MAX_SHIFT
        assert moved.amin() < -0.95 * MAX_SHIFT


@pytest.mark.parametrize("scheme", ["pytorch", "keras"])
def test_first_weights_are_drawn_as_ours(module_of: Callable[[TrainConfig], Any], scheme: Any) -> None:
    ours = MLP((300, 200))
    initialize(ours, scheme, torch.Generator().manual_seed(0))
    theirs = module_of(PLAIN.replace(hidden_sizes=(300, 200), initialization=scheme)).MLP().state_dict()
    for name, tensor in ours.state_dict().items():
        our, their = tensor.numpy(), theirs[name].numpy()
        assert their.shape == our.shape
        few = our.size == 10
        assert abs(their).max() == pytest.approx(abs(our).max(), rel=0.3 if few else 0.02)
        assert their.std() == pytest.approx(our.std(), rel=0.6 if few else 0.1)
        assert abs(their.mean()) <= 0.2 * our.std() or few


def test_dropout_leaves_out_its_share_in_every_step_and_nothing_in_evaluation(
    module_of: Callable[[TrainConfig], Any], small: Mnist
) -> None:
    config = PLAIN.replace(hidden_sizes=(200, 100), activation="sigmoid", dropout=0.3, num_epochs=2)
    module = module_of(config)
    network = module.MLP()
    shares: dict[str, list[float]] = {"train": [], "evaluate": []}

    def remember_share(_module: torch.nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        assert inputs[0].all()
        kind = "train" if torch.is_grad_enabled() else "evaluate"
        shares[kind].append((output == 0).float().mean().item())

    network.dropout.register_forward_hook(remember_share)
    module.train(network, (small.train_images / 255, small.train_labels), (small.test_images / 255, small.test_labels))
    # Each of two hidden layers, at each of 20 steps, or once an epoch.
    assert shares["train"] == pytest.approx([0.3] * 2 * 20 * 2, abs=0.05)
    assert shares["evaluate"] == [0.0] * 2 * 2


def test_on_the_whole_of_mnist_it_reaches_the_engines_test_accuracy(
    run_here: Callable[..., str], mnist: Mnist, tmp_path: Path
) -> None:
    config = PRESETS["fast"].replace(threads=1)
    *_, end = train(config, mnist)
    assert isinstance(end, EndRecord)
    assert end.test_accuracy is not None
    run_here(config, "--data", EMBEDDED)
    _, accuracy = evaluate(checkpoint.load(tmp_path / "model.ckpt"), mnist.test_images, mnist.test_labels)
    assert accuracy == pytest.approx(end.test_accuracy, abs=0.005)
    assert accuracy > 0.975


# ONNX.


def logits_of(content: bytes, images: Tensor) -> np.ndarray:
    """What ONNX Runtime makes of images (N, 784) in [0, 1]."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"images": images.numpy()})
    return np.asarray(logits)


def assert_same_logits(model: MLP, images: Tensor) -> None:
    content = onnx_bytes(model)
    with torch.no_grad():
        expected = model(images)
    assert expected.std(0).min() > 0.1
    for num_images in (1, 7, len(images)):
        logits = logits_of(content, images[:num_images])
        assert logits.shape == (num_images, expected.shape[1])
        assert logits.dtype == np.float32
        np.testing.assert_allclose(logits, expected[:num_images].numpy(), rtol=0, atol=1e-4)


@pytest.fixture(scope="module")
def shipped() -> MLP:
    return checkpoint.load(checkpoint.SHIPPED)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_onnx_runtime_gives_the_networks_logits(
    models: dict[tuple[str, int], MLP], small: Mnist, activation: str, depth: int
) -> None:
    assert_same_logits(models[activation, depth], small.test_images[:100] / 255)


def test_onnx_runtime_gives_the_logits_of_the_networks_that_come_with_the_program(shipped: MLP, small: Mnist) -> None:
    for model in (shipped, rejection.network()):
        assert_same_logits(model, small.test_images[:100] / 255)


def test_onnx_runtime_reads_the_test_set_as_well_as_the_network(shipped: MLP, small: Mnist) -> None:
    digits = logits_of(onnx_bytes(shipped), small.test_images / 255).argmax(1)
    _, accuracy = evaluate(shipped, small.test_images, small.test_labels)
    assert (digits == small.test_labels.numpy()).mean() == accuracy


@pytest.mark.parametrize("num_classes", [10, 11])
def test_an_onnx_file_says_what_goes_in_and_what_comes_out(num_classes: int) -> None:
    model = MLP((16, 8), "leaky_relu", num_classes)
    initialize(model, "pytorch", torch.Generator().manual_seed(0))
    file = onnx.load_from_string(onnx_bytes(model))
    onnx.checker.check_model(file, full_check=True)
    (images,), (logits,) = file.graph.input, file.graph.output
    for value, name, size in ((images, "images", 784), (logits, "logits", num_classes)):
        batch, units = value.type.tensor_type.shape.dim
        assert (value.name, value.type.tensor_type.elem_type) == (name, onnx.TensorProto.FLOAT)
        assert (batch.dim_param, units.dim_value) == ("batch", size)
        assert value.doc_string in file.doc_string
    assert "28 x 28 pixels, row by row" in images.doc_string
    assert "0 paper to 1 ink" in images.doc_string
    assert ("no digit" in logits.doc_string) == (num_classes == 11)
    assert [node.op_type for node in file.graph.node] == ["Gemm", "LeakyRelu", "Gemm", "LeakyRelu", "Gemm"]
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in file.graph.initializer}
    assert list(weights) == list(model.state_dict())
    assert all(np.array_equal(array, model.state_dict()[name].numpy()) for name, array in weights.items())
