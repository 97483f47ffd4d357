"""A reading is the network's answer, and there is none where there is nothing to read."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.drawing.errors import DrawingError
from mnist_fc.drawing.normalize import extract_ink, segment_digits, to_image
from mnist_fc.drawing.strokes import Stroke, render
from mnist_fc.network import checkpoint
from mnist_fc.network.checkpoint import CheckpointError
from mnist_fc.network.mlp import MLP
from mnist_fc.reading.evaluation import calibration_error
from mnist_fc.reading.reader import (
    CLOSE_PROBABILITY,
    EMPTY_READING,
    MAX_DIGITS,
    Reader,
    Reading,
    number,
    numbers,
    percent,
    summary,
)
from mnist_fc.training.evaluation import evaluate
from mnist_fc.training.train_state import TrainState
from tests.support.sheets import sheet


@pytest.fixture(scope="module")
def shipped() -> Reader:
    return Reader.load()


@pytest.mark.parametrize("value", [0, 255])
def test_blank_canvas_gives_the_empty_reading(shipped: Reader, value: int) -> None:
    reading = shipped.read(np.full((280, 280, 4), value, np.uint8))
    assert reading is EMPTY_READING
    assert (reading.digit, reading.runner_up, reading.image) == (None, None, None)
    assert reading.probabilities == (0.0,) * 10


def test_reading_has_the_image_that_the_network_saw(shipped: Reader, seven: list[Stroke]) -> None:
    reading = shipped.read(render(seven))
    assert reading.digit == 7
    assert reading.image is not None
    expected = to_image(render(seven))
    assert expected is not None
    assert np.array_equal(reading.image, expected)


def test_digit_and_runner_up_are_the_two_most_probable(shipped: Reader, small: Mnist) -> None:
    images = (small.test_images[:200] / 255).numpy().reshape(-1, 28, 28)
    readings = [reading for reading in shipped.read_images(images) if reading.problem is None]
    assert len(readings) > 190
    for reading in readings:
        assert len(reading.probabilities) == 10
        assert sum(reading.probabilities) == pytest.approx(1, abs=1e-5)
        assert min(reading.probabilities) >= 0
        best, second = sorted(reading.probabilities)[:-3:-1]
        assert reading.digit is not None
        assert reading.runner_up is not None
        assert reading.digit != reading.runner_up
        assert (reading.probabilities[reading.digit], reading.probabilities[reading.runner_up]) == (best, second)


def test_batch_is_read_as_each_image_alone(shipped: Reader, small: Mnist) -> None:
    images = (small.test_images[:20] / 255).numpy().reshape(-1, 28, 28)
    for together, image in zip(shipped.read_images(images), images, strict=True):
        alone = shipped.read_image(image)
        assert (together.digit, together.runner_up, together.problem) == (alone.digit, alone.runner_up, alone.problem)
        assert together.probabilities == pytest.approx(alone.probabilities, abs=1e-5)


def test_probabilities_are_the_softmax_of_the_models_logits(shipped: Reader, small: Mnist) -> None:
    image = (small.test_images[0] / 255).numpy().reshape(28, 28)
    expected = shipped.model(small.test_images[:1] / 255).softmax(1)[0].tolist()
    assert shipped.read_image(image).probabilities == pytest.approx(expected, abs=1e-6)


def test_reader_from_weights_is_the_runs_network(small: Mnist) -> None:
    config = TrainConfig(hidden_sizes=(16, 12), activation="tanh", num_validation=0, threads=1)
    training = TrainState(config, small)
    reader = Reader.from_weights(training.weights(), config)
    images = small.test_images / 255
    assert torch.equal(reader.model(images), training.model(images))
    assert evaluate(reader.model, small.test_images, small.test_labels) == training.test()


def test_reader_does_not_change_while_its_run_trains(small: Mnist) -> None:
    config = TrainConfig(hidden_sizes=(16,), num_validation=0, threads=1)
    training = TrainState(config, small)
    reader = Reader.from_weights(training.weights(), config)
    before = reader.model(small.test_images / 255)
    training.take_step(training.next_batch())
    assert torch.equal(reader.model(small.test_images / 255), before)
    assert not torch.equal(training.model(small.test_images / 255), before)


def test_reader_loads_the_named_checkpoint(tmp_path: Path, small: Mnist, shipped: Reader) -> None:
    training = TrainState(TrainConfig(hidden_sizes=(16,), num_validation=0, threads=1), small)
    checkpoint.save(tmp_path / "model.ckpt", training.weights())
    reader = Reader.load(tmp_path / "model.ckpt")
    assert reader.model.hidden_sizes == (16,)
    assert shipped.model.hidden_sizes != (16,)
    with pytest.raises(CheckpointError, match=r"none.ckpt does not exist"):
        Reader.load(tmp_path / "none.ckpt")


SCRIBBLE = [Stroke(((60, 60), (220, 200), (60, 200), (200, 50), (140, 240), (40, 120), (240, 130), (100, 40)), 20)]
LETTER_K = [Stroke(((90, 60), (90, 220)), 16), Stroke(((190, 60), (95, 150), (190, 220)), 16)]
HEART = [Stroke(((140, 230), (60, 130), (80, 70), (120, 80), (140, 110), (160, 80), (200, 70), (220, 130), (140, 230)), 14)]
BLOB = [Stroke(((140, 140),), 60)]


@pytest.mark.parametrize("strokes", [SCRIBBLE, LETTER_K, HEART, BLOB], ids=["scribble", "K", "heart", "blob"])
def test_drawing_that_is_not_a_digit_keeps_its_probabilities(shipped: Reader, strokes: list[Stroke]) -> None:
    reading = shipped.read(render(strokes))
    assert (reading.digit, reading.problem) == (None, "no digit")
    assert reading.image is not None
    assert sum(reading.probabilities) == pytest.approx(1, abs=1e-5)
    assert number(shipped.read_number(render(strokes))) == "?"


@pytest.mark.parametrize("width", [2, 6, 14])
def test_dot_is_not_a_digit(shipped: Reader, width: int) -> None:
    reading = shipped.read(render([Stroke(((100, 100), (100, 101)), width)]))
    assert (reading.digit, reading.problem) == (None, "no digit")


def test_canvas_nearly_filled_with_ink_is_not_a_digit(shipped: Reader) -> None:
    filled = [Stroke(((0, y), (280, y)), 34) for y in range(0, 280, 25)]
    rgba = render(filled)
    rgba[:9, :9, 3] = 0  # except for a corner
    assert shipped.read(rgba).problem == "no digit"


def test_shipped_network_is_accurate_and_calibrated_on_mnist(shipped: Reader, mnist: Mnist) -> None:
    assert evaluate(shipped.model, mnist.test_images, mnist.test_labels)[1] >= 0.992
    readings = shipped.read_images((mnist.test_images / 255).numpy().reshape(-1, 28, 28))
    assert calibration_error(readings, mnist.test_labels.numpy()) <= 0.02
    assert checkpoint.SHIPPED.stat().st_size <= 4e6


def test_untrained_network_has_the_same_rejection_rule(small: Mnist, seven: list[Stroke]) -> None:
    config = TrainConfig(hidden_sizes=(16,), num_validation=0, threads=1)
    reader = Reader.from_weights(TrainState(config, small).weights(), config)
    assert reader.read(render(seven)).problem is None
    assert reader.read(render(SCRIBBLE)).problem == "no digit"


def test_runner_up_is_close_from_its_threshold_on() -> None:
    def reading(second: float) -> Reading:
        return Reading(3, (0, 0, 0, 1 - second, 0, 0, 0, 0, second, 0), 8, np.zeros((28, 28), np.float32))

    assert not reading(CLOSE_PROBABILITY - 0.01).is_close
    assert reading(CLOSE_PROBABILITY).is_close
    assert reading(0.49).is_close
    assert not EMPTY_READING.is_close


def beside(*strokes_of_each: list[Stroke], width: float = 10) -> list[Stroke]:
    """Each drawn at a third of its size, from left to right."""
    return [
        Stroke(tuple((x / 3 + 20 + 70 * i, y / 3 + 90) for x, y in stroke.points), width)
        for i, strokes in enumerate(strokes_of_each)
        for stroke in strokes
    ]


ONE = [Stroke(((140, 50), (140, 230)), 20)]
TWO = [Stroke(((80, 90), (100, 65), (140, 55), (185, 70), (190, 105), (160, 150), (110, 190), (80, 225), (200, 225)), 20)]


def test_digits_side_by_side_are_read_as_a_number(shipped: Reader, seven: list[Stroke]) -> None:
    readings = shipped.read_number(render(beside(TWO, seven, ONE)))
    assert number(readings) == "271"
    for reading, alone in zip(readings, (TWO, seven, ONE), strict=True):
        assert reading.image is not None
        assert reading.image.shape == (28, 28)
        assert reading.digit == shipped.read(render(alone)).digit


def test_single_digit_is_a_number_of_one(shipped: Reader, seven: list[Stroke]) -> None:
    assert number(shipped.read_number(render(seven))) == "7"
    assert number(shipped.read_number(render([]))) == ""


def test_four_with_separate_strokes_is_one_digit(shipped: Reader) -> None:
    four = [Stroke(((95, 60), (85, 150), (160, 150)), 20), Stroke(((190, 70), (190, 230)), 20)]
    assert len(segment_digits(cleaned(render(four)))) == 2
    assert number(shipped.read_number(render(four))) == "4"


def cleaned(rgba: np.ndarray) -> np.ndarray:
    drawn = extract_ink(rgba)
    assert drawn is not None
    return drawn


def test_non_digit_within_a_number_is_a_question_mark(shipped: Reader, seven: list[Stroke]) -> None:
    assert number(shipped.read_number(render(beside(TWO, HEART, seven, width=7)))) == "2?7"


@pytest.mark.parametrize(("count", "problem"), [(MAX_DIGITS, None), (MAX_DIGITS + 1, "too many digits")])
def test_number_longer_than_the_longest_is_reported_as_such(shipped: Reader, count: int, problem: str | None) -> None:
    readings = shipped.read_number(render([Stroke(((x, 120), (x, 150)), 5) for x in range(10, 10 + 20 * count, 20)]))
    assert number(readings) == ("?" if problem else "1" * count)
    assert {reading.problem for reading in readings} == {problem}


def test_overflow_takes_precedence_over_too_many_digits() -> None:
    ones = render([Stroke(((x, 120), (x, 150)), 5) for x in range(10, 270, 20)])
    assert [reading.problem for reading in Reader(overflowing()).read_number(ones)] == ["overflow"]


@pytest.mark.parametrize(("dash", "lines"), [([], ["83"]), ([(90, 70), (108, 70)], ["8 3"])])
def test_digits_on_both_sides_of_a_dash_are_two_numbers(shipped: Reader, dash: list[tuple[int, int]], lines: list[str]) -> None:
    rgba = np.hstack([sheet(digit)[:, 10:95] for digit in "83"])
    cv2.polylines(rgba, [np.array(dash, np.int32).reshape(-1, 2)], False, (20, 20, 20, 255), 6)
    found = shipped.read_picture(rgba)
    assert numbers(found, [each.reading for each in found]) == lines


def test_percent_never_rounds_to_certain_or_impossible() -> None:
    assert [percent(p) for p in (0.0, 0.0004, 0.001, 0.5, 0.9994, 0.9996, 1.0)] == [
        *("under 0.1%", "under 0.1%", "0.1%", "50.0%", "99.9%", "over 99.9%", "over 99.9%")
    ]


def test_array_that_is_not_a_drawing_is_rejected(shipped: Reader) -> None:
    with pytest.raises(DrawingError, match="must be uint8"):
        shipped.read(np.zeros((280, 280), np.uint8))


def overflowing() -> MLP:
    """Return a network whose values are infinite."""
    broken = MLP((8,))
    broken.load_state_dict({name: torch.full_like(tensor, torch.inf) for name, tensor in broken.state_dict().items()})
    return broken


def test_overflow_takes_precedence_over_a_dot() -> None:
    dot = render([Stroke(((140, 140), (141, 140)), 6)])
    assert Reader(overflowing()).read(dot).problem == "overflow"
    assert Reader.load().read(dot).problem == "no digit"


def test_lines_without_a_digit_are_left_out_of_the_summary() -> None:
    assert summary(["?? ???", "2.40 1?", "?.?", "07"]) == "2.40 1?, 07"
