"""The server that misbehaves, seen by a client that reads bytes from a socket and knows no HTTP."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import trustme

from inference_async.emulator import FAULTS, Asked, Fault, FaultServer, fault, refusing
from inference_async.emulator.behaviour import GROUPS, spoken
from inference_async.emulator.golden import TEXT
from inference_async.errors import ConfigurationError
from tests.support import RawServer

PAUSE: Final = 0.0
NO_LINGERING: Final = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
QUIET: Final = 0.03
"""Seconds of silence after which nothing more is taken to come; a slow machine makes such a test no stricter."""


def request(*, stream: bool = False, **headers: str) -> bytes:
    body = json.dumps({"messages": [{"role": "user", "content": "hi"}], "stream": stream}).encode()
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return (
        "\r\n".join(
            ["POST /v1/chat/completions HTTP/1.1", "host: x", f"content-length: {len(body)}", *lines, "", ""]
        ).encode()
        + body
    )


WHOLE: Final = request()
STREAM: Final = request(stream=True)


class Raw:
    """A socket."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self._loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self.socket, data)

    async def read(self, size: int = 65536) -> bytes:
        return await self._loop.sock_recv(self.socket, size)

    async def exactly(self, size: int) -> bytes:
        """So many bytes, or fewer if it ends before."""
        received = b""
        async with asyncio.timeout(5):
            while len(received) < size and (piece := await self.read(size - len(received))):
                received += piece
        return received

    async def end(self, *, silent: bool = False) -> bytes | str:
        """What comes next: more bytes, "fin", "rst", or, if it is to be `silent`, nothing for a while."""
        try:
            async with asyncio.timeout(QUIET if silent else 5):
                return await self.read() or "fin"
        except ConnectionResetError:
            return "rst"
        except TimeoutError:
            return "silence"


@asynccontextmanager
async def connected(server: FaultServer) -> AsyncIterator[Raw]:
    with socket.socket() as made:
        made.setblocking(False)
        await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", urlsplit(server.url).port))
        yield Raw(made)


def said_by(given: Fault | str, asked: Asked) -> bytes:
    """The first 200,000 bytes of what a fault says."""
    said = b""
    for piece in spoken(fault(given) if isinstance(given, str) else given, asked).pieces:
        said += piece or b""
        if len(said) > 200_000:
            break
    return said


async def seen_as_catalogued(one: Fault, *, stream: bool) -> None:
    most = 300 if one.group in ("silence", "reuse") and one.endless else 200_000
    asked = Asked(
        path="/v1/chat/completions",
        body=b'{"stream":true}' if stream else b"",
        target="http://elsewhere.invalid/",
    )
    async with FaultServer(one, pause=PAUSE) as server:
        async with connected(server) as raw:
            await raw.send(STREAM if stream else WHOLE)
            received = await raw.exactly(min(most, len((one.ahead or b"") + said_by(one, asked))))
            if server.requests:
                asked = server.requests[0]
            then = spoken(one, asked).then
            if len(received) < most:
                silent = then not in ("fin", "rst")
                assert await raw.end(silent=silent) == ("silence" if silent else then), one.name
        async with asyncio.timeout(5):
            await server.all_closed()
        assert server.open == 0
    assert received == ((one.ahead or b"") + said_by(one, asked))[: len(received)], one.name
    assert received or one.stop == "start"


SLOW_TO_MAKE: Final = {"bomb", "bomb-error"}


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_the_socket_says_what_the_catalogue_does(group: str, stream: bool) -> None:
    members = [one for one in FAULTS.values() if one.group == group and one.name not in SLOW_TO_MAKE]
    await asyncio.gather(*(seen_as_catalogued(one, stream=stream) for one in members))
    assert len(asyncio.all_tasks()) == 1, "nothing is left behind"


async def asks(raw: Raw, server: FaultServer, name: str = "fine") -> None:
    """Ask for the whole, and get what the fault of that name says."""
    await raw.send(WHOLE)
    expected = said_by(name, Asked())
    assert await raw.exactly(len(expected)) == expected


async def test_the_nth_request_gets_the_nth_fault_and_the_last_repeats() -> None:
    async with FaultServer("status-503", FAULTS["bom"], "fine") as server, connected(server) as raw:
        for name in ("status-503", "bom", "fine", "fine"):
            await asks(raw, server, name)
        assert (server.connections, server.open, len(server.requests)) == (1, 1, 4)


async def test_without_faults_it_is_fine() -> None:
    async with FaultServer() as server, connected(server) as raw:
        await asks(raw, server)


async def test_connections_that_are_not_to_be_asked_take_turns_too() -> None:
    async with FaultServer("close-at-once", "reset-at-once", "fine") as server:
        for end in ("fin", "rst"):
            async with connected(server) as raw:
                assert await raw.end() == end
        async with connected(server) as raw:
            await asks(raw, server)
        assert (server.connections, len(server.requests)) == (3, 1)


@pytest.mark.parametrize(("name", "end"), [("close-on-reuse", "fin"), ("reset-on-reuse", "rst")])
async def test_a_request_that_the_connection_is_closed_on_takes_no_turn(name: str, end: str) -> None:
    async with FaultServer(name, "fine") as server:
        async with connected(server) as raw:
            await asks(raw, server)
            assert await raw.end(silent=True) == "silence"
            await raw.send(WHOLE)
            assert await raw.end() == end
        async with connected(server) as raw:
            await asks(raw, server)
        assert len(server.requests) == 3


async def test_what_was_asked_is_told() -> None:
    lines: list[str] = []
    async with FaultServer("bom", log=lines.append) as server, connected(server) as raw:
        await raw.send(request(stream=True, Api_Key="k", X_Twice="1"))
        await raw.exactly(100)
    (asked,) = server.requests
    assert (asked.method, asked.path, asked.headers["api-key"], asked.stream) == (
        *("POST", "/v1/chat/completions", "k"),
        True,
    )
    assert asked.headers["content-length"] == str(len(asked.body))
    assert lines == ["bom POST /v1/chat/completions"]


async def test_a_request_in_chunks_and_one_that_waits_to_be_let_on() -> None:
    async with FaultServer("fine") as server, connected(server) as raw:
        await raw.send(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\nexpect: 100-continue\r\n\r\n")
        assert await raw.exactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        await raw.send(b"5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nx: y\r\n\r\n")
        assert (await raw.exactly(15)) == b"HTTP/1.1 200 OK"
        assert server.requests[0].body == b"hello!"


@pytest.mark.parametrize(
    "said",
    [b"\x16\x03\x01\x02\x00", b"frob\r\n\r\n", b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n", b"x" * 2_000_000],
    ids=["tls", "one word", "length", "endless"],
)
async def test_what_is_no_request_is_refused(said: bytes) -> None:
    async with FaultServer("fine") as server, connected(server) as raw:
        await raw.send(said)
        refusal = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        assert await raw.exactly(len(refusal)) == refusal
        assert await raw.end() == "fin"


async def test_it_closes_when_the_client_says_so() -> None:
    async with FaultServer("fine") as server, connected(server) as raw:
        await raw.send(request(connection="close"))
        await raw.exactly(len(said_by("fine", Asked())))
        assert await raw.end() == "fin"


async def test_a_refusal_that_does_not_wait_for_the_body() -> None:
    async with FaultServer("status-413-early") as server, connected(server) as raw:
        await raw.send(b"POST / HTTP/1.1\r\ncontent-length: 1000000\r\n\r\n")
        assert (await raw.exactly(12)) == b"HTTP/1.1 413"


async def test_bytes_drip() -> None:
    async with FaultServer("drip-head", pause=0.005) as server, connected(server) as raw:
        await raw.send(WHOLE)
        pieces = [await raw.read() for _ in range(4)]
        assert b"".join(pieces) == b"HTTP/1.1"[: len(b"".join(pieces))]


async def test_redirects_lead_to_the_target() -> None:
    async with FaultServer("redirect-307", target="http://127.0.0.1:9/x") as server, connected(server) as raw:
        await raw.send(WHOLE)
        said = said_by("redirect-307", Asked(target="http://127.0.0.1:9/x"))
        assert await raw.exactly(len(said)) == said
        assert b"\r\nlocation: http://127.0.0.1:9/x\r\n" in said


async def test_an_endless_answer_waits_for_its_reader() -> None:
    made = 0

    def pieces(_asked: Asked) -> Iterator[bytes]:
        nonlocal made
        while True:
            made += 1
            yield b"x" * 65536

    async with FaultServer(Fault("flood", "", "size", body=pieces, endless=True)) as server:
        async with connected(server) as raw:
            await raw.send(WHOLE)
            await raw.exactly(100)
            before = -1
            while before != made:  # until the buffers of the network are full
                before = made
                await asyncio.sleep(QUIET)
            assert made < 500
            await raw.exactly(2_000_000)
            await asyncio.sleep(QUIET)
            assert made > before
        async with asyncio.timeout(5):
            await server.all_closed()
        last = made
        await asyncio.sleep(QUIET)
        assert made == last


async def test_a_pause_ends_when_the_client_goes() -> None:
    async with FaultServer("slow", pause=3600) as server:
        async with connected(server) as raw:
            await raw.send(STREAM)
            await raw.exactly(15)
            assert server.open == 1
        async with asyncio.timeout(5):
            await server.all_closed()


@pytest.mark.parametrize("name", ["silence", "mute", "slow", "fine", "endless-text"])
async def test_closing_leaves_nothing_behind(name: str) -> None:
    server = FaultServer(name, pause=3600)
    async with server, connected(server) as raw:
        await raw.send(STREAM)
        await raw.exactly(0 if name in ("silence", "mute") else 15)
        await server.aclose()
        with pytest.raises(OSError):
            async with connected(server):
                pass
    assert server.open == 0
    assert len(asyncio.all_tasks()) == 1


async def test_a_reset_by_the_client_is_no_news() -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))
    async with FaultServer("slow", pause=3600) as server:
        async with connected(server) as raw:
            await raw.send(STREAM)
            await raw.exactly(15)
            connection: Any = next(iter(server._attended.values()))
            raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGERING)
        await server.all_closed()
    assert isinstance(connection._closed._exception, ConnectionResetError)
    del connection._closed  # before its connection, as in some orders of a collection
    gc.collect()
    assert told == []


async def test_nothing_is_done_with_a_connection_that_is_closed() -> None:
    async with FaultServer("slow", pause=3600) as server, connected(server) as raw:
        await raw.send(STREAM)
        await raw.exactly(15)
        connection = next(iter(server._attended.values()))
        await connection.close()
        with pytest.raises(ConnectionResetError):
            await connection.send(b"more")
        with pytest.raises(ConnectionResetError):
            await connection.end("rst")


async def test_a_body_that_fails_is_no_secret() -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))

    def body(_asked: Asked) -> Iterator[bytes]:
        raise LookupError("of the test")

    async with FaultServer(Fault("broken", "", "content", body=body)) as server, connected(server) as raw:
        await raw.send(WHOLE)
        assert await raw.end() in ("fin", "rst")
        await server.all_closed()
    gc.collect()
    assert [str(context["exception"]) for context in told] == ["of the test"]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.mark.parametrize(("name", "end"), [("fine", "silence"), ("close-untold", "fin"), ("reset-in-chunk", "rst")])
async def test_tls(authority: trustme.CA, name: str, end: str) -> None:
    ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(ours)
    theirs = ssl.create_default_context()
    authority.configure_trust(theirs)
    async with FaultServer(name, tls=ours) as server:
        assert server.url.startswith("https://")
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(server.url).port, ssl=theirs)
        writer.write(STREAM)
        if end == "rst":
            with pytest.raises(ConnectionResetError):
                await reader.read(-1)
        else:
            expected = said_by(name, Asked(body=b'{"stream":true}'))
            assert await reader.readexactly(len(expected)) == expected
        if end == "fin":
            assert await reader.read() == b""
        writer.transport.abort()
        async with asyncio.timeout(5):
            await server.all_closed()


async def test_a_port_that_refuses() -> None:
    async with refusing() as url:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", urlsplit(url).port)


async def test_a_port_that_is_taken() -> None:
    async with FaultServer() as server:
        port = urlsplit(server.url).port
        assert port is not None
        with pytest.raises(ConfigurationError, match=f"cannot listen on port {port}"):
            await FaultServer(port=port).start()


def test_a_fault_that_there_is_not() -> None:
    with pytest.raises(ConfigurationError, match="nearest is 'cut-in-chunk'"):
        FaultServer("cut-in-chunks")


async def test_faults_that_are_added_while_it_runs() -> None:
    async with FaultServer("status-503") as server:
        server.misbehave("status-401", "fine")
        for status in (503, 401, 200, 200):
            async with connected(server) as raw:
                await raw.send(WHOLE)
                assert await raw.exactly(12) == b"HTTP/1.1 %d" % status
        with pytest.raises(ConfigurationError, match="expected the name of a fault"):
            server.misbehave("no-such-fault")


async def test_a_server_behind_answers_where_no_fault_is_left() -> None:
    async with FaultServer("status-401") as behind, FaultServer("status-503", behind=behind.url) as server:
        for sent, status in ((WHOLE, 503), (STREAM, 401), (WHOLE, 401)):
            async with connected(server) as raw:
                await raw.send(sent)
                assert await raw.exactly(12) == b"HTTP/1.1 %d" % status
        server.misbehave("status-404")
        async with connected(server) as raw:
            await raw.send(WHOLE)
            assert await raw.exactly(12) == b"HTTP/1.1 404"
        assert len(server.requests) == 4
        assert [request.body for request in behind.requests] == [request.body for request in server.requests[1:3]]
        assert behind.requests[0].stream
        assert behind.requests[0].path == "/v1/chat/completions"


async def test_a_server_behind_that_is_cut_off_with_the_caller() -> None:
    async with (
        RawServer(lambda connection: connection.gone.wait()) as behind,
        FaultServer(behind=behind.url) as server,
        asyncio.timeout(5),
    ):
        async with connected(server) as raw:
            await raw.send(WHOLE)
            await behind.asked.wait()
        await behind.gone.wait()


async def test_several_at_once_over_the_socket() -> None:
    async with FaultServer("gzip+cut-in-chunk+until-close") as server, connected(server) as raw:
        await raw.send(STREAM)
        expected = said_by("gzip+cut-in-chunk+until-close", Asked(body=b'{"stream":true}'))
        assert await raw.exactly(len(expected)) == expected
        assert await raw.end() == "fin"
    assert b"content-encoding: gzip\r\nconnection: close\r\n" in expected
    assert TEXT.encode() not in expected
