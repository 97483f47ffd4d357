"""Every private interface of PyTorch that the package uses, each beside the public way to the same result.

A private interface may change with any release of PyTorch. So this module compares each of them with the public way once, at
import, on a few numbers. Where the private one is missing, has another signature or gives another result, the module logs an
error and uses the public way, which is slower and otherwise the same.

Call what is assigned at the end of this file: `linear`, `MULTIPLY`, `multiply_thin`, `ACTIVATION_GRADIENTS`,
`log_softmax_gradient` and `UPDATES`. `set_matmul_precision` serves only this module.
"""

import logging
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mnist_fc import cpus
from mnist_fc.config import TrainConfig
from mnist_fc.network.mlp import LEAKY_SLOPE

_log = logging.getLogger(__name__)

BETA1, BETA2 = 0.9, 0.999
"""Adam's decay rates: Kingma & Ba 2015, and PyTorch's defaults."""

FLOAT32_ERROR = 1e-5
"""A product whose relative error is less was computed in float32."""


# Linear layers


def public_linear(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return inputs @ weight.T + bias, (N, out), of inputs (N, in), weight (out, in) and bias (out,), with any strides."""
    return F.linear(inputs, weight, bias)


def onednn_linear(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute `public_linear` with oneDNN, without a gradient.

    torch.compile uses this operation. Eager PyTorch uses MKL's matrix products, which leave AVX-512 unused on AMD processors and
    take twice as long. oneDNN takes transposed operands without copying them.
    """
    if not inputs.numel():  # oneDNN rejects empty operands
        return F.linear(inputs, weight, bias)
    product: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")
    return product


# Matrix products


def public_set_matmul_precision(precision: str) -> None:
    """Set what oneDNN may round the operands of matrix products to: "bf16" for bfloat16, "none" for nothing."""
    torch.backends.mkldnn.matmul.fp32_precision = precision  # type: ignore[attr-defined]


def private_set_matmul_precision(precision: str) -> None:
    """Call what the public property calls after looking up modules for 5 us, with each product of a step."""
    torch._C._set_fp32_precision_setter("mkldnn", "matmul", precision)


Multiply = Callable[[Tensor, Tensor, Tensor | None, Tensor], Tensor]
"""multiply(a, b, bias, out) writes a @ b + bias to `out`, (n, m), and returns it.

a is (n, k) and b (k, m), with any strides; bias is (m,) or None. All are float32.
"""


def multiply(a: Tensor, b: Tensor, bias: Tensor | None, out: Tensor) -> Tensor:
    """Multiply with PyTorch's default for this platform: MKL on x86."""
    torch.mm(a, b, out=out)
    return out if bias is None else out.add_(bias)  # `addmm` took a seventh longer on an Intel Xeon


def multiply_with_one_thread(a: Tensor, b: Tensor, bias: Tensor | None, out: Tensor) -> Tensor:
    """Multiply with PyTorch's default on one thread, so that the bits do not depend on the number of threads.

    With ten rows and batches of 100 images, a second thread gained next to nothing.
    """
    if (num_threads := torch.get_num_threads()) == 1:
        return multiply(a, b, bias, out)
    torch.set_num_threads(1)
    try:
        return multiply(a, b, bias, out)
    finally:
        torch.set_num_threads(num_threads)


def multiply_by_onednn(a: Tensor, b: Tensor, bias: Tensor | None, out: Tensor) -> Tensor:
    """Multiply with oneDNN, to which PyTorch turns only when it may round to bfloat16; see `_has_onednn_products`.

    oneDNN rounds only on processors with AMX. There these are products in bfloat16, with float32 sums; elsewhere in float32.
    The bias is added by an operation of its own: within the product it takes four times as long.
    """
    set_matmul_precision("bf16")
    try:
        torch.mm(a, b, out=out)
    finally:
        set_matmul_precision("none")
    return out if bias is None else out.add_(bias)


def multiply_in_bfloat16(a: Tensor, b: Tensor, bias: Tensor | None, out: Tensor) -> Tensor:
    """Multiply copies in bfloat16. The sums are float32, but each result is rounded to bfloat16 once more."""
    product = torch.mm(a.bfloat16(), b.bfloat16())
    return out.copy_(product) if bias is None else torch.add(product, bias, out=out)


# Gradients of activations

Gradient = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(da, z, a) -> dz, computed in place of da, where a is the activation of z. All have one shape."""

aten = torch.ops.aten

FUSED_GRADIENTS: dict[str, Gradient] = {
    "relu": lambda da, z, a: aten.threshold_backward.grad_input(da, a, 0.0, grad_input=da),
    "tanh": lambda da, z, a: aten.tanh_backward.grad_input(da, a, grad_input=da),
    "sigmoid": lambda da, z, a: aten.sigmoid_backward.grad_input(da, a, grad_input=da),
    "leaky_relu": lambda da, z, a: aten.leaky_relu_backward.grad_input(da, a, LEAKY_SLOPE, True, grad_input=da),
    "gelu": lambda da, z, a: aten.gelu_backward.grad_input(da, z, grad_input=da),
}
"""One pass over memory each; autograd calls the same operations."""


def _gelu_slope(z: Tensor) -> Tensor:
    """Return the derivative of z * Phi(z), where Phi is the normal distribution function."""
    return (1 + torch.erf(z / math.sqrt(2))) / 2 + z * torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)


PUBLIC_GRADIENTS: dict[str, Gradient] = {
    "relu": lambda da, z, a: da.masked_fill_(a <= 0, 0.0),
    "tanh": lambda da, z, a: da.mul_(1 - a.square()),
    "sigmoid": lambda da, z, a: da.mul_(a * (1 - a)),
    "leaky_relu": lambda da, z, a: torch.where(a > 0, da, da * LEAKY_SLOPE, out=da),
    "gelu": lambda da, z, a: da.mul_(_gelu_slope(z)),
}


# The gradient of softmax cross-entropy

LogSoftmaxGradient = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(gradient, log_probabilities, out) -> out, the gradient of the logits. All are (classes, N)."""


def fused_log_softmax_gradient(gradient: Tensor, log_probabilities: Tensor, out: Tensor) -> Tensor:
    """Compute `public_log_softmax_gradient` in one pass; autograd calls the same operation."""
    return torch._log_softmax_backward_data(gradient, log_probabilities, 0, torch.float32, out=out)


def public_log_softmax_gradient(gradient: Tensor, log_probabilities: Tensor, out: Tensor) -> Tensor:
    """Write gradient - softmax * (the sum of `gradient` over the classes) to `out`."""
    probabilities = torch.exp(log_probabilities, out=out)
    return torch.sub(gradient, probabilities.mul_(gradient.sum(0)), out=out)


# Optimizer steps


@dataclass(frozen=True, slots=True)
class Moments:
    """What an update reads and changes: lists with one tensor per parameter, of its shape."""

    parameters: list[Tensor]
    """Detached from autograd."""
    gradients: list[Tensor]
    """Those of this step."""
    momenta: list[Tensor]
    """Empty for SGD without momentum."""
    squares: list[Tensor]
    """Empty for SGD."""
    step: Tensor
    """The number of this step, from 1, as a scalar."""


Update = Callable[[TrainConfig, float, Moments], None]
"""update(config, learning_rate, moments) changes parameters and moments in place."""


def fused_adam_(config: TrainConfig, learning_rate: float, moments: Moments) -> None:
    """Take a step of Adam or AdamW in one pass over memory; torch.optim calls the same kernels when told `fused=True`."""
    update = torch._fused_adam_ if config.optimizer == "adam" else torch._fused_adamw_
    parameters = moments.parameters
    update(
        *(parameters, moments.gradients, moments.momenta, moments.squares, [], [moments.step] * len(parameters)),
        lr=learning_rate,
        beta1=BETA1,
        beta2=BETA2,
        weight_decay=config.weight_decay,
        eps=config.adam_epsilon,
        amsgrad=False,
        maximize=False,
    )


def public_adam_(config: TrainConfig, learning_rate: float, moments: Moments) -> None:
    """Take a step of Adam (Kingma & Ba 2015) or of AdamW (Loshchilov & Hutter 2019)."""
    rate = learning_rate / (1 - BETA1 ** moments.step.item())
    square_correction = math.sqrt(1 - BETA2 ** moments.step.item())
    for parameter, plain_gradient, momentum, square in zip(
        moments.parameters, moments.gradients, moments.momenta, moments.squares, strict=True
    ):
        gradient = plain_gradient
        if config.optimizer == "adamw":
            parameter.mul_(1 - learning_rate * config.weight_decay)
        else:
            gradient = plain_gradient.add(parameter, alpha=config.weight_decay)
        momentum.lerp_(gradient, 1 - BETA1)
        square.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
        parameter.addcdiv_(momentum, square.sqrt().div_(square_correction).add_(config.adam_epsilon), value=-rate)


def fused_sgd_(config: TrainConfig, learning_rate: float, moments: Moments) -> None:
    """Take a step of SGD in one pass over memory; torch.optim calls the same kernel when told `fused=True`."""
    torch._fused_sgd_(
        *(moments.parameters, moments.gradients, moments.momenta),
        weight_decay=config.weight_decay,
        momentum=config.momentum,
        lr=learning_rate,
        dampening=0.0,
        nesterov=False,
        maximize=False,
        is_first_step=moments.step.item() == 1,
    )


def public_sgd_(config: TrainConfig, learning_rate: float, moments: Moments) -> None:
    """Take a step of SGD as torch.optim defines it: the first step's momentum is the gradient itself."""
    momenta = moments.momenta
    for i, (parameter, gradient) in enumerate(zip(moments.parameters, moments.gradients, strict=True)):
        change = gradient.add(parameter, alpha=config.weight_decay)
        if momenta:
            change = momenta[i].copy_(change) if moments.step.item() == 1 else momenta[i].mul_(config.momentum).add_(change)
        parameter.sub_(change, alpha=learning_rate)


FUSED_UPDATES: dict[str, Update] = {"adam": fused_adam_, "adamw": fused_adam_, "sgd": fused_sgd_}
PUBLIC_UPDATES: dict[str, Update] = {"adam": public_adam_, "adamw": public_adam_, "sgd": public_sgd_}


# The choice

Kernel = TypeVar("Kernel")


def choose(name: str, private: Kernel, public: Kernel, probe: Callable[[Kernel], Sequence[Tensor]]) -> Kernel:
    """Return `private` if `probe` gives the same tensors with it as with `public`; otherwise log an error and return `public`.

    `probe` calls the kernel that it gets on a few numbers and returns the results.
    """
    expected = probe(public)
    try:
        # torch.testing.assert_close would import torch.distributed, which takes three seconds.
        if all(torch.allclose(*pair, rtol=1e-4, atol=1e-6) for pair in zip(probe(private), expected, strict=True)):
            return private
        reason = "its results differ"
    except (AttributeError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
    _log.error("PyTorch %s: the fast %s cannot be used, so training is slower: %s", torch.__version__, name, reason)
    return public


def _few(*shape: int, phase: float) -> Tensor:
    """Return numbers from -1 to 1, always the same; drawing them at random would change the caller's random numbers."""
    return torch.arange(math.prod(shape), dtype=torch.float32).add_(phase).mul_(2.4).sin_().view(shape)


def probe_linear(kernel: Callable[[Tensor, Tensor, Tensor | None], Tensor]) -> list[Tensor]:
    """Return products of plain and of transposed operands, with a bias and without, and of no rows."""
    inputs, weight, bias = _few(3, 5, phase=0), _few(4, 5, phase=1), _few(4, phase=2)
    transposed = inputs.t().contiguous().t()
    return [kernel(inputs, weight, bias), kernel(transposed, weight, None), kernel(inputs[:0], weight, bias)]


def probe_gradients(gradients: dict[str, Gradient]) -> list[Tensor]:
    """Return the gradients of all activations; each must have taken the place of `da`."""
    z = _few(3, 4, phase=0).mul_(3)
    activations = {
        "relu": F.relu(z),
        "tanh": torch.tanh(z),
        "sigmoid": torch.sigmoid(z),
        "leaky_relu": F.leaky_relu(z, LEAKY_SLOPE),
        "gelu": F.gelu(z),
    }
    found = []
    for name, a in activations.items():
        da = _few(3, 4, phase=1)
        gradients[name](da, z, a)
        found.append(da)
    return found


def probe_log_softmax_gradient(kernel: LogSoftmaxGradient) -> list[Tensor]:
    """Return the gradient of a few logits, as it was written."""
    out = torch.full((4, 3), math.nan)
    kernel(_few(4, 3, phase=1), torch.log_softmax(_few(4, 3, phase=0), 0), out)
    return [out]


def probe_updates(updates: dict[str, Update]) -> list[Tensor]:
    """Return parameters and moments after two steps of every optimizer."""
    found = []
    for name, update in updates.items():
        config = TrainConfig(optimizer=name, weight_decay=0.2, adam_epsilon=1e-3)  # type: ignore[arg-type]  # one of the three
        parameter, momenta = _few(3, phase=0), [torch.zeros(3)]
        squares = [] if name == "sgd" else [torch.zeros(3)]
        for count in (1, 2):
            gradient = _few(3, phase=count)
            update(config, 0.1, Moments([parameter], [gradient], momenta, squares, torch.tensor(float(count))))
        found += [parameter, *momenta, *squares]
    return found


def probe_matmul_precision(set_precision: Callable[[str], None]) -> list[Tensor]:
    """Return whether the property has each value after it was set."""
    found = []
    for precision in ("bf16", "none"):
        set_precision(precision)
        found.append(torch.tensor(torch.backends.mkldnn.matmul.fp32_precision == precision))  # type: ignore[attr-defined]
    return found


def relative_error(way: Multiply) -> float:
    """Return the largest error of a product, over the largest value: about 1e-7 in float32 and 1e-3 in bfloat16."""
    a, b = _few(100, 784, phase=0), _few(784, 64, phase=1)
    exact = a.double() @ b.double()
    return float((way(a, b, None, torch.empty(100, 64)) - exact).abs().max() / exact.abs().max())


def _has_onednn_products() -> bool:
    """Return whether PyTorch uses oneDNN where it may round to bfloat16. On x86 that takes AVX-512 or newer."""
    is_supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return _has_precision and (is_supported is None or is_supported())


def _make_mkl_reproducible() -> bool:
    """Tell MKL, before its first product, to give the same bits with any number of threads; return whether it will.

    Otherwise it may share the sums of a small product out among its threads, and pacing.py could not change their number. On an
    Intel Xeon products took no longer for it. For other makers' processors MKL may have only slower code that does so.
    """
    if cpus.processor_info().get("vendor_id") != "GenuineIntel" or not torch.backends.mkl.is_available():
        return False
    return os.environ.setdefault("MKL_CBWR", "AUTO,STRICT").upper().endswith("STRICT")


def ways_to_multiply() -> dict[str, dict[str, Multiply]]:
    """Return the ways that this PyTorch offers on this processor, by precision and name; the first of each is the default."""
    onednn: dict[str, Multiply] = {}
    if _has_onednn_products():
        onednn["oneDNN"] = multiply_by_onednn
    if onednn and relative_error(multiply_by_onednn) < FLOAT32_ERROR:
        return {"float32": {**onednn, "PyTorch": multiply}, "bfloat16": {"bfloat16 tensors": multiply_in_bfloat16}}
    return {"float32": {"PyTorch": multiply}, "bfloat16": {"bfloat16 tensors": multiply_in_bfloat16, **onednn}}


_mkl_keeps_bits = _make_mkl_reproducible()
# Moments of rarely lit pixels become denormal, which processors compute slowly: a step took a tenth longer. PyTorch's threads
# take this setting from the thread that starts them, so it precedes the first product; no other module computes at import.
torch.set_flush_denormal(True)
# Where PyTorch is built without oneDNN, as on some platforms, the public way is the only one and nothing is wrong.
_has_onednn = torch.backends.mkldnn.is_available()
_has_precision = _has_onednn and hasattr(torch.backends.mkldnn, "matmul")  # not before PyTorch 2.9
set_matmul_precision = public_set_matmul_precision
if _has_precision:
    set_matmul_precision = choose(
        "switch of precision", private_set_matmul_precision, public_set_matmul_precision, probe_matmul_precision
    )
linear = choose("linear layer", onednn_linear, public_linear, probe_linear) if _has_onednn else public_linear
MULTIPLY = ways_to_multiply()
multiply_thin = MULTIPLY["float32"].get("oneDNN", multiply if _mkl_keeps_bits else multiply_with_one_thread)
"""For products with few rows or columns: a way whose bits do not depend on the number of threads."""
ACTIVATION_GRADIENTS = choose("gradient of an activation", FUSED_GRADIENTS, PUBLIC_GRADIENTS, probe_gradients)
log_softmax_gradient = choose(
    "gradient of the loss", fused_log_softmax_gradient, public_log_softmax_gradient, probe_log_softmax_gradient
)
UPDATES = choose("optimizer step", FUSED_UPDATES, PUBLIC_UPDATES, probe_updates)
