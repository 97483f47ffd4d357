"""The ONNX file of a network gives the network's logits and describes its inputs and outputs."""

import cv2
import numpy as np
import onnx
import onnxruntime  # type: ignore[import-untyped]
import pytest
import torch
from torch import Tensor

from mnist_fc.data.mnist import Mnist
from mnist_fc.export.onnx import to_onnx
from mnist_fc.network import checkpoint
from mnist_fc.network.mlp import ACTIVATIONS, MLP, initialize
from mnist_fc.reading import rejection
from mnist_fc.training.evaluation import evaluate


def logits_of(content: bytes, images: Tensor) -> np.ndarray:
    """Return ONNX Runtime's logits of images (N, 784) in [0, 1]."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"images": images.numpy()})
    return np.asarray(logits)


def assert_same_logits(model: MLP, images: Tensor) -> None:
    content = to_onnx(model)
    with torch.no_grad():
        expected = model(images)
    assert expected.std(0).min() > 0.1
    for num_images in (1, 7, len(images)):
        logits = logits_of(content, images[:num_images])
        assert logits.shape == (num_images, expected.shape[1])
        assert logits.dtype == np.float32
        np.testing.assert_allclose(logits, expected[:num_images].numpy(), rtol=0, atol=1e-4)


@pytest.fixture(scope="module")
def shipped() -> MLP:
    return checkpoint.load(checkpoint.SHIPPED)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_onnx_runtime_gives_the_same_logits(
    models: dict[tuple[str, int], MLP], small: Mnist, activation: str, depth: int
) -> None:
    assert_same_logits(models[activation, depth], small.test_images[:100] / 255)


def test_onnx_runtime_gives_the_same_logits_for_shipped_networks(shipped: MLP, small: Mnist) -> None:
    for model in (shipped, *rejection.networks()):
        assert_same_logits(model, small.test_images[:100] / 255)


def test_onnx_runtime_reaches_the_same_test_accuracy(shipped: MLP, small: Mnist) -> None:
    digits = logits_of(to_onnx(shipped), small.test_images / 255).argmax(1)
    _, accuracy = evaluate(shipped, small.test_images, small.test_labels)
    assert (digits == small.test_labels.numpy()).mean() == accuracy


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_only_gelu_needs_a_recent_version_of_onnx(models: dict[tuple[str, int], MLP], activation: str) -> None:
    file = onnx.load_from_string(to_onnx(models[activation, 2]))
    onnx.checker.check_model(file, full_check=True)
    (operators,) = file.opset_import
    oldest_ir_version = onnx.helper.find_min_ir_version_for([operators])
    assert (operators.version, file.ir_version) == ((20, 9) if activation == "gelu" else (13, 7))
    assert file.ir_version == oldest_ir_version


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_opencv_gives_the_same_logits(models: dict[tuple[str, int], MLP], small: Mnist, activation: str) -> None:
    model, images = models[activation, 2], small.test_images[:20] / 255
    network = cv2.dnn.readNetFromONNX(np.frombuffer(to_onnx(model), np.uint8))
    network.setInput(images.numpy())
    with torch.no_grad():
        np.testing.assert_allclose(network.forward(), model(images).numpy(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("num_classes", [10, 11])
def test_file_describes_its_inputs_and_outputs(num_classes: int) -> None:
    model = MLP((16, 8), "leaky_relu", num_classes)
    initialize(model, "pytorch", torch.Generator().manual_seed(0))
    file = onnx.load_from_string(to_onnx(model))
    onnx.checker.check_model(file, full_check=True)
    (images,), (logits,) = file.graph.input, file.graph.output
    for value, name, size in ((images, "images", 784), (logits, "logits", num_classes)):
        batch, units = value.type.tensor_type.shape.dim
        assert (value.name, value.type.tensor_type.elem_type) == (name, onnx.TensorProto.FLOAT)
        assert (batch.dim_param, units.dim_value) == ("batch", size)
        assert value.doc_string in file.doc_string
    assert "28 x 28 pixels, row by row" in images.doc_string
    assert "0 paper to 1 ink" in images.doc_string
    assert ("not a digit" in logits.doc_string) == (num_classes == 11)
    assert [node.op_type for node in file.graph.node] == ["Gemm", "LeakyRelu", "Gemm", "LeakyRelu", "Gemm"]
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in file.graph.initializer}
    assert list(weights) == list(model.state_dict())
    assert all(np.array_equal(array, model.state_dict()[name].numpy()) for name, array in weights.items())
