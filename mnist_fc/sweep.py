"""Search for good hyperparameters with Optuna. `sweep` yields records of its trials; the rest reads a study, from any process.

A study lives in a storage, an SQLite file unless said, and as many processes and machines may search it at once as reach
the storage. The base and the space are kept with it. What is read from a storage is checked: others can write there too.
"""

import dataclasses
import json
import math
import os
import re
import sqlite3
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage, fail_stale_trials
from optuna.storages.journal import JournalFileBackend
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError

from mnist_fc.config import LIMITS, Choice, ConfigError, Layers, Range, TrainConfig, to_number
from mnist_fc.data.mnist import Mnist
from mnist_fc.records import EndRecord, EpochRecord, Record
from mnist_fc.training.engine import train
from mnist_fc.training.train_state import Training

if TYPE_CHECKING:
    from plotly.graph_objects import Figure  # type: ignore[import-untyped]

# Optuna has a handler of its own, which tells of every trial. Its warnings go where this program's would.
optuna.logging.set_verbosity(optuna.logging.WARNING)
optuna.logging.disable_default_handler()
optuna.logging.enable_propagation()

VARIABLE = tuple(name for name in LIMITS if name not in ("num_validation", "threads", "seed"))
"""The fields that a sweep may vary: those that change how well a network learns, but for chance."""

LOG_SCALE = frozenset({"learning_rate", "weight_decay", "adam_epsilon", "batch_size"})
"""The fields whose intervals are searched on a log scale."""

NUM_RUNS = Range(int, 1, 10_000)
MINUTES = Range(float, 0.001, 7 * 24 * 60)
MAX_NAME = 100

STORAGE_NAME = "sweeps.db"
MAX_STORAGE_BYTES = 256 * 2**20
"""Ten thousand trials of a hundred epochs come to less."""

PRUNER = MedianPruner(n_startup_trials=5, n_warmup_steps=50)
"""Its steps are per cent of a run, so that runs of different lengths compare.

A run is given up that has, half-way or later, never been as good as the median of the others was there. Not sooner: with the
"one_cycle" schedule the best runs begin as the slower ones do. Replayed 400 times in random order on 24 learning curves of 10
epochs each, asking from 30 % on lost the best run in one of nine sweeps, and from half-way on in none; a quarter of the epochs
was saved.
"""

HEARTBEAT_SECONDS = 20
GRACE_SECONDS = 180
"""A trial that gave no sign of life for so long is marked failed when a sweep of the study asks for its next."""

LOCK_SECONDS = 60
"""How long a process waits for others that write to the same SQLite file."""

MIN_DONE = 10
"""With fewer trials done, what matters cannot be told from chance."""

QUANTILE = 0.25
EVALUATOR = PedAnovaImportanceEvaluator(target_quantile=QUANTILE)

# What a study and its trials carry besides what Optuna gives them.
DESCRIPTION, SECONDS, MESSAGE = "mnist_fc", "seconds", "message"

LOST = f"It gave no sign of life for {GRACE_SECONDS} seconds: its process was killed, paused or cut off."

# What Optuna raises for what it has not written.
DAMAGED = (ValueError, LookupError, TypeError, AttributeError, AssertionError, ArithmeticError, RuntimeError)

State = Literal["running", "done", "pruned", "failed"]

STATES: dict[TrialState, State] = {
    TrialState.WAITING: "running",
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "done",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


SWEEPS_VARIABLE = "MNIST_FC_SWEEPS"


class SweepError(ValueError):
    """A storage that cannot be opened or used, or a study that is none of ours; the message names it without its password."""


@dataclass(frozen=True)
class Values:
    """Values to choose from, in no order; for any field."""

    options: tuple[Any, ...]


@dataclass(frozen=True)
class Interval:
    """All numbers from `low` to `high`, both included; those of LOG_SCALE are searched on a log scale."""

    low: float
    high: float


Space = Mapping[str, Values | Interval]
"""What is varied, by field."""


@dataclass(frozen=True)
class SweepConfig:
    """All that a sweep depends on besides the data. Raises ConfigError for what is out of range or cannot be varied.

    `base` holds what is not varied. Where it has no validation images it gets TrainConfig's own number of them, for a sweep
    never looks at the test set. The study and storage may be others' too: see `sweep`.
    """

    base: TrainConfig
    space: Space
    study: str
    storage: str
    """Where the study lives, as an SQLAlchemy address; without a "://" it is the path of an Optuna journal file."""
    num_runs: int = 20
    """How many trials this sweep begins, however they end; those that others add to the study do not count."""
    minutes: float | None = None
    """By the clock on the wall, but while others have their turn; the trial that is running then is stopped."""
    seed: int = 0
    """For what is tried, not for the networks: they have the base's."""

    def __post_init__(self) -> None:
        if not self.base.num_validation:
            object.__setattr__(self, "base", self.base.replace(num_validation=TrainConfig.num_validation))
        object.__setattr__(self, "space", _checked(self.space))
        object.__setattr__(self, "num_runs", NUM_RUNS.check("num_runs", self.num_runs))
        if self.minutes is not None:
            object.__setattr__(self, "minutes", MINUTES.check("minutes", self.minutes))
        object.__setattr__(self, "seed", LIMITS["seed"].check("seed", self.seed))
        for name, text in (("study", self.study), ("storage", self.storage)):
            if not _is_line(text):
                raise ConfigError(f"{name} is {text!r}; it must be a line of text")
        if len(self.study) > MAX_NAME:
            raise ConfigError(f"study is {len(self.study)} characters long; it must have at most {MAX_NAME}")


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """A trial as it is now."""

    number: int
    """From 0, over all who search the study."""
    state: State
    """A trial that diverged has failed, and so has one that was stopped; `message` says which."""
    settings: dict[str, Any]
    """The varied fields alone; while a trial begins perhaps not yet all of them."""
    epoch: int
    """How many epochs are behind it."""
    num_epochs: int
    val_accuracy: float | None
    """After the newest epoch: what the network is like that such a run leaves behind."""
    seconds: float
    """Spent in training steps up to the end of the newest epoch."""
    message: str = ""


def parse_space(texts: Sequence[str]) -> Space:
    """Read `learning-rate=1e-4..1e-2`, `batch-size=64,128` or `hidden-sizes=256,500-500`; raises ConfigError."""
    space: dict[str, Values | Interval] = {}
    for text in texts:
        written, equals, values = text.partition("=")
        name = written.strip().replace("-", "_")
        name = "num_epochs" if name == "epochs" else name  # as the command line has it
        if not equals:
            raise ConfigError(f"{text!r} says no values; it must be like learning-rate=1e-4..1e-2 or batch-size=64,128")
        if name in space:
            raise ConfigError(f"{name} is given twice")
        low, dots, high = values.partition("..")
        if dots:
            space[name] = Interval(_read(name, low), _read(name, high))
        else:
            space[name] = Values(tuple(_read(name, value) for value in values.split(",")))
    return _checked(space)


def default_storage(store: Path) -> str:
    """The address of the SQLite file in a store of runs; neither need exist yet."""
    return URL.create("sqlite", database=str(store.absolute() / STORAGE_NAME)).render_as_string(hide_password=False)


def storage_address(store: Path) -> str:
    """Where the sweeps of a store of runs are: as the environment's MNIST_FC_SWEEPS says, else a file in the store."""
    return os.environ.get(SWEEPS_VARIABLE) or default_storage(store)


def _continue(_training: Training) -> bool:
    return True


def sweep(
    config: SweepConfig,
    data: Mnist,
    before_step: Callable[[Training], bool] = _continue,
    clock: Callable[[], float] = time.monotonic,
) -> Generator[TrialRecord, None, None]:
    """Begin or join the study and run trials of it; a record when a trial begins, after each of its epochs, and when it ends.

    The objective is the validation accuracy after the last epoch, and the sampler is the tree-structured Parzen estimator
    (Bergstra et al. 2011; Optuna's TPESampler). A trial's settings depend on the seed, its number and the trials before it,
    so the same seed gives the same trials in a new study that nobody else searches. A trial that diverges is a pruned one to
    Optuna: the sampler then keeps away from it. One that is stopped says nothing about its settings and is left out.

    `before_step` is called as `engine.train` does; when it returns False, the sweep ends. Its minutes are those of `clock`, in
    seconds. However it ends, also by closing the generator, its trial is not left running; one whose process is killed is
    marked failed by the next sweep of the study, but in a journal file, where Optuna knows no sign of life. Raises SweepError,
    also when the study was begun with another base or space, and DataError as `engine.train` does.
    """
    with _opened(config.storage, to_write=True) as storage:
        study = _joined(config, storage)
        deadline = math.inf if config.minutes is None else clock() + 60 * config.minutes

        def time_is_up() -> bool:
            return clock() >= deadline

        for _ in range(config.num_runs):
            if time_is_up() or not (yield from _run(config, data, before_step, time_is_up, storage, study)):
                return


def studies(storage: str) -> list[str]:
    """The names of the sweeps' studies in a storage, the oldest first; none where there is no file yet. Raises SweepError."""
    if _file_is_missing(storage):
        return []
    with _opened(storage) as opened:
        try:
            named = [study.study_name for study in opened.get_all_studies() if DESCRIPTION in study.user_attrs]
            return [name for name in named if _is_line(name) and len(name) <= MAX_NAME]
        except DAMAGED as error:
            raise SweepError(f"the storage {_without_password(storage)} is damaged: {_reason(error)}") from error


def base_and_space(storage: str, study: str) -> tuple[TrainConfig, Space]:
    """What a study varies, and what it does not. Raises SweepError, also when there is no such study."""
    with _loaded(storage, study) as loaded:
        return _described(loaded)


def trials(storage: str, study: str) -> list[TrialRecord]:
    """The trials of a study as they are now, by number, whoever runs them. Raises SweepError."""
    with _loaded(storage, study) as loaded:
        return _records(loaded)


def best(records: Sequence[TrialRecord]) -> TrialRecord | None:
    """The done trial with the highest validation accuracy, the first of equals; None before one is done."""
    done = [record for record in records if record.state == "done" and record.val_accuracy is not None]
    return max(done, key=lambda record: record.val_accuracy or 0.0, default=None)


def config_of(base: TrainConfig, trial: TrialRecord) -> TrainConfig:
    """`base` with the settings of a trial. Raises ConfigError for what is out of range."""
    return base.replace(**trial.settings)


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
            if isinstance(LIMITS.get(name), Choice | Layers):
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
    limit = LIMITS[name]
    return limit.options.index(text) if isinstance(limit, Choice) else _read(name, text)


def _read(name: str, text: str) -> Any:
    """The value of a field as the command line has it, unchecked: sizes of layers, a number or a word."""
    if isinstance(LIMITS.get(name), Layers):
        return tuple(to_number(size.strip()) for size in text.split("-"))
    return to_number(text.strip())


def _shown(value: Any) -> Any:
    """A value as Optuna can store it: layers as `_read` reads them."""
    return "-".join(map(str, value)) if isinstance(value, tuple) else value


def _is_line(text: str) -> bool:
    return bool(text.strip()) and text.isprintable()


def _checked(space: Space) -> Space:
    """The space with its values as TrainConfig would have them, in the order of the fields. Raises ConfigError."""
    if unknown := [name for name in space if name not in VARIABLE]:
        raise ConfigError(f"{', '.join(map(str, unknown))} cannot be varied; what can is {', '.join(VARIABLE)}")
    if not space:
        raise ConfigError(f"the space is empty; it must name what to vary, of {', '.join(VARIABLE)}")
    return {name: _checked_field(name, space[name]) for name in VARIABLE if name in space}


def _checked_field(name: str, varied: Values | Interval) -> Values | Interval:
    limit = LIMITS[name]
    if isinstance(varied, Values):
        if not varied.options:
            raise ConfigError(f"{name} has no values to choose from; each must be {limit}")
        return Values(tuple(dict.fromkeys(limit.check(name, value) for value in varied.options)))
    if not isinstance(limit, Range):
        raise ConfigError(f"{name} has no numbers in between; name its values, separated by commas, each {limit}")
    low, high = limit.check(name, varied.low), limit.check(name, varied.high)
    if low >= high:
        raise ConfigError(f"{name} is to go from {low:g} to {high:g}; the first must be lower")
    if name in LOG_SCALE and not low:
        raise ConfigError(f"{name} is searched on a log scale, so {low:g}..{high:g} must begin above 0")
    return Interval(low, high)


def _joined(config: SweepConfig, storage: BaseStorage) -> Study:
    """The study, new or as others began it. Raises SweepError when that was with another base or space."""
    study = optuna.create_study(
        storage=storage, study_name=config.study, direction="maximize", load_if_exists=True, pruner=PRUNER
    )
    if DESCRIPTION not in study.user_attrs and not study.get_trials(deepcopy=False):
        study.set_user_attr(DESCRIPTION, _description(config.base, config.space))
    base, space = _described(study)
    if space != config.space:
        raise SweepError(f"the study {config.study} varies {_words(space)}; for another space name another study")
    for name in LIMITS.keys() - space.keys() - {"threads"}:
        old, new = getattr(base, name), getattr(config.base, name)
        if old != new:
            raise SweepError(f"the study {config.study} has {name} {_shown(old)}, not {_shown(new)}; for that name another study")
    return study


def _words(space: Space) -> str:
    """A space as `parse_space` reads it."""
    return " ".join(
        f"{name}={varied.low:g}..{varied.high:g}"
        if isinstance(varied, Interval)
        else f"{name}={','.join(str(_shown(value)) for value in varied.options)}"
        for name, varied in space.items()
    )


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
        return base, _checked(space)
    except ConfigError as error:
        raise SweepError(f"the study {study.study_name} is damaged: {error}") from None
    except (LookupError, TypeError, AttributeError):
        raise SweepError(f"the study {study.study_name} is damaged: it does not say what it varies") from None


def _suggest(trial: Trial, config: SweepConfig) -> None:
    """Draw the settings of a trial."""
    # A sampler of its own for every trial: were it one for all, processes with the same seed would try the same.
    seed = np.random.SeedSequence([config.seed, trial.number]).generate_state(1)[0]
    trial.study.sampler = TPESampler(seed=int(seed))
    for name, varied in config.space.items():
        match varied:
            case Values(options):
                trial.suggest_categorical(name, [_shown(value) for value in options])
            case Interval(int(low), int(high)):
                trial.suggest_int(name, low, high, log=name in LOG_SCALE)
            case Interval(low, high):
                trial.suggest_float(name, low, high, log=name in LOG_SCALE)


def _run(
    config: SweepConfig,
    data: Mnist,
    before_step: Callable[[Training], bool],
    time_is_up: Callable[[], bool],
    storage: BaseStorage,
    study: Study,
) -> Generator[TrialRecord, None, bool]:
    """Run one trial and tell the study how it ended, however that is; return whether the sweep goes on."""
    study_id = storage.get_study_id_from_name(config.study)
    with _heartbeat_unwarned():
        fail_stale_trials(study)
        trial = study.ask()
    trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
    state, value, message = TrialState.FAIL, None, "stopped"
    beaten_at = -math.inf

    def beat() -> None:
        nonlocal beaten_at
        if isinstance(storage, RDBStorage) and time.monotonic() - beaten_at > HEARTBEAT_SECONDS:
            storage.record_heartbeat(trial_id)
            beaten_at = time.monotonic()

    def goes_on(training: Training) -> bool:
        nonlocal message
        if time_is_up():
            message = "stopped: the time was up"
            return False
        beat()
        return before_step(training)

    is_lost = False
    try:
        beat()
        _suggest(trial, config)
        record = _record(config.base, config.space, storage.get_trial(trial_id))
        yield record
        # It is a generator, which must not wait for the garbage collector when its trial is pruned.
        training = cast("Generator[Record, None, None]", train(config_of(config.base, record), data, goes_on))
        for result in training:
            match result:
                case EpochRecord(epoch=epoch, val_accuracy=float(accuracy)):
                    record = replace(record, epoch=epoch, val_accuracy=accuracy, seconds=record.seconds + result.seconds)
                    trial.report(accuracy, round(100 * epoch / record.num_epochs))
                    trial.set_user_attr(SECONDS, record.seconds)
                    yield record
                    if epoch < record.num_epochs and trial.should_prune():
                        state, message = TrialState.PRUNED, ""
                        training.close()
                case EndRecord(outcome="done"):
                    state, value, message = TrialState.COMPLETE, record.val_accuracy, ""
                case EndRecord(outcome="failed"):
                    state, message = TrialState.PRUNED, result.message
    except UpdateFinishedTrialError:
        is_lost = True
    finally:
        with suppress(UpdateFinishedTrialError):
            if message:
                trial.set_user_attr(MESSAGE, message)
        told = study.tell(trial, value, state, skip_if_finished=True)
    yield _record(config.base, config.space, told)
    return is_lost or state != TrialState.FAIL


def _records(study: Study) -> list[TrialRecord]:
    base, space = _described(study)
    return [_record(base, space, trial) for trial in study.get_trials(deepcopy=False)]


def _record(base: TrainConfig, space: Space, trial: FrozenTrial) -> TrialRecord:
    """A trial as Optuna has it. Raises ConfigError for what no sweep can have written."""
    if unknown := sorted(trial.params.keys() - space.keys()):
        raise ConfigError(f"trial {trial.number} varies {', '.join(unknown)}; the study varies {', '.join(space)}")
    try:
        settings = {
            name: _read(name, str(value)) if name == "hidden_sizes" else value
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
    missing = SweepError(f"there is no study {study} in {_without_password(storage)}")
    if _file_is_missing(storage):
        raise missing
    with _opened(storage) as opened:
        try:
            loaded = optuna.load_study(study_name=study, storage=opened)
        except KeyError:
            raise missing from None
        try:
            yield loaded
        except SweepError:
            raise
        except DAMAGED as error:
            raise SweepError(f"the study {study} is damaged: {_reason(error)}") from error


@contextmanager
def _opened(address: str, to_write: bool = False) -> Iterator[BaseStorage]:
    """The storage at an address, which is closed again. Raises SweepError when it cannot be opened, and when it fails later."""
    name = _without_password(address)
    try:
        storage = _open(address, to_write)
    except ImportError as error:
        driver = getattr(error.__cause__, "name", None) or error
        raise SweepError(f"the storage {name} needs a package that is not installed: {driver}") from None
    except (SQLAlchemyError, StorageInternalError, sqlite3.Error, OSError, *DAMAGED) as error:
        raise SweepError(f"the storage {name} cannot be opened: {_reason(error)}") from None
    try:
        yield storage
    except (SQLAlchemyError, StorageInternalError) as error:
        raise SweepError(f"the storage {name} failed: {_reason(error)}") from error
    finally:
        if isinstance(storage, RDBStorage):
            storage.scoped_session.remove()
            storage.engine.dispose()


def _open(address: str, to_write: bool) -> BaseStorage:
    """As Optuna's own command line guesses it, but without Redis."""
    file = _file(address)
    if file and to_write:
        file.parent.mkdir(parents=True, exist_ok=True)
    if file and (file.exists() or file.is_symlink()):
        _refuse_other_file(file, is_journal="://" not in address)
    if "://" not in address:
        return JournalStorage(JournalFileBackend(address))
    if address.startswith("redis"):
        raise ValueError("Optuna unpickles what it finds there, which could run code")
    engine = {"connect_args": {"timeout": LOCK_SECONDS}} if file else {"pool_pre_ping": True}
    while True:
        try:
            if not to_write:
                return RDBStorage(address, engine)
            with _heartbeat_unwarned():
                return RDBStorage(address, engine, heartbeat_interval=HEARTBEAT_SECONDS, grace_period=GRACE_SECONDS)
        except (DBAPIError, StorageInternalError) as error:
            # Another process made the same table or row just before, and there are not many of them.
            if not isinstance(error, IntegrityError) and "already exists" not in str(error):
                raise


def _refuse_other_file(file: Path, *, is_journal: bool) -> None:
    """Raises OSError for a file that no sweep made: a link leads elsewhere, and a pipe or a computed table may have no end."""
    if file.is_symlink() or not file.is_file():
        raise OSError("it is a link or no plain file")
    if file.stat().st_size > MAX_STORAGE_BYTES:
        raise OSError(f"it is larger than {MAX_STORAGE_BYTES // 2**20} MB")
    if is_journal or not file.stat().st_size:
        return
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=LOCK_SECONDS)) as connection:
        for kind, sql in connection.execute("SELECT type, sql FROM sqlite_master"):
            if kind not in ("table", "index") or re.search(r"\b(AS|VIRTUAL)\b", str(sql), re.IGNORECASE):
                raise OSError("it has more than tables of figures")


@contextmanager
def _heartbeat_unwarned() -> Iterator[None]:
    """The heartbeat is experimental, and only Study.optimize sends it by itself; `_run` sends it too."""
    with warnings.catch_warnings():
        for message in ("Argument ``heartbeat_interval`` is an experimental", ".*fail_stale_trials is experimental"):
            warnings.filterwarnings("ignore", message, ExperimentalWarning)
        warnings.filterwarnings("ignore", "Heartbeat of storage is supposed to be used with Study.optimize", UserWarning)
        yield


def _file(address: str) -> Path | None:
    """The file that an address names, if it names one."""
    if "://" not in address:
        return Path(address)
    with suppress(ArgumentError, ValueError):
        url = make_url(address)
        return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None
    return None


def _file_is_missing(address: str) -> bool:
    file = _file(address)
    return file is not None and not file.exists()


def _without_password(address: str) -> str:
    """Without all that is before the host and after the name of the database."""
    scheme, separator, rest = address.partition("://")
    _, at, place = rest.rpartition("@")
    return f"{scheme}://{'***@' * bool(at)}{place.partition('?')[0]}" if separator else address


def _reason(error: BaseException) -> str:
    """The first line of what went wrong, in the words of the driver rather than of the libraries above it."""
    if isinstance(error, StorageInternalError) and error.__cause__:
        error = error.__cause__
    if isinstance(error, DBAPIError) and error.orig:
        error = error.orig
    return (str(error) or type(error).__name__).splitlines()[0]
