"""The trials of a study on the page, by its script alone: the table, the plots, and the settings that a click copies."""

import json
from typing import Any

import pytest
from optuna.trial import TrialState
from streamlit.testing.v1 import AppTest

from mnist_fc.config import PRESETS
from mnist_fc.records import NOT_FINITE
from mnist_fc.sweep.space import Interval, Space, Values
from mnist_fc.views import studies
from tests.support.session import opened_tab, shown_config
from tests.support.sweep_tab import reread, trial_rows, trials_note, trials_table
from tests.support.sweeps import BASE, MIXED, create_study, stored_trial

pytestmark = pytest.mark.usefixtures("own_small_store")

SPACE: Space = {"hidden_sizes": Values(((16,), (24, 16))), "learning_rate": Interval(1e-5, 1e-1)}
MANY = 110
"""More trials than the table has rows and the plot has lines."""


def show(study: str, space: Space, *trials: Any, **query: str) -> AppTest:
    """Open the page at a study with these trials."""
    page = opened_tab("Sweep", **query)
    create_study(studies.storage(), study, space, trials)
    reread(page)
    assert not page.selectbox(key="sweep_study").select(study).run().exception
    return page


def done(accuracy: float, learning_rate: float = 0.001, sizes: tuple[int, ...] = (16,)) -> Any:
    return stored_trial(SPACE, accuracy, learning_rate=learning_rate, hidden_sizes=sizes)


def captions(page: AppTest) -> str:
    return "\n".join(caption.value for caption in page.main.caption)


def plots(page: AppTest) -> dict[str, Any]:
    """Return the figures by what they are called for those who cannot see them."""
    return {one.proto.alt: json.loads(one.proto.spec) for one in page.get("plotly_chart")}


LINES, SHARES = "Validation accuracy and settings of the completed trials", "How much each setting mattered"


# The table


def test_running_trials_come_first_then_the_most_accurate() -> None:
    page = show(
        "mixed states",
        SPACE,
        done(0.81234),
        done(0.9, 0.0123456789, (24, 16)),
        done(0.9),
        stored_trial(SPACE, 0.5, TrialState.PRUNED, learning_rate=0.1, hidden_sizes=(16,)),
        stored_trial(SPACE, None, TrialState.FAIL, "<b>loss</b> is not finite", learning_rate=0.1, hidden_sizes=(16,)),
        stored_trial(SPACE, 0.7, TrialState.FAIL, "stopped", learning_rate=0.1, hidden_sizes=(16,)),
        stored_trial(SPACE, 0.6, TrialState.RUNNING, learning_rate=0.002, hidden_sizes=(16,)),
        stored_trial(SPACE, None, TrialState.RUNNING, hidden_sizes=(16,)),
    )
    assert trial_rows(page) == [
        ["7", "", "16", "…", "0 / 1", "0.0", "running"],
        ["6", "60.00%", "16", "0.002", "1 / 1", "1.2", "running"],
        ["1 ★", "90.00%", "24-16", "0.01235", "1 / 1", "1.2", "done"],
        ["2", "90.00%", "16", "0.001", "1 / 1", "1.2", "done"],
        ["0", "81.23%", "16", "0.001", "1 / 1", "1.2", "done"],
        ["3", "50.00%", "16", "0.1", "1 / 1", "1.2", "pruned"],
        ["5", "70.00%", "16", "0.1", "1 / 1", "1.2", "stopped"],
        ["4", "", "16", "0.1", "0 / 1", "0.0", "failed: <b>loss</b> is not finite"],
    ]
    table = trials_table(page)
    assert [row.get("class") for row in table.iterfind(".//tbody/tr")][1:4] == ["running", "done best", "done"]
    assert "0.0123456789" in [value.get("title") for value in table.iter("span")]
    assert trials_note(page) == (
        "2 running, 3 done, 1 pruned, 1 stopped, 1 failed. The other settings are those of the preset blog-pytorch, "
        "but epochs 1, validation images 500."
    )


def test_long_message_is_cut() -> None:
    page = show("long message", SPACE, stored_trial(SPACE, None, TrialState.FAIL, "x" * 1000, hidden_sizes=(16,)))
    assert trial_rows(page)[0][-1] == "failed: " + "x" * 200


def test_trial_whose_loss_overflowed_has_diverged() -> None:
    message = f"The loss {NOT_FINITE} at step 4."
    page = show("overflow", SPACE, stored_trial(SPACE, None, TrialState.PRUNED, message, hidden_sizes=(16,)))
    assert trial_rows(page)[0][-1] == f"diverged: {message}"
    assert trials_note(page).startswith("1 diverged.")


def test_study_without_trials_shows_an_empty_table() -> None:
    page = show("empty", SPACE)
    assert trial_rows(page) == []
    assert trials_note(page).startswith("no trials yet. ")
    assert page.button(key="use_trial").disabled
    assert page.button(key="use_trial").label == "Use settings of the best trial"
    assert "This plot shows a line for each trial as soon as two are done; there are none so far." in captions(page)
    assert "This plot shows which settings mattered most as soon as 10 trials are done; there are none." in captions(page)


@pytest.mark.slow
def test_large_study_shows_its_best_trials_alone() -> None:
    accuracies = [0.5 + number / 1000 for number in range(MANY)]
    page = show("many", SPACE, *(done(accuracy, 10 ** -(1 + number % 4)) for number, accuracy in enumerate(accuracies)))
    rows = trial_rows(page)
    assert [row[1] for row in rows] == [f"{accuracy:.2%}" for accuracy in accuracies[:-51:-1]]
    assert trials_note(page).startswith("and 60 more, less accurate or older; 110 done. ")
    lines = plots(page)[LINES]["data"]
    assert [line["y"][0] for line in lines] == sorted(line["y"][0] for line in lines), "the best are on top"
    assert [line["customdata"][0][1] for line in lines] == [f"{accuracy:.3g}" for accuracy in accuracies[-100:]]
    assert "One line for each trial that is done, the best 100, from its validation accuracy" in captions(page)


# The plots


def test_plots_wait_for_enough_trials() -> None:
    page = show("one", SPACE, done(0.9))
    assert plots(page) == {}
    assert "as soon as two are done; there is 1 so far." in captions(page)
    assert "as soon as 10 trials are done; there is 1." in captions(page)
    page = show("two", SPACE, done(0.9), done(0.8))
    assert list(plots(page)) == [LINES]
    assert "as soon as 10 trials are done; there are 2." in captions(page)


def test_equal_trials_do_not_tell_what_mattered() -> None:
    page = show("equal", SPACE, *[done(0.9)] * 10)
    assert list(plots(page)) == [LINES]
    assert "as soon as 10 trials are done; the completed ones are too similar." in captions(page)


def test_lines_show_accuracy_and_settings_in_words() -> None:
    sizes = [(16,), (24, 16)]
    page = show("plotted", SPACE, *(done(0.8 + i / 100, 0.0001 * (1 + i), sizes[i % 2]) for i in range(11)))
    figure = plots(page)[LINES]
    worst, best = figure["data"][0], figure["data"][-1]
    assert best["customdata"] == [["validation accuracy", "0.9"], ["hidden sizes", "16"], ["learning rate", "0.0011"]]
    assert (worst["y"][0], best["y"][0]) == (0, 1)
    assert best["line"]["color"] == "rgb(224, 123, 26)"
    assert best["line"]["width"] > worst["line"]["width"]
    assert best["opacity"] == 1
    layout = figure["layout"]
    assert layout["xaxis"]["ticktext"] == ["validation<br>accuracy", "hidden<br>sizes", "learning<br>rate"]
    labels = {axis: [label["text"] for label in layout["annotations"] if label["x"] == axis] for axis in range(3)}
    assert labels[0] == ["80.00%", "82.50%", "85.00%", "87.50%", "90.00%"]
    assert labels[1] == ["16", "24-16"]
    assert labels[2] == ["0.0001", "0.001"], "0.0011 would overlap 0.001"


def test_shares_of_settings_sum_to_one() -> None:
    page = show("shares", SPACE, *(done(0.5 + i / 30, 10 ** (-5 + i / 3)) for i in range(12)))
    ((bars,), layout) = (plots(page)[SHARES][part] for part in ("data", "layout"))
    shares = dict(zip(bars["y"], bars["x"], strict=True))
    assert set(shares) == {"hidden sizes", "learning rate"}
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["learning rate"] > 0.9, "only the learning rate varies"
    assert bars["text"] == [f"{share:.0%}" for share in bars["x"]]
    assert layout["xaxis"]["tickformat"] == ".0%"


def test_choices_are_plotted_in_words() -> None:
    settings: dict[str, Any] = {"learning_rate": 0.001, "batch_size": 64, "num_epochs": 1, "hidden_sizes": (16,)}
    trials = [stored_trial(MIXED, 0.8 + i / 100, activation=("relu", "tanh")[i % 2], **settings) for i in range(10)]
    page = show("wide", MIXED, *trials)
    layout = plots(page)[LINES]["layout"]
    assert layout["xaxis"]["ticktext"][-1] == "epochs"
    assert [label["text"] for label in layout["annotations"] if label["x"] == 1] == ["ReLU", "tanh"]
    assert any("min-width: 624px" in str(one.proto.body) for one in page.get("html")), "each of six axes has 104 pixels"
    assert trial_rows(page)[0] == ["9 ★", "89.00%", "16", "tanh", "0.001", "64", "1", "1 / 1", "1.2", "done"]


# The button that copies settings


def test_best_settings_are_copied_and_the_rest_is_the_studys() -> None:
    page = show("copied", SPACE, done(0.8), done(0.9, 0.0321, (24, 16)), seed="7", threads="1", preset="best")
    assert page.button(key="use_trial").label == "Use settings of trial 1, the best"
    assert not page.main.success
    assert not page.button(key="use_trial").click().run().exception
    assert [success.value for success in page.main.success] == [
        "Copied to the side panel. Press **Train** for a run that is kept."
    ]
    assert shown_config(page) == BASE.replace(hidden_sizes=(24, 16), learning_rate=0.0321, seed=7, threads=1)
    assert page.selectbox(key="preset").value == "custom"
    assert any("784-24-16-10" in caption.value for caption in page.sidebar.caption)


def test_settings_of_existing_trials_alone_can_be_copied() -> None:
    page = show(
        "by number", SPACE, done(0.8, 0.002), done(0.9), stored_trial(SPACE, state=TrialState.RUNNING, hidden_sizes=(16,))
    )
    before = shown_config(page)
    for number in (999, 2):
        page.number_input(key="sweep_trial").set_value(number).run()
        assert page.button(key="use_trial").label == f"Use settings of trial {number}"
        assert page.button(key="use_trial").disabled, "there is no such trial, or it has not all settings yet"
    assert shown_config(page) == before == PRESETS["fast"].replace(threads=before.threads)
    page.number_input(key="sweep_trial").set_value(0).run()
    assert page.button(key="use_trial").label == "Use settings of trial 0"
    page.button(key="use_trial").click().run()
    assert shown_config(page).learning_rate == 0.002
