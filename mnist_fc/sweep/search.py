"""Search for good hyperparameters with Optuna. `sweep` runs trials and yields their records.

A study lives in a storage, by default an SQLite file. Any number of processes and machines that reach the storage may search
it at the same time. The base and the space are stored with it. Values read from a storage are checked, since others can write
there too.
"""

import math
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import TPESampler
from optuna.storages import BaseStorage, RDBStorage, fail_stale_trials
from optuna.study import Study
from optuna.trial import Trial, TrialState

from mnist_fc.data.mnist import Mnist
from mnist_fc.records import EndRecord, EpochRecord, Record, StateRecord
from mnist_fc.sweep.space import LOG_SCALE, Interval, ParkedTrial, SweepConfig, TrialRecord, Values, config_of, to_optuna_value
from mnist_fc.sweep.storage import HEARTBEAT_SECONDS, ignore_heartbeat_warning, open_storage
from mnist_fc.sweep.study import MESSAGE, SECONDS, join_study, trial_record
from mnist_fc.training.engine import train
from mnist_fc.training.train_state import TrainState

STOPPED = "stopped"
TIME_IS_UP = "stopped: the time was up"


def _continue(_training: TrainState) -> bool:
    return True


def _never() -> bool:
    return False


def sweep(
    config: SweepConfig,
    data: Mnist,
    on_step: Callable[[TrainState], bool] = _continue,
    *,
    parked: ParkedTrial | None = None,
    should_yield: Callable[[], bool] = _never,
) -> Generator[TrialRecord, None, ParkedTrial | None]:
    """Create or join the study and run trials of it; yield a record when a trial begins, after each epoch, and when it ends.

    The objective is the validation accuracy after the last epoch, and the sampler is the tree-structured Parzen estimator
    (Bergstra et al. 2011; Optuna's TPESampler). A trial's settings depend on the seed, its number and the trials before it,
    so the same seed gives the same trials in a new study that no other process searches. A trial that diverges counts as
    pruned in Optuna, so that the sampler avoids it. A trial that is stopped says nothing about its settings and is left out.

    `on_step` is called before every step, as in `engine.train`; the sweep ends when it returns False. The sweep gives up its
    process instead when `should_yield()` is true, which is asked before every step and after every trial. It then returns the
    trial in progress, or None between two trials; call `sweep` again with it as `parked` to resume to the same results.
    `config.minutes` limits this call alone. However the generator ends, also when it is closed, no trial but a parked one is
    left running. The trial of a killed process is marked failed by the next sweep of the study, except in a journal file,
    where Optuna keeps no heartbeat.

    Raises SweepError, also if the study was created with another base or space; DataError and StateError as `engine.train`.
    """
    with open_storage(config.storage, to_write=True) as storage:
        study = join_study(config, storage)
        deadline = math.inf if config.minutes is None else time.monotonic() + 60 * config.minutes
        search = _Search(config, data, on_step, should_yield, deadline, storage, study)
        for _ in range(config.num_runs):
            if parked is None and (search.time_is_up() or should_yield()):
                return None
            parked, continues = yield from search.run_trial(parked)
            if parked or not continues:
                return parked
        return None


def discard(config: SweepConfig, parked: ParkedTrial, message: str) -> None:
    """Mark a parked trial failed, which will not be resumed. Raises SweepError."""
    with open_storage(config.storage, to_write=True) as storage, suppress(UpdateFinishedTrialError):
        study = join_study(config, storage)
        storage.set_trial_user_attr(_trial_id(storage, study, parked.number), MESSAGE, message)
        study.tell(parked.number, state=TrialState.FAIL)


@dataclass
class _Search:
    """The data that the trials of one call of `sweep` share."""

    config: SweepConfig
    data: Mnist
    on_step: Callable[[TrainState], bool]
    should_yield: Callable[[], bool]
    deadline: float
    """On the monotonic clock, in seconds."""
    storage: BaseStorage
    study: Study

    def time_is_up(self) -> bool:
        return time.monotonic() >= self.deadline

    def run_trial(self, parked: ParkedTrial | None) -> Generator[TrialRecord, None, tuple[ParkedTrial | None, bool]]:
        """Run a new or a parked trial and report to the study how it ended.

        Return the trial if it was parked, and whether the sweep continues.
        """
        trial_id = _trial_id(self.storage, self.study, parked.number) if parked else self._ask()
        if parked and self.storage.get_trial(trial_id).state.is_finished():  # another sweep has given it up
            yield self._record(trial_id)
            return None, True
        running = _RunningTrial(self, trial_id)
        is_lost = False
        try:
            yield from running.train(parked)
        except UpdateFinishedTrialError:
            is_lost = True
        finally:
            if not running.parked:
                running.tell()
        if running.parked:
            return running.parked, False
        yield self._record(trial_id)
        return None, is_lost or running.state != TrialState.FAIL

    def _ask(self) -> int:
        """Begin a trial and return its id in the storage."""
        with ignore_heartbeat_warning():
            fail_stale_trials(self.study)
            return _trial_id(self.storage, self.study, self.study.ask().number)

    def _record(self, trial_id: int) -> TrialRecord:
        return trial_record(self.config.base, self.config.space, self.storage.get_trial(trial_id))


class _RunningTrial:
    """A trial while it trains, and how it ends: as stopped, until something else is known."""

    def __init__(self, search: _Search, trial_id: int) -> None:
        self._search = search
        self._trial_id = trial_id
        self._trial = Trial(search.study, trial_id)
        self._beaten_at = -math.inf
        self.state = TrialState.FAIL
        self.value: float | None = None
        self.message = STOPPED
        self.is_yielding = False
        self.parked: ParkedTrial | None = None

    def train(self, parked: ParkedTrial | None) -> Generator[TrialRecord, None, None]:
        """Train the trial and yield its records; set `parked` if it yields."""
        search = self._search
        self._beat()
        if not parked:
            _suggest(self._trial, search.config)
        record = search._record(self._trial_id)
        if not parked:
            yield record
        config = config_of(search.config.base, record)
        # A generator that is closed here rather than by the garbage collector when its trial is pruned or parked.
        training = cast(
            "Generator[Record, None, None]", train(config, search.data, self._on_step, parked.state if parked else None)
        )
        for result in training:
            match result:
                case EpochRecord(epoch=epoch, val_accuracy=float(accuracy)):
                    record = replace(record, epoch=epoch, val_accuracy=accuracy, seconds=record.seconds + result.seconds)
                    self._trial.report(accuracy, round(100 * epoch / record.num_epochs))
                    self._trial.set_user_attr(SECONDS, record.seconds)
                    yield record
                    if epoch < record.num_epochs and self._trial.should_prune():
                        self.state, self.message = TrialState.PRUNED, ""
                        training.close()
                case StateRecord() if self.is_yielding:
                    self.parked = ParkedTrial(record.number, result.state)
                    training.close()
                case EndRecord(outcome="done"):
                    self.state, self.value, self.message = TrialState.COMPLETE, record.val_accuracy, ""
                case EndRecord(outcome="failed"):
                    self.state, self.message = TrialState.PRUNED, result.message

    def tell(self) -> None:
        """Report to the study how it ended, unless another sweep has done so."""
        with suppress(UpdateFinishedTrialError):
            if self.message:
                self._trial.set_user_attr(MESSAGE, self.message)
        self._search.study.tell(self._trial, self.value, self.state, skip_if_finished=True)

    def _on_step(self, training: TrainState) -> bool:
        if self._search.time_is_up():
            self.message = TIME_IS_UP
            return False
        self._beat()
        if not self._search.on_step(training):
            return False
        self.is_yielding = self._search.should_yield()
        return not self.is_yielding

    def _beat(self) -> None:
        """Tell other sweeps of the study that the trial is alive."""
        storage = self._search.storage
        if isinstance(storage, RDBStorage) and time.monotonic() - self._beaten_at > HEARTBEAT_SECONDS:
            storage.record_heartbeat(self._trial_id)
            self._beaten_at = time.monotonic()


def _trial_id(storage: BaseStorage, study: Study, number: int) -> int:
    """Return the storage's id of a trial of the study."""
    return storage.get_trial_id_from_study_id_trial_number(storage.get_study_id_from_name(study.study_name), number)


def _suggest(trial: Trial, config: SweepConfig) -> None:
    """Draw the settings of a trial."""
    # Every trial has a sampler of its own: with a shared one, processes with the same seed would try the same settings.
    seed = np.random.SeedSequence([config.seed, trial.number]).generate_state(1)[0]
    trial.study.sampler = TPESampler(seed=int(seed))
    for name, varied in config.space.items():
        match varied:
            case Values(options):
                trial.suggest_categorical(name, [to_optuna_value(value) for value in options])
            case Interval(int(low), int(high)):
                trial.suggest_int(name, low, high, log=name in LOG_SCALE)
            case Interval(low, high):
                trial.suggest_float(name, low, high, log=name in LOG_SCALE)
