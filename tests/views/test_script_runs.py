"""All of a script run reaches the browser, also if the next run begins at its end."""

import asyncio
from pathlib import Path

import pytest
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.runtime import Runtime, RuntimeConfig
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.script_data import ScriptData
from streamlit.runtime.scriptrunner.script_cache import ScriptCache

from mnist_fc.views.state import streamlit_patches

SCRIPT = """
import streamlit as st

st.fragment(lambda: st.write("drawn"), run_every=60)()
"""


def test_run_of_the_whole_script_arrives_although_another_run_begins_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, files = tmp_path / "script.py", MemoryUploadedFileManager("/upload")
    script.write_text(SCRIPT)
    monkeypatch.setattr(Runtime, "_instance", None)
    Runtime(RuntimeConfig(str(script), MemoryMediaFileStorage("/media"), files))
    for name in ("_create_scriptrunner", "_handle_scriptrunner_event_on_event_loop"):
        monkeypatch.setattr(AppSession, name, vars(AppSession)[name])  # restores them afterwards
    assert streamlit_patches.handle_all_of_a_run()

    async def received() -> list[str | None]:
        arrived = asyncio.Event()
        session = AppSession(ScriptData(str(script)), files, ScriptCache(), arrived.set, user_info={})
        kinds: list[str | None] = []

        async def wait_for(finished: str, count: int) -> None:
            while kinds.count(finished) < count:
                await arrived.wait()
                arrived.clear()
                kinds.extend(message.WhichOneof("type") for message in session.flush_browser_queue())

        session.request_rerun(None)
        runner = session._scriptrunner
        assert runner
        assert runner._script_thread
        runner._script_thread.join()  # the loop is blocked meanwhile, so it has handled none of its messages
        (fragment_id,) = session._fragment_storage.ids_registered_after(0)
        session.request_rerun(ClientState(fragment_id=fragment_id))
        await asyncio.wait_for(wait_for("script_finished", 2), 60)
        while session._scriptrunner is not None:  # its thread has to end
            await asyncio.sleep(0)
        session.shutdown()
        return kinds

    kinds = asyncio.run(received())
    assert kinds.count("auto_rerun") == 1
    assert kinds.count("new_session") == 2
