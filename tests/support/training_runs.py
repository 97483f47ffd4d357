"""Real runs on little data: healthy ones, and one of everything that can go wrong."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mnist_fc.analysis.diagnosis import Diagnosis, diagnose
from mnist_fc.config import PRESETS, TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.records import EndRecord, EpochRecord, StepRecord
from mnist_fc.training.engine import train
from mnist_fc.training.train_state import TrainState
from tests.support.settings import OVERFLOWING


@dataclass(frozen=True)
class Run:
    """A finished run, as the page has it."""

    config: TrainConfig
    steps: list[StepRecord]
    epochs: list[EpochRecord]
    end: EndRecord

    @functools.cached_property
    def prefixes(self) -> list[Diagnosis | None]:
        """The diagnosis after every record, and at the end."""
        return list(self._diagnose_prefixes())

    def _diagnose_prefixes(self) -> Iterator[Diagnosis | None]:
        for num_steps, record in enumerate(self.steps, start=1):
            epochs = [epoch for epoch in self.epochs if epoch.step < record.step]
            yield diagnose(self.config, self.config.learning_rate, self.steps[:num_steps], epochs, None)
            if epochs != (done := [epoch for epoch in self.epochs if epoch.step <= record.step]):
                yield diagnose(self.config, self.config.learning_rate, self.steps[:num_steps], done, None)
        yield self.diagnosis()

    def diagnosis(self) -> Diagnosis | None:
        return diagnose(self.config, self.config.learning_rate, self.steps, self.epochs, self.end)

    def named(self) -> set[str]:
        return {diagnosis.name for diagnosis in self.prefixes if diagnosis}


Runs = Callable[[TrainConfig], Run]


def quick(**changes: Any) -> TrainConfig:
    """A small network, 1500 images to train on in 15 steps an epoch."""
    return TrainConfig(hidden_sizes=(64,), num_epochs=5, num_validation=500, threads=1).replace(**changes)


def sgd(learning_rate: float, **changes: Any) -> TrainConfig:
    return quick(optimizer="sgd", learning_rate=learning_rate, **changes)


def run_of(config: TrainConfig, data: Mnist, on_step: Callable[[TrainState], bool] = lambda training: True) -> Run:
    records = list(train(config, data, on_step))
    end = records[-1]
    assert isinstance(end, EndRecord)
    steps = [record for record in records if isinstance(record, StepRecord)]
    return Run(config, steps, [record for record in records if isinstance(record, EpochRecord)], end)


FOUR = (32, 32, 32, 32)

HEALTHY = {
    "adam": quick(),
    "sgd": sgd(0.1, num_epochs=8),
    "fast": PRESETS["fast"].replace(num_validation=500, batch_size=50, hidden_sizes=(64,), threads=1),
    "best": PRESETS["best"].replace(num_validation=500, num_epochs=20, hidden_sizes=(128, 32), threads=1),
    "blog": PRESETS["blog-pytorch"].replace(hidden_sizes=(64,), num_epochs=5, threads=1),
    "four layers": quick(hidden_sizes=FOUR, activation="gelu"),
    "one layer of sigmoids, slowly": quick(activation="sigmoid", num_epochs=20),
    "tanh, cosine": quick(hidden_sizes=(64, 64), activation="tanh", schedule="cosine", num_epochs=8),
    "few large steps": quick(batch_size=1500, num_epochs=10),
    "many small steps": quick(batch_size=8, num_epochs=2),
    "dropout, smoothing": quick(dropout=0.3, label_smoothing=0.2, hidden_sizes=(128,)),
    "long, augmented": quick(augmentation="affine", num_epochs=20),
}

DIVERGING = {
    "sgd, 2 layers": sgd(1.0, activation="leaky_relu", hidden_sizes=(64, 64)),
    "adam, 1 layer": quick(learning_rate=1.0),
    "adam, 2 layers": quick(learning_rate=0.3, hidden_sizes=(64, 64)),
    "adam, 4 layers": quick(learning_rate=0.3, hidden_sizes=FOUR),
    "no number": quick(**OVERFLOWING | {"hidden_sizes": (64, 64, 64)}),
    "tanh": sgd(1.0, activation="tanh", hidden_sizes=(64, 64), initialization="keras"),
}

STALLING = {
    "deep sigmoid": sgd(0.1, activation="sigmoid", hidden_sizes=FOUR, num_epochs=36),
    "rate too low": sgd(1e-5, num_epochs=36),
    "rate too high": sgd(1.0, activation="sigmoid", hidden_sizes=(128, 128), num_epochs=36),
    "weight decay": quick(weight_decay=1.0, num_epochs=36),
    "over too soon": quick(learning_rate=1e-5, hidden_sizes=(64, 64)),
}

OVERFITTING = {
    "validation": quick(hidden_sizes=(128, 128), num_epochs=30),
    "test": quick(hidden_sizes=(128, 128), num_epochs=30, num_validation=0),
    "four layers": sgd(0.1, hidden_sizes=FOUR, num_epochs=30),
}
