"""The head of the page: what it is for, and three steps that tick off by themselves."""

import streamlit as st

from mnist_fc.server.run import RunSnapshot
from mnist_fc.views import drawing, guide, tabs
from mnist_fc.views.state import session

TITLE = "Teach a network to read your handwriting"


def panel() -> None:
    """Draw the title, the steps, and the help."""
    with st.container(key="story", horizontal=True, vertical_alignment="center", gap="small"):
        st.html(f"<h1>{TITLE}</h1>", width="content")
        steps = "".join(_step(name, is_done=is_done) for name, is_done in _steps().items())
        st.html(f"<h2 class='visually-hidden'>Three steps</h2><ol>{steps}</ol>")
        guide.panel()


def _steps() -> dict[str, bool]:
    """Return the steps, and whether each has been done in this session; none is undone."""
    snapshot = session.watched_snapshot()
    now = {
        "Draw a digit": drawing.canvas().has_drawn,
        "Train your own network": snapshot is not None and snapshot.weights is not None and _has_learned(snapshot),
        "Ask why": tabs.has_asked(),
    }
    before: dict[str, bool] = st.session_state.get("steps_done", {})
    steps = {name: is_done or before.get(name, False) for name, is_done in now.items()}
    st.session_state.steps_done = steps
    return steps


def _has_learned(snapshot: RunSnapshot) -> bool:
    return not snapshot.is_active and snapshot.state != "failed"


def _step(name: str, *, is_done: bool) -> str:
    state, said = ("done", ", done") if is_done else ("open", "")
    return f"<li class='{state}'><span data-name='{name}'>{name}</span><span class='visually-hidden'>{said}</span></li>"
