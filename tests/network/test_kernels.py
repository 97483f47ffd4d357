"""kernels.py: the private interfaces of PyTorch and the public ways give the same results, and either one trains."""

import logging
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.files import ROOT
from mnist_fc.network import kernels, products
from mnist_fc.network.mlp import ACTIVATIONS
from mnist_fc.network.optimizer import Optimizer
from mnist_fc.records import StepRecord
from mnist_fc.training.engine import train

PUBLIC = {
    "linear": kernels.public_linear,
    "MULTIPLY": {"float32": {"PyTorch": kernels.multiply}},
    "multiply_thin": kernels.multiply_with_one_thread,
    "ACTIVATION_GRADIENTS": kernels.PUBLIC_GRADIENTS,
    "log_softmax_gradient": kernels.public_log_softmax_gradient,
    "UPDATES": kernels.PUBLIC_UPDATES,
}


def random_tensors(*shapes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def test_this_pytorch_offers_every_private_interface() -> None:
    if torch.backends.mkldnn.is_available():
        assert kernels.linear is kernels.onednn_linear
        assert kernels.set_matmul_precision is kernels.private_set_matmul_precision
    assert kernels.ACTIVATION_GRADIENTS is kernels.FUSED_GRADIENTS
    assert kernels.log_softmax_gradient is kernels.fused_log_softmax_gradient
    assert kernels.UPDATES is kernels.FUSED_UPDATES


@pytest.mark.parametrize("linear", [kernels.linear, kernels.public_linear], ids=["chosen", "public"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 784, 10), (100, 784, 500)])
def test_linear_agrees_with_float64_for_any_strides(shape: tuple[int, int, int], linear: Callable[..., Tensor]) -> None:
    count, num_in, num_out = shape
    inputs, weight, bias = random_tensors((count, num_in), (num_out, num_in), (num_out,))
    expected = inputs.double() @ weight.double().t()
    scale = num_in**0.5
    for x in (inputs, inputs.t().contiguous().t()):
        for w in (weight, weight.t().contiguous().t()):
            torch.testing.assert_close(linear(x, w).double(), expected, rtol=0, atol=1e-5 * scale)
            torch.testing.assert_close(linear(x, w, bias).double(), expected + bias, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("linear", [kernels.linear, kernels.public_linear], ids=["chosen", "public"])
def test_linear_accepts_empty_operands(linear: Callable[..., Tensor]) -> None:
    assert linear(torch.empty(0, 5), torch.ones(4, 5), torch.ones(4)).shape == (0, 4)
    assert linear(torch.empty(4, 0), torch.empty(5, 0)).tolist() == torch.zeros(4, 5).tolist()


WAYS = [(precision, way) for precision, ways in kernels.MULTIPLY.items() for way in ways]


@pytest.mark.parametrize(("precision", "way"), WAYS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 784, 10), (100, 784, 500)])
def test_every_way_to_multiply_keeps_its_precision_for_any_strides(shape: tuple[int, int, int], precision: str, way: str) -> None:
    rows, inner, columns = shape
    multiply = kernels.MULTIPLY[precision][way]
    a, b, bias = random_tensors((rows, inner), (inner, columns), (columns,))
    tolerance = {"float32": 1e-5, "bfloat16": 2e-2}[precision] * inner**0.5
    for left in (a, a.t().contiguous().t()):
        for right in (b, b.t().contiguous().t()):
            for addend in (None, bias):
                found = multiply(left, right, addend, torch.full((rows, columns), torch.nan))
                expected = left.double() @ right.double() + (0 if addend is None else addend)
                assert found.dtype == torch.float32
                torch.testing.assert_close(found.double(), expected, rtol=0, atol=tolerance)


def test_only_bfloat16_rounds_the_operands() -> None:
    errors = {way: kernels.relative_error(kernels.MULTIPLY[precision][way]) for precision, way in WAYS}
    assert errors["PyTorch"] < kernels.FLOAT32_ERROR < errors["bfloat16 tensors"] < 0.1


@pytest.mark.parametrize("multiply", [kernels.multiply_thin, kernels.multiply_with_one_thread], ids=["chosen", "one thread"])
@pytest.mark.parametrize("shape", [(10, 500, 100), (10, 100, 500), (100, 10, 500)])
def test_the_bits_of_thin_products_do_not_depend_on_the_threads(shape: tuple[int, int, int], multiply: kernels.Multiply) -> None:
    rows, inner, columns = shape
    a, b = random_tensors((rows, inner), (inner, columns))
    before, found, left = torch.get_num_threads(), [], []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for left_factor, right_factor in ((a, b), (a.t().contiguous().t(), b), (a, b.t().contiguous().t())):
            found.append(multiply(left_factor, right_factor, None, torch.empty(rows, columns)))
        left.append(torch.get_num_threads())
    torch.set_num_threads(before)
    assert all(map(torch.equal, found[:3], found[3:]))
    assert left == [1, 2]


def test_multiplying_leaves_the_precision_of_other_products_as_it_is() -> None:
    a, b, out = random_tensors((100, 784), (784, 500), (100, 500))
    expected = a @ b
    kernels.multiply_by_onednn(a, b, None, out)
    assert torch.equal(a @ b, expected)


def test_switch_of_precision_that_does_nothing_is_replaced_by_the_public_one() -> None:
    public = kernels.public_set_matmul_precision
    assert kernels.choose("switch", lambda _: None, public, kernels.probe_matmul_precision) is public


@pytest.mark.parametrize("name", kernels.PUBLIC_GRADIENTS)
def test_both_gradients_of_an_activation_are_autograds(name: str) -> None:
    z, da = random_tensors((50, 20), (50, 20))
    z[0, :3] = torch.tensor([0.0, 30.0, -30.0])
    a = ACTIVATIONS[name]()(z.requires_grad_())
    (expected,) = torch.autograd.grad(a, z, da)
    for gradients in (kernels.FUSED_GRADIENTS, kernels.PUBLIC_GRADIENTS):
        dz = da.clone()
        gradients[name](dz, z.detach(), a.detach())
        torch.testing.assert_close(dz, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
@pytest.mark.parametrize("name", kernels.PUBLIC_UPDATES)
def test_public_updates_leave_the_fused_ones_parameters_and_state(
    name: str, momentum: float, weight_decay: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrainConfig(optimizer=name, momentum=momentum, weight_decay=weight_decay)  # type: ignore[arg-type]
    results = []
    for updates in (kernels.FUSED_UPDATES, kernels.PUBLIC_UPDATES):
        monkeypatch.setattr(kernels, "UPDATES", updates)
        parameters = random_tensors((50, 20), (50,))
        optimizer = Optimizer(config, parameters)
        generator = torch.Generator().manual_seed(1)
        for learning_rate in (0.001, 0.01, 0.0, 0.02):
            for parameter in parameters:
                parameter.grad = torch.randn(parameter.shape, generator=generator)
            optimizer.step(learning_rate)
        results.append([*parameters, *optimizer.state().values()])
    for fused, public in zip(*results, strict=True):
        torch.testing.assert_close(public, fused, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("gradient", [kernels.fused_log_softmax_gradient, kernels.public_log_softmax_gradient])
def test_both_gradients_of_a_log_softmax_are_autograds(gradient: kernels.LogSoftmaxGradient) -> None:
    logits, upstream = random_tensors((10, 7), (10, 7))
    log_probabilities = torch.log_softmax(logits.requires_grad_(), 0)
    (expected,) = torch.autograd.grad(log_probabilities, logits, upstream)
    torch.testing.assert_close(gradient(upstream, log_probabilities.detach(), torch.empty(10, 7)), expected)


@pytest.mark.parametrize("optimizer", kernels.PUBLIC_UPDATES)
@pytest.mark.parametrize("activation", kernels.PUBLIC_GRADIENTS)
def test_training_takes_the_same_course_without_private_interfaces(
    activation: Any, optimizer: Any, small: Mnist, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrainConfig(
        hidden_sizes=(32, 16),
        activation=activation,
        optimizer=optimizer,
        dropout=0.1,
        num_epochs=1,
        num_validation=500,
        threads=1,
    )

    def losses() -> list[float]:
        return [record.train_loss for record in train(config, small) if isinstance(record, StepRecord)]

    expected = losses()
    for name, public in PUBLIC.items():
        monkeypatch.setattr(kernels, name, public)
    products.choose.cache_clear()
    found = losses()
    products.choose.cache_clear()
    assert len(found) == 15
    assert found == pytest.approx(expected, rel=1e-4)


# The choice


def raises(*_: Any) -> Tensor:
    raise RuntimeError("mkldnn::linear() expected at most 5 arguments\nmore about it")


def differs(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return kernels.public_linear(inputs, weight, bias) * 1.001


def lacks_the_bias(inputs: Tensor, weight: Tensor) -> Tensor:
    return inputs @ weight.t()


def is_missing(*_: Any) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_of_another_release()
    return product


@pytest.mark.parametrize(
    ("private", "reason"),
    [
        (raises, "expected at most 5 arguments"),
        (differs, "its results differ"),
        (lacks_the_bias, "positional arguments"),
        (is_missing, "_linear_of_another_release"),
    ],
)
def test_an_interface_that_changed_is_logged_and_replaced(
    private: Callable[..., Tensor], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert kernels.choose("linear layer", private, kernels.public_linear, kernels.probe_linear) is kernels.public_linear
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "the fast linear layer cannot be used" in record.message
    assert reason in record.message
    assert "\n" not in record.message


@pytest.mark.parametrize(
    ("public", "probe"), [(PUBLIC["UPDATES"], kernels.probe_updates), (PUBLIC["ACTIVATION_GRADIENTS"], kernels.probe_gradients)]
)
def test_each_update_and_gradient_is_compared(public: dict[str, Any], probe: Callable[..., Sequence[Tensor]]) -> None:
    for name in public:
        assert kernels.choose("kernel", public | {name: lambda *_: None}, public, probe) is public


@pytest.mark.integration
def test_importing_draws_no_random_number_and_logs_nothing() -> None:
    script = (
        "import torch; state = torch.get_rng_state()\n"
        "import mnist_fc.network.kernels; assert torch.equal(state, torch.get_rng_state())"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


WITHOUT = """
import torch
for name in ("_fused_adam_", "_fused_sgd_", "_log_softmax_backward_data"):
    delattr(torch, name)
torch.ops.mkldnn._linear_pointwise = lambda *_: torch.zeros(())
torch.ops.aten.gelu_backward = None
from mnist_fc.network import kernels
assert kernels.linear is kernels.public_linear
assert kernels.UPDATES is kernels.PUBLIC_UPDATES
assert kernels.ACTIVATION_GRADIENTS is kernels.PUBLIC_GRADIENTS
assert kernels.log_softmax_gradient is kernels.public_log_softmax_gradient
"""


@pytest.mark.integration
def test_a_pytorch_without_the_interfaces_gets_the_public_ways() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = 4 if torch.backends.mkldnn.is_available() else 3
    assert done.stderr.count("cannot be used, so training is slower") == expected
