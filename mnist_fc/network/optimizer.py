"""The optimizers: one call updates all parameters.

`torch.optim` computes the same, after work in Python that takes a tenth of a training step; the tests compare both.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from mnist_fc.config import TrainConfig
from mnist_fc.network import kernels


class Optimizer:
    """Adam, AdamW or SGD with momentum, as `config` says, over `parameters`."""

    def __init__(self, config: TrainConfig, parameters: Iterable[Tensor]) -> None:
        self._config = config
        self._update = kernels.UPDATES[config.optimizer]
        self._parameters = list(parameters)
        values = [parameter.detach() for parameter in self._parameters]
        is_sgd = config.optimizer == "sgd"
        momenta = [] if is_sgd and not config.momentum else [torch.zeros_like(value) for value in values]
        squares = [] if is_sgd else [torch.zeros_like(value) for value in values]
        self._moments = kernels.Moments(values, [], momenta, squares, step=torch.zeros(()))
        self._num_steps = self._moments.step.numpy()  # shares its memory; NumPy adds in a tenth of PyTorch's time

    def state(self) -> dict[str, Tensor]:
        """Return the number of steps taken and the moments, by name; the moments change with each step."""
        moments = {"momentum": self._moments.momenta, "square": self._moments.squares}
        return {"steps": self._moments.step.repeat(len(self._moments.parameters))} | {
            f"{name}{i}": tensor for name, tensors in moments.items() for i, tensor in enumerate(tensors, start=1)
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from the values of a `state` of an optimizer with the same settings and shapes."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])
        self._moments.step.copy_(state["steps"][0])

    def step(self, learning_rate: float) -> None:
        """Change the parameters by their gradients; each must have one."""
        self._moments.gradients[:] = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        self._num_steps += 1
        self._update(self._config, learning_rate, self._moments)
