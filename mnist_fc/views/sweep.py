"""Sweep: the form for its settings, the trials of a study as they run, and the best settings."""

from collections.abc import Sequence
from typing import TypeVar

import streamlit as st

from mnist_fc.config import FIELDS, Choice, ConfigError, LayerSizes, TrainConfig
from mnist_fc.server.scheduler import JobRejected
from mnist_fc.server.task import Sweep
from mnist_fc.sweep.errors import SweepError
from mnist_fc.sweep.space import (
    MAX_NAME,
    MINUTES,
    NUM_RUNS,
    VARIABLE,
    Interval,
    Space,
    SweepConfig,
    TrialRecord,
    Values,
    parse_space,
)
from mnist_fc.sweep.study import studies as study_names
from mnist_fc.views import commands, controls, studies, trials
from mnist_fc.views.settings import WORDS, field_in_words, value_in_words
from mnist_fc.views.state import formatting, pace, session, shared

T = TypeVar("T")

ABOUT = """
The page tries settings by itself. Each trial trains a network, and settings near the good ones are tried more often. The aim is
the **validation accuracy** after the last epoch; the test set is never used. A trial that is clearly behind ends early
(**pruned**). Trials leave no runs: copy the best settings and press **Train** to keep one. Runs of others get their turn, and
a trial then resumes. Your own runs do not interrupt it.
"""

RANGES: dict[str, tuple[Sequence[float], tuple[float, float]]] = {
    "dropout": (controls.DROPOUTS, (0.0, 0.5)),
    "learning_rate": (controls.LEARNING_RATES, (1e-4, 3e-2)),
    "momentum": ([0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999], (0.5, 0.99)),
    "adam_epsilon": ([1e-12, 1e-10, 1e-8, 1e-7, 1e-6, 1e-4, 1e-2], (1e-8, 1e-4)),
    "weight_decay": ([value for value in controls.WEIGHT_DECAYS if value], (1e-6, 1e-2)),
    "batch_size": (controls.BATCH_SIZES, (32, 512)),
    "num_epochs": (controls.EPOCHS, (2, 10)),
    "label_smoothing": (controls.SMOOTHINGS, (0.0, 0.2)),
}
"""The ladder of each field that is searched between two values, and the default range. A log scale has no 0."""

FIRST_FIELDS = ["hidden_sizes", "learning_rate"]
FIRST_SIZES = "128, 256, 500, 256-128"

REST_SECONDS = 5.0
"""Seconds between two looks for a study started on another machine, while no trial is running."""


def panel() -> None:
    """Draw the form or the active sweep, and the trials of a study, also those of other processes."""
    st.caption(ABOUT)
    with st.container():
        if sweep := _sweeping():
            _active(sweep)
        else:
            _form()
            if (sweep := session.own_sweep()) and sweep.problem:
                st.error(formatting.sentence(sweep.problem.removesuffix(".")), icon=":material/error:")
    try:
        names = studies.names()
        if study := studies.chosen(names):
            trials.show(names, study, _is_ticking())
    except SweepError as error:
        st.error(f"The sweeps cannot be shown: {formatting.escape_markdown(str(error))}.", icon=":material/error:")


def tick_seconds() -> float:
    """Return the seconds between redraws of this tab."""
    return pace.scale_by_sessions(pace.TICK_SECONDS_ALL_CORES_TRAIN if _is_ticking() else REST_SECONDS)


def _sweeping() -> Sweep | None:
    """Return the sweep that is running or queued here."""
    sweep = shared.scheduler().sweep
    return sweep if sweep and sweep.is_active else None


def _is_ticking() -> bool:
    """Return whether more trials are to come, from this server's sweep or from others."""
    if _sweeping():
        return True
    try:
        study = studies.chosen(studies.names())
        return study is not None and any(trial.state == "running" for trial in studies.read(study).trials)
    except SweepError:
        return False


# The form


def _form() -> None:
    """Draw the form: what to vary, and for how long."""
    st.markdown("#### Search for settings")
    what, budget = st.columns(2, gap="large")
    with what:
        st.multiselect(
            "What to vary",
            VARIABLE,
            _last("sweep_fields", FIRST_FIELDS),
            key="sweep_fields",
            format_func=field_in_words,
            persist_state="session",
            help="The other settings are those of the side panel when the sweep starts. "
            f"If it has no validation images, {_num_set_aside():,} are set aside.",
        )
        for name in _fields():
            _values(name)
    with budget:
        _budget()
        problem = st.session_state.get("sweep_problem")
        try:
            _config("sweep")
        except ConfigError as error:
            problem = f"{formatting.escape_markdown(str(error))}."
        base = controls.config()
        epochs = f"{base.num_epochs} epoch{'s' * (base.num_epochs != 1)} a trial"
        st.caption(f"Other settings from the side panel: {epochs}, augmentation {WORDS[base.augmentation]}.")
        st.button("Start sweep", key="start_sweep", icon=":material/search:", on_click=_start)
        if problem:
            st.warning(problem)


def _num_set_aside() -> int:
    """Return the number of validation images of a sweep whose settings have none."""
    return TrainConfig().fitted_to(shared.num_train_images()).num_validation


def _last(key: str, first: T) -> T:
    """Return the value of a control, or `first` before it has one, to be passed as its default.

    The browser forgets a control as soon as its tab is left. Without this default it would start with another value than the
    server still has, if the person returns at once.
    """
    last: T = st.session_state.get(key, first)
    return last


def _fields() -> list[str]:
    return [name for name in VARIABLE if name in st.session_state.sweep_fields]


def _values(name: str) -> None:
    """Draw the control for the values of a field: a range, or a choice."""
    limit, key = FIELDS[name], f"sweep_{name}"
    title = field_in_words(name).capitalize()
    if isinstance(limit, LayerSizes):
        help_line = f"Hidden layers to try, separated by commas: 500-500 is two of 500 neurons each. {str(limit).capitalize()}."
        st.text_input(title, _last(key, FIRST_SIZES), 200, key=key, help=help_line, persist_state="session")
    elif isinstance(limit, Choice):
        last = _last(key, limit.options)
        st.multiselect(title, limit.options, last, value_in_words, key=key, persist_state="session")
    else:
        ladder, proposed = RANGES[name]
        between = _last(key, proposed)
        st.select_slider(f"{title}, from and to", ladder, between, value_in_words, key=key, persist_state="session")


def _budget() -> None:
    runs, minutes = st.columns(2)
    runs.number_input(
        "Trials",
        int(NUM_RUNS.low),
        int(NUM_RUNS.high),
        _last("sweep_runs", 20),
        key="sweep_runs",
        persist_state="session",
        help="How many settings to try. The first ten or so are random.",
    )
    minutes.number_input(
        "Time limit in minutes",
        1,
        int(MINUTES.high),
        _last("sweep_minutes", None),
        key="sweep_minutes",
        placeholder="no limit",
        persist_state="session",
        help="The sweep ends after this time, or after its last trial. Leave empty for no limit.",
    )
    st.text_input(
        "Name of the study",
        _last("sweep_name", ""),
        MAX_NAME,
        key="sweep_name",
        placeholder="new study",
        persist_state="session",
        help="Leave empty for a new, numbered study. The name of an existing study continues it, if it varies the same settings.",
    )


def _space() -> Space:
    """Return the search space in the form. Raises ConfigError."""
    state = st.session_state
    space: dict[str, Values | Interval] = {}
    for name in _fields():
        value = state[f"sweep_{name}"]
        if isinstance(FIELDS[name], LayerSizes):
            space |= parse_space([f"{name}={value}"])
        else:
            space[name] = Interval(*value) if name in RANGES else Values(tuple(value))
    return space


def _config(study: str) -> SweepConfig:
    """Return the sweep that the form and the side panel describe, named `study` if it has no name. Raises ConfigError."""
    state = st.session_state
    base = controls.config()
    name, minutes = state.sweep_name.strip() or study, state.sweep_minutes
    config = SweepConfig(base, _space(), name, studies.storage(), state.sweep_runs, minutes, base.seed)
    return config.fitted_to(shared.num_train_images())


def _start() -> None:
    state = st.session_state
    state.sweep_problem = None
    if _sweeping():
        return  # another session has just started one, which the page shows
    try:
        config = _config(_new_name(study_names(studies.storage())))
        sweep = shared.scheduler().start_sweep(config, session.session_id())
        sweep.detached = session.is_detached()
        session.set_address("sweep", sweep.id)
        state.sweep_wanted = config.study
        state.sweep_used = None
    except ConfigError:
        pass  # the form shows what is wrong
    except SweepError as error:
        session.log_rejected(f"a sweep: {error}")
        state.sweep_problem = formatting.sentence(str(error))
    except JobRejected as busy:
        state.sweep_problem = f"{busy}. Press Start sweep again later."


def _new_name(taken: Sequence[str]) -> str:
    """Return the first of "sweep 1", "sweep 2" and so on that is not taken."""
    return next(name for number in range(1, len(taken) + 2) if (name := f"sweep {number}") not in taken)


# The active sweep


def _active(sweep: Sweep) -> None:
    """Draw the active sweep: its progress, and Stop for those who may."""
    newest = {trial.number: trial for trial in sweep.records()}
    ended = [trial for trial in newest.values() if trial.state != "running"]
    is_own = session.own_sweep() is sweep
    whose = "Your" if is_own else "Another person's"
    st.markdown(f"#### {whose} sweep is {'waiting' if sweep.is_waiting else 'running'}")
    if not is_own:
        st.caption("One sweep runs at a time. Yours can start when this one has ended.")
    bar, button = st.columns([4, 1], vertical_alignment="bottom")
    with bar:
        st.progress(len(ended) / sweep.config.num_runs, _so_far(sweep, list(newest.values()), len(ended)))
    if session.can_stop(sweep):
        button.button("Stop", key="stop_sweep", icon=":material/stop:", on_click=_stop, width="stretch")


def _so_far(sweep: Sweep, newest: list[TrialRecord], num_ended: int) -> str:
    name = f"**{formatting.escape_markdown(sweep.config.study)}**"
    if place := session.queue_position(sweep):
        return f"{name}: {place}."
    if not newest:
        return f"{name}: starting."
    last = newest[-1]
    within = f", at most {sweep.config.minutes:g} minutes" if sweep.config.minutes else ""
    at = f"; trial {last.number}: epoch {last.epoch} of {last.num_epochs}" if last.state == "running" else ""
    return f"{name}: {num_ended} of {sweep.config.num_runs} trials{within}{at}"


def _stop() -> None:
    if (sweep := _sweeping()) and session.can_stop(sweep):
        shared.scheduler().stop(sweep)
        sweep.wait_until_ended(commands.COMMAND_SECONDS)
