"""distributed.py: several processes that torchrun starts train as one process does."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mnist_fc.cli.main import main
from mnist_fc.config import Augmentation, TrainConfig
from mnist_fc.data.augment import augment
from mnist_fc.data.mnist import Mnist
from mnist_fc.files import ROOT
from mnist_fc.network import checkpoint
from mnist_fc.network.backprop import Backprop
from mnist_fc.network.mlp import MLP, initialize
from mnist_fc.records import EndRecord, EpochRecord, StepRecord
from mnist_fc.training.distributed import SINGLE_PROCESS, ProcessGroup, ProcessGroupError, joined
from mnist_fc.training.engine import train
from tests.support.settings import OVERFLOWING, as_options

SIZES = [1, 2, 3, 7]


def torchrun(size: int) -> list[str]:
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(size)]


# The shard of one process


@pytest.mark.integration
@pytest.mark.parametrize("count", [0, 1, 2, 44, 100])
@pytest.mark.parametrize("size", SIZES)
def test_shards_cover_every_row_once_and_evenly(size: int, count: int) -> None:
    shares = [range(count)[ProcessGroup(rank, size).shard(count)] for rank in range(size)]
    assert [row for share in shares for row in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("count", [2, 50])
@pytest.mark.parametrize("kind", ["shift", "affine", "elastic"])
def test_augmentation_does_not_depend_on_the_process(small: Mnist, kind: Augmentation, count: int) -> None:
    original, generator = small.train_images[:count] / 255, torch.Generator().manual_seed(3)
    whole = augment(original, kind, generator)
    parts = []
    for rank in range(3):
        rows = ProcessGroup(rank, 3).shard(count)
        own = torch.Generator().manual_seed(3)
        parts.append(augment(original[rows], kind, own, count, rows))
        assert torch.equal(own.get_state(), generator.get_state())
    torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=1e-5)
    assert not torch.equal(whole, original)


@pytest.mark.parametrize("batch_size", [2, 50])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_loss_and_gradients_of_shards_sum_to_the_batchs(small: Mnist, activation: Any, dropout: float, batch_size: int) -> None:
    config = TrainConfig(hidden_sizes=(40, 24), activation=activation, dropout=dropout, label_smoothing=0.1)
    model = MLP(config.hidden_sizes, config.activation)
    initialize(model, "pytorch", torch.Generator().manual_seed(1))

    def run(rows: slice) -> tuple[float, int, list[Tensor], Tensor]:
        generator = torch.Generator().manual_seed(7)
        backprop = Backprop(model, config, batch_size, generator, rows)
        chosen = range(100, 100 + batch_size)[rows]
        loss = backprop.run(small.train_images[chosen] / 255, small.train_labels[chosen])
        gradients = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
        assert len(gradients) == 6
        return loss, backprop.take_num_correct(), gradients, generator.get_state()

    loss, num_correct, gradients, state = run(slice(None))
    shares = [run(ProcessGroup(rank, 3).shard(batch_size)) for rank in range(3)]
    assert sum(share[0] for share in shares) == pytest.approx(loss, rel=1e-5)
    assert sum(share[1] for share in shares) == num_correct
    for gradient, *parts in zip(gradients, *(share[2] for share in shares), strict=True):
        torch.testing.assert_close(torch.stack(parts).sum(0), gradient, rtol=0, atol=1e-6)
    assert all(torch.equal(share[3], state) for share in shares)


# Joining


def test_without_torchrun_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    with joined(print) as group:
        assert group is SINGLE_PROCESS
        tensor = torch.arange(3.0)
        group.all_reduce_sum_(tensor)
        assert tensor.tolist() == [0, 1, 2]
        assert group.shard(7) == slice(0, 7)


@pytest.mark.parametrize("variables", [{"RANK": "first", "WORLD_SIZE": "2"}, {"RANK": "0", "WORLD_SIZE": "2"}])
def test_variables_of_no_reachable_group_are_rejected(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ProcessGroupError, match="cannot be joined"), joined(print):
        pass
    assert main(["train"]) == 2
    waiting, error = capsys.readouterr().err.splitlines()
    assert "WORLD_SIZE=2 are set: waiting up to 5 minutes for 2 processes; unset both to train alone" in waiting
    assert error.startswith("error: the other processes that RANK=")
    assert error.endswith("; unset both variables to train alone")


def test_a_group_of_one_left_in_the_environment_trains_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    for name, value in {"RANK": "0", "WORLD_SIZE": "1"}.items():
        monkeypatch.setenv(name, value)
    with joined(print) as group:
        assert group is SINGLE_PROCESS


@pytest.mark.parametrize("name", ["RANK", "WORLD_SIZE"])
def test_empty_variables_count_as_unset(port: socket.socket, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "")
    with joined(print) as group:
        assert group is SINGLE_PROCESS


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A bound socket, whose port the variables of a group of two name."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        variables = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(bound.getsockname()[1])}
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield bound


def test_a_port_in_use_is_named(port: socket.socket) -> None:
    port.listen()
    with pytest.raises(ProcessGroupError, match=rf"port {port.getsockname()[1]} is in use; set MASTER_PORT"), joined(print):
        pass


@pytest.mark.integration
def test_waiting_for_processes_that_never_come_ends(port: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnist_fc.training.distributed.WAIT", timedelta(seconds=1))
    port.close()
    with pytest.raises(ProcessGroupError, match="cannot be joined"), joined(print):
        pass


@pytest.mark.parametrize("name", ["a..b", "no machine", "x" * 70, "nobody.invalid"])
@pytest.mark.parametrize("rank", ["0", "1"])
def test_name_of_no_machine_is_reported_at_once(
    port: socket.socket, monkeypatch: pytest.MonkeyPatch, name: str, rank: str
) -> None:
    monkeypatch.setenv("MASTER_ADDR", name)
    monkeypatch.setenv("RANK", rank)
    with pytest.raises(ProcessGroupError, match=rf"no machine is found under the name '{name}'; set MASTER_ADDR"), joined(print):
        pass


UNREACHABLE = """
import sys
import mnist_fc.__main__
from datetime import timedelta
from mnist_fc.cli.main import main
from mnist_fc.training import distributed
distributed.WAIT = timedelta(seconds=1)
sys.exit(main(["train"]))
"""


@pytest.mark.integration
def test_an_unreachable_address_is_said_in_one_line(port: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    done = subprocess.run([sys.executable, "-c", UNREACHABLE], cwd=ROOT, capture_output=True, text=True, check=False)
    _, error = done.stderr.splitlines()
    assert f"port {port.getsockname()[1]} of 127.0.0.1 does not answer; check MASTER_ADDR and MASTER_PORT; unset both" in error
    assert done.returncode == 2


# The command line


QUICK = ["--preset", "blog-pytorch", "--hidden-sizes", "32,16", "--epochs", "2", "--threads", "1"]
RANDOM = ["--dropout", "0.2", "--schedule", "one_cycle", "--label-smoothing", "0.1"]

SETTINGS: dict[str, tuple[int, list[str]]] = {
    "plain": (2, []),
    "by itself": (1, ["--augmentation", "shift"]),
    "all at random": (2, [*RANDOM, "--augmentation", "elastic", "--validation", "500", "--batch-size", "44"]),
    "affine, sgd": (
        2,
        ["--augmentation", "affine", "--validation", "1", "--optimizer", "sgd", "--learning-rate", "0.05", "--batch-size", "64"],
    ),
    "no rows for some": (3, [*RANDOM, "--augmentation", "elastic", "--batch-size", "333"]),
}
"""By how many processes, and the options; of 2000 images in batches of 333 the last batch has two."""


def options(data: Path, runs_dir: Path) -> list[str]:
    return ["train", *QUICK, "--data", str(data), "--runs-dir", str(runs_dir), "--json"]


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


FIRST = 5
"""Steps in which rounding has not grown yet: a sum of other rows, or of rows that are counted twice, shows in the first."""


def expect_close(found: Sequence[float], expected: Sequence[float]) -> None:
    """Compare losses of the same steps, from the first on.

    Several processes add up in another order than one. The losses of the first steps differ by 1e-7, and that grows from step to
    step: after two epochs it is up to 1e-5 on an AMD EPYC, and 4e-4 on an Intel Xeon.
    """
    assert found[:FIRST] == pytest.approx(expected[:FIRST], rel=1e-5)
    assert found == pytest.approx(expected, rel=0.01)


def numbers(rows: Sequence[dict[str, str]], columns: Sequence[str]) -> list[float]:
    """Of all rows, those that are there; and a row that has another's columns has another number of them."""
    return [float(number) for row in rows for column in columns for number in (row[column].split() or ["-1"])]


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.parametrize(
    ("size", "changes"),
    [pytest.param(*SETTINGS[each], id=each, marks=[] if each == "plain" else pytest.mark.slow) for each in SETTINGS],
)
def test_a_group_leaves_one_run_with_one_processs_losses(
    size: int, changes: list[str], small_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*options(small_npz, tmp_path / "one"), *changes]) == 0
    one = json.loads(capsys.readouterr().out)
    command = [*torchrun(size), "-m", "mnist_fc", *options(small_npz, tmp_path / "group"), *changes]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    result = json.loads(line)
    assert list((tmp_path / "group").iterdir()) == [Path(result["run_dir"])]
    assert done.stderr.count("epoch   1/2") == 1
    assert (result["outcome"], result["epochs"], result["parameters"]) == ("done", 2, one["parameters"])
    assert result["test_accuracy"] == pytest.approx(one["test_accuracy"], abs=5 / 500)

    rows, expected = rows_of(Path(result["run_dir"])), rows_of(Path(one["run_dir"]))
    assert len(rows) > 10
    exact = ("step", "epoch", "images_seen", "learning_rate")
    assert numbers(rows, exact) == numbers(expected, exact)
    losses = ("train_loss", "val_loss", "test_loss")
    expect_close(numbers(rows, losses), numbers(expected, losses))
    norms = ["gradient_norms"]
    assert numbers(rows[:FIRST], norms) == pytest.approx(numbers(expected[:FIRST], norms), rel=1e-4)
    assert numbers(rows, norms) == pytest.approx(numbers(expected, norms), rel=0.1)
    # A rounding may turn an image or two.
    assert numbers(rows, ["train_accuracy"]) == pytest.approx(numbers(expected, ["train_accuracy"]), abs=2.1 / 44)
    weights = checkpoint.load(result["checkpoint"]).state_dict()
    for name, tensor in checkpoint.load(one["checkpoint"]).state_dict().items():
        torch.testing.assert_close(weights[name], tensor, rtol=0.1, atol=0.01)


@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_group_told_to_stop_keeps_its_checkpoint(number: signal.Signals, small_npz: Path, tmp_path: Path) -> None:
    command = [*torchrun(2), "-m", "mnist_fc", *options(small_npz, tmp_path / "runs"), "--epochs", "100", "--hidden-sizes", "256"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert any(line.startswith("epoch   1/100 ") for line in process.stderr)
        process.send_signal(number)
        out, err = process.communicate()
    (line,) = out.splitlines()
    result = json.loads(line)
    assert result["outcome"] == "stopped"
    assert 1 <= result["epochs"] < 100
    assert err.count("Stopped after ") == 1
    assert "error: " not in err
    assert list((tmp_path / "runs").iterdir()) == [Path(result["run_dir"])]
    assert rows_of(Path(result["run_dir"]))[-1]["outcome"] == "stopped"
    assert checkpoint.load(result["checkpoint"]).hidden_sizes == (256,)


@pytest.mark.slow
def test_a_diverging_group_reports_it_once(small_npz: Path, tmp_path: Path) -> None:
    command = [*torchrun(2), "-m", "mnist_fc", *options(small_npz, tmp_path / "runs"), *as_options(OVERFLOWING)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["outcome"] == "failed"
    assert done.stderr.count("stopped being a finite number") == 1
    assert rows_of(Path(json.loads(line)["run_dir"]))[-1]["outcome"] == "failed"


@pytest.mark.slow
def test_a_group_with_wrong_settings_leaves_no_run(tmp_path: Path) -> None:
    command = [*torchrun(2), "-m", "mnist_fc", "train", "--batch-size", "1", "--runs-dir", str(tmp_path / "runs")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "error: batch_size is 1; it must be a whole number from 8 to 4096\n" in done.stderr
    assert not (tmp_path / "runs").exists()


# What each process of a group gets


MEMBER = '''
import dataclasses, hashlib, json, os, sys
from pathlib import Path

from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import load_mnist
from mnist_fc.training.engine import train
from mnist_fc.records import StateRecord
from mnist_fc.training.distributed import ProcessGroupError, joined

images, folder = load_mnist(sys.argv[1]), Path(sys.argv[2])
config = TrainConfig.from_json(sys.argv[3])


def told(records):
    """Names and fields of records; not those about seconds, nor the states that come every few seconds."""
    return [
        (type(record).__name__, {f.name: getattr(record, f.name) for f in dataclasses.fields(record) if "second" not in f.name})
        for record in records
        if not isinstance(record, StateRecord)
    ]


def plain(value):
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else hashlib.sha256(value.tobytes()).hexdigest()


with joined(print) as group:
    def change(training):
        if group.rank == 0 and training.step == 5:
            training.learning_rate = 0.02
        return not (group.rank == 1 and training.step >= 20)

    def end(training):
        if group.rank == 1 and training.step == 7:
            os._exit(0)
        return True

    stopped = list(train(config, images, change, group=group))
    *_, state = (record for record in stopped if isinstance(record, StateRecord))
    results = {"stopped": told(stopped), "resumed": told(train(config, images, state=state.state, group=group))}
    others = dataclasses.replace(images, train_labels=9 - images.train_labels)
    for name, arguments in {
        "other data": (config, others if group.rank else images),
        "other settings": (config.replace(learning_rate=1e-3 * (1 + group.rank)), images),
    }.items():
        try:
            next(train(*arguments, group=group))
        except ProcessGroupError as error:
            results[name] = str(error)
    (folder / f"{group.rank}.json").write_text(json.dumps(results, default=plain))
    try:
        list(train(config, images, end, group=group))
    except ProcessGroupError as error:
        (folder / "left.txt").write_text(str(error))
        os._exit(0)
'''

CONFIG = TrainConfig(
    hidden_sizes=(32, 16), dropout=0.1, augmentation="shift", num_epochs=2, num_validation=500, batch_size=44, threads=1
)


@pytest.fixture(scope="module")
def members(small_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where each of two processes has written what it got, as MEMBER says."""
    folder = tmp_path_factory.mktemp("members")
    (folder / "member.py").write_text(MEMBER, "utf-8")
    command = [*torchrun(2), str(folder / "member.py"), str(small_npz), str(folder), CONFIG.to_json()]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def results_of(members: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    first, second = (json.loads((members / f"{rank}.json").read_text("utf-8")) for rank in (0, 1))
    return first, second


@pytest.mark.integration
def test_all_processes_get_bitwise_equal_records(members: Path) -> None:
    first, second = results_of(members)
    for name in ("stopped", "resumed"):
        assert first[name] == second[name]
        kinds = {kind for kind, _ in first[name]}
        assert {"StepRecord", "WeightsRecord", "HistogramsRecord", "EpochRecord", "EndRecord"} - kinds == (
            {"EpochRecord", "HistogramsRecord"} if name == "stopped" else set()
        )


@pytest.mark.integration
def test_when_one_stops_all_stop_a_step_later(members: Path) -> None:
    for result in results_of(members):
        kind, end = result["stopped"][-1]
        assert (kind, end["outcome"], end["step"]) == ("EndRecord", "stopped", 21)


@pytest.mark.integration
def test_the_first_processs_learning_rate_holds_for_all(members: Path) -> None:
    for result in results_of(members):
        rates = [fields["learning_rate"] for kind, fields in result["stopped"] if kind == "StepRecord"]
        assert rates == [1e-3] * 5 + [0.02] * 16


@pytest.mark.integration
def test_a_stopped_group_resumes_to_one_processs_losses(members: Path, small: Mnist) -> None:
    def change(training: Any) -> bool:
        if training.step == 5:
            training.learning_rate = 0.02
        return True

    expected = list(train(CONFIG, small, change))
    first, _ = results_of(members)
    got = [(kind, fields) for name in ("stopped", "resumed") for kind, fields in first[name]]

    def losses(kind: type[StepRecord | EpochRecord], field: str) -> tuple[list[float], list[float]]:
        values = [getattr(record, field) for record in expected if isinstance(record, kind)]
        assert len(values) > 1
        return [fields[field] for name, fields in got if name == kind.__name__], values

    expect_close(*losses(StepRecord, "train_loss"))
    found, values = losses(EpochRecord, "val_loss")
    assert found == pytest.approx(values, rel=0.01)
    end = expected[-1]
    assert isinstance(end, EndRecord)
    assert got[-1][1]["test_loss"] == pytest.approx(end.test_loss, rel=0.01)


@pytest.mark.integration
@pytest.mark.parametrize("what", ["data", "settings"])
def test_processes_with_different_data_or_settings_are_rejected(members: Path, what: str) -> None:
    for result in results_of(members):
        assert result[f"other {what}"] == (
            f"not all processes of the group have the same {what}; each needs the same command and data"
        )


@pytest.mark.integration
def test_when_one_process_ends_the_others_report_it(members: Path) -> None:
    assert (members / "left.txt").read_text("utf-8").startswith("another process of the group has ended or cannot be reached: ")
