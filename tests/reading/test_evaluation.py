"""The figures of an evaluation are what their names say."""

import struct
from pathlib import Path

import numpy as np
import pytest

from mnist_fc.data.mnist import DataError, Mnist
from mnist_fc.reading.evaluation import (
    SCRIBBLES,
    T_QUANTILES,
    calibration_error,
    evaluate_reader,
    load_idx_images,
    scribbles,
    writer_interval,
)
from mnist_fc.reading.reader import EMPTY_READING, Reader, Reading


def read_as(digit: int, confidence: float) -> Reading:
    probabilities = [(1 - confidence) / 9] * 10
    probabilities[digit] = confidence
    return Reading(digit, tuple(probabilities), (digit + 1) % 10, np.zeros((28, 28), np.float32))


def test_accuracy_equal_to_confidence_has_no_calibration_error() -> None:
    readings = [read_as(0, 0.75)] * 400
    labels = np.array([0, 0, 0, 1] * 100)
    assert calibration_error(readings, labels) == pytest.approx(0)


def test_certainty_wrong_half_the_time_is_off_by_half() -> None:
    assert calibration_error([read_as(0, 1.0)] * 10, np.array([0, 1] * 5)) == pytest.approx(0.5)


def test_calibration_errors_of_different_confidences_do_not_cancel_out() -> None:
    readings = [read_as(0, 0.9)] * 100 + [read_as(0, 0.5)] * 100
    labels = np.array([0] * 70 + [1] * 30 + [0] * 70 + [1] * 30)
    assert calibration_error(readings, labels) == pytest.approx(0.2)


def test_calibration_leaves_out_rejected_images() -> None:
    assert calibration_error([read_as(0, 1.0), EMPTY_READING], np.array([0, 5])) == pytest.approx(0)
    assert calibration_error([EMPTY_READING], np.array([5])) == 0


def test_reader_is_scored_on_every_condition_and_on_mnist(small: Mnist) -> None:
    images = (small.test_images[:100] / 255).numpy().reshape(-1, 28, 28)
    labels, writers = small.test_labels[:100].numpy(), np.arange(100) % 4
    drawings = {"natural": images, "upside": images[:, ::-1].copy()}
    scores = evaluate_reader("shipped", Reader.load(), drawings, labels, writers, small)
    assert scores.drawings_read["natural"] > 0.95
    assert scores.drawings_read["upside"] < 0.6
    assert scores.runner_up_right >= scores.drawings_read["natural"]
    assert scores.test_accuracy > 0.98
    assert 0.96 < scores.test_read <= scores.test_accuracy
    assert scores.mnist_calibration_error < 0.02
    assert (scores.num_drawings, scores.num_writers) == (100, 4)
    for condition, share in scores.drawings_read.items():
        interval = scores.drawings_read_interval[condition]
        assert interval
        assert 0 <= interval[0] <= share <= interval[1] <= 1


def test_interval_of_writers_is_students() -> None:
    """Shares 0.5, 0.7 and 0.9: their mean is 0.7, their deviation 0.2, and t with two degrees of freedom 4.303."""
    writers = np.repeat([7, 8, 9], 10)
    is_right = np.concatenate([np.arange(10) < num_right for num_right in (5, 7, 9)])
    assert writer_interval(is_right, writers) == pytest.approx((0.7 - 4.303 * 0.2 / 3**0.5, 1.0), abs=0.001)


def test_interval_is_that_of_writers_however_much_each_wrote() -> None:
    is_right, writers = np.array([True, False, True, True, False, True]), np.array([1, 1, 2, 2, 3, 3])
    assert writer_interval(np.tile(is_right, 50), np.tile(writers, 50)) == pytest.approx(writer_interval(is_right, writers))


def test_interval_needs_two_writers() -> None:
    assert writer_interval(np.array([True, False]), np.array([3, 3])) is None
    assert writer_interval(np.array([True, True]), np.array([3, 4])) == (1.0, 1.0)


def test_quantiles_fall_towards_those_of_the_normal_distribution() -> None:
    assert list(T_QUANTILES) == sorted(T_QUANTILES, reverse=True)
    assert len(T_QUANTILES) == 30
    assert T_QUANTILES[-1] > 1.96
    many = np.arange(1000)
    interval = writer_interval(many % 2 == 0, many)
    assert interval == pytest.approx((0.5 - 2.04 * 0.5 / 1000**0.5, 0.5 + 2.04 * 0.5 / 1000**0.5), abs=1e-4)


def test_scribbles_of_each_kind_are_reproducible_and_unlike_the_others() -> None:
    once = {kind: scribbles(draw, 5) for kind, draw in SCRIBBLES.items()}
    for kind, draw in SCRIBBLES.items():
        assert np.array_equal(scribbles(draw, 5), once[kind])
        assert once[kind].shape == (5, 28, 28)
        assert once[kind].any(axis=(1, 2)).all()
    assert len({images.tobytes() for images in once.values()}) == len(SCRIBBLES)


def test_file_without_images_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none-idx3-ubyte cannot be read"):
        load_idx_images("none-idx3-ubyte")
    labels = tmp_path / "labels-idx1-ubyte"
    labels.write_bytes(struct.pack(">2I", 0x801, 10) + bytes(10))
    with pytest.raises(DataError, match="holds 10 values, uint8; it must hold pictures of 28 x 28"):
        load_idx_images(labels)
    floats = tmp_path / "floats-idx3-float"
    floats.write_bytes(struct.pack(">4I", 0xD03, 1, 28, 28) + bytes(4 * 28 * 28))
    with pytest.raises(DataError, match="holds 1 x 28 x 28 values, float32; it must hold pictures of 28 x 28, uint8"):
        load_idx_images(floats)
