"""Turn the state dict of another program into the one of an MLP: find its layers, and convert names, types and inputs."""

import itertools
import math
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mnist_fc.config import NUM_CLASSES, NUM_INPUTS, ConfigError, LayerSizes
from mnist_fc.network.file_formats import FormatError
from mnist_fc.network.mlp import MLP
from mnist_fc.network.tensor_files import MAX_SHOWN, StateFile, shown

Inputs = Literal["0..1", "1..0", "-1..1", "mean-std", "0..255"]
"""How the pixels were scaled that a network was trained on."""

SCALINGS: dict[Inputs, tuple[float, float]] = {
    "0..1": (0.0, 1.0),
    "1..0": (1.0, -1.0),
    "-1..1": (0.5, 0.5),
    "mean-std": (0.1307, 0.3081),
    "0..255": (0.0, 1 / 255),
}
"""What is subtracted from a pixel in [0, 1], and what the difference is then divided by. 0.1307 and 0.3081 are the mean and the
standard deviation of MNIST's training pixels, as in PyTorch's example. "1..0" is 1 on paper and 0 in ink."""

CONVERTED = {torch.float64: "float64", torch.float16: "float16", torch.bfloat16: "bfloat16"}

PARTIAL = (
    (r"lora_[AB]\b", "LoRA layers", "merge them, for example with model.merge_and_unload(), and save the state dict again"),
    (
        r"weight_[gv]$|parametrizations\.",
        *(
            "weights in parts (weight norm or another parametrization)",
            "remove the parametrization and save the state dict again",
        ),
    ),
    (r"weight_(orig|mask)$", "pruned weights", "make them plain with torch.nn.utils.prune.remove, and save the state dict again"),
    (r"_flat_param", "weights that FSDP has joined", "save the full state dict"),
)
"""Names of tensors that are no weights yet, what they show, and what to do."""

MAX_PERMUTED = 6
"""Layers that may be in any order; more than five are rejected anyway."""


class Layer(NamedTuple):
    """A fully connected layer of a state dict."""

    name: str
    weight: Tensor
    bias: Tensor | None


class Adapted(NamedTuple):
    """The state dict of an MLP, and what was done to get it."""

    state: dict[str, Tensor]
    hidden_sizes: tuple[int, ...]
    notes: tuple[str, ...]


def adapt(file: StateFile, num_classes: int) -> Adapted:
    """Return the state dict of an MLP with `num_classes` outputs: fc1.weight, fc1.bias, fc2.weight, ... in float32.

    Layers may have any names. Raises FormatError for anything but fully connected layers from 784 pixels to the classes.
    """
    layers, notes = _find_layers(file)
    sizes = (*(layer.weight.shape[1] for layer in layers), layers[-1].weight.shape[0])
    if sizes[-1] != num_classes:
        what = "digits" if num_classes == NUM_CLASSES else "rejecting what is not a digit"
        raise FormatError(f"has {sizes[-1]} outputs; a network for {what} has {num_classes}")
    try:
        hidden_sizes = LayerSizes().check("hidden_sizes", tuple(sizes[1:-1]))
    except ConfigError as error:
        raise FormatError(f": {error}") from None
    # Only now: a file of a few bytes can describe a tensor of any size that repeats one number.
    state = {}
    for number, layer in enumerate(layers, start=1):
        bias = torch.zeros(len(layer.weight)) if layer.bias is None else layer.bias
        state[f"fc{number}.weight"], state[f"fc{number}.bias"] = layer.weight.float(), bias.float()
    if broken := [key for key, tensor in state.items() if not _is_finite(tensor)]:
        raise FormatError(f"has values that are not finite numbers in {', '.join(broken)}")
    return Adapted(state, hidden_sizes, tuple(notes))


def _is_finite(tensor: Tensor) -> bool:
    """Check a tensor that is not empty by its extremes: `isfinite` would take twice the tensor's memory."""
    low, high = tensor.aminmax()
    return math.isfinite(low) and math.isfinite(high)


def _find_layers(file: StateFile) -> tuple[Sequence[Layer], list[str]]:
    """Return a file's layers from the input to the output, and what had to be done for that."""
    names = file.tensors if file.has_order else sorted(file.tensors, key=_in_natural_order)
    layers = _pair({name: file.tensors[name] for name in names})
    for layer in layers:
        for tensor in layer[1:]:
            if tensor is not None and tensor.dtype not in (torch.float32, *CONVERTED):
                raise FormatError(f": {layer.name} is {tensor.dtype}; it must be float32, float64, float16 or bfloat16")
    notes = [f"The network is under the key {shown(file.place)}."] if file.place else []
    found = _chain(layers)
    if found is None and (found := _chain([layer._replace(weight=layer.weight.T) for layer in layers])):
        notes.append("Its weights are of shape (in, out) and were transposed.")
    if found is None:
        raise FormatError(f": {_mismatch(layers)}")
    given, expected = [layer.name for layer in found], [f"fc{number}" for number in range(1, len(found) + 1)]
    if given != expected:
        notes.append(f"Its layers {', '.join(map(shown, given))} are read as {', '.join(expected)}.")
    if found[0].bias is None:
        notes.append("It has no biases; zeros stand for them.")
    types = {tensor.dtype for layer in found for tensor in layer[1:] if tensor is not None}
    if converted := [name for dtype, name in CONVERTED.items() if dtype in types]:
        notes.append(f"Its {' and '.join(converted)} values were converted to float32.")
    return found, notes


def _pair(tensors: dict[str, Tensor]) -> list[Layer]:
    """Return layers of a weight and a bias each: by their names, else the first matrix with the first vector and so on."""
    for name, tensor in tensors.items():
        for pattern, what, advice in PARTIAL:
            if re.search(pattern, name):
                raise FormatError(f"has {what} ({shown(name)}); {advice}")
        if "running_mean" in name:
            raise FormatError(f"has batch normalization ({shown(name)}); only fully connected layers are read")
        if tensor.ndim > 2:
            raise FormatError(f"has {shown(name)} of shape {tuple(tensor.shape)}; only fully connected layers are read")
    matrices = {name: tensor for name, tensor in tensors.items() if tensor.ndim == 2}
    others = {name: tensor for name, tensor in tensors.items() if tensor.ndim < 2}
    if not matrices:
        found = ", ".join([shown(name) for name in list(tensors)[:MAX_SHOWN]] + ["..."] * (len(tensors) > MAX_SHOWN))
        raise FormatError(f"has {found}; it must have fc1.weight, fc1.bias, fc2.weight, ...")
    stems = {name: name.removesuffix("weight").rstrip("._") for name in matrices}
    biases = {name: "bias".join(name.rsplit("weight", 1)) for name in matrices}
    if not any(bias in others for bias in biases.values()) and len(others) in (0, len(matrices)):
        biases = dict(zip(matrices, others, strict=True)) if others else {}
    elif alone := next((name for name in others if name.endswith("weight")), None):
        what = f"has {shown(alone)} of shape {tuple(others[alone].shape)}, which is of no fully connected layer"
        raise FormatError(f"{what}; only such layers are read")
    elif missing := sorted(set(biases.values()) ^ set(others)):
        raise FormatError(f"has weights and biases that do not form pairs: {', '.join(map(shown, missing[:MAX_SHOWN]))}")
    return [Layer(stems[name] or name, matrix, others.get(biases.get(name, ""))) for name, matrix in matrices.items()]


def _chain(layers: list[Layer]) -> Sequence[Layer] | None:
    """Return the first order of the layers, beginning with the given one, in which each fits the one before."""
    orders = itertools.permutations(layers) if len(layers) <= MAX_PERMUTED else iter([layers])
    return next((order for order in orders if _mismatch(order) is None), None)


def _mismatch(layers: Sequence[Layer]) -> str | None:
    """Return which layer does not fit the one before it; None if all do."""
    num_inputs, advice = NUM_INPUTS, "; the first layer must take the 784 pixels of 28 x 28 images"
    for name, weight, bias in layers:
        if weight.shape[1] != num_inputs or (bias is not None and bias.shape != weight.shape[:1]):
            biases = f" and biases {tuple(bias.shape)}" if bias is not None else ""
            return f"{shown(name)} has weights {tuple(weight.shape)}{biases} after {num_inputs} units{advice}"
        num_inputs, advice = weight.shape[0], ""
    return None


def _in_natural_order(name: str) -> list[tuple[int, str]]:
    """Return a sort key that puts fc2 before fc10, and both before out."""
    return [(int(part), "") if part.isdecimal() else (10**9, part) for part in re.split(r"(\d{1,9})", name)]


def fold_inputs(model: MLP, inputs: Inputs) -> MLP:
    """Return the network for pixels in [0, 1] that answers as `model` does for `inputs`; it shares all but the first layer."""
    if inputs == "0..1":
        return model
    subtracted, divisor = SCALINGS[inputs]
    state = model.state_dict()
    weight = state["fc1.weight"].double() / divisor
    state["fc1.bias"] = (state["fc1.bias"].double() - subtracted * weight.sum(1)).float()
    state["fc1.weight"] = weight.float()
    folded = MLP(model.hidden_sizes, model.activation_name, model.layers[-1].out_features)
    folded.load_state_dict(state, assign=True)
    return folded.eval()
