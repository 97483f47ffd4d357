"""The page with a person's own data: few images, a digit that never occurs, runs that were trained on more."""

from collections.abc import Iterator

import pytest

from mnist_fc.config import PRESETS, TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.records import EndRecord
from mnist_fc.server.run import Run
from mnist_fc.training.engine import train
from mnist_fc.views import tabs
from mnist_fc.views.state import shared
from tests.support.data import Arrays, write_npz
from tests.support.session import component_data, has_text, new_app, new_server, open_tab, opened_app, opened_tab, press
from tests.support.waiting import wait_for, wait_until, wait_until_ended

SIZES = {"200 images": (200, 40), "six images without a 7": (6, 3)}

pytestmark = pytest.mark.integration

TINY = {"hidden_sizes": "16", "epochs": "1", "threads": "1"}


@pytest.fixture(scope="module", params=SIZES)
def num_train(request: pytest.FixtureRequest, small_arrays: Arrays, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Give AppTest a new server with a small data set, and return its number of training images."""
    folder = tmp_path_factory.mktemp("own")
    arrays: Arrays = {}
    for part, count in zip(("train", "test"), SIZES[request.param], strict=True):
        chosen = [i for i, label in enumerate(small_arrays[f"y_{part}"].tolist()) if label != 7 or count > 6][:count]
        arrays |= {name: small_arrays[name][chosen] for name in (f"x_{part}", f"y_{part}")}
    with new_server(folder / "runs", MNIST_FC_DATA=str(write_npz(folder / "own.npz", arrays))):
        yield len(arrays["x_train"])


@pytest.fixture(scope="module")
def trained(num_train: int) -> Run:
    """Press Train with the validation images that the page opens with, and return the run when it is done."""
    app = press(opened_app(**TINY), "train")
    run = shared.scheduler().run(app.session_state["page_address"]["run"])
    assert run
    wait_until(run, "done")
    return run


@pytest.fixture(scope="module")
def larger_run(num_train: int, small: Mnist) -> str:
    """Return an interrupted run that was trained on more images than the page has now."""
    config = TrainConfig(hidden_sizes=(16,), num_epochs=1, num_validation=500, threads=1)
    folder = shared.scheduler().store.create(config.replace(num_validation=5000))
    for record in train(config, small):
        if not isinstance(record, EndRecord):
            folder.write(record)
    folder.close()
    return folder.path.name


def test_a_tenth_validates_if_the_chosen_number_does_not_fit(num_train: int, trained: Run) -> None:
    expected = max(1, num_train // 10)
    assert trained.config == PRESETS["fast"].replace(hidden_sizes=(16,), num_epochs=1, num_validation=expected, threads=1)
    assert has_text(opened_app(), f"5,000 validation images do not fit: {expected} of the {num_train} training images ")
    assert not has_text(opened_app(num_validation="0"), "do not fit")


@pytest.mark.parametrize("tab", [tab for group in tabs.GROUPS.values() for tab in group])
def test_every_tab_works_with_few_images(trained: Run, larger_run: str, tab: str) -> None:
    for run in (trained.id, larger_run):
        app = open_tab(new_app(run=run), tab)
        assert [box.value for box in app.error] == []


def test_speed_is_measured_with_few_images(num_train: int) -> None:
    press(opened_tab("How fast is this machine?", **TINY), "measure_speed")
    test = shared.scheduler().speed_test
    assert test
    wait_for(test, test.records)
    shared.scheduler().stop(test)
    wait_until_ended(test)
    assert test.problem == ""


def test_sweep_runs_on_few_images(num_train: int) -> None:
    app = opened_tab("Sweep", **TINY, num_validation="0")
    app.number_input(key="sweep_runs").set_value(2)
    press(app, "start_sweep")
    sweep = shared.scheduler().sweep
    assert sweep
    wait_until_ended(sweep)
    assert sweep.problem == ""
    assert {record.state for record in sweep.records()} == {"running", "done"}


def test_a_digit_that_never_occurs_has_no_accuracy(trained: Run) -> None:
    accuracies = component_data(opened_tab("Misread digits"), "confusion_matrix")["accuracies"]
    labels = shared.mnist().test_labels.tolist()
    assert [accuracy == "none" for accuracy in accuracies] == [digit not in labels for digit in range(10)]


def test_data_like_mnist_gets_no_hint(num_train: int) -> None:
    assert not has_text(opened_app(), "Check your data")
