"""What the page relies on inside Streamlit and its canvas: each check, what it applies, and the page without it."""

import asyncio
import importlib.util
import logging
import shutil
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from playwright.sync_api import Browser, expect
from streamlit.components.v2.bidi_component import serialization
from streamlit.elements.widgets import text_widgets
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.runtime import Runtime
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.memory_session_storage import MemorySessionStorage
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner.script_cache import ScriptCache
from streamlit.runtime.scriptrunner_utils.script_requests import ScriptRequests
from streamlit.runtime.state import get_session_state
from streamlit.runtime.state.session_state import SessionState
from streamlit.runtime.uploaded_file_manager import UploadedFileRec
from streamlit.runtime.websocket_session_manager import WebsocketSessionManager
from streamlit.testing.v1 import AppTest

from mnist_fc.config import PRESETS
from mnist_fc.views.components import drawable_canvas
from mnist_fc.views.state import messages, shared, streamlit_patches
from tests.support.browser import ONE, SEVEN, Server, click, draw, expect_reading, ready, running_server
from tests.support.client import Session
from tests.support.session import opened_app, shown_config

MEGABYTE = bytes(2**20)


@pytest.fixture(autouse=True)
def _logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("mnist_fc"), "propagate", True)  # another test may have opened the log


def upload(manager: MemoryUploadedFileManager, session: str, file_id: str, data: bytes = b"x") -> None:
    manager.add_file(session, UploadedFileRec(file_id, "net.pt", "", data))


# Messages


def test_messages_are_recorded_with_this_streamlit() -> None:
    assert messages._is_recording


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("request_rerun", "<lambda> takes self, urgent, not self, new_data"),
        ("on_scriptrunner_ready", "<lambda> takes self, urgent, not self"),
        ("on_scriptrunner_yield", "<lambda> takes self, urgent, not self"),
    ],
)
def test_request_with_another_signature_is_not_patched(
    name: str, reason: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    others = {"request_rerun", "on_scriptrunner_ready", "on_scriptrunner_yield"} - {name}
    monkeypatch.setattr(ScriptRequests, name, lambda self, urgent: True)
    before = [vars(ScriptRequests)[other] for other in others]
    assert streamlit_patches.observe_messages(lambda requests, states: None, lambda requests: None) is None
    assert [vars(ScriptRequests)[other] for other in others] == before
    assert "lose their order" in caplog.text
    assert reason in caplog.text


def test_run_that_begins_in_another_way_is_not_patched(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(ScriptRequests, "on_scriptrunner_ready", lambda self: "begin")
    assert streamlit_patches.observe_messages(lambda requests, states: None, lambda requests: None) is None
    assert "a run begins otherwise" in caplog.text


@pytest.mark.usefixtures("own_store")
def test_controls_work_without_recorded_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "_is_recording", False)
    app = opened_app()
    app.select_slider(key="epochs").set_value(30).run()
    app.selectbox(key="activation").set_value("tanh").run()
    assert (shown_config(app).num_epochs, shown_config(app).activation) == (30, "tanh")
    app.selectbox(key="preset").select("best").run()
    assert shown_config(app) == PRESETS["best"]
    app.run()
    assert shown_config(app) == PRESETS["best"], "what the page set is no choice of the person"
    app.select_slider(key="epochs").set_value(20).run()
    app.select_slider(key="epochs").set_value(PRESETS["best"].num_epochs).run()
    assert shown_config(app) == PRESETS["best"]


# Sessions


@pytest.mark.slow
@pytest.mark.usefixtures("own_store")
def test_page_trains_without_streamlits_script_context(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamlit_patches, "script_context", lambda: None)
    app = opened_app(hidden_sizes="16", epochs="1", threads="1")
    app.button(key="train").click().run()
    assert not app.exception
    run = shared.scheduler().run(app.session_state["page_address"]["run"])
    assert run
    assert run.session_id == app.session_state["own_session_id"]
    monkeypatch.setattr(streamlit_patches, "_runtime", lambda: SimpleNamespace(is_active_session=lambda session_id: False))
    assert streamlit_patches.presence_check()(run.session_id)
    assert run.wait_until_state("done", timeout=300)


def test_own_session_is_present_shortly_after_its_script_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(monotonic=lambda: 1000.0)
    monkeypatch.setattr(streamlit_patches, "time", clock)
    monkeypatch.setattr(streamlit_patches, "_runtime", lambda: SimpleNamespace(is_active_session=lambda session_id: False))
    monkeypatch.setattr(streamlit_patches, "_last_runs", {"own-1": 1000.0, "2": 1000.0})
    is_present = streamlit_patches.presence_check()
    assert is_present("own-1")
    assert not is_present("2"), "Streamlit knows better"
    clock.monotonic = lambda: 1000.0 + streamlit_patches.PRESENCE_SECONDS + 1
    assert not is_present("own-1")


def test_presence_without_streamlits_answer_follows_the_script(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Runtime, "is_active_session", lambda self, client: True)
    streamlit_patches._can_ask_for_presence.cache_clear()
    monkeypatch.setattr(streamlit_patches, "_last_runs", {"1": time.monotonic()})
    is_present = streamlit_patches.presence_check()
    assert (is_present("1"), is_present("2")) == (True, False)
    assert "counts as gone 60 s after its script ran" in caplog.text
    streamlit_patches._can_ask_for_presence.cache_clear()


# Uploads


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> MemoryUploadedFileManager:
    made = MemoryUploadedFileManager("/upload")
    monkeypatch.setattr(streamlit_patches, "_runtime", lambda: SimpleNamespace(uploaded_file_mgr=made))
    return made


def test_newest_upload_of_each_session_is_kept_within_the_total(
    manager: MemoryUploadedFileManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streamlit_patches, "MAX_UPLOADED_BYTES", 3 * len(MEGABYTE))
    assert streamlit_patches.limit_uploads()
    upload(manager, "a", "1", MEGABYTE)
    upload(manager, "a", "2", MEGABYTE)
    assert list(manager.file_storage["a"]) == ["2"]
    for session in "bcd":
        upload(manager, session, "1", MEGABYTE)
    assert sorted(session for session, files in manager.file_storage.items() if files) == ["b", "c", "d"]


def test_upload_manager_with_another_signature_is_left_alone(
    manager: MemoryUploadedFileManager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def add_file(self: MemoryUploadedFileManager, session_id: str, file: UploadedFileRec, owner: str = "") -> None:
        self.file_storage[session_id][file.file_id] = file

    monkeypatch.setattr(MemoryUploadedFileManager, "add_file", add_file)
    assert streamlit_patches.limit_uploads() is None
    assert "keeps all uploaded files until their session ends" in caplog.text
    upload(manager, "a", "1")
    upload(manager, "a", "2")
    assert list(manager.file_storage["a"]) == ["1", "2"]


def test_read_upload_is_removed(manager: MemoryUploadedFileManager, monkeypatch: pytest.MonkeyPatch) -> None:
    context = SimpleNamespace(session_id="a", uploaded_file_mgr=manager)
    monkeypatch.setattr(streamlit_patches, "script_context", lambda: context)
    upload(manager, "a", "1")
    assert streamlit_patches.remove_upload("1")
    assert not manager.file_storage["a"]


def test_upload_that_cannot_be_removed_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert streamlit_patches.remove_upload("1") is None
    assert "an uploaded file is kept until its session ends" in caplog.text


# Connections


def test_session_that_reconnects_during_the_iteration_has_its_new_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    files = MemoryUploadedFileManager("/upload")
    manager = WebsocketSessionManager(MemorySessionStorage(), files, ScriptCache(), None)
    monkeypatch.setattr(streamlit_patches, "_runtime", lambda: SimpleNamespace(_session_mgr=manager))
    sessions: dict[str, Any] = {name: SimpleNamespace(session=SimpleNamespace(id=name), client="old") for name in "abc"}
    monkeypatch.setattr(manager, "_active_session_info_by_id", sessions)
    assert streamlit_patches.follow_reconnections()
    assert manager.num_active_sessions() == 3
    active: Iterator[Any] = iter(manager.list_active_sessions())
    assert next(active).client == "old"
    sessions["b"] = SimpleNamespace(session=SimpleNamespace(id="b"), client="new")
    del sessions["c"]
    assert [info.client for info in active] == ["new"]


@pytest.mark.parametrize("manager", [None, SimpleNamespace(list_active_sessions=list)])
def test_other_session_manager_is_left_alone(
    manager: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(streamlit_patches, "_runtime", lambda: SimpleNamespace(_session_mgr=manager))
    assert streamlit_patches.follow_reconnections() is None
    assert "may miss what was drawn for it" in caplog.text
    assert manager is None or manager.list_active_sessions is list


# Messages about fragments


async def press_in_new_session(url: str) -> Session:
    page = await Session(url).open()
    assert page.text("reading") == "3"
    await page.lose_session()
    await page.click("clear")
    return page


async def press_in_old_fragment(url: str) -> Session:
    page = await Session(url).open()
    assert page.text("reading") == "3"
    await page.click("clear", fragment_id="of an earlier run")
    return page


@pytest.mark.parametrize("press", [press_in_new_session, press_in_old_fragment])
def test_press_in_an_unknown_fragment_is_carried_out(
    small_server: Server, press: Callable[[str], Coroutine[Any, Any, Session]]
) -> None:
    async def read_after_press() -> list[str]:
        page = await press(small_server.url)
        await page.wait_for(lambda page: page.text("reading") == "", "the empty canvas")
        await page.leave()
        return page.problems

    assert asyncio.run(read_after_press()) == []


def test_press_that_a_busy_browser_sends_twice_counts_once(small_server: Server) -> None:
    def num_strokes(page: Session) -> int:
        return len(page.drawing() or [])

    async def undo_once() -> tuple[int, int]:
        page = await Session(small_server.url).open()
        await page.click("clear")
        await page.draw(ONE)
        await page.draw(SEVEN)
        await page.settle()
        await page.click("undo", is_auto_rerun=True)
        await page.open_tab("Gradients")
        await page.settle()  # a run of other fragments, after the press has been carried out or ignored
        before = num_strokes(page)
        await page.click("undo")
        await page.wait_for(lambda page: num_strokes(page) < before, "the press that counts")
        after = num_strokes(page)
        await page.leave()
        assert page.problems == []
        return before, after

    assert asyncio.run(undo_once()) == (2, 1)


@pytest.mark.parametrize(
    ("patch", "loss"),
    [
        (lambda: streamlit_patches.answer_unknown_fragments("_meanings"), "may ignore what is pressed on it"),
        (streamlit_patches.take_presses_once, "may be carried out twice"),
    ],
)
def test_session_with_another_signature_is_not_patched(
    patch: Callable[[], object], loss: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def request_rerun(self: AppSession, client_state: ClientState | None, urgent: bool) -> None:
        pass

    monkeypatch.setattr(AppSession, "request_rerun", request_rerun)
    assert patch() is None
    assert vars(AppSession)["request_rerun"] is request_rerun
    assert loss in caplog.text
    assert "request_rerun takes self, client_state, urgent" in caplog.text


def test_search_for_data_frames_with_another_signature_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def is_dataframe_like(obj: object, depth: int) -> bool:
        return False

    monkeypatch.setattr(serialization, "is_dataframe_like", is_dataframe_like)
    assert streamlit_patches.skip_data_frames() is None
    assert vars(serialization)["is_dataframe_like"] is is_dataframe_like
    assert "the server takes 70 MB more" in caplog.text


def test_text_field_looks_up_its_own_value_without_a_copy_of_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_widgets, "get_session_state", get_session_state)
    assert streamlit_patches.spare_text_fields_a_copy()

    def page() -> None:
        import streamlit as st

        st.session_state.setdefault("empty", None)
        st.session_state.setdefault("given", "a")
        st.text_input("Empty", key="empty")
        st.text_input("Given", key="given")
        st.text_input("Default", "b", key="default")
        st.text_input("Without key", "c")

    def copy(_state: SessionState) -> None:
        pytest.fail("the state was copied")

    app = AppTest.from_function(page)
    with monkeypatch.context() as patch:
        patch.setattr(SessionState, "filtered_state", property(copy))
        app.run()
        app.text_input(key="given").set_value("d").run()
    assert [field.value for field in app.text_input] == [None, "d", "b", "c"]
    assert not app.exception


def test_text_field_that_uses_the_state_otherwise_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def state_of(session: str) -> None:
        pass

    monkeypatch.setattr(text_widgets, "get_session_state", state_of)
    assert streamlit_patches.spare_text_fields_a_copy() is None
    assert vars(text_widgets)["get_session_state"] is state_of
    assert "drawing the page takes the server longer" in caplog.text


# The canvas


def test_front_end_of_the_canvas_is_as_expected() -> None:
    found = drawable_canvas.front_end()
    assert found
    assert "dc-" in found.style


def copied_package(folder: Path) -> Path:
    """Return a copy of streamlit-drawable-canvas whose front end has another name for its toolbar."""
    package = folder / "streamlit_drawable_canvas"
    spec = importlib.util.find_spec(package.name)
    assert spec
    assert spec.origin
    shutil.copytree(Path(spec.origin).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    (script,) = (package / "frontend" / "build").glob("index-*.js")
    script.write_text(script.read_text("utf-8").replace("dc-toolbar", "dc-tools"), "utf-8")
    return package


def test_changed_front_end_is_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    package = copied_package(tmp_path)
    monkeypatch.delitem(sys.modules, package.name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    assert drawable_canvas.front_end() is None
    assert "its script does not contain dc-toolbar" in caplog.text
    shutil.rmtree(package / "frontend")
    assert drawable_canvas.front_end() is None


def test_missing_package_is_logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(drawable_canvas, "PACKAGE", "no_package_has_this_name")
    assert drawable_canvas.front_end() is None
    assert "it is not installed" in caplog.text


@pytest.mark.slow
def test_drawing_is_read_without_our_own_canvas(browser: Browser, tmp_path: Path) -> None:
    copied_package(tmp_path)
    with running_server(tmp_path, PYTHONPATH=str(tmp_path)) as server:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(server.url)
        ready(page)
        assert "streamlit-drawable-canvas is not as expected" in server.log.read_text()
        click(page, "clear")
        expect_reading(page, "")
        expect(page.locator(".st-key-canvas canvas.upper-canvas")).to_have_count(1)  # the cleared one stays for a moment
        draw(page, SEVEN)
        expect_reading(page, "7")
        click(page, "test_digit_button")
        expect(page.locator(".st-key-undo button")).to_be_enabled()
        click(page, "undo")
        expect_reading(page, "7")
        page.close()
        assert "Traceback" not in server.log.read_text()
