"""Search for settings: what to vary and for how long, all trials of a study as they come, and what was best."""

import html
import time
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

import streamlit as st

from mnist_fc.config import LIMITS, Choice, ConfigError, Layers, TrainConfig, nearest_preset
from mnist_fc.sweep import (
    MAX_NAME,
    MIN_DONE,
    MINUTES,
    NUM_RUNS,
    VARIABLE,
    Interval,
    Space,
    SweepConfig,
    SweepError,
    TrialRecord,
    Values,
    base_and_space,
    best,
    config_of,
    importance_plot,
    parallel_coordinates,
    parse_space,
    storage_address,
    studies,
    trials,
)
from mnist_fc.trainer import Sweep, TrainerBusy
from mnist_fc.views import controls, progress, session

if TYPE_CHECKING:
    from plotly.graph_objects import Figure  # type: ignore[import-untyped]

ABOUT = """
The page tries settings by itself: each trial trains a network, and how others did says what is tried next. The aim is the
**validation accuracy** after the last epoch; the test set is never looked at. A trial that is clearly behind is ended early
(**pruned**). Trials leave no run behind: take the best settings over and press **Train** to keep one. No run can go on meanwhile.
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
"""The ladder of each field that is searched between two values, and the two that are proposed. A log scale has no 0."""

FIRST_FIELDS = ["hidden_sizes", "learning_rate"]
FIRST_SIZES = "128, 256, 500, 256-128"

MAX_ROWS = 50
MAX_LINES = 100
MAX_MESSAGE = 200

READ_SECONDS, MAX_WAIT_SECONDS = 2.0, 60.0
MAX_KEPT = 32

LOW, HIGH = (138, 147, 166), (224, 123, 26)
"""The colours, in RGB, of the worst and the best trial that are drawn; legible in both themes."""
PIXELS_AN_AXIS = 104
"""So much an axis of the plot needs for its numbers."""
MAX_BESIDE = 4
"""With more fields the plot takes the whole width."""

LABEL_HEIGHT = 0.055
"""As a share of the plot: labels of an axis that are closer would lie on each other."""
PLAIN = {"displayModeBar": False}

T = TypeVar("T")


def panel() -> None:
    """What to search, or the sweep that goes on here; and the trials of a study, whoever runs them."""
    st.caption(ABOUT)
    sweeping, ticking = _is_sweeping(), _is_ticking()
    if not sweeping:
        st.fragment(_form)()
    pace = session.TICK_SECONDS_ALL_CORES_TRAIN if ticking else None
    st.fragment(_panel, run_every=pace)(sweeping=sweeping, ticking=ticking)


def _is_sweeping() -> bool:
    sweep = session.trainer().sweep
    return sweep is not None and sweep.is_active


def _is_ticking() -> bool:
    """Whether trials are to come, of the sweep that goes on here or of others."""
    try:
        study = _chosen(_studies())
        return _is_sweeping() or (study is not None and any(trial.state == "running" for trial in _study(study).trials))
    except SweepError:
        return _is_sweeping()


# What to search


def _form() -> None:
    """What to vary and for how long. A change draws only this anew."""
    if _is_sweeping():
        st.rerun()  # one has begun: the page follows it
    st.markdown("#### Search for settings")
    what, budget = st.columns(2, gap="large")
    with what:
        st.multiselect(
            "What to vary",
            VARIABLE,
            FIRST_FIELDS,
            key="sweep_fields",
            format_func=controls.field_in_words,
            persist_state="session",
            help="All else is as the side panel says when the sweep starts; where it holds no images back to validate on, "
            f"{TrainConfig.num_validation:,} are.",
        )
        for name in _fields():
            _values(name)
    with budget:
        _budget()
        problem = st.session_state.get("sweep_problem")
        try:
            _config("sweep")
        except ConfigError as error:
            problem = f"{session.plain(str(error))}."
        st.button("Start the sweep", key="start_sweep", icon=":material/search:", on_click=_start)
        if problem:
            st.warning(problem)


def _fields() -> list[str]:
    return [name for name in VARIABLE if name in st.session_state.sweep_fields]


def _values(name: str) -> None:
    """Between which values a field is searched, or among which."""
    limit, key = LIMITS[name], f"sweep_{name}"
    title = controls.field_in_words(name).capitalize()
    if isinstance(limit, Layers):
        help_line = f"Hidden layers to try, separated by commas: 500-500 is two of 500 units each. {str(limit).capitalize()}."
        st.text_input(title, FIRST_SIZES, 200, key=key, help=help_line, persist_state="session")
    elif isinstance(limit, Choice):
        st.multiselect(title, limit.options, limit.options, controls.value_in_words, key=key, persist_state="session")
    else:
        ladder, proposed = RANGES[name]
        st.select_slider(f"{title}, from and to", ladder, proposed, controls.value_in_words, key=key, persist_state="session")


def _budget() -> None:
    runs, minutes = st.columns(2)
    runs.number_input(
        "Trials",
        int(NUM_RUNS.low),
        int(NUM_RUNS.high),
        20,
        key="sweep_runs",
        persist_state="session",
        help="How many settings to try. The first ten or so are drawn by chance.",
    )
    minutes.number_input(
        "Minutes at most",
        0,
        int(MINUTES.high),
        0,
        key="sweep_minutes",
        persist_state="session",
        help="The sweep ends then, if that is sooner. 0 is no limit.",
    )
    st.text_input(
        "Name of the study",
        "",
        MAX_NAME,
        key="sweep_name",
        placeholder="a new one",
        persist_state="session",
        help="Its name. Empty: a new study, numbered. The name of a study that is there goes on with it, if it varies the same.",
    )


def _space() -> Space:
    """What the form says. Raises ConfigError."""
    state = st.session_state
    space: dict[str, Values | Interval] = {}
    for name in _fields():
        said = state[f"sweep_{name}"]
        if isinstance(LIMITS[name], Layers):
            space |= parse_space([f"{name}={said}"])
        else:
            space[name] = Interval(*said) if name in RANGES else Values(tuple(said))
    return space


def _config(study: str) -> SweepConfig:
    """What the form and the side panel say, for `study` where no name is given. Raises ConfigError."""
    state = st.session_state
    base = controls.config()
    name, minutes = state.sweep_name.strip() or study, state.sweep_minutes or None
    return SweepConfig(base, _space(), name, _storage(), state.sweep_runs, minutes, base.seed)


def _start() -> None:
    state = st.session_state
    state.sweep_problem = None
    if _is_sweeping():
        return  # somebody else has just begun one; the page follows it
    try:
        config = _config(_new_name(studies(_storage())))
        session.trainer().start_sweep(config)
        state.sweep_wanted = config.study
        state.sweep_used = None
    except ConfigError:
        pass  # the form says what is wrong with it
    except SweepError as error:
        state.sweep_problem = f"{session.plain(_sentence(str(error)))}."
    except TrainerBusy as busy:
        state.sweep_problem = f"{busy}. Press Start again when it has ended."


def _new_name(taken: Sequence[str]) -> str:
    """The first of "sweep 1", "sweep 2" and so on that is free."""
    return next(name for number in range(1, len(taken) + 2) if (name := f"sweep {number}") not in taken)


# What comes of it


def _panel(*, sweeping: bool, ticking: bool) -> None:
    if (_is_sweeping(), _is_ticking()) != (sweeping, ticking) or controls.are_stale():
        st.rerun()  # a sweep has begun or ended, or its settings were taken
    sweep = session.trainer().sweep
    if sweep and sweeping:
        _going_on(sweep)
    elif sweep and sweep.problem:
        st.error(session.plain(_sentence(sweep.problem)), icon=":material/error:")
    try:
        names = _studies()
        if study := _chosen(names):
            _show(names, study, ticking)
    except SweepError as error:
        st.error(f"The sweeps cannot be shown: {session.plain(str(error))}.", icon=":material/error:")


def _going_on(sweep: Sweep) -> None:
    newest = {trial.number: trial for trial in sweep.records()}
    ended = [trial for trial in newest.values() if trial.state != "running"]
    st.markdown("#### A sweep goes on")
    bar, button = st.columns([4, 1], vertical_alignment="bottom")
    with bar:
        st.progress(len(ended) / sweep.config.num_runs, _so_far(sweep, list(newest.values()), len(ended)))
    button.button("Stop", key="stop_sweep", icon=":material/stop:", on_click=_stop, width="stretch")


def _so_far(sweep: Sweep, newest: list[TrialRecord], num_ended: int) -> str:
    name = f"**{session.plain(sweep.config.study)}**"
    if not newest:
        return f"{name}: getting ready."
    last = newest[-1]
    within = f", {sweep.config.minutes:g} minutes at most" if sweep.config.minutes else ""
    at = f"; trial {last.number} is at epoch {last.epoch} of {last.num_epochs}" if last.state == "running" else ""
    return f"{name}: {num_ended} of {sweep.config.num_runs} trials{within}{at}"


def _stop() -> None:
    if (sweep := session.trainer().sweep) and sweep.is_active:
        session.trainer().stop(sweep)
        sweep.wait_until_ended(progress.COMMAND_SECONDS)


def _show(names: list[str], study: str, ticking: bool) -> None:
    st.markdown("#### Trials")
    st.selectbox(
        "Study", names, key="sweep_study", help="The newest is the first in the list. All who share its storage add to it."
    )
    of_study = _study(study)
    with st.container(key="sweep_trials"):
        st.html(_table(of_study))
    _use(study, of_study)
    is_wide = len(of_study.space) > MAX_BESIDE
    lines, shares = (st.container(), st.container()) if is_wide else st.columns([2, 1], gap="large")
    with lines:
        _lines(study, of_study, ticking)
    with shares:
        _shares(study, of_study, ticking)


def _use(study: str, of_study: "Study") -> None:
    """The button that takes the settings of a trial over, the best unless another is named."""
    number_field, button = st.columns([1, 3], vertical_alignment="bottom")
    number = number_field.number_input(
        "Trial",
        0,
        None,
        None,
        1,
        key="sweep_trial",
        placeholder="the best",
        help="Whose settings the side panel takes over; the best if empty. The seed and the threads stay as they are.",
    )
    by_number = {trial.number: trial for trial in of_study.trials}
    trial = best(of_study.trials) if number is None else by_number.get(number)
    name = f"trial {trial.number}" if trial else "the best trial" if number is None else f"trial {number}"
    button.button(
        f"Use the settings of {name}" + (", the best" if trial and number is None else ""),
        key="use_trial",
        icon=":material/check:",
        disabled=trial is None or trial.settings.keys() != of_study.space.keys(),
        on_click=_take,
        args=(study, of_study.base, trial),
    )
    if st.session_state.get("sweep_used") == (study, trial and trial.number):
        st.success("The side panel says them now: press **Train** for a run that is kept.", icon=":material/check:")


def _take(study: str, base: TrainConfig, trial: TrialRecord) -> None:
    state = st.session_state
    controls.set_all(config_of(base, trial).replace(threads=state.threads, seed=state.seed))
    state.sweep_used = study, trial.number


# The trials


def _table(study: "Study") -> str:
    """The trials as a table, those that go on first and then the best."""
    rows = sorted(study.trials, key=_rank)
    first = best(rows)
    head = "".join(f"<th>{html.escape(controls.field_in_words(name))}</th>" for name in study.space)
    body = "".join(_row(trial, study.space, is_best=trial is first) for trial in rows[:MAX_ROWS])
    more = f"and {len(rows) - MAX_ROWS:,} more, less accurate or older" if len(rows) > MAX_ROWS else ""
    return (
        "<div class='sweep-table' tabindex='0' role='region' aria-label='trials'><table><thead><tr><th>trial</th>"
        f"<th>validation accuracy</th>{head}<th>epoch</th><th>seconds</th><th>state</th></tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
        f"<p class='sweep-note'>{more}{'; ' * bool(more)}{_tally(rows)}. {html.escape(study.rest)}</p>"
    )


def _rank(trial: TrialRecord) -> tuple[int, float, int]:
    """Where in the table a trial stands: those that go on first, the newest before; then the best, the oldest of equals."""
    match trial.state:
        case "running":
            return 0, 0.0, -trial.number
        case "done":
            return 1, -(trial.val_accuracy or 0.0), trial.number
        case "pruned":
            return 2, -(trial.val_accuracy or 0.0), trial.number
        case "failed":
            return 3, 0.0, -trial.number


def _row(trial: TrialRecord, space: Space, *, is_best: bool) -> str:
    settings = "".join(f"<td>{_setting(trial.settings.get(name))}</td>" for name in space)
    accuracy = "" if trial.val_accuracy is None else f"{trial.val_accuracy:.2%}"
    mark = " <b title='the best'>★</b>" if is_best else ""
    return (
        f"<tr class='{trial.state}{' best' * is_best}'><th>{trial.number}{mark}</th><td>{accuracy}</td>{settings}"
        f"<td>{trial.epoch} / {trial.num_epochs}</td><td>{trial.seconds:.1f}</td><td>{html.escape(_state(trial))}</td></tr>"
    )


def _setting(value: Any) -> str:
    """Short, with the whole number to be had by pointing at it."""
    if value is None:
        return "…"
    exact = html.escape(controls.value_in_words(value))
    return f"<span title='{exact}'>{value:.3g}</span>" if isinstance(value, float) else exact


def _state(trial: TrialRecord) -> str:
    message = trial.message[:MAX_MESSAGE]
    return message if _outcome(trial) == "stopped" else f"failed: {message}" if message else trial.state


def _outcome(trial: TrialRecord) -> str:
    return "stopped" if trial.message.startswith("stopped") else trial.state


def _tally(rows: list[TrialRecord]) -> str:
    counts = Counter(map(_outcome, rows))
    return ", ".join(f"{count:,} {outcome}" for outcome, count in counts.items()) or "no trial yet"


# The plots


def _lines(study: str, of_study: "Study", ticking: bool) -> None:
    st.markdown("#### What led where")
    done = _done(of_study)
    figure = _plot("lines", study, done, lambda: _dress_lines(parallel_coordinates(_storage(), study), done), ticking)
    if figure is None:
        st.caption(f"A line for each trial that is done, through its settings, after two of them; {_so_many(len(done))}.")
        return
    st.caption(
        f"A line for each trial that is done{f', the best {MAX_LINES}' if len(done) > MAX_LINES else ''}, from its validation "
        "accuracy through its settings: the more accurate, the more orange. Point at an end for its value."
    )
    num_axes = len(of_study.space) + 1
    # Narrower than its axes need it scrolls sideways.
    st.html(f"<style>.st-key-sweep_lines > * {{ min-width: {PIXELS_AN_AXIS * num_axes}px }}</style>")
    with st.container(key="sweep_lines"):
        st.plotly_chart(
            figure, key="sweep_lines_plot", config=PLAIN, height=340, alt="Validation accuracy and settings of the trials done"
        )


def _shares(study: str, of_study: "Study", ticking: bool) -> None:
    st.markdown("#### What mattered")
    done = _done(of_study)
    figure = _plot("shares", study, done, lambda: _dress_shares(importance_plot(_storage(), study)), ticking)
    if figure is None:
        why = _so_many(len(done)) if len(done) < MIN_DONE else "those that are done are too much alike"
        st.caption(f"Which setting mattered most, after {MIN_DONE} trials that are done; {why}.")
        return
    st.caption("How much each setting mattered for being among the best quarter, in shares of 100 % (PED-ANOVA).")
    with st.container(key="sweep_shares"):
        st.plotly_chart(
            figure,
            key="sweep_shares_plot",
            config=PLAIN,
            height=64 + 30 * len(of_study.space),
            alt="How much each setting mattered",
        )


def _so_many(count: int) -> str:
    return "there is 1" if count == 1 else f"there are {count or 'none'}"


def _done(study: "Study") -> tuple[float, ...]:
    return tuple(trial.val_accuracy for trial in study.trials if trial.state == "done" and trial.val_accuracy is not None)


def _plot(name: str, study: str, done: tuple[float, ...], draw: Callable[[], "Figure | None"], ticking: bool) -> "Figure | None":
    return _at_leisure((name, _storage(), study), done, draw, may_wait=ticking)


def _dress_lines(figure: "Figure | None", done: tuple[float, ...]) -> "Figure | None":
    """Optuna's figure in the page's colours and words, the best lines on top."""
    if figure is None:
        return None
    lines = sorted((trace for trace in figure.data if trace.mode == "lines"), key=lambda trace: trace.y[0])[-MAX_LINES:]
    for rank, trace in enumerate(lines):
        share = (rank + 1) / len(lines)
        color = ", ".join(f"{low + share * (high - low):.0f}" for low, high in zip(LOW, HIGH, strict=True))
        trace.line.update(color=f"rgb({color})", width=1.2 + 1.2 * share)
        trace.opacity = 0.5 + 0.5 * share
        trace.customdata = [[_words(label), value] for label, value in trace.customdata]
    figure.data = ()
    figure.add_traces(lines)
    low, high = min(done), max(done)
    labels, last = [], (-1, -1.0)
    for label in sorted(figure.layout.annotations, key=lambda label: (label.x, label.y)):
        if label.x == last[0] and label.y - last[1] < LABEL_HEIGHT:
            continue
        last = label.x, label.y
        word = controls.WORDS.get(label.text, label.text).replace(" ", "<br>")
        text = f"{low + label.y * (high - low):.2%}" if label.x == 0 else word
        labels.append(label.update(text=text, font={"size": 11, "color": None}))
    figure.layout.annotations = labels
    figure.layout.xaxis.update(
        ticktext=[_words(label).replace(" ", "<br>") for label in figure.layout.xaxis.ticktext],
        range=(-0.55, len(figure.layout.xaxis.ticktext) - 0.85),
        fixedrange=True,
        tickangle=0,
    )
    figure.update_layout(
        title=None, plot_bgcolor="rgba(0, 0, 0, 0)", showlegend=False, dragmode=False, margin={"l": 0, "r": 8, "t": 8, "b": 44}
    )
    return figure


def _dress_shares(figure: "Figure | None") -> "Figure | None":
    """Optuna's figure in the page's colours and words."""
    if figure is None:
        return None
    for trace in figure.data:
        trace.update(
            y=[_words(name) for name in trace.y],
            text=[f"{share:.0%}" for share in trace.x],
            hovertemplate="%{y}: %{x:.1%}<extra></extra>",
            marker={"color": f"rgb{HIGH}"},
        )
    figure.update_layout(title=None, showlegend=False, dragmode=False, bargap=0.45, margin={"l": 4, "r": 36, "t": 4, "b": 28})
    figure.update_xaxes(title=None, tickformat=".0%", rangemode="tozero", fixedrange=True, nticks=4)
    figure.update_yaxes(title=None, fixedrange=True, automargin=True)
    return figure


def _words(name: str) -> str:
    return controls.field_in_words(name)


# What is read from the storage


@dataclass(frozen=True)
class Study:
    """A study as it is now."""

    base: TrainConfig
    space: Space
    trials: list[TrialRecord]

    @property
    def rest(self) -> str:
        """What is not varied, in words."""
        preset, differing = nearest_preset(self.base)
        fields = [name for name in differing if name not in {*self.space, "threads"}]
        but = ", ".join(controls.in_words(name, differing[name]) for name in fields)
        return f"All else is as in the preset {preset}{f' but {but}' if but else ''}."


def _storage() -> str:
    return storage_address(session.trainer().store.path)


def _studies() -> list[str]:
    """The names of all studies, the newest first. Raises SweepError."""
    storage, sweep = _storage(), session.trainer().sweep
    names = _at_leisure(("studies", storage, sweep and sweep.id), None, lambda: studies(storage)[::-1])
    own = sweep.config.study if sweep and sweep.records() else None
    return [own, *names] if own and own not in names else names


def _chosen(names: list[str]) -> str | None:
    """The study that this session looks at: the newest, unless it has chosen or begun another."""
    state = st.session_state
    if state.get("sweep_wanted") in names:
        state.sweep_study = state.pop("sweep_wanted")
    if state.get("sweep_study") not in names:
        state.pop("sweep_study", None)
    return cast("str | None", state.get("sweep_study", names[0] if names else None))


def _study(name: str) -> Study:
    """As the storage has it, with the newest records of the sweep of this server. Raises SweepError."""
    storage, sweep = _storage(), session.trainer().sweep

    def read() -> Study:
        return Study(*base_and_space(storage, name), trials(storage, name))

    study = _at_leisure(("study", storage, name, sweep and (sweep.id, sweep.is_active)), None, read)
    if sweep is None or (sweep.config.study, sweep.config.storage) != (name, storage):
        return study
    newest = {trial.number: trial for trial in study.trials}
    for trial in {trial.number: trial for trial in sweep.records()}.values():
        if sweep.is_active or trial.state != "running":
            newest[trial.number] = trial
        elif newest.get(trial.number, trial).state == "running":  # its process died, which the storage does not know
            newest[trial.number] = replace(trial, state="failed", message=sweep.problem)
    return replace(study, trials=list(newest.values()))


@dataclass(frozen=True)
class Kept:
    """What was computed for all sessions."""

    about: Hashable
    result: Any
    wait_until: float
    """By the monotonic clock."""


@st.cache_resource(show_spinner=False)
def _all_kept() -> dict[Hashable, Kept]:
    return {}


def _at_leisure(key: Hashable, about: Hashable, compute: Callable[[], T], *, may_wait: bool = True) -> T:
    """What `compute` gives for `about`, or what it gave last, for anything, if that took so long that it may wait.

    So what is read of a study that grows takes at most a small part of a core's time, however large the study is and however
    many sessions look at it. About None, it is computed again whenever it has waited. Raises SweepError as `compute` does.
    """
    kept = _all_kept()
    last, started = kept.get(key), time.monotonic()
    is_same = last is not None and about is not None and last.about == about
    if last is None or not (is_same or (may_wait and started < last.wait_until)):
        try:
            result: T | SweepError = compute()
        except SweepError as error:
            result = error
        now = time.monotonic()
        wait = min(max(READ_SECONDS, session.LEISURE * (now - started)), MAX_WAIT_SECONDS)
        kept.pop(key, None)
        kept[key] = last = Kept(about, result, now + wait)
        for old in list(kept)[:-MAX_KEPT]:
            kept.pop(old, None)
    if isinstance(last.result, SweepError):
        raise SweepError(str(last.result))
    return cast("T", last.result)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
