"""Everything that relies on Streamlit's internals, so that a new version of Streamlit breaks one file only. It is long.

Each function first checks that the internals look as they do in Streamlit 1.67. If they do not, it logs an error that names
what the page loses, and the page continues in Streamlit's public way: every function says which that is. (The scripts and the
style sheet of the page also rely on the names in Streamlit's HTML; the tests of the page check those.)

May import: nothing of the project, since everything else of the views may need it.
"""

import functools
import inspect
import logging
import math
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import streamlit as st

if TYPE_CHECKING:
    from streamlit.proto.ClientState_pb2 import ClientState
    from streamlit.proto.WidgetStates_pb2 import WidgetState, WidgetStates
    from streamlit.runtime import Runtime
    from streamlit.runtime.scriptrunner import ScriptRunContext
    from streamlit.runtime.scriptrunner_utils.script_requests import ScriptRequests
    from streamlit.runtime.session_manager import ActiveSessionInfo
    from streamlit.runtime.uploaded_file_manager import UploadedFileRec

log = logging.getLogger(__name__)

MAX_UPLOADED_BYTES = 4 * 64 * 2**20
"""The total size of the files that the server keeps: four of the largest that config.toml allows."""

PRESENCE_SECONDS = 60.0
"""Without Streamlit's own answer, a session is present for this long after its script ran."""

P = ParamSpec("P")
T = TypeVar("T")


class InternalsChanged(Exception):
    """Streamlit's internals are not as this module expects."""


def _guarded(loss: str) -> Callable[[Callable[P, T]], Callable[P, T | None]]:
    """Return a decorator for functions that rely on Streamlit's internals.

    Where those have changed, the function logs an error that says what follows, which is `loss`, and returns None.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T | None]:
        @functools.wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> T | None:
            try:
                return function(*args, **kwargs)
            except (InternalsChanged, ImportError, AttributeError, TypeError, ValueError, OSError) as error:
                log.error("Streamlit %s is not as expected, so %s: %s", st.__version__, loss, error)
                return None

        return guarded

    return decorate


def _check(expected: object, what: str) -> None:
    if not expected:
        raise InternalsChanged(what)


def _check_signature(function: Callable[..., Any], *names: str) -> None:
    found = tuple(inspect.signature(function).parameters)
    _check(found == names, f"{function.__name__} takes {', '.join(found)}, not {', '.join(names)}")


# Sessions


def _runtime() -> "Runtime":
    """Return Streamlit's server. Raises RuntimeError where there is none, as under AppTest without a server."""
    return st.runtime.get_instance()


def script_context() -> "ScriptRunContext | None":
    """Return the context of the script that runs in this thread; None if there is none, or if it is not as expected."""
    try:
        from streamlit.runtime.scriptrunner import get_script_run_ctx

        context = get_script_run_ctx(suppress_warning=True)
    except (ImportError, TypeError):
        return None
    names = ("session_id", "script_requests", "has_script_started", "uploaded_file_mgr")
    return context if context and all(hasattr(context, name) for name in names) else None


_last_runs: dict[str, float] = {}
"""When each session's script last asked for its id, by the monotonic clock; those that are absent are dropped."""

OWN_ID = "own-"
"""Begins the ids that we give to sessions."""


def session_id() -> str:
    """Return the id of this thread's session, empty outside of one. If Streamlit's own id is out of reach, we give it one."""
    if context := script_context():
        own: str = context.session_id
    elif st.runtime.exists():
        own = st.session_state.setdefault("own_session_id", f"{OWN_ID}{uuid.uuid4()}")
    else:
        return ""
    now = time.monotonic()
    _last_runs[own] = now
    for gone in [known for known, at in list(_last_runs.items()) if now - at > PRESENCE_SECONDS]:
        _last_runs.pop(gone, None)
    return own


def presence_check() -> Callable[[str], bool]:
    """Return a function, for any thread, that tells whether a browser has the page of a session open.

    Without Streamlit's answer, a session is present for PRESENCE_SECONDS after its script ran.
    """
    is_active = _runtime().is_active_session if _can_ask_for_presence() else None

    def is_present(session_id: str) -> bool:
        if is_active and not session_id.startswith(OWN_ID):
            return bool(is_active(session_id))
        return time.monotonic() - _last_runs.get(session_id, -math.inf) <= PRESENCE_SECONDS

    return is_present


@functools.cache
@_guarded(f"a session counts as gone {PRESENCE_SECONDS:.0f} s after its script ran")
def _can_ask_for_presence() -> bool:
    from streamlit.runtime import Runtime

    _check_signature(Runtime.is_active_session, "self", "session_id")
    return True


# Messages of the browser


@_guarded("changes that arrive together lose their order")
def observe_messages(
    on_message: "Callable[[ScriptRequests, WidgetStates], None]", on_run: "Callable[[ScriptRequests], None]"
) -> bool:
    """Call `on_message` with the widgets' values of every message, before Streamlit merges them. Return True.

    Call `on_run` when a run of the script begins. That run handles every message so far, callbacks first.
    The public way is `st.session_state`, which has the merged values: the newest of each widget.
    """
    from streamlit.proto.WidgetStates_pb2 import WidgetStates
    from streamlit.runtime.scriptrunner import RerunData
    from streamlit.runtime.scriptrunner_utils.script_requests import ScriptRequest, ScriptRequests, ScriptRequestType

    add = ScriptRequests.request_rerun
    ready, yield_ = ScriptRequests.on_scriptrunner_ready, ScriptRequests.on_scriptrunner_yield
    _check_signature(add, "self", "new_data")
    _check_signature(ready, "self")
    _check_signature(yield_, "self")
    # No message may come between the start of a run and `on_run`. One lock for all sessions will do: it is held for microseconds.
    lock = threading.Lock()

    def request_rerun(self: ScriptRequests, new_data: RerunData) -> bool:
        with lock:
            is_accepted = add(self, new_data)
            if is_accepted and new_data.widget_states is not None:
                on_message(self, new_data.widget_states)
            return is_accepted

    def on_scriptrunner_ready(self: ScriptRequests) -> ScriptRequest:
        with lock:
            return report_run(self, ready(self))

    def on_scriptrunner_yield(self: ScriptRequests) -> ScriptRequest | None:
        with lock:
            return report_run(self, yield_(self))

    def report_run(requests: ScriptRequests, request: T) -> T:
        if isinstance(request, ScriptRequest) and request.type == ScriptRequestType.RERUN:
            on_run(requests)
        return request

    # That a request with values is accepted and begins a run, and that it can be a key of a weak dictionary.
    probe = ScriptRequests()
    _check(add(probe, RerunData(widget_states=WidgetStates())) is True, "a rerun is not accepted")
    begun = ready(probe)
    _check(isinstance(begun, ScriptRequest) and begun.type == ScriptRequestType.RERUN, "a run begins otherwise")
    _check("__weakref__" in dir(ScriptRequests) and ScriptRequests.__hash__, "requests cannot be told apart")
    ScriptRequests.request_rerun = request_rerun  # type: ignore[method-assign]
    ScriptRequests.on_scriptrunner_ready = on_scriptrunner_ready  # type: ignore[method-assign]
    ScriptRequests.on_scriptrunner_yield = on_scriptrunner_yield  # type: ignore[method-assign]
    return True


@_guarded("what a person changes right after the server has restarted is undone")
def undrawn_states() -> "list[WidgetState]":
    """Return what the browser has sent of widgets that this session has not drawn yet; the public way knows nothing of them."""
    from streamlit.runtime.state.session_state import Serialized

    context = script_context()
    if context is None:
        return []
    states = context.session_state._state._new_widget_state.states
    _check(isinstance(states, dict), "the widgets' states are in no dictionary")
    return [state.value for state in states.values() if isinstance(state, Serialized)]


# Components


@_guarded("the server takes 70 MB more")
def skip_data_frames() -> bool:
    """Send the data of components as JSON, which ours is, without looking for data frames in it. Return True.

    To look for them, Streamlit imports pandas and PyArrow, which take 0.5 s of the first page.
    """
    from streamlit.components.v2.bidi_component import serialization

    module: Any = serialization
    _check_signature(module.is_dataframe_like, "obj")
    module.is_dataframe_like = _is_data_frame
    return True


def _is_data_frame(obj: object) -> bool:  # noqa: ARG001 -- named as in Streamlit
    return False


# Text fields


@_guarded("drawing the page takes the server longer")
def spare_text_fields_a_copy() -> bool:
    """Let a text field look up its own value. Return True.

    To see whether it is None, Streamlit copies the values of all widgets and components: a tenth of a draw.
    """
    from streamlit.elements.widgets import text_widgets
    from streamlit.runtime.state import get_session_state

    module: Any = text_widgets
    _check_signature(module.get_session_state)
    source, looked_up = inspect.getsource(module), "key in session_state and session_state[key] is None"
    _check(source.count("get_session_state()") == source.count(looked_up) > 0, "a text field uses the state otherwise")
    module.get_session_state = lambda: SimpleNamespace(filtered_state=get_session_state())
    return True


# Uploads


@_guarded("it keeps all uploaded files until their session ends")
def limit_uploads() -> bool:
    """Keep only the newest uploaded file of each session, and MAX_UPLOADED_BYTES of all. Return True.

    Streamlit's own limit is for one file at a time: it keeps whatever a session sends until that ends.
    """
    from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager

    manager = _runtime().uploaded_file_mgr
    _check(isinstance(manager, MemoryUploadedFileManager), f"uploads are kept by {type(manager).__name__}")
    assert isinstance(manager, MemoryUploadedFileManager)
    _check_signature(manager.add_file, "session_id", "file")
    _check_signature(manager.remove_session_files, "session_id")
    _check(isinstance(manager.file_storage, dict), "the files are in no dictionary")
    add, lock, num_bytes = manager.add_file, threading.Lock(), dict[str, int]()

    def add_file(session_id: str, file: "UploadedFileRec") -> None:
        with lock:
            for ended in num_bytes.keys() - manager.file_storage.keys():
                del num_bytes[ended]
            num_bytes.pop(session_id, None)
            manager.remove_session_files(session_id)
            num_bytes[session_id] = len(file.data)
            add(session_id, file)
            while sum(num_bytes.values()) > MAX_UPLOADED_BYTES:
                oldest = next(iter(num_bytes))
                del num_bytes[oldest]
                manager.remove_session_files(oldest)

    manager.add_file = add_file  # type: ignore[method-assign]
    return True


@_guarded("an uploaded file is kept until its session ends")
def remove_upload(file_id: str) -> bool:
    """Remove an uploaded file of this session from the server's memory once it has been read. Return True.

    In the public way it stays until the uploader is taken off the page.
    """
    context = script_context()
    _check(context is not None, "there is no script context")
    assert context is not None
    remove_file: Callable[[str, str], None] = context.uploaded_file_mgr.remove_file  # type: ignore[attr-defined]
    _check_signature(remove_file, "session_id", "file_id")
    remove_file(context.session_id, file_id)
    return True


# Connections


@_guarded("a session that reconnects while others are sent to may miss what was drawn for it")
def follow_reconnections() -> bool:
    """Send what is drawn for a session to the connection that it has at that moment. Return True.

    Streamlit (1.67) iterates over a list of connections that it made before. A session that loses its connection and returns
    while others are sent to has another one by then; its messages would go to the old one and be lost.
    """
    from streamlit.runtime.websocket_session_manager import WebsocketSessionManager

    manager = _runtime()._session_mgr
    _check(isinstance(manager, WebsocketSessionManager), f"sessions are kept by {type(manager).__name__}")
    assert isinstance(manager, WebsocketSessionManager)
    list_sessions, session_info = manager.list_active_sessions, manager.get_active_session_info
    _check_signature(list_sessions)
    _check_signature(session_info, "session_id")
    _check(isinstance(list_sessions(), list), "the sessions are in no list")

    class Connected(list["ActiveSessionInfo"]):
        """Sessions, each with the connection that it has when the iteration reaches it."""

        def __iter__(self) -> "Iterator[ActiveSessionInfo]":
            for known in super().__iter__():
                if current := session_info(known.session.id):
                    yield current

    manager.list_active_sessions = lambda: Connected(list_sessions())  # type: ignore[method-assign]
    return True


@_guarded("a press on a busy machine may be carried out twice")
def take_presses_once() -> bool:
    """Ignore the presses in messages that the browser sends by itself. Return True.

    Streamlit's browser (1.67) keeps a press until its next idle moment. If a fragment reruns by itself before that, its message
    carries the press too, and the press arrives twice.
    """
    from streamlit.proto.ClientState_pb2 import ClientState
    from streamlit.runtime.app_session import AppSession

    original = AppSession.request_rerun
    _check_signature(original, "self", "client_state")
    fields = {"is_auto_rerun", "widget_states"}
    _check(fields <= {*ClientState.DESCRIPTOR.fields_by_name}, f"messages have no {', '.join(sorted(fields))}")

    def request_rerun(self: AppSession, client_state: ClientState | None) -> None:
        if client_state is None or not client_state.is_auto_rerun:
            original(self, client_state)
            return
        original(self, _with_states(client_state, lambda state: not _is_press(state)))

    AppSession.request_rerun = request_rerun  # type: ignore[method-assign]
    return True


@_guarded("a page of a server that has restarted may ignore what is pressed on it")
def answer_unknown_fragments(meanings: str) -> bool:
    """Run the whole script for a message from a fragment that the session does not have. Return True.

    Streamlit (1.67) drops the message. So a session that has not drawn the page yet, since the server has restarted below it,
    would ignore everything on it. Such a session gets the values in the message at once, to draw the page with them. The presses
    follow when it knows the buttons, with the widgets whose ids end with `meanings`; other values may be outdated by then.
    """
    from streamlit.proto.ClientState_pb2 import ClientState
    from streamlit.runtime.app_session import AppSession
    from streamlit.runtime.scriptrunner import ScriptRunner, ScriptRunnerEvent
    from streamlit.runtime.state import SCRIPT_RUN_WITHOUT_ERRORS_KEY

    original = AppSession.request_rerun
    _check_signature(original, "self", "client_state")
    _check_signature(AppSession.has_fragment, "self", "fragment_id")
    fields = {"fragment_id", "is_auto_rerun", "widget_states"}
    _check(fields <= {*ClientState.DESCRIPTOR.fields_by_name}, f"messages have no {', '.join(sorted(fields))}")
    names = {"_scriptrunner", "_event_loop", "_session_state"}
    _check(names <= {*AppSession.__init__.__code__.co_names}, f"sessions have no {', '.join(sorted(names))}")
    _check("on_event" in ScriptRunner.__init__.__code__.co_names, "script runners have no events")

    def request_rerun(self: AppSession, client_state: ClientState | None) -> None:
        name = client_state.fragment_id if client_state and not client_state.is_auto_rerun else ""
        if client_state is None or not name or self.has_fragment(name):
            original(self, client_state)
            return
        whole = _with_states(client_state, lambda state: True)
        whole.fragment_id = ""
        if SCRIPT_RUN_WITHOUT_ERRORS_KEY in self._session_state:  # the page has been drawn
            original(self, whole)
            return
        original(self, _with_states(whole, lambda state: not _is_press(state)))
        if not any(map(_is_press, client_state.widget_states.widgets)):
            return
        presses = _with_states(client_state, lambda state: _is_press(state) or state.id.endswith(meanings))

        def on_event(_sender: object, event: ScriptRunnerEvent, **_details: object) -> None:
            if event == ScriptRunnerEvent.SHUTDOWN:
                with suppress(RuntimeError):  # the server has ended
                    self._event_loop.call_soon_threadsafe(request_rerun, self, presses)

        if self._scriptrunner:  # the session has not ended
            self._scriptrunner.on_event.connect(on_event, weak=False)

    AppSession.request_rerun = request_rerun  # type: ignore[method-assign]
    return True


@_guarded("a page of a busy server may lack what was drawn last, and stop following its run")
def handle_all_of_a_run() -> bool:
    """Let a session handle all messages of a run before it begins the next one. Return True.

    The thread of a run may have ended before the session has handled the run's last messages. If something is pressed just then,
    Streamlit (1.67) begins a new thread, and drops those messages. After a run of the whole script, the page would not be redrawn
    any more, because among them is how often to do so.
    """
    from streamlit.runtime.app_session import AppSession, AppSessionState
    from streamlit.runtime.scriptrunner import RerunData, ScriptRunner, ScriptRunnerEvent

    begin, handle = AppSession._create_scriptrunner, AppSession._handle_scriptrunner_event_on_event_loop
    _check_signature(begin, "self", "initial_rerun_data")
    _check([*inspect.signature(handle).parameters][:3] == ["self", "sender", "event"], "sessions handle events in another way")
    _check("_scriptrunner" in AppSession.__init__.__code__.co_names, "sessions have no _scriptrunner")
    waiting: weakref.WeakKeyDictionary[AppSession, list[RerunData]] = weakref.WeakKeyDictionary()

    def create_scriptrunner(self: AppSession, initial_rerun_data: RerunData) -> None:
        waiting.setdefault(self, []).append(initial_rerun_data)
        if self._scriptrunner is None:  # otherwise it takes no requests any more, and its last event is still to come
            begin_waiting(self)

    def begin_waiting(self: AppSession) -> None:
        first, *others = waiting.pop(self)
        begin(self, first)
        for request in others:
            if not (self._scriptrunner and self._scriptrunner.request_rerun(request)):
                create_scriptrunner(self, request)

    def handle_event(self: AppSession, sender: ScriptRunner | None, event: ScriptRunnerEvent, *args: Any, **details: Any) -> None:
        handle(self, sender, event, *args, **details)
        is_over = event == ScriptRunnerEvent.SHUTDOWN and self._scriptrunner is None
        if is_over and self in waiting and self._state != AppSessionState.SHUTDOWN_REQUESTED:
            begin_waiting(self)

    AppSession._create_scriptrunner = create_scriptrunner  # type: ignore[method-assign]
    AppSession._handle_scriptrunner_event_on_event_loop = handle_event  # type: ignore[method-assign]
    return True


def _is_press(state: "WidgetState") -> bool:
    """Return whether a widget's state is the press of a button or component."""
    return str(state.WhichOneof("value")).endswith("trigger_value")


def _with_states(message: "ClientState", is_kept: "Callable[[WidgetState], bool]") -> "ClientState":
    """Return a copy of a message with a part of the states of its widgets."""
    copy = type(message)()
    copy.CopyFrom(message)
    kept = [state for state in message.widget_states.widgets if is_kept(state)]
    del copy.widget_states.widgets[:]
    copy.widget_states.widgets.extend(kept)
    return copy


# The page's document

END_OF_HEAD, END_OF_BODY = "</head>", "</body>"


@_guarded("a page that cannot connect to the server does not say so")
def document_with(script: str, modules: Iterable[str]) -> str:
    """Return Streamlit's index.html with a script at its end, and links to modules that the browser fetches at once.

    The public way is the document as it is.
    """
    document = Path(st.__file__).with_name("static").joinpath("index.html").read_text("utf-8")
    for end in (END_OF_HEAD, END_OF_BODY):
        _check(document.count(end) == 1, f"index.html does not have {end} once")
    links = "".join(f'<link rel="modulepreload" crossorigin href="{link}">\n' for link in modules if link not in document)
    document = document.replace(END_OF_HEAD, f"{links}{END_OF_HEAD}")
    return document.replace(END_OF_BODY, f"<script>\n{script}</script>\n{END_OF_BODY}")
