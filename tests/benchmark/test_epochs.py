"""The benchmark: its rows, what it says of the machine, and other people's programs in processes of their own."""

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

KERAS = """
import os
print("noise of a library")
raise RuntimeError(f"{os.environ['KERAS_BACKEND']} has {os.environ['OMP_NUM_THREADS']} thread")
"""
"""Stands in for Keras, which need not be installed: one that cannot be imported."""

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
"""Stands in for scikit-learn, which need not be installed: one that takes all images and learns nothing."""


@pytest.fixture(scope="module")
def tiny(small: Mnist) -> Mnist:
    """One batch of training images."""
    return Mnist(small.train_images[:100], small.train_labels[:100], small.test_images[:100], small.test_labels[:100])


@pytest.fixture(scope="module")
def rows(small: Mnist) -> list[Row]:
    """Without other people's programs."""
    return benchmark(small, threads=1, num_epochs=1, with_peers=False, say=lambda _: None)


@pytest.fixture
def only_peers(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, tuple[str, ...]]], None]:
    """A function that makes those given all the peers that there are."""

    def change(peers_of_test: dict[str, tuple[str, ...]]) -> None:
        for module in (benchmark_module, peers):
            monkeypatch.setattr(module, "PEERS", peers_of_test)

    return change


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """A function that puts a module of that name and text in front of every other, here and in the processes started here."""
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
    def test_there_is_one_for_each_program_and_net(self, rows: list[Row]) -> None:
        assert {"blog-loop", "autograd", "engine", "floor"} <= set(PROGRAMS)
        assert set(NETS) == {"784-500-10", "784-500-500-10"}
        assert [(row.net, row.name) for row in rows] == [(net, name) for net in NETS for name in PROGRAMS]

    def test_ratios_are_to_the_floor_of_the_same_net(self, rows: list[Row]) -> None:
        floors = {row.net: row.seconds_per_epoch for row in rows if row.name == "floor"}
        assert min(row.seconds_per_epoch for row in rows) > 0
        for row in rows:
            assert row.ratio_to_floor == row.seconds_per_epoch / floors[row.net]
        assert [row.ratio_to_floor for row in rows if row.name == "floor"] == [1.0, 1.0]

    def test_each_program_gets_its_net_the_threads_and_an_epoch_to_warm_up_and_gives_its_median(
        self, monkeypatch: pytest.MonkeyPatch, tiny: Mnist
    ) -> None:
        configs: list[TrainConfig] = []

        def program(config: TrainConfig, images: Mnist) -> Iterator[float]:
            assert images is tiny
            configs.append(config)
            yield from (0.0, 3.0, 1.0, 8.0)

        monkeypatch.setattr(benchmark_module, "PROGRAMS", {"engine": program, "floor": program})
        rows = benchmark(tiny, CPU_COUNT, 3, with_peers=False, say=lambda _: None)
        assert configs == [config.replace(threads=CPU_COUNT) for config in NETS.values() for _ in range(2)]
        assert rows == [Row(name, net, statistics.median((3.0, 1.0, 8.0)), 1.0) for net in NETS for name in ("engine", "floor")]

    def test_what_goes_on_is_said_of_every_net_and_epoch(self, tiny: Mnist) -> None:
        said: list[str] = []
        benchmark(tiny, threads=1, num_epochs=2, with_peers=False, say=said.append)
        progress = ("warming up", "epoch 1 of 2 of each", "epoch 2 of 2 of each")
        assert said == [f"{net}: {what}" for net in NETS for what in progress]


class TestPrograms:
    @pytest.mark.parametrize("name", PROGRAMS)
    @pytest.mark.parametrize("net", NETS)
    def test_each_yields_the_seconds_of_one_epoch_after_another(self, name: str, net: str, tiny: Mnist) -> None:
        seconds = list(islice(PROGRAMS[name](NETS[net].replace(threads=1), tiny), 3))
        assert len(seconds) == 3
        assert min(seconds) > 0

    @pytest.fixture
    def steps(self, monkeypatch: pytest.MonkeyPatch) -> list[StepRecord]:
        """The step records that the engine has given so far: one a step with so few images."""
        found: list[StepRecord] = []

        def watched(config: TrainConfig, data: Mnist) -> Iterator[Record]:
            for record in train(config, data):
                if isinstance(record, StepRecord):
                    found.append(record)
                yield record

        monkeypatch.setattr(benchmark_module, "train", watched)
        return found

    @pytest.mark.parametrize("net", NETS)
    def test_the_engine_trains_an_epoch_for_every_figure(self, steps: list[StepRecord], small: Mnist, net: str) -> None:
        epochs = PROGRAMS["engine"](NETS[net].replace(threads=1), small)
        for epoch in range(1, 4):
            next(epochs)
            assert (len(steps), steps[-1].epoch, steps[-1].images_seen) == (20 * epoch, epoch, 2000 * epoch)
        assert steps[-1].train_loss < 0.5 * steps[0].train_loss

    def test_the_engine_goes_on_beyond_the_longest_run_with_an_epoch_for_every_figure(
        self, steps: list[StepRecord], tiny: Mnist
    ) -> None:
        epochs = PROGRAMS["engine"](TrainConfig(hidden_sizes=(16,), num_validation=0, threads=1), tiny)
        for count in range(1, 206):
            next(epochs)
            assert len(steps) == count


class TestPeers:
    def test_what_is_not_installed_is_said_to_be_left_out(
        self, only_peers: Callable[[dict[str, tuple[str, ...]]], None], tiny: Mnist
    ) -> None:
        only_peers({"neither": (ABSENT, "nor_this"), "half": ("torch", ABSENT)})
        said: list[str] = []
        rows = benchmark(tiny, threads=1, num_epochs=1, with_peers=True, say=said.append)
        assert {row.name for row in rows} == set(PROGRAMS)
        assert [line for line in said if "left out" in line] == [
            line
            for net in NETS
            for line in (
                f"{net}: neither is left out: it needs {ABSENT} and nor_this",
                f"{net}: half is left out: it needs {ABSENT}",
            )
        ]

    def test_one_that_fails_is_said_to_be_left_out_with_the_last_line_of_its_errors(
        self,
        only_peers: Callable[[dict[str, tuple[str, ...]]], None],
        install: Callable[[str, str], None],
        tiny: Mnist,
    ) -> None:
        install("keras", KERAS)
        only_peers({"keras-torch": PEERS["keras-torch"]})
        said: list[str] = []
        rows = benchmark(tiny, threads=1, num_epochs=1, with_peers=True, say=said.append)
        assert {row.name for row in rows} == set(PROGRAMS)
        reason = "RuntimeError: torch has 1 thread"
        assert [line for line in said if "left out" in line] == [f"{net}: keras-torch is left out: {reason}" for net in NETS]

    def test_one_that_is_installed_has_rows_beside_the_others(
        self,
        only_peers: Callable[[dict[str, tuple[str, ...]]], None],
        install: Callable[[str, str], None],
        tiny: Mnist,
    ) -> None:
        install("sklearn.neural_network", SCIKIT_LEARN)
        only_peers({"scikit-learn": PEERS["scikit-learn"]})
        said: list[str] = []
        rows = benchmark(tiny, threads=1, num_epochs=2, with_peers=True, say=said.append)
        assert not [line for line in said if "left out" in line]
        assert [(row.net, row.name) for row in rows] == [(net, name) for net in NETS for name in [*PROGRAMS, "scikit-learn"]]
        floors = {row.net: row.seconds_per_epoch for row in rows if row.name == "floor"}
        for row in rows:
            assert row.seconds_per_epoch > 0
            assert row.ratio_to_floor == row.seconds_per_epoch / floors[row.net]

    def test_one_gives_as_many_figures_as_are_asked_for(
        self, only_peers: Callable[[dict[str, tuple[str, ...]]], None], install: Callable[[str, str], None]
    ) -> None:
        install("sklearn.neural_network", SCIKIT_LEARN)
        only_peers({"scikit-learn": PEERS["scikit-learn"]})
        ((name, seconds),) = benchmark_module._time_peers("784-500-10", threads=1, num_epochs=3, say=lambda _: None)
        assert (name, len(seconds)) == ("scikit-learn", 3)

    def test_without_being_asked_for_none_is_looked_for(
        self, only_peers: Callable[[dict[str, tuple[str, ...]]], None], tiny: Mnist
    ) -> None:
        only_peers({"neither": (ABSENT,)})
        said: list[str] = []
        benchmark(tiny, threads=1, num_epochs=1, with_peers=False, say=said.append)
        assert not [line for line in said if "neither" in line]


class TestMachine:
    def test_it_names_the_processor_its_cores_and_the_versions(self) -> None:
        processor, cores, system, *versions = machine().rsplit(", ", machine().count(", "))
        assert processor
        assert cores == f"{CPU_COUNT} cores"
        assert system == platform.system()
        assert versions[:2] == [f"Python {platform.python_version()}", f"torch {importlib.metadata.version('torch')}"]

    def test_it_names_no_package_that_is_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(benchmark_module, "PACKAGES", (ABSENT, "torch"))
        assert machine().endswith(f"Python {platform.python_version()}, torch {importlib.metadata.version('torch')}")
        assert ABSENT not in machine()
