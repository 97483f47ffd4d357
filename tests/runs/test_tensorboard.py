"""tensorboard.py: what TensorBoard itself reads of a run, also of one that was killed, resumed, or met a full disk."""

import io
import json
import logging
import math
import signal
import struct
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tensorboard.backend.event_processing.data_ingester import LocalDataIngester  # type: ignore[import-untyped]
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    STORE_EVERYTHING_SIZE_GUIDANCE,
    EventAccumulator,
)
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader  # type: ignore[import-untyped]
from werkzeug.test import Client

from mnist_fc.config import FIELDS, TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.files import ROOT
from mnist_fc.records import EndRecord, EpochRecord, Histogram, HistogramsRecord, Record, StateRecord, StepRecord, WeightsRecord
from mnist_fc.runs.tensorboard import METRICS, EventFile
from mnist_fc.runs.writer import RunFolder
from mnist_fc.training.engine import train
from mnist_fc.training.train_state import TrainState
from tests.support.files import files_no_larger_than
from tests.support.settings import OVERFLOWING

with warnings.catch_warnings():
    # TensorBoard's own copy of bleach tells nobody but its authors.
    warnings.filterwarnings("ignore", "html5lib's sanitizer is deprecated", DeprecationWarning)
    from tensorboard.backend.application import TensorBoardWSGIApp  # type: ignore[import-untyped]
    from tensorboard.program import TensorBoard  # type: ignore[import-untyped]

VALIDATED = TrainConfig(hidden_sizes=(20, 9), activation="tanh", num_epochs=2, num_validation=500, threads=1)
ON_ALL = VALIDATED.replace(hidden_sizes=(100,), activation="leaky_relu", optimizer="sgd", num_validation=0, seed=7)
CONFIGS = {"validated": VALIDATED, "on all images": ON_ALL}

T = TypeVar("T")


def of(kind: type[T], records: list[Record]) -> list[T]:
    return [record for record in records if isinstance(record, kind)]


def stop_after(num_steps: int) -> Callable[[TrainState], bool]:
    return lambda training: training.step < num_steps


def write(folder: Path, config: TrainConfig, records: list[Record], purge_from: int | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    events = EventFile(folder, config, purge_from=purge_from)
    for record in records:
        events.write(record)
    events.close()


def read(folder: Path) -> Any:
    return EventAccumulator(str(folder), size_guidance=STORE_EVERYTHING_SIZE_GUIDANCE).Reload()


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """By tag, steps and values in the order in which they are read."""
    events = read(folder)
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def float32(value: float) -> float:
    return float(np.float32(value))


def expected_scalars(records: list[Record]) -> dict[str, list[tuple[int, float]]]:
    """What `scalars` reads: every number of the records, but one that was told already of the same step."""
    expected: dict[str, dict[int, float]] = {}
    for record in records:
        numbers: dict[str, float | None] = {}
        match record:
            case StepRecord():
                numbers = {
                    "loss/train": record.train_loss,
                    "accuracy/train": record.train_accuracy,
                    "learning_rate": record.learning_rate,
                    **{f"gradient_norm/fc{i + 1}": norm for i, norm in enumerate(record.gradient_norms)},
                }
            case EpochRecord():
                numbers = {
                    "loss/validation": record.val_loss,
                    "accuracy/validation": record.val_accuracy,
                    "loss/test": record.test_loss,
                    "accuracy/test": record.test_accuracy,
                    "images_per_second": record.images_per_second,
                }
            case EndRecord():
                numbers = {"loss/test": record.test_loss, "accuracy/test": record.test_accuracy}
        for tag, number in numbers.items():
            if number is not None:
                expected.setdefault(tag, {})[record.step] = float32(number)
    return {tag: list(values.items()) for tag, values in expected.items()}


def tensorboard(store: Path) -> Client:
    """TensorBoard itself, all plugins, having read the folder `store`; without a server."""
    program = TensorBoard()
    program.configure(("tensorboard",), logdir=str(store), reload_interval=0, reload_task="blocking")
    ingester = LocalDataIngester(program.flags)
    ingester.start()
    return Client(
        TensorBoardWSGIApp(
            program.flags,
            program.plugin_loaders,
            ingester.data_provider,
            program.assets_zip_provider,
            ingester.deprecated_multiplexer,
        )
    )


def got(client: Client, path: str, **query: str) -> Any:
    response = client.get(f"/data/{path}", query_string=query)
    assert response.status_code == 200, response.text
    return json.loads(response.text)


def posted(client: Client, path: str, **request: Any) -> Any:
    response = client.post(f"/data/plugin/hparams/{path}", json=request)
    assert response.status_code == 200, response.text
    return json.loads(response.text)


def session_groups(store: Path) -> dict[str, Any]:
    """The rows of the table of hyperparameters, by name."""
    statuses = [f"STATUS_{status}" for status in ("UNKNOWN", "SUCCESS", "FAILURE", "RUNNING")]
    answer = posted(
        tensorboard(store), "session_groups", allowedStatuses=statuses, sliceSize=100, colParams=[], includeMetrics=True
    )
    return {group["name"]: group for group in answer["sessionGroups"]}


def status(group: dict[str, Any]) -> str:
    """The status in a row of that table."""
    (session,) = group["sessions"]
    return str(session["status"]).removeprefix("STATUS_")


@pytest.fixture(scope="module")
def runs(small: Mnist) -> dict[str, list[Record]]:
    return {name: list(train(config, small)) for name, config in CONFIGS.items()}


@pytest.fixture(scope="module")
def store(runs: dict[str, list[Record]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two runs."""
    store = tmp_path_factory.mktemp("store") / "runs"
    for name, records in runs.items():
        write(store / name, CONFIGS[name], records)
    return store


@pytest.fixture(scope="module")
def client(store: Path) -> Client:
    return tensorboard(store)


def test_every_number_is_read_back_at_its_step(store: Path, runs: dict[str, list[Record]]) -> None:
    for name, records in runs.items():
        expected = expected_scalars(records)
        assert len(expected["loss/train"]) == len(of(StepRecord, records)) >= 30
        assert {"gradient_norm/fc2", "accuracy/test", "images_per_second"} <= expected.keys()
        assert ("accuracy/validation" in expected) == (name == "validated")
        assert scalars(store / name) == expected


def test_numbers_beyond_float32_become_infinite(tmp_path: Path, runs: dict[str, list[Record]]) -> None:
    record = replace(of(StepRecord, runs["validated"])[0], gradient_norms=(math.inf, 1e300, math.nan))
    write(tmp_path, VALIDATED, [record])
    values = [scalars(tmp_path)[f"gradient_norm/fc{i}"][0][1] for i in (1, 2, 3)]
    assert values[:2] == [math.inf, math.inf]
    assert math.isnan(values[2])


def test_histograms_count_every_weight_and_every_gradient(store: Path, runs: dict[str, list[Record]]) -> None:
    for name, records in runs.items():
        events = read(store / name)
        written = of(HistogramsRecord, records)
        parameters = of(WeightsRecord, records)[-1].weights
        tags = [f"{kind}/{parameter}" for kind in ("weights", "gradients") for parameter in parameters]
        assert sorted(events.Tags()["histograms"]) == sorted(tags)
        for parameter, array in parameters.items():
            for kind in ("weights", "gradients"):
                histograms = events.Histograms(f"{kind}/{parameter}")
                assert [each.step for each in histograms] == [record.step for record in written]
                for event, record in zip(histograms, written, strict=True):
                    value, source = event.histogram_value, getattr(record, kind)[parameter]
                    assert sum(value.bucket) == value.num == array.size
                    assert list(value.bucket) == source.counts.tolist()
                    assert len(value.bucket_limit) == len(value.bucket)
                    assert (value.min, value.max, value.sum) == (source.low, source.high, source.sum)
                    assert value.sum_squares == source.sum_of_squares
                    assert value.bucket_limit[-1] == value.max
            last = events.Histograms(f"weights/{parameter}")[-1].histogram_value
            assert (last.min, last.max) == (array.min(), array.max())
            # Each bucket ends at its limit: NumPy counts as many between the same edges.
            counts, _ = np.histogram(array.astype(np.float64), [last.min, *last.bucket_limit])
            assert np.abs(counts - last.bucket).sum() <= 2, "rounding moves a weight at most"


def test_a_zero_gradient_is_one_bucket(tmp_path: Path) -> None:
    counts = torch.histc(torch.zeros(30), 64, 0.0, 0.0).long().numpy()
    nothing = Histogram(0.0, 0.0, counts, 0.0, 0.0)
    write(tmp_path / "run", VALIDATED, [HistogramsRecord(15, 1, {}, {"fc1.bias": nothing})])
    ((_, step, buckets),) = got(tensorboard(tmp_path), "plugin/histograms/histograms", run="run", tag="gradients/fc1.bias")
    assert step == 15
    assert buckets == [[0.0, 0.0, 30.0]]


def test_each_epoch_leaves_a_picture_of_first_layer_weights(store: Path, runs: dict[str, list[Record]]) -> None:
    for name, (rows, units) in {"validated": (3, 20), "on all images": (8, 64)}.items():
        events = read(store / name).Images("pictures/fc1.weight")
        assert [event.step for event in events] == [record.step for record in of(EpochRecord, runs[name])]
        for event in events:
            weights = next(r for r in of(WeightsRecord, runs[name]) if r.step == event.step).weights["fc1.weight"][:units]
            image = Image.open(io.BytesIO(event.encoded_image_string)).convert("RGB")
            assert image.size == (event.width, event.height) == (8 * 28 + 7, rows * 28 + rows - 1)
            pixels = np.pad(np.asarray(image, np.int64), ((0, 1), (0, 1), (0, 0))).reshape(rows, 29, 8, 29, 3).swapaxes(1, 2)
            shown = pixels[:, :, :28, :28].reshape(-1, 784, 3)[:units]
            strength = weights / np.abs(weights).max()
            orange, blue = shown[..., 0] - shown[..., 2], shown[..., 2] - shown[..., 0]
            assert (orange[strength > 0.02] > 0).all()
            assert (blue[strength < -0.02] > 0).all()
            assert (shown[np.abs(strength) < 0.016] == 255).all()
            assert np.corrcoef(strength.ravel(), orange.ravel())[0, 1] > 0.99
            assert tuple(shown.reshape(-1, 3)[np.argmax(strength)]) == (224, 108, 20) or strength.max() < 1
            assert (pixels[:, :-1, :28, 28].reshape(-1, 3) == 90).all()


def test_a_run_stopped_within_an_epoch_leaves_a_final_picture(tmp_path: Path, small: Mnist) -> None:
    write(tmp_path, VALIDATED, list(train(VALIDATED, small, stop_after(17))))
    assert [event.step for event in read(tmp_path).Images("pictures/fc1.weight")] == [15, 17]


@pytest.mark.parametrize("num_classes", [10, 11])
def test_the_graph_is_that_of_the_network(tmp_path: Path, small: Mnist, num_classes: int) -> None:
    data = replace(small, num_classes=num_classes)
    write(tmp_path, VALIDATED, list(train(VALIDATED, data, stop_after(1))))
    nodes = read(tmp_path).Graph().node
    shapes = {node.name: [dim.size for dim in node.attr["_output_shapes"].list.shape[0].dim] for node in nodes}
    assert shapes == {
        "images": [-1, 784],
        "fc1/weight": [20, 784],
        "fc1/bias": [20],
        "fc1/MatMul": [-1, 20],
        "fc1/BiasAdd": [-1, 20],
        "fc1/tanh": [-1, 20],
        "fc2/weight": [9, 20],
        "fc2/bias": [9],
        "fc2/MatMul": [-1, 9],
        "fc2/BiasAdd": [-1, 9],
        "fc2/tanh": [-1, 9],
        "fc3/weight": [num_classes, 9],
        "fc3/bias": [num_classes],
        "fc3/MatMul": [-1, num_classes],
        "fc3/BiasAdd": [-1, num_classes],
        "logits": [-1, num_classes],
    }
    operations = {node.name: (node.op, *node.input) for node in nodes}
    assert operations["fc1/MatMul"] == ("MatMul", "images", "fc1/weight")
    assert operations["fc2/MatMul"] == ("MatMul", "fc1/tanh", "fc2/weight")
    assert operations["fc2/BiasAdd"] == ("BiasAdd", "fc2/MatMul", "fc2/bias")
    assert operations["fc2/tanh"] == ("Tanh", "fc2/BiasAdd")
    assert operations["logits"] == ("Identity", "fc3/BiasAdd")
    assert all(source in operations for _, *inputs in operations.values() for source in inputs)


def test_tensorboard_shows_both_runs_and_every_kind_of_record(client: Client, runs: dict[str, list[Record]]) -> None:
    assert sorted(got(client, "runs")) == sorted(CONFIGS)
    active = {name for name, plugin in got(client, "plugins_listing").items() if plugin["enabled"]}
    assert {"scalars", "timeseries", "images", "histograms", "distributions", "graphs", "hparams"} <= active
    tags = got(client, "plugin/scalars/tags")
    pictures = got(client, "plugin/images/tags")
    for name, records in runs.items():
        expected = expected_scalars(records)
        assert tags[name].keys() == expected.keys()
        assert all(about["description"] for about in tags[name].values())
        for tag, points in expected.items():
            assert [(step, value) for _, step, value in got(client, "plugin/scalars/scalars", run=name, tag=tag)] == points
        assert pictures[name]["pictures/fc1.weight"]["description"]
        graph = client.get("/data/plugin/graphs/graph", query_string={"run": name}).text
        assert 'name: "fc1/MatMul"' in graph
        for parameter, array in of(WeightsRecord, records)[-1].weights.items():
            histograms = got(client, "plugin/histograms/histograms", run=name, tag=f"weights/{parameter}")
            assert [sum(count for _, _, count in buckets) for _, _, buckets in histograms] == [array.size] * 2


def test_the_hyperparameter_table_has_values_and_results(store: Path, runs: dict[str, list[Record]]) -> None:
    groups = session_groups(store)
    assert groups.keys() == CONFIGS.keys()
    for name, config in CONFIGS.items():
        values = asdict(config) | {"hidden_sizes": ",".join(map(str, config.hidden_sizes))}
        assert groups[name]["hparams"] == values
        assert groups[name]["hparams"].keys() == FIELDS.keys()
        metrics = {metric["name"]["tag"]: metric["value"] for metric in groups[name]["metricValues"]}
        assert metrics == {tag: points[-1][1] for tag, points in expected_scalars(runs[name]).items() if tag in METRICS}
        assert len(metrics) == (6 if config.num_validation else 4)


def test_each_hyperparameter_has_its_range(client: Client) -> None:
    experiment = posted(client, "experiment", includeMetrics=True)
    about = {each["name"]: each for each in experiment["hparamInfos"]}
    assert about.keys() == FIELDS.keys()
    assert about["dropout"]["domainInterval"] == {"minValue": 0.0, "maxValue": 0.5}
    assert sorted(about["optimizer"]["domainDiscrete"]) == ["adam", "adamw", "sgd"]
    assert about["batch_size"]["description"] == "a whole number from 8 to 4096"
    assert [metric["name"]["tag"] for metric in experiment["metricInfos"]] == list(METRICS)
    assert all(metric["description"] for metric in experiment["metricInfos"])


def test_the_status_tells_success_from_failure(tmp_path: Path, small: Mnist, runs: dict[str, list[Record]]) -> None:
    diverging = VALIDATED.replace(**OVERFLOWING)
    ends = {
        "DONE": (VALIDATED, runs["validated"]),
        "STOPPED": (VALIDATED, list(train(VALIDATED, small, stop_after(5)))),
        "FAILED": (diverging, list(train(diverging, small))),
        "CUT OFF": (VALIDATED, runs["validated"][:-1]),
    }
    for name, (config, records) in ends.items():
        write(tmp_path / name, config, records)
    statuses = {"DONE": "SUCCESS", "FAILED": "FAILURE", "STOPPED": "UNKNOWN", "CUT OFF": "UNKNOWN"}
    assert {name: status(group) for name, group in session_groups(tmp_path).items()} == statuses
    (end,) = of(EndRecord, ends["FAILED"][1])
    assert end.outcome == "failed"
    assert "accuracy/test" not in scalars(tmp_path / "FAILED")
    assert "accuracy/test" in scalars(tmp_path / "STOPPED")


def test_run_that_diverges_to_its_last_step_is_a_failure(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, VALIDATED)
    norms = (1.0,) * (len(VALIDATED.layer_sizes) - 1)
    for step in range(1, 41):
        folder.write(StepRecord(step, 1, 500 * step, 0.1 * step, 2.3 if step <= 10 else 20.0, 0.1, 0.001, norms))
    folder.write(EndRecord(40, 1, "done", "", 4.0, 20.0, 0.1))
    assert {status(group) for group in session_groups(tmp_path).values()} == {"FAILURE"}


@pytest.fixture(scope="module")
def content(store: Path) -> bytes:
    """An event file."""
    (path,) = (store / "validated").iterdir()
    return path.read_bytes()


def record_ends(content: bytes) -> list[int]:
    """Where the records of an event file end: each is 8 bytes of length, 4 of checksum, the content, and 4 of checksum."""
    ends = [0]
    while ends[-1] < len(content):
        (length,) = struct.unpack_from("<Q", content, ends[-1])
        ends.append(ends[-1] + 12 + length + 4)
    return ends[1:]


def test_each_record_is_one_event(content: bytes, runs: dict[str, list[Record]]) -> None:
    told = [each for each in runs["validated"] if not isinstance(each, (WeightsRecord, StateRecord))]
    # The version, the start, the hyperparameters that there are, those of this run, and the graph.
    assert len(record_ends(content)) == 5 + len(told)
    assert record_ends(content)[-1] == len(content)


@pytest.fixture(scope="module")
def uncut(store: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard reads of that file."""
    return scalars(store / "validated")


@given(st.floats(0, 1), st.integers(-20, 20) | st.integers(-5000, 5000))
def test_a_truncated_file_keeps_all_records_before_the_cut(
    tmp_path_factory: pytest.TempPathFactory,
    content: bytes,
    uncut: dict[str, list[tuple[int, float]]],
    place: float,
    offset: int,
) -> None:
    ends = record_ends(content)
    cut = min(max(0, ends[int(place * (len(ends) - 1))] + offset), len(content))
    path = tmp_path_factory.mktemp("cut") / "events.out.tfevents.1"
    path.write_bytes(content[:cut])
    whole = [content[start + 12 : end - 4] for start, end in pairwise([0, *ends]) if end <= cut]
    assert list(RawEventFileLoader(str(path)).Load()) == whole
    for tag, points in scalars(path.parent).items():
        assert points == uncut[tag][: len(points)]


WRITER = """
import sys
from itertools import count
from pathlib import Path
from mnist_fc.config import TrainConfig
from mnist_fc.records import StepRecord
from mnist_fc.runs.tensorboard import EventFile
events = EventFile(Path(sys.argv[1]), TrainConfig())
for step in count(1):
    events.write(StepRecord(step, 1, step, 1.0, 1 / step, 0.5, 0.001, (1.0, 2.0)))
    print(step, flush=True)
"""


@pytest.mark.integration
def test_a_killed_writer_loses_no_record(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout
        lines = [process.stdout.readline() for _ in range(300)]
        process.kill()
        lines += process.stdout.readlines()
    assert process.returncode == -signal.SIGKILL
    told = int([line for line in lines if line.endswith("\n")][-1])
    assert told >= 300
    losses = scalars(tmp_path)["loss/train"]
    assert losses[:told] == [(step, float32(1 / step)) for step in range(1, told + 1)]
    assert len(losses) <= told + 1


def test_a_resumed_run_replaces_the_old_course(
    tmp_path: Path, small: Mnist, runs: dict[str, list[Record]], caplog: pytest.LogCaptureFixture
) -> None:
    old = runs["validated"]
    (state,) = of(StateRecord, list(train(VALIDATED, small, stop_after(17))))

    def slower(training: TrainState) -> bool:
        training.learning_rate = 1e-4
        return True

    new = list(train(VALIDATED, small, slower, state.state))
    old = [replace(record, outcome="stopped") if isinstance(record, EndRecord) else record for record in old]
    write(tmp_path / "run", VALIDATED, old)
    write(tmp_path / "run", VALIDATED, new, purge_from=18)
    assert len(list((tmp_path / "run").iterdir())) == 2

    kept = [record for record in old if record.step <= 17]
    expected = expected_scalars([*kept, *new])
    assert {step for step, rate in expected["learning_rate"] if rate == float32(1e-4)} == set(range(18, 31))
    assert len(expected["loss/train"]) == 30
    with caplog.at_level(logging.WARNING):
        assert scalars(tmp_path / "run") == expected
        client = tensorboard(tmp_path)
    assert "graph" not in caplog.text
    for tag, points in expected.items():
        assert [(step, value) for _, step, value in got(client, "plugin/scalars/scalars", run="run", tag=tag)] == points
    assert [event.step for event in read(tmp_path / "run").Images("pictures/fc1.weight")] == [15, 30]
    for tag in ("weights/fc1.weight", "gradients/fc3.bias"):
        histograms = got(client, "plugin/histograms/histograms", run="run", tag=tag)
        assert [step for _, step, _ in histograms] == [15, 30]
    assert 'name: "logits"' in client.get("/data/plugin/graphs/graph", query_string={"run": "run"}).text
    group = session_groups(tmp_path)["run"]
    assert group["hparams"]["learning_rate"] == VALIDATED.learning_rate
    assert status(group) == "SUCCESS"


def test_resuming_after_setting_back_the_clock_replaces_the_course(tmp_path: Path, runs: dict[str, list[Record]]) -> None:
    write(tmp_path / "run", VALIDATED, runs["validated"])
    (file,) = (tmp_path / "run").iterdir()
    file.rename(tmp_path / "run" / f"events.out.tfevents.{time.time_ns() + 3_600_000_000_000}")
    again = [record for record in runs["validated"] if record.step <= 5]
    write(tmp_path / "run", VALIDATED, again, purge_from=0)
    assert {tag: points for tag, points in scalars(tmp_path / "run").items() if points} == expected_scalars(again)


def test_a_restarted_run_shows_nothing_of_before(tmp_path: Path, runs: dict[str, list[Record]]) -> None:
    write(tmp_path / "run", VALIDATED, runs["validated"])
    again = [record for record in runs["validated"] if record.step <= 5]
    write(tmp_path / "run", VALIDATED, again, purge_from=0)
    assert {tag: points for tag, points in scalars(tmp_path / "run").items() if points} == expected_scalars(again)
    client = tensorboard(tmp_path)
    assert len(got(client, "plugin/scalars/scalars", run="run", tag="loss/train")) == 5
    assert 'name: "logits"' in client.get("/data/plugin/graphs/graph", query_string={"run": "run"}).text


def test_a_full_disk_is_reported_and_events_stay(tmp_path: Path, runs: dict[str, list[Record]]) -> None:
    steps = of(StepRecord, runs["validated"])
    events = EventFile(tmp_path, VALIDATED)
    for record in steps[:10]:
        events.write(record)
    (path,) = tmp_path.iterdir()
    with files_no_larger_than(path.stat().st_size + 100):
        with pytest.raises(OSError, match="File too large"):
            events.write(steps[10])
        assert len(scalars(tmp_path)["loss/train"]) == 10
        with pytest.raises(OSError, match="File too large"):
            events.close()
    assert len(scalars(tmp_path)["loss/train"]) == 10


def test_a_file_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    with files_no_larger_than(500), pytest.raises(OSError, match="File too large"):
        EventFile(tmp_path, VALIDATED)
    with pytest.raises(FileNotFoundError):
        EventFile(tmp_path / "nowhere", VALIDATED)


@pytest.mark.integration
def test_tensorflow_is_never_imported(tmp_path: Path, store: Path) -> None:
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('tensorflow is imported')")
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path; from mnist_fc.config import TrainConfig; from mnist_fc.runs.tensorboard import EventFile\n"
        "from mnist_fc.records import EndRecord\n"
        "events = EventFile(Path(sys.argv[1]), TrainConfig())\n"
        "events.write(EndRecord(1, 1, 'done', '', 1.0, 0.5, 0.75)); events.close()\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script, str(tmp_path)], cwd=ROOT, check=True)
    assert scalars(tmp_path)["accuracy/test"] == [(1, 0.75)]
