"""The reader of bodies: what aiohttp's own would hand out, and a way back to that."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from inference_async.net import body
from inference_async.net.aiohttp import AiohttpReply, AiohttpTransport
from inference_async.net.body import Body, adopt
from inference_async.wire.request import Call
from tests.support import Connection, RawServer

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


class Wire:
    """A protocol that notes whether reading is paused."""

    def __init__(self) -> None:
        self._reading_paused = False
        self.transport: object = self
        self.more: list[bytes] = []
        self.reader: Body

    @property
    def connected(self) -> bool:
        return self.transport is not None

    def pause_reading(self) -> None:
        self._reading_paused = True

    def resume_reading(self, resume_parser: bool = True) -> None:
        self._reading_paused = False
        while self.more:
            self.reader.feed_data(self.more.pop(0))


def bodies(limit: int = 1024) -> tuple[Body, Any]:
    wire: Any = Wire()
    reader = aiohttp.StreamReader(wire, limit, loop=asyncio.get_running_loop())
    adopt(reader)
    assert isinstance(reader, Body)
    wire.reader = reader
    return reader, wire


async def test_all_that_has_come_is_taken_at_once() -> None:
    reader, _ = bodies()
    for piece in (b"a", b"b", b"c"):
        reader.begin_http_chunk_receiving()
        reader.feed_data(piece)
        reader.end_http_chunk_receiving()
    assert await reader.take() == b"abc"
    reader.feed_data(b"d")
    reader.feed_eof()
    assert [await reader.take(), await reader.take()] == [b"d", b""]


async def test_a_reader_waits_until_something_comes() -> None:
    reader, _ = bodies()
    waiting = asyncio.create_task(reader.take())
    await asyncio.sleep(0)
    reader.begin_http_chunk_receiving()
    await asyncio.sleep(0)
    assert not waiting.done()
    reader.feed_data(b"a")
    assert await waiting == b"a"
    waiting = asyncio.create_task(reader.take())
    await asyncio.sleep(0)
    reader.set_exception(ConnectionResetError("gone"))
    with pytest.raises(ConnectionResetError):
        await waiting
    with pytest.raises(ConnectionResetError):
        await reader.take()


async def test_one_task_reads() -> None:
    reader, wire = bodies()
    waiting = asyncio.create_task(reader.take())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="another coroutine"):
        await reader.take()
    reader.feed_data(b"a")
    assert await waiting == b"a"
    wire.transport = None
    with pytest.raises(RuntimeError, match="closed"):
        await reader.take()


async def test_what_is_not_read_holds_the_server_back() -> None:
    reader, wire = bodies(limit=1024)
    reader.feed_data(b"x" * 2049)
    assert wire._reading_paused
    wire.more = [b"y"]
    assert await reader.take() == b"x" * 2049
    assert not wire._reading_paused
    assert await reader.take() == b"y"


async def test_many_small_pieces_hold_it_back_too() -> None:
    reader, wire = bodies(limit=1 << 20)
    for _ in range(body._MANY + 1):
        assert not wire._reading_paused
        reader.feed_data(b"x")
        reader.end_http_chunk_receiving()
    assert wire._reading_paused
    assert len(await reader.take()) == body._MANY + 1
    assert not wire._reading_paused


def test_this_release_of_aiohttp_fits() -> None:
    assert body._FITS


@pytest.mark.parametrize("fits", [True, False])
async def test_where_it_does_not_fit_aiohttps_own_is_read(*, fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "_FITS", fits)

    async def answer(connection: Connection) -> None:
        await connection.send(HEAD)
        await connection.send_chunks(b"one", b"two", b"three")

    async with RawServer(answer) as server:
        transport = AiohttpTransport()
        reply = await transport.send(Call(method="GET", url=server.url, headers={}), connect_timeout=5)
        assert isinstance(reply, AiohttpReply)
        assert isinstance(reply._content, Body) is fits
        pieces = [piece async for piece in _read(reply)]
        assert b"".join(pieces) == b"onetwothree"
        await transport.aclose()


async def _read(reply: Any) -> Any:
    while piece := await reply.read():
        yield piece
