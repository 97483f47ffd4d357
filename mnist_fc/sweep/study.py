"""Create, join and read studies: what they vary, their trials, and which settings mattered.

Values that come from a storage are checked, since other programs can write there.
"""

import dataclasses
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.pruners import MedianPruner
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from mnist_fc.config import FIELDS, ConfigError, Range, TrainConfig
from mnist_fc.sweep.errors import DAMAGED, SweepError
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
    format_space,
    is_one_line,
    parse_space_value,
    to_optuna_value,
)
from mnist_fc.sweep.storage import GRACE_SECONDS, describe_error, is_file_missing, open_storage, without_password

PRUNER = MedianPruner(n_startup_trials=5, n_warmup_steps=50)
"""Ends a trial that, from its middle on, has never been as good as the median of the others at that point.

Its steps are per cent of a run, so that runs of different lengths can be compared. It does not prune earlier, because with the
"one_cycle" schedule the best runs start like slower ones. Replayed 400 times in random order on 24 learning curves of 10 epochs,
pruning from 30% on lost the best run in one of nine sweeps; pruning from 50% on lost it in none and saved a quarter of the
epochs.
"""

MIN_DONE = 10
"""With fewer finished trials, importances cannot be told from chance."""

QUANTILE = 0.25
EVALUATOR = PedAnovaImportanceEvaluator(target_quantile=QUANTILE)

# The user attributes that we add to studies and trials.
DESCRIPTION, SECONDS, MESSAGE = "mnist_fc", "seconds", "message"
LOST = f"It sent no heartbeat for {GRACE_SECONDS} seconds: its process was killed, paused or disconnected."
STATES: dict[TrialState, State] = {
    TrialState.WAITING: "running",
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "done",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


def studies(storage: str) -> list[str]:
    """Return the names of the studies that sweeps made, the oldest first; none if the file does not exist. Raises SweepError."""
    if is_file_missing(storage):
        return []
    with open_storage(storage) as opened:
        try:
            named = [study.study_name for study in opened.get_all_studies() if DESCRIPTION in study.user_attrs]
            return [name for name in named if is_one_line(name) and len(name) <= MAX_NAME]
        except DAMAGED as error:
            raise SweepError(f"the storage {without_password(storage)} is damaged: {describe_error(error)}") from error


def base_and_space(storage: str, study: str) -> tuple[TrainConfig, Space]:
    """Return the settings that a study does not vary, and those that it varies. Raises SweepError, also for a missing study."""
    with _loaded(storage, study) as loaded:
        return _read_description(loaded)


def trials(storage: str, study: str) -> list[TrialRecord]:
    """Return all trials of a study by number, also those of other processes. Raises SweepError."""
    with _loaded(storage, study) as loaded:
        return _records(loaded)


def importances(storage: str, study: str) -> dict[str, float]:
    """Return how much each varied field mattered for being among the best quarter: shares that sum to 1, the greatest first.

    Computed by PED-ANOVA (Watanabe, Bansal & Hutter 2023) from the done trials. Empty with fewer than MIN_DONE of them, or
    if their accuracies are too similar. Raises SweepError.
    """
    with _loaded(storage, study) as loaded:
        return get_param_importances(loaded, evaluator=EVALUATOR) if _has_importances(loaded) else {}


def join_study(config: SweepConfig, storage: BaseStorage) -> Study:
    """Create the study, or load it if it exists. Raises SweepError if it has another base or space."""
    study = optuna.create_study(
        storage=storage, study_name=config.study, direction="maximize", load_if_exists=True, pruner=PRUNER
    )
    if DESCRIPTION not in study.user_attrs and not study.get_trials(deepcopy=False):
        study.set_user_attr(DESCRIPTION, _description(config.base, config.space))
    base, space = _read_description(study)
    if space != config.space:
        raise SweepError(f"the study {config.study} varies {format_space(space)}; to vary anything else, name a new study")
    for name in FIELDS.keys() - space.keys() - {"threads"}:
        old, new = getattr(base, name), getattr(config.base, name)
        if old != new:
            found = f"{to_optuna_value(old)}, not {to_optuna_value(new)}"
            raise SweepError(f"the study {config.study} has {name} {found}; to change it, name a new study")
    return study


def _description(base: TrainConfig, space: Space) -> dict[str, Any]:
    """Return base and space as values that Optuna stores as JSON."""
    fields = {
        name: [varied.low, varied.high] if isinstance(varied, Interval) else {"options": varied.options}
        for name, varied in space.items()
    }
    return {"base": dataclasses.asdict(base), "space": fields}


def _read_description(study: Study) -> tuple[TrainConfig, Space]:
    """Return the base and space of a study. Raises SweepError if no sweep can have written them."""
    description = study.user_attrs.get(DESCRIPTION)
    if description is None or study.directions != [StudyDirection.MAXIMIZE]:
        raise SweepError(f"the study {study.study_name} was not created by a sweep of this program")
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
        raise SweepError(f"the study {study.study_name} is damaged: its search space cannot be read") from None


def _records(study: Study) -> list[TrialRecord]:
    """Return the trials of a loaded study by number. Raises SweepError or ConfigError."""
    base, space = _read_description(study)
    return [trial_record(base, space, trial) for trial in study.get_trials(deepcopy=False)]


def trial_record(base: TrainConfig, space: Space, trial: FrozenTrial) -> TrialRecord:
    """Convert a trial of Optuna. Raises ConfigError if no sweep can have written it."""
    if unknown := sorted(trial.params.keys() - space.keys()):
        raise ConfigError(f"trial {trial.number} varies {', '.join(unknown)}; the study varies {', '.join(space)}")
    try:
        settings = {
            name: parse_space_value(name, str(value)) if name == "hidden_sizes" else value
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


def _has_importances(study: Study) -> bool:
    """Return whether enough trials are done, and the worst is not as good as the best quarter."""
    done = sorted(r.val_accuracy for r in _records(study) if r.state == "done" and r.val_accuracy is not None)
    return len(done) >= MIN_DONE and done[0] < done[-math.ceil(len(done) * QUANTILE)]


@contextmanager
def _loaded(storage: str, study: str) -> Iterator[Study]:
    """Load a study, and close its storage afterwards. Raises SweepError, also for damage found while it is used."""
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
