"""The one send loop: find a place, authorise, send, turn every refusal into its error; and again, where that helps.

One `Session` stands behind a client and all its copies: one transport, one credential, one event loop, one budget of
retries. Whether and when a call is sent again is decided in `policy/retry.py`; here is the one place that waits for it.

One `Trip` watches over all waits of a call; the caller of `send` has entered it. Its limit moves as the call goes from
phase to phase, and closing the client ends the wait that is under way.
"""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeVar

from .._version import __version__
from ..errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    ClientClosedError,
    InferenceError,
    InvalidResponseError,
    WrongEventLoopError,
)
from ..policy.retry import Budget
from ..policy.terms import Terms
from ..policy.timeouts import Wait
from ..wire.request import Call, secrets_among, secrets_in
from ..wire.response import (
    CLIENT_REQUEST_ID,
    error_from,
    meta_from,
    redact,
)
from .auth import Authoriser
from .together import until_done
from .transport import Reply, Transport
from .trip import ANYWHERE, Exchange, Names, Place, Trip, read_into
from .watch import Guard

__all__ = ["Session"]

T = TypeVar("T")

_ERROR_BODY_SECONDS: Final = 5.0  # the status says most of it; an explanation that takes longer is not waited for
_RETRY_COUNT: Final = "x-ms-client-retry-count"
_USER_AGENT: Final = f"inference-async/{__version__} python/{platform.python_version()}"


class Session:
    """What a client and its copies share.

    Args:
        transport: what sends.
        auth: what authorises.
        max_connections: how many calls may hold a connection at once; None for no bound.
    """

    def __init__(self, transport: Transport, auth: Authoriser, *, max_connections: int | None = None) -> None:
        self._transport = transport
        self._auth = auth
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = os.getpid()
        self._max_connections = max_connections
        self._places = None if max_connections is None else asyncio.Semaphore(max_connections)
        self._budget = Budget()
        self._names = Names()
        self._guard: Guard | None = None
        self._sending: set[Trip] = set()
        self.closed = False

    def begin(self, call: Call, terms: Terms, *, awaits: Wait = "total") -> Trip:
        """Check that the client can be used here and now; start the clock of a call.

        Args:
            call: what to send.
            terms: on which terms.
            awaits: the limit on the wait for an answer, which begins with each sending.

        Raises:
            ClientClosedError: it was closed.
            WrongEventLoopError: it belongs to another loop, or no asyncio loop runs here.
        """
        self.check_open()
        return Trip(call, terms, budget=self._budget, awaits=awaits, guard=self._guarded(), names=self._names)

    def _guarded(self) -> Guard:
        loop = self.check_loop()
        if self._guard is None:
            self._guard = Guard(loop)
        return self._guard

    def check_open(self) -> None:
        """Check that the client was not closed.

        Raises:
            ClientClosedError: it was.
        """
        if self.closed:
            raise ClientClosedError("the client is closed; make a new one, or keep it open as long as it is needed")

    def check_loop(self) -> asyncio.AbstractEventLoop:
        """The running loop, which the first call binds the client to.

        Raises:
            WrongEventLoopError: it is another one than that, or no asyncio loop runs here.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise WrongEventLoopError(
                "there is no running asyncio event loop here; this client runs on asyncio, not on trio or curio"
            ) from None
        process = os.getpid()
        if self._loop is None or self._loop.is_closed() or self._process != process:
            if self._process != process:
                self._names = Names()  # or it would give the same ones as its parent
            if self._loop is not None:
                self._move()
            self._loop, self._process = loop, process
        elif self._loop is not loop:
            raise WrongEventLoopError(
                "the client is bound to the event loop that made its first call, and this is another one; "
                "make one client per loop (each asyncio.run makes a new loop)"
            )
        return loop

    async def whole(
        self, call: Call, terms: Terms, read: Callable[[Exchange, bytes], Awaitable[T]]
    ) -> tuple[Exchange, T]:
        """Send the call; return when its answer is there as a whole, and is read.

        Args:
            call: what to send.
            terms: on which terms.
            read: makes of the body what is asked for; large ones in a thread, which may have to be waited for.

        Raises:
            APITimeoutError: not within the total.
            InvalidResponseError: the body is over the bound.
            InferenceError: as `begin` and `send` do.
        """
        trip = self.begin(call, terms)
        exchange: Exchange | None = None
        try:
            with trip:
                exchange = await self.send(trip)
                answer = await read(exchange, await exchange.body())
        except TimeoutError as error:
            if isinstance(error, APITimeoutError):
                raise
            over = self.over(trip)
            raise (over if exchange is None else exchange.failed(over)) from error.__cause__
        finally:
            trip.stop()
        exchange.meta.elapsed = trip.now() - trip.clock.started
        return exchange, answer

    def _move(self) -> None:
        """The event loop is gone, or it is the parent process's: what waited in it will not come back."""
        self._sending = set()
        self._guard = None
        if self._max_connections is not None:
            self._places = asyncio.Semaphore(self._max_connections)
        self._auth.move()

    def over(self, trip: Trip) -> InferenceError:
        """The error of a wait of a trip that ended in a `TimeoutError`."""
        return trip.failed(_closed()) if self.closed else trip.over()

    async def send(self, trip: Trip) -> Exchange:
        """Send a call, again if need be; return when the head of a success is there.

        The caller has entered the trip, which watches over it. Cancelling this cuts the connection.

        Raises:
            APIStatusError: the service refused.
            APIConnectionError: no answer came.
            CredentialError: the credential gave no token.
        """
        self._sending.add(trip)
        trip.watch(trip.clock.until)
        try:
            exchange = await self._sent(trip)
            if self.closed:
                exchange.close()
                raise _closed()
            return exchange
        except InferenceError as error:
            if self.closed:
                raise trip.failed(_closed()) from None
            trip.failed(error)
            raise
        finally:
            self._sending.discard(trip)

    async def _sent(self, trip: Trip) -> Exchange:
        renewed = False
        while True:
            try:
                exchange = await self._attempt(trip)
            except (APIStatusError, APIConnectionError) as error:
                if self.closed:
                    raise
                trip.enters("total")
                if not renewed and await self._renewed(trip, error):
                    renewed = True
                    continue
                delay = trip.delay(error)
                if delay is None:
                    raise
            else:
                trip.retrying.succeeded()
                return exchange
            await asyncio.sleep(delay)

    async def _attempt(self, trip: Trip) -> Exchange:
        """Send once; return if it is a success."""
        place = ANYWHERE if self._places is None else await self._place(trip, self._places)
        try:
            return await self._asked(trip, place)
        except BaseException:
            place.leave()
            raise

    async def _asked(self, trip: Trip, place: Place) -> Exchange:
        call = trip.call
        sent, secrets = await self._authorised(trip)
        if self.closed:
            raise _closed()
        trip.sets_out()
        reply = await self._transport.send(sent, connect_timeout=trip.terms.timeouts.connect)
        if reply.status == 200 or (call.any_success and 200 <= reply.status < 300):
            elapsed = trip.now() - trip.clock.started
            headers = _masked(reply.headers, secrets)  # errors hold them too, under `.partial`
            meta = meta_from(reply.status, headers, trip.client_request_id, elapsed)
            meta.attempts = trip.retrying.attempts
            return Exchange(reply, meta, call.url, secrets, limits=trip.terms.limits, place=place)
        trip.enters("total")
        raise await self._refusal(trip, reply, secrets)

    async def _refusal(self, trip: Trip, reply: Reply, secrets: tuple[str, ...]) -> APIStatusError:
        """The error that an answer is. Its body may repeat the credential: this frame is none of the traceback's."""
        left = None if trip.clock.until is None else trip.clock.until - trip.now()
        # Half of what is left, so that the limit on the call does not strike first, and take the status away.
        seconds = _ERROR_BODY_SECONDS if left is None else min(_ERROR_BODY_SECONDS, left / 2)
        try:
            body = await _error_body(reply, trip.terms.limits.max_error_body_bytes, seconds)
        finally:
            reply.close()
        return error_from(
            status=reply.status,
            headers=reply.headers,
            body=body,
            url=trip.call.url,
            secrets=secrets,
            model=trip.call.model,
        )

    async def aclose(self) -> None:
        """Close for good; calls under way end in a `ClientClosedError`.

        Raises:
            WrongEventLoopError: the connections belong to another loop, and can only be closed there.
        """
        if self._loop is not None:
            self.check_loop()
        self.closed = True
        for trip in self._sending:
            trip.end()
        # In a task of its own: a scope of anyio's that has expired would cancel each step of it.
        closing = asyncio.create_task(self._close_all())
        await until_done(closing)
        closing.result()

    async def _close_all(self) -> None:
        try:
            await self._transport.aclose()
        finally:
            if self._guard is not None:
                self._guard.stop()
            await self._auth.aclose()

    async def _place(self, trip: Trip, places: asyncio.Semaphore) -> Place:
        if places.locked():
            trip.enters("pool")
        await places.acquire()
        trip.enters("total")
        return Place(places)

    async def _authorised(self, trip: Trip) -> tuple[Call, tuple[str, ...]]:
        call = trip.call
        headers = {"user-agent": _USER_AGENT, CLIENT_REQUEST_ID: trip.client_request_id, **call.headers}
        if trip.retrying.attempts:
            headers[_RETRY_COUNT] = str(trip.retrying.attempts)
        secrets = secrets_among(call.headers)
        if not secrets:
            header = await self._auth.header()
            if header is not None:
                headers[header[0]] = trip.credential = header[1]
                secrets = secrets_among({header[0]: header[1]})
        if "?" in call.url:
            secrets += secrets_in(call.url)
        sent = Call(call.method, call.url, headers, call.body, call.model, call.any_success)
        return sent, secrets

    async def _renewed(self, trip: Trip, error: InferenceError) -> bool:
        """Whether the service refused the credential, and there is another one now."""
        if not isinstance(error, APIStatusError) or secrets_among(trip.call.headers):
            return False
        if error.status == 403 and "expired" not in error.detail.lower():
            return False
        if error.status not in (401, 403):
            return False
        return await self._auth.answer(error.headers.get("www-authenticate"), trip.credential)


def _masked(headers: Mapping[str, str], secrets: tuple[str, ...]) -> Mapping[str, str]:
    if not secrets:
        return headers
    joined = "\n".join(headers.values())
    if redact(joined, secrets) == joined:
        return headers
    return {name: redact(value, secrets) for name, value in headers.items()}


async def _error_body(reply: Reply, limit: int, seconds: float) -> bytes:
    """What came of the body of a refusal, however that ended: its status is not to be lost over it."""
    pieces: list[bytes] = []
    try:
        async with asyncio.timeout(seconds):
            await read_into(pieces, reply, limit)
    except (APIConnectionError, InvalidResponseError, TimeoutError):
        pass
    return b"".join(pieces)


def _closed() -> ClientClosedError:
    return ClientClosedError("the client was closed while this call was under way")
