"""measure.py: the figures are what they are called."""

import struct
from pathlib import Path

import numpy as np
import pytest

from mnist_fc.data.mnist import DataError, Mnist
from mnist_fc.reading.evaluation import SCRIBBLES, calibration_error, load_pictures, measure, scribbles
from mnist_fc.reading.reader import NOT_READ, Reader, Reading


def read_as(digit: int, sure: float) -> Reading:
    probabilities = [(1 - sure) / 9] * 10
    probabilities[digit] = sure
    return Reading(digit, tuple(probabilities), (digit + 1) % 10, np.zeros((28, 28), np.float32))


def test_who_is_right_as_often_as_sure_is_calibrated() -> None:
    readings = [read_as(0, 0.75)] * 400
    labels = np.array([0, 0, 0, 1] * 100)
    assert calibration_error(readings, labels) == pytest.approx(0)


def test_who_is_always_sure_and_half_the_time_right_is_off_by_a_half() -> None:
    assert calibration_error([read_as(0, 1.0)] * 10, np.array([0, 1] * 5)) == pytest.approx(0.5)


def test_errors_of_different_confidence_do_not_cancel_out() -> None:
    readings = [read_as(0, 0.9)] * 100 + [read_as(0, 0.5)] * 100
    labels = np.array([0] * 70 + [1] * 30 + [0] * 70 + [1] * 30)
    assert calibration_error(readings, labels) == pytest.approx(0.2)


def test_what_is_refused_has_no_confidence_to_be_calibrated() -> None:
    assert calibration_error([read_as(0, 1.0), NOT_READ], np.array([0, 5])) == pytest.approx(0)
    assert calibration_error([NOT_READ], np.array([5])) == 0


def test_a_network_is_measured_on_every_condition_and_on_the_test_images(small: Mnist) -> None:
    images = (small.test_images[:100] / 255).numpy().reshape(-1, 28, 28)
    labels = small.test_labels[:100].numpy()
    measured = measure("shipped", Reader.load(), {"natural": images, "upside": images[:, ::-1].copy()}, labels, small)
    assert measured.drawings_read["natural"] > 0.95
    assert measured.drawings_read["upside"] < 0.6
    assert measured.runner_up_right >= measured.drawings_read["natural"]
    assert measured.test_accuracy > 0.98
    assert 0.96 < measured.test_read <= measured.test_accuracy
    assert measured.mnist_calibration_error < 0.02


def test_each_kind_of_scribble_is_the_same_every_time_and_unlike_the_others() -> None:
    once = {kind: scribbles(draw, 5) for kind, draw in SCRIBBLES.items()}
    for kind, draw in SCRIBBLES.items():
        assert np.array_equal(scribbles(draw, 5), once[kind])
        assert once[kind].shape == (5, 28, 28)
        assert once[kind].any(axis=(1, 2)).all()
    assert len({images.tobytes() for images in once.values()}) == len(SCRIBBLES)


def test_pictures_that_are_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none-idx3-ubyte cannot be read"):
        load_pictures("none-idx3-ubyte")
    labels = tmp_path / "labels-idx1-ubyte"
    labels.write_bytes(struct.pack(">2I", 0x801, 10) + bytes(10))
    with pytest.raises(DataError, match="holds 10 values; it must hold pictures of 28 x 28"):
        load_pictures(labels)
