"""What a person takes away: the settings of a run as a program of their own, and a network as an ONNX file.

The program is plain PyTorch, to be read: autograd and `torch.optim` do what backprop.py and optimizer.py do here. The numbers
it draws are not those of a run here, so its networks differ as those of two seeds do. Not covered: `threads`, which is a
setting of the machine; what was added to the data; and a run that diverges, which goes on.
"""

import math
import re
from itertools import pairwise
from string import Template
from textwrap import indent

from mnist_fc.config import TrainConfig
from mnist_fc.data.augment import ELASTIC_SMOOTHNESS, ELASTIC_STRENGTH, MAX_ROTATION, MAX_SCALE, MAX_SHEAR, MAX_SHIFT

TORCH_EPSILON = 1e-8
"""What torch.optim.Adam takes where none is given."""


# The program's parts from top to bottom. A $name stands for what depends on the settings: a word, or, alone on its line, any
# number of lines. Lines are as short as `ruff format` makes them where nobody says otherwise.

HEAD = '''\
"""A fully connected network, $sizes, trained on MNIST.

    python train.py                          trains it and saves model.ckpt
    python train.py --checkpoint model.ckpt  tests one that was trained

The data are in mnist.npz beside this program, in another file named with --data, or
else downloaded by torchvision.
"""

import argparse
$import_math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

$settings
'''

NETWORK = '''\
class MLP(nn.Module):
    """28 x 28 pixels in, a logit for each digit out."""

    def __init__(self):
        super().__init__()
        $layers
        $dropout
        $initialization

    def forward(self, x):
        $forward
'''

GLOROT = """\
for layer in ($layers):
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)"""

DATA = '''\
def load_data(path):
    """Training and test set: images (N, 784), 0 paper to 1 ink, and labels (N,)."""
    if path.exists():
        with np.load(path, allow_pickle=False) as file:
            names = "x_train", "y_train", "x_test", "y_test"
            tensors = [torch.from_numpy(file[name]) for name in names]
    else:
        print(f"{path} does not exist; taking the data from torchvision")
        from torchvision.datasets import MNIST

        folder = Path(__file__).parent
        train, test = MNIST(folder, download=True), MNIST(folder, train=False)
        tensors = train.data, train.targets, test.data, test.targets
    x_train, y_train, x_test, y_test = tensors
    train_set = x_train.view(-1, 784) / 255, y_train.long()
    test_set = x_test.view(-1, 784) / 255, y_test.long()
    return train_set, test_set
'''

SPLIT = '''\
def split(images, labels):
    """The images to train on, and those to validate on: as many of each digit."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(SEED))
    by_digit = order[torch.argsort(labels[order], stable=True)]
    rank_in_digit = torch.cat([torch.arange(n) for n in labels.bincount().tolist()])
    drawn = by_digit[torch.argsort(rank_in_digit, stable=True)]
    val = drawn[:NUM_VALIDATION].sort().values
    train = drawn[NUM_VALIDATION:].sort().values
    return (images[train], labels[train]), (images[val], labels[val])
'''

SHIFT = '''\
def augment(images):
    """Move each image at random."""
    n = len(images)
    # A picture's coordinates run from -1 to 1: its 28 pixels are 2 long.
    offset = (torch.rand(n, 2, 1) * 2 - 1) * MAX_SHIFT / 14
    transforms = torch.cat([torch.eye(2).expand(n, 2, 2), offset], dim=2)
    grid = F.affine_grid(transforms, (n, 1, 28, 28), align_corners=False)
    moved = F.grid_sample(images.view(n, 1, 28, 28), grid, align_corners=False)
    return moved.view(n, 784)
'''

AFFINE = '''\
def augment(images):
    """$what each image at random."""
    n = len(images)
    rotation, scale_x, scale_y, shear, shift_x, shift_y = torch.rand(6, n) * 2 - 1
    angle = torch.deg2rad(rotation * MAX_ROTATION)
    sin, cos = angle.sin(), angle.cos()
    scale_x, scale_y = 1 + scale_x * MAX_SCALE, 1 + scale_y * MAX_SCALE
    slant = shear * MAX_SHEAR
    # A picture's coordinates run from -1 to 1: its 28 pixels are 2 long.
    shift_x, shift_y = shift_x * MAX_SHIFT / 14, shift_y * MAX_SHIFT / 14
    row_x = torch.stack([cos * scale_x, (cos * slant - sin) * scale_y, shift_x], dim=1)
    row_y = torch.stack([sin * scale_x, (sin * slant + cos) * scale_y, shift_y], dim=1)
    transforms = torch.stack([row_x, row_y], dim=1)
    grid = F.affine_grid(transforms, (n, 1, 28, 28), align_corners=False)
    $bend
    moved = F.grid_sample(images.view(n, 1, 28, 28), grid, align_corners=False)
    return moved.view(n, 784)
'''

ELASTIC = '''\
def displacements(n):
    """(n, 28, 28, 2) random numbers, mean 0 and variance 1, alike in near pixels.

    They are drawn at points ELASTIC_SMOOTHNESS pixels apart, and a Gaussian spreads
    them (Simard, Steinkraus & Platt 2003).
    """
    points = torch.arange(-0.5, 28.5, ELASTIC_SMOOTHNESS)
    distance = (torch.arange(28) - points[:, None]) / ELASTIC_SMOOTHNESS
    spread = torch.exp(-(distance**2) / 2)
    spread /= spread.square().sum(0).sqrt()
    noise = torch.randn(2 * n, len(points), len(points))
    field = (noise @ spread).transpose(1, 2) @ spread
    return field.view(2, n, 28, 28).permute(1, 2, 3, 0)
'''

COSINE = '''\
def schedule(progress):
    """What LEARNING_RATE is multiplied by at `progress`, 0 to 1, of the training."""
    return (1 + math.cos(math.pi * progress)) / 2
'''

ONE_CYCLE = '''\
def schedule(progress):
    """What LEARNING_RATE is multiplied by at `progress`, 0 to 1, of the training.

    One cycle (Smith & Topin 2018): up from 1/25 over the first 30 %, then down to 0.
    """
    if progress < 0.3:
        return 1 / 25 + (1 - 1 / 25) * (1 - math.cos(math.pi * progress / 0.3)) / 2
    return (1 + math.cos(math.pi * (progress - 0.3) / 0.7)) / 2
'''

TRAIN = '''\
def train(model, train_set, ${held_out}_set):
    """Print the loss every 100 steps and the accuracy after each epoch."""
    images, labels = train_set
    $optimizer
    $scheduler
    step = 0
    for epoch in range(1, NUM_EPOCHS + 1):
        $train_mode
        for batch in torch.randperm(len(images)).split(BATCH_SIZE):
            x, y = $batch_images, labels[batch]
            loss = F.cross_entropy(model(x), y$smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            $scheduler_step
            step += 1
            if step % 100 == 0:
                print(f"epoch {epoch}, step {step}: loss {loss.item():.4f}")
        share = accuracy(model, *${held_out}_set)
        print(f"epoch {epoch}: $held_out_name accuracy {share:.2%}")
'''

SCHEDULER = """\
num_steps = NUM_EPOCHS * math.ceil(len(images) / BATCH_SIZE)
scheduler = torch.optim.lr_scheduler.LambdaLR(
    optimizer, lambda step: schedule(step / num_steps)
)"""

ACCURACY = '''\
@torch.no_grad()
def accuracy(model, images, labels):
    """The share of images that the model reads right."""
    $eval_mode
    return (model(images).argmax(1) == labels).float().mean().item()
'''

MAIN = """\
def main():
    parser = argparse.ArgumentParser(description="Train a network on MNIST.")
    here = Path(__file__).parent
    parser.add_argument(
        "--data", type=Path, default=here / "mnist.npz", help="downloaded if not there"
    )
    parser.add_argument("--checkpoint", type=Path, help="test this one; train nothing")
    args = parser.parse_args()

    torch.manual_seed(SEED)
    train_set, test_set = load_data(args.data)
    model = MLP()
    if args.checkpoint:
        model.load_state_dict(torch.load(args.checkpoint, weights_only=True))
    else:
        $split
        train(model, train_set, ${held_out}_set)
        torch.save(model.state_dict(), "model.ckpt")
    print(f"test accuracy {accuracy(model, *test_set):.2%}")


if __name__ == "__main__":
    main()
"""

ACTIVATIONS = {
    "relu": "F.relu",
    "tanh": "torch.tanh",
    "sigmoid": "torch.sigmoid",
    "leaky_relu": "F.leaky_relu",
    "gelu": "F.gelu",
}
OPTIMIZERS = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD"}
SCHEDULES = {"cosine": COSINE, "one_cycle": ONE_CYCLE}


def script(config: TrainConfig) -> str:
    """A Python program of PyTorch and numpy alone that trains as `config` says, with nothing that these settings do not need."""
    held_out = "val" if config.num_validation else "test"
    parts = [
        _network(config),
        DATA,
        SPLIT if config.num_validation else "",
        _augmentation(config),
        SCHEDULES.get(config.schedule, ""),
        _train(config, held_out),
        _filled(ACCURACY, eval_mode="model.eval()" if config.dropout else ""),
        _filled(MAIN, split="train_set, val_set = split(*train_set)" if config.num_validation else "", held_out=held_out),
    ]
    body = "\n\n".join(filter(None, parts))
    return _head(config, body) + "\n\n" + body


def _head(config: TrainConfig, body: str) -> str:
    """What comes before `body`: of the constants those that it uses."""
    constants: list[tuple[str, object, str]] = [
        *((f"HIDDEN{i}", size, "units") for i, size in enumerate(config.hidden_sizes, start=1)),
        ("DROPOUT", config.dropout, "probability that a hidden unit is left out of a step"),
        ("LEARNING_RATE", config.learning_rate, "the highest" if config.schedule in SCHEDULES else ""),
        ("MOMENTUM", config.momentum, ""),
        ("ADAM_EPSILON", config.adam_epsilon, ""),
        ("WEIGHT_DECAY", config.weight_decay, ""),
        ("BATCH_SIZE", config.batch_size, ""),
        ("NUM_EPOCHS", config.num_epochs, ""),
        ("LABEL_SMOOTHING", config.label_smoothing, ""),
        ("MAX_SHIFT", MAX_SHIFT, "pixels, each way"),
        ("MAX_ROTATION", round(math.degrees(MAX_ROTATION), 6), "degrees, each way"),
        ("MAX_SCALE", MAX_SCALE, "so much larger or smaller"),
        ("MAX_SHEAR", MAX_SHEAR, "pixels sideways for each pixel up or down"),
        ("ELASTIC_STRENGTH", ELASTIC_STRENGTH, "standard deviation of a pixel's move, in pixels"),
        ("ELASTIC_SMOOTHNESS", ELASTIC_SMOOTHNESS, "pixels over which neighbours move alike"),
        ("NUM_VALIDATION", config.num_validation, "of the training images"),
        ("SEED", config.seed, ""),
    ]
    used = set(re.findall(r"\w+", body))
    lines = [f"{name} = {value}" + (f"  # {comment}" if comment else "") for name, value, comment in constants if name in used]
    return _filled(
        HEAD,
        sizes="-".join(map(str, config.layer_sizes)),
        import_math="import math" if "math" in used else "",
        settings="\n".join(lines),
    )


def _optimizer_options(config: TrainConfig) -> list[str]:
    """Arguments of `torch.optim` besides the learning rate, where they are other than its own."""
    is_sgd = config.optimizer == "sgd"
    needed = {
        "momentum=MOMENTUM": is_sgd and config.momentum,
        "eps=ADAM_EPSILON": not is_sgd and config.adam_epsilon != TORCH_EPSILON,
        "weight_decay=WEIGHT_DECAY": config.weight_decay or config.optimizer == "adamw",  # adamw's own is not 0
    }
    return [option for option, is_needed in needed.items() if is_needed]


def _network(config: TrainConfig) -> str:
    sizes = ["28 * 28", *(f"HIDDEN{i}" for i in range(1, len(config.hidden_sizes) + 1)), "10"]
    layers = [f"self.fc{i}" for i in range(1, len(sizes))]
    keep = "self.dropout({})" if config.dropout else "{}"
    hidden = [keep.format(f"{ACTIVATIONS[config.activation]}({layer}(x))") for layer in layers[:-1]]
    return _filled(
        NETWORK,
        layers="\n".join(f"{layer} = nn.Linear({i}, {o})" for layer, (i, o) in zip(layers, pairwise(sizes), strict=True)),
        dropout="self.dropout = nn.Dropout(DROPOUT)" if config.dropout else "",
        initialization=_filled(GLOROT, layers=", ".join(layers)) if config.initialization == "keras" else "",
        forward="\n".join([*(f"x = {each}" for each in hidden), f"return {layers[-1]}(x)"]),
    )


def _augmentation(config: TrainConfig) -> str:
    match config.augmentation:
        case "none":
            return ""
        case "shift":
            return SHIFT
        case "affine":
            return _filled(AFFINE, what="Rotate, scale, shear and shift", bend="")
        case "elastic":
            bend = "grid = grid + displacements(n) * ELASTIC_STRENGTH / 14"
            return ELASTIC + "\n\n" + _filled(AFFINE, what="Rotate, scale, shear, shift and bend", bend=bend)


def _train(config: TrainConfig, held_out: str) -> str:
    is_scheduled = config.schedule in SCHEDULES
    optimizer = f"optimizer = torch.optim.{OPTIMIZERS[config.optimizer]}"
    return _filled(
        TRAIN,
        held_out=held_out,
        held_out_name="validation" if config.num_validation else "test",
        optimizer=_call(optimizer, "model.parameters()", "lr=LEARNING_RATE", *_optimizer_options(config)),
        scheduler=SCHEDULER if is_scheduled else "",
        scheduler_step="scheduler.step()" if is_scheduled else "",
        train_mode="model.train()" if config.dropout else "",
        batch_images="images[batch]" if config.augmentation == "none" else "augment(images[batch])",
        smoothing=", label_smoothing=LABEL_SMOOTHING" if config.label_smoothing else "",
    )


def _call(function: str, *arguments: str) -> str:
    """A call on one line; with more than two arguments, each on its own."""
    if len(arguments) <= 2:
        return f"{function}({', '.join(arguments)})"
    return "\n".join([f"{function}(", *(f"    {argument}," for argument in arguments), ")"])


def _filled(block: str, **values: str) -> str:
    """`block` with its $names replaced; a line with nothing but a $name becomes the lines of its value, none if it is empty."""

    def lines(match: re.Match[str]) -> str:
        return indent(values[match[2]] + "\n", match[1]) if values[match[2]] else ""

    return Template(re.sub(r"^( *)\$(\w+)\n", lines, block, flags=re.MULTILINE)).substitute(values)
