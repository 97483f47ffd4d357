"""reading.py: a reading is what the network says, and nothing where there is nothing to read."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mnist_fc import checkpoint
from mnist_fc.checkpoint import CheckpointError
from mnist_fc.config import TrainConfig
from mnist_fc.data import Mnist
from mnist_fc.drawing import DrawingError, Stroke, plain_resize, render, to_image
from mnist_fc.engine import Training, evaluate
from mnist_fc.reading import NOT_READ, Reader


@pytest.fixture(scope="module")
def shipped() -> Reader:
    return Reader.load()


@pytest.mark.parametrize("value", [0, 255])
def test_blank_canvas_is_not_read(shipped: Reader, value: int) -> None:
    reading = shipped.read(np.full((280, 280, 4), value, np.uint8))
    assert reading is NOT_READ
    assert (reading.digit, reading.runner_up, reading.image) == (None, None, None)
    assert reading.probabilities == (0.0,) * 10


def test_a_seven_is_read_with_the_image_that_the_network_saw(shipped: Reader, seven: list[Stroke]) -> None:
    reading = shipped.read(render(seven))
    assert reading.digit == 7
    assert reading.image is not None
    expected = to_image(render(seven))
    assert expected is not None
    assert np.array_equal(reading.image, expected)


def test_digit_and_runner_up_are_the_two_most_probable_of_ten_that_sum_to_one(shipped: Reader, small: Mnist) -> None:
    for pixels in small.test_images[:200]:
        reading = shipped.read_image((pixels / 255).numpy().reshape(28, 28))
        assert len(reading.probabilities) == 10
        assert sum(reading.probabilities) == pytest.approx(1, abs=1e-5)
        assert min(reading.probabilities) >= 0
        best, second = sorted(reading.probabilities)[:-3:-1]
        assert reading.digit is not None
        assert reading.runner_up is not None
        assert reading.digit != reading.runner_up
        assert (reading.probabilities[reading.digit], reading.probabilities[reading.runner_up]) == (best, second)


def test_probabilities_are_the_softmax_of_the_models_logits(shipped: Reader, small: Mnist) -> None:
    image = (small.test_images[0] / 255).numpy().reshape(28, 28)
    expected = shipped.model(small.test_images[:1] / 255).softmax(1)[0].tolist()
    assert shipped.read_image(image).probabilities == pytest.approx(expected, abs=1e-6)


def test_a_reader_of_a_runs_weights_is_that_runs_network(small: Mnist) -> None:
    config = TrainConfig(hidden_sizes=(16, 12), activation="tanh", num_validation=0, threads=1)
    training = Training(config, small)
    reader = Reader.from_weights(training.weights(), config)
    images = small.test_images / 255
    assert torch.equal(reader.model(images), training.model(images))
    assert evaluate(reader.model, small.test_images, small.test_labels) == training.test()


def test_a_reader_does_not_change_while_the_run_goes_on(small: Mnist) -> None:
    config = TrainConfig(hidden_sizes=(16,), num_validation=0, threads=1)
    training = Training(config, small)
    reader = Reader.from_weights(training.weights(), config)
    before = reader.model(small.test_images / 255)
    training.take_step(torch.arange(100))
    assert torch.equal(reader.model(small.test_images / 255), before)
    assert not torch.equal(training.model(small.test_images / 255), before)


def test_a_named_checkpoint_is_read_with(tmp_path: Path, small: Mnist, shipped: Reader) -> None:
    training = Training(TrainConfig(hidden_sizes=(16,), num_validation=0, threads=1), small)
    checkpoint.save(tmp_path / "model.ckpt", training.weights())
    reader = Reader.load(tmp_path / "model.ckpt")
    assert reader.model.hidden_sizes == (16,)
    assert shipped.model.hidden_sizes != (16,)
    with pytest.raises(CheckpointError, match=r"none.ckpt does not exist"):
        Reader.load(tmp_path / "none.ckpt")


def test_another_way_to_normalise_may_be_chosen(shipped: Reader, seven: list[Stroke]) -> None:
    image = shipped.read(render(seven), plain_resize).image
    expected = plain_resize(render(seven))
    assert image is not None
    assert expected is not None
    assert np.array_equal(image, expected)


def test_what_is_no_drawing_is_refused(shipped: Reader) -> None:
    with pytest.raises(DrawingError, match="must be uint8"):
        shipped.read(np.zeros((280, 280), np.uint8))
