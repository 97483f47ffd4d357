"""The figures of a study: bars of the importances, and a line through the settings of each trial."""

from typing import Any

import pytest

from mnist_fc.sweep.figures import importance_bars, parallel_coordinates
from mnist_fc.sweep.space import Interval, Space, State, TrialRecord, Values
from tests.support.sweeps import MIXED, last_records

ORDERED: Space = {
    "hidden_sizes": Values(((128,), (16,), (24, 16), (9,))),
    "activation": Values(("gelu", "sigmoid", "relu", "tanh")),
    "batch_size": Values((1000, 200)),
    "learning_rate": Interval(1e-4, 1e-1),
    "dropout": Interval(0.0, 0.5),
}


def trial(number: int, accuracy: float, settings: dict[str, Any], state: State = "done") -> TrialRecord:
    return TrialRecord(number, state, settings, 1, 1, accuracy, 0.0)


def trials_of_ordered() -> list[TrialRecord]:
    """Return four done trials whose values appear in another order than on the axes."""
    settings: list[tuple[tuple[int, ...], str, int, float, float]] = [
        ((128,), "gelu", 1000, 0.02, 0.5),
        ((16,), "relu", 200, 0.0002, 0.0),
        ((24, 16), "tanh", 1000, 0.0005, 0.25),
        ((9,), "sigmoid", 200, 0.004, 0.1),
    ]
    return [trial(i, 0.5 + 0.1 * i, dict(zip(ORDERED, values, strict=True))) for i, values in enumerate(settings)]


def ticks_of(figure: Any, name: str) -> dict[str, float]:
    """Return the heights of an axis's ticks, by text, from the bottom."""
    axis = list(figure.layout.xaxis.ticktext).index(name)
    ticks = {label.text: label.y for label in figure.layout.annotations if label.x == axis}
    return dict(sorted(ticks.items(), key=lambda tick: tick[1]))


def test_every_done_trial_has_a_line_through_every_axis(mixed: tuple[str, list[TrialRecord]]) -> None:
    figure = parallel_coordinates(MIXED, last_records(mixed[1]))
    assert figure
    assert list(figure.layout.xaxis.ticktext) == ["validation accuracy", *sorted(MIXED)]
    assert len(figure.data) == sum(record.state == "done" for record in last_records(mixed[1]))
    assert all(len(line.x) == len(line.y) == 1 + len(MIXED) for line in figure.data)
    assert "24-16" in ticks_of(figure, "hidden_sizes")


@pytest.mark.parametrize(
    ("name", "in_order"),
    [
        ("hidden_sizes", ["9", "16", "24-16", "128"]),
        ("activation", ["relu", "tanh", "sigmoid", "gelu"]),
        ("batch_size", ["200", "1000"]),
        ("learning_rate", ["0.0002", "0.001", "0.01", "0.02"]),
        ("dropout", ["0", "0.125", "0.25", "0.375", "0.5"]),
        ("validation accuracy", ["0.5", "0.575", "0.65", "0.725", "0.8"]),
    ],
)
def test_ticks_stand_in_the_order_of_their_field(name: str, in_order: list[str]) -> None:
    figure = parallel_coordinates(ORDERED, trials_of_ordered())
    assert figure
    ticks = ticks_of(figure, name)
    assert list(ticks) == in_order
    heights = list(ticks.values())
    assert (heights[0], heights[-1]) == (0, 1)
    if name != "learning_rate":  # its ends are not a power of ten apart from the next tick
        assert heights == pytest.approx([i / (len(in_order) - 1) for i in range(len(in_order))])


def test_lines_pass_through_the_values_of_their_trial() -> None:
    trials = trials_of_ordered()
    figure = parallel_coordinates(ORDERED, trials)
    assert figure
    for record, line in zip(trials, figure.data, strict=True):
        shown = {name: (text, height) for (name, text), height in zip(line.customdata, line.y, strict=True)}
        assert shown["validation accuracy"] == (f"{record.val_accuracy:.3g}", pytest.approx(record.number / 3))
        assert shown["dropout"] == (f"{record.settings['dropout']:.3g}", pytest.approx(record.settings["dropout"] / 0.5))
        for name in ("hidden_sizes", "activation", "batch_size"):
            text, height = shown[name]
            value = record.settings[name]
            assert text == ("-".join(map(str, value)) if isinstance(value, tuple) else str(value))
            assert height == ticks_of(figure, name)[text]


def test_axis_with_one_value_has_its_tick_in_the_middle() -> None:
    space: Space = {"activation": Values(("relu",)), "learning_rate": Interval(1e-3, 1e-2)}
    figure = parallel_coordinates(space, [trial(i, 0.5, {"activation": "relu", "learning_rate": 2e-3}) for i in range(2)])
    assert figure
    assert ticks_of(figure, "activation") == {"relu": 0.5}
    assert ticks_of(figure, "learning_rate") == {"0.002": 0.5}
    assert ticks_of(figure, "validation accuracy") == {"0.5": 0.5}


def test_fewer_than_two_done_trials_give_no_lines() -> None:
    space: Space = {"dropout": Interval(0.0, 0.5)}
    others: list[TrialRecord] = [
        trial(0, 0.5, {"dropout": 0.1}),
        trial(1, 0.6, {"dropout": 0.2}, "pruned"),
        trial(2, 0.7, {"dropout": 0.3}, "running"),
        trial(3, 0.8, {}),  # of another program: it has no setting
    ]
    assert parallel_coordinates(space, others) is None
    assert parallel_coordinates(space, [*others, trial(4, 0.9, {"dropout": 0.4})])


def test_bars_put_the_greatest_share_on_top() -> None:
    shares = {"learning_rate": 0.7, "dropout": 0.2, "batch_size": 0.1}
    figure = importance_bars(shares)
    assert figure
    (bars,) = figure.data
    assert list(zip(bars.y, bars.x, strict=True)) == list(shares.items())[::-1]
    assert list(bars.text) == ["10%", "20%", "70%"]


def test_no_importances_give_no_bars() -> None:
    assert importance_bars({}) is None
