"""Write the settings of a run as a standalone program, to be read and run without this one.

`script.py.jinja` is the program; this module decides which of its parts the settings need. The program is plain PyTorch:
autograd and `torch.optim` do what backprop.py and optimizer.py do here. It draws other random numbers than a run here, so its
networks differ from a run's as those of two seeds do. It leaves out three things: `threads`, which is a setting of the
machine; data added to MNIST; and the check that stops a diverging run.
"""

import math
from itertools import pairwise
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mnist_fc.config import TrainConfig
from mnist_fc.data.augment import ELASTIC_SMOOTHNESS, ELASTIC_STRENGTH, MAX_ROTATION, MAX_SCALE, MAX_SHEAR, MAX_SHIFT

TORCH_EPSILON = 1e-8
"""The default `eps` of torch.optim.Adam and AdamW."""

ACTIVATIONS = {
    "relu": "F.relu",
    "tanh": "torch.tanh",
    "sigmoid": "torch.sigmoid",
    "leaky_relu": "F.leaky_relu",
    "gelu": "F.gelu",
}
OPTIMIZERS = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD"}

ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,  # it writes Python, not HTML
)


def render_script(config: TrainConfig) -> str:
    """Return a Python program that trains as `config` says, with no code that these settings do not use.

    It needs PyTorch and NumPy, and torchvision only if it must download the data.
    """
    sizes = ["28 * 28", *(f"HIDDEN{i}" for i in range(1, len(config.hidden_sizes) + 1)), "10"]
    is_sgd = config.optimizer == "sgd"
    return ENVIRONMENT.get_template("script.py.jinja").render(
        config=config,
        shapes=list(pairwise(sizes)),
        activation=ACTIVATIONS[config.activation],
        optimizer=OPTIMIZERS[config.optimizer],
        # An argument is left out where it equals the optimizer's default.
        uses_momentum=is_sgd and config.momentum,
        uses_epsilon=not is_sgd and config.adam_epsilon != TORCH_EPSILON,
        uses_weight_decay=config.weight_decay or config.optimizer == "adamw",  # AdamW's default is not 0
        is_scheduled=config.schedule != "constant",
        is_augmented=config.augmentation != "none",
        is_affine=config.augmentation in ("affine", "elastic"),
        is_elastic=config.augmentation == "elastic",
        held_out="val" if config.num_validation else "test",
        MAX_SHIFT=MAX_SHIFT,
        MAX_ROTATION_DEGREES=round(math.degrees(MAX_ROTATION), 6),
        MAX_SCALE=MAX_SCALE,
        MAX_SHEAR=MAX_SHEAR,
        ELASTIC_STRENGTH=ELASTIC_STRENGTH,
        ELASTIC_SMOOTHNESS=ELASTIC_SMOOTHNESS,
    )
