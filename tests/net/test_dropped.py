"""What becomes of transports and replies that nobody closes, with the garbage collector off; and after a fork."""

from __future__ import annotations

import asyncio
import gc
import os
import ssl
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import trustme

from inference_async import ClientClosedError, ConfigurationError, InferenceClient, WrongEventLoopError
from inference_async.net.aiohttp import AiohttpTransport
from tests.net.peer import CHUNKED, WHOLE, Line, Peer, call
from tests.support import json_reply

DROPPED = r"an InferenceClient was dropped without being closed; use `async with` or call aclose\(\)"


@pytest.fixture(autouse=True)
def _no_garbage_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


async def keep(line: Line) -> None:
    while True:
        await line.request()
        await line.say(WHOLE)


async def begin(line: Line) -> None:
    await line.request()
    await line.say(CHUNKED + b"2\r\n{}\r\n")
    await line.reader.read()


def trusted() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    served, trusting = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(served)
    authority.configure_trust(trusting)
    return served, trusting


def complaints() -> list[dict[str, Any]]:
    """What asyncio's exception handler is told from now on."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    return told


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("act", [keep, begin], ids=["idle", "in the middle of an answer"])
async def test_a_dropped_transport_warns_once_and_closes(act: Any, tls: bool) -> None:
    served, trusting = trusted()
    told = complaints()
    async with Peer(act, tls=served if tls else None) as peer:
        transport = AiohttpTransport(ssl=trusting)
        reply = await transport.send(call(peer.url), connect_timeout=5)
        assert await reply.read() == b"{}"
        with pytest.warns(ResourceWarning, match=DROPPED) as caught:
            del transport
        assert len(caught) == 1
        await asyncio.wait_for(peer.gone(), 5)
        if act is begin:
            with pytest.raises(ClientClosedError, match="dropped"):
                await reply.read()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            del reply
            gc.collect()
    assert told == []


@pytest.mark.parametrize("act", [keep, begin], ids=["idle", "in the middle of an answer"])
async def test_a_dropped_client(act: Any) -> None:
    async def answer(line: Line) -> None:
        await line.request()
        await line.say(json_reply({"choices": [{"index": 0, "message": {"content": "a"}, "finish_reason": "stop"}]}))
        await line.reader.read()

    async with Peer(answer) as peer:
        client = InferenceClient(peer.url.removesuffix("/chat/completions"), model="m")
        await client.complete("hi")
        with pytest.warns(ResourceWarning, match=DROPPED):
            del client
        await asyncio.wait_for(peer.gone(), 5)


async def test_transports_that_hold_nothing_are_dropped_in_silence() -> None:
    told = complaints()
    async with Peer(keep) as peer:
        AiohttpTransport()
        closed = AiohttpTransport()
        await closed.send(call(peer.url), connect_timeout=5)
        await closed.aclose()
        del closed
        gc.collect()
    assert told == []


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
async def test_a_dropped_reply_closes_its_connection(tls: bool) -> None:
    served, trusting = trusted()
    told = complaints()
    async with Peer(begin, tls=served if tls else None) as peer:
        transport = AiohttpTransport(ssl=trusting)
        reply = await transport.send(call(peer.url), connect_timeout=5)
        assert await reply.read() == b"{}"
        del reply
        await asyncio.wait_for(peer.gone(), 5)
        await transport.aclose()
        gc.collect()
    assert told == []


@pytest.mark.parametrize("dropped", [False, True], ids=["closed", "dropped"])
async def test_a_peer_that_has_stopped_reading_keeps_no_socket(dropped: bool) -> None:
    """Over TLS, a connection is closed with a word of each side, and asyncio waits half a minute for the other's."""
    served, trusting = trusted()
    over = asyncio.Event()

    async def stall(line: Line) -> None:
        await line.request()
        await line.say(CHUNKED + b"2\r\n{}\r\n")
        line.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await over.wait()
        line.writer.transport.abort()

    async with Peer(stall, tls=served) as peer:
        transport: Any = AiohttpTransport(ssl=trusting)
        reply = await transport.send(call(peer.url), connect_timeout=5)
        assert await reply.read() == b"{}"
        (handler,) = transport._own.session.connector._acquired
        closed = handler.closed
        if not dropped:
            reply.close()
        del reply
        await asyncio.wait_for(closed, 1)
        over.set()
        await asyncio.wait_for(peer.gone(), 5)
        await transport.aclose()


def in_a_thread(server: Any) -> tuple[threading.Thread, asyncio.AbstractEventLoop, Peer]:
    """A peer in a loop of its own, which outlives the client's."""
    ready = threading.Event()
    found: list[Any] = []

    async def main() -> None:
        async with server as peer:
            found.extend((asyncio.get_running_loop(), peer, stop := asyncio.Event(), stop.set))
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    ready.wait(5)
    thread.stop = lambda: found[0].call_soon_threadsafe(found[3])  # type: ignore[attr-defined]
    return thread, found[0], found[1]


@pytest.mark.usefixtures("_loop_of_asyncio")
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("act", [keep, begin], ids=["idle", "in the middle of an answer"])
def test_a_transport_dropped_after_its_loop_was_closed(act: Any, tls: bool, caplog: pytest.LogCaptureFixture) -> None:
    served, trusting = trusted()
    thread, loop, peer = in_a_thread(Peer(act, tls=served if tls else None))
    try:
        transport = AiohttpTransport(ssl=trusting)

        async def main(transport: AiohttpTransport) -> object:
            reply = await transport.send(call(peer.url), connect_timeout=5)
            await reply.read()
            return reply

        reply = asyncio.run(main(transport))
        with warnings.catch_warnings(record=True) as caught:  # of asyncio and aiohttp too
            warnings.simplefilter("always")
            del transport
            del reply
            gc.collect()
        assert "an InferenceClient was dropped" in str(caught[0].message)
        assert len(caught) == 1
        asyncio.run_coroutine_threadsafe(asyncio.wait_for(peer.gone(), 5), loop).result(5)
        assert caplog.records == []
    finally:
        thread.stop()  # type: ignore[attr-defined]
        thread.join(5)


@pytest.mark.usefixtures("_loop_of_asyncio")
@pytest.mark.parametrize("dropped", [False, True], ids=["closed", "dropped"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_a_reply_that_ends_after_its_loop_was_closed(
    tls: bool, dropped: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Its transport is still there, unlike above."""
    served, trusting = trusted()
    thread, loop, peer = in_a_thread(Peer(begin, tls=served if tls else None))
    try:
        transport = AiohttpTransport(ssl=trusting)

        async def main(transport: AiohttpTransport) -> Any:
            reply = await transport.send(call(peer.url), connect_timeout=5)
            await reply.read()
            return reply

        reply = asyncio.run(main(transport))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if not dropped:
                reply.close()
            del reply
            gc.collect()
        assert caught == []
        asyncio.run_coroutine_threadsafe(asyncio.wait_for(peer.gone(), 5), loop).result(5)
        with pytest.warns(ResourceWarning, match=DROPPED):
            del transport
        assert caplog.records == []
    finally:
        thread.stop()  # type: ignore[attr-defined]
        thread.join(5)


@pytest.mark.usefixtures("_loop_of_asyncio")
def test_a_transport_is_used_again_in_a_new_loop_once_the_old_one_is_closed() -> None:
    thread, loop, peer = in_a_thread(Peer(keep))
    try:
        transport = AiohttpTransport()

        async def main(*, last: bool = False) -> bytes:
            reply = await transport.send(call(peer.url), connect_timeout=5)
            if last:
                other = asyncio.new_event_loop()
                try:
                    with pytest.raises(WrongEventLoopError):
                        await asyncio.to_thread(
                            other.run_until_complete, transport.send(call(peer.url), connect_timeout=5)
                        )
                finally:
                    other.close()
                await transport.aclose()
            return await reply.read()

        assert asyncio.run(main()) == b"{}"
        assert asyncio.run(main()) == b"{}"
        assert asyncio.run(main(last=True)) == b"{}"
        asyncio.run_coroutine_threadsafe(asyncio.wait_for(peer.gone(), 5), loop).result(5)
        gc.collect()
    finally:
        thread.stop()  # type: ignore[attr-defined]
        thread.join(5)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_process_leaves_the_sockets_of_its_parent_alone() -> None:
    thread, _, peer = in_a_thread(Peer(begin))
    try:
        transport = AiohttpTransport()

        async def ask() -> bytes:
            reply = await transport.send(call(peer.url), connect_timeout=5)
            return await reply.read()

        async def main() -> None:
            reply = await transport.send(call(peer.url), connect_timeout=5)
            assert await reply.read() == b"{}"
            child = os.fork()
            if child == 0:  # pragma: no cover
                code = 1
                try:
                    asyncio._set_running_loop(None)
                    del reply
                    code = 0 if asyncio.run(ask()) == b"{}" else 2
                    del transport_of_child[:]
                    gc.collect()
                finally:
                    os._exit(code)
            assert await asyncio.to_thread(lambda: os.waitpid(child, 0)[1]) == 0
            line = peer.lines[0]
            assert not line.reader.at_eof()
            loop_of_peer.call_soon_threadsafe(line.writer.write, b"5\r\nhello\r\n0\r\n\r\n")
            assert await asyncio.wait_for(reply.read(), 5) == b"hello"
            await transport.aclose()

        transport_of_child = [transport]
        loop_of_peer = _
        asyncio.run(main())
    finally:
        thread.stop()  # type: ignore[attr-defined]
        thread.join(5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ssl": False}, "ssl=False"),
        ({"ssl": True}, "ssl=True"),
        ({"ssl": "ca.pem"}, "ssl= of type str"),
        ({"proxy": 3}, "proxy"),
    ],
)
def test_arguments_that_cannot_be_used(options: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        AiohttpTransport(**options)


def test_an_old_tls_is_refused() -> None:
    context = ssl.create_default_context()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.raises(ConfigurationError, match=r"TLS below 1\.2"):
        AiohttpTransport(ssl=context)


@pytest.mark.parametrize(
    "options", [{"trust_env": True}, {"proxy": "http://p:1"}, {"ssl": ssl.create_default_context()}]
)
async def test_a_session_is_set_up_by_its_owner(options: Any) -> None:
    import aiohttp

    async with aiohttp.ClientSession() as session:
        with pytest.raises(ConfigurationError, match="beside"):
            AiohttpTransport(session, **options)


if sys.platform == "win32":
    pytestmark = pytest.mark.skip(reason="sockets of another kind")
