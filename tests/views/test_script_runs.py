"""What arrives while a session's script runs: none of it is lost, and each part of it comes in its turn."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState, WidgetStates
from streamlit.runtime import Runtime, RuntimeConfig
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.script_data import ScriptData
from streamlit.runtime.scriptrunner.script_cache import ScriptCache

from mnist_fc.views.state import messages, streamlit_patches

SECONDS = 60.0
"""An upper bound for a busy machine."""


class OpenSession:
    """A session of a script, and what it has sent to its browser."""

    def __init__(self, script: Path, files: MemoryUploadedFileManager) -> None:
        self._arrived = asyncio.Event()
        self.session = AppSession(ScriptData(str(script)), files, ScriptCache(), self._arrived.set, user_info={})
        self.sent: list[ForwardMsg] = []

    def count(self, kind: str) -> int:
        return sum(message.WhichOneof("type") == kind for message in self.sent)

    async def finish_runs(self, count: int) -> None:
        """Wait until that many runs in all have finished, or were ended by the next one."""

        async def finish() -> None:
            while self.count("script_finished") < count:
                await self._arrived.wait()
                self._arrived.clear()
                self.sent.extend(self.session.flush_browser_queue())

        await asyncio.wait_for(finish(), SECONDS)

    async def close(self) -> None:
        while self.session._scriptrunner is not None:  # its thread has to end
            await asyncio.sleep(0)
        self.session.shutdown()


@pytest.fixture
def open_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], OpenSession]:
    """Open a session of a script within an event loop."""
    files = MemoryUploadedFileManager("/upload")

    def open_one(script: str) -> OpenSession:
        path = tmp_path / "script.py"
        path.write_text(script)
        monkeypatch.setattr(Runtime, "_instance", None)
        Runtime(RuntimeConfig(str(path), MemoryMediaFileStorage("/media"), files))
        return OpenSession(path, files)

    return open_one


REDRAWN = """
import streamlit as st

st.fragment(lambda: st.write("drawn"), run_every=60)()
"""


def test_run_of_the_whole_script_arrives_although_another_run_begins_at_its_end(
    open_session: Callable[[str], OpenSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_create_scriptrunner", "_handle_scriptrunner_event_on_event_loop"):
        monkeypatch.setattr(AppSession, name, vars(AppSession)[name])  # restores them afterwards
    assert streamlit_patches.handle_all_of_a_run()

    async def finished() -> OpenSession:
        opened = open_session(REDRAWN)
        session = opened.session
        session.request_rerun(None)
        runner = session._scriptrunner
        assert runner
        assert runner._script_thread
        runner._script_thread.join()  # the loop is blocked meanwhile, so it has handled none of its messages
        (fragment_id,) = session._fragment_storage.ids_registered_after(0)
        session.request_rerun(ClientState(fragment_id=fragment_id))
        await opened.finish_runs(2)
        await opened.close()
        return opened

    opened = asyncio.run(finished())
    assert opened.count("auto_rerun") == 1
    assert opened.count("new_session") == 2


PRESSED = """
import streamlit as st
from mnist_fc.views.state import messages

def take(by):
    st.session_state.taken.extend((by, message.values["size"]) for message in messages.take())

@st.fragment
def panel():
    st.number_input("Size", key="size", value=0)
    st.button("Train", key="train", on_click=take, args=("train",))
    st.session_state.is_drawing.set()
    st.session_state.may_continue.wait(60)
    take("script")

panel()
"""


def test_press_takes_only_what_was_changed_before(
    open_session: Callable[[str], OpenSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "_recorded_keys", {"size"})
    is_drawing, may_continue, taken = threading.Event(), threading.Event(), list[tuple[str, int]]()

    async def press() -> None:
        opened = open_session(PRESSED)
        session = opened.session
        for name, value in {"is_drawing": is_drawing, "may_continue": may_continue, "taken": taken}.items():
            session.session_state[name] = value
        may_continue.set()
        session.request_rerun(None)
        await opened.finish_runs(1)
        drawn = [message.delta.new_element for message in opened.sent if message.HasField("delta")]
        (size,) = (element.number_input.id for element in drawn if element.HasField("number_input"))
        (train,) = (element.button.id for element in drawn if element.HasField("button"))

        (panel,) = session._fragment_storage.ids_registered_after(0)

        def send(value: int, *presses: WidgetState) -> None:
            states = WidgetStates(widgets=[WidgetState(id=size, double_value=value), *presses])
            session.request_rerun(ClientState(fragment_id=panel, widget_states=states))

        is_drawing.clear()
        may_continue.clear()
        send(1)
        assert await asyncio.to_thread(is_drawing.wait, SECONDS)
        send(2, WidgetState(id=train, trigger_value=True))
        send(3)
        may_continue.set()
        await opened.finish_runs(3)
        await opened.close()

    asyncio.run(press())
    assert taken == [("script", 1), ("train", 2), ("script", 3)]
