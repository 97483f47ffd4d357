"""The script of the page under Streamlit's AppTest: what the controls set, and that no state of theirs breaks the page."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from mnist_fc.analysis.probes import Probe
from mnist_fc.config import FIELDS, PRESETS, Choice
from mnist_fc.files import ROOT
from mnist_fc.network.checkpoint import CheckpointError
from mnist_fc.records import EndRecord, EpochRecord
from mnist_fc.server.job import JobState
from mnist_fc.server.run import RunSnapshot
from mnist_fc.server.scheduler import Scheduler
from mnist_fc.views.components.pixels import full_colour, grid
from mnist_fc.views.settings import WORDS
from mnist_fc.views.state import networks, shared, throttle
from tests.support.session import State, new_app, set_tab, shown_config

APP = str(ROOT / "app.py")
NUMBERS = ["learning_rate", "epochs", "batch_size", "dropout", "label_smoothing", "weight_decay"]


pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("own_store")]


@pytest.fixture
def app() -> AppTest:
    opened = new_app().run()
    assert not opened.exception
    return opened


def preset(app: AppTest) -> Any:
    (control,) = [box for box in app.selectbox if box.label == "Preset"]
    return control


@pytest.mark.parametrize("name", PRESETS)
def test_preset_sets_every_control(app: AppTest, name: str) -> None:
    preset(app).select(name).run()
    assert shown_config(app) == PRESETS[name]
    assert preset(app).value == name


def test_preset_is_custom_until_the_change_is_reverted(app: AppTest) -> None:
    app.select_slider(key="epochs").set_value(30).run()
    assert preset(app).value == "custom"
    app.select_slider(key="epochs").set_value(PRESETS["fast"].num_epochs).run()
    assert preset(app).value == "fast"


def test_seed_and_threads_are_kept_when_a_preset_is_chosen(app: AppTest) -> None:
    app.number_input(key="seed").set_value(7).run()
    assert preset(app).value == "fast"
    preset(app).select("best").run()
    assert shown_config(app).seed == 7


@pytest.mark.parametrize("key", NUMBERS)
def test_both_ends_of_every_ladder_are_valid_settings(app: AppTest, key: str) -> None:
    ladder = app.select_slider(key=key)
    for index in (0, -1):
        value = float(ladder.options[index]) if isinstance(ladder.value, float) else int(ladder.options[index])
        app.select_slider(key=key).set_value(value).run()
        assert not app.exception
        assert shown_config(app).layer_sizes


@pytest.mark.parametrize(("key", "low", "high"), [("num_layers", 1, 4), ("size_0", 8, 2048)])
def test_both_ends_of_the_layers_are_valid_settings(app: AppTest, key: str, low: int, high: int) -> None:
    control = app.number_input(key=key)
    assert (control.min, control.max) == (low, high)
    for value in (low, high):
        app.number_input(key=key).set_value(value).run()
        assert not app.exception
        assert value in (len(shown_config(app).hidden_sizes), shown_config(app).hidden_sizes[0])


@pytest.mark.parametrize("key", [name for name, limit in FIELDS.items() if isinstance(limit, Choice) and name != "precision"])
def test_every_choice_is_offered_in_words(app: AppTest, key: str) -> None:
    limit = FIELDS[key]
    assert isinstance(limit, Choice)
    assert app.selectbox(key=key).options == [WORDS[option] for option in limit.options]
    for option in limit.options:
        app.selectbox(key=key).set_value(option).run()
        assert getattr(shown_config(app), key) == option
        assert not app.exception


@pytest.mark.parametrize(("share", "sentence"), [(None, ""), (0.61, "products in bfloat16 take 61% of the time")])
def test_bfloat16_is_offered_until_it_is_known_not_to_be_faster(
    app: AppTest, share: float | None, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scheduler, "bfloat16_share", share)
    app.run()
    app.selectbox(key="precision").set_value("bfloat16").run()
    assert shown_config(app).precision == "bfloat16"
    assert any(sentence in caption.value for caption in app.caption)


@pytest.mark.parametrize("share", [0.9, 1.4])
def test_a_processor_without_fast_bfloat16_is_told_why_it_has_no_choice(
    app: AppTest, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scheduler, "bfloat16_share", share)
    app.run()
    assert "precision" not in {box.key for box in app.selectbox}
    assert any("bfloat16 is not clearly faster on this processor" in caption.value for caption in app.caption)


def test_every_control_explains_itself(app: AppTest) -> None:
    widgets = [*app.select_slider, *app.selectbox, *app.number_input]
    assert [widget.label for widget in widgets if not widget.proto.help] == []


def test_removed_layers_return_with_their_sizes(app: AppTest) -> None:
    preset(app).select("best").run()
    app.number_input(key="num_layers").set_value(1).run()
    assert shown_config(app).hidden_sizes == PRESETS["best"].hidden_sizes[:1]
    app.number_input(key="num_layers").set_value(2).run()
    assert shown_config(app).hidden_sizes == PRESETS["best"].hidden_sizes


def test_settings_between_the_ladders_values_are_shown(app: AppTest) -> None:
    odd = PRESETS["fast"].replace(hidden_sizes=(123,), learning_rate=0.00123, batch_size=99, num_epochs=7, dropout=0.25)
    run = shared.scheduler().start(odd)
    opened = new_app()
    opened.query_params["run"] = run.id
    opened.run()
    assert not opened.exception
    assert shown_config(opened) == odd
    shared.scheduler().stop(run)
    assert run.wait_until_state("stopped", timeout=300)


def test_address_without_a_valid_run_opens_a_ready_page() -> None:
    opened = new_app()
    opened.query_params["run"] = "../../etc/passwd"
    opened.run()
    assert not opened.exception
    assert any("ready" in str(html.proto.body) for html in opened.get("html"))


def test_damaged_data_is_reported_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "cut.npz"
    broken.write_bytes((Path(APP).parent / "assets" / "mnist.npz").read_bytes()[:1000])
    monkeypatch.setenv("MNIST_FC_DATA", str(broken))
    shared.mnist.clear()
    opened = new_app().run()
    assert not opened.exception
    assert len(opened.error) == 1
    assert "is damaged" in opened.error[0].value


# What the views decide apart from the page


@pytest.fixture
def run(app: AppTest) -> Iterator[RunSnapshot]:
    """Return an active run, as it was at one moment."""
    going = shared.scheduler().start(PRESETS["best"].replace(hidden_sizes=(16,), activation="tanh", threads=1))
    assert going.wait_for(lambda run: 20 in run.snapshot().kept, 300)
    yield going.snapshot()
    shared.scheduler().stop(going)
    assert going.wait_until_state("stopped", timeout=300)


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> State:
    """Return the state of a session without a page."""
    made = State()
    monkeypatch.setattr(st, "session_state", made)
    return made


def test_expensive_result_is_recomputed_seldom_while_a_run_is_active(run: RunSnapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = shared.shipped_reader()
    computed: list[str] = []
    clock = 0.0
    monkeypatch.setattr(throttle, "time", SimpleNamespace(monotonic=lambda: clock))
    monkeypatch.setattr(throttle, "results", throttle.Throttle())

    def ask(about: str, network: networks.Network) -> tuple[int, str]:
        def compute() -> int:
            nonlocal clock
            computed.append(about)
            clock += 1  # it takes a second
            return len(computed)

        return throttle.throttled("test", about, network, compute)

    earlier, later = (networks.Network(reader, run, step) for step in (10, 20))
    assert ask("a unit", earlier) == (1, "this run, step 10")
    assert ask("a unit", later) == (1, "this run, step 10"), "newer weights of an active run may wait"
    clock += 0.9 * throttle.LEISURE
    assert ask("a unit", later) == (1, "this run, step 10")
    assert ask("another unit", later) == (2, "this run, step 20")
    assert ask("another unit", networks.Network(reader, run, 5, is_newest=False)) == (3, "this run, step 5"), "looked back on"
    assert ask("another unit", later) == (2, "this run, step 20"), "of the same weights"
    clock += 0.2 * throttle.LEISURE
    assert ask("a unit", later) == (4, "this run, step 20"), "it has waited long enough"
    assert ask("another unit", networks.Network(reader, None)) == (5, "the built-in network")
    over = replace(run, state=JobState.DONE)
    assert ask("another unit", networks.Network(reader, over, 20)) == (2, "this run, step 20")
    assert ask("another unit", networks.Network(reader, over, 30)) == (6, "this run, step 30"), "there is no run to slow down"


def test_moment_of_another_run_is_ignored(run: RunSnapshot, state: State) -> None:
    assert networks.chosen_step(run) is None
    assert networks.choose_step(run, 10) == ""
    assert networks.chosen_step(run) == 10
    assert networks.chosen_step(replace(run, id="another")) is None
    state["network"] = "shipped"
    assert networks.chosen_step(run) is None
    state["network"] = "run"
    assert networks.choose_step(run, 11) == ""
    assert networks.chosen_step(run) is None


def test_accuracy_belongs_to_the_weights_that_read(run: RunSnapshot) -> None:
    reader = shared.shipped_reader()
    epochs = tuple(
        EpochRecord(step, epoch, 1.0, 1.0, 1.0, 0.5, 0.4, 0.8 + epoch / 100, None, None) for epoch, step in ((1, 100), (2, 200))
    )
    validated = replace(run, state=JobState.DONE, epochs=epochs, end=EndRecord(230, 3, "stopped", "", 1.0, 0.3, 0.91235))
    tested = replace(
        validated,
        epochs=tuple(replace(epoch, val_accuracy=None, test_loss=0.2, test_accuracy=0.7 + epoch.epoch / 100) for epoch in epochs),
    )

    def named(run: RunSnapshot, step: int, *, is_newest: bool = True) -> str:
        return networks.Network(reader, run, step, is_newest).accuracy

    assert {named(one, 230) for one in (validated, tested)} == {"MNIST 91.23%"}, "the end's, though an epoch's came before"
    assert named(validated, 150, is_newest=False) == "validation 81.00% after epoch 1"
    assert named(validated, 50, is_newest=False) == "MNIST not measured"
    assert named(tested, 200, is_newest=False) == "MNIST 72.00%"
    assert named(tested, 150, is_newest=False) == "MNIST not measured"
    assert named(replace(tested, state=JobState.RUNNING, end=None), 230) == "MNIST 72.00% after epoch 2"


def test_missing_or_foreign_kept_weights_are_rejected(run: RunSnapshot, state: State) -> None:
    assert networks.kept_model(run, 5).activation_name == "tanh"
    with pytest.raises(CheckpointError, match="contains a network with other layers"):
        networks.kept_model(replace(run, config=run.config.replace(activation="relu")), 5)
    run.kept[5].unlink()
    assert re.search("step 5 cannot be shown: .*does not exist", networks.choose_step(run, 5))
    assert networks.chosen_step(run) is None


def test_preparation_explains_why_it_is_empty(app: AppTest) -> None:
    app.toggle(key="show_steps").set_value(True).run()
    assert not [caption for caption in app.caption if "how it is prepared" in caption.value]
    app.button(key="clear").click().run()
    assert "Draw a digit to see how it is prepared." in [caption.value for caption in app.caption]
    app.button(key="test_digit_button").click().run()
    assert "A test digit needs no preparation: the network sees it as it is." in [caption.value for caption in app.caption]


# What the page is sent


TABS = ["Why this digit?", "Inside", "Gradients", "Misread digits", "Look-alikes", "Test your handwriting", "Runs", "Sweep"]


def open_tab(app: AppTest, name: str) -> list[str]:
    """Draw a tab; all texts that are on the page then."""
    set_tab(app, name)
    app.run()
    assert not app.exception, app.exception[0].value
    shown = [*app.markdown, *app.caption, *app.info, *app.warning]
    return [*(element.value for element in shown), *(str(element.proto.body) for element in app.get("html"))]


@pytest.mark.parametrize("value", [None, np.inf, -np.inf, np.nan])
def test_every_tab_sends_plain_data_and_shows_no_nan(value: float | None) -> None:
    made = shared.scheduler().start(PRESETS["fast"].replace(hidden_sizes=(16, 12), num_epochs=1, threads=1))
    assert made.wait_until_state("done", timeout=120)
    weights = made.snapshot().weights
    assert weights
    if value is not None:
        broken = {name: array.copy() for name, array in weights.weights.items()}
        broken["fc1.weight"][3, 405] = broken["fc2.weight"][5, :] = value
        made._weights = replace(weights, weights=broken)
    app = new_app()
    app.query_params["run"] = made.id
    app.session_state["probes"] = [Probe(1, np.eye(28, dtype=np.float32), 1)]
    assert not app.run().exception
    for tab in TABS:
        texts = open_tab(app, tab)
        assert not [text for text in texts if re.search(r"\b(nan|inf)\b", re.sub(r"base64,[^']*", "", text), re.IGNORECASE)]
        if value is not None and tab in TABS[:5]:
            assert any("overflowed" in text for text in texts), tab


@pytest.mark.parametrize(
    ("values", "largest"),
    [([1.0, -3.0], 3.0), ([0.0], 1.0), ([], 1.0), ([np.nan, 2.0, np.inf], 2.0), ([np.nan], 1.0)],
)
def test_full_colour_is_finite_and_positive(values: list[float], largest: float) -> None:
    assert full_colour(np.array(values, np.float32)) == largest


@pytest.mark.parametrize("count", [1, 7, 8, 500, 2048])
def test_grid_contains_every_value_once_in_order(count: int) -> None:
    cells = grid(np.arange(count, dtype=np.float32), 7).ravel()
    assert cells[:count].tolist() == list(range(count))
    assert np.isnan(cells[count:]).all()
    assert len(cells) < count + 7
