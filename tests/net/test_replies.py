"""Replies of the aiohttp transport: compressed ones, closed ones, cancelled ones, and those whose session goes away."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import zlib
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any

import aiohttp
import pytest

from inference_async import APIConnectionError, ClientClosedError, InvalidResponseError
from inference_async.net.aiohttp import AiohttpReply, AiohttpTransport
from inference_async.net.transport import Reply
from tests.net.peer import CHUNKED, OK, WHOLE, Line, Peer, call


@pytest.fixture
async def transport() -> AsyncIterator[AiohttpTransport]:
    made = AiohttpTransport()
    yield made
    await made.aclose()


def encoded(coding: str, body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-encoding: {coding}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def says(*answers: bytes) -> Any:
    async def act(line: Line) -> None:
        for answer in answers:
            await line.request()
            await line.say(answer)
        await line.reader.read()

    return act


async def body_of(reply: Reply) -> bytes:
    body = b""
    while piece := await reply.read():
        body += piece
    return body


async def test_what_is_asked_for(transport: AiohttpTransport) -> None:
    heads: list[bytes] = []

    async def act(line: Line) -> None:
        heads.append(await line.request())
        await line.say(WHOLE)

    async with Peer(act) as peer:
        await transport.send(call(peer.url), connect_timeout=5)
    head = heads[0].lower()
    assert b"accept-encoding: gzip, deflate\r\n" in head
    assert head.count(b"accept-encoding") == 1
    assert b"cookie" not in head
    assert b"referer" not in head


GOOD = {
    "gzip": gzip.compress(b"hello"),
    "X-GZIP": gzip.compress(b"hello"),
    "GZip, identity": gzip.compress(b"hel") + gzip.compress(b"lo"),
    "deflate": zlib.compress(b"hello"),
    "identity": b"hello",
    "": b"hello",
}


@pytest.mark.parametrize("own", [True, False], ids=["own session", "caller's session"])
@pytest.mark.parametrize(("coding", "body"), GOOD.items(), ids=GOOD)
async def test_codings(coding: str, body: bytes, own: bool) -> None:
    async with Peer(says(encoded(coding, body), encoded(coding, body))) as peer, aiohttp.ClientSession() as session:
        transport = AiohttpTransport(None if own else session)
        for _ in range(2):
            reply = await transport.send(call(peer.url), connect_timeout=5)
            assert await body_of(reply) == b"hello"
            assert await reply.read() == b""
        assert len(peer.lines) == 1
        await transport.aclose()


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "gzip, br", "nonsense" * 100])
async def test_a_coding_that_was_not_asked_for(transport: AiohttpTransport, coding: str) -> None:
    async with Peer(says(encoded(coding, b"hello").replace(b"length: 5", b"length: 50"))) as peer:
        with pytest.raises(InvalidResponseError, match=r"encoded as .*, which was not asked for") as caught:
            await transport.send(call(peer.url), connect_timeout=5)
        assert caught.value.status == 200
        assert len(str(caught.value)) < 200
        await asyncio.wait_for(peer.gone(), 5)


@pytest.mark.parametrize(("coding", "body"), [("br", b"hello"), ("gzip", b"hello")])
async def test_the_status_of_a_refusal_is_not_lost_for_its_coding(
    transport: AiohttpTransport, coding: str, body: bytes
) -> None:
    async with Peer(says(encoded(coding, body, "429 Too Many Requests"))) as peer:
        reply = await transport.send(call(peer.url), connect_timeout=5)
        assert reply.status == 429
        assert [await reply.read(), await reply.read()] == [b"", b""]


ROTTEN = {
    "corrupt": ("gzip", b"\x1f\x8b\x08\x00" + b"x" * 50, "protocol"),
    "not gzip": ("gzip", b"hello", "protocol"),
    "over too early": ("gzip", gzip.compress(b"hello" * 100)[:-9], "cut"),
    "over at once": ("deflate", b"x", "cut"),
}


@pytest.mark.parametrize(("coding", "body", "kind"), ROTTEN.values(), ids=ROTTEN)
async def test_bodies_that_cannot_be_inflated(transport: AiohttpTransport, coding: str, body: bytes, kind: str) -> None:
    async with Peer(says(encoded(coding, body))) as peer:
        reply = await transport.send(call(peer.url), connect_timeout=5)
        for _ in range(2):
            with pytest.raises(APIConnectionError) as caught:
                await body_of(reply)
            assert (caught.value.kind, caught.value.phase) == (kind, "body")


RUN_TOGETHER = {
    "no blank line": b'data: {"a":1}\n\n',
    "a blank line with a space": b' \r\ndata: {"a":1}\n\n',
    "another field first": b'event: x\ndata: {"a":1}\n\n',
    "the end mark": b"data: [DONE]\n\n",
}


@pytest.mark.parametrize("own", [True, False], ids=["own session", "caller's session"])
@pytest.mark.parametrize("said", RUN_TOGETHER.values(), ids=RUN_TOGETHER)
async def test_a_head_that_runs_into_its_events(said: bytes, own: bool) -> None:
    """The first event is in the head then, and would be missing."""
    async with Peer(says(OK + said + b'data: {"a":2}\n\n')) as peer, aiohttp.ClientSession() as session:
        transport = AiohttpTransport(None if own else session)
        with pytest.raises(APIConnectionError, match="its head runs into its events") as caught:
            await transport.send(call(peer.url), connect_timeout=5)
        assert (caught.value.kind, caught.value.phase) == ("protocol", "headers")
        await asyncio.wait_for(peer.gone(), 5)
        await transport.aclose()


async def test_a_header_called_data_is_one(transport: AiohttpTransport) -> None:
    async with Peer(says(OK + b"data: 1\r\ncontent-length: 2\r\n\r\n{}")) as peer:
        assert await body_of(await transport.send(call(peer.url), connect_timeout=5)) == b"{}"


async def test_compressed_events_come_one_by_one(transport: AiohttpTransport) -> None:
    heard: asyncio.Queue[None] = asyncio.Queue()

    async def act(line: Line) -> None:
        await line.request()
        await line.say(CHUNKED.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n"))
        stream = zlib.compressobj(wbits=31)
        for number in range(20):
            piece = stream.compress(b"data: %d\n\n" % number) + stream.flush(zlib.Z_SYNC_FLUSH)
            await line.say(b"%x\r\n%b\r\n" % (len(piece), piece))
            await heard.get()
        piece = stream.flush()
        await line.say(b"%x\r\n%b\r\n0\r\n\r\n" % (len(piece), piece))

    async with Peer(act) as peer:
        reply = await transport.send(call(peer.url), connect_timeout=5)
        for number in range(20):
            assert await asyncio.wait_for(reply.read(), 5) == b"data: %d\n\n" % number
            heard.put_nowait(None)
        assert await reply.read() == b""


async def test_a_bomb_is_read_a_piece_at_a_time(transport: AiohttpTransport) -> None:
    async with Peer(says(encoded("gzip", gzip.compress(bytes(5_000_000))))) as peer:
        reply = await transport.send(call(peer.url), connect_timeout=5)
        assert [len(await reply.read()) for _ in range(3)] == [65_536] * 3
        reply.close()


@pytest.mark.parametrize("said", [CHUNKED + b"5\r\nhello\r\n", OK + b"content-length: 9\r\n\r\nhello"])
async def test_a_cancelled_finish_closes(transport: AiohttpTransport, said: bytes) -> None:
    async with Peer(says(said)) as peer:
        reply = await transport.send(call(peer.url), connect_timeout=5)
        assert await reply.read() == b"hello"
        finishing = asyncio.create_task(reply.finish())
        await asyncio.sleep(0)
        finishing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await finishing
        await asyncio.wait_for(peer.gone(), 5)


@pytest.mark.parametrize("after", ["nothing", "rot", "FIN", "RST", "closed"])
async def test_finish_never_raises(transport: AiohttpTransport, after: str) -> None:
    async def act(line: Line) -> None:
        await line.request()
        await line.say(CHUNKED + b"5\r\nhello\r\n")
        await asyncio.sleep(0.002)
        if after == "rot":
            await line.say(b"zz\r\n")
        if after == "RST":
            line.reset()
        if after not in ("FIN", "RST"):
            await line.reader.read()

    async with Peer(act) as peer:
        reply = await transport.send(call(peer.url), connect_timeout=5)
        assert await reply.read() == b"hello"
        if after == "closed":
            reply.close()
        await reply.finish()
        await reply.finish()
        await asyncio.wait_for(peer.gone(), 5)


@pytest.mark.parametrize("own", [True, False], ids=["own session", "caller's session"])
@pytest.mark.parametrize("framing", [CHUNKED, OK + b"content-length: 9\r\n\r\n"], ids=["chunked", "length"])
async def test_a_reader_wakes_when_its_session_is_closed(own: bool, framing: bytes) -> None:
    async with Peer(says(framing)) as peer, aiohttp.ClientSession() as session:
        transport = AiohttpTransport(None if own else session)
        reply = await transport.send(call(peer.url), connect_timeout=5)
        reading = asyncio.create_task(reply.read())
        await asyncio.sleep(0)
        await (transport.aclose() if own else session.close())
        with pytest.raises(ClientClosedError):
            await asyncio.wait_for(reading, 5)
        with pytest.raises(ClientClosedError):
            await transport.send(call(peer.url), connect_timeout=5)
        await transport.aclose()


async def test_a_caller_session_that_is_closed_before_the_head_came() -> None:
    async with Peer(says(b"")) as peer, aiohttp.ClientSession() as session:
        transport = AiohttpTransport(session)
        sending = asyncio.create_task(transport.send(call(peer.url), connect_timeout=5))
        while not peer.open:  # noqa: ASYNC110  (a server has no event for it)
            await asyncio.sleep(0)
        await asyncio.sleep(0.005)
        await session.close()
        with pytest.raises(ClientClosedError):
            await asyncio.wait_for(sending, 5)


@pytest.mark.parametrize("own", [True, False], ids=["own session", "caller's session"])
async def test_a_reader_wakes_when_the_size_of_a_chunk_is_none(own: bool) -> None:
    """The C parser of aiohttp lets it wait for ever."""

    async def act(line: Line) -> None:
        await line.request()
        await line.say(CHUNKED + b"2\r\n{}\r\n")
        await asyncio.sleep(0.005)
        await line.say(b"zz\r\n")
        await line.reader.read()

    async with Peer(act) as peer, aiohttp.ClientSession() as session:
        transport = AiohttpTransport(None if own else session)
        reply = await transport.send(call(peer.url), connect_timeout=5)
        assert await reply.read() == b"{}"
        with pytest.raises(APIConnectionError, match="framing is not HTTP") as caught:
            await asyncio.wait_for(reply.read(), 5)
        assert (caught.value.kind, caught.value.phase, caught.value.retryable) == ("protocol", "body", False)
        await transport.aclose()


async def test_nothing_is_kept_of_a_reply_to_a_caller_session() -> None:
    async with Peer(says(*[CHUNKED + b"2\r\n{}\r\n0\r\n\r\n"] * 20)) as peer, aiohttp.ClientSession() as session:
        transport = AiohttpTransport(session)
        for _ in range(20):
            assert await body_of(await transport.send(call(peer.url), connect_timeout=5)) == b"{}"
        assert len(peer.lines) == 1
        assert session.connector is not None
        (((handler, _),),) = session.connector._conns.values()
        assert not (handler.closed._callbacks if handler.closed is not None else [])


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
async def test_cancelling_at_every_step_leaves_no_connection_behind(tls: bool) -> None:
    import trustme

    authority = trustme.CA()
    served, trusting = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(served)
    authority.configure_trust(trusting)
    transport: Any = AiohttpTransport(ssl=trusting)
    ended = 0
    async with Peer(says(CHUNKED + b"2\r\n{}\r\n"), tls=served if tls else None) as peer:
        for steps in range(200):
            sending = asyncio.create_task(transport.send(call(peer.url), connect_timeout=5))
            for _ in range(steps):
                await asyncio.sleep(0)
            sending.cancel()
            outcome = (await asyncio.gather(sending, return_exceptions=True))[0]
            if isinstance(outcome, AiohttpReply):
                ended += 1
                outcome.close()
            else:
                assert isinstance(outcome, asyncio.CancelledError)
            assert transport._own is None or not transport._own.session.connector._acquired
            if ended == 3:
                break
        assert ended
        await asyncio.wait_for(peer.gone(), 5)
        await transport.aclose()


def sightings(key: str, error: BaseException) -> list[str]:
    """Where in an exception, its chain and the locals of its frames a key can be seen."""
    found: list[str] = []
    seen: set[int] = set()

    def look(value: object, where: str) -> None:
        if key in repr(value):
            found.append(where)

    def walk(error: BaseException | None) -> None:
        if error is None or id(error) in seen:
            return
        seen.add(id(error))
        look(error, "repr")
        look(str(error), "str")
        look(error.__dict__, "attributes")
        traceback: TracebackType | None = error.__traceback__
        while traceback is not None:
            frame = traceback.tb_frame
            if frame.f_code.co_filename != __file__:
                for name, value in frame.f_locals.items():
                    look(value, f"{frame.f_code.co_qualname}: {name}")
                    look(getattr(value, "__dict__", None), f"{frame.f_code.co_qualname}: {name}.*")
            traceback = traceback.tb_next
        walk(error.__cause__)
        walk(error.__context__)

    walk(error)
    return found


@pytest.mark.parametrize("way", ["refused", "cut", "reset in a large body", "garbage", "proxy", "cancelled", "body"])
async def test_no_frame_shows_the_key(way: str) -> None:
    key = "k3y-5ecret"

    async def act(line: Line) -> None:
        if way == "reset in a large body":
            await line.reader.readuntil(b"\r\n\r\n")
            line.reset()
            return
        await line.request()
        if way == "body":
            await line.say(CHUNKED + b"2\r\n{}\r\n")
        if way in ("garbage", "proxy"):
            await line.say(b"garbage\r\n\r\n")
        if way == "cancelled":
            await line.reader.read()

    async with Peer(act) as peer:
        url = "http://127.0.0.1:1/" if way == "refused" else peer.url
        proxy = f"http://user:{key}@127.0.0.1:{peer.port}" if way == "proxy" else None
        transport = AiohttpTransport(proxy=proxy)
        asked = call("https://localhost:1/" if proxy else url, key, b"x" * 5_000_000 if "large" in way else b"{}")
        with pytest.raises((APIConnectionError, TimeoutError)) as caught:
            async with asyncio.timeout(0.05 if way == "cancelled" else 5):
                await body_of(await transport.send(asked, connect_timeout=5))
        await transport.aclose()
    assert sightings(key, caught.value) == []
    if proxy:
        import base64

        assert sightings(base64.b64encode(f"user:{key}".encode()).decode(), caught.value) == []
