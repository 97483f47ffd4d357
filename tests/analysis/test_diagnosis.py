"""Whatever goes wrong in a real run is named while it happens, the advice cures it, and no healthy run is accused."""

import dataclasses
import math
import re
from typing import Any

import pytest

from mnist_fc.analysis.curves import train_curve
from mnist_fc.analysis.diagnosis import PATIENCE_STEPS, Diagnosis, diagnose
from mnist_fc.analysis.results import test_result as result_of_test
from mnist_fc.config import FIELDS, PRESETS, TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.records import EndRecord
from mnist_fc.training.train_state import TrainState
from tests.support.training_runs import DIVERGING, HEALTHY, OVERFITTING, STALLING, Run, Runs, quick, run_of, sgd

SICK = [
    *(pytest.param("diverges", config, id=f"diverges: {name}") for name, config in DIVERGING.items()),
    *(pytest.param("stalls", config, id=f"stalls: {name}") for name, config in STALLING.items()),
    *(pytest.param("overfits", config, id=f"overfits: {name}") for name, config in OVERFITTING.items()),
]


def found(run: Run) -> Diagnosis:
    diagnosis = run.diagnosis()
    assert diagnosis
    return diagnosis


@pytest.mark.integration
@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_run_is_never_accused(runs: Runs, name: str) -> None:
    run = runs(HEALTHY[name])
    assert run.epochs[-1].train_accuracy > 0.5
    assert run.named() == set()


@pytest.mark.integration
@pytest.mark.parametrize("preset", ["fast", "blog-pytorch"])
def test_preset_is_never_accused_in_its_first_full_epoch(mnist: Mnist, preset: str) -> None:
    config = PRESETS[preset].replace(threads=1)
    end_of_epoch = config.steps_per_epoch(len(mnist.train_labels))
    assert run_of(config, mnist, lambda training: training.step < end_of_epoch).named() == set()


@pytest.mark.integration
@pytest.mark.parametrize(("name", "config"), SICK)
def test_only_the_actual_fault_is_named(runs: Runs, name: str, config: TrainConfig) -> None:
    run = runs(config)
    assert found(run).name == name
    assert run.named() == {name}


@pytest.mark.parametrize("name", [name for name in DIVERGING if name != "no number"])  # over before there is a mean to judge
def test_divergence_is_named_early_and_until_the_end(runs: Runs, name: str) -> None:
    *during, _ = runs(DIVERGING[name]).prefixes
    names = [diagnosis.name if diagnosis else None for diagnosis in during]
    first = names.index("diverges")
    assert first < 25
    assert set(names[first:]) == {"diverges"}


@pytest.mark.parametrize(("name", "config"), SICK)
def test_advice_is_one_valid_setting_that_differs(runs: Runs, name: str, config: TrainConfig) -> None:
    for diagnosis in runs(config).prefixes:
        if diagnosis:
            ((field, value),) = diagnosis.change.items()
            assert field in FIELDS
            assert getattr(config, field) != value
            assert getattr(config.replace(**diagnosis.change), field) == value


@pytest.mark.integration
@pytest.mark.parametrize(("name", "config"), SICK)
def test_following_the_advice_cures_the_fault(runs: Runs, name: str, config: TrainConfig) -> None:
    """The fault that was named. A network that learns again may overfit later."""
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
def test_stall_is_explained_by_the_setting_that_causes_it(runs: Runs, name: str, change: dict[str, Any]) -> None:
    assert found(runs(STALLING[name])).change == change


@pytest.mark.parametrize(
    ("settings", "change"),
    [
        ({"learning_rate": 0.05, "dropout": 0.3}, {"learning_rate": 0.1}),
        ({"dropout": 0.3, "batch_size": 4096}, {"dropout": 0.0}),
        ({"batch_size": 4096}, {"batch_size": 100}),
        ({}, {"learning_rate": 0.01}),
    ],
)
def test_stall_of_a_relu_network_is_blamed_on_one_setting(runs: Runs, settings: dict[str, Any], change: dict[str, Any]) -> None:
    run = runs(STALLING["deep sigmoid"])
    diagnosis = found(dataclasses.replace(run, config=run.config.replace(activation="relu", **settings)))
    assert (diagnosis.name, diagnosis.change) == ("stalls", change)


def test_stall_is_not_named_before_enough_steps(runs: Runs) -> None:
    run = runs(STALLING["deep sigmoid"])
    for record, diagnosis in zip(run.steps, run_without_epochs(run), strict=True):
        assert (diagnosis is not None) == (record.step >= PATIENCE_STEPS)


def run_without_epochs(run: Run) -> list[Diagnosis | None]:
    rate = run.config.learning_rate
    return [diagnose(run.config, rate, run.steps[: i + 1], [], None) for i in range(len(run.steps))]


def test_warm_up_is_given_more_steps(runs: Runs) -> None:
    constant = runs(STALLING["deep sigmoid"])
    warm = runs(constant.config.replace(schedule="one_cycle"))
    assert constant.named() == {"stalls"}
    assert [diagnosis for diagnosis in run_without_epochs(warm) if diagnosis] == []
    assert found(warm).name == "stalls"


@pytest.mark.parametrize("name", OVERFITTING)
def test_overfitting_is_named_once_the_held_out_loss_rises(runs: Runs, name: str) -> None:
    run = runs(OVERFITTING[name])
    for num_epochs in range(len(run.epochs) + 1):
        held_out = [epoch.test_loss if epoch.val_loss is None else epoch.val_loss for epoch in run.epochs[:num_epochs]]
        losses = [loss for loss in held_out if loss is not None]
        if diagnose(run.config, run.config.learning_rate, run.steps, run.epochs[:num_epochs], None):
            assert losses.index(min(losses)) <= num_epochs - 3
            assert max(losses) > 1.15 * min(losses)
    assert max(losses[-2:]) > 1.15 * min(losses)


def test_overfitting_quotes_the_losses_of_the_held_out_images(runs: Runs) -> None:
    for name in ("validation", "test"):
        run = runs(OVERFITTING[name])
        losses = [epoch.test_loss if epoch.val_loss is None else epoch.val_loss for epoch in run.epochs]
        lowest = min(loss for loss in losses if loss is not None)
        begins = (
            f"The {name} loss was lowest after epoch {losses.index(lowest) + 1}, at {lowest:.3f}, and rose to {losses[-1]:.3f} by"
        )
        assert found(run).symptom.startswith(f"{begins} the end.")
        as_it_was = diagnose(run.config, run.config.learning_rate, run.steps, run.epochs, None)
        assert as_it_was
        assert as_it_was.symptom.startswith(f"{begins} epoch {len(losses)}.")


def test_overfitting_quotes_the_test_loss_measured_at_the_stop(runs: Runs) -> None:
    run = runs(OVERFITTING["test"])
    last_loss = run.epochs[-1].test_loss
    assert last_loss
    stopped = dataclasses.replace(run.end, step=run.end.step + 7, outcome="stopped", test_loss=0.95 * last_loss)
    result = result_of_test(run.epochs, stopped)
    assert result
    assert f"rose to {result.loss:.3f} by the end." in found(dataclasses.replace(run, end=stopped)).symptom


def test_stop_with_the_lowest_test_loss_is_no_overfitting(runs: Runs) -> None:
    run = runs(OVERFITTING["test"])
    stopped = dataclasses.replace(run.end, step=run.end.step + 7, outcome="stopped", test_loss=0.01)
    assert dataclasses.replace(run, end=stopped).diagnosis() is None


def test_advice_against_overfitting_lowers_the_held_out_loss(runs: Runs) -> None:
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
def test_augmentation_is_advised_before_dropout(runs: Runs, settings: dict[str, Any], change: dict[str, Any]) -> None:
    run = runs(OVERFITTING["validation"])
    assert found(dataclasses.replace(run, config=run.config.replace(**settings))).change == change


def test_fewer_epochs_are_the_last_advice(runs: Runs) -> None:
    run = runs(OVERFITTING["validation"])
    diagnosis = found(dataclasses.replace(run, config=run.config.replace(augmentation="elastic", dropout=0.5)))
    best = next(epoch.epoch for epoch in run.epochs if epoch.val_loss == lowest_validation_loss(run))
    assert diagnosis.change == {"num_epochs": best}


def test_noise_is_not_overfitting(runs: Runs) -> None:
    """One bad epoch after the lowest, and a held-out loss that fluctuates around one level."""
    run = runs(OVERFITTING["validation"])
    for losses in ([0.3, 0.1, 0.1, 0.2], [0.1, 0.1, 0.11, 0.1, 0.12, 0.1, 0.11] * 5, [0.3, 0.1, 0.2, 0.1, 0.1]):
        epochs = [
            dataclasses.replace(run.epochs[0], epoch=i + 1, val_loss=loss, train_loss=0.05 / (i + 1))
            for i, loss in enumerate(losses)
        ]
        assert diagnose(run.config, 1e-3, run.steps, epochs, None) is None


def test_stopped_run_keeps_its_diagnosis(runs: Runs) -> None:
    for name, config in [*STALLING.items(), *OVERFITTING.items(), *DIVERGING.items()]:
        run = runs(config)
        if run.end.outcome == "done" and name != "over too soon":  # a loss that overflows ends the run
            stopped = dataclasses.replace(run, end=dataclasses.replace(run.end, outcome="stopped"))
            assert found(stopped) == found(run)


@pytest.mark.parametrize("message", ["The training process was ended by signal 9.", "The data file mnist.npz does not exist."])
def test_failure_for_another_reason_is_no_divergence(runs: Runs, message: str) -> None:
    run = runs(HEALTHY["adam"])
    failed = EndRecord(run.end.step, run.end.epoch, "failed", message, 0.0, None, None)
    assert dataclasses.replace(run, end=failed).diagnosis() is None
    assert diagnose(run.config, 1e-3, [], [], failed) is None


def test_run_without_records_has_no_diagnosis() -> None:
    assert diagnose(quick(), 1e-3, [], [], None) is None


def test_overflow_at_the_first_step_is_divergence(small: Mnist) -> None:
    def blow_up(training: TrainState) -> bool:
        training.learning_rate = 1e30
        return True

    run = run_of(sgd(1.0), small, blow_up)
    assert run.end.outcome == "failed"
    assert found(run).name == "diverges"
    assert found(dataclasses.replace(run, steps=[])).name == "diverges"


@pytest.mark.parametrize("loss", [math.nan, math.inf])
@pytest.mark.parametrize("where", [0, 7, -1])
def test_loss_that_is_not_finite_is_divergence(runs: Runs, loss: float, where: int) -> None:
    run = runs(HEALTHY["adam"])
    steps = list(run.steps)
    steps[where] = dataclasses.replace(steps[where], train_loss=loss, gradient_norms=(loss, loss))
    assert found(dataclasses.replace(run, steps=steps)).name == "diverges"
    assert found(dataclasses.replace(run, steps=steps[where:][:1])).name == "diverges"


@pytest.mark.parametrize("loss", [math.nan, math.inf, None])
def test_missing_held_out_loss_is_no_overfitting(runs: Runs, loss: float | None) -> None:
    run = runs(OVERFITTING["validation"])
    epochs = [*run.epochs[:-1], dataclasses.replace(run.epochs[-1], val_loss=loss)]
    assert diagnose(run.config, 1e-3, run.steps, epochs, None) is None


def test_rate_raised_during_the_run_is_blamed(small: Mnist) -> None:
    def raise_it(training: TrainState) -> bool:
        training.learning_rate = 1e-3 if training.step < 30 else 1.0
        return True

    run = run_of(quick(hidden_sizes=(64, 64)), small, raise_it)
    diagnosis = diagnose(run.config, 1.0, run.steps, run.epochs, run.end)
    assert diagnosis
    assert (diagnosis.name, diagnosis.change) == ("diverges", {"learning_rate": 1e-3})
    assert "The learning rate 1 is too high" in diagnosis.cause


@pytest.mark.parametrize(("new_rate", "advised"), [(1e-4, 1e-4), (1e-3, 1e-3), (0.5, 1e-3)])
def test_new_rate_cannot_repair_a_diverged_run(runs: Runs, new_rate: float, advised: float) -> None:
    run = runs(DIVERGING["adam, 1 layer"])
    diagnosis = diagnose(run.config, new_rate, run.steps, run.epochs, run.end)
    assert diagnosis
    assert diagnosis.symptom == found(run).symptom
    assert f"the new rate {new_rate:g} cannot repair it. Training must start over." in diagnosis.cause
    assert "is too high" not in diagnosis.cause
    assert diagnosis.change == {"learning_rate": advised}


@pytest.mark.parametrize("name", DIVERGING)
def test_divergence_quotes_the_curve_that_is_drawn(runs: Runs, name: str) -> None:
    run = runs(DIVERGING[name])
    drawn = train_curve(run.steps, "train_loss").finite().values
    symptom = found(run).symptom
    quoted = [float(figure) for figure in re.findall(r"\d+\.\d\d", symptom.replace("guessing gives 2.30", ""))]
    quotable = [round(value, 2) for value in (drawn.max(), drawn.min(), drawn[-1])]
    assert quoted or max(drawn) > 100
    assert set(quoted) <= set(quotable), symptom
    assert "now" not in symptom


def test_climb_quotes_the_lowest_point_that_is_drawn(runs: Runs) -> None:
    """The smoothed curve does not go as low as these five records."""
    run = runs(HEALTHY["adam"])
    losses = [1.2] * 20 + [0.2] * 5 + [1.4] * 20
    steps = [dataclasses.replace(record, train_loss=loss) for record, loss in zip(run.steps, losses, strict=False)]
    assert len(steps) == len(losses)
    drawn = train_curve(steps, "train_loss").values
    assert drawn.min() > 0.4
    climbing = diagnose(run.config, 1e-3, steps, [], None)
    assert climbing
    assert climbing.symptom == (
        f"The loss came down to {drawn.min():.2f}, then climbed. It is {drawn[-1]:.2f} after step {steps[-1].step:,}."
    )
    ended = diagnose(run.config, 1e-3, steps, [], run.end)
    assert ended
    assert ended.symptom.endswith(f"It is {drawn[-1]:.2f} at the end.")


def test_tenth_is_advised_if_the_typical_rate_diverges(runs: Runs) -> None:
    run = runs(DIVERGING["no number"])
    steps = [dataclasses.replace(record, learning_rate=0.05) for record in run.steps]
    diagnosis = diagnose(run.config, 0.05, steps, run.epochs, run.end)
    assert diagnosis
    assert diagnosis.change["learning_rate"] == pytest.approx(0.005)


@pytest.mark.parametrize("name", STALLING)
def test_stall_is_explained_alike_after_the_advice_is_taken(runs: Runs, name: str) -> None:
    run = runs(STALLING[name])
    found = run.diagnosis()
    assert found
    rate = found.change.get("learning_rate", run.config.learning_rate)
    assert diagnose(run.config, rate, run.steps, run.epochs, run.end) == found
