"""Networks for tests."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.network.mlp import ACTIVATIONS, MLP
from mnist_fc.records import WeightsRecord
from mnist_fc.training.engine import train


def model_of(record: WeightsRecord, config: TrainConfig) -> MLP:
    """Return the network with the weights of a record."""
    model = MLP(config.hidden_sizes, config.activation)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in record.weights.items()})
    return model.eval()


def trained_models(data: Mnist, sizes: tuple[int, ...], depths: Iterable[int]) -> dict[tuple[str, int], MLP]:
    """Return a network per activation and depth, trained for two epochs, with the first of `sizes` as hidden layers."""
    models = {}
    for activation in ACTIVATIONS:
        for depth in depths:
            config = TrainConfig(
                hidden_sizes=sizes[:depth],
                activation=activation,  # type: ignore[arg-type]
                learning_rate=0.005,
                num_epochs=2,
                num_validation=0,
                threads=1,
            )
            *_, last = (record for record in train(config, data) if isinstance(record, WeightsRecord))
            models[activation, depth] = model_of(last, config)
    return models


class BlogNet(nn.Module):
    """The network of the blog post, as its PyTorch program defines it."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(28 * 28, 500)
        self.fc2 = nn.Linear(500, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc2(F.relu(self.fc1(x)))
        return logits
