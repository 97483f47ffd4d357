"""The benchmark of epochs: its rows, and how the programs take turns."""

import math
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mnist_fc.benchmark import epochs as epochs_module
from mnist_fc.benchmark.epochs import Row, benchmark
from mnist_fc.benchmark.peer_process import PeerError
from mnist_fc.benchmark.peers import PEERS
from mnist_fc.benchmark.programs import FLOORS, PROGRAMS
from mnist_fc.benchmark.timing import NETS, Epoch, Program
from mnist_fc.config import CPU_COUNT, TrainConfig
from mnist_fc.data.mnist import Mnist
from tests.support import peers as stand_ins
from tests.support.peers import Install

OWN = {*PROGRAMS, "engine-bfloat16"}


@pytest.fixture(scope="module")
def rows(small: Mnist) -> list[Row]:
    """The rows of a benchmark without other people's programs."""
    return benchmark(small, threads=1, num_epochs=2, with_peers=False, report=lambda _: None)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return a function that installs a module for this process and its children, before any of the same name."""
    return stand_ins.installer(tmp_path, monkeypatch)


@pytest.mark.integration
class TestRows:
    def test_there_is_one_for_each_program_and_network(self, rows: list[Row]) -> None:
        assert {"blog-loop", "autograd", "engine", "floor"} <= set(PROGRAMS)
        assert list(NETS) == ["784-500-10", "784-500-500-10"]
        found = [(row.net, row.name) for row in rows if row.name != "engine-bfloat16"]
        assert found == [(net, name) for net in NETS for name in PROGRAMS]

    def test_ratios_are_to_the_floors_of_the_same_net(self, rows: list[Row]) -> None:
        for net in NETS:
            seconds = {row.name: row.seconds_per_epoch for row in rows if row.net == net}
            best = min(seconds[name] for name in FLOORS)
            assert min(seconds.values()) > 0
            for row in (row for row in rows if row.net == net):
                assert row.ratio_to_floor == row.seconds_per_epoch / seconds["floor"]
                assert row.ratio_to_best_floor == row.seconds_per_epoch / best

    def test_median_lies_within_the_range(self, rows: list[Row]) -> None:
        for row in rows:
            assert row.seconds_low <= row.seconds_per_epoch <= row.seconds_high

    def test_warming_up_counts_for_nothing_but_the_loss(self, monkeypatch: pytest.MonkeyPatch, small: Mnist) -> None:
        configs: list[TrainConfig] = []

        def program(config: TrainConfig, images: Mnist) -> Iterator[Epoch]:
            assert images is small
            configs.append(config)
            yield from (Epoch(0.0, 2.0), Epoch(3.0, 1.5), Epoch(1.0, 1.0), Epoch(8.0, 0.5))

        monkeypatch.setattr(epochs_module, "PROGRAMS", {"engine": program, "floor": program})
        monkeypatch.setattr(epochs_module, "bfloat16_share", lambda: 1.0)
        rows = benchmark(small, CPU_COUNT, 3, with_peers=False, report=lambda _: None)
        assert configs == [config.replace(threads=CPU_COUNT) for config in NETS.values() for _ in range(2)]
        median = statistics.median((3.0, 1.0, 8.0))
        assert rows == [Row(name, net, median, 1.0, 1.0, 8.0, 1.0, 2.0) for net in NETS for name in ("engine", "floor")]

    @pytest.mark.parametrize(("share", "is_timed"), [(0.5, True), (0.9, False), (1.0, False)])
    def test_bfloat16_is_timed_where_it_is_faster(
        self, share: float, is_timed: bool, monkeypatch: pytest.MonkeyPatch, small: Mnist
    ) -> None:
        monkeypatch.setattr(epochs_module, "bfloat16_share", lambda: share)
        programs = dict(epochs_module._own_programs(TrainConfig(hidden_sizes=(8,), threads=1), small))
        assert ("engine-bfloat16" in programs) == is_timed
        assert set(PROGRAMS) <= set(programs)


class TestTurns:
    @pytest.fixture
    def turns(self) -> list[str]:
        """The names of the programs in the order of their turns."""
        return []

    @pytest.fixture
    def program(self, turns: list[str]) -> Callable[..., Program]:
        """Return a function that makes a program, which may fail in one of its epochs."""

        def make(name: str, fails_in: int = 0, loss: float | None = None) -> Program:
            def run() -> Epoch:
                turns.append(name)
                if turns.count(name) == fails_in:
                    raise PeerError("it has had enough")
                return Epoch(float(turns.count(name)), loss)

            return run

        return make

    def test_every_program_has_one_epoch_in_each_round(self, turns: list[str], program: Callable[..., Program]) -> None:
        epochs = epochs_module._take_turns("a net", {name: program(name) for name in "abc"}, 3, lambda _: None)
        assert turns == [*"abc", *"bca", *"cab", *"abc"]
        assert epochs == {name: [Epoch(1.0), Epoch(2.0), Epoch(3.0), Epoch(4.0)] for name in "abc"}

    @pytest.mark.parametrize("fails_in", [1, 3])
    def test_others_continue_after_a_failure(self, fails_in: int, turns: list[str], program: Callable[..., Program]) -> None:
        reported: list[str] = []
        programs = {"a": program("a"), "b": program("b", fails_in), "c": program("c")}
        epochs = epochs_module._take_turns("a net", programs, 3, reported.append)
        assert {name: len(each) for name, each in epochs.items()} == {"a": 4, "c": 4}
        assert turns.count("b") == fails_in
        assert [line for line in reported if "skipped" in line] == ["a net: b is skipped: it has had enough"]

    def test_progress_is_reported_for_every_round(self, program: Callable[..., Program]) -> None:
        reported: list[str] = []
        epochs_module._take_turns("a net", {"a": program("a")}, 2, reported.append)
        assert reported == ["a net: warming up", "a net: epoch 1 of 2 of each", "a net: epoch 2 of 2 of each"]

    @pytest.mark.parametrize(
        ("loss", "is_reported"), [(0.25, False), (0.35, True), (0.01, True), (math.nan, True), (None, False)]
    )
    def test_program_with_another_loss_is_reported(self, loss: float | None, is_reported: bool) -> None:
        reported: list[str] = []
        epochs_module._compare_losses("a net", {"engine": [Epoch(1.0, 0.24)], "other": [Epoch(1.0, loss)]}, reported.append)
        assert bool(reported) == is_reported
        assert all(line.startswith("a net: other may not train the same") for line in reported)


class TestPeers:
    def test_peers_are_not_run_unless_requested(self, rows: list[Row]) -> None:
        assert {row.name for row in rows} <= OWN

    @pytest.mark.integration
    def test_peers_have_rows_beside_the_others(self, install: Install, monkeypatch: pytest.MonkeyPatch, small: Mnist) -> None:
        install("sklearn.neural_network", stand_ins.SCIKIT_LEARN)
        install("keras", stand_ins.KERAS)
        stand_ins.keep_only(monkeypatch, "scikit-learn", "keras-torch")
        reported: list[str] = []
        rows = benchmark(small, threads=1, num_epochs=2, with_peers=True, report=reported.append)
        assert not [line for line in reported if "skipped" in line]
        for net in NETS:
            of_net = {row.name: row for row in rows if row.net == net}
            assert {*PROGRAMS, "scikit-learn", "keras-torch"} <= set(of_net)
            assert [of_net[name].first_loss for name in ("scikit-learn", "keras-torch")] == [5.5, 5.5]
            assert f"{net}: scikit-learn may not train the same" in "\n".join(reported)

    @pytest.mark.integration
    def test_every_peer_trains_like_the_engine_or_needs_a_package(self, small: Mnist) -> None:
        reported: list[str] = []
        rows = benchmark(small, threads=1, num_epochs=1, with_peers=True, report=reported.append)
        assert not [line for line in reported if "may not train the same" in line]
        for net in NETS:
            skipped = {line.split()[1] for line in reported if line.startswith(net) and "is skipped: it needs " in line}
            assert {row.name for row in rows if row.net == net} - OWN == set(PEERS) - skipped
