"""What a study has found: its trials, their importances and its charts."""

import dataclasses
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.pruners import MedianPruner
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from mnist_fc.config import FIELDS, Choice, ConfigError, LayerSizes, Range, TrainConfig
from mnist_fc.sweep.space import (
    MAX_NAME,
    VARIABLE,
    Interval,
    Space,
    State,
    SweepConfig,
    TrialRecord,
    Values,
    check_space,
    describe_space,
    is_one_line,
    value_from_json,
    value_to_json,
)
from mnist_fc.sweep.storage import (
    DAMAGED,
    GRACE_SECONDS,
    SweepError,
    describe_error,
    is_file_missing,
    open_storage,
    without_password,
)

if TYPE_CHECKING:
    from plotly.graph_objects import Figure  # type: ignore[import-untyped]

PRUNER = MedianPruner(n_startup_trials=5, n_warmup_steps=50)
"""Its steps are per cent of a run, so that runs of different lengths compare.

A run is given up that has, half-way or later, never been as good as the median of the others was there. Not sooner: with the
"one_cycle" schedule the best runs begin as the slower ones do. Replayed 400 times in random order on 24 learning curves of 10
epochs each, asking from 30 % on lost the best run in one of nine sweeps, and from half-way on in none; a quarter of the epochs
was saved.
"""

MIN_DONE = 10
"""With fewer trials done, what matters cannot be told from chance."""
QUANTILE = 0.25
EVALUATOR = PedAnovaImportanceEvaluator(target_quantile=QUANTILE)
# What a study and its trials carry besides what Optuna gives them.
DESCRIPTION, SECONDS, MESSAGE = "mnist_fc", "seconds", "message"
LOST = f"It gave no sign of life for {GRACE_SECONDS} seconds: its process was killed, paused or cut off."
STATES: dict[TrialState, State] = {
    TrialState.WAITING: "running",
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "done",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


def studies(storage: str) -> list[str]:
    """The names of the sweeps' studies in a storage, the oldest first; none where there is no file yet. Raises SweepError."""
    if is_file_missing(storage):
        return []
    with open_storage(storage) as opened:
        try:
            named = [study.study_name for study in opened.get_all_studies() if DESCRIPTION in study.user_attrs]
            return [name for name in named if is_one_line(name) and len(name) <= MAX_NAME]
        except DAMAGED as error:
            raise SweepError(f"the storage {without_password(storage)} is damaged: {describe_error(error)}") from error


def base_and_space(storage: str, study: str) -> tuple[TrainConfig, Space]:
    """What a study varies, and what it does not. Raises SweepError, also when there is no such study."""
    with _loaded(storage, study) as loaded:
        return _described(loaded)


def trials(storage: str, study: str) -> list[TrialRecord]:
    """The trials of a study as they are now, by number, whoever runs them. Raises SweepError."""
    with _loaded(storage, study) as loaded:
        return _records(loaded)


def importances(storage: str, study: str) -> dict[str, float]:
    """How much each varied field mattered for being among the best quarter: shares that sum to 1, the greatest first.

    PED-ANOVA (Watanabe, Bansal & Hutter 2023), on the trials done. Empty with fewer than MIN_DONE, and when they are too
    much alike. Raises SweepError.
    """
    with _loaded(storage, study) as loaded:
        return get_param_importances(loaded, evaluator=EVALUATOR) if _tells_importances(loaded) else {}


def importance_plot(storage: str, study: str) -> "Figure | None":
    """`importances` as a plotly figure; None where they are empty. Raises SweepError."""
    from optuna.visualization import plot_param_importances

    with _loaded(storage, study) as loaded:
        if not _tells_importances(loaded):
            return None
        return plot_param_importances(loaded, evaluator=EVALUATOR, target_name="validation accuracy")


def parallel_coordinates(storage: str, study: str) -> "Figure | None":
    """A plotly figure with an axis for each varied field and a line for each trial done; None before two. Raises SweepError.

    On each axis the values stand in order, from below: layers and numbers ascending, words as their field has them.
    """
    from optuna.visualization import plot_parallel_coordinate

    with _loaded(storage, study) as loaded:
        if sum(record.state == "done" for record in _records(loaded)) < 2:
            return None
        figure = plot_parallel_coordinate(loaded, target_name="validation accuracy")
        for axis, name in enumerate(figure.layout.xaxis.ticktext):
            if isinstance(FIELDS.get(name), Choice | LayerSizes):
                _sort_axis(figure, axis, name)
        return figure


def _sort_axis(figure: "Figure", axis: int, name: str) -> None:
    """Put the values of an axis into the order of their field; Optuna has them in that of the trials."""
    labels = sorted((label for label in figure.layout.annotations if label.x == axis), key=lambda label: label.y)
    heights = [label.y for label in labels]
    ranked = sorted(labels, key=lambda label: _rank(name, label.text))
    place = {label.y: height for label, height in zip(ranked, heights, strict=True)}
    for trace in figure.data:
        if trace.mode == "lines":
            old = min(heights, key=lambda height: abs(height - trace.y[axis]))
            trace.y = [*trace.y[:axis], place[old], *trace.y[axis + 1 :]]
    for label in labels:
        label.y = place[label.y]


def _rank(name: str, text: str) -> Any:
    """What the values of a field, as Optuna stores them, are sorted by."""
    limit = FIELDS[name]
    return limit.options.index(text) if isinstance(limit, Choice) else value_from_json(name, text)


def join_study(config: SweepConfig, storage: BaseStorage) -> Study:
    """The study, new or as others began it. Raises SweepError when that was with another base or space."""
    study = optuna.create_study(
        storage=storage, study_name=config.study, direction="maximize", load_if_exists=True, pruner=PRUNER
    )
    if DESCRIPTION not in study.user_attrs and not study.get_trials(deepcopy=False):
        study.set_user_attr(DESCRIPTION, _description(config.base, config.space))
    base, space = _described(study)
    if space != config.space:
        raise SweepError(f"the study {config.study} varies {describe_space(space)}; for another space name another study")
    for name in FIELDS.keys() - space.keys() - {"threads"}:
        old, new = getattr(base, name), getattr(config.base, name)
        if old != new:
            found = f"{value_to_json(old)}, not {value_to_json(new)}"
            raise SweepError(f"the study {config.study} has {name} {found}; for that name another study")
    return study


def _description(base: TrainConfig, space: Space) -> dict[str, Any]:
    """Base and space for the study's own table, where they become JSON."""
    fields = {
        name: [varied.low, varied.high] if isinstance(varied, Interval) else {"options": varied.options}
        for name, varied in space.items()
    }
    return {"base": dataclasses.asdict(base), "space": fields}


def _described(study: Study) -> tuple[TrainConfig, Space]:
    """The base and space of a study. Raises SweepError for what no sweep can have written."""
    description = study.user_attrs.get(DESCRIPTION)
    if description is None or study.directions != [StudyDirection.MAXIMIZE]:
        raise SweepError(f"the study {study.study_name} was not begun by a sweep of this program")
    try:
        base = TrainConfig.from_json(json.dumps(description["base"]))
        space = {
            name: Values(tuple(varied["options"])) if isinstance(varied, dict) else Interval(*varied)
            for name, varied in description["space"].items()
        }
        return base, check_space(space)
    except ConfigError as error:
        raise SweepError(f"the study {study.study_name} is damaged: {error}") from None
    except (LookupError, TypeError, AttributeError):
        raise SweepError(f"the study {study.study_name} is damaged: it does not say what it varies") from None


def _records(study: Study) -> list[TrialRecord]:
    base, space = _described(study)
    return [trial_record(base, space, trial) for trial in study.get_trials(deepcopy=False)]


def trial_record(base: TrainConfig, space: Space, trial: FrozenTrial) -> TrialRecord:
    """A trial as Optuna has it. Raises ConfigError for what no sweep can have written."""
    if unknown := sorted(trial.params.keys() - space.keys()):
        raise ConfigError(f"trial {trial.number} varies {', '.join(unknown)}; the study varies {', '.join(space)}")
    try:
        settings = {
            name: value_from_json(name, str(value)) if name == "hidden_sizes" else value
            for name, value in sorted(trial.params.items(), key=lambda item: VARIABLE.index(item[0]))
        }
        config = base.replace(**settings)
        reports = trial.intermediate_values
        accuracy = trial.value if trial.state == TrialState.COMPLETE else reports[max(reports)] if reports else None
        if accuracy is not None:
            accuracy = Range(float, 0, 1).check("val_accuracy", accuracy)
        seconds = Range(float, 0, math.inf).check("seconds", trial.user_attrs.get(SECONDS, 0.0))
    except ConfigError as error:
        raise ConfigError(f"trial {trial.number}: {error}") from None
    message = str(trial.user_attrs.get(MESSAGE, LOST if trial.state == TrialState.FAIL else ""))
    return TrialRecord(
        number=trial.number,
        state="failed" if message else STATES[trial.state],
        settings={name: getattr(config, name) for name in settings},
        epoch=len(reports),
        num_epochs=config.num_epochs,
        val_accuracy=accuracy,
        seconds=seconds,
        message=message,
    )


def _tells_importances(study: Study) -> bool:
    """Whether there are enough trials, and the best quarter is not all of them."""
    done = sorted(r.val_accuracy for r in _records(study) if r.state == "done" and r.val_accuracy is not None)
    return len(done) >= MIN_DONE and done[0] < done[-math.ceil(len(done) * QUANTILE)]


@contextmanager
def _loaded(storage: str, study: str) -> Iterator[Study]:
    missing = SweepError(f"there is no study {study} in {without_password(storage)}")
    if is_file_missing(storage):
        raise missing
    with open_storage(storage) as opened:
        try:
            loaded = optuna.load_study(study_name=study, storage=opened)
        except KeyError:
            raise missing from None
        try:
            yield loaded
        except SweepError:
            raise
        except DAMAGED as error:
            raise SweepError(f"the study {study} is damaged: {describe_error(error)}") from error
