"""The live network: what it sees, its neurons lit by the drawing, its answers, and the connections that matter most."""

import base64
from typing import Any

import numpy as np
import streamlit as st

from mnist_fc.analysis.attribution import LayerActivity, forward
from mnist_fc.analysis.pathway import strongest_connections
from mnist_fc.network.mlp import MLP
from mnist_fc.reading.reader import Reading, percent
from mnist_fc.views import inside, tabs
from mnist_fc.views.components.component import Component, browser_value
from mnist_fc.views.components.pixels import full_colour
from mnist_fc.views.state import networks

_network = Component("network", "<div class='live-network' role='group'></div>")

BLANK = np.zeros((28, 28), np.float32)


def panel(readings: list[Reading], network: networks.Network) -> None:
    """Draw `network` with the values that it has for the drawing; of several digits, the first."""
    with st.container(key="network_view"):
        caption = "what the network sees" if len(readings) == 1 else "the first digit"
        data = as_data(network.reader.model, readings[0], network.name, caption)
        _network.show("live_network", data, on_chosen_change=_choose)


def as_data(model: MLP, reading: Reading, name: str, caption: str) -> dict[str, Any]:
    """Return the data for network.js; `caption` is the picture's. Without a drawing or if values overflow, no neuron is lit."""
    image = reading.image
    activity = forward(model, BLANK if image is None else image)
    is_lit = image is not None and all(np.isfinite(layer.activations).all() for layer in activity)
    return {
        "label": f"{name[0].upper()}{name[1:]} at work: {_answer(reading)}",
        "caption": caption,
        "picture": None if image is None else _base64(np.rint(image * 255).astype(np.uint8)),
        "layers": [_layer(number, layer, is_lit=is_lit) for number, layer in enumerate(activity[:-1], start=1)],
        "outputs": [_output(digit, probability) for digit, probability in enumerate(reading.probabilities)],
        "digit": reading.digit,
        "connections": strongest_connections(model, image, activity, _digits(reading)) if image is not None and is_lit else [],
    }


def _digits(reading: Reading) -> list[int]:
    """Return the digits to which connections are drawn: the most probable one, and the runner-up if it may be right."""
    best = int(np.argmax(reading.probabilities))
    return [best, reading.runner_up] if reading.is_close and reading.runner_up is not None else [best]


def _layer(number: int, layer: LayerActivity, *, is_lit: bool) -> dict[str, Any]:
    values = layer.activations if is_lit else np.zeros_like(layer.activations)
    return {"name": f"Hidden layer {number}", "size": len(values), "values": _base64(values), "limit": full_colour(values)}


def _output(digit: int, probability: float) -> dict[str, Any]:
    return {"share": probability, "shown": percent(probability), "words": f"{digit}: {percent(probability)}. Ask why"}


def _answer(reading: Reading) -> str:
    if reading.problem == "empty":
        return "nothing is drawn"
    return "no digit" if reading.digit is None else f"{reading.digit}"


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()


def _choose() -> None:
    """Open the tab that explains what was clicked. The browser is not trusted."""
    match browser_value("live_network", "chosen"):
        case ["unit", int(layer), int(index)] if layer > 0 and index >= 0:
            inside.choose(layer, index)
            tabs.open_tab(tabs.INSIDE)
        case ["output", int()]:
            tabs.open_tab(tabs.WHY)
