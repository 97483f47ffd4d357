"""Everything that relies on the internals of Streamlit."""

import threading
from collections.abc import Iterator

import streamlit as st
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.session_manager import ActiveSessionInfo
from streamlit.runtime.uploaded_file_manager import UploadedFileRec
from streamlit.runtime.websocket_session_manager import WebsocketSessionManager

MAX_BYTES_OF_UPLOADS = 4 * 64 * 2**20


def limit_uploads() -> None:
    """Of files that browsers send the server keeps the newest of each session, and MAX_BYTES_OF_UPLOADS in all.

    Streamlit bounds each file alone, and keeps whatever a session sends until that ends.
    """
    manager = st.runtime.get_instance().uploaded_file_mgr
    if not isinstance(manager, MemoryUploadedFileManager):
        return
    add, lock, num_bytes = manager.add_file, threading.Lock(), dict[str, int]()

    def add_file(session_id: str, file: UploadedFileRec) -> None:
        with lock:
            for ended in num_bytes.keys() - manager.file_storage.keys():
                del num_bytes[ended]
            num_bytes.pop(session_id, None)
            manager.remove_session_files(session_id)
            num_bytes[session_id] = len(file.data)
            add(session_id, file)
            while sum(num_bytes.values()) > MAX_BYTES_OF_UPLOADS:
                oldest = next(iter(num_bytes))
                del num_bytes[oldest]
                manager.remove_session_files(oldest)

    manager.add_file = add_file  # type: ignore[method-assign]


def follow_reconnections() -> None:
    """What the server sends to a session goes to the connection that this has at that moment.

    Streamlit (1.67) goes through a list of connections that it made before. A session that loses its connection and comes back
    while others are sent to has another by then, and what is drawn for it would be sent to the old one, and be lost.
    """
    manager = getattr(st.runtime.get_instance(), "_session_mgr", None)
    if not isinstance(manager, WebsocketSessionManager):
        return
    sessions: WebsocketSessionManager = manager
    list_sessions = sessions.list_active_sessions

    class Connected(list[ActiveSessionInfo]):
        """Sessions, each with the connection that it has when it is its turn."""

        def __iter__(self) -> Iterator[ActiveSessionInfo]:
            for known in super().__iter__():
                if current := sessions.get_active_session_info(known.session.id):
                    yield current

    sessions.list_active_sessions = lambda: Connected(list_sessions())  # type: ignore[method-assign]
