"""The exported script trains as the engine does, and needs nothing of this program."""

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
import pytest
import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, register_optimizer_step_pre_hook

from mnist_fc.config import FIELDS, PRESETS, Choice, TrainConfig
from mnist_fc.data.augment import MAX_SHIFT, augment
from mnist_fc.data.idx import IDX_FILES
from mnist_fc.data.mnist import EMBEDDED, Mnist, split_validation
from mnist_fc.export.script import render_script
from mnist_fc.files import ROOT
from mnist_fc.network import checkpoint
from mnist_fc.network.mlp import ACTIVATIONS, MLP, initialize
from mnist_fc.records import EndRecord, EpochRecord, StepRecord, WeightsRecord
from mnist_fc.training.engine import train
from mnist_fc.training.evaluation import evaluate
from tests.support.models import trained_models

PLAIN = TrainConfig(hidden_sizes=(32,), num_epochs=1, num_validation=0, threads=1)
"""Settings whose script is the shortest."""

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
        hidden_sizes=(24, 20, 16, 12),
        activation="leaky_relu",
        optimizer="sgd",
        momentum=0.0,
        learning_rate=0.1,
        augmentation="elastic",
        precision="bfloat16",
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
"""Settings that together use every option of every choice."""


class Trained(NamedTuple):
    """What a script left behind that ran by itself."""

    config: TrainConfig
    folder: Path
    output: str
    network: MLP


@pytest.fixture(scope="module", params=[name if name == "tanh" else pytest.param(name, marks=pytest.mark.slow) for name in CASES])
def trained(request: pytest.FixtureRequest, small_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The script of each case, run for an epoch in an empty folder, with warnings as errors."""
    config, folder = CASES[request.param], tmp_path_factory.mktemp("taken_away")
    (folder / "train.py").write_text(render_script(config), "utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "train.py", "--data", str(small_npz)]
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    (folder / "config.json").write_text(config.to_json(), "utf-8")  # only now: it tells `checkpoint.load` the activation
    return Trained(config, folder, ran.stdout, checkpoint.load(folder / "model.ckpt"))


@pytest.fixture
def module_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[TrainConfig], Any]:
    """Return a function that imports the script of a config; the working directory is `tmp_path`."""
    monkeypatch.chdir(tmp_path)

    def import_it(config: TrainConfig) -> ModuleType:
        path = tmp_path / "train.py"
        path.write_text(render_script(config), "utf-8")
        spec = importlib.util.spec_from_file_location("exported_script", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        torch.manual_seed(0)
        return module

    return import_it


@pytest.fixture
def run_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that runs the script of a config in this process and returns what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(config: TrainConfig, *arguments: str | Path) -> str:
        (tmp_path / "train.py").write_text(render_script(config), "utf-8")
        monkeypatch.setattr(sys, "argv", ["train.py", *map(str, arguments)])
        runpy.run_path("train.py", run_name="__main__")
        return capsys.readouterr().out

    return run


def any_config(chance: random.Random) -> TrainConfig:
    """Return random settings: every option equally often, and numbers often at their default or with many digits."""
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
    return [render_script(config) for config in [*PRESETS.values(), *CASES.values(), *(any_config(chance) for _ in range(100))]]


def shape_of(image: Tensor) -> tuple[Tensor, Tensor]:
    """Return the centers of mass (N, 2), in pixels, and the ink (N,) of images (N, 784)."""
    square, places = image.view(-1, 28, 28), torch.arange(28.0)
    return torch.stack([square.sum(1) @ places, square.sum(2) @ places], 1) / image.sum(1, keepdim=True), image.sum(1)


# The script's text.


def test_cases_cover_every_option() -> None:
    for name, limit in FIELDS.items():
        if isinstance(limit, Choice):
            assert {getattr(config, name) for config in CASES.values()} == set(limit.options)
    assert {len(config.hidden_sizes) for config in CASES.values()} == {1, 2, 3, 4}
    for name in ("dropout", "label_smoothing", "num_validation", "momentum", "weight_decay"):
        assert {getattr(config, name) > 0 for config in CASES.values()} == {True, False}


def test_scripts_pass_ruff_format_and_check(many_scripts: list[str], tmp_path: Path) -> None:
    for number, text in enumerate(many_scripts):
        (tmp_path / f"train{number}.py").write_text(text, "utf-8")
    ruff = [sys.executable, "-m", "ruff"]
    rules = "E,F,W,I,B,UP,SIM,C4,RET,PIE,PERF"
    for command in (["format", "--check", "--diff"], ["check", f"--select={rules}"]):
        ran = subprocess.run([*ruff, *command, "--isolated", "--no-cache", tmp_path], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.slow
@pytest.mark.integration
def test_scripts_pass_mypy(tmp_path: Path) -> None:
    for name, config in (CASES | PRESETS).items():
        (tmp_path / f"train_{name.replace('-', '_')}.py").write_text(render_script(config), "utf-8")
    # The script has no annotations, so mypy must be told to look into its functions. torchvision ships no types.
    options = ["--config-file=", "--check-untyped-defs", "--warn-unreachable", "--disable-error-code=import-untyped"]
    cache = ROOT / ".mypy_cache" / "exported_scripts"
    command = [sys.executable, "-m", "mypy", *options, f"--cache-dir={cache}", str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_scripts_import_only_torch_numpy_and_torchvision_late(many_scripts: list[str]) -> None:
    for text in many_scripts:
        tree = ast.parse(text)
        at_the_top = {ast.unparse(node) for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))}
        anywhere = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))}
        roots = {statement.split()[1].split(".")[0] for statement in at_the_top}
        assert roots <= {"argparse", "math", "pathlib", "numpy", "torch"}
        assert anywhere - at_the_top == {"from torchvision.datasets import MNIST"}
        assert "mnist_fc" not in text


def test_scripts_use_all_they_define(many_scripts: list[str]) -> None:
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
def test_only_settings_in_use_appear_in_the_script(change: dict[str, Any], words: list[str]) -> None:
    plain, changed = render_script(PLAIN), render_script(PLAIN.replace(**change))
    for word in words:
        assert word in changed
        assert word not in plain


def test_settings_without_effect_do_not_appear() -> None:
    assert render_script(PLAIN.replace(optimizer="sgd", adam_epsilon=1e-7)) == render_script(PLAIN.replace(optimizer="sgd"))
    assert render_script(PLAIN.replace(momentum=0.5)) == render_script(PLAIN)
    assert render_script(PLAIN.replace(augmentation="shift")).count("MAX_") == 2


# The script run by itself.


@pytest.mark.integration
def test_script_saves_a_checkpoint_that_loads(trained: Trained) -> None:
    assert trained.network.hidden_sizes == trained.config.hidden_sizes
    assert trained.network.activation_name == trained.config.activation
    assert {path.name for path in trained.folder.iterdir()} == {"train.py", "model.ckpt", "config.json"}


@pytest.mark.integration
def test_printed_accuracy_is_the_accuracy_of_the_network(trained: Trained, small: Mnist) -> None:
    lines = trained.output.splitlines()
    _, test_accuracy = evaluate(trained.network, small.test_images, small.test_labels)
    assert lines[-1] == f"test accuracy {test_accuracy:.2%}"
    if trained.config.num_validation:
        _, val_indices = split_validation(small.train_labels, trained.config.num_validation, trained.config.seed)
        _, val_accuracy = evaluate(trained.network, small.train_images[val_indices], small.train_labels[val_indices])
        assert lines[-2] == f"epoch 1: validation accuracy {val_accuracy:.2%}"
    else:
        assert lines[-2] == f"epoch 1: {lines[-1]}"


@pytest.mark.integration
def test_loss_is_printed_every_hundred_steps(trained: Trained) -> None:
    num_steps = trained.config.steps_per_epoch(2000)
    steps = re.findall(r"^epoch 1, step (\d+): loss \d\.\d{4}$", trained.output, re.MULTILINE)
    assert steps == [str(step) for step in range(100, num_steps + 1, 100)]
    assert len(trained.output.splitlines()) == len(steps) + 2


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_script_gives_the_logits_of_our_network(
    models: dict[tuple[str, int], MLP],
    module_of: Callable[[TrainConfig], Any],
    small: Mnist,
    activation: Any,
    depth: int,
) -> None:
    ours = models[activation, depth]
    theirs = module_of(PLAIN.replace(activation=activation, hidden_sizes=ours.hidden_sizes)).MLP()
    assert list(theirs.state_dict()) == list(ours.state_dict())
    theirs.load_state_dict(ours.state_dict())
    with torch.no_grad():
        expected = ours(small.test_images / 255)
        assert expected.std(0).min() > 0.1
        torch.testing.assert_close(theirs(small.test_images / 255), expected)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_script_tests_our_checkpoint_without_training(
    run_here: Callable[..., str], small: Mnist, small_npz: Path, tmp_path: Path, dropout: float
) -> None:
    ours = trained_models(small, (24, 20), [2])["tanh", 2]
    checkpoint.save(tmp_path / "ours.ckpt", ours.state_copy())
    config = TrainConfig(hidden_sizes=ours.hidden_sizes, activation="tanh", dropout=dropout)
    output = run_here(config, "--data", small_npz, "--checkpoint", "ours.ckpt")
    _, accuracy = evaluate(ours, small.test_images, small.test_labels)
    assert output == f"test accuracy {accuracy:.2%}\n"
    assert accuracy > 0.5
    assert not (tmp_path / "model.ckpt").exists()


def test_checkpoint_with_code_is_rejected_unexecuted(run_here: Callable[..., str], small_npz: Path, tmp_path: Path) -> None:
    class WritesAFile:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"code": WritesAFile()}, tmp_path / "code.ckpt")
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        run_here(PLAIN, "--data", small_npz, "--checkpoint", "code.ckpt")
    assert not (tmp_path / "ran").exists()


def test_torchvision_supplies_missing_data(
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


# The script against the engine.


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
def test_full_batch_training_takes_the_engines_steps(
    module_of: Callable[[TrainConfig], Any], small: Mnist, capsys: pytest.CaptureFixture[str], changes: dict[str, Any]
) -> None:
    # With one batch per epoch the order of the images does not matter, so nothing is random.
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


def test_validation_images_are_the_engines(module_of: Callable[[TrainConfig], Any], small: Mnist) -> None:
    module = module_of(PLAIN.replace(num_validation=300, seed=5))
    parts = module.split(small.train_images, small.train_labels)
    for part, indices in zip(parts, split_validation(small.train_labels, 300, 5), strict=True):
        assert torch.equal(part[0], small.train_images[indices])
        assert torch.equal(part[1], small.train_labels[indices])


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle"])
def test_schedule_is_the_engines_over_many_epochs(module_of: Callable[[TrainConfig], Any], small: Mnist, schedule: Any) -> None:
    config = PLAIN.replace(hidden_sizes=(8,), schedule=schedule, learning_rate=0.3, num_epochs=30, batch_size=500)
    factor = module_of(config).schedule
    steps = [record for record in train(config, small) if isinstance(record, StepRecord)]
    assert len(steps) > 30
    for record in steps:
        assert 0.3 * factor((record.step - 1) / 120) == pytest.approx(record.learning_rate, rel=1e-12)


@pytest.mark.parametrize("kind", ["affine", "elastic"])
def test_augmentation_equals_ours_for_the_same_random_numbers(
    module_of: Callable[[TrainConfig], Any], images: Tensor, kind: Any
) -> None:
    ours = augment(images, kind, torch.Generator().manual_seed(7))
    module = module_of(PLAIN.replace(augmentation=kind))
    torch.manual_seed(7)
    torch.testing.assert_close(module.augment(images), ours, rtol=0, atol=1e-4)
    assert (ours - images).abs().mean() > 0.01


@pytest.mark.parametrize("kind", ["shift", "affine", "elastic"])
def test_augmentation_moves_images_as_far_as_ours(module_of: Callable[[TrainConfig], Any], images: Tensor, kind: Any) -> None:
    before = images.clone()
    theirs = module_of(PLAIN.replace(augmentation=kind)).augment(images)
    ours = augment(images, kind, torch.Generator().manual_seed(0))
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
def test_initial_weights_have_our_distribution(module_of: Callable[[TrainConfig], Any], scheme: Any) -> None:
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


def test_dropout_acts_in_training_and_not_in_evaluation(module_of: Callable[[TrainConfig], Any], small: Mnist) -> None:
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


@pytest.mark.slow
def test_script_reaches_the_engines_accuracy_on_mnist(run_here: Callable[..., str], mnist: Mnist, tmp_path: Path) -> None:
    config = PRESETS["fast"].replace(threads=1)
    *_, end = train(config, mnist)
    assert isinstance(end, EndRecord)
    assert end.test_accuracy is not None
    run_here(config, "--data", EMBEDDED)
    _, accuracy = evaluate(checkpoint.load(tmp_path / "model.ckpt"), mnist.test_images, mnist.test_labels)
    assert accuracy == pytest.approx(end.test_accuracy, abs=0.005)
    assert accuracy > 0.975
