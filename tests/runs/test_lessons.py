"""lessons.py: a run folder keeps its lesson and how held-out digits were read; damage is reported or ignored."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mnist_fc.data.lesson import Lesson
from mnist_fc.data.mnist import Mnist
from mnist_fc.network import checkpoint
from mnist_fc.network.mlp import MLP
from mnist_fc.records import HeldOutRecord, Record, StateRecord, WeightsRecord
from mnist_fc.runs.layout import RunsError
from mnist_fc.runs.lessons import (
    HELD_OUT_NAME,
    LESSON_NAME,
    MAX_HELD_OUT_BYTES,
    MAX_LESSON_BYTES,
    read_held_out,
    read_lesson,
    write_held_out,
    write_lesson,
)
from mnist_fc.runs.store import RunStore
from mnist_fc.runs.writer import RunFolder
from mnist_fc.training.teaching import lesson_for, settings, teach
from tests.support.lessons import BEFORE, misread, model_before
from tests.support.runs import NewRun, write_all
from tests.support.training import losses, of, stop_after

CONFIG = settings(BEFORE.hidden_sizes, threads=1)


@pytest.fixture(scope="module")
def lesson(small: Mnist) -> Lesson:
    model = model_before(small)
    return lesson_for(model, misread(model, small, 6), parent="the parent")


@pytest.fixture(scope="module")
def taught(small: Mnist, lesson: Lesson) -> list[Record]:
    """Return all records of the lesson."""
    return list(teach(CONFIG, small, lesson))


@pytest.fixture(scope="module")
def stopped(small: Mnist, lesson: Lesson) -> list[Record]:
    """Return the records of the lesson, stopped."""
    return list(teach(CONFIG, small, lesson, stop_after(30)))


def assert_same(found: Lesson | None, expected: Lesson) -> None:
    assert found
    assert np.array_equal(found.images, expected.images)
    assert np.array_equal(found.labels, expected.labels)
    assert (found.rehearses, found.share, found.parent) == (expected.rehearses, expected.share, expected.parent)
    assert expected.start
    assert found.start
    assert all(np.array_equal(array, found.start[name]) for name, array in expected.start.items())


# A run with a lesson


def test_run_folder_keeps_its_lesson(tmp_path: Path, new_run: NewRun, lesson: Lesson, taught: list[Record]) -> None:
    folder = write_all(new_run(tmp_path, CONFIG, lesson=lesson), taught)
    assert_same(read_lesson(folder.path, CONFIG.layer_sizes), lesson)
    (held_out,) = of(HeldOutRecord, taught)
    assert read_held_out(folder.path, lesson) == held_out.digits
    run = RunStore(tmp_path).run(folder.path.name)
    assert run.end == taught[-1]


def test_checkpoint_is_that_of_the_taught_network(tmp_path: Path, new_run: NewRun, lesson: Lesson, taught: list[Record]) -> None:
    folder = write_all(new_run(tmp_path, CONFIG, lesson=lesson), taught)
    last = of(WeightsRecord, taught)[-1].weights
    for name, tensor in checkpoint.load(folder.checkpoint).state_dict().items():
        assert np.array_equal(tensor.numpy(), last[name])


def test_run_without_a_lesson_has_none(tmp_path: Path, new_run: NewRun) -> None:
    folder = new_run(tmp_path, CONFIG)
    assert not (folder.path / LESSON_NAME).exists()
    assert read_lesson(folder.path, CONFIG.layer_sizes) is None
    assert read_held_out(folder.path, None) is None


def test_store_gives_the_lesson_to_the_folder(tmp_path: Path, lesson: Lesson) -> None:
    folder = RunStore(tmp_path).create(CONFIG, lesson=lesson)
    folder.close()
    assert_same(read_lesson(folder.path, CONFIG.layer_sizes), lesson)


def test_a_lesson_counts_among_the_bytes_of_its_run(tmp_path: Path, lesson: Lesson) -> None:
    store = RunStore(tmp_path)
    folder = store.create(CONFIG, lesson=lesson)
    folder.close()
    assert store.run(folder.path.name).num_bytes > (folder.path / LESSON_NAME).stat().st_size > 784 * 32 * 4


# A stopped lesson


def test_stopped_lesson_reopens_and_resumes_to_the_same_losses(
    tmp_path: Path, new_run: NewRun, small: Mnist, lesson: Lesson, taught: list[Record], stopped: list[Record]
) -> None:
    path = write_all(new_run(tmp_path, CONFIG, lesson=lesson), stopped).path
    kept = read_lesson(path, CONFIG.layer_sizes)
    assert kept
    assert read_held_out(path, kept) is None
    folder, state = RunFolder.reopen(path)
    assert state
    assert np.array_equal(state["numbers"], of(StateRecord, stopped)[-1].state["numbers"])
    rest = list(teach(CONFIG, small, kept, state=state))
    write_all(folder, rest)
    assert losses([*stopped, *rest]) == losses(taught)
    (held_out,) = of(HeldOutRecord, taught)
    assert read_held_out(path, kept) == held_out.digits
    assert [step.train_loss for step in RunStore(tmp_path).run(path.name).steps] == losses(taught)


DAMAGED = {
    "empty": b"",
    "text": b"no lesson",
    "cut": None,
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_lesson_cannot_resume(
    tmp_path: Path, new_run: NewRun, lesson: Lesson, stopped: list[Record], damage: str
) -> None:
    path = write_all(new_run(tmp_path, CONFIG, lesson=lesson), stopped).path
    content = DAMAGED[damage] if DAMAGED[damage] is not None else (path / LESSON_NAME).read_bytes()[:-50]
    (path / LESSON_NAME).write_bytes(content or b"")
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    with pytest.raises(RunsError, match=rf"the run {path.name} cannot be read: lesson\.npz is not a lesson"):
        RunFolder.reopen(path)
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before
    with pytest.raises(RunsError, match=path.name):
        RunStore(tmp_path).reopen(path.name)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"fc1.bias": np.zeros(31, np.float32)}, "has the weights of a network with other layers"),
        ({"fc3.bias": np.zeros(10, np.float32)}, "has the weights of a network with other layers"),
        ({"fc1.bias": np.zeros(32, np.float64)}, "has weights that are not finite float32 numbers"),
        ({"fc1.bias": np.full(32, np.nan, np.float32)}, "has weights that are not finite float32 numbers"),
        ({"fc2.bias": np.full(10, np.inf, np.float32)}, "has weights that are not finite float32 numbers"),
        ({"fc1.bias": np.full(32, "a")}, "has weights that are not finite float32 numbers"),
    ],
)
def test_weights_that_no_run_begins_with_are_rejected(
    tmp_path: Path, lesson: Lesson, changes: dict[str, np.ndarray], reason: str
) -> None:
    write_lesson(tmp_path, replace(lesson, start={**(lesson.start or {}), **changes}))
    with pytest.raises(RunsError, match=reason):
        read_lesson(tmp_path, CONFIG.layer_sizes)


def test_a_lesson_of_other_layers_cannot_be_read(tmp_path: Path, lesson: Lesson) -> None:
    write_lesson(tmp_path, lesson)
    assert_same(read_lesson(tmp_path, CONFIG.layer_sizes), lesson)
    with pytest.raises(RunsError, match="has the weights of a network with other layers"):
        read_lesson(tmp_path, CONFIG.replace(hidden_sizes=(16,)).layer_sizes)


def test_a_lesson_from_scratch_fits_any_layers(tmp_path: Path, lesson: Lesson) -> None:
    write_lesson(tmp_path, replace(lesson, start=None))
    found = read_lesson(tmp_path, CONFIG.replace(hidden_sizes=(16,)).layer_sizes)
    assert found
    assert found.start is None


def test_a_lesson_that_is_too_large_cannot_be_read(tmp_path: Path, lesson: Lesson) -> None:
    write_lesson(tmp_path, lesson)
    with (tmp_path / LESSON_NAME).open("r+b") as file:
        file.truncate(MAX_LESSON_BYTES + 1)
    with pytest.raises(RunsError, match="cannot be read"):
        read_lesson(tmp_path, CONFIG.layer_sizes)


def test_a_folder_in_place_of_the_lesson_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / LESSON_NAME).mkdir()
    with pytest.raises(RunsError, match="cannot be read"):
        read_lesson(tmp_path, CONFIG.layer_sizes)


def test_the_lesson_of_the_largest_network_fits() -> None:
    largest = MLP((2048,) * 4)
    whole = Lesson(
        np.ones((500, 784), np.uint8),
        np.zeros(500, np.int64),
        {name: tensor.numpy() for name, tensor in largest.state_dict().items()},
        not_digits=np.ones((500, 784), np.uint8),
    )
    assert len(whole.to_npz()) < MAX_LESSON_BYTES


# Digits held out

DIGITS = (3, 0, 9, 1, 1, 7)


def test_held_out_digits_are_read_as_they_were_written(tmp_path: Path, lesson: Lesson) -> None:
    write_held_out(tmp_path, HeldOutRecord(75, 5, DIGITS))
    assert read_held_out(tmp_path, lesson) == DIGITS
    write_held_out(tmp_path, HeldOutRecord(75, 5, DIGITS[::-1]))
    assert read_held_out(tmp_path, lesson) == DIGITS[::-1]
    assert read_held_out(tmp_path, None) is None


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "null",
        "6",
        '"301117"',
        '{"0": 3}',
        "[3, 0, 9, 1, 1]",
        "[3, 0, 9, 1, 1, 7, 7]",
        "[3, 0, 9, 1, 1, 10]",
        "[3, 0, 9, 1, 1, -1]",
        "[3, 0, 9, 1, 1, 7.0]",
        "[3, 0, 9, 1, 1, true]",
        '[3, 0, 9, 1, 1, "7"]',
        "[3, 0, 9, 1, 1, NaN]",
        "[3, 0, 9, 1, 1, [7]]",
        "[" * 50_000,
        json.dumps([*DIGITS]) + " " * MAX_HELD_OUT_BYTES,
    ],
)
def test_other_contents_are_ignored(tmp_path: Path, lesson: Lesson, content: str) -> None:
    assert len(lesson.labels) == len(DIGITS)
    (tmp_path / HELD_OUT_NAME).write_text(content)
    assert read_held_out(tmp_path, lesson) is None


def test_bytes_that_are_no_text_are_ignored(tmp_path: Path, lesson: Lesson) -> None:
    (tmp_path / HELD_OUT_NAME).write_bytes(bytes(range(128, 256)))
    assert read_held_out(tmp_path, lesson) is None


def test_a_folder_in_place_of_the_digits_is_ignored(tmp_path: Path, lesson: Lesson) -> None:
    (tmp_path / HELD_OUT_NAME).mkdir()
    assert read_held_out(tmp_path, lesson) is None
