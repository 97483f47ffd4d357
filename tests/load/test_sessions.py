"""Many sessions on one server: memory per session, reconnections."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import cycle

import pytest

from tests.support.browser import Server
from tests.support.client import Session
from tests.support.soak import LONG_RUN, MAX_SESSION_MB, Drawing, draw_stroke, drawings, is_empty, memory_mb


@pytest.fixture(scope="module")
def bank() -> list[Drawing]:
    return drawings(2, random.Random(0))


@asynccontextmanager
async def class_room(url: str, bank: list[Drawing]) -> AsyncIterator[Callable[[int, str], Awaitable[list[Session]]]]:
    """Yield a function that opens sessions one by one, each drawing all digits of the bank; close all at the end."""
    present: list[Session] = []

    async def come(count: int, query: str) -> list[Session]:
        new = [Session(url, query) for _ in range(count)]
        present.extend(new)
        for session in new:
            await session.open()
        await asyncio.gather(*(draw_all(session, bank) for session in new))
        return new

    try:
        yield come
    finally:
        for session in present:
            await session.leave()


async def draw_all(session: Session, bank: list[Drawing]) -> None:
    for drawing in bank:
        await session.click("clear")
        await session.wait_for(is_empty, "the empty canvas")
        for index in range(len(drawing.strokes)):
            await draw_stroke(session, drawing, index)


def test_additional_session_watching_a_run_takes_little_memory(server: Server, bank: list[Drawing]) -> None:
    async def measure() -> float:
        async with class_room(server.url, bank) as come:
            (trainer,) = await come(1, LONG_RUN)
            await trainer.click("train")
            await trainer.wait_for(lambda page: "this run" in page.text("result"), "a network of the run")
            await come(9, trainer.query)
            before = memory_mb(server.process.pid)
            await come(20, trainer.query)
            after = memory_mb(server.process.pid)
            await trainer.click("stop")
            await trainer.wait_for(lambda page: "stopped" in page.text("status"), "the end of the run")
            return (after - before) / 20

    assert asyncio.run(measure()) <= MAX_SESSION_MB


def test_sessions_that_left_do_not_accumulate(server: Server, bank: list[Drawing]) -> None:
    async def measure() -> list[float]:
        memory = []
        for _ in range(5):  # the server keeps closed sessions for two minutes
            async with class_room(server.url, bank) as come:
                await come(10, "")
            memory.append(memory_mb(server.process.pid))
        return memory

    memory = asyncio.run(measure())
    assert memory[-1] - memory[0] <= 10 * MAX_SESSION_MB, "forty that left take no more than ten that are there"


def test_reconnect_keeps_the_session_and_reload_starts_another(server: Server, bank: list[Drawing]) -> None:
    async def come_back() -> None:
        async with class_room(server.url, bank) as come:
            (session,) = await come(1, "")
            seen, id_ = session.html("seen"), session.id
            await session.reconnect()
            assert (session.html("seen"), session.id) == (seen, id_)
            await session.reload()
            assert session.id != id_
            assert session.text("reading") == "3", "a newly opened page shows the 3"

    asyncio.run(come_back())


def test_reconnect_to_a_busy_server_is_answered(server: Server) -> None:
    async def look_around(session: Session) -> None:
        for tab in cycle(["Inside", "Misread digits"]):
            await session.open_tab(tab)
            await session.settle()

    async def come_back_to_a_busy_server() -> None:
        *others, one = [await Session(server.url).open() for _ in range(9)]
        session_id = one.id
        async with asyncio.TaskGroup() as all_at_once:
            busy = [all_at_once.create_task(look_around(other)) for other in others]
            for _ in range(12):
                await one.reconnect()
            for each in busy:
                each.cancel()
        assert one.id == session_id
        for session in (one, *others):
            await session.leave()
            assert not session.problems

    asyncio.run(come_back_to_a_busy_server())
