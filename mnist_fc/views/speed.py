"""How fast this machine trains, measured live: images per second over batch sizes, a curve for each number of threads."""

import streamlit as st

from mnist_fc.config import CPU_COUNT, ConfigError
from mnist_fc.speed import BATCH_SIZES, SpeedRecord, fastest_threads, thread_counts
from mnist_fc.trainer import SpeedTest, TrainerBusy
from mnist_fc.views import controls, session
from mnist_fc.views.chart import Axis, Series, heading, line_chart

COLORS = ("#4f7df0", "#e07b1a", "#1f9d6b", "#b0509a", "#7a6ff0", "#c9a227", "#3fa7c4", "#d0483e")
TICK_SECONDS = 0.7


def panel() -> None:
    """The newest measurement of this machine, whoever asked for it, and the button for the next."""
    measuring = _is_measuring()
    st.fragment(_panel, run_every=TICK_SECONDS if measuring else None)(ticking=measuring)


def _is_measuring() -> bool:
    test = session.trainer().speed_test
    return test is not None and test.is_active


def _panel(*, ticking: bool) -> None:
    if _is_measuring() is not ticking:
        st.rerun()  # a measurement has begun or ended
    test = session.trainer().speed_test
    st.caption(
        "How many training images a second, for batches of 32 to 2,048 images"
        + (f" and 1 to {CPU_COUNT} threads" if CPU_COUNT > 1 else "")
        + ": the network of the side panel takes real training steps, with nothing kept. No run can go on meanwhile."
    )
    st.button("Measure", key="measure_speed", icon=":material/speed:", disabled=ticking, on_click=_measure)
    if (problem := st.session_state.get("speed_problem")) and not ticking:
        st.warning(problem)
    if test is None:
        return
    records = test.records()
    if ticking:
        st.progress(len(records) / (len(BATCH_SIZES) * len(thread_counts())), _newest(records))
    if test.message:
        st.error(f"{test.message} Press Measure to try again.", icon=":material/error:")
    if records:
        _chart(test, records)
        if not ticking:
            _advice(records)


def _newest(records: list[SpeedRecord]) -> str:
    if not records:
        return "Getting ready."
    last = records[-1]
    return f"{_threads(last.threads)}, batch {last.batch_size:,}: {last.images_per_second:,.0f} images/s"


def _chart(test: SpeedTest, records: list[SpeedRecord]) -> None:
    series = []
    for number, threads in enumerate(thread_counts()):
        if of_these := [record for record in records if record.threads == threads]:
            sizes, rates = [r.batch_size for r in of_these], [r.images_per_second for r in of_these]
            series.append(Series(_threads(threads), COLORS[number % len(COLORS)], sizes, rates, dots=True))
    name = "-".join(map(str, test.config.layer_sizes))
    heading(f"Images per second, {name}", series)
    highest = max(record.images_per_second for record in records)
    with st.container(key="speed_chart"):
        line_chart(
            "speed_curves",
            series,
            Axis((BATCH_SIZES[0] / 1.1, BATCH_SIZES[-1] * 1.1), title="batch size", log=True, ticks=BATCH_SIZES),
            Axis((0, highest * 1.05)),
            label=f"images per second over batch sizes, at most {highest:,.0f}",
        )


def _advice(records: list[SpeedRecord]) -> None:
    """Which number of threads suits the batch size of the side panel, and a button that takes it."""
    best = fastest_threads(records, st.session_state.batch_size)
    one = next(r for r in records if r.batch_size == best.batch_size and r.threads == 1)
    times = f", {best.images_per_second / one.images_per_second:.1f} times as many as with 1" if best.threads > 1 else ""
    st.markdown(
        f"Fastest at batches of {best.batch_size:,}, the nearest to those of the side panel: **{_threads(best.threads)}**, "
        f"{best.images_per_second:,.0f} images/s{times}."
    )
    if CPU_COUNT > 1:
        is_set = st.session_state.threads == best.threads
        label = f"Train with {_threads(best.threads)}"
        if st.button(label, key="use_fastest", icon=":material/check:", disabled=is_set, on_click=_use, args=(best.threads,)):
            st.rerun()  # the side panel shows it


def _measure() -> None:
    st.session_state.speed_problem = None
    try:
        session.trainer().measure_speed(controls.config())
    except (TrainerBusy, ConfigError) as error:
        message = str(error)
        st.session_state.speed_problem = f"{message[0].upper()}{message[1:]}. Press Measure again when it has ended."


def _use(threads: int) -> None:
    st.session_state.threads = threads


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"
