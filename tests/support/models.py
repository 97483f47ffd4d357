"""Networks that tests share."""

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
    """The network whose weights a record holds."""
    model = MLP(config.hidden_sizes, config.activation)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in record.weights.items()})
    return model.eval()


def trained_models(data: Mnist, sizes: tuple[int, ...], depths: Iterable[int]) -> dict[tuple[str, int], MLP]:
    """A network of each activation with the first of `sizes` as hidden layers, by activation and depth, after two epochs."""
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
    """The class of the blog post."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(28 * 28, 500)
        self.fc2 = nn.Linear(500, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc2(F.relu(self.fc1(x)))
        return logits
