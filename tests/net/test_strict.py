"""The guard in front of aiohttp's parser in Python: what it lets through, what it refuses, and when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp.client_proto
import aiohttp.http_parser
import pytest
from aiohttp.http_parser import HttpResponseParserPy

from inference_async import APIConnectionError
from inference_async.net.aiohttp import AiohttpTransport
from inference_async.net.connector import Connector, Handler, StrictHandler
from inference_async.net.strict import Course
from tests.faults.expected import EXPECTED, KINDS, Kind
from tests.faults.running import mismatch, one_call
from tests.net.peer import CHUNKED, OK, WHOLE, Line, Peer, call

END = b"0\r\n\r\n"

GOOD = {
    "a length": WHOLE,
    "no length": OK + b"\r\n{}\r\n: \r, and whatever comes",
    "no reason": b"HTTP/1.1 200\r\n\r\n",
    "an odd reason": b"HTTP/1.0 404 \xff: \0\r\n\r\n",
    "LF alone": CHUNKED.replace(b"\r\n", b"\n") + b"2\r\n{}\n0\r\n\n",
    "a newline in front": b"\n\n" + WHOLE,
    "interim answers": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + WHOLE,
    "an interim answer that says it has chunks": b"HTTP/1.1 103 Hm\r\n" + CHUNKED.partition(b"\r\n")[2] + WHOLE,
    "a header that goes on": OK + b"x-frob: 1\r\n\t2\r\n\r\n",
    "chunks": CHUNKED + b"2\r\n{\r\r\n1\r\n\n\r\n" + END,
    "chunks in capitals": OK + b"Transfer-Encoding: Chunked\r\n\r\n0A\r\n0123456789\r\n" + END,
    "extensions": CHUNKED + b'2 ; a="b;c"\r\n{}\r\n0;x\r\n\r\n',
    "zeros before a size": CHUNKED + b"0" * 40 + b"2\r\n{}\r\n" + END,
    "the largest size": CHUNKED + b"f" * 16 + b"\r\n{}",
    "trailers": CHUNKED + b"0\r\nx-frob: 1\r\n 2\r\ncontent-length: 99999999999999999999\r\n\r\n",
    "what comes behind": CHUNKED + END + b"\r\r{}",
    "the largest length": OK + b"content-length: 9999999999999999999\r\n\r\n",
    "a length with zeros": OK + b"content-length: " + b"0" * 40 + b"2\r\n\r\n",
}

# What is good about each, and what cannot follow on it.
BAD = {
    "nothing of HTTP": (b"", b"\0"),
    "another protocol": (b"", b"S"),
    "a body without a head": (b"", b"{"),
    "a version that is none": (b"HTTP/", b"o"),
    "no status": (b"HTTP/1.1", b"\n"),
    "a status of two digits": (b"HTTP/1.1 20", b" "),
    "a status of four digits": (b"HTTP/1.1 200", b"0"),
    "CR in the status line": (b"HTTP/1.1 200 OK\r", b"x"),
    "CR after the status": (b"HTTP/1.1 200\r", b"c"),
    "newlines in front": (b"\n\nHTTP/1.1 200 OK\r\n", b"{"),
    "a name with a space": (OK + b"x-frob", b" "),
    "a name without a colon": (OK + b"x-frob", b"\n"),
    "a name that is none": (OK, b"{"),
    "CR instead of a colon": (OK + b"x-frob", b"\r"),
    "CR in a value": (OK + b"x-frob: 1\r", b"x"),
    "CR in a line that goes on": (OK + b"x-frob: 1\r\n 2\r", b"x"),
    "CR instead of a blank line": (OK + b"\r", b"{"),
    "a length without bounds": (OK + b"Content-Length: 000" + b"9" * 19, b"9"),
    "an interim head": (b"HTTP/1.1 100 Continue\r\n\r\n", b"{"),
    "a size that is no number": (CHUNKED + b"2\r\n{}\r\n", b"x"),
    "a size, with headers behind the coding": (CHUNKED[:-2] + b"x-frob: 1\r\n\r\n", b"x"),
    "a size that is negative": (CHUNKED, b"-"),
    "a space before a size": (CHUNKED, b" "),
    "a size and something": (CHUNKED + b"2 ", b"x"),
    "a size over 64 bits": (CHUNKED + b"2\r\n{}\r\n1" + b"0" * 15, b"0"),
    "no size": (CHUNKED, b"\r"),
    "LF behind a size": (CHUNKED + b"2", b"\n"),
    "CR behind a size": (CHUNKED + b"2\r", b"{"),
    "CR in an extension": (CHUNKED + b"2;a\r", b"b"),
    "more than the size": (CHUNKED + b"2\r\n{}", b"{"),
    "CR behind a chunk": (CHUNKED + b"2\r\n{}\r", b"0"),
    "a trailer that is none": (CHUNKED + b"0\r\n", b"{"),
    "a trailer without a colon": (CHUNKED + b"0\r\nx-frob", b"\n"),
    "CR at the end": (CHUNKED + b"0\r\n\r", b"\r"),
}


@pytest.mark.parametrize("at_once", [1, 3, 10_000])
@pytest.mark.parametrize("said", GOOD.values(), ids=GOOD)
def test_what_can_be_an_answer_is_let_through(said: bytes, at_once: int) -> None:
    course = Course()
    for at in range(0, len(said), at_once):
        piece = said[at : at + at_once]
        assert course.follow(piece) == len(piece), said[: at + at_once]


@pytest.mark.parametrize(("good", "bad"), BAD.values(), ids=BAD)
def test_what_cannot_be_an_answer_is_refused_with_the_byte_that_shows_it(good: bytes, bad: bytes) -> None:
    course = Course()
    for at in range(len(good)):
        assert course.follow(good[at : at + 1]) == 1, good[: at + 1]
    assert course.follow(bad + b"more\r\n") == 0


@pytest.mark.parametrize(("good", "bad"), BAD.values(), ids=BAD)
def test_what_comes_before_a_bad_line_is_let_through(good: bytes, bad: bytes) -> None:
    followed = Course().follow(good + bad + b"more\r\n")
    assert followed <= len(good)
    assert good[followed:].count(b"\n") == 0


@pytest.fixture
def parser_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiohttp as it is where its parser in C was not built."""
    for module in (aiohttp.http_parser, aiohttp.client_proto):
        monkeypatch.setattr(module, "HttpResponseParser", HttpResponseParserPy)


@pytest.fixture
async def transport(parser_in_python: None) -> AsyncIterator[AiohttpTransport]:
    made = AiohttpTransport()
    yield made
    await made.aclose()


async def kind_of_connection() -> type:
    connector = Connector()
    handler = connector._factory()
    await connector.close()
    return type(handler)


async def test_the_guard_stands_in_front_of_the_parser_in_python(parser_in_python: None) -> None:
    assert await kind_of_connection() is StrictHandler


@pytest.mark.skipif(aiohttp.http_parser.HttpResponseParser is HttpResponseParserPy, reason="there is no parser in C")
async def test_no_guard_stands_in_front_of_the_parser_in_c() -> None:
    assert await kind_of_connection() is Handler


SPOILT = "carriage-returns http-0.9 http-2 other-protocol no-blank-line chunk-size-huge"
ODD = "fine interim-103 line-feeds header-folded no-reason until-close chunk-per-byte chunk-extension trailers"
CUT = "chunk-size-garbage gzip drip-head cut-in-chunk reset-in-head close-on-reuse"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [*SPOILT.split(), *ODD.split(), *CUT.split()])
async def test_a_call_ends_as_it_should(name: str, kind: Kind, parser_in_python: None) -> None:
    problem = mismatch(await one_call(name, kind), EXPECTED[name, kind])
    assert problem is None, problem


async def read(transport: AiohttpTransport, url: str) -> bytes:
    reply = await transport.send(call(url), connect_timeout=5)
    body = b""
    while piece := await reply.read():
        body += piece
    return body


@pytest.mark.parametrize(("good", "bad"), BAD.values(), ids=BAD)
async def test_what_cannot_be_an_answer_holds_no_call(transport: AiohttpTransport, good: bytes, bad: bytes) -> None:
    async def act(line: Line) -> None:
        await line.request()
        await line.say(good + bad)
        await line.reader.read()  # it says no more, and closes nothing

    async with Peer(act) as peer, asyncio.timeout(5):
        with pytest.raises(APIConnectionError) as caught:
            await read(transport, peer.url)
        await peer.gone()
    assert (caught.value.kind, caught.value.retryable) == ("protocol", False)
    assert caught.value.phase == ("body" if b"chunked" in good else "headers")


async def test_what_came_before_a_bad_chunk_is_read(transport: AiohttpTransport) -> None:
    """And it was not a cut, though the connection is gone when it is read."""

    async def act(line: Line) -> None:
        await line.request()
        await line.say(CHUNKED + b"5\r\nhello\r\n")
        await line.say(b"1" + b"0" * 16 + b"\r\nlost")
        await line.reader.read()

    async with Peer(act) as peer:
        reply = await transport.send(call(peer.url), connect_timeout=5)
        await asyncio.wait_for(peer.gone(), 5)
        assert await reply.read() == b"hello"
        with pytest.raises(APIConnectionError) as caught:
            await reply.read()
    assert (caught.value.kind, caught.value.phase) == ("protocol", "body")


async def test_each_answer_of_a_connection_is_held_against_it_anew(transport: AiohttpTransport) -> None:
    async def act(line: Line) -> None:
        for said in (CHUNKED + b"2\r\n{}\r\n" + END, WHOLE, b"SSH-2.0-OpenSSH_9.6"):
            await line.request()
            await line.say(said)
        await line.reader.read()

    async with Peer(act) as peer, asyncio.timeout(5):
        assert await read(transport, peer.url) == b"{}"
        assert await read(transport, peer.url) == b"{}"
        with pytest.raises(APIConnectionError) as caught:
            await read(transport, peer.url)
        assert caught.value.kind == "protocol"
        assert len(peer.lines) == 1
