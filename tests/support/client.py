"""A session of the page without a browser, over Streamlit's websocket protocol, so that a class fits on one machine.

To the server it looks like a tab with Streamlit's front end (1.67): it keeps the tree of elements and the values of widgets,
reruns fragments at their pace, and sends what canvas.js sends after a stroke. It renders nothing and loads no scripts or
images. Since it runs none of the page's own scripts, Clear and Undo act on the server alone. It expects complete messages,
which config.toml asks for.
"""

import asyncio
import contextlib
import html
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, Self

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Block_pb2 import Block
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.NumberInput_pb2 import NumberInput
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from mnist_fc.views import tabs

WAIT_SECONDS = 120.0
"""An upper bound for a busy machine."""

Point = tuple[float, float]
Path = tuple[int, ...]


class NoAnswer(AssertionError):
    """An expected answer did not arrive."""


@dataclass
class Node:
    """An element or a block of the page, and the script run that last sent it."""

    content: Element | Block
    fragment_id: str
    run_id: str


class PageTree:
    """The elements and blocks of a page, by their path."""

    def __init__(self) -> None:
        self.nodes: dict[Path, Node] = {}

    def ids(self) -> set[str]:
        """Return the ids of all widgets and containers."""
        return {id_of(node.content) for node in self.nodes.values()}

    def elements(self) -> Iterator[Element]:
        """Yield all elements."""
        yield from (node.content for node in self.nodes.values() if isinstance(node.content, Element))

    def find(self, key: str, kind: str | None = None) -> tuple[str, Node | None]:
        """Return the id and the node of the widget with that key and, if given, of that kind."""
        for node in self.nodes.values():
            id_ = id_of(node.content)
            if _key(id_) == key and (kind is None or (isinstance(node.content, Element) and node.content.HasField(kind))):  # type: ignore[arg-type]
                return id_, node
        return "", None

    def bodies(self, key: str) -> Iterator[str]:
        """Yield the texts of the elements, and the data of the components, in the containers with that key."""
        for container in [path for path, node in self.nodes.items() if _key(id_of(node.content)) == key]:
            for path in sorted(path for path in self.nodes if path[: len(container)] == container):
                content = self.nodes[path].content
                if isinstance(content, Element):
                    shown = getattr(content, str(content.WhichOneof("type")))
                    yield str(next((found for field in ("body", "text", "json") if (found := getattr(shown, field, ""))), ""))

    def remove(self, path: Path) -> None:
        """Remove a node and everything below it."""
        for other in [other for other in self.nodes if other[: len(path)] == path]:
            del self.nodes[other]

    def remove_stale(self, run_id: str) -> None:
        """Remove what a run of the whole script has not sent."""
        self._remove_others(set(self.nodes), run_id)

    def remove_stale_fragments(self, run_id: str, fragment_ids: list[str]) -> None:
        """Remove what a run of fragments has not sent, inside the blocks that it has sent."""
        fresh = {path for path, node in self.nodes.items() if node.run_id == run_id and node.fragment_id in fragment_ids}
        inside = {path for path in self.nodes if any(path[:depth] in fresh for depth in range(len(path)))}
        inside = {path for path in inside if isinstance(self.nodes[path].content, Block) or self.nodes[path].fragment_id}
        self._remove_others(inside, run_id)

    def _remove_others(self, paths: set[Path], run_id: str) -> None:
        for path in paths:
            if path in self.nodes and self.nodes[path].run_id != run_id:
                self.remove(path)


@dataclass
class CanvasLog:
    """The state of canvas.js: the server's last drawing, and the strokes since then, by number."""

    session: str = ""
    done: int = 0
    given: Mapping[str, Any] = field(default_factory=dict)
    strokes: dict[int, dict[str, Any]] = field(default_factory=dict)

    def receive(self, data: Mapping[str, Any]) -> None:
        """Apply a message from the server."""
        assert self.session in ("", data["session"])
        self.session, self.done, self.given = data["session"], data["done"], data["given"]
        self.strokes = {number: stroke for number, stroke in self.strokes.items() if number > self.given["at"]}

    def add(self, stroke: dict[str, Any]) -> None:
        """Add a stroke."""
        self.strokes[max([self.done, *self.strokes]) + 1] = stroke

    def drawing(self) -> list[dict[str, Any]]:
        """Return the strokes on the canvas as Fabric.js paths."""
        is_over = self.given["beginsAnew"] and self.strokes
        return [*([] if is_over else self.given["strokes"]), *self.strokes.values()]

    def message(self) -> dict[str, Any]:
        """Return the message with all strokes that the server has not confirmed."""
        pending = [stroke for number, stroke in self.strokes.items() if number > self.done]
        return {"session": self.session, "first": self.done + 1, "raw": {"objects": pending}}


class Ticker:
    """Reruns fragments at their own intervals, as the front end does."""

    def __init__(self, rerun: Callable[[str], Awaitable[None]]) -> None:
        self._rerun = rerun
        self._tasks: dict[str, tuple[float, asyncio.Task[None]]] = {}

    @property
    def shortest_interval(self) -> float | None:
        """Return the shortest interval in seconds, or None while nothing is rerun."""
        return min((seconds for seconds, _ in self._tasks.values()), default=None)

    def start(self, fragment_id: str, seconds: float) -> None:
        """Rerun a fragment every `seconds`, unless it already is."""
        if fragment_id not in self._tasks or self._tasks[fragment_id][0] != seconds:
            self.stop(fragment_id)
            self._tasks[fragment_id] = seconds, asyncio.create_task(self._run(fragment_id, seconds))

    def stop(self, fragment_id: str) -> None:
        """Stop rerunning a fragment."""
        if fragment_id in self._tasks:
            self._tasks.pop(fragment_id)[1].cancel()

    def stop_all(self) -> None:
        """Stop rerunning all fragments."""
        for fragment_id in list(self._tasks):
            self.stop(fragment_id)

    async def _run(self, fragment_id: str, seconds: float) -> None:
        with contextlib.suppress(ConnectionClosed):
            loop = asyncio.get_running_loop()
            due = loop.time()
            while True:
                due += seconds
                await asyncio.sleep(due - loop.time())
                await self._rerun(fragment_id)


class Session:
    """One tab with the page. All of its methods belong to one event loop."""

    def __init__(self, url: str, query: str = "") -> None:
        self.url = url
        self.query = query  # of the address; the page changes it
        self.id = ""
        self.problems: list[str] = []  # exceptions shown by the page
        self._changed = asyncio.Condition()
        self._socket: ClientConnection | None = None
        self._receiver: asyncio.Task[None] | None = None
        self._forget()

    def _forget(self) -> None:
        """Reset to a page that has just been opened."""
        self._tree = PageTree()
        self._widgets: dict[str, WidgetState] = {}
        self._canvases: dict[str, CanvasLog] = {}
        self._ticker = Ticker(lambda fragment_id: self._send(fragment_id, is_auto_rerun=True))
        self._run_id = ""
        self._page_hash = ""
        self._answer: Literal["due", "begun", "there"] = "due"
        self._asked = "nothing"
        self._asked_fragment = ""  # empty for the whole page

    async def open(self) -> Self:
        """Open the page and wait until it is complete."""
        await self._connect()
        await self._send(None)
        await self.settle()
        return self

    async def leave(self) -> None:
        """Close the tab; `open` starts a new session at the same address."""
        await self._disconnect()
        self.id = ""
        self._forget()

    async def reload(self) -> None:
        """Reload the page, which starts a new session at the same address."""
        await self.leave()
        await self.open()

    async def reconnect(self) -> None:
        """Drop the connection and reconnect to the same session, as the front end does."""
        await self._disconnect()
        await self._connect()
        await self._send(None)
        await self.settle()

    async def lose_session(self) -> None:
        """Drop the connection and connect to a new session, as below an open page after a restart of the server."""
        await self._disconnect()
        self.id = ""
        self._canvases = {}
        await self._connect()

    async def _connect(self) -> None:
        stream = self.url.replace("http", "ws", 1).rstrip("/") + "/_stcore/stream"
        # The second entry is the XSRF token, which only logged-in users need.
        protocols = ["streamlit", "PLACEHOLDER_AUTH_TOKEN", *([self.id] if self.id else [])]
        self._socket = await connect(stream, subprotocols=protocols, origin=self.url, max_size=None)  # type: ignore[arg-type]
        self._receiver = asyncio.create_task(self._receive(self._socket))

    async def _disconnect(self) -> None:
        self._ticker.stop_all()
        if self._socket:
            await self._socket.close(1001)
        if self._receiver:
            await self._receiver

    # What the page shows

    def has(self, key: str) -> bool:
        """Return whether there is a container or widget with that key."""
        return any(_key(id_) == key for id_ in self._tree.ids())

    def html(self, key: str) -> str:
        """Return the HTML, Markdown and components' data in the container with that key; empty if there is none."""
        return " ".join(self._tree.bodies(key))

    def text(self, key: str) -> str:
        """Return the text in the container with that key."""
        return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", self.html(key))).split())

    def alerts(self) -> list[str]:
        """Return the texts of all alerts."""
        return [element.alert.body for element in self._tree.elements() if element.HasField("alert")]

    def is_enabled(self, key: str) -> bool:
        """Return whether there is an enabled button with that key."""
        _, node = self._tree.find(key)
        return node is not None and isinstance(node.content, Element) and not node.content.button.disabled

    @property
    def tick_seconds(self) -> float | None:
        """Return the shortest interval in seconds at which the page reruns by itself, or None."""
        return self._ticker.shortest_interval

    async def settle(self) -> None:
        """Wait until the last request has been answered; automatic reruns may continue.

        An answer is a run of the page or of the fragment asked. A run that an earlier request of the same fragment began may be
        taken for it: where that matters, wait for what the page shows.
        """
        await self.wait_for(lambda page: page._answer == "there", "the answer")

    async def wait_for(self, condition: Callable[[Self], bool], what: str, seconds: float = WAIT_SECONDS) -> None:
        """Wait until the condition holds. Raises NoAnswer, or ConnectionError if the connection ends first."""
        assert self._receiver
        async with self._changed:
            try:
                async with asyncio.timeout(seconds):
                    while not condition(self):
                        if self._receiver.done():
                            self._receiver.result()  # raises if a message violated the protocol
                            raise ConnectionError(f"the connection ended while waiting for {what}")
                        await self._changed.wait()
            except TimeoutError:
                asked = f"the answer to {self._asked} is {self._answer}"
                raise NoAnswer(f"{what} did not come within {seconds:g} s; {asked}") from None

    # What a person does

    async def click(self, key: str, fragment_id: str | None = None, *, is_auto_rerun: bool = False) -> None:
        """Press a button as soon as it is enabled; with `fragment_id`, as a part of that fragment.

        With `is_auto_rerun` the press is in the message of a fragment that reruns by itself, as a busy browser sends it, too.
        """
        await self.wait_for(lambda page: page.is_enabled(key), f"the enabled button {key}")
        id_, node = self._tree.find(key)
        assert node
        self._widgets[id_] = WidgetState(id=id_, trigger_value=True)
        await self._send(fragment_id or node.fragment_id, is_auto_rerun=is_auto_rerun)
        del self._widgets[id_]

    async def open_tab(self, name: str) -> None:
        """Open a tab of the page by its name."""
        for key, choice in tabs.choices(name).items():
            await self.wait_for(lambda page: page._tree.find(key)[1] is not None, f"the tabs {key}")  # noqa: B023 (awaited)
            id_, node = self._tree.find(key)
            assert node
            self._widgets[id_] = WidgetState(id=id_, string_value=choice)
            await self._send(node.fragment_id)

    async def draw(self, points: Sequence[Point], width: float = 20, canvas: str = "canvas") -> None:
        """Draw one stroke; return when it has been sent."""
        await self.wait_for(lambda page: page.drawing(canvas) is not None, "the canvas")
        key = f"{canvas}_component"
        log = self._canvases[key]
        log.add(fabric_path(points, width))
        id_, node = self._tree.find(key, "bidi_component")
        assert node
        self._widgets[id_] = WidgetState(id=id_, json_value=json.dumps({"drawing": log.message()}, separators=(",", ":")))
        await self._send(node.fragment_id)

    def drawing(self, canvas: str = "canvas") -> list[dict[str, Any]] | None:
        """Return the strokes on a canvas as Fabric.js paths, or None if it is not on the page."""
        key = f"{canvas}_component"
        return self._canvases[key].drawing() if self._tree.find(key, "bidi_component")[1] else None

    # The protocol

    async def _send(self, fragment_id: str | None, *, is_auto_rerun: bool = False) -> None:
        """Request a run of the script or of one fragment, with the values of all widgets."""
        message = BackMsg()
        state = message.rerun_script
        state.query_string = self.query
        state.widget_states.widgets.extend(self._widgets.values())
        state.page_script_hash = self._page_hash
        state.fragment_id = fragment_id or ""
        state.is_auto_rerun = is_auto_rerun
        context = state.context_info
        context.timezone, context.timezone_offset, context.locale = "UTC", 0, "en-US"
        context.url, context.is_embedded, context.color_scheme = f"{self.url}/", False, "light"
        assert self._socket
        if not is_auto_rerun:
            self._asked = (
                f"{len(state.widget_states.widgets)} widgets of {fragment_id or 'the page'} in {self.id[:8] or 'a new session'}"
            )
            self._answer, self._asked_fragment = "due", fragment_id or ""
        await self._socket.send(message.SerializeToString())

    async def _receive(self, socket: ClientConnection) -> None:
        try:
            with contextlib.suppress(ConnectionClosed):
                async for data in socket:
                    assert isinstance(data, bytes)
                    async with self._changed:
                        self._take(ForwardMsg.FromString(data))
                        self._changed.notify_all()
        finally:
            async with self._changed:
                self._changed.notify_all()

    def _take(self, message: ForwardMsg) -> None:
        match message.WhichOneof("type"):
            case "ref_hash":
                raise AssertionError("the server sent a reference to a message instead of the message")
            case "new_session":
                run = message.metadata.run
                self._run_id = run.script_run_id
                if self._answer == "due" and (not run.fragment_ids or self._asked_fragment in run.fragment_ids):
                    self._answer = "begun"
                self.id = message.new_session.initialize.session_id
                self._page_hash = message.new_session.page_script_hash
                if not run.fragment_ids:
                    self._ticker.stop_all()
            case "auto_rerun":
                self._ticker.start(message.auto_rerun.fragment_id, message.auto_rerun.interval)
            case "stop_auto_rerun":
                for fragment_id in message.stop_auto_rerun.fragment_ids:
                    self._ticker.stop(fragment_id)
            case "delta":
                self._take_delta(tuple(message.metadata.delta_path), message)
            case "script_finished":
                self._finish(message)

    def _take_delta(self, path: Path, message: ForwardMsg) -> None:
        delta = message.delta
        kind = delta.WhichOneof("type")
        if kind == "add_block":
            self._tree.nodes[path] = Node(delta.add_block, delta.fragment_id, self._run_id)
        elif kind == "new_element":
            self._tree.remove(path)
            self._tree.nodes[path] = Node(delta.new_element, delta.fragment_id, self._run_id)
            self._mount(delta.new_element)

    def _finish(self, message: ForwardMsg) -> None:
        """Handle the end of a script run: what it has not sent again is no longer on the page."""
        if message.script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN:
            return
        if self._answer == "begun":
            self._answer = "there"
        if message.script_finished in (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY):
            run = message.metadata.run
            if run.fragment_ids:
                self._tree.remove_stale_fragments(run.script_run_id, list(run.fragment_ids))
            elif run.script_run_id == self._run_id:
                self._tree.remove_stale(run.script_run_id)
            there = self._tree.ids()
            self._widgets = {id_: state for id_, state in self._widgets.items() if id_ in there}

    def _mount(self, element: Element) -> None:
        """Handle a new element; a widget gets its default, or the value that the page sets."""
        if element.HasField("exception"):
            self.problems.append(f"{element.exception.type}: {element.exception.message}")
        if element.HasField("bidi_component") and element.bidi_component.component_name == "mnist_fc_canvas":
            log = self._canvases.setdefault(_key(element.bidi_component.id), CanvasLog())
            log.receive(json.loads(element.bidi_component.json))
        if element.bidi_component.component_name == "mnist_fc_address":
            self.query = json.loads(element.bidi_component.json)["query"]
        state = widget_state(element)
        if state and (state.id not in self._widgets or getattr(element, str(element.WhichOneof("type"))).set_value):
            self._widgets[state.id] = state


def id_of(content: Element | Block) -> str:
    """Return the id of a widget, a keyed container or the tabs; empty if there is none."""
    if isinstance(content, Block):
        return content.tab_container.id or content.id
    return str(getattr(getattr(content, str(content.WhichOneof("type"))), "id", ""))


def _key(id_: str) -> str:
    """Return the key that the script gave; ids have the form $$ID-digest-key."""
    return id_.split("-", 2)[2] if id_.count("-") >= 2 else ""


def widget_state(element: Element) -> WidgetState | None:
    """Return the initial value of a widget, set by the page or its default; None for what has no value."""
    match element.WhichOneof("type"):
        case "selectbox":
            box = element.selectbox
            default = box.options[box.default] if box.HasField("default") else ""
            return WidgetState(id=box.id, string_value=box.raw_value if box.set_value else default)
        case "slider":
            slider = element.slider
            values = list(slider.raw_value) if slider.set_value else [slider.options[int(i)] for i in slider.default]
            return _strings(slider.id, values)
        case "button_group":
            group = element.button_group
            values = list(group.raw_values) if group.set_value else [group.options[i].content for i in group.default]
            return _strings(group.id, values)
        case "multiselect":
            multi = element.multiselect
            values = list(multi.raw_values) if multi.set_value else [multi.options[i] for i in multi.default]
            return _strings(multi.id, values)
        case "number_input":
            number = element.number_input
            value = number.value if number.set_value else number.default
            if number.data_type == NumberInput.INT:
                return WidgetState(id=number.id, int_value=int(value))
            return WidgetState(id=number.id, double_value=value)
        case "checkbox":
            checkbox = element.checkbox
            return WidgetState(id=checkbox.id, bool_value=checkbox.value if checkbox.set_value else checkbox.default)
        case "text_input":
            text = element.text_input
            return WidgetState(id=text.id, string_value=text.value if text.set_value else text.default)
    return None


def _strings(id_: str, values: Sequence[str]) -> WidgetState:
    state = WidgetState(id=id_)
    state.string_array_value.data.extend(values)
    return state


def fabric_path(points: Sequence[Point], width: float) -> dict[str, Any]:
    """Return a stroke as Fabric.js's brush makes it from mouse moves: curves through their midpoints."""
    moves = [points[0], *(_between(a, b, i / 8) for a, b in pairwise(points) for i in range(1, 9))]
    curves = [["Q", *a, *_between(a, b, 0.5)] for a, b in pairwise(moves)]
    ink = {"type": "Path", "stroke": "#000000", "fill": None, "strokeLineCap": "round", "strokeLineJoin": "round"}
    return {**ink, "path": [["M", *points[0]], *curves, ["L", *points[-1]]], "strokeWidth": width}


def _between(a: Point, b: Point, share: float) -> Point:
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share
