"""optimizer.py compared with torch.optim."""

import pytest
import torch

from mnist_fc.config import FIELDS, Choice, TrainConfig
from mnist_fc.network.optimizer import Optimizer

SHAPES = [(50, 784), (50,), (10, 50), (10,)]
OPTIMIZERS = FIELDS["optimizer"]
assert isinstance(OPTIMIZERS, Choice)


def reference(config: TrainConfig, parameters: list[torch.Tensor]) -> torch.optim.Optimizer:
    rate, decay = config.learning_rate, config.weight_decay
    match config.optimizer:
        case "adam":
            return torch.optim.Adam(parameters, lr=rate, eps=config.adam_epsilon, weight_decay=decay)
        case "adamw":
            return torch.optim.AdamW(parameters, lr=rate, eps=config.adam_epsilon, weight_decay=decay)
        case "sgd":
            return torch.optim.SGD(parameters, lr=rate, momentum=config.momentum, weight_decay=decay)


@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("kind", OPTIMIZERS.options)
def test_steps_equal_those_of_torch_optim(kind: str, momentum: float, weight_decay: float) -> None:
    config = TrainConfig(optimizer=kind, momentum=momentum, weight_decay=weight_decay, adam_epsilon=1e-7)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(0)
    ours = [torch.randn(shape, generator=generator, requires_grad=True) for shape in SHAPES]
    theirs = [parameter.detach().clone().requires_grad_() for parameter in ours]
    optimizer, expected = Optimizer(config, ours), reference(config, list(theirs))
    for learning_rate in (0.001, 0.01, 0.003, 0.0, 0.02):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn(one.shape, generator=generator)
            other.grad = one.grad.clone()
        optimizer.step(learning_rate)
        expected.param_groups[0]["lr"] = learning_rate
        expected.step()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
