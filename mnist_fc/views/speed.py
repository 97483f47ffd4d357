"""The training speed of this machine: images per second over batch sizes, one curve for each number of threads."""

import streamlit as st

from mnist_fc.server.scheduler import JobRejected
from mnist_fc.server.task import SpeedTest
from mnist_fc.training.throughput import BATCH_SIZES, SpeedRecord, fastest_threads
from mnist_fc.views import commands, controls
from mnist_fc.views.components.chart import COLORS, DOT, Axis, Series, heading, line_chart
from mnist_fc.views.state import pace, session, shared


def panel() -> None:
    """Draw the newest measurement of this machine, from any session, and the button for the next."""
    test, max_threads = shared.scheduler().speed_test, shared.scheduler().max_threads
    if measuring := _measuring():
        shared.scheduler().touch(measuring, session.session_id())
    st.caption(
        f"Training images per second, for batches of {BATCH_SIZES[0]} to {BATCH_SIZES[-1]:,} images"
        + (f" and 1 to {max_threads} threads" if max_threads > 1 else "")
        + ". The network of the side panel takes real training steps for some seconds; runs wait meanwhile. "
        "The page shows the newest figures from any session. Other busy programs lower them."
    )
    with st.container():
        if measuring:
            st.button("Stop measuring", key="stop_measuring", icon=":material/stop:", on_click=_stop)
        else:
            st.button("Measure", key="measure_speed", icon=":material/speed:", on_click=_measure)
            if problem := st.session_state.get("speed_problem"):
                st.warning(problem)
    if test is None:
        return
    records, num_records = test.records(), test.num_records
    with st.container():
        if measuring:
            st.progress(len(records) / num_records, _so_far(test, records))
        if test.problem:
            st.error(f"{test.problem} Press Measure to try again.", icon=":material/error:")
    if records:
        _chart(test, records)
    if len(records) == num_records:
        _advice(test, records)
    elif not measuring:
        st.caption(f"Stopped after {len(records)} of {num_records} figures.")


def tick_seconds() -> float | None:
    """Return the seconds between redraws of this tab; None if nothing is being measured."""
    return pace.scale_by_sessions(pace.TICK_SECONDS_ALL_CORES_TRAIN) if _measuring() else None


def _measuring() -> SpeedTest | None:
    """Return the measurement that is running or queued."""
    test = shared.scheduler().speed_test
    return test if test and test.is_active else None


def _so_far(test: SpeedTest, records: list[SpeedRecord]) -> str:
    if place := session.queue_position(test):
        return f"{place[0].upper()}{place[1:]}."
    if not records:
        return "Getting ready."
    last = records[-1]
    return f"{_threads(last.threads)}, batch {last.batch_size:,}: {last.images_per_second:,.0f} images/s"


def _chart(test: SpeedTest, records: list[SpeedRecord]) -> None:
    series = []
    for number, threads in enumerate(test.thread_counts):
        if of_these := [record for record in records if record.threads == threads]:
            sizes, rates = [r.batch_size for r in of_these], [r.images_per_second for r in of_these]
            series.append(Series(_threads(threads), COLORS[number % len(COLORS)], sizes, rates, dots=DOT))
    name = "-".join(map(str, test.config.layer_sizes))
    heading(f"Images per second, {name}", series)
    highest = max(record.images_per_second for record in records)
    with st.container(key="speed_chart"):
        line_chart(
            "speed_curves",
            series,
            Axis((BATCH_SIZES[0] / 1.1, BATCH_SIZES[-1] * 1.1), title="batch size", log=True, ticks=BATCH_SIZES),
            Axis((0, highest * 1.05)),
            label="images per second over batch sizes, at most " + ", ".join(f"{max(s.y):,.0f} with {s.name}" for s in series),
        )


def _advice(test: SpeedTest, records: list[SpeedRecord]) -> None:
    """Draw which number of threads suits the measured settings, and a button that sets it."""
    best = fastest_threads(records, test.config.batch_size)
    measured = "" if best.batch_size == test.config.batch_size else f" (measured: {best.batch_size:,})"
    one = next(r for r in records if r.batch_size == best.batch_size and r.threads == 1)
    times = f", {best.images_per_second / one.images_per_second:.1f} times as many as with 1" if best.threads > 1 else ""
    st.markdown(
        f"For batches of {test.config.batch_size:,}{measured} the fastest is **{_threads(best.threads)}**: "
        f"{best.images_per_second:,.0f} images/s{times}."
    )
    if len(test.thread_counts) > 1:
        st.button(
            f"Use {_threads(best.threads)}",
            key="use_fastest",
            icon=":material/check:",
            on_click=controls.set_one,
            args=("threads", best.threads),
        )


def _measure() -> None:
    st.session_state.speed_problem = None
    if _measuring():
        return  # another session has just started one, which the page shows
    try:
        test = shared.scheduler().measure_speed(controls.config(), session.session_id())
        test.detached = session.is_detached()
    except JobRejected as busy:
        st.session_state.speed_problem = f"{busy}. Press Measure again later."


def _stop() -> None:
    if test := _measuring():
        shared.scheduler().stop(test)
        test.wait_until_ended(commands.COMMAND_SECONDS)


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"
