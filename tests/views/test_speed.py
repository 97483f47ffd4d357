"""The speed test on the page, by its script alone: real measurements, from Measure to the advice."""

import json
import re
from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest

from mnist_fc.config import CPU_COUNT, PRESETS
from mnist_fc.server.queue import MAX_PER_SESSION
from mnist_fc.server.task import SpeedTest
from mnist_fc.training.throughput import BATCH_SIZES, thread_counts
from mnist_fc.views.state import shared
from tests.support.processes import kill, suspended
from tests.support.session import SESSION_ID, opened_tab, press, rerun, shown_config
from tests.support.waiting import wait_for, wait_until, wait_until_ended

pytestmark = pytest.mark.usefixtures("own_small_store")

TAB = "How fast is this machine?"
LARGE = {"hidden_sizes": "2048,2048"}
"""A network whose measurement takes long."""
LONG = PRESETS["best"].replace(hidden_sizes=(16,), num_validation=500, threads=1)
NUM_RECORDS = len(thread_counts()) * len(BATCH_SIZES)


@pytest.fixture
def page() -> Iterator[AppTest]:
    """Open the tab on a machine that has not been measured, with a network whose measurement takes long."""
    app = opened_tab(TAB, **LARGE)
    shared.scheduler().speed_test = None
    yield rerun(app)
    for job in reversed(shared.scheduler().jobs()):
        shared.scheduler().stop(job)
        wait_until_ended(job)


@pytest.fixture(scope="module")
def finished(own_small_store: None) -> SpeedTest:
    """Measure this machine once, from the first figure to the last, with the settings of the preset "fast"."""
    app = opened_tab(TAB)
    press(app, "measure_speed")
    test = newest()
    wait_until_ended(test)
    return test


def newest() -> SpeedTest:
    test = shared.scheduler().speed_test
    assert test
    return test


def buttons(app: AppTest) -> set[str]:
    return {str(button.key) for button in app.main.button}


def captions(app: AppTest) -> str:
    return "\n".join(caption.value for caption in app.main.caption)


def measuring(app: AppTest) -> str:
    """Return the line on the measurement's progress bar, below that of runs."""
    _, bar = app.main.progress
    return str(bar.text)


def curves(app: AppTest) -> dict[str, list[list[float]]]:
    """Return the points of each curve of the chart, by its name."""
    charts = [json.loads(one.proto.json) for one in app.main.get("bidi_component") if "chart" in one.proto.component_name]
    return {one["name"]: [one["x"], one["y"]] for chart in charts if chart["name"] == "speed" for one in chart["series"]}


def test_unmeasured_machine_has_a_button_and_no_chart(page: AppTest) -> None:
    assert "measure_speed" in buttons(page)
    assert not {"stop_measuring", "use_fastest"} & buttons(page)
    assert "for batches of 32 to 2,048 images" in captions(page)
    assert ("threads" in captions(page)) is (CPU_COUNT > 1)
    assert curves(page) == {}


def test_measurement_is_shown_live_until_it_is_stopped(page: AppTest) -> None:
    with suspended(shared.scheduler().process_ids[0]):
        press(page, "measure_speed")
        test = newest()
        assert test.config == shown_config(page).fitted_to(shared.num_train_images())
        wait_for(test, lambda: not test.is_waiting)
        rerun(page)
        assert measuring(page) == "Getting ready."
    wait_for(test, lambda: test._records)
    with suspended(shared.scheduler().process_ids[0]):
        rerun(page)
        first, *_, last = [test.records()[0], *test.records()]
        words = "1 thread" if last.threads == 1 else f"{last.threads} threads"
        assert measuring(page) == f"{words}, batch {last.batch_size:,}: {last.images_per_second:,.0f} images/s"
        assert "stop_measuring" in buttons(page)
        assert "measure_speed" not in buttons(page)
        sizes, rates = curves(page)["1 thread"]
        assert (sizes[0], rates[0]) == (32, first.images_per_second)
    press(page, "stop_measuring")
    wait_until_ended(test)
    rerun(page)
    assert "measure_speed" in buttons(page)
    assert f"Stopped after {len(test.records())} of {NUM_RECORDS} figures." in captions(page)
    assert len(page.main.progress) == 1, "that of runs"
    assert "use_fastest" not in buttons(page)


def test_waiting_measurement_shows_its_position(page: AppTest) -> None:
    run = shared.scheduler().start(LONG, "ann")
    wait_until(run, "running")
    press(page, "measure_speed")
    assert re.fullmatch(
        r"(You're next|Next unless others join), about \d+ (s|min) until it starts\. Starts automatically\.", measuring(page)
    )
    press(page, "stop_measuring")
    assert not newest().is_active
    assert "measure_speed" in buttons(rerun(page))


def test_run_waits_while_speed_is_measured(page: AppTest) -> None:
    press(page, "measure_speed")
    wait_for(newest(), lambda: newest()._records)
    press(page, "train")
    assert any("waiting" in str(html.proto.body) for html in page.get("html"))
    press(page, "stop")
    assert any("stopped" in str(html.proto.body) for html in page.get("html"))
    assert newest().is_active


def test_second_click_shows_the_measurement_of_another_session(page: AppTest) -> None:
    others = shared.scheduler().measure_speed(LONG.replace(hidden_sizes=(2048, 2048)), "ann")
    press(page, "measure_speed")
    assert newest() is others
    assert "stop_measuring" in buttons(page)
    assert len(page.main.warning) == 0
    shared.scheduler().stop(others)
    wait_until_ended(others)
    press(page, "stop_measuring")
    assert "measure_speed" in buttons(page)


def test_session_with_too_many_jobs_cannot_measure(page: AppTest) -> None:
    for _ in range(MAX_PER_SESSION):
        shared.scheduler().start(LONG, SESSION_ID)
    press(page, "measure_speed")
    (warning,) = page.main.warning
    assert warning.value.endswith("Press Measure again later.")
    assert shared.scheduler().speed_test is None


def test_killed_process_is_reported(page: AppTest) -> None:
    press(page, "measure_speed")
    test = newest()
    wait_for(test, lambda: test._records)
    kill(shared.scheduler().process_ids[0])
    wait_until_ended(test)
    rerun(page)
    (error,) = page.main.error
    assert "SIGKILL" in error.value
    assert error.value.endswith("Press Measure to try again.")
    assert "1 thread" in curves(page), "what was measured until then"


def test_finished_measurement_draws_a_curve_for_each_thread_count(finished: SpeedTest, page: AppTest) -> None:
    shared.scheduler().speed_test = finished
    drawn = curves(rerun(page))
    assert list(drawn) == ["1 thread", *(f"{count} threads" for count in thread_counts()[1:])]
    for count, (sizes, rates) in zip(thread_counts(), drawn.values(), strict=True):
        assert sizes == [32, 64, 128, 256, 512, 1024, 2048]
        assert rates == [record.images_per_second for record in finished.records() if record.threads == count]
    assert any("Images per second, 784-256-10" in str(html.proto.body) for html in page.get("html"))
    assert "Stopped after" not in captions(page)


def test_fastest_thread_count_is_advised_and_set_by_one_click(finished: SpeedTest, page: AppTest) -> None:
    shared.scheduler().speed_test = finished
    rerun(page)
    rates = {record.threads: record.images_per_second for record in finished.records() if record.batch_size == 128}
    fastest = max(rates, key=lambda count: rates[count])
    words = "1 thread" if fastest == 1 else f"{fastest} threads"
    (advice,) = [one.value for one in page.main.markdown if "fastest is" in one.value]
    assert advice.startswith(f"For batches of 128 the fastest is **{words}**: {rates[fastest]:,.0f} images/s")
    assert ("times as many as with 1" in advice) is (fastest > 1)
    if CPU_COUNT > 1:
        page.select_slider(key="threads").set_value(1 if fastest > 1 else CPU_COUNT).run()
        press(page, "use_fastest")
        assert shown_config(page).threads == page.select_slider(key="threads").value == fastest
