"""A TCP proxy between browser and server with a fixed delay in each direction. It can hold back everything, or the answers."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

CHUNK = 2**16


class SlowNetwork:
    """Forwards the bytes of connections to `url`, in order, each `delay` seconds after it arrived."""

    def __init__(self, target_port: int) -> None:
        self.delay = 0.0
        """Seconds in each direction, for what arrives from now on."""
        self.port = 0
        self._target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._to_server, self._to_browser = asyncio.Event(), asyncio.Event()
        self._to_server.set()
        self._to_browser.set()

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def hold(self) -> None:
        """Deliver nothing until `release`, but keep the connections, as when Wi-Fi is gone."""
        self._loop.call_soon_threadsafe(self._to_server.clear)
        self._loop.call_soon_threadsafe(self._to_browser.clear)

    def release(self) -> None:
        self._loop.call_soon_threadsafe(self._to_server.set)
        self._loop.call_soon_threadsafe(self._to_browser.set)

    @contextmanager
    def answers_held(self) -> Iterator[None]:
        """Deliver what the browser sends, but no answers, so that what a test does meanwhile precedes them on any machine."""
        self._loop.call_soon_threadsafe(self._to_browser.clear)
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._to_browser.set)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection("localhost", self._target_port)
        try:
            await asyncio.gather(
                self._forward(reader, upstream_writer, self._to_server), self._forward(upstream_reader, writer, self._to_browser)
            )
        except asyncio.CancelledError:
            pass  # the proxy ends while connected
        finally:
            writer.transport.abort()
            upstream_writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_open: asyncio.Event) -> None:
        """Forward what is read, and then the end of the stream, whenever `is_open` is set."""
        on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        delivery = asyncio.create_task(self._deliver(on_the_way, writer, is_open))
        data = b"begin"
        while data:
            try:
                data = await reader.read(CHUNK)
            except ConnectionError:
                data = b""
            on_the_way.put_nowait((self._loop.time() + self.delay, data))
        await delivery

    async def _deliver(
        self, on_the_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter, is_open: asyncio.Event
    ) -> None:
        data = b"begin"
        while data:
            due, data = await on_the_way.get()
            await asyncio.sleep(due - self._loop.time())
            await is_open.wait()
            writer.write(data)
        writer.close()

    async def _serve(self, ready: threading.Event, end: asyncio.Event) -> None:
        server = await asyncio.start_server(self._accept, "localhost", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await end.wait()
        server.close()

    @contextmanager
    def running(self) -> Iterator["SlowNetwork"]:
        ready, end = threading.Event(), asyncio.Event()
        thread = threading.Thread(target=self._run, args=(ready, end))
        thread.start()
        ready.wait()
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(end.set)
            thread.join()

    def _run(self, ready: threading.Event, end: asyncio.Event) -> None:
        """Serve until `end`, then close all connections."""
        self._loop.run_until_complete(self._serve(ready, end))
        if left := asyncio.all_tasks(self._loop):
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.wait(left))
        self._loop.run_until_complete(asyncio.sleep(0))  # let the sockets close
        self._loop.close()
