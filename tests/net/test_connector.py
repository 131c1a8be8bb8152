"""Connections that are used again: which are fit for it, which are not, and what was said on them by whom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import aiohttp
import pytest

from inference_async import APIConnectionError
from inference_async.net.aiohttp import AiohttpTransport, _limits
from inference_async.net.connector import Connector
from inference_async.wire.request import Call
from tests.net.peer import CHUNKED, OK, WHOLE, Line, Peer, call

STRAY = OK + b"content-length: 5\r\n\r\nstray"


@pytest.fixture
async def transport() -> AsyncIterator[AiohttpTransport]:
    made = AiohttpTransport()
    yield made
    await made.aclose()


async def ask(transport: AiohttpTransport, url: str, method: str = "POST") -> bytes:
    asked = call(url) if method == "POST" else Call(method=method, url=url, headers={})
    reply = await transport.send(asked, connect_timeout=5)
    body = b""
    while piece := await reply.read():
        body += piece
    return body


async def settle() -> None:
    """Let the loop see what was sent."""
    for _ in range(5):
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
async def test_a_kept_connection_that_dies_upon_the_next_request_is_stale(
    transport: AiohttpTransport, reset: bool, method: str
) -> None:
    async def act(line: Line) -> None:
        await line.request()
        if line.number == 0:
            await line.say(WHOLE)
            await line.request()
        if reset:
            line.reset()

    async with Peer(act) as peer:
        assert await ask(transport, peer.url, method) == b"{}"
        with pytest.raises(APIConnectionError) as caught:
            await ask(transport, peer.url, method)
        assert len(peer.lines) == 1
        assert (caught.value.kind, caught.value.phase, caught.value.stale) == ("cut", "headers", True)
        with pytest.raises(APIConnectionError) as caught:
            await ask(transport, peer.url, method)
        assert len(peer.lines) == 2  # aiohttp itself would have sent a GET a third time
        assert (caught.value.kind, caught.value.phase, caught.value.stale) == ("cut", "headers", False)


async def test_a_kept_connection_that_dies_in_the_middle_of_a_head_is_not_stale(transport: AiohttpTransport) -> None:
    async def act(line: Line) -> None:
        await line.request()
        await line.say(WHOLE)
        await line.request()
        await line.say(b"H")

    async with Peer(act) as peer:
        await ask(transport, peer.url)
        with pytest.raises(APIConnectionError, match="closed in the middle of the answer's head") as caught:
            await ask(transport, peer.url)
        assert len(peer.lines) == 1
    assert (caught.value.kind, caught.value.stale) == ("cut", False)


@pytest.mark.parametrize("seen", [True, False], ids=["seen by the loop", "not yet seen"])
@pytest.mark.parametrize("end", ["FIN", "RST"])
async def test_a_kept_connection_that_is_dead_is_not_used(transport: AiohttpTransport, end: str, seen: bool) -> None:
    """As of llama.cpp's server, which closes the connection after each stream it promised to keep."""

    async def act(line: Line) -> None:
        await line.request()
        await line.say(CHUNKED + b"2\r\n{}\r\n0\r\n\r\n")
        if seen:
            await asyncio.sleep(0.005)
        if end == "RST":
            line.reset()

    async with Peer(act) as peer:
        for number in range(3):
            assert await ask(transport, peer.url) == b"{}"
            if seen:
                await asyncio.wait_for(peer.gone(), 5)
                await settle()
            else:
                while peer.open:  # noqa: ASYNC110  (in single steps of the loop)
                    await asyncio.sleep(0)
            assert len(peer.lines) == number + 1


PARTING = {
    "chunked, in one segment": CHUNKED + b"2\r\n{}\r\n0\r\n\r\n" + STRAY,
    "length, in one segment": WHOLE + STRAY,
    "chunked, half of it": CHUNKED + b"2\r\n{}\r\n0\r\n\r\n" + STRAY[:20],
    "without a body": WHOLE + b"HTTP/1.1 204 No Content\r\n\r\n",
    "no HTTP": WHOLE + b"garbage\r\n\r\n",
}


@pytest.mark.parametrize("late", [False, True], ids=["with the end", "later"])
@pytest.mark.parametrize("apart", [False, True], ids=["head with body", "head before"])
@pytest.mark.parametrize("said", PARTING.values(), ids=PARTING)
async def test_what_nobody_asked_for_is_no_answer(
    transport: AiohttpTransport, said: bytes, apart: bool, late: bool
) -> None:
    async def act(line: Line) -> None:
        while True:
            await line.request()
            if line.number:
                await line.say(WHOLE)
                continue
            head, _, rest = said.partition(b"\r\n\r\n")
            body = b"2\r\n{}\r\n0\r\n\r\n" if b"chunked" in head else b"{}"
            await line.say(head + b"\r\n\r\n" + (b"" if apart else rest.removeprefix(body) and body if late else rest))
            if apart:
                await asyncio.sleep(0.003)
                await line.say(body if late else rest)
            if late:
                await asyncio.sleep(0.003)
                await line.say(rest.removeprefix(body))

    async with Peer(act) as peer:
        broken: list[str] = []
        for _ in range(4):
            try:
                assert await ask(transport, peer.url) == b"{}"
            except APIConnectionError as error:
                broken.append(error.kind)
            if late:
                await asyncio.sleep(0.006)
    assert set(broken) <= {"protocol"}
    assert not broken or not said.endswith(STRAY)  # which is known for what it is


@pytest.mark.parametrize(
    "said", [STRAY[:20], b"H", b"\r\n", STRAY], ids=["half a head", "a letter", "a blank line", "all"]
)
async def test_a_connection_on_which_something_was_said_meanwhile_is_not_used(
    transport: AiohttpTransport, said: bytes
) -> None:
    """A part of an answer too, of which no parser that begins anew would know."""

    async def act(line: Line) -> None:
        await line.request()
        await line.say(WHOLE)
        await asyncio.sleep(0.003)
        await line.say(said)
        await line.request()

    async with Peer(act) as peer:
        for number in range(3):
            assert await ask(transport, peer.url) == b"{}"
            await asyncio.sleep(0.01)
            assert len(peer.lines) == number + 1


async def test_what_lies_unread_on_a_kept_connection_is_no_answer(transport: AiohttpTransport) -> None:
    """The loop has had no step in which to see it."""
    unasked = asyncio.Event()

    async def act(line: Line) -> None:
        while True:
            await line.request()
            await line.say(WHOLE)
            await unasked.wait()
            line.writer.write(STRAY)

    async with Peer(act) as peer:
        assert await ask(transport, peer.url) == b"{}"
        unasked.set()
        await asyncio.sleep(0)  # the peer writes, in the step in which the next call begins
        assert await ask(transport, peer.url) == b"{}"
        assert len(peer.lines) == 2


async def test_a_server_that_speaks_first(transport: AiohttpTransport) -> None:
    """Where it is seen before the request is written; else it cannot be told from a refusal in a hurry."""
    from inference_async.net.connector import Handler

    async def act(line: Line) -> None:
        await line.request()

    def greeted(self: Handler, transport: asyncio.BaseTransport) -> None:
        real(self, transport)
        self.data_received(STRAY)

    real = Handler.connection_made
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Handler, "connection_made", greeted)
        async with Peer(act) as peer:
            with pytest.raises(APIConnectionError, match="spoke before it was asked") as caught:
                await ask(transport, peer.url)
            await asyncio.wait_for(peer.gone(), 5)
    assert (caught.value.kind, caught.value.phase) == ("protocol", "connect")


async def test_twenty_streams_in_a_row_use_one_connection(transport: AiohttpTransport) -> None:
    async def act(line: Line) -> None:
        while True:
            await line.request()
            await line.say(CHUNKED + b"e\r\ndata: [DONE]\n\n\r\n")
            await asyncio.sleep(0)
            await line.say(b"0\r\n\r\n")

    async with Peer(act) as peer:
        for _ in range(20):
            reply = await transport.send(call(peer.url), connect_timeout=5)
            assert await reply.read() == b"data: [DONE]\n\n"
            await reply.finish()
        assert len(peer.lines) == 1


async def test_many_at_once_and_then_again(transport: AiohttpTransport) -> None:
    async def act(line: Line) -> None:
        while True:
            await line.request()
            await line.say(WHOLE)

    async with Peer(act) as peer:
        for _ in range(3):
            assert set(await asyncio.gather(*(ask(transport, peer.url) for _ in range(50)))) == {b"{}"}
        assert len(peer.lines) == 50


class Slow:
    """How long connecting takes, in place of aiohttp's own."""

    def __init__(self, *, seconds: float) -> None:
        self.seconds = seconds
        self.begun = self.under_way = self.most = 0

    async def __call__(self, *_: object) -> object:
        self.begun += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.under_way -= 1
        return object()


async def connected(slow: Slow, monkeypatch: pytest.MonkeyPatch, *, calls: int, limit: float | None) -> list[Any]:
    monkeypatch.setattr("aiohttp.TCPConnector._create_connection", slow.__call__)
    monkeypatch.setattr("inference_async.net.connector._AT_ONCE", 2)
    connector = Connector()
    timeout = aiohttp.ClientTimeout(sock_connect=limit)
    made = [connector._create_connection(cast("Any", None), [], timeout) for _ in range(calls)]
    results = await asyncio.gather(*made, return_exceptions=True)
    assert not slow.under_way
    await connector.close()
    return results


async def test_the_wait_for_a_turn_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(seconds=0.05)
    results = await connected(slow, monkeypatch, calls=8, limit=0.12)  # four turns of 50 ms, which is over 120 ms
    assert not any(isinstance(result, BaseException) for result in results)
    assert slow.most == 2


@pytest.mark.parametrize("limit", [None, 5.0])
async def test_all_get_their_turn(limit: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(seconds=0)
    assert len(await connected(slow, monkeypatch, calls=50, limit=limit)) == 50
    assert slow.most == 2


async def test_who_waits_for_a_turn_fails_with_those_who_got_one(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(seconds=60)
    results = await connected(slow, monkeypatch, calls=8, limit=0.05)  # and not one pair after the other
    assert [type(result) for result in results] == [TimeoutError] * 8
    assert slow.begun == 2


async def test_a_cancelled_wait_for_a_turn_leaves_the_turns_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(seconds=0.02)
    monkeypatch.setattr("aiohttp.TCPConnector._create_connection", slow.__call__)
    monkeypatch.setattr("inference_async.net.connector._AT_ONCE", 1)
    connector = Connector()
    timeout = aiohttp.ClientTimeout(sock_connect=5)
    calls = [asyncio.ensure_future(connector._create_connection(cast("Any", None), [], timeout)) for _ in range(5)]
    await asyncio.sleep(0)
    for call_ in calls[:3]:
        call_.cancel()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(result, asyncio.CancelledError) for result in results] == [True, True, True, False, False]
    assert connector._turns == 1
    assert not connector._waiting
    await connector.close()


async def test_turns_come_in_the_order_of_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference_async.net.connector._AT_ONCE", 1)
    connector = Connector()
    order: list[int] = []

    async def connect(number: int) -> None:
        await connector._turn(5)
        order.append(number)
        await asyncio.sleep(0)
        connector._opened_at = connector._loop.time()
        connector._leave()

    await asyncio.gather(*[connect(number) for number in range(20)])
    assert order == list(range(20))
    assert connector._turns == 1
    await connector.close()


async def test_a_turn_that_comes_late_leaves_the_rest_of_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference_async.net.connector._AT_ONCE", 1)
    connector = Connector()
    assert await connector._turn(5) == 5
    asyncio.get_running_loop().call_later(0.05, connector._leave)  # nobody got through
    left = await connector._turn(5)
    assert left is not None
    assert 0 < left < 5
    connector._leave()
    assert connector._turns == 1
    await connector.close()


def test_aiohttp_rounds_no_limit_up() -> None:
    for own in (True, False):
        assert _limits(5.1, own=own).ceil_threshold > 1e9
