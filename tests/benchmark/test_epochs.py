"""The benchmark: its rows, its description of the machine, and other people's programs in processes of their own."""

import importlib.metadata
import platform
import statistics
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest

from mnist_fc.benchmark import epochs as benchmark_module
from mnist_fc.benchmark import peers
from mnist_fc.benchmark.epochs import PROGRAMS, Row, benchmark, machine
from mnist_fc.benchmark.peers import NETS, PEERS
from mnist_fc.config import CPU_COUNT, TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.records import Record, StepRecord
from mnist_fc.training.engine import train

ABSENT = "no_package_has_this_name"

BROKEN_KERAS = """
import os
print("noise of a library")
raise RuntimeError(f"{os.environ['KERAS_BACKEND']} has {os.environ['OMP_NUM_THREADS']} thread")
"""
"""A stand-in for Keras, which is not a requirement: importing it fails."""

KERAS = """
import types

class Callback:
    pass

class Sequential:
    def __init__(self, layers):
        print("noise of a library with the layers", layers)
        assert layers == [(784,), (500, "relu"), (500, "relu"), (10, "softmax")]

    def compile(self, optimizer, loss):
        assert (optimizer, loss) == (0.001, "sparse_categorical_crossentropy")

    def fit(self, images, labels, batch_size, epochs, verbose, callbacks):
        assert (images.shape, str(images.dtype), labels.shape) == ((60_000, 784), "float32", (60_000,))
        assert (images.min(), images.max(), sorted(set(labels.tolist()))) == (0, 1, list(range(10)))
        assert (batch_size, verbose) == (100, 0)
        for epoch in range(epochs):
            for callback in callbacks:
                callback.on_epoch_begin(epoch, {})
                callback.on_epoch_end(epoch, {})

Input = tuple
callbacks = types.SimpleNamespace(Callback=Callback)
layers = types.SimpleNamespace(Dense=lambda units, activation: (units, activation))
optimizers = types.SimpleNamespace(Adam=lambda learning_rate: learning_rate)
"""
"""A stand-in for Keras that checks its arguments, those of the blog's Keras program, and learns nothing."""

SCIKIT_LEARN = """
class MLPClassifier:
    def __init__(self, hidden_layer_sizes, batch_size, learning_rate_init):
        assert (batch_size, learning_rate_init) == (100, 0.001)
        print("noise of a library with the layers", hidden_layer_sizes)

    def partial_fit(self, images, labels, classes):
        assert (images.shape, str(images.dtype), labels.shape) == ((60_000, 784), "float32", (60_000,))
        assert (images.min(), images.max()) == (0, 1)
        assert list(classes) == sorted(set(labels.tolist()))
"""
"""A stand-in for scikit-learn, which is not a requirement: it checks its arguments and learns nothing."""


@pytest.fixture(scope="module")
def tiny(small: Mnist) -> Mnist:
    """One batch of training images."""
    return Mnist(small.train_images[:100], small.train_labels[:100], small.test_images[:100], small.test_labels[:100])


@pytest.fixture(scope="module")
def rows(small: Mnist) -> list[Row]:
    """The rows of a benchmark without other people's programs."""
    return benchmark(small, threads=1, num_epochs=1, with_peers=False, report=lambda _: None)


@pytest.fixture
def only_peers(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, tuple[str, ...]]], None]:
    """Return a function that replaces the peers."""

    def change(peers_of_test: dict[str, tuple[str, ...]]) -> None:
        for module in (benchmark_module, peers):
            monkeypatch.setattr(module, "PEERS", peers_of_test)

    return change


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Return a function that installs a module for this process and its children, before any of the same name."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def write(name: str, text: str) -> None:
        path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(exist_ok=True)
        if path.parent != tmp_path:
            (path.parent / "__init__.py").touch()
        path.write_text(text)

    return write


class TestRows:
    def test_there_is_one_for_each_program_and_network(self, rows: list[Row]) -> None:
        assert {"blog-loop", "autograd", "engine", "floor"} <= set(PROGRAMS)
        assert set(NETS) == {"784-500-10", "784-500-500-10"}
        assert [(row.net, row.name) for row in rows] == [(net, name) for net in NETS for name in PROGRAMS]

    def test_ratios_are_to_the_floor_of_the_same_net(self, rows: list[Row]) -> None:
        floors = {row.net: row.seconds_per_epoch for row in rows if row.name == "floor"}
        assert min(row.seconds_per_epoch for row in rows) > 0
        for row in rows:
            assert row.ratio_to_floor == row.seconds_per_epoch / floors[row.net]
        assert [row.ratio_to_floor for row in rows if row.name == "floor"] == [1.0, 1.0]

    def test_median_excludes_the_first_epoch(self, monkeypatch: pytest.MonkeyPatch, tiny: Mnist) -> None:
        configs: list[TrainConfig] = []

        def program(config: TrainConfig, images: Mnist) -> Iterator[float]:
            assert images is tiny
            configs.append(config)
            yield from (0.0, 3.0, 1.0, 8.0)

        monkeypatch.setattr(benchmark_module, "PROGRAMS", {"engine": program, "floor": program})
        rows = benchmark(tiny, CPU_COUNT, 3, with_peers=False, report=lambda _: None)
        assert configs == [config.replace(threads=CPU_COUNT) for config in NETS.values() for _ in range(2)]
        assert rows == [Row(name, net, statistics.median((3.0, 1.0, 8.0)), 1.0) for net in NETS for name in ("engine", "floor")]

    def test_progress_is_reported_for_every_network_and_epoch(self, tiny: Mnist) -> None:
        reported: list[str] = []
        benchmark(tiny, threads=1, num_epochs=2, with_peers=False, report=reported.append)
        progress = ("warming up", "epoch 1 of 2 of each", "epoch 2 of 2 of each")
        assert reported == [f"{net}: {what}" for net in NETS for what in progress]


class TestPrograms:
    @pytest.mark.parametrize("name", PROGRAMS)
    @pytest.mark.parametrize("net", NETS)
    def test_each_yields_the_seconds_of_every_epoch(self, name: str, net: str, tiny: Mnist) -> None:
        seconds = list(islice(PROGRAMS[name](NETS[net].replace(threads=1), tiny), 3))
        assert len(seconds) == 3
        assert min(seconds) > 0

    @pytest.fixture
    def steps(self, monkeypatch: pytest.MonkeyPatch) -> list[StepRecord]:
        """The step records that the engine has yielded so far; with so few images it yields one per step."""
        found: list[StepRecord] = []

        def watched(config: TrainConfig, data: Mnist) -> Iterator[Record]:
            for record in train(config, data):
                if isinstance(record, StepRecord):
                    found.append(record)
                yield record

        monkeypatch.setattr(benchmark_module, "train", watched)
        return found

    @pytest.mark.parametrize("net", NETS)
    def test_engine_trains_one_epoch_per_figure(self, steps: list[StepRecord], small: Mnist, net: str) -> None:
        epochs = PROGRAMS["engine"](NETS[net].replace(threads=1), small)
        for epoch in range(1, 4):
            next(epochs)
            assert (len(steps), steps[-1].epoch, steps[-1].images_seen) == (20 * epoch, epoch, 2000 * epoch)
        assert steps[-1].train_loss < 0.5 * steps[0].train_loss

    def test_engine_continues_beyond_the_longest_run(self, steps: list[StepRecord], tiny: Mnist) -> None:
        epochs = PROGRAMS["engine"](TrainConfig(hidden_sizes=(16,), num_validation=0, threads=1), tiny)
        for count in range(1, 206):
            next(epochs)
            assert len(steps) == count


class TestPeers:
    def test_peer_that_is_not_installed_is_skipped(
        self, only_peers: Callable[[dict[str, tuple[str, ...]]], None], tiny: Mnist
    ) -> None:
        only_peers({"neither": (ABSENT, "nor_this"), "half": ("torch", ABSENT)})
        reported: list[str] = []
        rows = benchmark(tiny, threads=1, num_epochs=1, with_peers=True, report=reported.append)
        assert {row.name for row in rows} == set(PROGRAMS)
        assert [line for line in reported if "skipped" in line] == [
            line
            for net in NETS
            for line in (
                f"{net}: neither is skipped: it needs {ABSENT} and nor_this",
                f"{net}: half is skipped: it needs {ABSENT}",
            )
        ]

    @pytest.mark.integration
    def test_failing_peer_is_skipped_with_its_last_error_line(
        self,
        only_peers: Callable[[dict[str, tuple[str, ...]]], None],
        install: Callable[[str, str], None],
        tiny: Mnist,
    ) -> None:
        install("keras", BROKEN_KERAS)
        only_peers({"keras-torch": PEERS["keras-torch"]})
        reported: list[str] = []
        rows = benchmark(tiny, threads=1, num_epochs=1, with_peers=True, report=reported.append)
        assert {row.name for row in rows} == set(PROGRAMS)
        reason = "RuntimeError: torch has 1 thread"
        assert [line for line in reported if "skipped" in line] == [f"{net}: keras-torch is skipped: {reason}" for net in NETS]

    @pytest.mark.integration
    def test_installed_peer_has_rows_beside_the_others(
        self,
        only_peers: Callable[[dict[str, tuple[str, ...]]], None],
        install: Callable[[str, str], None],
        tiny: Mnist,
    ) -> None:
        install("sklearn.neural_network", SCIKIT_LEARN)
        only_peers({"scikit-learn": PEERS["scikit-learn"]})
        reported: list[str] = []
        rows = benchmark(tiny, threads=1, num_epochs=2, with_peers=True, report=reported.append)
        assert not [line for line in reported if "skipped" in line]
        assert [(row.net, row.name) for row in rows] == [(net, name) for net in NETS for name in [*PROGRAMS, "scikit-learn"]]
        floors = {row.net: row.seconds_per_epoch for row in rows if row.name == "floor"}
        for row in rows:
            assert row.seconds_per_epoch > 0
            assert row.ratio_to_floor == row.seconds_per_epoch / floors[row.net]

    @pytest.mark.integration
    @pytest.mark.parametrize(
        ("peer", "module", "text"), [("scikit-learn", "sklearn.neural_network", SCIKIT_LEARN), ("keras-torch", "keras", KERAS)]
    )
    def test_peer_gives_as_many_figures_as_requested(
        self,
        only_peers: Callable[[dict[str, tuple[str, ...]]], None],
        install: Callable[[str, str], None],
        peer: str,
        module: str,
        text: str,
    ) -> None:
        install(module, text)
        only_peers({peer: PEERS[peer]})
        reported: list[str] = []
        ((name, seconds),) = benchmark_module._time_peers("784-500-500-10", threads=1, num_epochs=3, report=reported.append)
        assert reported == [f"784-500-500-10: 3 epochs of {peer}"]
        assert (name, len(seconds)) == (peer, 3)

    def test_peers_are_not_run_unless_requested(
        self, only_peers: Callable[[dict[str, tuple[str, ...]]], None], tiny: Mnist
    ) -> None:
        only_peers({"neither": (ABSENT,)})
        reported: list[str] = []
        benchmark(tiny, threads=1, num_epochs=1, with_peers=False, report=reported.append)
        assert not [line for line in reported if "neither" in line]


class TestMachine:
    def test_description_names_processor_cores_and_versions(self) -> None:
        processor, cores, system, *versions = machine().rsplit(", ", machine().count(", "))
        assert processor
        assert cores == f"{CPU_COUNT} cores"
        assert system == platform.system()
        assert versions[:2] == [f"Python {platform.python_version()}", f"torch {importlib.metadata.version('torch')}"]

    def test_description_omits_packages_that_are_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(benchmark_module, "PACKAGES", (ABSENT, "torch"))
        assert machine().endswith(f"Python {platform.python_version()}, torch {importlib.metadata.version('torch')}")
        assert ABSENT not in machine()
