"""Reader: an image becomes ten probabilities, the digit read and the runner-up."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mnist_fc.checkpoint import SHIPPED
from mnist_fc.checkpoint import load as load_checkpoint
from mnist_fc.config import NUM_CLASSES, TrainConfig
from mnist_fc.drawing import to_image
from mnist_fc.engine import Weights
from mnist_fc.model import MLP


@dataclass(frozen=True)
class Reading:
    """What a network makes of a drawing.

    An empty one is not read: no digit, no image, and zeros for probabilities. Nor is any by a network whose sums overflow,
    as a diverging run leaves it: no digit, but the image.
    """

    digit: int | None
    probabilities: tuple[float, ...]
    """Ten, of the digits 0 to 9."""
    runner_up: int | None
    """The digit with the second highest probability."""
    image: np.ndarray | None
    """What the network saw: float32 (28, 28), 0 paper to 1 ink."""


NOT_READ = Reading(digit=None, probabilities=(0.0,) * NUM_CLASSES, runner_up=None, image=None)


class Reader:
    """Reads drawings with one set of weights, which nothing changes."""

    def __init__(self, model: MLP) -> None:
        self.model = model.eval()

    @classmethod
    def load(cls, checkpoint: str | Path | None = None) -> "Reader":
        """The network of a checkpoint, the shipped one when None. Raises CheckpointError and ConfigError as `checkpoint.load`."""
        return cls(load_checkpoint(checkpoint or SHIPPED))

    @classmethod
    def from_weights(cls, weights: Weights, config: TrainConfig) -> "Reader":
        """The network that a run with `config` had when it sent `weights`."""
        model = MLP(config.hidden_sizes, config.activation)
        model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
        return cls(model)

    def read(self, rgba: np.ndarray, normalise: Callable[[np.ndarray], np.ndarray | None] = to_image) -> Reading:
        """Read a drawing, uint8 (H, W, 4), once `normalise` has made a 28 x 28 image of it. Raises DrawingError."""
        image = normalise(rgba)
        return NOT_READ if image is None else self.read_image(image)

    @torch.inference_mode()
    def read_image(self, image: np.ndarray) -> Reading:
        """Read an image that is 28 x 28 already, float32, 0 paper to 1 ink."""
        logits = self.model(torch.from_numpy(image).reshape(1, -1))[0]
        if not logits.isfinite().all():
            return dataclasses.replace(NOT_READ, image=image)
        runner_up, digit = logits.argsort()[-2:].tolist()
        return Reading(digit, tuple(logits.softmax(0).tolist()), runner_up, image)
