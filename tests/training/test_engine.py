"""engine.py held to a plain PyTorch loop, and the promises of its records."""

import math
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, TypeVar

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
    HistogramsRecord,
    Record,
    StateRecord,
    StepRecord,
    WeightsRecord,
)
from mnist_fc.training.engine import train
from mnist_fc.training.evaluation import evaluate
from mnist_fc.training.train_state import StateError, TrainState
from tests.support.models import model_of
from tests.support.settings import OVERFLOWING

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


OPTIMIZERS: dict[str, Callable[[Any, float], torch.optim.Optimizer]] = {
    "adam": lambda parameters, decay: torch.optim.Adam(parameters, 1e-3, eps=1e-7, weight_decay=decay, foreach=False),
    "adamw": lambda parameters, decay: torch.optim.AdamW(parameters, 1e-3, eps=1e-7, weight_decay=decay, foreach=False),
    "sgd": lambda parameters, decay: torch.optim.SGD(parameters, 1e-3, momentum=0.8, weight_decay=decay, foreach=False),
}


def batches_of_an_epoch(training: TrainState) -> Iterator[torch.Tensor]:
    for _ in range(training.steps_per_epoch):
        yield training.next_batch()
        training.step += 1


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
    assert [len(batch) for batch in batches] == [44] * 34 + [4]

    plain = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    plain.load_state_dict(dict(zip(plain.state_dict(), twin.model.state_dict().values(), strict=True)))
    optimize = OPTIMIZERS[optimizer](plain.parameters(), weight_decay)
    expected = []
    for batch in batches:
        loss = F.cross_entropy(plain(small.train_images[batch] / 255), small.train_labels[batch])
        optimize.zero_grad()
        loss.backward()
        optimize.step()
        expected.append(loss.item())

    records = list(train(config, small))
    assert losses(records) == pytest.approx(expected, rel=1e-4)
    # Adam divides gradients by their size, those of rounding errors too: a weight may be off by a tenth of a step, which is 1e-3.
    for array, parameter in zip(of(WeightsRecord, records)[-1].weights.values(), plain.parameters(), strict=True):
        torch.testing.assert_close(torch.from_numpy(array), parameter.data, rtol=1e-3, atol=1e-4)


def rates(config: TrainConfig, data: Mnist) -> list[float]:
    return [record.learning_rate for record in of(StepRecord, list(train(config, data)))]


def scheduled(scheduler: Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler], num_steps: int) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.02)
    schedule = scheduler(optimizer)
    result = []
    for _ in range(num_steps):
        result.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return result


def test_a_constant_schedule_keeps_the_learning_rate(small: Mnist) -> None:
    assert rates(quick(learning_rate=0.02, num_epochs=2), small) == [0.02] * 30


def test_the_cosine_schedule_is_pytorchs(small: Mnist) -> None:
    config = quick(learning_rate=0.02, num_epochs=4, schedule="cosine")
    expected = scheduled(lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=60), 60)
    assert rates(config, small) == pytest.approx(expected, rel=1e-6)


def test_the_one_cycle_schedule_is_pytorchs_to_within_a_step(small: Mnist) -> None:
    config = quick(learning_rate=0.02, num_epochs=4, schedule="one_cycle")
    expected = scheduled(
        lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(
            optimizer, 0.02, total_steps=60, pct_start=0.3, div_factor=25, anneal_strategy="cos"
        ),
        60,
    )
    steepest_step = 0.02 * (1 - 1 / 25) * math.pi / 2 / 0.3 / 60
    assert rates(config, small) == pytest.approx(expected, abs=1.05 * steepest_step)


def test_the_one_cycle_schedule_is_exactly_pytorchs_when_that_ends_at_zero_one_step_after_the_last(small: Mnist) -> None:
    config = quick(learning_rate=0.02, num_epochs=4, schedule="one_cycle")
    expected = scheduled(
        lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(
            optimizer, 0.02, total_steps=61, pct_start=(0.3 * 60 + 1) / 61, div_factor=25, final_div_factor=1e12
        ),
        60,
    )
    assert rates(config, small) == pytest.approx(expected, rel=1e-6)


def test_the_same_seed_gives_the_same_losses_and_another_seed_others(small: Mnist) -> None:
    config = quick(dropout=0.2, augmentation="affine", label_smoothing=0.1)
    first, again, other = (losses(list(train(config.replace(seed=seed), small))) for seed in (5, 5, 6))
    assert first == again
    assert all(a != b for a, b in zip(first, other, strict=True))


def test_the_recorded_training_loss_leaves_label_smoothing_out(small: Mnist) -> None:
    plain, smoothed = (losses(list(train(quick(label_smoothing=smoothing), small))) for smoothing in (0.0, 0.3))
    assert smoothed[0] == plain[0]  # the same weights and the same batch; the gradients differ
    assert all(a != b for a, b in zip(plain[1:], smoothed[1:], strict=True))


def test_first_weights_are_within_pytorchs_bounds_or_keras_with_zero_biases(small: Mnist) -> None:
    pytorch = TrainState(quick(initialization="pytorch"), small).weights()
    assert 0.99 / 28 < np.abs(pytorch["fc1.weight"]).max() <= 1 / 28
    assert 0 < np.abs(pytorch["fc1.bias"]).max() <= 1 / 28
    keras = TrainState(quick(initialization="keras"), small).weights()
    bound = math.sqrt(6 / (784 + 32))
    assert 0.99 * bound < np.abs(keras["fc1.weight"]).max() <= bound
    assert not keras["fc1.bias"].any()
    assert not keras["fc2.bias"].any()


def test_every_step_is_recorded_in_order_with_what_it_has_seen(small: Mnist) -> None:
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


def test_an_epochs_figures_are_means_over_its_images(small: Mnist) -> None:
    records = list(train(quick(batch_size=64), small))
    steps, (epoch,) = of(StepRecord, records), of(EpochRecord, records)
    counts = np.diff([0, *(record.images_seen for record in steps)])
    assert epoch.train_loss == pytest.approx(np.average([record.train_loss for record in steps], weights=counts))
    assert epoch.train_accuracy == pytest.approx(np.average([record.train_accuracy for record in steps], weights=counts))
    assert epoch.seconds == pytest.approx(steps[-1].seconds)
    assert epoch.images_per_second == pytest.approx(1500 / epoch.seconds)


def test_a_long_epoch_is_recorded_about_sixty_times_besides_its_first_steps(mnist: Mnist) -> None:
    config = quick(hidden_sizes=(8,), batch_size=32, num_validation=0)
    records = list(train(config, Mnist(mnist.train_images[:9600], mnist.train_labels[:9600], *small_test(mnist))))
    steps = of(StepRecord, records)
    assert [record.step for record in steps] == [*range(1, 21), *range(25, 301, 5)]
    assert of(EpochRecord, records)[0].train_loss == pytest.approx(
        np.average([r.train_loss for r in steps], weights=np.diff([0, *(r.images_seen for r in steps)]))
    )


def small_test(mnist: Mnist) -> tuple[torch.Tensor, torch.Tensor]:
    return mnist.test_images[:500], mnist.test_labels[:500]


def test_weights_come_at_the_kept_steps_and_the_end_of_every_epoch(small: Mnist) -> None:
    records = list(train(quick(num_epochs=8), small))
    kept = of(WeightsRecord, records)
    expected = sorted({step for step in KEPT_STEPS if step <= 120} | set(range(15, 121, 15)))
    assert [record.step for record in kept] == [*expected, 120]
    assert records[-2] is kept[-1]
    assert all(record.is_kept for record in kept)


@pytest.mark.parametrize("num_epochs", [31, 32, 63, 100])
def test_however_long_the_run_at_most_forty_weights_are_to_keep_and_the_last_is_among_them(mnist: Mnist, num_epochs: int) -> None:
    few = Mnist(mnist.train_images[:600], mnist.train_labels[:600], mnist.test_images[:50], mnist.test_labels[:50])
    config = quick(hidden_sizes=(8,), batch_size=10, num_validation=0, num_epochs=num_epochs)
    weights = of(WeightsRecord, list(train(config, few)))
    kept = {record.step for record in weights if record.is_kept}
    assert {*KEPT_STEPS, 60 * num_epochs} <= kept
    assert 20 <= len(kept) <= MAX_KEPT
    epochs = sorted(kept - KEPT_STEPS - {60 * num_epochs})
    assert len({later - earlier for earlier, later in pairwise(epochs)}) == 1
    assert {60 * epoch for epoch in range(1, num_epochs + 1)} <= {record.step for record in weights}


def test_weights_are_whole_copies_of_what_the_network_was_then(small: Mnist) -> None:
    copies: dict[int, np.ndarray] = {}

    def remember(training: TrainState) -> bool:
        copies[training.step] = training.weights()["fc1.weight"]
        return True

    for record in of(WeightsRecord, list(train(quick(num_epochs=2), small, remember)))[:-2]:
        assert np.array_equal(record.weights["fc1.weight"], copies[record.step])
        assert {array.dtype for array in record.weights.values()} == {np.dtype(np.float32)}
    assert not np.array_equal(copies[0], copies[20])


def test_a_run_with_validation_shows_it_each_epoch_and_the_test_set_once_at_the_end(small: Mnist) -> None:
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
def test_the_blogs_presets_train_on_all_images_and_show_the_test_set_each_epoch(small: Mnist, preset: str) -> None:
    records = list(train(PRESETS[preset].replace(num_epochs=2, threads=1), small))
    epochs = of(EpochRecord, records)
    assert len(epochs) == 2
    for record in epochs:
        assert (record.val_loss, record.val_accuracy) == (None, None)
        assert record.test_loss is not None
        assert record.test_accuracy is not None
    assert of(StepRecord, records)[-1].images_seen == 2 * 2000
    assert (end_of(records).test_loss, end_of(records).test_accuracy) == (epochs[-1].test_loss, epochs[-1].test_accuracy)


def test_no_image_is_both_trained_on_and_validated_on(small: Mnist) -> None:
    training = TrainState(quick(), small)
    trained = torch.cat(list(batches_of_an_epoch(training))).sort().values
    assert len(trained.unique()) == 1500
    validated = sorted(set(range(2000)) - set(trained.tolist()))
    assert training.validate() == evaluate(training.model, small.train_images[validated], small.train_labels[validated])


def test_a_run_that_diverges_fails_and_says_at_which_step_and_what_helps(small: Mnist) -> None:
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


def test_a_run_that_diverges_at_the_first_step_of_an_epoch_names_that_epoch(small: Mnist) -> None:
    def blow_up(training: TrainState) -> bool:
        if training.step == 14:
            training.learning_rate = 1e30
        return True

    end = end_of(list(train(quick(optimizer="sgd", num_epochs=2), small, blow_up)))
    assert (end.outcome, end.step) == ("failed", 15)
    assert "at step 16 (epoch 2)" in end.message


def test_a_run_whose_last_step_breaks_the_weights_has_failed_at_that_step(small: Mnist) -> None:
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


def test_stopping_before_the_first_step_keeps_the_first_weights(small: Mnist) -> None:
    records = list(train(quick(), small, lambda training: False))
    assert [type(record) for record in records] == [WeightsRecord, StateRecord, WeightsRecord, EndRecord]
    assert (end_of(records).step, end_of(records).epoch, end_of(records).outcome) == (0, 0, "stopped")


def test_a_learning_rate_set_between_steps_holds_from_the_next_step_on(small: Mnist) -> None:
    def lower(training: TrainState) -> bool:
        if training.step == 5:
            training.learning_rate = 1e-4
        return True

    assert [r.learning_rate for r in of(StepRecord, list(train(quick(), small, lower)))] == [1e-3] * 5 + [1e-4] * 10


def test_a_learning_rate_that_was_changed_changes_the_training(small: Mnist) -> None:
    def change(training: TrainState) -> bool:
        training.learning_rate = 1e-3 if training.step < 5 else 1e-2
        return True

    plain, changed = losses(list(train(quick(), small))), losses(list(train(quick(), small, change)))
    assert plain[:6] == changed[:6]
    assert plain[6] != changed[6]


def test_evaluate_is_the_mean_over_all_images(small: Mnist) -> None:
    model = TrainState(quick(), small).model
    images, labels = small.train_images[:1234], small.train_labels[:1234]
    logits = model(images / 255)
    loss, accuracy = evaluate(model, images, labels)
    assert loss == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)
    assert accuracy == (logits.argmax(1) == labels).sum().item() / 1234


def test_too_few_images_for_the_validation_split_are_refused(small: Mnist) -> None:
    with pytest.raises(DataError, match=r"5000 validation images cannot be split off 2000"):
        list(train(quick(num_validation=5000), small))


def test_one_epoch_of_the_blogs_program_reads_more_than_94_percent_of_the_test_set(mnist: Mnist) -> None:
    end = end_of(list(train(PRESETS["blog-pytorch"].replace(num_epochs=1, threads=1), mnist)))
    assert end.step == 600
    assert end.test_accuracy is not None
    assert end.test_accuracy > 0.94


@pytest.mark.parametrize("augmentation", ["shift", "affine"])
def test_training_with_augmentation_and_dropout_learns(small: Mnist, augmentation: str) -> None:
    records = list(train(quick(hidden_sizes=(64,), augmentation=augmentation, dropout=0.1, num_epochs=5), small))
    assert losses(records)[-1] < 0.6 * losses(records)[0]


# Going on after a stop


RESUMABLE = {
    "plain": {},
    "all at random": {"dropout": 0.3, "augmentation": "elastic", "label_smoothing": 0.1, "schedule": "one_cycle"},
    "momentum": {"optimizer": "sgd", "learning_rate": 0.05, "schedule": "cosine", "num_validation": 0},
    "decay": {"optimizer": "adamw", "weight_decay": 0.01, "activation": "gelu", "initialization": "keras"},
    "no momentum": {"optimizer": "sgd", "momentum": 0.0},
}


@pytest.mark.parametrize("stop_at", [0, 7, 15, 22, 30])
@pytest.mark.parametrize("changes", RESUMABLE.values(), ids=RESUMABLE)
def test_a_stopped_run_goes_on_to_the_same_losses(small: Mnist, changes: dict[str, Any], stop_at: int) -> None:
    config = quick(num_epochs=3, hidden_sizes=(32, 16), **changes)
    whole = list(train(config, small))
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


def test_a_learning_rate_that_was_changed_holds_after_a_stop(small: Mnist) -> None:
    def change(training: TrainState) -> bool:
        training.learning_rate = 0.03
        return training.step < 4

    (state,) = of(StateRecord, list(train(quick(), small, change)))
    resumed = list(train(quick(), small, state=state.state))
    assert {record.learning_rate for record in of(StepRecord, resumed)} == {0.03}


def test_a_long_run_yields_its_state_every_few_seconds_of_training(small: Mnist) -> None:
    def slow(training: TrainState) -> bool:
        training.seconds += 0.4
        return True

    records = list(train(quick(), small, slow))
    states = of(StateRecord, records)
    assert [state.step for state in states] == [3, 6, 9, 12]
    *_, last = (record for record in records if isinstance(record, StepRecord))
    resumed = list(train(quick(), small, state=states[1].state))
    assert of(StepRecord, resumed)[-1].train_loss == last.train_loss


def test_a_state_shares_no_memory_with_the_run(small: Mnist) -> None:
    training = TrainState(quick(), small)
    state = training.state()
    training.take_step(training.next_batch())
    fresh = TrainState(quick(), small).state()
    assert all(np.array_equal(state[name], array) for name, array in fresh.items())


SPOILED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "numbers": lambda state: state.pop("numbers"),
    "fc1.weight": lambda state: state.update({"fc1.weight": state["fc1.weight"][:5]}),
    "momentum1": lambda state: state.update({"momentum1": state["momentum1"].astype(np.float64)}),
    "order": lambda state: state.update(order=np.zeros_like(state["order"])),
    "weights are not finite": lambda state: state["fc2.bias"].fill(np.nan),
    "of step 1e+06": lambda state: state["numbers"].__setitem__(0, 1e6),
    "of step 2.5": lambda state: state["numbers"].__setitem__(0, 2.5),
}


@pytest.mark.parametrize("said", SPOILED)
def test_a_state_that_does_not_fit_is_refused_and_says_why(small: Mnist, said: str) -> None:
    (record,) = of(StateRecord, list(train(quick(), small, stop_after(3))))
    SPOILED[said](record.state)
    with pytest.raises(StateError, match=re.escape(said)):
        next(train(quick(), small, state=record.state))


def test_a_state_of_other_settings_is_refused(small: Mnist) -> None:
    (record,) = of(StateRecord, list(train(quick(), small, stop_after(3))))
    for changes in ({"hidden_sizes": (16,)}, {"optimizer": "sgd"}, {"num_validation": 0}):
        with pytest.raises(StateError, match="is not that of a run with these settings"):
            next(train(quick(**changes), small, state=record.state))


# Histograms


def test_histograms_of_weights_and_gradients_come_each_epoch_and_count_every_value(small: Mnist) -> None:
    config = quick(num_epochs=2)
    records = list(train(config, small))
    histograms = of(HistogramsRecord, records)
    assert [record.epoch for record in histograms] == [1, 2]
    weights = of(WeightsRecord, records)[-1].weights
    for kind in (histograms[-1].weights, histograms[-1].gradients):
        assert list(kind) == ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]
        assert all(histogram.counts.sum() == weights[name].size for name, histogram in kind.items())
    for name, histogram in histograms[-1].weights.items():
        expected, edges = np.histogram(weights[name], len(histogram.counts))
        assert (histogram.low, histogram.high) == (edges[0], edges[-1])
        assert np.abs(histogram.counts - expected).sum() <= 0.01 * weights[name].size + 2  # float32 at the edges
        assert histogram.sum == pytest.approx(weights[name].sum(dtype=np.float64), rel=1e-3, abs=1e-3)
        assert histogram.sum_of_squares == pytest.approx(np.square(weights[name], dtype=np.float64).sum(), rel=1e-3)
