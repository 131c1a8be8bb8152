"""Requests without aiohttp's session: the same bytes as with it, and the whole way where somebody has a hand on it."""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any
from unittest.mock import patch

import aiohttp
import pytest
import trustme

from inference_async import ConfigurationError
from inference_async.net import direct
from inference_async.net.aiohttp import AiohttpTransport
from inference_async.net.connector import Connector
from inference_async.net.direct import Lane
from inference_async.net.transport import Reply
from inference_async.wire.request import Call, Secret
from tests.net.peer import CHUNKED, OK, WHOLE, Line, Peer

KEY = "sesame-0123456789"


@pytest.fixture(autouse=True)
def _by_lane(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--way") == "session":
        pytest.skip("there is no other way in this run")


@pytest.fixture
def taken() -> Iterator[list[str]]:
    """The methods of the calls that went the short way."""
    seen: list[str] = []
    request = Lane.request

    async def noted(self: Lane, call: Call, *args: Any) -> Any:
        seen.append(call.method)
        return await request(self, call, *args)

    with patch.object(Lane, "request", noted):
        yield seen


async def body_of(reply: Reply) -> bytes:
    pieces: list[bytes] = []
    while piece := await reply.read():
        pieces.append(piece)
    return b"".join(pieces)


def call(url: str, method: str = "POST", body: bytes = b"{}", **headers: Any) -> Call:
    return Call(method=method, url=url, headers={"content-type": "application/json", **headers}, body=body)


async def keep_answering(line: Line, heads: list[bytes], *answers: bytes) -> None:
    for answer in answers:
        heads.append(await line.request())
        await line.say(answer)
    await line.request()  # until the other side closes


def lines_of(head: bytes) -> tuple[bytes, set[bytes]]:
    """The request line, and the headers in any order, their names in lower case."""
    first, *rest = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    named = (line.partition(b":") for line in rest)
    return first, {name.lower() + b":" + value for name, _, value in named}


@pytest.mark.parametrize(
    "asked",
    [
        functools.partial(call),
        functools.partial(call, body=b""),
        functools.partial(call, method="PUT", body=b"[1]"),
        functools.partial(call, method="DELETE"),
        functools.partial(call, method="DELETE", body=b""),
        functools.partial(call, method="GET", body=b""),
        functools.partial(call, method="HEAD", body=b""),
        functools.partial(call, accept="text/event-stream", authorization=Secret(f"Bearer {KEY}")),
        functools.partial(call, host="elsewhere.example"),
        functools.partial(call, umlaut="\xe4"),
    ],
    ids=lambda asked: " ".join(map(str, asked.keywords.values())).replace(KEY, "key") or "plain",
)
async def test_the_server_sees_what_a_session_of_aiohttps_would_send(asked: Callable[..., Call]) -> None:
    heads: list[bytes] = []
    answers = [OK + b"content-length: 0\r\n\r\n"] * 2
    async with Peer(lambda line: keep_answering(line, heads, *answers)) as peer:
        transport = AiohttpTransport()
        wanted = asked(f"{peer.url}/deploy%2Fment?api-version=1&x=%20")
        wanted.headers.setdefault("user-agent", "ours")
        with patch.object(Lane, "takes", return_value=False):
            assert await body_of(await transport.send(wanted, connect_timeout=5)) == b""
        assert await body_of(await transport.send(wanted, connect_timeout=5)) == b""
        await transport.aclose()
    by_session, by_lane = map(lines_of, heads)
    if wanted.method in ("GET", "HEAD"):  # a session says that there is no body, though nobody expects one
        by_session[1].discard(b"content-length: 0")
    assert by_lane == by_session


async def test_without_a_content_type_it_is_bytes() -> None:
    heads: list[bytes] = []
    async with Peer(lambda line: keep_answering(line, heads, WHOLE)) as peer:
        transport = AiohttpTransport()
        await body_of(await transport.send(Call("POST", peer.url, {}, b"x"), connect_timeout=5))
        await transport.aclose()
    assert b"content-type: application/octet-stream" in heads[0]


async def test_one_connection_serves_both_ways() -> None:
    heads: list[bytes] = []
    chunked = CHUNKED + b"2\r\n{}\r\n0\r\n\r\n"
    async with Peer(lambda line: keep_answering(line, heads, *[chunked, WHOLE] * 10)) as peer:
        transport = AiohttpTransport()
        for number in range(20):
            with patch.object(Lane, "takes", return_value=number % 3 == 0):
                assert await body_of(await transport.send(call(peer.url), connect_timeout=5)) == b"{}"
        await transport.aclose()
    assert len(peer.lines) == 1


async def test_words_of_patience_are_passed_over() -> None:
    heads: list[bytes] = []
    patience = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
    async with Peer(lambda line: keep_answering(line, heads, patience + WHOLE)) as peer:
        transport = AiohttpTransport()
        reply = await transport.send(call(peer.url), connect_timeout=5)
        assert (reply.status, await body_of(reply)) == (200, b"{}")
        await transport.aclose()


@contextmanager
def traced() -> Iterator[list[str]]:
    """As instrumentation does it: every session is made with a hook."""
    told: list[str] = []

    async def starts(session: object, context: object, params: aiohttp.TraceRequestStartParams) -> None:
        told.append(params.method)

    config = aiohttp.TraceConfig()
    config.on_request_start.append(starts)
    init = aiohttp.ClientSession.__init__

    def hooked(self: aiohttp.ClientSession, *args: Any, **options: Any) -> None:
        init(self, *args, **options, trace_configs=[config])

    with patch.object(aiohttp.ClientSession, "__init__", hooked):
        yield told


@contextmanager
def wrapped(name: str) -> Iterator[list[str]]:
    """As tracers and mocks do it: a method of every session is another one."""
    told: list[str] = []
    method = getattr(aiohttp.ClientSession, name)

    @functools.wraps(method)
    def wrapper(self: aiohttp.ClientSession, verb: str, *args: Any, **options: Any) -> Any:
        told.append(verb)
        return method(self, verb, *args, **options)

    with patch.object(aiohttp.ClientSession, name, wrapper):
        yield told


class Proxy:
    """What wrapt makes of a method: it passes for the method itself."""

    def __init__(self, method: Any, told: list[str]) -> None:
        self._method = method
        self._told = told

    @property  # type: ignore[misc]  # which is the trick
    def __class__(self) -> Any:
        return type(self._method)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._method, name)

    def __get__(self, instance: Any, owner: Any) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __call__(self, session: Any, verb: str, *args: Any, **options: Any) -> Any:
        self._told.append(verb)
        return self._method(session, verb, *args, **options)


@contextmanager
def proxied() -> Iterator[list[str]]:
    told: list[str] = []
    with patch.object(aiohttp.ClientSession, "_request", Proxy(aiohttp.ClientSession._request, told)):
        assert isinstance(aiohttp.ClientSession._request, FunctionType)
        yield told


@pytest.mark.parametrize(
    "hand",
    [traced, functools.partial(wrapped, "request"), functools.partial(wrapped, "_request"), proxied],
    ids=["traced", "request", "_request", "proxy"],
)
async def test_a_hand_on_sessions_sees_the_call(hand: Callable[[], Any], taken: list[str]) -> None:
    heads: list[bytes] = []
    with hand() as told:
        async with Peer(lambda line: keep_answering(line, heads, WHOLE)) as peer:
            transport = AiohttpTransport()
            assert await body_of(await transport.send(call(peer.url), connect_timeout=5)) == b"{}"
            await transport.aclose()
    assert (told, taken) == (["POST"], [])


async def test_a_large_body_goes_the_whole_way(taken: list[str]) -> None:
    heads: list[bytes] = []
    async with Peer(lambda line: keep_answering(line, heads, *[WHOLE] * 3)) as peer:
        transport = AiohttpTransport()
        for body in (b"x" * (64 * 1024 + 1), b"y" * (64 * 1024)):
            assert await body_of(await transport.send(call(peer.url, body=body), connect_timeout=5)) == b"{}"
        await transport.aclose()
    assert taken == ["POST"]


async def test_a_body_that_waits_to_be_asked_for_goes_the_whole_way(taken: list[str]) -> None:
    async def ask(line: Line) -> None:
        await line.reader.readuntil(b"\r\n\r\n")
        await line.say(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await line.reader.readexactly(2) == b"{}"
        await line.say(WHOLE)
        await line.request()

    async with Peer(ask) as peer:
        transport = AiohttpTransport()
        reply = await transport.send(call(peer.url, expect="100-continue"), connect_timeout=5)
        assert await body_of(reply) == b"{}"
        await transport.aclose()
    assert taken == []


@pytest.mark.parametrize("value", ["a\r\nx-more: 1", "a\nb", "a\rb", "a\r\n\r\nGET / HTTP/1.1", "\ud800"])
async def test_a_header_that_breaks_out_of_its_line_is_not_sent(value: str) -> None:
    heads: list[bytes] = []
    async with Peer(lambda line: keep_answering(line, heads, WHOLE)) as peer:
        transport = AiohttpTransport()
        with pytest.raises(ConfigurationError, match="line break") as caught:
            await transport.send(call(peer.url, more=value, key=Secret(KEY)), connect_timeout=5)
        await transport.aclose()
        await peer.gone()
    assert heads == []
    assert caught.value.__context__ is None
    link = caught.value.__traceback__
    while link is not None:
        assert KEY not in repr(link.tb_frame.f_locals) or link.tb_frame.f_code.co_filename == __file__
        link = link.tb_next


async def test_addresses_are_not_kept_without_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "_MANY", 3)
    heads: list[bytes] = []
    async with Peer(lambda line: keep_answering(line, heads, *[WHOLE] * 10)) as peer:
        transport: Any = AiohttpTransport()
        for number in range(10):
            await body_of(await transport.send(call(f"{peer.url}?n={number}"), connect_timeout=5))
            assert len(transport._own.lane._routes) <= 3
        await transport.aclose()
    assert [head.split()[1].rpartition(b"=")[2] for head in heads] == [b"%d" % number for number in range(10)]


async def test_a_connection_with_something_unsent_is_used_by_nobody_else() -> None:
    """The answer came before the request was sent as a whole; what is left of it is not to be waited for."""

    async def answer_at_once(line: Line) -> None:
        await line.reader.readuntil(b"\r\n\r\n")
        await line.say(WHOLE)
        await asyncio.Event().wait()

    async with Peer(answer_at_once) as peer:
        transport: Any = AiohttpTransport()
        with patch.object(direct, "has_unsent", return_value=True):
            for _ in range(2):
                assert await body_of(await transport.send(call(peer.url), connect_timeout=5)) == b"{}"
            assert not transport._own.session.connector._conns
        assert len(peer.lines) == 2
        await transport.aclose()


@pytest.mark.usefixtures("_loop_of_asyncio")
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
async def test_what_is_unsent_is_known_of(tls: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over TLS too, where the transport that is written to hands its bytes to another."""

    def small(address: Any) -> socket.socket:
        made = socket.socket(*address[:3])
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        return made

    made = Connector.__init__

    def init(self: Any, *args: Any) -> None:
        made(self, *args)
        self._socket_factory = small

    async def answer_at_once(line: Line) -> None:
        await line.reader.readuntil(b"\r\n\r\n")
        line.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await line.say(WHOLE)
        try:
            await asyncio.Event().wait()
        finally:
            line.writer.transport.abort()

    monkeypatch.setattr(Connector, "__init__", init)
    authority = trustme.CA()
    served, trusting = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(served)
    authority.configure_trust(trusting)
    async with Peer(answer_at_once, tls=served if tls else None) as peer:
        peer._server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        transport: Any = AiohttpTransport(ssl=trusting)
        for _ in range(2):
            reply = await transport.send(call(peer.url, body=b"x" * 64 * 1024), connect_timeout=5)
            assert await body_of(reply) == b"{}"
            assert not transport._own.session.connector._conns
        assert len(peer.lines) == 2
        await transport.aclose()
