"""Write a network as an ONNX graph: pixels in, logits out.

The graph is built by hand with `onnx.helper`. `torch.onnx.export` needs two more packages (onnxscript and onnx-ir, 10 MB) and
takes 7.3 s for the first network of a process and 2.0 s for each further one. This module takes 0.2 s and 0.02 s. (Measured with
torch 2.15.0 on two cores, for the shipped network.)
"""

from typing import Any

import onnx
from onnx import TensorProto, helper, numpy_helper

from mnist_fc.config import NUM_CLASSES
from mnist_fc.network.mlp import LEAKY_SLOPE, MLP

OPSET, IR_VERSION = 13, 7
"""ONNX 1.8, of November 2020: old enough for the programs in use, such as ONNX Runtime 1.15 and OpenCV, to read the file."""

GELU_OPSET, GELU_IR_VERSION = 20, 9
"""ONNX 1.15, of October 2023: the first version with Gelu."""

ONNX_ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "relu": ("Relu", {}),
    "tanh": ("Tanh", {}),
    "sigmoid": ("Sigmoid", {}),
    "leaky_relu": ("LeakyRelu", {"alpha": LEAKY_SLOPE}),
    "gelu": ("Gelu", {}),
}
"""The ONNX operator of each activation, and its attributes."""


def to_onnx(model: MLP) -> bytes:
    """Return `model` as an ONNX file: images (N, 784) in [0, 1] to logits (N, classes), both float32, for any N."""
    num_inputs, num_classes = model.layers[0].in_features, model.layers[-1].out_features
    about_images = "28 x 28 pixels, row by row from the top left, 0 paper to 1 ink"
    about_logits = "one for each digit from 0 to 9" + (", and one for not a digit" if num_classes > NUM_CLASSES else "")
    graph = helper.make_graph(
        _nodes(model),
        "mlp",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", num_inputs], about_images)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", num_classes], about_logits)],
        [numpy_helper.from_array(tensor.numpy(), name) for name, tensor in model.state_dict().items()],
    )
    opset, ir_version = (GELU_OPSET, GELU_IR_VERSION) if model.activation_name == "gelu" else (OPSET, IR_VERSION)
    file = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=ir_version,
        producer_name="mnist_fc",
        doc_string=f"A fully connected network that reads MNIST's digits. images: {about_images}. logits: {about_logits}.",
    )
    onnx.checker.check_model(file, full_check=True)
    return bytes(file.SerializeToString())


def _nodes(model: MLP) -> list[onnx.NodeProto]:
    """Return the operations from images to logits."""
    operator, attributes = ONNX_ACTIVATIONS[model.activation_name]
    nodes, inputs = [], "images"
    last = len(model.layers)
    for i in range(1, last + 1):
        z, a = f"z{i}" if i < last else "logits", f"a{i}"
        nodes.append(helper.make_node("Gemm", [inputs, f"fc{i}.weight", f"fc{i}.bias"], [z], f"fc{i}", transB=1))
        if i < last:
            nodes.append(helper.make_node(operator, [z], [a], f"{model.activation_name}{i}", **attributes))
            inputs = a
    return nodes
