"""The drawing, pinned drawings, and the tabs that explain a reading: what a person presses, and what the page then shows."""

import re
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from mnist_fc.analysis.probes import Probe
from mnist_fc.config import PRESETS
from mnist_fc.data.mnist import Mnist
from mnist_fc.drawing.strokes import Stroke, canvas_json
from mnist_fc.network import checkpoint
from mnist_fc.network.mlp import MLP
from mnist_fc.reading.reader import Reader
from mnist_fc.server.run import Run
from mnist_fc.views.state import networks, shared
from tests.support.data import Arrays, write_npz
from tests.support.session import component_data, has_text, open_tab, opened_app, press, rerun, send, send_state, texts
from tests.support.waiting import wait_until

ONE = Stroke(((140, 50), (140, 230)), 20)
TWO_ONES = [Stroke(((90, 80), (90, 200)), 20), Stroke(((190, 80), (190, 200)), 20)]

pytestmark = pytest.mark.usefixtures("own_small_store")


@pytest.fixture(scope="module")
def tanh_run(own_small_store: None) -> Run:
    """Return a run of two hidden layers of tanh, which is done."""
    config = PRESETS["fast"].replace(hidden_sizes=(16, 12), activation="tanh", num_epochs=1, num_validation=100, threads=1)
    made = shared.scheduler().start(config)
    wait_until(made, "done")
    return made


def draw(app: AppTest, strokes: list[Stroke], key: str = "canvas") -> AppTest:
    """Send strokes as canvas.js does, after those sent before."""
    data = component_data(app, f"{key}_component")
    log = {"session": data["session"], "first": data["done"] + 1, "raw": canvas_json(strokes)}
    return send_state(app, f"{key}_component", {"drawing": log})


def with_network(weights: MLP, tab: str) -> AppTest:
    """Open a tab with a network that was loaded from a file."""
    app = opened_app()
    app.session_state["loaded_file"] = networks.LoadedFile("net.ckpt", str(id(weights)), checkpoint.Loaded(weights, "0..1", ()))
    app.session_state["network"], app.session_state["network_before"] = "file", "shipped"
    return open_tab(app, tab)


def dead_network() -> MLP:
    """Return a network whose first hidden neuron alone is ever above zero."""
    model = MLP((8,))
    for parameter in model.parameters():
        parameter.data.zero_()
    model.layers[0].bias.data[:] = -1.0
    model.layers[0].weight.data[0] = 0.1
    model.layers[0].bias.data[0] = 0.0
    model.layers[1].weight.data[3, 0] = 1.0
    return model.eval()


# The drawing


def test_several_digits_are_read_from_left_to_right() -> None:
    app = draw(press(opened_app(), "clear"), TWO_ONES)
    assert has_text(app, "2 digits<br>from left to right")
    assert len(re.findall("<b>1</b>", "".join(text for text in texts(app) if "comparison number" in text))) == 2
    app.toggle(key="show_steps").set_value(True)
    assert has_text(rerun(app), "The steps of the first digit, and its picture below.")
    assert len(app.segmented_control(key="why_place").options) == 2


def test_too_many_strokes_are_rejected_with_a_remedy() -> None:
    app = press(opened_app(), "clear")
    data = component_data(app, "canvas_component")
    log = {"session": data["session"], "first": data["done"] + 1, "raw": {"objects": ["no stroke"]}}
    app = send_state(app, "canvas_component", {"drawing": log})
    assert [error.value for error in app.error if error.value.endswith(". Press Clear and draw again.")]
    press(app, "clear")
    assert not app.error


def test_test_digit_is_shown_with_its_label_and_undone(small: Mnist) -> None:
    app = press(opened_app(), "test_digit_button")
    (shown,) = (text for text in texts(app) if "Test digit" in text and "under-digit" in text)
    found = re.search(r"Test digit ([\d,]+),<br>labelled <b>(\d)</b>", shown)
    assert found
    assert int(found[2]) == int(small.test_labels[int(found[1].replace(",", ""))])
    assert not [text for text in texts(press(app, "undo")) if "labelled" in text]


def test_pinned_digits_can_be_relabelled_and_unpinned() -> None:
    app = press(opened_app(), "pin")
    (probe,) = app.session_state["probes"]
    assert app.button(key="pin").label == "Pinned"
    app.selectbox(key=f"probe_digit_{probe.id}").set_value(8)
    rerun(app)
    assert [each.digit for each in app.session_state["probes"]] == [8]
    assert has_text(app, "read as 3, ")
    press(app, f"unpin_{probe.id}")
    assert app.session_state["probes"] == []
    assert app.button(key="pin").label == "Pin"


def test_disabled_pin_says_why_nothing_can_be_pinned() -> None:
    app = opened_app()
    app.session_state["probes"] = [Probe(i, np.full((28, 28), i / 10, np.float32), 3) for i in range(5)]
    rerun(app)
    pin = app.button(key="pin")
    assert (pin.label, pin.disabled) == ("5 are pinned", True)
    pin = press(app, "clear").button(key="pin")
    assert (pin.label, pin.disabled) == ("No digit to pin", True)


def test_nothing_can_be_asked_about_an_empty_canvas() -> None:
    app = opened_app()
    asked = app.button(key="ask_why")
    assert (asked.label, asked.disabled) == ("Ask why", False)
    asked = press(app, "clear").button(key="ask_why")
    assert (asked.label, asked.disabled) == ("No answer", True)


def test_bar_of_a_near_certain_digit_says_neither_100_nor_0() -> None:
    bars = next(text for text in texts(opened_app()) if "class='bars'" in text)
    numbers = [number for number in re.findall("<span>([^<]*)</span>", bars) if number]
    assert ">99" in numbers
    assert not {"0", "100"} & set(numbers)


def test_pinned_test_digit_has_its_label(small: Mnist) -> None:
    app = press(press(opened_app(), "test_digit_button"), "pin")
    index = int(re.findall(r"Test digit ([\d,]+)", "".join(texts(app)))[0].replace(",", ""))
    assert [probe.digit for probe in app.session_state["probes"]] == [int(small.test_labels[index])]


def test_pins_tell_since_when_they_are_read_correctly(tanh_run: Run) -> None:
    app = opened_app(run=tanh_run.id)
    blank = np.zeros((28, 28), np.float32)
    read = Reader(networks.newest_reader(tanh_run.snapshot()).model).read_image(blank).probabilities
    right = int(np.argmax(read))
    app.session_state["probes"] = [Probe(1, blank, right), Probe(2, blank, (right + 1) % 10)]
    rerun(app)
    (tiles,) = (text for text in texts(app) if "<div class='probes'><div><" in text and "<small>" in text)
    assert re.search(r"(correct|steadily) since step \d+", tiles)
    assert f"read as {right}, " in tiles


# Tabs


def test_integrated_gradients_explain_a_network_with_tanh(tanh_run: Run) -> None:
    app = open_tab(opened_app(run=tanh_run.id), "Why this digit?")
    assert has_text(app, "The method is called integrated gradients")
    assert has_text(app, "score of blank paper")


def test_drawing_that_is_no_digit_is_explained_as_such() -> None:
    scribble = Stroke(tuple((float(40 + 200 * (i % 2)), 40.0 + 8 * i) for i in range(26)), 20)
    app = open_tab(draw(press(opened_app(), "clear"), [scribble]), "Why this digit?")
    assert has_text(app, "The page shows **?**, because this hardly looks like a digit.")


def test_why_tab_suggests_to_teach_ones_own_drawing_only() -> None:
    app = open_tab(opened_app(), "Why this digit?")
    assert not has_text(app, "teach the network"), "the sample is nobody's"
    draw(press(app, "clear"), [ONE])
    assert has_text(app, "teach the network")
    press(app, "test_digit_button")
    assert not has_text(app, "teach the network"), "test digits measure networks"


@pytest.mark.parametrize("tab", ["Why this digit?", "Inside", "Look-alikes"])
def test_empty_canvas_has_nothing_to_explain(tab: str) -> None:
    assert has_text(open_tab(press(opened_app(), "clear"), tab), "Draw a digit to see it explained.")


def test_clicked_neuron_of_each_layer_is_explained(tanh_run: Run) -> None:
    app = open_tab(opened_app(run=tanh_run.id), "Inside")
    send(app, "activation_grids", "clicked", [1, 4])
    assert has_text(app, "**Neuron 5 of 16 in hidden layer 1**")
    send(app, "activation_grids", "clicked", [2, 11])
    assert has_text(app, "**Neuron 12 of 12 in hidden layer 2**")
    assert has_text(app, "of hidden layer 1</th>")
    assert has_text(app, "= tanh(")
    send(app, "activation_grids", "clicked", [3, 7])
    assert has_text(app, "**The output for 7**")
    assert has_text(app, "the logit, which softmax turns into a probability")
    for ignored in ([0, 7], [3, 10], [9, 0], "x", None):
        send(app, "activation_grids", "clicked", ignored)
        assert has_text(app, "**The output for 7**")
    first = component_data(app, "telling_units")["tiles"][0]["id"]
    send(app, "telling_units", "clicked", [first, 0])
    assert has_text(app, f"**Neuron {first + 1} of 16 in hidden layer 1**")


def test_dead_neurons_are_counted_and_explained() -> None:
    app = with_network(dead_network(), "Inside")
    captions = [tile["caption"] for tile in component_data(app, "activation_grids")["tiles"]]
    assert "hidden layer 1: 1 above zero, 7 dead" in captions
    send(app, "activation_grids", "clicked", [1, 5])
    assert has_text(app, "This neuron is dead: it is never above zero on all 500 test digits, so it cannot tell them apart.")
    assert [tile["id"] for tile in component_data(app, "telling_units")["tiles"]] == [0]


def test_network_of_dead_neurons_tells_nothing_apart() -> None:
    model = dead_network()
    model.layers[0].weight.data.zero_()
    assert has_text(with_network(model, "Inside"), "No neuron of hidden layer 1 tells the digits apart:")


def test_cell_of_the_confusion_matrix_shows_its_digits(small: Mnist) -> None:
    app = with_network(dead_network(), "Misread digits")  # reads every digit as 3
    counts = np.array(component_data(app, "confusion_matrix")["counts"])
    assert counts[:, 3].tolist() == np.bincount(small.test_labels.numpy(), minlength=10).tolist()
    assert has_text(app, "#### All mistakes")
    send(app, "confusion_matrix", "cell", [7, 3])
    assert has_text(app, f"#### {counts[7, 3]} labelled 7, read as 3")
    assert {tile["caption"][:13] for tile in component_data(app, "misread_digits")["tiles"]} == {"7 read as 3, "}
    for ignored in ([7, 10], [-1, 3], "x", None):
        send(app, "confusion_matrix", "cell", ignored)
        assert has_text(app, f"#### {counts[7, 3]} labelled 7, read as 3")
    send(app, "confusion_matrix", "cell", [7, 3])
    assert has_text(app, "#### All mistakes")
    send(app, "confusion_matrix", "cell", [7, 2])
    assert has_text(app, "#### All mistakes"), "the cell is empty"


def test_digits_on_the_diagonal_are_not_called_mistakes(small: Mnist) -> None:
    app = send(with_network(dead_network(), "Misread digits"), "confusion_matrix", "cell", [3, 3])  # reads every digit as 3
    assert has_text(app, f"#### {int((small.test_labels == 3).sum())} labelled 3, read correctly")
    assert has_text(app, "Most confident readings first")
    assert not has_text(app, "Most confident mistakes first")
    assert component_data(app, "misread_digits")["label"] == "correctly read test digits"


def test_more_mistakes_are_shown_on_request() -> None:
    app = with_network(dead_network(), "Misread digits")
    before = len(component_data(app, "misread_digits")["tiles"])
    press(app, "more_mistakes")
    assert len(component_data(app, "misread_digits")["tiles"]) == 2 * before


def test_clicked_mistake_is_read_in_the_drawings_place() -> None:
    app = with_network(dead_network(), "Misread digits")
    index = component_data(app, "misread_digits")["tiles"][0]["id"]
    send(app, "misread_digits", "clicked", [index, 0])
    assert has_text(app, f"Test digit {index:,},")
    assert [tile["id"] for tile in component_data(app, "misread_digits")["tiles"] if tile["chosen"]] == [index]


def test_look_alikes_of_a_file_search_all_training_digits(small: Mnist) -> None:
    app = with_network(dead_network(), "Look-alikes")
    assert has_text(app, "Of 2,000 training digits, the ones that the last hidden layer of the loaded file")
    tiles = component_data(app, "nearest_digits")["tiles"]
    labels = small.train_labels
    assert all(tile["caption"].startswith(f"{labels[tile['id']]}, distance ") for tile in tiles)


def test_look_alikes_of_a_test_digit_are_not_those_of_a_drawing() -> None:
    app = open_tab(opened_app(), "Look-alikes")
    assert has_text(app, "represents most similarly to your drawing.")
    press(app, "test_digit_button")
    assert has_text(app, "represents most similarly to the test digit.")


def test_look_alikes_of_a_run_are_digits_it_trained_on(tanh_run: Run) -> None:
    app = open_tab(opened_app(run=tanh_run.id), "Look-alikes")
    assert has_text(app, "Of 1,900 training digits")
    trained_on = set(shared.trained_on(100, tanh_run.config.seed).tolist())
    assert {tile["id"] for tile in component_data(app, "nearest_digits")["tiles"]} <= trained_on


def test_look_alikes_need_the_data_that_the_server_started_with(
    small_arrays: Arrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened_app()
    other = small_arrays | {"y_train": small_arrays["y_train"][::-1]}
    shared.train_images.clear()
    monkeypatch.setenv("MNIST_FC_DATA", str(write_npz(tmp_path / "other.npz", other)))
    open_tab(app, "Look-alikes")
    (error,) = app.error
    assert error.value.startswith("The training digits cannot be shown: the data has changed since the server started")
    monkeypatch.undo()
    rerun(app)
    assert component_data(app, "nearest_digits")["tiles"]


def test_help_explains_the_page() -> None:
    app = opened_app()
    assert not has_text(app, "**Train** starts a new network")
    app.session_state["help"] = True
    rerun(app)
    assert has_text(app, "**Train** starts a new network with the settings in the side panel.")
