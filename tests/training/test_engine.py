"""engine.py compared with a plain PyTorch loop, and what its records promise."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mnist_fc.config import PRESETS, TrainConfig
from mnist_fc.data.mnist import DataError, Mnist
from mnist_fc.records import (
    KEPT_STEPS,
    MAX_KEPT,
    EndRecord,
    EpochRecord,
    Record,
    StateRecord,
    StepRecord,
    WeightsRecord,
)
from mnist_fc.training.engine import train
from mnist_fc.training.evaluation import evaluate
from mnist_fc.training.train_state import TrainState
from tests.support.models import model_of
from tests.support.settings import OVERFLOWING
from tests.support.training import batches_of_an_epoch, end_of, losses, of, quick, stop_after

OPTIMIZERS: dict[str, Callable[[Any, float], torch.optim.Optimizer]] = {
    "adam": lambda parameters, decay: torch.optim.Adam(parameters, 1e-3, eps=1e-7, weight_decay=decay, foreach=False),
    "adamw": lambda parameters, decay: torch.optim.AdamW(parameters, 1e-3, eps=1e-7, weight_decay=decay, foreach=False),
    "sgd": lambda parameters, decay: torch.optim.SGD(parameters, 1e-3, momentum=0.8, weight_decay=decay, foreach=False),
}


@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_losses_are_those_of_a_plain_pytorch_loop(small: Mnist, optimizer: str, weight_decay: float) -> None:
    config = quick(
        hidden_sizes=(64, 32),
        optimizer=optimizer,
        weight_decay=weight_decay,
        adam_epsilon=1e-7,
        momentum=0.8,
        batch_size=44,
    )
    twin = TrainState(config, small)
    batches = list(batches_of_an_epoch(twin))
    assert [batch.size for batch in batches] == [44] * 34 + [4]

    plain = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    plain.load_state_dict(dict(zip(plain.state_dict(), twin.model.state_dict().values(), strict=True)))
    optimize = OPTIMIZERS[optimizer](plain.parameters(), weight_decay)
    expected = []
    for batch in batches:
        loss = F.cross_entropy(plain(batch.images), batch.labels)
        optimize.zero_grad()
        loss.backward()
        optimize.step()
        expected.append(loss.item())

    records = list(train(config, small))
    assert losses(records) == pytest.approx(expected, rel=1e-4)
    # Adam divides gradients by their size, those of rounding errors too: a weight may be off by a tenth of a step, which is 1e-3.
    for array, parameter in zip(of(WeightsRecord, records)[-1].weights.values(), plain.parameters(), strict=True):
        torch.testing.assert_close(torch.from_numpy(array), parameter.data, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("hidden_sizes", [(64,), (64, 32)])
def test_bfloat16_takes_nearly_the_steps_of_float32(small: Mnist, hidden_sizes: tuple[int, ...]) -> None:
    exact, rounded, again = (
        losses(list(train(quick(hidden_sizes=hidden_sizes, precision=precision), small)))
        for precision in ("float32", "bfloat16", "bfloat16")
    )
    assert rounded == again
    assert all(a != b for a, b in zip(exact, rounded, strict=True))
    assert rounded == pytest.approx(exact, rel=0.05)


def test_the_seed_decides_the_losses(small: Mnist) -> None:
    config = quick(dropout=0.2, augmentation="affine", label_smoothing=0.1)
    first, again, other = (losses(list(train(config.replace(seed=seed), small))) for seed in (5, 5, 6))
    assert first == again
    assert all(a != b for a, b in zip(first, other, strict=True))


def test_the_recorded_training_loss_leaves_label_smoothing_out(small: Mnist) -> None:
    plain, smoothed = (losses(list(train(quick(label_smoothing=smoothing), small))) for smoothing in (0.0, 0.3))
    assert smoothed[0] == plain[0]  # the same weights and the same batch; the gradients differ
    assert all(a != b for a, b in zip(plain[1:], smoothed[1:], strict=True))


def test_each_step_of_a_short_run_is_recorded_in_order(small: Mnist) -> None:
    records = list(train(quick(num_epochs=3, batch_size=64, hidden_sizes=(32, 16)), small))
    steps = of(StepRecord, records)
    per_epoch = math.ceil(1500 / 64)
    assert [record.step for record in steps] == list(range(1, 3 * per_epoch + 1))
    assert [record.epoch for record in steps] == [epoch for epoch in (1, 2, 3) for _ in range(per_epoch)]
    assert [record.images_seen for record in steps[:per_epoch]] == [*range(64, 1500, 64), 1500]
    assert steps[-1].images_seen == 3 * 1500
    assert all(len(record.gradient_norms) == 3 and min(record.gradient_norms) > 0 for record in steps)
    seconds = [record.seconds for record in steps]
    assert seconds == sorted(seconds)
    assert seconds[0] > 0


def test_epoch_results_are_means_over_its_images(small: Mnist) -> None:
    records = list(train(quick(batch_size=64), small))
    steps, (epoch,) = of(StepRecord, records), of(EpochRecord, records)
    counts = np.diff([0, *(record.images_seen for record in steps)])
    assert epoch.train_loss == pytest.approx(np.average([record.train_loss for record in steps], weights=counts))
    assert epoch.train_accuracy == pytest.approx(np.average([record.train_accuracy for record in steps], weights=counts))
    assert epoch.seconds == pytest.approx(steps[-1].seconds)
    assert epoch.images_per_second == pytest.approx(1500 / epoch.seconds)


def test_a_long_epoch_has_about_sixty_records_after_its_start(mnist: Mnist) -> None:
    config = quick(hidden_sizes=(8,), batch_size=32, num_validation=0)
    records = list(train(config, Mnist(mnist.train_images[:9600], mnist.train_labels[:9600], *small_test(mnist))))
    steps = of(StepRecord, records)
    assert [record.step for record in steps] == [*range(1, 21), *range(25, 301, 5)]
    assert of(EpochRecord, records)[0].train_loss == pytest.approx(
        np.average([r.train_loss for r in steps], weights=np.diff([0, *(r.images_seen for r in steps)]))
    )


def small_test(mnist: Mnist) -> tuple[torch.Tensor, torch.Tensor]:
    return mnist.test_images[:500], mnist.test_labels[:500]


def test_weights_come_at_kept_steps_and_epoch_ends(small: Mnist) -> None:
    records = list(train(quick(num_epochs=8), small))
    kept = of(WeightsRecord, records)
    expected = sorted({step for step in KEPT_STEPS if step <= 120} | set(range(15, 121, 15)))
    assert [record.step for record in kept] == [*expected, 120]
    assert records[-2] is kept[-1]
    assert all(record.is_kept for record in kept)


@pytest.mark.parametrize("num_epochs", [31, 32, 63, 100])
def test_at_most_forty_weights_are_kept_including_the_last(mnist: Mnist, num_epochs: int) -> None:
    few = Mnist(mnist.train_images[:150], mnist.train_labels[:150], mnist.test_images[:50], mnist.test_labels[:50])
    config = quick(hidden_sizes=(8,), batch_size=10, num_validation=0, num_epochs=num_epochs)
    weights = of(WeightsRecord, list(train(config, few)))
    kept = {record.step for record in weights if record.is_kept}
    assert {*KEPT_STEPS, 15 * num_epochs} <= kept
    assert 20 <= len(kept) <= MAX_KEPT
    epochs = sorted(kept - KEPT_STEPS - {15 * num_epochs})
    assert len({later - earlier for earlier, later in pairwise(epochs)}) == 1
    assert {15 * epoch for epoch in range(1, num_epochs + 1)} <= {record.step for record in weights}


def test_weights_records_are_copies(small: Mnist) -> None:
    copies: dict[int, np.ndarray] = {}

    def remember(training: TrainState) -> bool:
        copies[training.step] = training.weights()["fc1.weight"]
        return True

    for record in of(WeightsRecord, list(train(quick(num_epochs=2), small, remember)))[:-2]:
        assert np.array_equal(record.weights["fc1.weight"], copies[record.step])
        assert {array.dtype for array in record.weights.values()} == {np.dtype(np.float32)}
    assert not np.array_equal(copies[0], copies[20])


def test_a_run_with_validation_tests_only_at_its_end(small: Mnist) -> None:
    records = list(train(quick(num_epochs=3), small))
    epochs = of(EpochRecord, records)
    assert [(record.step, record.epoch) for record in epochs] == [(15, 1), (30, 2), (45, 3)]
    for record in epochs:
        assert record.val_loss is not None
        assert record.val_accuracy is not None
        assert 0 <= record.val_accuracy <= 1
        assert (record.test_loss, record.test_accuracy) == (None, None)
    model = model_of(of(WeightsRecord, records)[-1], quick())
    end = end_of(records)
    assert (end.test_loss, end.test_accuracy) == evaluate(model, small.test_images, small.test_labels)
    assert (end.step, end.epoch, end.outcome, end.message) == (45, 3, "done", "")
    assert end.train_seconds == of(StepRecord, records)[-1].seconds


@pytest.mark.parametrize("preset", ["blog-pytorch", "blog-keras"])
def test_blog_presets_train_on_all_images_and_test_each_epoch(small: Mnist, preset: str) -> None:
    records = list(train(PRESETS[preset].replace(num_epochs=2, threads=1), small))
    epochs = of(EpochRecord, records)
    assert len(epochs) == 2
    for record in epochs:
        assert (record.val_loss, record.val_accuracy) == (None, None)
        assert record.test_loss is not None
        assert record.test_accuracy is not None
    assert of(StepRecord, records)[-1].images_seen == 2 * 2000
    assert (end_of(records).test_loss, end_of(records).test_accuracy) == (epochs[-1].test_loss, epochs[-1].test_accuracy)


def test_a_diverging_run_fails_with_the_step_and_a_remedy(small: Mnist) -> None:
    config = quick(**OVERFLOWING, num_epochs=5)
    records = list(train(config, small))
    end = end_of(records)
    assert end.outcome == "failed"
    assert end.message == (
        f"The loss stopped being a finite number at step {end.step + 1} (epoch {end.step // 15 + 1}). "
        "What usually helps is a lower learning rate: it was 1, try 0.1."
    )
    assert (end.test_loss, end.test_accuracy) == (None, None)
    assert isinstance(records[-2], WeightsRecord)
    assert records[-2].step <= end.step
    assert all(np.isfinite(array).all() for array in records[-2].weights.values())
    assert all(math.isfinite(loss) for loss in losses(records))


def test_divergence_at_the_start_of_an_epoch_names_that_epoch(small: Mnist) -> None:
    def blow_up(training: TrainState) -> bool:
        if training.step == 14:
            training.learning_rate = 1e30
        return True

    end = end_of(list(train(quick(optimizer="sgd", num_epochs=2), small, blow_up)))
    assert (end.outcome, end.step) == ("failed", 15)
    assert "at step 16 (epoch 2)" in end.message


def test_overflow_in_the_last_step_fails_the_run(small: Mnist) -> None:
    def break_weights(training: TrainState) -> bool:
        if training.step == 14:
            training.learning_rate = math.inf
        return True

    records = list(train(quick(optimizer="sgd"), small, break_weights))
    end = end_of(records)
    assert (end.outcome, end.step) == ("failed", 15)
    assert "at step 15 (epoch 1)" in end.message
    assert isinstance(records[-2], WeightsRecord)
    assert records[-2].step == 10
    assert all(np.isfinite(array).all() for array in records[-2].weights.values())


def test_stopping_keeps_the_weights_of_the_last_step(small: Mnist) -> None:
    at_the_end: dict[str, np.ndarray] = {}

    def stop_at_seven(training: TrainState) -> bool:
        at_the_end.update(training.weights())
        return training.step < 7

    records = list(train(quick(), small, stop_at_seven))
    end, last = end_of(records), records[-2]
    assert (end.outcome, end.step, end.epoch, end.message) == ("stopped", 7, 1, "")
    assert isinstance(last, WeightsRecord)
    assert last.step == 7
    assert all(np.array_equal(last.weights[name], array) for name, array in at_the_end.items())
    assert of(EpochRecord, records) == []
    model = model_of(last, quick())
    assert (end.test_loss, end.test_accuracy) == evaluate(model, small.test_images, small.test_labels)


@pytest.mark.parametrize("num_validation", [0, 500])
def test_stopping_between_epochs_tests_the_weights_it_keeps(small: Mnist, num_validation: int) -> None:
    config = quick(num_validation=num_validation, num_epochs=3)
    steps_per_epoch = (2000 - num_validation) // 100
    records = list(train(config, small, stop_after(steps_per_epoch)))
    end, last = end_of(records), records[-2]
    assert isinstance(last, WeightsRecord)
    assert (end.outcome, end.step, last.step) == ("stopped", steps_per_epoch, steps_per_epoch)
    assert len(of(EpochRecord, records)) == 1
    assert (end.test_loss, end.test_accuracy) == evaluate(model_of(last, config), small.test_images, small.test_labels)


def test_stopping_before_the_first_step_keeps_the_initial_weights(small: Mnist) -> None:
    records = list(train(quick(), small, lambda training: False))
    assert [type(record) for record in records] == [WeightsRecord, StateRecord, WeightsRecord, EndRecord]
    assert (end_of(records).step, end_of(records).epoch, end_of(records).outcome) == (0, 0, "stopped")


def test_a_new_learning_rate_applies_from_the_next_step(small: Mnist) -> None:
    def lower(training: TrainState) -> bool:
        if training.step == 5:
            training.learning_rate = 1e-4
        return True

    assert [r.learning_rate for r in of(StepRecord, list(train(quick(), small, lower)))] == [1e-3] * 5 + [1e-4] * 10


def test_a_new_learning_rate_changes_the_training(small: Mnist) -> None:
    def change(training: TrainState) -> bool:
        training.learning_rate = 1e-3 if training.step < 5 else 1e-2
        return True

    plain, changed = losses(list(train(quick(), small))), losses(list(train(quick(), small, change)))
    assert plain[:6] == changed[:6]
    assert plain[6] != changed[6]


def test_too_few_images_for_validation_are_rejected(small: Mnist) -> None:
    with pytest.raises(DataError, match=r"5000 validation images cannot be split off 2000"):
        list(train(quick(num_validation=5000), small))


@pytest.mark.integration
def test_one_epoch_of_the_blogs_program_exceeds_94_percent(mnist: Mnist) -> None:
    end = end_of(list(train(PRESETS["blog-pytorch"].replace(num_epochs=1, threads=1), mnist)))
    assert end.step == 600
    assert end.test_accuracy is not None
    assert end.test_accuracy > 0.94


@pytest.mark.parametrize("augmentation", ["shift", "affine"])
def test_training_with_augmentation_and_dropout_learns(small: Mnist, augmentation: str) -> None:
    records = list(train(quick(hidden_sizes=(64,), augmentation=augmentation, dropout=0.1, num_epochs=5), small))
    assert losses(records)[-1] < 0.6 * losses(records)[0]


# Resuming


RESUMABLE = {
    "plain": {},
    "all at random": {"dropout": 0.3, "augmentation": "elastic", "label_smoothing": 0.1, "schedule": "one_cycle"},
    "momentum": {"optimizer": "sgd", "learning_rate": 0.05, "schedule": "cosine", "num_validation": 0},
    "decay": {"optimizer": "adamw", "weight_decay": 0.01, "activation": "gelu", "initialization": "keras"},
    "no momentum": {"optimizer": "sgd", "momentum": 0.0},
}


@pytest.fixture(scope="module", params=list(RESUMABLE.values()), ids=list(RESUMABLE))
def whole_run(request: pytest.FixtureRequest, small: Mnist) -> tuple[TrainConfig, list[Record]]:
    """The settings and the records of a run that nothing stops."""
    config = quick(num_epochs=3, hidden_sizes=(32, 16), **request.param)
    return config, list(train(config, small))


@pytest.mark.parametrize("stop_at", [0, 7, 15, 22, 30])
def test_a_stopped_run_resumes_to_the_same_losses(
    small: Mnist, whole_run: tuple[TrainConfig, list[Record]], stop_at: int
) -> None:
    config, whole = whole_run
    before = list(train(config, small, stop_after(stop_at)))
    (state,) = of(StateRecord, before)
    assert state.step == stop_at
    after = list(train(config, small, state=state.state))
    assert [*losses(before), *losses(after)] == pytest.approx(losses(whole), rel=1e-5)
    assert [record.step for record in of(StepRecord, before + after)] == [record.step for record in of(StepRecord, whole)]
    expected, got = of(EpochRecord, whole), of(EpochRecord, before + after)
    assert [(r.epoch, r.val_loss, r.test_loss) for r in got] == [(r.epoch, r.val_loss, r.test_loss) for r in expected]
    assert [r.train_accuracy for r in got] == [r.train_accuracy for r in expected]
    assert end_of(after).test_loss == end_of(whole).test_loss
    assert end_of(after).train_seconds > end_of(before).train_seconds


def test_a_changed_learning_rate_survives_a_stop(small: Mnist) -> None:
    def change(training: TrainState) -> bool:
        training.learning_rate = 0.03
        return training.step < 4

    (state,) = of(StateRecord, list(train(quick(), small, change)))
    resumed = list(train(quick(), small, state=state.state))
    assert {record.learning_rate for record in of(StepRecord, resumed)} == {0.03}


def test_a_long_run_yields_its_state_every_few_seconds(small: Mnist) -> None:
    def slow(training: TrainState) -> bool:
        training.seconds += 0.4
        return True

    records = list(train(quick(), small, slow))
    states = of(StateRecord, records)
    assert [state.step for state in states] == [3, 6, 9, 12]
    *_, last = (record for record in records if isinstance(record, StepRecord))
    resumed = list(train(quick(), small, state=states[1].state))
    assert of(StepRecord, resumed)[-1].train_loss == last.train_loss
