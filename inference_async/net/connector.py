"""Connections that know what was said on them: aiohttp's own, with three questions answered that it does not ask.

Was this connection used before, and did the other side say anything since it was asked? A request that dies on a kept
connection without a single byte of an answer has most likely not been seen, and can be sent again.

Did the other side speak without being asked? What lies on a connection before a request is sent on it is no answer to
that request, and the connection is not used.

Who closes the sockets if nobody did? See `Connector.cut`.

And it opens not more than some at once. Ten thousand handshakes in one pass of the event loop all take as long as the
last one, and time out together, though the network was never slow.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import select
from collections import deque
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

import aiohttp
from aiohttp import http_parser
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

from .body import adopt
from .strict import Course
from .watch import TICK

if TYPE_CHECKING:
    import ssl

    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace
    from multidict import MultiMapping

__all__ = [
    "Connector",
    "CutError",
    "Handler",
    "ProxyError",
    "StrictHandler",
    "UnaskedError",
    "has_unsent",
    "length_lie",
    "sever",
]

_MAX_HEAD_BYTES: Final = 128 * 1024
_AT_ONCE: Final = 128
"""Connections that may be in the making: what a listening socket usually has room for."""
_HAS_POLL: Final = hasattr(select, "poll")


class CutError(aiohttp.ClientConnectionError):
    """The connection was lost before the head of an answer was whole.

    It is none of the errors upon which aiohttp sends a request again by itself: that is decided elsewhere.

    Attributes:
        stale: the connection was a kept one, and not one byte of an answer had come.
        begun: some bytes of an answer had come.
    """

    def __init__(self, message: str, *, stale: bool, begun: bool) -> None:
        super().__init__(message)
        self.stale = stale
        self.begun = begun


class ProxyError(aiohttp.ClientConnectionError):
    """The proxy refused to connect to the host, or did not answer in HTTP."""


class UnaskedError(aiohttp.ClientConnectionError):
    """The other side of a new connection spoke before it was asked."""


class Handler(ResponseHandler):
    """One connection.

    Attributes:
        calls: how many requests it was used for.
        heard: how many bytes have come, but for those of a body, since the connection was made, the last request was
            sent, or its answer was whole.
        begun: whether the head of an answer was among them, as a whole, and its body may follow.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, live: WeakSet[Handler]) -> None:
        super().__init__(loop)
        self.calls = 0
        self.heard = 0
        self.begun = False
        self._reader: aiohttp.StreamReader | None = None
        live.add(self)

    def data_received(self, data: bytes) -> None:
        """Bytes have come, or, if these are none, a reader has made room for those that wait."""
        parser = self._parser
        if self.begun and data and parser is not None:  # of a body: what aiohttp asks beside, is known of it
            try:
                if parser.feed_data(data)[0]:
                    self.force_close()  # an answer to nothing
            except Exception as error:
                self.refuse(str(error))
            return
        self.heard += len(data)
        super().data_received(data)
        if not self.begun and self.heard > _MAX_HEAD_BYTES:
            # Not every parser of aiohttp's bounds the head as a whole.
            self.refuse(f"its head is over {_MAX_HEAD_BYTES} bytes")

    def refuse(self, why: str) -> None:
        """Take nothing more of an answer, which is no HTTP; nothing happens if the connection is gone already."""
        if self.transport is None:
            return
        self.transport.abort()
        error = HttpProcessingError(code=400, message=why)
        payload: aiohttp.StreamReader | None = self._payload
        if payload is not None and not payload.is_eof():
            payload.set_exception(error)
            self._payload = None  # or aiohttp would tell it, when the connection is lost, that it was cut
        self.set_exception(error)

    def feed_data(self, data: Any, size: int = 0) -> None:
        """The head of an answer has come."""
        message, reader = data
        if length_lie(message.headers):
            self.force_close()
        self._reader = reader
        adopt(reader)
        if message.code >= 200:
            self.begun = True
            reader.on_eof(self._ended)
        super().feed_data(data, size)

    def set_response_params(self, **params: Any) -> None:
        """A request is about to be sent."""
        self.calls += 1
        self.heard = 0
        self.begun = False
        super().set_response_params(**params)

    def _ended(self) -> None:
        """The answer is whole."""
        self.begun = False
        self.heard = 0

    def close(self) -> None:
        """Close the connection now: neither what was not sent yet is waited for, nor a farewell of the other side's."""
        if self._loop.is_closed():
            sever(self)
        else:
            self.abort()  # over TLS, asyncio would let a peer that is silent keep the socket for half a minute

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is gone: in good order, or by a reset, which ends no body well, even if aiohttp thinks so."""
        payload: aiohttp.StreamReader | None = self._payload
        if exc is not None and payload is not None and not payload.is_eof():
            payload.set_exception(CutError(str(exc), stale=False, begun=True), exc)
        super().connection_lost(exc)
        # Whoever reads is to be told in any case, and aiohttp forgets it where it has closed the connection itself.
        reader, self._reader = self._reader, None
        if reader is not None and not reader.is_eof() and reader.exception() is None:
            reader.set_exception(self.exception() or CutError("it was closed", stale=False, begun=True))

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        """The connection is lost, or cannot be understood."""
        cause = exc if exc_cause is None else exc_cause
        if isinstance(exc, aiohttp.ClientConnectionError | OSError) and not isinstance(exc, CutError):
            exc, cause = CutError(str(exc), stale=self.calls > 1 and not self.heard, begun=self.heard > 0), exc
        super().set_exception(exc, cause)


class StrictHandler(Handler):
    """One connection, where the parser is the one in Python, which is lax: see `strict.py`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, live: WeakSet[Handler]) -> None:
        super().__init__(loop, live)
        self._course: Course | None = None

    def data_received(self, data: bytes) -> None:
        """Bytes have come: those that can be HTTP go to the parser."""
        good = len(data) if self._course is None else self._course.follow(data)
        if good or not data:
            super().data_received(data[:good])
        if good < len(data) and self.exception() is None:
            self.refuse("bytes that cannot be part of one")

    def set_response_params(self, **params: Any) -> None:
        """A request is about to be sent."""
        self._course = Course()
        super().set_response_params(**params)


class Connector(aiohttp.TCPConnector):
    """A pool of such connections, without a limit."""

    # The limit of a request on connecting is its ``sock_connect``, and covers name, TCP and TLS: aiohttp's ``connect``
    # would count the wait for a turn too.

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__(limit=0, ssl=True if context is None else context)  # pyright: ignore[reportUnknownMemberType]
        self._live: WeakSet[Handler] = WeakSet()
        self._turns = _AT_ONCE
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._opened_at = -math.inf  # the moment the last connection was
        in_python = http_parser.HttpResponseParser.__module__ == http_parser.__name__  # and else, in C
        make: Any = functools.partial(StrictHandler if in_python else Handler, self._loop, self._live)
        self._factory = make

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  (aiohttp's own word)
    ) -> Connection:
        """A connection on which nothing lies that was not asked for."""
        while True:
            try:
                connection = await super().connect(req, traces, timeout)
            except (CutError, aiohttp.ClientResponseError) as error:  # no request was sent yet but that for a tunnel
                raise ProxyError(_refusal(error)) from error
            handler = connection.protocol
            if not isinstance(handler, Handler):
                return connection
            if not handler.calls:  # a new one
                if handler.heard:
                    connection.close()
                    raise UnaskedError("it spoke before it was asked")
                return connection
            if not (handler.should_close or handler.heard or _is_readable(handler.transport)):
                return connection
            connection.close()

    async def _create_connection(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109
    ) -> ResponseHandler:
        """A new connection, when it is its turn."""
        left = await self._turn(timeout.sock_connect)
        try:
            async with asyncio.timeout(left):
                handler = await super()._create_connection(req, traces, timeout)
        finally:
            self._leave()
        self._opened_at = self._loop.time()
        return handler

    async def _turn(self, limit: float | None) -> float | None:
        """Wait for a turn: for as long as others get through, but no longer than the limit if none does.

        Returns:
            What is left of the limit.

        Raises:
            TimeoutError: none got through.
        """
        if self._turns:
            self._turns -= 1
            return limit
        loop = self._loop
        began = loop.time()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        try:
            while True:
                left = None if limit is None else limit - (loop.time() - max(began, self._opened_at))
                if left is not None and left <= TICK:
                    raise TimeoutError
                if turn.done():
                    return left
                await asyncio.wait({turn}, timeout=left)
        except BaseException:
            if not turn.cancel():  # it came at the same time
                self._leave()
            raise

    def _leave(self) -> None:
        """Give the turn to who has waited longest."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._turns += 1

    def cut(self) -> None:
        """Close everything without waiting, also if the loop is closed already and asyncio can close nothing more."""
        if self._loop.is_closed():
            for handler in self._live:
                sever(handler)
        self._close(abort_ssl=True)


def length_lie(headers: MultiMapping[str]) -> str:
    """What is wrong with what an answer says of how long it is; empty if nothing is."""
    transfer = headers.getall("transfer-encoding", ())
    lengths = headers.getall("content-length", ())
    if not transfer and len(lengths) <= 1:
        return ""
    if len(lengths) + bool(transfer) > 1:
        return "it says twice how long it is"  # and a proxy on the way may have believed the other
    if transfer and ", ".join(transfer).strip().lower() != "chunked":
        return f"its transfer coding {', '.join(transfer)[:40]!r} was not asked for"
    return ""


def _refusal(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"it answered with status {error.status}"
    return "it closed the connection" if isinstance(error, CutError) else "its answer is not HTTP"


def _is_readable(transport: asyncio.Transport | None) -> bool:
    """Whether bytes, an end or an error wait on the socket, which the loop has had no time to see."""
    sock = None if transport is None else transport.get_extra_info("socket")
    if sock is None:
        return False
    if _HAS_POLL:
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([sock.fileno()], [], [], 0)[0])


def has_unsent(transport: asyncio.Transport) -> bool:
    """Whether some of what was written waits to be sent."""
    return transport.get_write_buffer_size() > 0 or _beneath(transport).get_write_buffer_size() > 0


def _beneath(transport: Any) -> Any:
    """What a transport over TLS hands its bytes to, where the loop is asyncio's own; without TLS, the transport."""
    return getattr(getattr(transport, "_ssl_protocol", None), "_transport", None) or transport


def sever(handler: ResponseHandler) -> None:
    """Close a connection whose loop is closed: what asyncio would have called later is called now."""
    transport: Any = handler.transport
    if transport is None:
        return
    inner = _beneath(transport)
    with contextlib.suppress(RuntimeError):  # which is how a closed loop says that it calls nothing later
        transport.abort()
    lost = getattr(inner, "_call_connection_lost", None)
    if lost is not None:
        with contextlib.suppress(RuntimeError):
            lost(None)
    handler.transport = None
