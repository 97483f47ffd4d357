"""The optimizers, as PyTorch's fused CPU kernels: one call updates all parameters.

`torch.optim` calls the same kernels, after work in Python that takes a tenth of a training step; the tests hold this to it.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from mnist_fc.config import TrainConfig

BETA1, BETA2 = 0.9, 0.999
"""Adam's decay rates: Kingma & Ba 2015, and PyTorch's defaults."""


class Optimizer:
    """Adam, AdamW or SGD with momentum, as `config` says; its state is one tensor or more for each parameter."""

    def __init__(self, config: TrainConfig, parameters: Iterable[Tensor]) -> None:
        self._config = config
        self._parameters = list(parameters)
        self._steps = [torch.zeros(()) for _ in self._parameters]
        is_sgd = config.optimizer == "sgd"
        self._momenta = [] if is_sgd and not config.momentum else [torch.zeros_like(p) for p in self._parameters]
        self._squares = [] if is_sgd else [torch.zeros_like(p) for p in self._parameters]

    def state(self) -> dict[str, Tensor]:
        """The tensors themselves, by name; they change with each step."""
        moments = {"momentum": self._momenta, "square": self._squares}
        return {"steps": torch.stack(self._steps)} | {
            f"{name}{i}": tensor for name, tensors in moments.items() for i, tensor in enumerate(tensors, start=1)
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take over the values of a `state`, which must be of such an optimizer."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])
        for own, steps in zip(self._steps, state["steps"], strict=True):
            own.copy_(steps)

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Change the parameters by their gradients; each must have one."""
        config = self._config
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        torch._foreach_add_(self._steps, 1)
        match config.optimizer:
            case "sgd":
                torch._fused_sgd_(
                    self._parameters,
                    gradients,
                    self._momenta,
                    weight_decay=config.weight_decay,
                    momentum=config.momentum,
                    lr=learning_rate,
                    dampening=0.0,
                    nesterov=False,
                    maximize=False,
                    is_first_step=self._steps[0].item() == 1,
                )
            case "adam" | "adamw":
                update = torch._fused_adam_ if config.optimizer == "adam" else torch._fused_adamw_
                update(
                    self._parameters,
                    gradients,
                    self._momenta,
                    self._squares,
                    [],
                    self._steps,
                    lr=learning_rate,
                    beta1=BETA1,
                    beta2=BETA2,
                    weight_decay=config.weight_decay,
                    eps=config.adam_epsilon,
                    amsgrad=False,
                    maximize=False,
                )
