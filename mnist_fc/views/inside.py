"""Inside the network: the drawing on its way through the layers, and what one unit does with it."""

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
from mnist_fc.views.controls import WORDS
from mnist_fc.views.state import networks, shared, throttle

NUM_STRONGEST = 6
NUM_EXCITING = 8
NUM_TELLING = 24

NUM_SURVEYED = 2000
"""Test digits on which it is found which first-layer units tell digits apart."""

Place = tuple[int, int]
"""A unit: its layer, counted from 1, the output layer included, and its index there."""


def panel(readings: list[Reading], network: networks.Network) -> None:
    """The structure, the drawing's way through it, one unit, and the most telling pictures of the first layer."""
    reading = drawing.to_explain(readings, "inside")
    model = network.reader.model
    surveyed, _ = throttle.survey(network)
    st.markdown(f"#### From the picture to the answer, by {model.num_parameters:,} numbers")
    with st.container(key="structure"):
        st.html(_structure(model))
    if reading is not None and reading.image is not None:
        _way_through(model, reading.image, network, surveyed)
    st.markdown("#### What the first layer looks for")
    _gallery(network, surveyed)


def _structure(model: MLP) -> str:
    """The layers as a diagram, with the shapes of their weights and how many numbers each has learned."""
    function = WORDS[model.activation_name]
    boxes = ["<div><b>28 x 28 picture</b>784 pixels, 0 to 1</div>"]
    for number, layer in enumerate(model.layers, start=1):
        size, inputs = layer.weight.shape
        is_last = number == len(model.layers)
        boxes.append(
            f"<div class='layer'><b>fc{number}: {size:,} units</b>{size:,} x {inputs:,} weights<br>+ {size:,} biases"
            f"<br>= {(inputs + 1) * size:,} numbers<br>then {'softmax' if is_last else function}</div>"
        )
    boxes.append("<div><b>10 probabilities</b>of the digits 0 to 9</div>")
    return f"<div class='structure'>{'<span>→</span>'.join(boxes)}</div>"


def _way_through(model: MLP, image: np.ndarray, network: networks.Network, surveyed: Survey) -> None:
    """Every unit's activation, and the unit that was clicked."""
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
        "Each small square is a unit, and its colour what it says of your drawing: orange above zero, blue below, grey at zero; "
        "full colour is the strongest of its layer. Point at or tap a unit for its number; "
        "**click or tap it** to see what it does."
    )
    with st.container(key="activations"):
        pictures("activation_grids", tiles, label="the activations of all units", size=142, on_click=_choose, click="cell")
    with st.container(key="unit"):
        _unit(model, image, place, network, surveyed)


def _caption(number: int, activations: np.ndarray, surveyed: Survey) -> str:
    """How many units of a hidden layer are on for this drawing, and how many never are."""
    num_dead = surveyed.num_dead[number - 1]
    dead = f", {num_dead:,} dead" if num_dead else ""
    return f"layer {number}: {np.count_nonzero(activations > 0):,} above zero{dead}"


def _columns(num_units: int) -> int:
    """So many that the grid is nearly a square."""
    return round(1.1 * math.sqrt(num_units))


def _chosen(activity: list[np.ndarray]) -> Place:
    """The unit that was clicked last, if this network has it, else the first layer's with the highest activation."""
    place: Place | None = st.session_state.get("unit_chosen")
    if place and place[0] <= len(activity) and place[1] < len(activity[place[0] - 1]):
        return place
    return 1, int(np.argmax(np.nan_to_num(activity[0])))


def _choose(layer: int, index: int) -> None:
    """Look at a unit; layer 0 is the picture, whose pixels are no units."""
    if layer > 0:
        st.session_state.unit_chosen = layer, index


def _unit(model: MLP, image: np.ndarray, place: Place, network: networks.Network, surveyed: Survey) -> None:
    """One unit: its arithmetic for the drawing, its incoming weights, and the test digits that excite it the most."""
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
            pictures("unit_weights", tiles, label="weights of the unit, and their products with the drawing", size=168)
        else:
            st.html(_strongest(one, number))
    with right:
        _exciting(model, place, network, is_dead=not is_output and bool(surveyed.is_dead[number - 1][index]))


def _exciting(model: MLP, place: Place, network: networks.Network, *, is_dead: bool) -> None:
    """The test digits that excite a unit the most; of one that is dead, or whose values overflow, that it is so."""
    number, index = place
    images, labels = shared.mnist().test_images, shared.mnist().test_labels
    (indices, values), by = throttle.throttled(
        "exciting", place, network, lambda: top_activating(model, images, number, index, NUM_EXCITING)
    )
    if is_dead:
        always = "never above zero" if values[0] <= 0 else f"always about {format_number(float(values[0]), 2)}"
        st.info(f"This unit is dead: it is {always} on all {len(labels):,} test digits, so it cannot tell them apart.")
        return
    if not np.isfinite(values).all():
        st.info("This unit's values overflowed on the test digits, so they cannot be compared.")
        return
    st.markdown(f"**The test digits that excite it most**{_as_of(by, network)}")
    tiles = [
        ink(images[i].numpy(), f"{labels[i]}: {format_number(value)}", i)
        for i, value in zip(indices.tolist(), values.tolist(), strict=True)
    ]
    pictures("unit_exciting", tiles, label="the test digits that excite the unit most", size=76)
    what = "logit" if number == len(model.layers) else "activation"
    st.caption(f"Of all {len(labels):,}, with their label and the unit's {what}.")


def _name(model: MLP, place: Place) -> str:
    number, index = place
    if number == len(model.layers):
        return f"The output for {index}"
    return f"Unit {index + 1:,} of {model.layers[number - 1].out_features:,} in layer {number}"


def _arithmetic(model: MLP, one: Unit, place: Place) -> str:
    """The sum and the activation in notation, with this drawing's numbers."""
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
    """The units of the layer before that add or take away the most."""
    rows = "".join(
        f"<tr><th>unit {i + 1:,} of layer {number - 1}</th>"
        + "".join(f"<td>{format_fixed(float(values[i]), signed=True)}</td>" for values in (one.weights, one.inputs, one.terms))
        + "</tr>"
        for i in one.strongest(NUM_STRONGEST)
    )
    header = "<tr><th>strongest inputs</th><th>weight <i>w</i></th><th>says <i>a</i></th><th><i>w a</i></th></tr>"
    return f"<table class='sums strongest'><thead>{header}</thead><tbody>{rows}</tbody></table>"


def _gallery(network: networks.Network, surveyed: Survey) -> None:
    """The weights of the first-layer units that tell the test digits apart the most, without those that are dead."""
    if surveyed.overflows:
        st.info("No unit tells the digits apart, because the network's values overflowed.")
        return
    model, images = network.reader.model, shared.mnist().test_images[:NUM_SURVEYED]

    def find() -> list[tuple[int, np.ndarray]]:
        weights = model.layers[0].weight.detach().numpy()
        return [(int(i), weights[i].reshape(28, 28)) for i in most_discriminative(model, images, NUM_TELLING)]

    all_found, by = throttle.throttled("telling", None, network, find)
    found = [(i, weights) for i, weights in all_found if not surveyed.is_dead[0][i] and np.isfinite(weights).all()]
    if not found:
        st.info("No unit of layer 1 tells the digits apart: each is dead or its weights overflowed.")
        return
    st.caption(
        f"The incoming weights of the {len(found)} units of layer 1 that tell the test digits apart the most (how much a unit's "
        f"activation varies over {len(images):,} of them, times the length of its outgoing weights): ink on orange raises the "
        f"unit's sum, ink on blue lowers it. Click or tap one to see it above.{_as_of(by, network)}"
    )
    tiles = [Tile(weights, f"unit {i + 1:,}", i, limit=full_colour(weights)) for i, weights in found]
    with st.container(key="gallery"):
        pictures(
            "telling_units",
            tiles,
            label="weights of the most telling units",
            size=96,
            on_click=lambda index, _: _choose(1, index),
        )


def _as_of(name: str, network: networks.Network) -> str:
    """Which weights something was computed with, where they are not those that read now."""
    return "" if name == network.name else f" (as of {name})"
