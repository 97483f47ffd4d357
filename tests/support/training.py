"""What the tests of training share: a quick run, and its records by kind."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

from mnist_fc.config import TrainConfig
from mnist_fc.records import EndRecord, Record, StepRecord
from mnist_fc.training.batches import Batch
from mnist_fc.training.train_state import TrainState

T = TypeVar("T")


def quick(**changes: Any) -> TrainConfig:
    """A small network, 1500 images to train on in 15 steps an epoch, one epoch."""
    return TrainConfig(hidden_sizes=(32,), num_epochs=1, num_validation=500, threads=1).replace(**changes)


def of(kind: type[T], records: list[Record]) -> list[T]:
    return [record for record in records if isinstance(record, kind)]


def losses(records: list[Record]) -> list[float]:
    return [record.train_loss for record in of(StepRecord, records)]


def end_of(records: list[Record]) -> EndRecord:
    assert isinstance(records[-1], EndRecord)
    assert len(of(EndRecord, records)) == 1
    return records[-1]


def stop_after(num_steps: int) -> Callable[[TrainState], bool]:
    return lambda training: training.step < num_steps


def batches_of_an_epoch(training: TrainState) -> Iterator[Batch]:
    """Yield copies, since a batch is valid only until others are gathered."""
    for _ in range(training.steps_per_epoch):
        batch = training.next_batch()
        yield replace(batch, images=batch.images.clone())
        training.step += 1
