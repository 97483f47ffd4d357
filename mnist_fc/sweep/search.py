"""Search for good hyperparameters with Optuna. `sweep` yields records of its trials; the rest reads a study, from any process.

A study lives in a storage, an SQLite file unless said, and as many processes and machines may search it at once as reach
the storage. The base and the space are kept with it. What is read from a storage is checked: others can write there too.
"""

import math
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import replace
from typing import cast

import numpy as np
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import TPESampler
from optuna.storages import BaseStorage, RDBStorage, fail_stale_trials
from optuna.study import Study
from optuna.trial import Trial, TrialState

from mnist_fc.data.mnist import Mnist
from mnist_fc.records import EndRecord, EpochRecord, Record
from mnist_fc.sweep.space import LOG_SCALE, Interval, SweepConfig, TrialRecord, Values, config_of, to_optuna_value
from mnist_fc.sweep.storage import HEARTBEAT_SECONDS, ignore_heartbeat_warning, open_storage
from mnist_fc.sweep.study import MESSAGE, SECONDS, join_study, trial_record
from mnist_fc.training.engine import train
from mnist_fc.training.train_state import TrainState


def _continue(_training: TrainState) -> bool:
    return True


def sweep(
    config: SweepConfig,
    data: Mnist,
    on_step: Callable[[TrainState], bool] = _continue,
    clock: Callable[[], float] = time.monotonic,
) -> Generator[TrialRecord, None, None]:
    """Begin or join the study and run trials of it; a record when a trial begins, after each of its epochs, and when it ends.

    The objective is the validation accuracy after the last epoch, and the sampler is the tree-structured Parzen estimator
    (Bergstra et al. 2011; Optuna's TPESampler). A trial's settings depend on the seed, its number and the trials before it,
    so the same seed gives the same trials in a new study that nobody else searches. A trial that diverges is a pruned one to
    Optuna: the sampler then keeps away from it. One that is stopped says nothing about its settings and is left out.

    `on_step` is called as `engine.train` does; when it returns False, the sweep ends. Its minutes are those of `clock`, in
    seconds. However it ends, also by closing the generator, its trial is not left running; one whose process is killed is
    marked failed by the next sweep of the study, but in a journal file, where Optuna knows no sign of life. Raises SweepError,
    also when the study was begun with another base or space, and DataError as `engine.train` does.
    """
    with open_storage(config.storage, to_write=True) as storage:
        study = join_study(config, storage)
        deadline = math.inf if config.minutes is None else clock() + 60 * config.minutes

        def time_is_up() -> bool:
            return clock() >= deadline

        for _ in range(config.num_runs):
            if time_is_up() or not (yield from _run(config, data, on_step, time_is_up, storage, study)):
                return


def _suggest(trial: Trial, config: SweepConfig) -> None:
    """Draw the settings of a trial."""
    # A sampler of its own for every trial: were it one for all, processes with the same seed would try the same.
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


def _run(
    config: SweepConfig,
    data: Mnist,
    on_step: Callable[[TrainState], bool],
    time_is_up: Callable[[], bool],
    storage: BaseStorage,
    study: Study,
) -> Generator[TrialRecord, None, bool]:
    """Run one trial and tell the study how it ended, however that is; return whether the sweep goes on."""
    study_id = storage.get_study_id_from_name(config.study)
    with ignore_heartbeat_warning():
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

    def goes_on(training: TrainState) -> bool:
        nonlocal message
        if time_is_up():
            message = "stopped: the time was up"
            return False
        beat()
        return on_step(training)

    is_lost = False
    try:
        beat()
        _suggest(trial, config)
        record = trial_record(config.base, config.space, storage.get_trial(trial_id))
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
    yield trial_record(config.base, config.space, told)
    return is_lost or state != TrialState.FAIL
