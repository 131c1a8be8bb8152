"""The transport over aiohttp: sessions, replies, and what becomes of both when nobody closes them.

Defaults of aiohttp that are not ours: it follows redirects and takes the `api-key` header along; it cuts every answer
after 300 seconds; its pool makes the 101st stream wait in silence; it keeps cookies; it inflates what it reads without
a bound; and a reader whose connection is closed under it by the session, or whose body breaks, waits for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import os
import ssl as ssl_module
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import urlsplit
from weakref import WeakSet

import aiohttp
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from ..errors import (
    APIConnectionError,
    ClientClosedError,
    ConfigurationError,
    InferenceError,
    InvalidResponseError,
    WrongEventLoopError,
    drop_frames,
)
from ..wire.request import Call, Secret, secrets_among, secrets_in
from ..wire.response import redact, request_id_of
from .body import Body
from .connector import Connector, length_lie, sever
from .detour import DETOUR
from .direct import Answer, Lane
from .faults import of_read, of_send
from .inflate import ACCEPTED, CorruptBodyError, Inflater, coding_of
from .proxies import Proxies
from .transport import FINISH_SECONDS, Reply

__all__ = ["AiohttpReply", "AiohttpTransport"]

_DRAIN_BYTES: Final = 64 * 1024
_LARGE: Final = 1024 * 1024
"""Bytes above which aiohttp warns of a body that is written at once; it writes a file of them piece by piece."""

_NEVER: Final = 1e12
_BREATH: Final = 1024 * 1024
"""Bytes out of an inflater after which the event loop gets a turn: they may all come without a wait."""

_Response: TypeAlias = aiohttp.ClientResponse | Answer

_INHERITED: Final[list[object]] = []
"""What a child process has from its parent. To close it, or to drop it, would reach into the parent's event loop."""


class _Home:
    """The event loop and the process that a session belongs to."""

    __slots__ = ("loop", "pid")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.pid = os.getpid()

    def run(self, work: Callable[[], object]) -> None:
        """Do it, from wherever the garbage collector may call: now, or in the loop's own thread."""
        if self.pid != os.getpid():
            _INHERITED.append(work)
            return
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            if self.loop.is_running() and not self._runs_here():
                self.loop.call_soon_threadsafe(work)
            else:
                work()

    def _runs_here(self) -> bool:
        try:
            return asyncio.get_running_loop() is self.loop
        except RuntimeError:
            return False


class _Way(NamedTuple):
    """What calls go over: a session, the shorter way over its connections where it is our own, and where it belongs."""

    session: aiohttp.ClientSession
    lane: Lane | None
    home: _Home


class AiohttpReply:
    """A reply of `AiohttpTransport`. Dropped before its end, it closes its connection."""

    __slots__ = ("__weakref__", "_content", "_home", "_response", "_take", "headers", "status")

    def __init__(self, response: _Response, home: _Home) -> None:
        self._home = home
        self._response = response
        self._content = content = response.content
        self._take = content.take if isinstance(content, Body) else content.readany
        self.status: int = response.status
        headers = {name.lower(): value for name, value in response.headers.items()}
        if len(headers) < len(response.headers):
            headers = {name: ", ".join(response.headers.getall(name)) for name in headers}
        self.headers: Mapping[str, str] = headers

    def __del__(self) -> None:
        if not self._response.closed:
            self._home.run(functools.partial(_cut, self._response, self._home.loop))

    async def read(self) -> bytes:
        """See `Reply.read`."""
        try:
            return await self._take()
        except APIConnectionError:  # which `_ended` has put there
            if left := _left_in(self._content):
                return left
            raise
        except InferenceError:
            raise  # which `close` has put there
        except Exception as error:
            if left := _left_in(self._content):
                return left
            raise of_read(error) from error

    async def finish(self) -> None:
        """See `Reply.finish`: at most 100 ms and 64 KiB are spent on what a server says after the end."""
        if self._response.closed:
            return  # with the end of the body, aiohttp has given the connection back to its pool
        drained = 0
        try:
            async with asyncio.timeout(FINISH_SECONDS):
                while drained <= _DRAIN_BYTES:
                    piece = await self._take()
                    if not piece:
                        return
                    drained += len(piece)
        except Exception:  # noqa: S110  (the answer is known to be over; what comes after it is of no interest)
            pass
        finally:
            self.close()

    def close(self, error: InferenceError | None = None) -> None:
        """See `Reply.close`."""
        if self._response.closed:
            return
        if not self._content.is_eof():
            self._content.set_exception(error or ClientClosedError("the reply was closed while it was being read"))
        _cut(self._response, self._home.loop)


class _CompressedReply(AiohttpReply):
    """A reply whose body is inflated as it is read."""

    __slots__ = ("_inflated", "_inflater")

    def __init__(self, response: _Response, home: _Home, coding: str) -> None:
        super().__init__(response, home)
        self._inflater = Inflater(coding)
        self._inflated = 0

    async def read(self) -> bytes:
        """See `Reply.read`; at most 64 KiB at a time."""
        inflater = self._inflater
        try:
            while not (piece := inflater.step()):
                data = await super().read()
                if not data:
                    if inflater.is_whole:
                        return b""
                    raise of_read(None)
                inflater.feed(data)
        except CorruptBodyError as error:
            self.close()
            if self.status >= 400:
                return b""  # the status says what is wrong, and is not to be lost for its explanation
            raise APIConnectionError(
                f"the answer cannot be inflated: {error}", kind="protocol", phase="body"
            ) from error
        self._inflated += len(piece)
        if self._inflated >= _BREATH:
            self._inflated = 0
            await asyncio.sleep(0)
        return piece


class AiohttpTransport:
    """Sends over one pooled session, its own or a caller's.

    A session of its own is opened by the first call, in the loop that runs then, and anew in a child process, or when
    that loop was closed. A caller's session is used as it is, with its connector, proxies and trace hooks, and is never
    closed here.

    Args:
        session: a caller's session.
        ssl: what to trust and how to speak TLS, in place of the system's authorities.
        trust_env: go through the proxies that ``HTTPS_PROXY`` and its like name.
        proxy: go through this one, such as ``http://user:password@proxy:3128``.

    Raises:
        ConfigurationError: an argument that cannot be used, or one beside a caller's session.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession | None = None,
        *,
        ssl: ssl_module.SSLContext | None = None,
        trust_env: bool = False,
        proxy: str | None = None,
    ) -> None:
        self._own: _Way | None = None
        self._given = session
        if session is not None and not (ssl is None and proxy is None and not trust_env):
            raise ConfigurationError("got session= beside ssl=, trust_env= or proxy=; set these up in the session")
        self._ssl = _checked(ssl)
        self._proxies = Proxies(proxy, trust_env=trust_env)
        self._closed = False
        self._replies: WeakSet[Reply] = WeakSet()

    def __del__(self) -> None:
        own, self._own = getattr(self, "_own", None), None
        if own is None:
            return
        if own.home.pid == os.getpid():
            warnings.warn(
                "an InferenceClient was dropped without being closed; use `async with` or call aclose()",
                ResourceWarning,
                stacklevel=2,
                source=self,
            )
        own.home.run(functools.partial(_abandon, own, list(self._replies)))

    async def send(self, call: Call, *, connect_timeout: float | None) -> Reply:
        """See `Transport.send`."""
        if self._closed:
            raise ClientClosedError("the client is closed")
        if DETOUR.tape is not None:
            reply = await DETOUR.tape(call, functools.partial(self._sent, connect_timeout=connect_timeout))
            self._replies.add(reply)
            return reply
        return await self._sent(call, connect_timeout)

    async def _sent(self, call: Call, connect_timeout: float | None) -> AiohttpReply:
        if DETOUR.ban is not None:
            DETOUR.ban(urlsplit(call.url).hostname or "")
        way = self._way()
        try:
            url = URL(call.url, encoded=True)  # as it is: deployment names hold dots and escaped slashes
            host = url.raw_host
        except ValueError as error:
            raise ConfigurationError(f"got a URL that cannot be called: {error}") from None
        response = await self._requested(way, call, url, host, connect_timeout)
        if isinstance(response, APIConnectionError):
            raise response
        reply = _reply(response, way.home)
        if not response.closed:  # its end may have come with its head
            if way.lane is None:
                _watch(response, way.session)
            self._replies.add(reply)
        return reply

    async def _requested(
        self, way: _Way, call: Call, url: URL, host: str | None, connect_timeout: float | None
    ) -> _Response | APIConnectionError:
        """The response; or, to be raised where no cause clings to it, an error whose cause quotes the answer."""
        options = self._options(call)
        session, lane, _ = way
        limits = _limits(connect_timeout, own=lane is not None)
        started = time.monotonic()
        try:
            if lane is not None and "proxy" not in options and lane.takes(call):
                return await lane.request(call, url, options["headers"], limits)
            return await session.request(
                call.method,
                url,
                data=call.body if len(call.body) <= _LARGE else io.BytesIO(call.body),
                allow_redirects=False,
                raise_for_status=False,
                auto_decompress=False,
                timeout=limits,
                **options,
            )
        except InferenceError:
            raise
        except Exception as error:
            if in_url := secrets_in(call.url):
                drop_frames(error)  # in which an address shows itself as a whole
            if session.closed:
                raise _closed_under(call) from error
            failure = of_send(
                error,
                where=urlsplit(call.url).netloc,
                host=host,
                secure=url.scheme == "https",
                connect_timeout=connect_timeout,
                elapsed=time.monotonic() - started,
            )
            if failure.kind != "protocol":
                raise failure from error
        failure.reword(redact(failure.message, secrets_among(call.headers) + in_url))
        return failure

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        self._closed = True
        for reply in list(self._replies):
            reply.close(ClientClosedError("the client was closed while this answer was being read"))
        own, self._own = self._own, None
        if own is None:
            return
        if own.home.pid == os.getpid() and own.home.loop is asyncio.get_running_loop():
            await own.session.close()
        else:
            own.home.run(functools.partial(_abandon, own, []))

    def _way(self) -> _Way:
        """What to send over, opened if need be."""
        if self._given is not None:
            if self._given.closed:
                raise ClientClosedError("the aiohttp session that was given to this client is closed")
            return _Way(self._given, None, _Home())
        own = self._own
        if own is not None:
            home = own.home
            if home.pid == os.getpid() and home.loop is asyncio.get_running_loop():
                return own
            if home.pid == os.getpid() and not home.loop.is_closed():
                raise WrongEventLoopError("the client's connections belong to another event loop, which is not closed")
            home.run(functools.partial(_abandon, own, list(self._replies)))
        self._own = self._opened()
        return self._own

    def _opened(self) -> _Way:
        connector = Connector(self._ssl)
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            trust_env=False,
        )
        return _Way(session, Lane(session, connector), _Home())

    def _options(self, call: Call) -> dict[str, Any]:
        """The headers, and the way to go."""
        headers = {"accept-encoding": ACCEPTED, **call.headers}
        if not self._proxies:
            return {"headers": headers}
        proxy = self._proxies.of(call.url, secret=any(isinstance(value, Secret) for value in headers.values()))
        if proxy is None:
            return {"headers": headers}
        options: dict[str, Any] = {"headers": headers, "proxy": proxy.url}
        if proxy.authorization is not None:
            if call.url.startswith("https://"):
                options["proxy_headers"] = {"proxy-authorization": proxy.authorization}
            else:
                headers["proxy-authorization"] = proxy.authorization
        return options


def _reply(response: _Response, home: _Home) -> AiohttpReply:
    """The reply of a response.

    Raises:
        APIConnectionError: how long it is, or where its body begins, cannot be known for sure.
        InvalidResponseError: it is encoded as was not asked for.
    """
    lie = length_lie(response.headers)
    if not lie and response.headers.get("data", "").startswith(("{", "[")):
        lie = "its head runs into its events"  # for want of a blank line: the first event was read as a header
    if lie:
        response.close()
        raise APIConnectionError(f"got an answer that is not HTTP: {lie}", kind="protocol", phase="headers")
    codings = response.headers.getall("content-encoding", ())
    coding = coding_of(", ".join(codings)) if codings else ""
    if not coding:
        return AiohttpReply(response, home)
    if coding in ("gzip", "deflate") or response.status >= 400:
        return _CompressedReply(response, home, coding)
    response.close()
    raise InvalidResponseError(
        f"got an answer encoded as {coding[:40]!r}, which was not asked for, expected {ACCEPTED} or none",
        status=response.status,
        request_id=request_id_of({name.lower(): value for name, value in response.headers.items()}),
    )


def _left_in(content: aiohttp.StreamReader) -> bytes:
    """What had come before the connection was cut, and was not read: aiohttp raises first, and forgets it."""
    buffer = content._buffer  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  (it has no other way to it)
    left = b"".join(buffer)  # whole pieces, as nothing takes parts of them
    buffer.clear()
    return left


def _watch(response: _Response, session: aiohttp.ClientSession) -> None:
    """Have the reader told when its connection is gone, which aiohttp does in most cases and not in all."""
    connection, content = response.connection, response.content
    handler = None if connection is None else connection.protocol
    if handler is None or content.is_eof() or (closed := handler.closed) is None:
        return
    tell = functools.partial(_ended, content, handler, session)
    closed.add_done_callback(tell)

    def over() -> None:
        closed.remove_done_callback(tell)
        closed.remove_done_callback(_taken)
        closed.add_done_callback(_taken)  # the connection may yet be lost while it waits for another call

    content.on_eof(over)


def _taken(closed: asyncio.Future[None]) -> None:
    """How a connection ended is noted, or asyncio would complain that nobody has."""
    if not closed.cancelled():
        closed.exception()


def _ended(
    content: aiohttp.StreamReader,
    handler: ResponseHandler,
    session: aiohttp.ClientSession,
    closed: asyncio.Future[None],
) -> None:
    """The connection is gone."""
    said = handler.exception()
    _taken(closed)
    if content.is_eof() or content.exception() is not None:
        return
    if session.closed:
        content.set_exception(ClientClosedError("the session was closed while this answer was being read"))
    else:
        content.set_exception(of_read(said))


def _cut(response: _Response, loop: asyncio.AbstractEventLoop) -> None:
    connection = response.connection
    response.close()
    if connection is not None:
        if loop.is_closed() and connection.protocol is not None:
            sever(connection.protocol)
        connection.close()  # which aiohttp leaves out if the loop is closed, and complains of


def _abandon(way: _Way, replies: list[Reply]) -> None:
    """Close what nobody closed, in silence."""
    if way.lane is not None:
        way.lane.connector.cut()
    for reply in replies:
        reply.close(ClientClosedError("the client was dropped while this answer was being read"))
    assert way.session.closed  # noqa: S101  (so that aiohttp does not complain when it is dropped)


@functools.lru_cache(maxsize=16)
def _limits(connect: float | None, *, own: bool) -> aiohttp.ClientTimeout:
    """The one limit that is aiohttp's to keep; our own connector reads it in another place."""
    # Beyond the threshold, of 5 seconds unless said otherwise, aiohttp rounds up to a whole one.
    if own:
        return aiohttp.ClientTimeout(total=None, sock_connect=connect, ceil_threshold=_NEVER)
    return aiohttp.ClientTimeout(total=None, connect=connect, ceil_threshold=_NEVER)


def _closed_under(call: Call) -> ClientClosedError:
    return ClientClosedError(f"the session was closed while {urlsplit(call.url).netloc} was being asked")


def _checked(context: object) -> ssl_module.SSLContext | None:
    """A context that cannot fall back on protocols that are broken.

    Raises:
        ConfigurationError: it is none, or it can.
    """
    if context is None:
        return None
    if not isinstance(context, ssl_module.SSLContext):
        what = f"ssl={context!r}" if isinstance(context, bool) else f"ssl= of type {type(context).__name__}"
        raise ConfigurationError(
            f"got {what}, expected an ssl.SSLContext such as ssl.create_default_context(cafile=...) makes"
        )
    if context.minimum_version < ssl_module.TLSVersion.TLSv1_2:
        raise ConfigurationError("got an SSLContext that allows TLS below 1.2; set its minimum_version to TLSv1_2")
    return context
