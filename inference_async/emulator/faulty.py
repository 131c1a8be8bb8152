"""The server behind the faults: HTTP/1.1 by hand on asyncio's streams, since no HTTP library would write such bytes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import struct
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Final, Self, cast
from urllib.parse import urlsplit

import msgspec

from .._version import __version__
from ..errors import ConfigurationError
from .behaviour import End, Fault, spoken
from .bodies import BIG, Asked
from .faults import fault
from .page import HEADERS, VIEWS
from .tally import Entry, Status, Tally

__all__ = ["FaultServer", "refusing"]

_MOST_HEAD: Final = 1024 * 1024
_NO_LINGERING: Final = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
_CLIENT_HELLO: Final = b"\x16"
_OF_THE_CONNECTION: Final = ("connection", "content-length", "expect", "transfer-encoding")
_BAD_REQUEST: Final = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class FaultServer:
    """A server on loopback that misbehaves: the n-th request gets the n-th fault, and the last one repeats.

    ::

        async with FaultServer("status-503", "gzip+cut-in-chunk", "fine") as server:
            async with InferenceClient(server.url, model="any") as client:
                ...

    It accepts every path, method and credential, and gives a short chat answer, as a stream if the body of the request
    has ``"stream": true``, with the fault applied to it. If you reach it by ``https://`` and there is no `tls`, it is a
    port that speaks no TLS; with the fault ``mute``, it is one that never speaks.

    A request does not use up a fault if its connection is closed by the fault of an earlier request.

    Args:
        faults: names, such as ``"bom"`` or ``"gzip+cut-in-chunk"``, or values. ``"fine"``, which is the default, is the
            good answer.
        behind: the address of a server on this machine that answers once the faults are used up, instead of the last
            one repeating. Each such answer ends its connection.
        port: where it listens; 0 takes a free port.
        tls: a context to speak TLS with.
        pause: seconds between the bytes or pieces of what is sent slowly.
        target: where redirects to another origin lead.
        page: serve a status page at `GET /` and `GET /status.json`; such requests use up no fault.
        log: called with a line for each request.

    Attributes:
        requests: the requests, in order.
        connections: how many connections were accepted.
        open: how many of them are open now.

    Raises:
        ConfigurationError: there is no such fault.
    """

    def __init__(
        self,
        *faults: Fault | str,
        behind: str | None = None,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        pause: float = 0.2,
        target: str = "http://elsewhere.invalid/",
        page: bool = False,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self.requests: list[Asked] = []
        self.connections = 0
        self._faults = _known(faults or (() if behind else ("fine",)))
        self._behind = behind
        self._turn = 0
        self._port = port
        self._tls = tls
        self._pause = pause
        self._target = target
        self._page = page
        self._tally = Tally()
        self._began = time.monotonic()
        self._log = log
        self._server: asyncio.Server | None = None
        self._attended: dict[asyncio.Task[None], _Connection] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigurationError: the port is taken, or not to be had.
        """
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                partial(_Connection, self._accept), "127.0.0.1", self._port, ssl=self._tls
            )
        except OSError as error:
            reason = os.strerror(error.errno).lower() if error.errno else str(error)
            raise ConfigurationError(
                f"cannot listen on port {self._port}: {reason}; choose another, or 0 for any that is free"
            ) from None
        self._port = self._server.sockets[0].getsockname()[1]

    async def aclose(self) -> None:
        """Stop listening, and end every connection."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for connection in self._attended.values():
            connection.leave()
        await self._idle.wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self._port}"

    @property
    def status(self) -> Status:
        """What the page shows: the requests by the fault that each got."""
        return self._tally.status(
            version=__version__,
            uptime=round(time.monotonic() - self._began, 3),
            answers="a short chat answer" + (f"; behind the faults, {self._behind}" if self._behind else ""),
            limits=[],
            faults=[one.name for one in self._faults],
        )

    @property
    def open(self) -> int:
        """How many connections are open."""
        return len(self._attended)

    async def all_closed(self) -> None:
        """Wait until no connection is open. Cancelling it changes nothing."""
        await self._idle.wait()

    def _accept(self, connection: _Connection) -> None:
        self.connections += 1
        self._idle.clear()
        task = asyncio.get_running_loop().create_task(self._attend(connection))
        self._attended[task] = connection
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._attended[task]
        if not self._attended:
            self._idle.set()

    async def _attend(self, connection: _Connection) -> None:
        serving = asyncio.ensure_future(self._serve(connection))
        try:
            await asyncio.wait((serving, connection.left), return_when=asyncio.FIRST_COMPLETED)
        finally:
            serving.cancel()
            await asyncio.wait((serving,))
            await connection.close()
        error = None if serving.cancelled() else serving.exception()
        if error is not None and not isinstance(error, OSError | EOFError):  # which say that the client has gone
            raise error

    def misbehave(self, *faults: Fault | str) -> None:
        """Add faults for the requests after those that have one already; from any thread.

        Raises:
            ConfigurationError: there is no such fault.
        """
        self._faults[len(self._faults) :] = _known(faults)

    @property
    def _next(self) -> Fault | None:
        """The fault whose turn it is; None if the server behind has the turn."""
        if self._behind is not None and self._turn >= len(self._faults):
            return None
        return self._faults[min(self._turn, len(self._faults) - 1)]

    async def _serve(self, connection: _Connection) -> None:
        first = self._next
        if first is not None and first.ahead:
            await connection.send(first.ahead)
        if first is not None and first.reads == "nothing":
            self._turn += 1
            await connection.end(await self._speak(connection, first, Asked(at=time.time(), target=self._target)))
            return
        then: End = "keep"
        while then == "keep":
            then = await self._exchange(connection)
        if then in ("fin-on-request", "rst-on-request"):
            self._note(await connection.head(), "closes")
            then = "fin" if then == "fin-on-request" else "rst"
        await connection.end(then)

    async def _exchange(self, connection: _Connection) -> End:
        """Read a request, and answer it as is its turn."""
        try:
            asked = await connection.head()
            if self._page and asked.method == "GET" and asked.path in VIEWS:
                content_type, body_of = VIEWS[asked.path]
                await connection.send(_as_it_should_be(body_of(self.status), content_type))
                return "fin"
            taken = self._next
            self._turn += taken is not None
            if taken is None or taken.reads == "request":
                asked = msgspec.structs.replace(asked, body=await connection.body(asked.headers))
        except (ValueError, asyncio.LimitOverrunError):
            await connection.send(_BAD_REQUEST)
            return "fin"
        asked = msgspec.structs.replace(asked, at=time.time(), target=self._target)
        self._note(asked, "is passed on" if taken is None else taken.name)
        if taken is None:
            return await self._passed_on(connection, asked)
        status = 0 if taken.stop in ("start", "in-status") else taken.status or 200
        entry = Entry(at=asked.at, operation=taken.name, status=status, streamed=asked.stream)
        began = time.monotonic()
        self._tally.begin(entry)
        try:
            then = await self._speak(connection, taken, asked)
        except asyncio.CancelledError:
            entry.ended = "left"
            raise
        finally:
            self._tally.end(entry, time.monotonic() - began)
        return "fin" if then == "keep" and asked.headers.get("connection", "").lower() == "close" else then

    async def _speak(self, connection: _Connection, fault: Fault, asked: Asked) -> End:
        answer = spoken(fault, asked)
        for piece in answer.pieces:
            if piece is None:
                await asyncio.sleep(self._pause)
            else:
                await connection.send(piece)
        return answer.then

    async def _passed_on(self, connection: _Connection, asked: Asked) -> End:
        """Have the server behind answer; what it says is handed on as it comes."""
        lines = [f"{asked.method} {asked.path} HTTP/1.1", "connection: close", f"content-length: {len(asked.body)}"]
        lines += [f"{name}: {value}" for name, value in asked.headers.items() if name not in _OF_THE_CONNECTION]
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(self._behind).port)
        try:
            writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + asked.body)
            while piece := await reader.read(BIG):
                await connection.send(piece)
        finally:
            writer.transport.abort()
        return "fin"

    def _note(self, asked: Asked, what: str) -> None:
        self.requests.append(asked)
        if self._log is not None:
            self._log(f"{what} {asked.method} {asked.path}")


class _Connection(asyncio.StreamReaderProtocol):
    """One connection, and how it ends.

    Attributes:
        left: done when the client has closed its side, or is taken to have.
    """

    def __init__(self, accept: Callable[[_Connection], None]) -> None:
        loop = asyncio.get_running_loop()
        self._reader = asyncio.StreamReader(limit=_MOST_HEAD, loop=loop)
        super().__init__(self._reader, loop=loop)
        self._accept = accept
        self.left: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._wire = cast("asyncio.Transport", transport)
        self._wire.set_write_buffer_limits(high=1, low=0)  # so that to send is to wait for the network
        self._writer = asyncio.StreamWriter(self._wire, self, self._reader, asyncio.get_running_loop())
        self._accept(self)

    def eof_received(self) -> bool | None:
        _settle(self.left)
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        _settle(self.left)
        super().connection_lost(exc)

    async def head(self) -> Asked:
        """The head of the next request.

        Raises:
            ValueError: it is none.
        """
        first = await self._reader.readexactly(1)
        if first == _CLIENT_HELLO:
            raise ValueError("got TLS")
        request, *lines = (first + await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = request.split(" ", 2)
        fields = (line.partition(":") for line in lines if line)
        return Asked(method=method, path=path, headers={name.lower(): value.strip() for name, _, value in fields})

    async def body(self, headers: Mapping[str, str]) -> bytes:
        """The body of a request with these headers.

        Raises:
            ValueError: its framing is wrong.
        """
        if headers.get("expect", "").lower() == "100-continue":
            await self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return await self._reader.readexactly(int(headers.get("content-length", 0)))
        body = b""
        while size := int((await self._reader.readline()).partition(b";")[0], 16):
            body += await self._reader.readexactly(size)
            await self._reader.readline()
        while await self._reader.readline() != b"\r\n":
            pass  # a trailer
        return body

    async def send(self, piece: bytes) -> None:
        """Send bytes; return when the network has taken them."""
        self._check_open()
        self._writer.write(piece)
        await self._writer.drain()
        await asyncio.sleep(0)  # what never has to wait for the network must still let others work

    async def end(self, then: End) -> None:
        """End it so; return when the client has closed its side too."""
        self._check_open()
        if then == "rst":
            if (connected := self._wire.get_extra_info("socket")) is not None:
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
            self._wire.abort()
            return
        if then == "fin" and self._wire.can_write_eof():
            self._wire.write_eof()
        elif then == "fin":
            self._wire.close()
        while await self._reader.read(BIG):  # so that its end is seen; and bytes unread would make an RST of a FIN
            pass

    def _check_open(self) -> None:
        if self._wire.is_closing():  # upon which uvloop raises a RuntimeError
            raise ConnectionResetError("the client has gone")

    def leave(self) -> None:
        """Take the client to have gone."""
        _settle(self.left)

    async def close(self) -> None:
        """Close it; return when its socket is closed."""
        self._wire.abort()
        with contextlib.suppress(OSError):  # a reset that nobody takes is told to the loop, now and then
            await self._writer.wait_closed()


def _known(faults: Sequence[Fault | str]) -> list[Fault]:
    return [fault(given) if isinstance(given, str) else given for given in faults]


def _as_it_should_be(body: bytes, content_type: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"content-type: {content_type}", f"content-length: {len(body)}", "connection: close"]
    lines += [f"{name}: {value}" for name, value in HEADERS.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


@contextlib.asynccontextmanager
async def refusing() -> AsyncGenerator[str, None]:
    """The address of a port on loopback that refuses connections, and that nobody else can take meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
