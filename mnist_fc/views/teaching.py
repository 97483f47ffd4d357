"""Teach the network that reads the person's own digits, and show what that gained and what it cost."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import streamlit as st

from mnist_fc.config import TrainConfig
from mnist_fc.data.lesson import Lesson
from mnist_fc.network.mlp import MLP, with_weights
from mnist_fc.percentages import in_percent
from mnist_fc.reading.reader import Reader, Reading, number, percent
from mnist_fc.runs.layout import RunsError, read_metadata
from mnist_fc.server.run import Run, RunSnapshot
from mnist_fc.server.scheduler import JobRejected
from mnist_fc.training.lesson_scores import LessonScores, Score, in_words, lesson_scores
from mnist_fc.training.teaching import lesson_for, settings
from mnist_fc.views import controls
from mnist_fc.views.components.images import picture
from mnist_fc.views.state import formatting, networks, session, shared, sync, throttle
from mnist_fc.views.state.tray import tray

BEGIN_SECONDS = 0.4
"""The time that a click waits for the lesson to begin."""

MAX_PARENT = 120
"""Characters of the name of the network that was taught, which a person may have given it."""

SCRATCH_SIZES = (256,)
"""The hidden layer of a network that begins with random weights."""


def is_next() -> bool:
    """Return whether there are digits that the network that reads was not taught: then teaching them is the primary action."""
    return bool(tray().num_digits) and not _is_teaching() and not _knows_all()


def button(key: str, look: Literal["primary", "secondary"] = "secondary", then: Callable[[], object] = lambda: None) -> None:
    """Draw the button that teaches; `then` is called after a press."""

    def press() -> None:
        begin(rehearses=True, from_scratch=False)
        then()

    count = tray().num_digits
    is_known = bool(count) and _knows_all()
    mine = f"my {count} digits" if count > 1 else "my digit" if count else "my digits"
    st.button(
        f"Teach {mine} again" if is_known else f"Teach the network {mine}",
        key=key,
        type=look,
        disabled=not count or _is_teaching(),
        on_click=press,
        width="stretch",
    )


def _knows_all() -> bool:
    """Return whether the network that reads was taught all of My digits, with the labels that they have now."""
    network = networks.network()
    run = network.run
    if run is None or run.lesson is None or run.state != "done" or not network.is_newest:
        return False
    taught = {(image.tobytes(), label) for image, label in zip(run.lesson.images, run.lesson.labels.tolist(), strict=True)}
    taught |= {(image.tobytes(), None) for image in run.lesson.not_digits}
    return all((digit.image.tobytes(), digit.label) in taught for digit in tray().digits)


def begin(*, rehearses: bool, from_scratch: bool) -> None:
    """Queue a lesson for the network that reads, or for a new one, and show it. A double click begins one."""
    sync.receive()
    state = st.session_state
    if _is_teaching() or not tray().num_digits:
        return
    panel_config = controls.config()
    network = networks.network()
    model = network.reader.model
    if from_scratch:
        lesson = lesson_for(None, tray().digits, rehearses=False)
        config = settings(SCRATCH_SIZES)
    else:
        known = network.run.lesson if network.run else None
        lesson = lesson_for(model, tray().digits, rehearses=rehearses, parent=_name(network), known=known)
        config = settings(model.hidden_sizes, model.activation_name)
    try:
        start(config.replace(threads=panel_config.threads, seed=panel_config.seed), lesson)
    except JobRejected as busy:
        state.lesson_problem = f"{busy}. Press again when one of them has ended."


def start(config: TrainConfig, lesson: Lesson) -> None:
    """Queue a lesson and show it. Raises JobRejected."""
    st.session_state.lesson_problem = ""
    run = shared.scheduler().start(config, session.session_id(), lesson)
    before = session.watched_run()
    chosen = networks.chosen_step(networks.shown_run())
    befores = st.session_state.setdefault("before_lessons", {})
    befores[run.id] = networks.source(), before.id if before else None, chosen
    run.detached = session.is_detached()
    session.watch(run)
    session.choose_source("run")
    run.wait_until_state("running", "done", "failed", "waiting", timeout=BEGIN_SECONDS)


def _name(network: networks.Network) -> str:
    """Return the name of a network that stays right when another run is shown."""
    run = session.watched_run()
    return f"{session.run_name(run)}, step {network.step:,}" if network.run and run else network.name


def panel(readings: list[Reading], network: networks.Network) -> None:
    """Draw what can be taught, and what the lesson that is shown gained and cost."""
    state = st.session_state
    with st.container():
        if problem := state.get("lesson_problem"):
            st.warning(problem)
    button("teach")
    switches = st.container(horizontal=True, gap="small", key="other_lessons")
    has_digits, is_teaching = bool(tray().num_digits), _is_teaching()
    switches.button(
        "Without rehearsal",
        key="teach_without_rehearsal",
        disabled=not has_digits or is_teaching,
        on_click=begin,
        kwargs={"rehearses": False, "from_scratch": False},
    )
    switches.button(
        "Train only on my digits",
        key="teach_from_scratch",
        disabled=not has_digits or is_teaching,
        on_click=begin,
        kwargs={"rehearses": False, "from_scratch": True},
    )
    run = session.watched_run()
    snapshot = run.snapshot() if run else None
    if run is None or snapshot is None or snapshot.lesson is None:
        st.caption(
            f"**Teach** starts from {network.name} and takes some seconds. Each batch mixes your digits with MNIST's, so that "
            "the network does not forget those. **Without rehearsal** it sees yours alone: watch it forget. **Train only on my "
            "digits** begins a new network, which never sees MNIST. A lesson keeps its digits in the run's folder on the server."
        )
        return
    with st.container(key="lesson"):
        _lesson(run, snapshot, readings)


def _is_teaching() -> bool:
    run = session.watched_run()
    return run is not None and run.is_active and run.lesson is not None


def _lesson(run: Run, snapshot: RunSnapshot, readings: list[Reading]) -> None:
    """Draw the lesson that is shown: its progress, and once it is done, its scores and what one can do with them."""
    lesson = snapshot.lesson
    assert lesson
    how = (
        "Without rehearsal, on your digits alone"
        if lesson.start and not lesson.rehearses
        else ""
        if lesson.start
        else "Only your digits"
    )
    count = len(lesson.labels)
    to = f" to {formatting.escape_markdown(lesson.parent[:MAX_PARENT])}" if lesson.parent else ""
    st.markdown(f"#### {how + ': ' if how else ''}{count} {'digit' if count == 1 else 'digits'} taught{to}")
    if snapshot.state == "waiting":
        st.caption("The lesson waits for its turn; its place is above.")
        return
    if snapshot.is_active:
        is_taught = bool(snapshot.epochs) and snapshot.epochs[-1].epoch == snapshot.config.num_epochs
        st.caption(
            "Taught. Now the lesson is repeated with some of your digits left out, to see how it reads new ones."
            if is_taught
            else "Teaching. The curves above show how MNIST's test digits and yours are read."
        )
        return
    if snapshot.state == "failed" or not snapshot.weights or not snapshot.steps:
        st.caption("The lesson ended early; the line or notice above says why. The network before it is unchanged.")
        _take_back(run)
        return
    scores = scores_of(snapshot)
    _decide(run, lesson)
    st.html(_table(scores, snapshot, readings))
    st.markdown(f"**{in_words(scores)}**")
    taught = scores.taught
    if taught.after is not None and taught.after < taught.count:
        num_missed = taught.count - taught.after
        st.caption(f"It still misreads {num_missed} of those that it was taught. Draw more like them, or teach it again.")
    if lesson.start is None:
        st.caption(
            f"{count} {'digit' if count == 1 else 'digits'} of one hand say little about how others write. MNIST's training "
            "digits are by hundreds of people: a network needs many hands to read them."
        )


KEEP = "**Keep**: the page reads with it, and its run is never deleted to make room. "
RETURN = "**Return**: the page reads as before the lesson, which stays in the tab **Runs**."


def _decide(run: Run, lesson: Lesson) -> None:
    """Draw the buttons that keep the taught network or return to the one before."""
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        if _is_kept(run):
            st.caption("Kept. The page now reads with this network.")
            return
        if lesson.start is not None:
            st.button("Keep the taught network", key="lesson_keep", icon=":material/check:", on_click=_keep, args=(run,))
        _take_back(run)
    st.caption(f"{KEEP if lesson.start is not None else ''}{RETURN}")


def _is_kept(run: Run) -> bool:
    """Return whether the taught network was kept: then its run is pinned in the store."""
    try:
        return run.path is not None and read_metadata(run.path).is_pinned
    except RunsError:  # the table of runs shows what is wrong with it
        return False


def _take_back(run: Run) -> None:
    st.button("Return to the network before", key="lesson_undo", icon=":material/undo:", on_click=_undo, args=(run,))


def _keep(run: Run) -> None:
    """Let the taught network read from now on, and never remove its run to make room."""
    session.choose_source("run")
    try:
        shared.scheduler().store.pin(run.id, True)
    except RunsError as error:
        st.session_state.lesson_problem = f"{formatting.escape_markdown(str(error))}."


def _undo(run: Run) -> None:
    """Return to what read before the lesson; if that is gone, to the weights with which the lesson began."""
    sync.receive()
    state = st.session_state
    if not (watched := session.watched_run()) or watched.id != run.id:
        return
    source, run_id, step = state.get("before_lessons", {}).get(run.id, ("", None, None))
    before = shared.scheduler().run(run_id)
    if not source or (run_id and before is None):
        snapshot = watched.snapshot()
        problem = networks.choose_step(snapshot, 0) if 0 in snapshot.kept else "The network before this lesson is not on disk."
        state.lesson_problem = formatting.escape_markdown(problem)
        return
    session.watch(before)
    session.choose_source(source)
    if step is not None:
        state.lesson_problem = formatting.escape_markdown(networks.choose_step(networks.shown_run(), step))


def scores_of(snapshot: RunSnapshot) -> LessonScores:
    """Return the scores of a lesson that has ended; they are computed once."""
    lesson, data = snapshot.lesson, shared.mnist()
    assert lesson
    assert snapshot.weights
    after = networks.newest_reader(snapshot).model

    def compute() -> LessonScores:
        return lesson_scores(parent(snapshot), after, lesson, snapshot.held_out, data.test_images, data.test_labels)

    return throttle.results.get(("lesson", snapshot.id), (snapshot.weights.step, snapshot.held_out), compute).value


def parent(snapshot: RunSnapshot) -> MLP | None:
    """Return the network that a lesson began with; None for random weights."""
    lesson = snapshot.lesson
    return with_weights(lesson.start, snapshot.config) if lesson and lesson.start else None


def _table(scores: LessonScores, snapshot: RunSnapshot, readings: list[Reading]) -> str:
    """Return the four comparisons as an HTML table."""
    lesson = snapshot.lesson
    assert lesson
    rows = [
        _drawing_row(snapshot, readings),
        _row("Digits taught", "as you drew them", scores.taught),
        _row("Your next digits", _left_out(lesson), scores.held_out) if _says_more(lesson, snapshot) else "",
        _row("MNIST", f"{scores.mnist.count:,} test digits", scores.mnist),
        _row("Other people", f"{scores.others.count} digits drawn with a pen", scores.others),
    ]
    head = "<tr><th></th><th>before</th><th>after</th><th>change</th></tr>"
    return f"<table class='lesson'><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"


def _says_more(lesson: Lesson, snapshot: RunSnapshot) -> bool:
    """Return whether digits were left out of the lesson and read; one alone says nothing about the next."""
    return lesson.start is not None and snapshot.held_out is not None and len(lesson.labels) > 1


def _left_out(lesson: Lesson) -> str:
    """Return how well the next digits may be read, and how that was measured."""
    known = f"; {lesson.num_known} were taught before" if lesson.num_known else ""
    return f"an estimate: each of yours, read after a lesson without it{known}"


def _drawing_row(snapshot: RunSnapshot, readings: list[Reading]) -> str:
    images = [reading.image for reading in readings if reading.image is not None]
    if not images:
        return "<tr><th>This drawing</th><td>-</td><td>-</td><td></td></tr>"
    seen = "".join(picture(image, "this drawing") for image in images)
    before = parent(snapshot)
    after = networks.newest_reader(snapshot)
    cells = (
        "-" if before is None else _read(Reader(before), images),
        _read(after, images),
    )
    return f"<tr><th>This drawing {seen}</th><td>{cells[0]}</td><td>{cells[1]}</td><td></td></tr>"


def _read(reader: Reader, images: list[np.ndarray]) -> str:
    readings = reader.read_images(np.stack(images))
    sure = f"<br><small>{percent(max(readings[0].probabilities))}</small>" if len(readings) == 1 else ""
    return f"<b>{number(readings)}</b>{sure}"


def _row(name: str, words: str, score: Score) -> str:
    cells = [_share(score.before, score.count), _share(score.after, score.count)]
    change = _change(score).replace("-", "\u2212")
    direction = "" if not score.change else "better" if score.change > 0 else "worse"
    shown = f"<td>{cells[0]}</td><td>{cells[1]}</td><td class='{direction}'>{change}</td>"
    return f"<tr><th>{name}<small>{words}</small></th>{shown}</tr>"


def _share(right: int | None, count: int) -> str:
    if right is None:
        return "-"
    return in_percent(right / count, 2) if count > 999 else f"{right} of {count}"


def _change(score: Score) -> str:
    if score.before is None or score.after is None:
        return ""
    more = score.after - score.before
    return f"{100 * more / score.count:+.2f} points" if score.count > 999 else f"{more:+d}"
