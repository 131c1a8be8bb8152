"""Every way in which no answer comes, on real sockets: the kind of the error, its phase, and no exception but ours."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import trustme

from inference_async import APIConnectionError, ConfigurationError, InferenceError
from inference_async.errors import ConnectTimeoutError
from inference_async.net.aiohttp import AiohttpTransport
from tests.net.peer import CHUNKED, OK, Line, Peer, call

LENIENT = {"a null in a value"} if aiohttp.__version__ < "3.14" else set[str]()
if aiohttp.__version__ < "3.14" and os.environ.get("AIOHTTP_NO_EXTENSIONS"):
    LENIENT.add("chunk longer than said")
"""What an older aiohttp lets pass."""


def rows(table: dict[str, tuple[bytes, str]]) -> pytest.MarkDecorator:
    strict = {name: row for name, row in table.items() if name not in LENIENT}
    return pytest.mark.parametrize(("said", "kind"), strict.values(), ids=strict)


@pytest.fixture
async def transport() -> AsyncIterator[AiohttpTransport]:
    made = AiohttpTransport()
    yield made
    await made.aclose()


async def failure(
    transport: AiohttpTransport, url: str, connect_timeout: float | None = 5, body: bytes = b"{}"
) -> APIConnectionError:
    async def ask() -> None:
        reply = await transport.send(call(url, body=body), connect_timeout=connect_timeout)
        while await reply.read():
            pass

    with pytest.raises(APIConnectionError) as caught:
        await asyncio.wait_for(ask(), 10)
    return caught.value


def facts(error: APIConnectionError) -> tuple[str, str | None, bool]:
    return error.kind, error.phase, error.retryable


HEADS = {
    "nothing": (b"", "cut"),
    "half a status line": (b"HTTP/1.", "cut"),
    "half a head": (b"HTTP/1.1 200 OK\r\ncontent-ty", "cut"),
    "not HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "protocol"),
    "HTTP/0.9": (b"<html>hello</html>\r\n\r\n", "protocol"),
    "HTTP of no version": (b"HTTP/x.y 200 OK\r\n\r\n", "protocol"),
    "no status": (b"HTTP/1.1 abc OK\r\n\r\n", "protocol"),
    "no colon": (b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", "protocol"),
    "length said twice": (OK + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}", "protocol"),
    "length and chunks": (OK + b"content-length: 9\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n", "protocol"),
    "length of no number": (OK + b"content-length: two\r\n\r\n{}", "protocol"),
    "negative length": (OK + b"content-length: -2\r\n\r\n{}", "protocol"),
    "a null in a value": (OK + b"x-one: a\0b\r\ncontent-length: 2\r\n\r\n{}", "protocol"),
    "a line without end": (OK + b"x-one: " + b"a" * 200_000, "protocol"),
    "headers without end": (OK + b"x-one: a\r\n" * 50_000, "protocol"),
    "a status line without end": (b"HTTP/1.1 200 " + b"a" * 200_000, "protocol"),
}


@rows(HEADS)
async def test_the_head_of_an_answer(transport: AiohttpTransport, said: bytes, kind: str) -> None:
    async def act(line: Line) -> None:
        await line.request()
        await line.say(said)
        if kind == "protocol":
            await line.reader.read()  # it is the client who closes

    async with Peer(act) as peer:
        error = await failure(transport, peer.url)
        await asyncio.wait_for(peer.gone(), 5)
    assert facts(error) == (kind, "headers", kind == "cut")
    if kind == "cut":
        when = "in the middle of the answer's head" if said else "before the answer began"
        assert str(error).endswith(f": the connection was closed {when}")
    assert not error.stale
    assert len(str(error)) < 400


BODIES = {
    "length not reached": (OK + b"content-length: 10\r\n\r\n{}", "cut"),
    "half a chunk": (CHUNKED + b"a\r\n123", "cut"),
    "no last chunk": (CHUNKED + b"2\r\n{}\r\n", "cut"),
    "half a last chunk": (CHUNKED + b"2\r\n{}\r\n0\r\n", "cut"),
    "no size of a chunk": (CHUNKED + b"2\r\n{}\r\nzz\r\n", "protocol"),
    "chunk longer than said": (CHUNKED + b"2\r\n{}{}\r\n0\r\n\r\n", "protocol"),
}


@pytest.mark.parametrize("pause", [False, True], ids=["at once", "after the head was read"])
@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
@rows(BODIES)
async def test_the_body_of_an_answer(
    transport: AiohttpTransport, said: bytes, kind: str, reset: bool, pause: bool
) -> None:
    async def act(line: Line) -> None:
        await line.request()
        head, _, rest = said.partition(b"\r\n\r\n")
        await line.say(head + b"\r\n\r\n")
        if pause:
            await asyncio.sleep(0.01)
        await line.say(rest)
        if kind == "protocol":
            await line.reader.read()
        else:
            await asyncio.sleep(0.01)
            if reset:
                line.reset()

    async with Peer(act) as peer:
        error = await failure(transport, peer.url)
        await asyncio.wait_for(peer.gone(), 5)
    assert facts(error) in ((kind, "body", kind == "cut"), (kind, "headers", kind == "cut"))
    assert error.phase == "body" or not pause


@pytest.mark.parametrize("body", [b"", b"{}", b"x" * 5_000_000], ids=["no body", "small", "large"])
async def test_a_request_that_is_reset(transport: AiohttpTransport, body: bytes) -> None:
    async def act(line: Line) -> None:
        await line.reader.readuntil(b"\r\n\r\n")
        line.reset()

    async with Peer(act) as peer:
        error = await failure(transport, peer.url, body=body)
    assert facts(error) == ("cut", "headers", True)
    assert not error.stale


async def test_refused(transport: AiohttpTransport) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        error = await failure(transport, f"http://127.0.0.1:{bound.getsockname()[1]}/")
    assert facts(error) == ("connect", "connect", True)
    assert "connection refused; check the address" in str(error)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70 + ".invalid", "a..invalid"])
async def test_a_name_that_does_not_resolve(
    transport: AiohttpTransport, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.getaddrinfo

    def getaddrinfo(name: Any, *args: Any, **kwargs: Any) -> Any:
        if name == "no-such-host.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    error = await failure(transport, f"http://{host}:1/")
    assert facts(error) == ("dns", "connect", True)


@pytest.mark.parametrize("url", ["http:///v1", "ftp://localhost/v1", "http://localhost:99999/", "http://[::1", "x"])
async def test_a_url_that_is_none(transport: AiohttpTransport, url: str) -> None:
    with pytest.raises((ConfigurationError, APIConnectionError)):
        await transport.send(call(url), connect_timeout=None)


async def test_no_descriptor_is_left(transport: AiohttpTransport) -> None:
    async def act(line: Line) -> None:
        await line.request()

    async with Peer(act) as peer:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        taken: list[socket.socket] = []
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
            with contextlib.suppress(OSError):
                while True:
                    taken.append(socket.socket())
            error = await failure(transport, peer.url.replace("localhost", "127.0.0.1"))
        finally:
            for sock in taken:
                sock.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert facts(error) == ("connect", "connect", True)
    assert "too many open files" in str(error)


async def test_tls_that_is_none(transport: AiohttpTransport) -> None:
    async def plain(line: Line) -> None:
        await line.reader.read(1)
        await line.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with Peer(plain) as peer:
        error = await failure(transport, peer.url.replace("http:", "https:"))
    assert facts(error) == ("tls", "connect", True)
    assert "does not speak TLS" in str(error)


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
async def test_a_handshake_that_is_cut(transport: AiohttpTransport, reset: bool) -> None:
    async def act(line: Line) -> None:
        await line.reader.read(1)
        if reset:
            line.reset()

    async with Peer(act) as peer:
        error = await failure(transport, peer.url.replace("http:", "https:"))
    assert facts(error) == ("tls", "connect", True)


async def test_a_handshake_that_is_mute(transport: AiohttpTransport) -> None:
    async def act(line: Line) -> None:
        await line.reader.read()

    async with Peer(act) as peer:
        error = await failure(transport, peer.url.replace("http:", "https:"), connect_timeout=0.05)
        await asyncio.wait_for(peer.gone(), 5)
    assert isinstance(error, ConnectTimeoutError)
    assert error.phase == "connect"
    assert 0.04 <= error.elapsed < 5  # a loop that counts milliseconds may strike one too early


async def test_a_certificate_that_is_not_trusted(transport: AiohttpTransport) -> None:
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority = trustme.CA()
    authority.issue_cert("other.example").configure_cert(served)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    for made in (transport, AiohttpTransport(ssl=trusting)):
        async with Peer(Line.request, tls=served) as peer:
            error = await failure(made, peer.url)
        assert facts(error) == ("certificate", "connect", False)
        await made.aclose()


async def test_every_error_is_one_of_ours_whatever_aiohttp_raises(
    transport: AiohttpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    for raised in (
        ValueError("x"),
        RuntimeError("x"),
        AssertionError(),
        UnicodeError("x"),
        aiohttp.ClientError(),
        OSError(),
    ):

        async def request(*_: object, raised: Exception = raised, **__: object) -> None:
            raise raised

        monkeypatch.setattr(aiohttp.ClientSession, "_request", request)
        with pytest.raises(InferenceError) as caught:
            await transport.send(call("http://127.0.0.1:1/"), connect_timeout=None)
        assert caught.value.__cause__ is raised
