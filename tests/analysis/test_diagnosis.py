"""diagnosis.py: what goes wrong in real runs is named while it happens, the advice cures it, and no healthy run is accused."""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from mnist_fc.analysis.diagnosis import GRADIENT_RECORDS, PATIENCE_STEPS, Diagnosis, diagnose, gradient_flow, weakest_flow
from mnist_fc.config import FIELDS, PRESETS, TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.records import EndRecord, EpochRecord, StepRecord
from mnist_fc.training.engine import train
from mnist_fc.training.train_state import TrainState
from tests.support.settings import OVERFLOWING


@dataclass(frozen=True)
class Run:
    """A run of the engine as the page has it when it is over."""

    config: TrainConfig
    steps: list[StepRecord]
    epochs: list[EpochRecord]
    end: EndRecord

    def prefixes(self) -> Iterator[Diagnosis | None]:
        """What was said of it after every record."""
        for num_steps, record in enumerate(self.steps, start=1):
            epochs = [epoch for epoch in self.epochs if epoch.step < record.step]
            yield diagnose(self.config, self.config.learning_rate, self.steps[:num_steps], epochs, None)
            if epochs != (done := [epoch for epoch in self.epochs if epoch.step <= record.step]):
                yield diagnose(self.config, self.config.learning_rate, self.steps[:num_steps], done, None)
        yield self.diagnosis()

    def diagnosis(self) -> Diagnosis | None:
        return diagnose(self.config, self.config.learning_rate, self.steps, self.epochs, self.end)

    def named(self) -> set[str]:
        return {diagnosis.name for diagnosis in self.prefixes() if diagnosis}


Runs = Callable[[TrainConfig], Run]


def quick(**changes: Any) -> TrainConfig:
    """A small network, 1500 images to train on in 15 steps an epoch."""
    return TrainConfig(hidden_sizes=(64,), num_epochs=5, num_validation=500, threads=1).replace(**changes)


def sgd(learning_rate: float, **changes: Any) -> TrainConfig:
    return quick(optimizer="sgd", learning_rate=learning_rate, **changes)


def run_of(config: TrainConfig, data: Mnist, on_step: Callable[[TrainState], bool] = lambda training: True) -> Run:
    records = list(train(config, data, on_step))
    end = records[-1]
    assert isinstance(end, EndRecord)
    steps = [record for record in records if isinstance(record, StepRecord)]
    return Run(config, steps, [record for record in records if isinstance(record, EpochRecord)], end)


@pytest.fixture(scope="module")
def runs(small: Mnist) -> Runs:
    """Each config is trained once for all tests."""
    return functools.cache(lambda config: run_of(config, small))


FOUR = (32, 32, 32, 32)

HEALTHY = {
    "adam": quick(),
    "sgd": sgd(0.1, num_epochs=8),
    "fast": PRESETS["fast"].replace(num_validation=500, batch_size=50, hidden_sizes=(64,), threads=1),
    "best": PRESETS["best"].replace(num_validation=500, num_epochs=20, hidden_sizes=(128, 32), threads=1),
    "blog": PRESETS["blog-pytorch"].replace(hidden_sizes=(64,), num_epochs=5, threads=1),
    "four layers": quick(hidden_sizes=FOUR, activation="gelu"),
    "one layer of sigmoids, slowly": quick(activation="sigmoid", num_epochs=20),
    "tanh, cosine": quick(hidden_sizes=(64, 64), activation="tanh", schedule="cosine", num_epochs=8),
    "few large steps": quick(batch_size=1500, num_epochs=10),
    "many small steps": quick(batch_size=8, num_epochs=2),
    "dropout, smoothing": quick(dropout=0.3, label_smoothing=0.2, hidden_sizes=(128,)),
    "long, augmented": quick(augmentation="affine", num_epochs=20),
}

DIVERGING = {
    "sgd, 2 layers": sgd(1.0, activation="leaky_relu", hidden_sizes=(64, 64)),
    "adam, 1 layer": quick(learning_rate=1.0),
    "adam, 2 layers": quick(learning_rate=0.3, hidden_sizes=(64, 64)),
    "adam, 4 layers": quick(learning_rate=0.3, hidden_sizes=FOUR),
    "no number": quick(**OVERFLOWING | {"hidden_sizes": (64, 64, 64)}),
    "tanh": sgd(1.0, activation="tanh", hidden_sizes=(64, 64), initialization="keras"),
}

STALLING = {
    "deep sigmoid": sgd(0.1, activation="sigmoid", hidden_sizes=FOUR, num_epochs=36),
    "rate too low": sgd(1e-5, num_epochs=36),
    "rate too high": sgd(1.0, activation="sigmoid", hidden_sizes=(128, 128), num_epochs=36),
    "weight decay": quick(weight_decay=1.0, num_epochs=36),
    "over too soon": quick(learning_rate=1e-5, hidden_sizes=(64, 64)),
}

OVERFITTING = {
    "validation": quick(hidden_sizes=(128, 128), num_epochs=30),
    "test": quick(hidden_sizes=(128, 128), num_epochs=30, num_validation=0),
    "four layers": sgd(0.1, hidden_sizes=FOUR, num_epochs=25),
}

SICK = [
    *(pytest.param("diverges", config, id=f"diverges: {name}") for name, config in DIVERGING.items()),
    *(pytest.param("stalls", config, id=f"stalls: {name}") for name, config in STALLING.items()),
    *(pytest.param("overfits", config, id=f"overfits: {name}") for name, config in OVERFITTING.items()),
]


def found(run: Run) -> Diagnosis:
    diagnosis = run.diagnosis()
    assert diagnosis
    return diagnosis


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_run_is_never_accused(runs: Runs, name: str) -> None:
    run = runs(HEALTHY[name])
    assert run.epochs[-1].train_accuracy > 0.5
    assert run.named() == set()


@pytest.mark.parametrize("preset", ["fast", "blog-pytorch"])
def test_a_preset_is_never_accused_in_its_first_epoch_of_the_whole_data(mnist: Mnist, preset: str) -> None:
    config = PRESETS[preset].replace(threads=1)
    end_of_epoch = config.steps_per_epoch(len(mnist.train_labels))
    assert run_of(config, mnist, lambda training: training.step < end_of_epoch).named() == set()


@pytest.mark.parametrize(("name", "config"), SICK)
def test_what_goes_wrong_is_named_when_the_run_is_over_and_only_that(runs: Runs, name: str, config: TrainConfig) -> None:
    run = runs(config)
    assert found(run).name == name
    assert run.named() == {name}


@pytest.mark.parametrize("name", [name for name in DIVERGING if name != "no number"])  # over before there is a mean to judge
def test_too_high_a_rate_is_called_divergence_while_it_happens_and_from_then_on(runs: Runs, name: str) -> None:
    *during, _ = runs(DIVERGING[name]).prefixes()
    said = [diagnosis.name if diagnosis else None for diagnosis in during]
    first = said.index("diverges")
    assert first < 25
    assert set(said[first:]) == {"diverges"}


@pytest.mark.parametrize(("name", "config"), SICK)
def test_the_advice_is_one_valid_setting_that_differs(runs: Runs, name: str, config: TrainConfig) -> None:
    for diagnosis in runs(config).prefixes():
        if diagnosis:
            ((field, value),) = diagnosis.change.items()
            assert field in FIELDS
            assert getattr(config, field) != value
            assert getattr(config.replace(**diagnosis.change), field) == value


@pytest.mark.parametrize(("name", "config"), SICK)
def test_following_the_advice_cures_it(runs: Runs, name: str, config: TrainConfig) -> None:
    """Of what was wrong: a network that learns again may overfit later on."""
    cured = runs(config.replace(**found(runs(config)).change))
    assert name not in cured.named()
    assert cured.epochs[-1].train_accuracy > 0.4  # guessing is right on 0.1


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("deep sigmoid", {"activation": "relu"}),
        ("rate too low", {"learning_rate": 0.1}),
        ("rate too high", {"learning_rate": 0.1}),
        ("weight decay", {"weight_decay": 0.0}),
        ("over too soon", {"learning_rate": 1e-3}),
    ],
)
def test_a_stall_is_explained_by_the_setting_that_causes_it(runs: Runs, name: str, change: dict[str, Any]) -> None:
    assert found(runs(STALLING[name])).change == change


def test_a_stall_is_not_named_before_the_run_has_had_its_time(runs: Runs) -> None:
    run = runs(STALLING["deep sigmoid"])
    for record, diagnosis in zip(run.steps, run_without_epochs(run), strict=True):
        assert (diagnosis is not None) == (record.step >= PATIENCE_STEPS)


def run_without_epochs(run: Run) -> list[Diagnosis | None]:
    rate = run.config.learning_rate
    return [diagnose(run.config, rate, run.steps[: i + 1], [], None) for i in range(len(run.steps))]


def test_a_warm_up_is_given_more_time(runs: Runs) -> None:
    constant = runs(STALLING["deep sigmoid"])
    warm = runs(constant.config.replace(schedule="one_cycle"))
    assert constant.named() == {"stalls"}
    assert [diagnosis for diagnosis in run_without_epochs(warm) if diagnosis] == []
    assert found(warm).name == "stalls"


@pytest.mark.parametrize("name", OVERFITTING)
def test_overfitting_is_named_once_the_loss_on_other_images_has_risen(runs: Runs, name: str) -> None:
    run = runs(OVERFITTING[name])
    for num_epochs in range(len(run.epochs) + 1):
        held_out = [epoch.test_loss if epoch.val_loss is None else epoch.val_loss for epoch in run.epochs[:num_epochs]]
        losses = [loss for loss in held_out if loss is not None]
        if diagnose(run.config, run.config.learning_rate, run.steps, run.epochs[:num_epochs], None):
            assert losses.index(min(losses)) <= num_epochs - 3
            assert max(losses) > 1.15 * min(losses)
    assert max(losses[-2:]) > 1.15 * min(losses)


def test_overfitting_is_told_of_the_images_it_was_measured_on_and_with_their_losses(runs: Runs) -> None:
    for name in ("validation", "test"):
        run = runs(OVERFITTING[name])
        losses = [epoch.test_loss if epoch.val_loss is None else epoch.val_loss for epoch in run.epochs]
        lowest = min(loss for loss in losses if loss is not None)
        sign = found(run).sign
        assert sign.startswith(f"The {name} loss was lowest after epoch {losses.index(lowest) + 1}, at {lowest:.3f}, ")
        assert f"is {losses[-1]:.3f} now" in sign


def test_the_advice_against_overfitting_lowers_the_loss_on_other_images(runs: Runs) -> None:
    run = runs(OVERFITTING["validation"])
    cured = runs(run.config.replace(**found(run).change))
    assert lowest_validation_loss(cured) < 0.8 * lowest_validation_loss(run)


def lowest_validation_loss(run: Run) -> float:
    return min(epoch.val_loss for epoch in run.epochs if epoch.val_loss is not None)


@pytest.mark.parametrize(
    ("settings", "change"),
    [
        ({}, {"augmentation": "affine"}),
        ({"augmentation": "shift"}, {"augmentation": "affine"}),
        ({"augmentation": "affine"}, {"dropout": 0.2}),
        ({"augmentation": "elastic", "dropout": 0.2}, {"dropout": 0.3}),
        ({"augmentation": "elastic", "dropout": 0.45}, {"dropout": 0.5}),
    ],
)
def test_against_overfitting_more_augmentation_is_advised_then_more_dropout(
    runs: Runs, settings: dict[str, Any], change: dict[str, Any]
) -> None:
    run = runs(OVERFITTING["validation"])
    assert found(dataclasses.replace(run, config=run.config.replace(**settings))).change == change


def test_where_nothing_else_is_left_fewer_epochs_are_advised(runs: Runs) -> None:
    run = runs(OVERFITTING["validation"])
    diagnosis = found(dataclasses.replace(run, config=run.config.replace(augmentation="elastic", dropout=0.5)))
    best = next(epoch.epoch for epoch in run.epochs if epoch.val_loss == lowest_validation_loss(run))
    assert diagnosis.change == {"num_epochs": best}


def test_noise_is_not_overfitting(runs: Runs) -> None:
    """One bad epoch after the lowest, and a loss on other images that moves about one level."""
    run = runs(OVERFITTING["validation"])
    for losses in ([0.3, 0.1, 0.1, 0.2], [0.1, 0.1, 0.11, 0.1, 0.12, 0.1, 0.11] * 5, [0.3, 0.1, 0.2, 0.1, 0.1]):
        epochs = [
            dataclasses.replace(run.epochs[0], epoch=i + 1, val_loss=loss, train_loss=0.05 / (i + 1))
            for i, loss in enumerate(losses)
        ]
        assert diagnose(run.config, 1e-3, run.steps, epochs, None) is None


def test_a_stopped_run_keeps_its_diagnosis(runs: Runs) -> None:
    for name, config in [*STALLING.items(), *OVERFITTING.items(), *DIVERGING.items()]:
        run = runs(config)
        if run.end.outcome == "done" and name != "over too soon":  # a loss that overflows ends the run
            stopped = dataclasses.replace(run, end=dataclasses.replace(run.end, outcome="stopped"))
            assert found(stopped) == found(run)


@pytest.mark.parametrize("message", ["The training process was ended by signal 9.", "The data file mnist.npz does not exist."])
def test_a_failure_for_another_reason_is_no_divergence(runs: Runs, message: str) -> None:
    run = runs(HEALTHY["adam"])
    failed = EndRecord(run.end.step, run.end.epoch, "failed", message, 0.0, None, None)
    assert dataclasses.replace(run, end=failed).diagnosis() is None
    assert diagnose(run.config, 1e-3, [], [], failed) is None


def test_a_run_without_records_has_no_diagnosis() -> None:
    assert diagnose(quick(), 1e-3, [], [], None) is None


def test_a_loss_that_is_no_number_at_the_first_step_is_divergence(small: Mnist) -> None:
    def blow_up(training: TrainState) -> bool:
        training.learning_rate = 1e30
        return True

    run = run_of(sgd(1.0), small, blow_up)
    assert run.end.outcome == "failed"
    assert found(run).name == "diverges"
    assert found(dataclasses.replace(run, steps=[])).name == "diverges"


@pytest.mark.parametrize("loss", [math.nan, math.inf])
@pytest.mark.parametrize("where", [0, 7, -1])
def test_a_record_that_is_no_number_is_divergence(runs: Runs, loss: float, where: int) -> None:
    run = runs(HEALTHY["adam"])
    steps = list(run.steps)
    steps[where] = dataclasses.replace(steps[where], train_loss=loss, gradient_norms=(loss, loss))
    assert found(dataclasses.replace(run, steps=steps)).name == "diverges"
    assert found(dataclasses.replace(run, steps=steps[where:][:1])).name == "diverges"


@pytest.mark.parametrize("loss", [math.nan, math.inf, None])
def test_an_epoch_that_is_no_number_or_was_not_measured_accuses_nobody(runs: Runs, loss: float | None) -> None:
    run = runs(OVERFITTING["validation"])
    epochs = [*run.epochs[:-1], dataclasses.replace(run.epochs[-1], val_loss=loss)]
    assert diagnose(run.config, 1e-3, run.steps, epochs, None) is None


def test_a_rate_raised_during_the_run_is_the_one_that_is_blamed(small: Mnist) -> None:
    def raise_it(training: TrainState) -> bool:
        training.learning_rate = 1e-3 if training.step < 30 else 1.0
        return True

    run = run_of(quick(hidden_sizes=(64, 64)), small, raise_it)
    diagnosis = diagnose(run.config, 1.0, run.steps, run.epochs, run.end)
    assert diagnosis
    assert (diagnosis.name, diagnosis.change) == ("diverges", {"learning_rate": 1e-3})
    assert "The learning rate 1 is too high" in diagnosis.cause
    lowered_again = diagnose(run.config, 1e-4, run.steps, run.epochs, run.end)
    assert lowered_again == diagnosis


def test_where_the_ordinary_rate_diverges_a_tenth_is_advised(runs: Runs) -> None:
    run = runs(DIVERGING["no number"])
    steps = [dataclasses.replace(record, learning_rate=0.05) for record in run.steps]
    diagnosis = diagnose(run.config, 0.05, steps, run.epochs, run.end)
    assert diagnosis
    assert diagnosis.change["learning_rate"] == pytest.approx(0.005)


SIZES = {"shallow": (128,), "deep": (128,) * 4, "wide": (500,) * 4}


@pytest.fixture(scope="module")
def beginnings(mnist: Mnist) -> Callable[[str, str, str], list[StepRecord]]:
    """The first 30 steps on the whole data, by activation, initialization and a key of SIZES."""

    @functools.cache
    def begin(activation: str, initialization: str, sizes: str) -> list[StepRecord]:
        config = TrainConfig(hidden_sizes=SIZES[sizes], activation=activation, initialization=initialization, threads=1)  # type: ignore[arg-type]
        return run_of(config, mnist, lambda training: training.step < 30).steps

    return begin


@pytest.mark.parametrize("initialization", ["pytorch", "keras"])
@pytest.mark.parametrize("sizes", ["deep", "wide"])
def test_gradients_vanish_in_a_deep_net_of_sigmoids_alone(
    beginnings: Callable[[str, str, str], list[StepRecord]], initialization: str, sizes: str
) -> None:
    for activation in ("sigmoid", "relu", "leaky_relu", "gelu", "tanh"):
        steps = beginnings(activation, initialization, sizes)
        for num_steps in range(1, len(steps) + 1):
            flow = gradient_flow(steps[:num_steps])
            assert flow
            assert flow.vanishes == (activation == "sigmoid"), (activation, num_steps, flow)


@pytest.mark.parametrize("activation", ["sigmoid", "relu", "leaky_relu", "gelu", "tanh"])
def test_gradients_do_not_vanish_in_one_hidden_layer(
    beginnings: Callable[[str, str, str], list[StepRecord]], activation: str
) -> None:
    steps = beginnings(activation, "pytorch", "shallow")
    flows = [gradient_flow(steps[:num_steps]) for num_steps in range(1, len(steps) + 1)]
    assert all(flow and not flow.vanishes for flow in flows)


def test_gradients_vanish_as_long_as_the_deep_net_stalls(runs: Runs) -> None:
    steps = runs(STALLING["deep sigmoid"]).steps
    flows = [gradient_flow(steps[:num_steps]) for num_steps in range(1, len(steps) + 1)]
    assert all(flow and flow.vanishes for flow in flows)


def test_weakest_flow_is_found_where_it_was_however_well_it_goes_by_now(runs: Runs) -> None:
    first = runs(STALLING["deep sigmoid"]).steps[:GRADIENT_RECORDS]
    well = [
        dataclasses.replace(first[-1], step=first[-1].step + i, gradient_norms=(0.1,) * len(first[0].gradient_norms))
        for i in range(1, 200)
    ]
    flow, weakest = gradient_flow([*first, *well]), weakest_flow([*first, *well])
    assert flow
    assert not flow.vanishes
    assert weakest
    step, lowest = weakest
    assert step <= first[-1].step
    assert lowest.vanishes
    of_first = gradient_flow(first)
    assert of_first
    assert lowest.norms == pytest.approx(of_first.norms)
    assert weakest_flow([]) is None


@pytest.mark.parametrize("name", [*HEALTHY, *OVERFITTING])
def test_weakest_flow_of_a_healthy_run_has_not_vanished(runs: Runs, name: str) -> None:
    weakest = weakest_flow(runs({**HEALTHY, **OVERFITTING}[name]).steps)
    assert weakest
    assert not weakest[1].vanishes


@pytest.mark.parametrize("name", STALLING)
def test_a_stall_is_explained_alike_once_the_advised_rate_is_set(runs: Runs, name: str) -> None:
    run = runs(STALLING[name])
    found = run.diagnosis()
    assert found
    rate = found.change.get("learning_rate", run.config.learning_rate)
    assert diagnose(run.config, rate, run.steps, run.epochs, run.end) == found


@pytest.mark.parametrize("name", [*HEALTHY, *OVERFITTING])
def test_gradients_that_are_small_because_all_is_learned_have_not_vanished(runs: Runs, name: str) -> None:
    steps = runs({**HEALTHY, **OVERFITTING}[name]).steps
    flows = [gradient_flow(steps[:num_steps]) for num_steps in range(1, len(steps) + 1)]
    assert all(flow and not flow.vanishes for flow in flows)


def test_the_flow_is_the_geometric_mean_of_the_newest_records(runs: Runs) -> None:
    steps = runs(HEALTHY["tanh, cosine"]).steps
    flow = gradient_flow(steps)
    assert flow == gradient_flow(steps[-GRADIENT_RECORDS:])
    assert flow
    for layer, norm in enumerate(flow.norms):
        assert math.log(norm) == pytest.approx(
            sum(math.log(record.gradient_norms[layer]) for record in steps[-GRADIENT_RECORDS:]) / GRADIENT_RECORDS
        )
    assert flow.ratio == pytest.approx(flow.norms[0] / flow.norms[-1])


def test_records_with_a_gradient_of_zero_or_that_is_no_number_are_left_out(runs: Runs) -> None:
    first, *others = runs(HEALTHY["adam"]).steps[:4]
    broken = [
        dataclasses.replace(record, gradient_norms=norms)
        for record, norms in zip(others, [(0.0, 0.1), (math.nan, 0.1), (0.1, math.inf)], strict=True)
    ]
    assert gradient_flow([first, *broken]) == gradient_flow([first])
    assert gradient_flow(broken) is None
    assert gradient_flow([]) is None
