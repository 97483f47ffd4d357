"""The trials of a study: a table, two plots, and a button that copies the settings of one to the side panel."""

import html
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import streamlit as st

from mnist_fc.config import TrainConfig
from mnist_fc.percentages import in_percent
from mnist_fc.records import reports_overflow
from mnist_fc.sweep.figures import importance_bars, parallel_coordinates
from mnist_fc.sweep.space import Space, TrialRecord, best_trial, config_of
from mnist_fc.sweep.study import MIN_DONE, importances
from mnist_fc.views import controls, studies
from mnist_fc.views.settings import WORDS, field_in_words, value_in_words
from mnist_fc.views.studies import Study

if TYPE_CHECKING:
    from plotly.graph_objects import Figure  # type: ignore[import-untyped]

MAX_ROWS = 50
MAX_LINES = 100
MAX_MESSAGE = 200

LOW, HIGH = (138, 147, 166), (224, 123, 26)
"""The RGB colours of the worst and the best trial in the plot; legible in both themes."""
PIXELS_AN_AXIS = 104
"""The width that each axis of the plot needs for its numbers."""
MAX_BESIDE = 4
"""The most fields for which the two plots stand beside each other."""

LABEL_HEIGHT = 0.055
"""As a share of the plot's height; labels of an axis that are closer would overlap."""
PLAIN = {"displayModeBar": False}


def show(names: list[str], study: str, ticking: bool) -> None:
    """Draw all trials of `study`, one of `names`, the button that copies settings, and the plots."""
    st.markdown("#### Trials")
    st.selectbox(
        "Study",
        names,
        key="sweep_study",
        help="The newest comes first. Everyone who shares the storage can add trials to a study.",
    )
    of_study = studies.read(study)
    with st.container(key="sweep_trials"):
        st.html(_table(of_study))
    _use(study, of_study)
    is_wide = len(of_study.space) > MAX_BESIDE
    lines, shares = (st.container(), st.container()) if is_wide else st.columns([2, 1], gap="large")
    with lines:
        _lines(study, of_study, ticking)
    with shares:
        _shares(study, of_study, ticking)


def _use(study: str, of_study: Study) -> None:
    """Draw the button that copies the settings of a trial, the best unless another is named."""
    number_field, button = st.columns([1, 3], vertical_alignment="bottom")
    number = number_field.number_input(
        "Trial",
        0,
        None,
        None,
        1,
        key="sweep_trial",
        placeholder="best",
        help="The trial whose settings are copied; the best if empty. Seed and threads stay as they are.",
    )
    by_number = {trial.number: trial for trial in of_study.trials}
    trial = best_trial(of_study.trials) if number is None else by_number.get(number)
    name = f"trial {trial.number}" if trial else "the best trial" if number is None else f"trial {number}"
    button.button(
        f"Use settings of {name}" + (", the best" if trial and number is None else ""),
        key="use_trial",
        icon=":material/check:",
        disabled=trial is None or trial.settings.keys() != of_study.space.keys(),
        on_click=_use_settings,
        args=(study, of_study.base, trial),
    )
    with st.container():
        if st.session_state.get("sweep_used") == (study, trial and trial.number):
            st.success("Copied to the side panel. Press **Train** for a run that is kept.", icon=":material/check:")


def _use_settings(study: str, base: TrainConfig, trial: TrialRecord) -> None:
    current = controls.config()
    controls.set_all(config_of(base, trial).replace(threads=current.threads, seed=current.seed))
    st.session_state.sweep_used = study, trial.number


def _table(study: Study) -> str:
    """Return the trials as an HTML table, running ones first and then the best."""
    rows = sorted(study.trials, key=_rank)
    first = best_trial(rows)
    head = "".join(f"<th>{html.escape(field_in_words(name))}</th>" for name in study.space)
    body = "".join(_row(trial, study.space, is_best=trial is first, state=_state(trial, study)) for trial in rows[:MAX_ROWS])
    more = f"and {len(rows) - MAX_ROWS:,} more, less accurate or older" if len(rows) > MAX_ROWS else ""
    return (
        "<div class='sweep-table' tabindex='0' role='region' aria-label='trials'><table><thead><tr><th>trial</th>"
        f"<th>validation accuracy</th>{head}<th>epoch</th><th>seconds</th><th>state</th></tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
        f"<p class='sweep-note'>{more}{'; ' * bool(more)}{_tally(rows, study)}. {html.escape(study.rest)}</p>"
    )


def _rank(trial: TrialRecord) -> tuple[int, float, int]:
    """Return the key by which trials are sorted: running ones first, newest before older; then by accuracy, oldest first."""
    match trial.state:
        case "running":
            return 0, 0.0, -trial.number
        case "done":
            return 1, -(trial.val_accuracy or 0.0), trial.number
        case "pruned":
            return 2, -(trial.val_accuracy or 0.0), trial.number
        case "failed":
            return 3, 0.0, -trial.number


def _row(trial: TrialRecord, space: Space, *, is_best: bool, state: str) -> str:
    settings = "".join(f"<td>{_setting(trial.settings.get(name))}</td>" for name in space)
    accuracy = "" if trial.val_accuracy is None else in_percent(trial.val_accuracy, 2)
    mark = " <b title='the best'>★</b>" if is_best else ""
    return (
        f"<tr class='{trial.state}{' best' * is_best}'><th>{trial.number}{mark}</th><td>{accuracy}</td>{settings}"
        f"<td>{trial.epoch} / {trial.num_epochs}</td><td>{trial.seconds:.1f}</td><td>{html.escape(state)}</td></tr>"
    )


def _setting(value: Any) -> str:
    """Return a setting as short HTML, with the exact number as a tooltip."""
    if value is None:
        return "…"
    words = html.escape(value_in_words(value))
    return f"<span title='{value!r}'>{words}</span>" if isinstance(value, float) else words


def _state(trial: TrialRecord, study: Study) -> str:
    message, outcome = trial.message[:MAX_MESSAGE], _outcome(trial, study)
    if outcome == "stopped":
        return message
    return f"{'diverged' if outcome == 'diverged' else 'failed'}: {message}" if message else outcome


def _outcome(trial: TrialRecord, study: Study) -> str:
    if trial.number in study.waiting:
        return "waiting"
    if trial.message.startswith("stopped"):
        return "stopped"
    return "diverged" if reports_overflow(trial.message) else trial.state


def _tally(rows: list[TrialRecord], study: Study) -> str:
    counts = Counter(_outcome(trial, study) for trial in rows)
    return ", ".join(f"{count:,} {outcome}" for outcome, count in counts.items()) or "no trials yet"


# The plots


def _lines(study: str, of_study: Study, ticking: bool) -> None:
    st.markdown("#### Settings and results")
    done = _done(of_study)
    figure = _plot(
        "lines", study, done, lambda: _dress_lines(parallel_coordinates(of_study.space, of_study.trials), done), ticking
    )
    if figure is None:
        st.caption(f"This plot shows a line for each trial as soon as two are done; {_so_many(len(done))} so far.")
        return
    st.caption(
        f"One line for each trial that is done{f', the best {MAX_LINES}' if len(done) > MAX_LINES else ''}, from its validation "
        "accuracy through its settings. The more accurate, the more orange. Point at or tap an end for its value."
    )
    num_axes = len(of_study.space) + 1
    # Narrower than its axes need it scrolls sideways.
    st.html(f"<style>.st-key-sweep_lines > * {{ min-width: {PIXELS_AN_AXIS * num_axes}px }}</style>")
    with st.container(key="sweep_lines"):
        st.plotly_chart(
            figure,
            key="sweep_lines_plot",
            config=PLAIN,
            height=340,
            alt="Validation accuracy and settings of the completed trials",
        )


def _shares(study: str, of_study: Study, ticking: bool) -> None:
    st.markdown("#### What mattered")
    done = _done(of_study)
    figure = _plot("shares", study, done, lambda: _dress_shares(importance_bars(importances(studies.storage(), study))), ticking)
    if figure is None:
        why = _so_many(len(done)) if len(done) < MIN_DONE else "the completed ones are too similar"
        st.caption(f"This plot shows which settings mattered most as soon as {MIN_DONE} trials are done; {why}.")
        return
    st.caption("How much each setting decided which trials are in the best quarter, in percent of the total (PED-ANOVA).")
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


def _done(study: Study) -> tuple[float, ...]:
    return tuple(trial.val_accuracy for trial in study.trials if trial.state == "done" and trial.val_accuracy is not None)


def _plot(name: str, study: str, done: tuple[float, ...], draw: Callable[[], "Figure | None"], ticking: bool) -> "Figure | None":
    return studies.throttled((name, studies.storage(), study), done, draw, may_be_old=ticking)


def _dress_lines(figure: "Figure | None", done: tuple[float, ...]) -> "Figure | None":
    """Return the figure in the page's colours and words, the best lines on top."""
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
        word = WORDS.get(label.text, label.text).replace(" ", "<br>")
        text = in_percent(low + label.y * (high - low), 2) if label.x == 0 else word
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
    """Return the figure in the page's colours and words."""
    if figure is None:
        return None
    for trace in figure.data:
        trace.update(y=[_words(name) for name in trace.y], marker={"color": f"rgb{HIGH}"})
    figure.update_layout(title=None, showlegend=False, dragmode=False, bargap=0.45, margin={"l": 4, "r": 36, "t": 4, "b": 28})
    figure.update_xaxes(title=None, tickformat=".0%", rangemode="tozero", fixedrange=True, nticks=4)
    figure.update_yaxes(title=None, fixedrange=True, automargin=True)
    return figure


def _words(name: str) -> str:
    return field_in_words(name)
