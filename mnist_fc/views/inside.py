"""Inside the network: the drawing on its way through the layers, and the arithmetic of one neuron."""

import math

import numpy as np
import streamlit as st

from mnist_fc.analysis.attribution import Unit, forward, unit
from mnist_fc.analysis.survey import Survey, most_discriminative, top_activating
from mnist_fc.network.mlp import MLP
from mnist_fc.reading.reader import Reading
from mnist_fc.views import drawing
from mnist_fc.views.components.numbers import MINUS, format_fixed, format_number
from mnist_fc.views.components.pixels import Tile, full_colour, grid, ink, pictures
from mnist_fc.views.settings import WORDS
from mnist_fc.views.state import networks, shared, throttle

NUM_STRONGEST = 6
NUM_ACTIVATING = 8
NUM_DISCRIMINATIVE = 24

NUM_SURVEYED = 2000
"""Test digits from which the most discriminative neurons of the first layer are found."""

Place = tuple[int, int]
"""A neuron: its layer, counted from 1 with the output layer last, and its index there."""


def panel(readings: list[Reading], network: networks.Network) -> None:
    """Draw the structure, the drawing's way through it, one neuron, and the most discriminative weights of the first layer."""
    reading = drawing.to_explain(readings, "inside")
    model = network.reader.model
    surveyed, _ = throttle.survey(network)
    st.markdown(f"#### From picture to answer with {model.num_parameters:,} numbers")
    with st.container(key="structure"):
        st.html(_structure(model))
    if reading is not None and reading.image is not None:
        _way_through(model, reading.image, network, surveyed)
    st.markdown("#### What the first layer looks for")
    _gallery(network, surveyed)


def _structure(model: MLP) -> str:
    """Return a diagram of the layers as HTML, with the shapes of their weights and the number of parameters."""
    function = WORDS[model.activation_name]
    boxes = ["<div><b>28 x 28 picture</b>784 pixels, 0 to 1</div>"]
    for number, layer in enumerate(model.layers, start=1):
        size, inputs = layer.weight.shape
        is_last = number == len(model.layers)
        name = "Output layer" if is_last else f"Hidden layer {number}"
        boxes.append(
            f"<div class='layer'><b>{name}: {size:,} neurons</b>{size:,} x {inputs:,} weights<br>+ {size:,} biases"
            f"<br>= {(inputs + 1) * size:,} numbers<br>then {'softmax' if is_last else function}</div>"
        )
    boxes.append("<div><b>10 probabilities</b>of the digits 0 to 9</div>")
    return f"<div class='structure'>{'<span>→</span>'.join(boxes)}</div>"


def _way_through(model: MLP, image: np.ndarray, network: networks.Network, surveyed: Survey) -> None:
    """Draw every neuron's activation, and the neuron that was clicked."""
    activity = [layer.activations for layer in forward(model, image)]
    place = _chosen(activity)
    tiles = [Tile(image, "the picture", is_ink=True)]
    for number, activations in enumerate(activity, start=1):
        is_output = number == len(activity)
        caption = "outputs: ten logits" if is_output else _caption(number, activations, surveyed)
        cells = grid(activations, 5 if is_output else _columns(len(activations)))
        tiles.append(
            Tile(
                cells,
                caption,
                number,
                each="digit" if is_output else "unit",
                chosen_cell=place[1] if place[0] == number else None,
                limit=full_colour(cells),
            )
        )
    st.caption(
        "Each small square is a neuron; its colour is its output: orange above zero, blue below, grey at zero. "
        "The strongest of each layer has full colour. Point at or tap a neuron for its value; **click or tap it** to see more."
    )
    with st.container(key="activations"):
        pictures("activation_grids", tiles, label="the activations of all neurons", size=142, on_click=choose, click="cell")
    with st.container(key="unit"):
        _unit(model, image, place, network, surveyed)


def _caption(number: int, activations: np.ndarray, surveyed: Survey) -> str:
    """Return how many neurons of a hidden layer this drawing activates, and how many are dead."""
    num_dead = surveyed.num_dead[number - 1]
    dead = f", {num_dead:,} dead" if num_dead else ""
    return f"hidden layer {number}: {np.count_nonzero(activations > 0):,} above zero{dead}"


def _columns(num_units: int) -> int:
    """Return the number of columns that makes the grid nearly a square."""
    return round(1.1 * math.sqrt(num_units))


def _chosen(activity: list[np.ndarray]) -> Place:
    """Return the neuron that was clicked last if this network has it, else the most active of the first layer."""
    place: Place | None = st.session_state.get("unit_chosen")
    if place and place[0] <= len(activity) and place[1] < len(activity[place[0] - 1]):
        return place
    return 1, int(np.argmax(np.nan_to_num(activity[0])))


def choose(layer: int, index: int) -> None:
    """Show a neuron from now on; layer 0 is the picture, whose pixels are not neurons."""
    if layer > 0:
        st.session_state.unit_chosen = layer, index


def _unit(model: MLP, image: np.ndarray, place: Place, network: networks.Network, surveyed: Survey) -> None:
    """Draw one neuron: its arithmetic for the drawing, its incoming weights, and the test digits that activate it most."""
    number, index = place
    one = unit(model, image, number, index)
    is_output = number == len(model.layers)
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown(f"**{_name(model, place)}**")
        st.html(f"<div class='arithmetic'>{_arithmetic(model, one, place)}</div>")
        if number == 1:
            tiles = [
                Tile(one.weights.reshape(28, 28), "its weights: what it looks for", limit=full_colour(one.weights)),
                Tile(one.terms.reshape(28, 28), "times your ink: what it finds", limit=full_colour(one.terms)),
            ]
            pictures("unit_weights", tiles, label="weights of the neuron, and their products with the drawing", size=168)
        else:
            st.html(_strongest(one, number))
    with right:
        _activating(model, place, network, is_dead=not is_output and bool(surveyed.is_dead[number - 1][index]))


def _activating(model: MLP, place: Place, network: networks.Network, *, is_dead: bool) -> None:
    """Draw the test digits that activate a neuron most, or say that it is dead or its values overflowed."""
    number, index = place
    images, labels = shared.mnist().test_images, shared.mnist().test_labels
    (indices, values), by = throttle.throttled(
        "activating", place, network, lambda: top_activating(model, images, number, index, NUM_ACTIVATING)
    )
    if is_dead:
        always = "never above zero" if values[0] <= 0 else f"always about {format_number(float(values[0]), 2)}"
        st.info(f"This neuron is dead: it is {always} on all {len(labels):,} test digits, so it cannot tell them apart.")
        return
    if not np.isfinite(values).all():
        st.info("This neuron's values overflowed on the test digits, so they cannot be compared.")
        return
    st.markdown(f"**The test digits that activate it most**{_as_of(by, network)}")
    what = "logit" if number == len(model.layers) else "activation"
    tiles = [
        ink(images[i].numpy(), f"label {labels[i]}, {what} {format_number(value, 2)}", i)
        for i, value in zip(indices.tolist(), values.tolist(), strict=True)
    ]
    pictures("unit_exciting", tiles, label="the test digits that activate the neuron most", size=76)
    st.caption(f"Of all {len(labels):,}, with their label and the neuron's {what}.")


def _name(model: MLP, place: Place) -> str:
    number, index = place
    if number == len(model.layers):
        return f"The output for {index}"
    return f"Neuron {index + 1:,} of {model.layers[number - 1].out_features:,} in hidden layer {number}"


def _arithmetic(model: MLP, one: Unit, place: Place) -> str:
    """Return the sum and the activation in mathematical notation, as HTML, with this drawing's numbers."""
    inputs = "x" if place[0] == 1 else "a"
    weighted = one.sum - one.bias
    bias = f"{MINUS if one.bias < 0 else '+'} {format_fixed(abs(one.bias))}"
    first, last = (f"<i>w</i><sub>{i}</sub><i>{inputs}</i><sub>{i}</sub>" for i in (1, len(one.weights)))
    lines = [
        f"<i>z</i> = {first} + … + {last} + <i>b</i>",
        f"<i>z</i> = {format_fixed(weighted)} {bias} = <b>{format_fixed(one.sum)}</b>",
    ]
    if place[0] == len(model.layers):
        lines.append("the logit, which softmax turns into a probability")
    else:
        lines.append(f"<i>a</i> = {WORDS[model.activation_name]}(<i>z</i>) = <b>{format_fixed(one.activation)}</b>")
    return "<br>".join(lines)


def _strongest(one: Unit, number: int) -> str:
    """Return a table, as HTML, of the neurons of the layer before that add or subtract the most."""
    rows = "".join(
        f"<tr><th>neuron {i + 1:,} of hidden layer {number - 1}</th>"
        + "".join(f"<td>{format_fixed(float(values[i]), signed=True)}</td>" for values in (one.weights, one.inputs, one.terms))
        + "</tr>"
        for i in one.strongest(NUM_STRONGEST)
    )
    header = "<tr><th>strongest inputs</th><th>weight <i>w</i></th><th>output <i>a</i></th><th><i>w a</i></th></tr>"
    return f"<table class='sums strongest'><thead>{header}</thead><tbody>{rows}</tbody></table>"


def _gallery(network: networks.Network, surveyed: Survey) -> None:
    """Draw the weights of the first-layer neurons that best tell the test digits apart, without dead ones."""
    if surveyed.overflows:
        st.info("No neuron tells the digits apart, because the network's values overflowed.")
        return
    model, images = network.reader.model, shared.mnist().test_images[:NUM_SURVEYED]

    def find() -> list[tuple[int, np.ndarray]]:
        weights = model.layers[0].weight.detach().numpy()
        # Copies: a view would keep all weights of the layer in memory for as long as the result.
        return [(int(i), weights[i].reshape(28, 28).copy()) for i in most_discriminative(model, images, NUM_DISCRIMINATIVE)]

    all_found, by = throttle.throttled("discriminative", None, network, find)
    found = [(i, weights) for i, weights in all_found if not surveyed.is_dead[0][i] and np.isfinite(weights).all()]
    if not found:
        st.info("No neuron of hidden layer 1 tells the digits apart: each is dead or its weights overflowed.")
        return
    st.caption(
        f"The weights of the {len(found)} neurons of hidden layer 1 that best tell the test digits apart. Ink on orange raises "
        "a neuron's sum, ink on blue lowers it. Click or tap one to see it above. They are ranked by how much their activation "
        f"varies over {len(images):,} digits, times the norm of their outgoing weights.{_as_of(by, network)}"
    )
    tiles = [Tile(weights, f"neuron {i + 1:,}", i, limit=full_colour(weights)) for i, weights in found]
    with st.container(key="gallery"):
        pictures(
            "telling_units",
            tiles,
            label="weights of the most discriminative neurons",
            size=96,
            on_click=lambda index, _: choose(1, index),
        )


def _as_of(name: str, network: networks.Network) -> str:
    """Return which weights something was computed with, if those are not the ones that read now."""
    return "" if name == network.name else f" (as of {name})"
