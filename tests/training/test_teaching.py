"""teaching.py: a network learns digits that it misread, keeps the others if it rehearses, and is measured fairly."""

import functools
from collections.abc import Callable
from itertools import takewhile
from typing import Any

import numpy as np
import pytest
import torch

from mnist_fc.config import TrainConfig
from mnist_fc.data.errors import DataError
from mnist_fc.data.lesson import NUM_FOLDS, Lesson
from mnist_fc.data.mnist import Mnist
from mnist_fc.data.my_digits import MyDigit
from mnist_fc.network.mlp import MLP, with_weights
from mnist_fc.records import EndRecord, EpochRecord, HeldOutRecord, Record, StateRecord, StepRecord, WeightsRecord
from mnist_fc.training.engine import train
from mnist_fc.training.evaluation import evaluate
from mnist_fc.training.teaching import (
    LARGE,
    SHARE,
    SHARE_OF_LARGE,
    lesson_for,
    predictions,
    read_held_out,
    settings,
    teach,
    train_lesson,
)
from mnist_fc.training.train_state import StateError, TrainState
from tests.support.lessons import BEFORE, misread, model_before
from tests.support.training import end_of, losses, of, stop_after

CONFIG = settings(BEFORE.hidden_sizes, threads=1)


@pytest.fixture(scope="module")
def model(small: Mnist) -> MLP:
    """Return the network that is taught."""
    return model_before(small)


@pytest.fixture(scope="module")
def digits(model: MLP, mnist: Mnist) -> list[MyDigit]:
    """Return ten digits that it misreads."""
    return misread(model, mnist, 10)


@pytest.fixture(scope="module")
def lesson(model: MLP, digits: list[MyDigit]) -> Lesson:
    return lesson_for(model, digits)


@pytest.fixture(scope="module")
def records(small: Mnist, lesson: Lesson) -> list[Record]:
    """Return the records of a lesson that rehearses the little data of `small`."""
    return list(teach(CONFIG, small, lesson))


def taught_by(records: list[Record], config: TrainConfig = CONFIG) -> MLP:
    """Return the network as the records leave it."""
    return with_weights(of(WeightsRecord, records)[-1].weights, config)


def num_right(model: MLP, lesson: Lesson) -> int:
    return int((predictions(model, lesson.images) == lesson.labels).sum())


def stop_in_part(number: int) -> Callable[[TrainState], bool]:
    """Return an `on_held_out_step` that stops in the middle of part `number`, counted from 0."""
    trainings: list[TrainState] = []

    def on_step(training: TrainState) -> bool:
        if not trainings or trainings[-1] is not training:
            trainings.append(training)
        return len(trainings) <= number or training.step < 10

    return on_step


# The settings and the lesson


def test_settings_are_those_of_the_taught_network() -> None:
    config = settings((32, 16), "tanh", threads=1, seed=7)
    assert (config.hidden_sizes, config.activation, config.threads, config.seed) == ((32, 16), "tanh", 1, 7)
    assert config.num_validation == 0


def test_large_networks_learn_in_smaller_steps() -> None:
    large = settings((1024,), threads=1)
    assert large.num_parameters > LARGE > CONFIG.num_parameters
    assert large.learning_rate < CONFIG.learning_rate
    image = np.ones((28, 28), np.uint8)
    for sizes, share in (((1024,), SHARE_OF_LARGE), ((32,), SHARE)):
        assert lesson_for(MLP(sizes), [MyDigit(3, image)]).share == share


def test_lesson_has_the_digits_and_a_copy_of_the_weights(model: MLP, digits: list[MyDigit]) -> None:
    scribble = MyDigit(None, np.full((28, 28), 9, np.uint8))
    taught = lesson_for(model, [scribble, *digits], rehearses=False, parent="mine")
    assert taught.labels.tolist() == [digit.label for digit in digits]
    assert np.array_equal(taught.images[3].reshape(28, 28), digits[3].image)
    assert np.array_equal(taught.not_digits, scribble.image.reshape(1, 784))
    assert (taught.rehearses, taught.parent) == (False, "mine")
    assert taught.start
    for name, tensor in model.state_dict().items():
        assert np.array_equal(taught.start[name], tensor.numpy())
        assert not np.shares_memory(taught.start[name], tensor.numpy())


def test_lesson_counts_the_digits_of_the_one_before(model: MLP, digits: list[MyDigit]) -> None:
    before = lesson_for(model, digits[:4])
    assert before.num_known == 0
    assert lesson_for(model, [*digits[2:], digits[0]], known=before).num_known == 3
    assert lesson_for(None, digits, known=before).num_known == 0


@pytest.mark.parametrize("kept", [[], [MyDigit(None, np.ones((28, 28), np.uint8))]], ids=["nothing", "no digit"])
def test_a_lesson_needs_a_digit(model: MLP, kept: list[MyDigit]) -> None:
    with pytest.raises(DataError, match="the lesson has 0 digits; it must have 1 to 500"):
        lesson_for(model, kept)


# The training


def test_lesson_begins_with_the_weights_of_start(records: list[Record], lesson: Lesson) -> None:
    first = records[0]
    assert isinstance(first, WeightsRecord)
    assert first.step == 0
    assert lesson.start
    assert first.weights.keys() == lesson.start.keys()
    assert all(np.array_equal(first.weights[name], array) for name, array in lesson.start.items())


def test_lesson_leaves_the_network_that_it_began_with(small: Mnist, digits: list[MyDigit]) -> None:
    own = model_before(small)
    before = own.state_copy()
    taught = lesson_for(own, digits)
    start = {name: array.copy() for name, array in (taught.start or {}).items()}
    list(train_lesson(CONFIG, small, taught, stop_after(5)))
    assert all(torch.equal(tensor, before[name]) for name, tensor in own.state_dict().items())
    assert all(np.array_equal(array, start[name]) for name, array in (taught.start or {}).items())


def test_weights_of_another_network_are_rejected(small: Mnist, digits: list[MyDigit]) -> None:
    other = lesson_for(MLP((16,)), digits)
    with pytest.raises(StateError, match="the weights to begin with are not those of a network with these settings"):
        next(train_lesson(CONFIG, small, other))


def test_train_begins_with_the_weights_given(small: Mnist, lesson: Lesson) -> None:
    config = BEFORE.replace(num_epochs=1)
    first = next(train(config, small, start=lesson.start))
    assert isinstance(first, WeightsRecord)
    assert lesson.start
    assert all(np.array_equal(first.weights[name], array) for name, array in lesson.start.items())
    trained, fresh = (losses(list(train(config, small, start=start))) for start in (lesson.start, None))
    assert trained[0] < 1 < fresh[0]


def test_same_seed_gives_the_same_losses(small: Mnist, lesson: Lesson, records: list[Record]) -> None:
    again = list(train_lesson(CONFIG, small, lesson))
    assert losses(again) == losses(records)
    assert losses(list(train_lesson(CONFIG.replace(seed=1), small, lesson))) != losses(records)


@pytest.mark.parametrize("step", [1, 40])
def test_stopped_lesson_resumes_to_the_same_losses(small: Mnist, lesson: Lesson, records: list[Record], step: int) -> None:
    before = list(teach(CONFIG, small, lesson, stop_after(step)))
    assert end_of(before).outcome == "stopped"
    assert not of(HeldOutRecord, before)
    state = of(StateRecord, before)[-1]
    assert state.step == step
    after = list(teach(CONFIG, small, lesson, state=state.state))
    assert [record.step for record in of(StepRecord, [*before, *after])] == [record.step for record in of(StepRecord, records)]
    assert losses([*before, *after]) == losses(records)
    assert end_of(after).test_accuracy == end_of(records).test_accuracy
    assert of(HeldOutRecord, after) == of(HeldOutRecord, records)


def test_epochs_have_each_digit_as_often_as_the_lesson_says(small: Mnist, lesson: Lesson, records: list[Record]) -> None:
    """The little data of `small` is rehearsed whole."""
    num_images = len(small.train_labels) + lesson.repeats * len(lesson.labels)
    assert end_of(records).step == CONFIG.num_epochs * -(-num_images // CONFIG.batch_size)
    epochs = of(EpochRecord, records)
    assert len(epochs) == CONFIG.num_epochs
    assert of(StepRecord, records)[-1].images_seen == CONFIG.num_epochs * num_images


def test_epochs_validate_on_the_digits_and_test_on_mnist(small: Mnist, lesson: Lesson, records: list[Record]) -> None:
    taught = taught_by(records)
    last = of(EpochRecord, records)[-1]
    assert last.val_accuracy == num_right(taught, lesson) / len(lesson.labels)
    assert last.test_accuracy == evaluate(taught, small.test_images, small.test_labels)[1]


# What is learned


@pytest.fixture(scope="module")
def after(mnist: Mnist, lesson: Lesson) -> Callable[[bool], MLP]:
    """Return the network after a lesson with all of MNIST, with or without rehearsal."""

    @functools.cache
    def taught(rehearses: bool) -> MLP:
        own = Lesson(lesson.images, lesson.labels, lesson.start, rehearses)
        return taught_by(list(train_lesson(CONFIG, mnist, own)))

    return taught


@pytest.mark.parametrize("rehearses", [True, False])
def test_misread_digits_are_read_as_taught_afterwards(
    model: MLP, lesson: Lesson, after: Callable[[bool], MLP], rehearses: bool
) -> None:
    assert num_right(model, lesson) == 0
    assert num_right(after(rehearses), lesson) == len(lesson.labels)


def test_without_rehearsal_the_network_forgets_mnist(model: MLP, mnist: Mnist, after: Callable[[bool], MLP]) -> None:
    before, rehearsed, alone = (
        evaluate(each, mnist.test_images, mnist.test_labels)[1] for each in (model, after(True), after(False))
    )
    assert rehearsed > before - 0.01
    assert alone < before - 0.1


def test_a_single_digit_is_taught(small: Mnist, model: MLP, digits: list[MyDigit]) -> None:
    one = lesson_for(model, digits[:1])
    found = list(teach(CONFIG, small, one))
    assert num_right(taught_by(found), one) == 1


# What is read by networks that were not taught it


def test_held_out_digits_come_just_before_the_end(lesson: Lesson, records: list[Record]) -> None:
    assert [type(record) for record in records[-3:]] == [WeightsRecord, HeldOutRecord, EndRecord]
    (held_out,) = of(HeldOutRecord, records)
    assert (held_out.step, held_out.epoch) == (end_of(records).step, CONFIG.num_epochs)
    assert len(held_out.digits) == len(lesson.labels)
    assert set(held_out.digits) <= set(range(10))


@pytest.mark.integration
def test_no_digit_is_read_by_a_network_taught_it(small: Mnist, model: MLP, digits: list[MyDigit]) -> None:
    """Of each digit of the lesson there is one, so its like is never taught, and most stay misread."""
    one_of_each = list({digit.label: digit for digit in digits}.values())
    taught = lesson_for(model, one_of_each)
    found = read_held_out(CONFIG, small, taught)
    assert found
    assert num_right(taught_by(list(train_lesson(CONFIG, small, taught))), taught) == len(one_of_each)
    assert (np.array(found) == taught.labels).mean() < 0.5


@pytest.mark.integration
def test_the_like_of_taught_digits_is_read_as_taught(small: Mnist, model: MLP, digits: list[MyDigit]) -> None:
    """Three copies of each digit fall into three parts, so each is read by a network that was taught two copies."""
    taught = lesson_for(model, [digits[0], digits[1]] * 3)
    assert read_held_out(CONFIG, small, taught) == tuple(taught.labels.tolist())


@pytest.mark.parametrize("count", [2, 3])
def test_few_digits_are_held_out_one_by_one(small: Mnist, model: MLP, digits: list[MyDigit], count: int) -> None:
    taught = lesson_for(model, digits[:count])
    found = read_held_out(CONFIG, small, taught)
    assert found
    for place, digit in enumerate(found):
        others = taught.only(np.arange(count) != place)
        alone = taught_by(list(train_lesson(CONFIG, small, others)))
        assert digit == predictions(alone, taught.images[place : place + 1])[0]


def test_a_single_digit_is_not_held_out(small: Mnist, model: MLP, digits: list[MyDigit]) -> None:
    one = lesson_for(model, digits[:1])
    assert read_held_out(CONFIG, small, one) is None
    found = list(teach(CONFIG, small, one))
    assert not of(HeldOutRecord, found)
    assert end_of(found).outcome == "done"


@pytest.mark.parametrize("number", range(NUM_FOLDS))
def test_stopping_while_digits_are_held_out_leaves_a_done_lesson(
    small: Mnist, lesson: Lesson, records: list[Record], number: int
) -> None:
    found = list(teach(CONFIG, small, lesson, on_held_out_step=stop_in_part(number)))
    assert not of(HeldOutRecord, found)
    assert (end_of(found).outcome, end_of(found).step) == ("done", end_of(records).step)
    last, expected = of(WeightsRecord, found)[-1].weights, of(WeightsRecord, records)[-1].weights
    assert all(np.array_equal(array, expected[name]) for name, array in last.items())


def test_each_part_of_a_training_asks_its_own_function(small: Mnist, lesson: Lesson, records: list[Record]) -> None:
    asked: list[TrainState] = []
    held_out: list[TrainState] = []

    def note(places: list[TrainState]) -> Callable[[TrainState], bool]:
        return lambda training: not places.append(training)  # type: ignore[func-returns-value]

    list(teach(CONFIG, small, lesson, note(asked), on_held_out_step=note(held_out)))
    assert len(asked) == end_of(records).step
    assert (len(set(asked)), len(set(held_out) - set(asked))) == (1, NUM_FOLDS)


def test_stop_in_the_lesson_holds_nothing_out(small: Mnist, lesson: Lesson) -> None:
    held_out: list[TrainState] = []
    found = list(teach(CONFIG, small, lesson, stop_after(10), on_held_out_step=lambda training: not held_out.append(training)))  # type: ignore[func-returns-value]
    assert (end_of(found).outcome, end_of(found).step) == ("stopped", 10)
    assert not of(HeldOutRecord, found)
    assert held_out == []


# From scratch


@pytest.mark.parametrize("rehearses", [True, False])
def test_a_new_network_is_taught_without_held_out_digits(small: Mnist, digits: list[MyDigit], rehearses: bool) -> None:
    scratch = lesson_for(None, digits, rehearses=rehearses)
    assert scratch.start is None
    found = list(teach(CONFIG, small, scratch))
    assert not of(HeldOutRecord, found)
    assert end_of(found).outcome == "done"
    assert num_right(taught_by(found), scratch) > len(digits) / 2
    random = TrainState(CONFIG, scratch.data(small, CONFIG.seed)).weights()
    first = of(WeightsRecord, found)[0].weights
    assert all(np.array_equal(array, random[name]) for name, array in first.items())


# Added images and validation of their own, in the state of any training


def test_added_images_repeat_and_others_do_not(small: Mnist) -> None:
    added = small.with_added(small.test_images[:4], small.test_labels[:4])
    config = BEFORE.replace(num_epochs=1, batch_size=100)
    for repeats, num_images in ((1, 2004), (25, 2100)):
        training = TrainState(config, Mnist(**{**vars(added), "added_repeats": repeats}))
        training.next_batch()
        assert training.steps_per_epoch == -(-num_images // 100)
        order = training.state()["order"]
        assert sorted(order) == list(range(num_images))


def test_own_validation_images_take_the_place_of_split_ones(small: Mnist) -> None:
    own = small.test_images[:7], small.test_labels[:7]
    training = TrainState(BEFORE, Mnist(**{**vars(small), "validation": own}))
    assert training.validate() == evaluate(training.model, *own)
    assert TrainState(BEFORE, small).validate() == (None, None)


def test_data_of_added_images_alone_can_be_trained_on(small: Mnist) -> None:
    nothing: Any = {"train_images": small.train_images[:0], "train_labels": small.train_labels[:0]}
    alone = Mnist(**{**vars(small), **nothing}).with_added(small.train_images[:50], small.train_labels[:50])
    records = list(takewhile(lambda record: record.step < 2, train(BEFORE.replace(batch_size=10), alone)))
    assert of(StepRecord, records)


# Networks and their answers


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_network_is_that_of_the_run(small: Mnist, activation: Any) -> None:
    config = BEFORE.replace(activation=activation, hidden_sizes=(12, 8))
    training = TrainState(config, small)
    made = with_weights(training.weights(), config)
    images = small.test_images / 255
    assert torch.equal(made(images), training.model(images))
    assert not made.training


def test_predictions_are_the_most_probable_digits(small: Mnist, model: MLP) -> None:
    found = predictions(model, small.test_images.numpy())
    assert str(found.dtype) == "int64"
    assert np.array_equal(found, model(small.test_images / 255).argmax(1).numpy())
    assert predictions(model, np.zeros((0, 784), np.uint8)).shape == (0,)
