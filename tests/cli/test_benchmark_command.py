"""The command `benchmark`: its tables, its JSON, its picture, and options that do not fit together."""

import functools
import io
import json
import statistics
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

from mnist_fc.benchmark import scaling as scaling_module
from mnist_fc.benchmark.machine import machine
from mnist_fc.benchmark.programs import FLOORS
from mnist_fc.cli.main import main
from mnist_fc.config import CPU_COUNT, FIELDS
from mnist_fc.training import throughput
from tests.support.commands import error_line, run

NETS = ("784-500-10", "784-500-500-10")

ROW_KEYS = {
    *("name", "net", "seconds_per_epoch", "ratio_to_floor"),
    *("seconds_low", "seconds_high", "ratio_to_best_floor", "first_loss"),
}


class Printed(NamedTuple):
    """The lines on standard output and standard error, and the picture."""

    out: list[str]
    err: list[str]
    picture: Path


@pytest.fixture
def small_data(small_npz: Path) -> list[str]:
    """The command on a few images, with one thread."""
    return ["benchmark", "--threads", "1", "--data", str(small_npz)]


@pytest.fixture(scope="module")
def printed(small_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Printed]:
    """Return a function that times an epoch of each program on a few images, once for each suffix of the picture."""

    @functools.cache
    def run_with(suffix: str, *options: str) -> Printed:
        picture = tmp_path_factory.mktemp("pictures") / f"epochs{suffix}"
        command = ["benchmark", "--threads", "1", "--data", str(small_npz), "--epochs", "1", "--picture", str(picture), *options]
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
            assert main(command) == 0
        return Printed(out.getvalue().splitlines(), err.getvalue().splitlines(), picture)

    return run_with


@pytest.mark.integration
class TestEpochs:
    @pytest.fixture
    def as_text(self, printed: Callable[..., Printed]) -> Printed:
        return printed(".png")

    @pytest.fixture
    def as_json(self, printed: Callable[..., Printed]) -> Printed:
        return printed(".svg", "--json")

    def test_benchmark_ends_with_json(self, as_json: Printed) -> None:
        (line,) = as_json.out
        result = json.loads(line)
        assert set(result) == {"threads", "machine", "epochs", "products", "rows"}
        assert (result["threads"], result["machine"], result["epochs"]) == (1, machine(), 1)
        for net in NETS:
            rows = {row["name"]: row for row in result["rows"] if row["net"] == net}
            assert {"blog-loop", "autograd", "engine", "floor"} <= set(rows)
            floor, best = rows["floor"]["seconds_per_epoch"], min(rows[name]["seconds_per_epoch"] for name in FLOORS)
            for row in rows.values():
                assert set(row) == ROW_KEYS
                assert row["seconds_per_epoch"] > 0
                assert row["ratio_to_floor"] == row["seconds_per_epoch"] / floor
                assert row["ratio_to_best_floor"] == row["seconds_per_epoch"] / best
        names = [(row["net"], row["name"]) for row in result["rows"]]
        assert len(names) == len(set(names))
        assert as_json.err[0].startswith(machine())

    def test_chosen_products_are_named_for_each_layer(self, as_json: Printed) -> None:
        products = json.loads(as_json.out[0])["products"]
        assert set(products) == set(NETS)
        assert set(products["784-500-500-10"]) == {
            *("784-500 forward", "784-500 weight gradient"),
            *("500-500 forward", "500-500 weight gradient", "500-500 input gradient"),
        }

    def test_tables_list_the_fastest_program_first(self, as_text: Printed) -> None:
        out = as_text.out
        assert as_text.err == []
        assert out[0].startswith(machine())
        heads = [i for i, line in enumerate(out) if line.endswith("of the floor")]
        assert [out[i].split()[0] for i in heads] == list(NETS)
        for start, end in ((heads[0], heads[1]), (heads[1], len(out))):
            rows = [line.split() for line in out[start + 1 : end] if " to " in line]
            assert {"blog-loop", "autograd", "engine", "floor"} <= {row[0] for row in rows}
            seconds = [float(row[1]) for row in rows]
            assert seconds == sorted(seconds)
            assert {row[-1] for row in rows if row[0] == "floor"} == {"1.00"}
            assert len([line for line in out[start:end] if line.startswith("  matrix products of the engine: ")]) == 1

    def test_svg_has_the_text_of_the_table(self, as_json: Printed) -> None:
        assert as_json.err[-1] == f"picture: {as_json.picture}"
        texts = [element.text for element in ET.parse(as_json.picture).iter() if element.tag.endswith("text")]
        assert {"engine", "floor", "blog-loop", *NETS} <= set(texts)

    def test_png_is_a_picture(self, as_text: Printed) -> None:
        assert as_text.out[-1] == f"picture: {as_text.picture}"
        with Image.open(as_text.picture) as image:
            image.load()
            assert image.format == "PNG"

    @pytest.mark.parametrize(
        ("option", "value", "message"),
        [
            ("--epochs", "0", "num_epochs is 0; it must be a whole number from 1 to 100"),
            ("--epochs", "101", "num_epochs is 101; it must be a whole number from 1 to 100"),
            ("--epochs", "some", "num_epochs is 'some'; it must be a whole number from 1 to 100"),
            ("--threads", "0", f"threads is 0; it must be {FIELDS['threads']}"),
            ("--threads", "1.5", f"threads is 1.5; it must be {FIELDS['threads']}"),
            ("--threads", f"{CPU_COUNT + 1}", f"threads is {CPU_COUNT + 1}; it must be {FIELDS['threads']}"),
            ("--picture", "epochs.jpg", "the picture is 'epochs.jpg'; its name must end in .png or .svg"),
            ("--picture", "no folder/epochs.svg", "the folder of the picture, 'no folder', does not exist"),
        ],
    )
    def test_wrong_value_is_reported_with_what_is_right(
        self, small_data: list[str], capsys: pytest.CaptureFixture[str], option: str, value: str, message: str
    ) -> None:
        assert error_line([*small_data, option, value], capsys) == f"error: {message}"

    def test_missing_data_is_reported_in_one_line(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        out, err = run(["benchmark", "--data", str(tmp_path / "none.npz"), "--json"], capsys, code=2)
        assert out == []
        assert err[-1] == f"error: the data file {tmp_path / 'none.npz'} does not exist"


class TestTimeTo:
    @pytest.mark.integration
    def test_json_has_ten_runs_and_the_loop(self, small_data: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        (line,), err = run([*small_data, "--time-to", "0.5", "--json"], capsys)
        result = json.loads(line)
        assert (result["target"], result["threads"], result["machine"]) == (0.5, 1, machine())
        assert len({training["seed"] for training in result["fast"]}) == 10
        for training in [*result["fast"], result["blog_loop"]]:
            assert training["test_accuracy"] > 0.5
            assert 0 < training["seconds_to_target"] < training["train_seconds"]
        median = statistics.median(training["train_seconds"] for training in result["fast"])
        assert result["ratio"] == pytest.approx(median / result["blog_loop"]["train_seconds"], rel=1e-3)
        assert any(said == f"fast takes {result['ratio']:.3f} of the time of the blog's loop" for said in err)

    @pytest.mark.parametrize("value", ["98", "0", "most"])
    def test_accuracy_out_of_range_is_reported(
        self, value: str, small_data: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        line = error_line([*small_data, "--time-to", value], capsys)
        assert line.startswith("error: time-to is ")
        assert "must be a number from 0.1 to 1" in line


class TestScaling:
    @pytest.fixture(autouse=True)
    def few(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Measure small nets and few steps."""
        monkeypatch.setattr(scaling_module, "HIDDEN_SIZES", ((8,), (16, 8)))
        monkeypatch.setattr(scaling_module, "SCALING_BATCH_SIZES", (32, 4096))
        for name, value in (("SECONDS", 0.0), ("STEPS", 2)):
            monkeypatch.setattr(throughput, name, value)

    def test_json_has_every_net_and_number_of_threads(self, small_npz: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (line,), err = run(["benchmark", "--scaling", "--data", str(small_npz), "--json"], capsys)
        result = json.loads(line)
        found = [(row["net"], row["parameters"], row["threads"], row["batch_size"]) for row in result["rows"]]
        assert found == [
            (net, parameters, threads, batch_size)
            for net, parameters in (("784-8-10", 6370), ("784-16-8-10", 12786))
            for threads in throughput.thread_counts()
            for batch_size in (32, 4096)
        ]
        assert result["threads"] == CPU_COUNT
        assert min(row["images_per_second"] for row in result["rows"]) > 0
        assert "784-16-8-10: 12,786 parameters" in err

    def test_threads_option_is_the_highest_number(self, small_data: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        (line,), _ = run([*small_data, "--scaling", "--json"], capsys)
        assert {row["threads"] for row in json.loads(line)["rows"]} == {1}

    def test_threads_written_with_a_point_are_whole(self, small_npz: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (line,), _ = run(["benchmark", "--scaling", "--data", str(small_npz), "--threads", "1.0", "--json"], capsys)
        assert repr(json.loads(line)["threads"]) == "1"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--scaling", "--time-to", "0.9"], ("--time-to", "--scaling")),
        (["--scaling", "--peers"], ("--scaling", "--peers")),
        (["--scaling", "--picture", "a.png"], ("--scaling", "--picture")),
        (["--time-to", "0.9", "--epochs", "3"], ("--time-to", "--epochs")),
    ],
)
def test_options_of_different_benchmarks_exclude_each_other(
    options: list[str], named: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    message = f"{named[0]} and {named[1]} belong to different benchmarks; give one of them"
    assert error_line(["benchmark", *options], capsys) == f"error: {message}"


def test_help_names_the_benchmarks(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["benchmark", "--help"])
    assert {"--peers", "--picture", "--time-to", "--scaling"} <= set(capsys.readouterr().out.split())
