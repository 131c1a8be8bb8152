"""Requests over aiohttp's connections, without aiohttp's session around each of them.

For every request a session merges URLs, sorts headers into multi-dicts, asks the cookie jar, and makes a request, a
writer, a task for that, and a response with a history: half of what a request costs, and nothing of it is looked at
here. Connections, their pool, TLS and the parser are aiohttp's all the same.

Where somebody has a hand on aiohttp's sessions, to trace what is sent or to answer it in a test, calls go the whole way
as ever. So do those through a proxy or over a caller's own session, and those with a large body.
"""

from __future__ import annotations

import asyncio
from types import FunctionType
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

import aiohttp

from ..errors import ConfigurationError
from ..wire.request import Call
from .connector import Connector, CutError, has_unsent

if TYPE_CHECKING:
    from aiohttp.connector import Connection
    from multidict import CIMultiDictProxy
    from yarl import URL

__all__ = ["Answer", "Lane"]

_MANY: Final = 64
"""Addresses that are kept in mind; a client asks two or three."""

_LARGE: Final = 64 * 1024
"""Bytes of a body that may go out at once; more is written as the other side takes it."""

_WITHOUT_BODY: Final = ("GET", "HEAD", "OPTIONS")
_HOOKS: Final = ("request", "_request")
"""Where tracers and mocks put themselves between a session and its requests."""


class Answer:
    """What an `aiohttp.ClientResponse` is to a reply, and no more.

    Attributes:
        status: of HTTP.
        headers: as they came.
        content: the body.
        connection: where it comes from; None once that is given back.
        closed: whether it is.
    """

    __slots__ = ("closed", "connection", "content", "headers", "status")

    def __init__(
        self, status: int, headers: CIMultiDictProxy[str], content: aiohttp.StreamReader, connection: Connection
    ) -> None:
        self.status = status
        self.headers = headers
        self.content = content
        self.connection: Connection | None = connection
        self.closed = False
        content.on_eof(self._release)

    def close(self) -> None:
        """Cut the connection."""
        connection, self.connection = self.connection, None
        self.closed = True
        if connection is not None:
            connection.close()

    def _release(self) -> None:
        """The body has ended: others may use the connection."""
        connection = self.connection
        if connection is None or (connection.protocol is not None and connection.protocol.upgraded):
            return
        self.connection = None
        self.closed = True
        transport = connection.transport
        if transport is not None and has_unsent(transport):
            connection.close()  # the answer came before the request was sent as a whole
        else:
            connection.release()


class _Route(NamedTuple):
    """The way to one address.

    Attributes:
        request: what a pool knows the place by.
        line: the request line.
        host: of the header of that name.
    """

    request: aiohttp.ClientRequest
    line: str
    host: str


class Lane:
    """Sends over the connections of one session.

    Args:
        session: whose.
        connector: its pool.

    Attributes:
        connector: the pool.
    """

    def __init__(self, session: aiohttp.ClientSession, connector: Connector) -> None:
        self._session = session
        self.connector = connector
        self._routes: dict[tuple[str, str], _Route] = {}

    def takes(self, call: Call) -> bool:
        """Whether a call may go this way: nobody has a hand on aiohttp's sessions, and nothing about it is special."""
        return (
            len(call.body) <= _LARGE
            and "expect" not in call.headers  # upon which a body waits for a word of the server
            and not self._session.trace_configs
            and all(_is_aiohttps(getattr(aiohttp.ClientSession, name, None)) for name in _HOOKS)
        )

    async def request(
        self,
        call: Call,
        url: URL,
        headers: dict[str, str],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  (aiohttp's own word)
    ) -> Answer:
        """Send a call; return when the head of the answer is there.

        Args:
            call: what to send.
            url: its address.
            headers: its headers, with those of the transport.
            timeout: of which the limit on connecting counts.

        Raises:
            aiohttp.ClientError: no answer came.
            HttpProcessingError: what came is not HTTP.
            TimeoutError: there was no connection in time.
            ConfigurationError: a header breaks out of its line, or there is half of a character in one or the address.
        """
        route = self._routes.get((call.method, call.url)) or self._route(call, url)
        connection = await self.connector.connect(route.request, [], timeout)
        try:
            handler = connection.protocol
            assert handler is not None  # noqa: S101  (for the type checkers: it was made or taken just now)
            handler.set_response_params(skip_payload=call.method == "HEAD", read_until_eof=True, auto_decompress=False)
            transport = handler.transport
            if transport is None or transport.is_closing():
                raise CutError("it was closed", stale=False, begun=False)
            transport.write(_encoded(route, call.body, headers) or _refused())
            message, content = await handler.read()
            while 100 <= message.code <= 199 and message.code != 101:
                message, content = await handler.read()
        except BaseException:
            connection.close()
            raise
        return Answer(message.code, message.headers, content, connection)

    def _route(self, call: Call, url: URL) -> _Route:
        if len(self._routes) >= _MANY:
            self._routes.clear()
        route = self._routes[call.method, call.url] = _Route(
            aiohttp.ClientRequest(call.method, url, loop=asyncio.get_running_loop(), session=self._session),
            f"{call.method} {url.raw_path_qs} HTTP/1.1\r\n",
            url.host_port_subcomponent or "",
        )
        return route


def _is_aiohttps(method: object) -> bool:
    """Whether a method of a session is the one it was written with; whoever wraps it may have done so before us."""
    # Not isinstance(), by which wrapt's wrappers, such as ddtrace's, pass for what they wrap.
    return type(method) is FunctionType and method.__globals__.get("__name__") == "aiohttp.client"


def _encoded(route: _Route, body: bytes, headers: dict[str, str]) -> bytes:
    """A request, byte for byte; nothing if that cannot be: an error that is raised in here would show the key."""
    sent = {"host": route.host, "accept": "*/*", **headers}
    if body or route.request.method not in _WITHOUT_BODY:
        sent["content-length"] = str(len(body))
        sent.setdefault("content-type", "application/octet-stream")
    lines = [f"{name}: {value}\r\n" for name, value in sent.items()]
    head = f"{route.line}{''.join(lines)}\r\n"
    if head.count("\n") != len(lines) + 2 or head.count("\r") != len(lines) + 2:
        return b""
    try:
        return head.encode() + body
    except UnicodeEncodeError:
        return b""


def _refused() -> NoReturn:
    raise ConfigurationError("got a header or an address with a line break, or half of a character, in it")
