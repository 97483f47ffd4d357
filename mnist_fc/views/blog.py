"""The blog's two programs: both presets trained one after the other, and the blog's own table filled with the results."""

import html
from collections.abc import Sequence

import streamlit as st

from mnist_fc.analysis.results import test_result, training_time
from mnist_fc.config import PRESETS, TrainConfig
from mnist_fc.percentages import in_percent
from mnist_fc.server.job import ACTIVE_STATES
from mnist_fc.server.scheduler import JobRejected
from mnist_fc.views import controls, notices
from mnist_fc.views.runs_table import ListedRun
from mnist_fc.views.state import session, shared

BLOG = {"blog-keras": ("Keras", "97.7%"), "blog-pytorch": ("PyTorch", "not published")}
"""The blog's two programs: what they are written in, and the test accuracy that the blog reports."""

COLUMNS = ("program", "network", "the blog's accuracy", "here", "time of ten epochs", "an epoch")


def panel(runs: Sequence[ListedRun]) -> None:
    """Draw the button that trains both, and the table."""
    st.markdown("#### The blog's two programs")
    st.caption(
        "This page grew out of a blog post with two programs. Here both are trained on this machine, one after the other. Each "
        "trains on all 60,000 images with Adam at 0.001, batches of 100 and ten epochs. The accuracy is that of the test set "
        "after the last epoch. It varies by a few tenths of a percent from seed to seed. The time is that of the training alone."
    )
    active = session.num_followed_active() > 0
    st.button("Train both", key="train_blog", icon=":material/play_arrow:", disabled=active, on_click=_train)
    with st.container():
        if problem := st.session_state.pop("blog_problem", ""):
            st.warning(problem)
        if removed := notices.removed_by(*(PRESETS[name] for name in BLOG)):
            st.caption(removed)
    rows = "".join(_row(name, runs) for name in BLOG)
    head = "".join(f"<th>{text}</th>" for text in COLUMNS)
    with st.container(key="blog_table"):
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        st.html(f"<div class='runs' role='region' aria-label='The two programs of the blog' tabindex='0'>{table}</div>")


def _row(name: str, runs: Sequence[ListedRun]) -> str:
    program, published = BLOG[name]
    network = "-".join(map(str, PRESETS[name].layer_sizes))
    own = [run for run in runs if run.settings.preset == name and not run.is_deleted]
    active = [run for run in own if run.word in ACTIVE_STATES]
    done = [run for run in own if run.end and run.end.outcome == "done"]
    cells = [program, network, published, "not trained yet", "", ""]
    if active:
        cells[3] = active[0].state
    elif done:
        (run, *_), result = done, test_result(done[0].epochs, done[0].end)
        seconds = training_time(run.settings.config.batch_size, run.steps, run.end).seconds
        cells[3] = in_percent(result.accuracy, 2) if result else run.state
        cells[4:] = [f"{seconds:.1f} s", f"{seconds / max(1, len(run.epochs)):.2f} s"]
    return f"<tr data-program='{name}'>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"


def _train() -> None:
    """Train both, unless this page's last two have not ended: a double click."""
    if session.num_followed_active():
        return
    chosen = controls.config()
    try:
        runs = shared.scheduler().start_in_turn(
            *(_as_chosen(PRESETS[name], chosen) for name in BLOG), session_id=session.session_id()
        )
    except JobRejected as busy:
        st.session_state.blog_problem = f"{busy}. Press Train both again when they have ended."
    else:
        for run in runs:
            run.detached = session.is_detached()
        session.follow(runs)


def _as_chosen(preset: TrainConfig, chosen: TrainConfig) -> TrainConfig:
    """Return a preset with the seed and the threads of the side panel."""
    return preset.replace(seed=chosen.seed, threads=chosen.threads)
